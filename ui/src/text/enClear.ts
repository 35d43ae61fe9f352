/** What is said where a job that has ended is cleared: by itself, so that other pages need not load it. */
export const clearText = {
  dismiss: "Dismiss",
  hint: "Hide this job from the history and from what needs attention. Its page and its log stay.",
  done: "The job is dismissed. Its page and its log stay.",
};
