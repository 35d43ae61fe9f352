/** What is said of failed jobs, and where a job that has ended is cleared: by itself, so that other pages need not load it. */
import { spoken } from "./en";
import { plural } from "./plural";

const enClear = {
  dismiss: "Dismiss",
  dismissOne: (name: string) => `Dismiss ${name}`,
  dismissAll: "Dismiss all",
  hint: "Hide this job from the history and from what needs attention. Its page and its log stay.",
  done: (n: number) => (n === 1 ? "Job dismissed. Its page and its log stay." : `${plural(n, "job", "jobs")} dismissed. Their pages and logs stay.`),
  title: "Failed jobs",
  heading: (n: number, all: boolean) => `${all ? "" : "More than "}${plural(n, "job has failed", "jobs have failed")}`,
  intro: "A failed job deletes nothing that it has not archived. Open job to see why it failed and to try again.",
  open: "Open",
  all: "Show all",
  told: (kind: string, name: string, reason: string | null) => `${kind} ${name} failed: ${reason ?? "no reason was recorded"}`,
  toldMany: (n: number, latest: string) => `${plural(n, "job", "jobs")} failed. ${latest}`,
};

export const clearText: typeof enClear = spoken(enClear);
