/**
 * Which action is possible in which state. The gateway decides; this only keeps buttons from promising what it would refuse.
 * tests/ui/test_contract.py compares the table with shared/domain/lifecycle.py (cancel: CANCELLABLE, pause: PAUSABLE, retry: the edge failed -> queued).
 */
import type { JobSummary, Status } from "./generated";
import table from "./jobCan.json";

type Facts = Pick<JobSummary, "status"> & Partial<Pick<JobSummary, "cancelling" | "paused">>;

const within = (states: string[], status: Status) => states.includes(status);

export const jobCan = {
  cancel: (job: Facts) => within(table.cancel, job.status) && !job.cancelling,
  pause: (job: Facts) => within(table.pause, job.status) && !job.cancelling && !job.paused,
  resume: (job: Facts) => within(table.pause, job.status) && !job.cancelling && Boolean(job.paused),
  retry: (job: Facts) => within(table.retry, job.status),
  /** A new job for the same folder: after a cancel nothing is left to retry. */
  archiveAgain: (job: Facts) => job.status === "cancelled",
};

export function hasEnded(status: Status): boolean {
  return within(table.ended, status);
}
