/** Words of the history that no other page needs. As in en.ts otherwise. */
import { spoken } from "./en";
import { plural } from "./plural";

export const enHistory = {
  user: "User",
  from: "Ended from",
  to: "Ended to",
  sortBy: "Sort by",
  sorts: { ended: "Sorted by end time", name: "Sorted by name", size: "Sorted by size", duration: "Sorted by duration" },
  reverse: "Reverse the order",
  clearOwn: "Clear my completed",
  clearOwnTitle: "Clear your completed jobs from the history?",
  clearOwnText: (n: number) => `${plural(n, "completed job that you requested disappears", "completed jobs that you requested disappear")} from this list, for everybody.`,
  clearNoneOwn: "You have no completed jobs to clear.",
};

export const historyText: typeof enHistory = spoken(enHistory);
