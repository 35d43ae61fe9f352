/** Which failures are new since the last look. Pure. */
import type { JobSummary } from "../api/types";

type Failure = Pick<JobSummary, "job_id" | "completed_at">;

export interface Known {
  /** Jobs with the time of their failure: one that is tried again and fails again is new. */
  seen: ReadonlySet<string>;
  /** Milliseconds: what failed before the first look, and comes into the list later, is not new. */
  since: number;
}

const keyOf = (job: Failure) => `${job.job_id} ${job.completed_at}`;
const timeOf = (job: Failure) => (job.completed_at ? Date.parse(job.completed_at) : 0);

/** What is known now, and the failures to tell, newest first. `known` is null at the first look, which tells nothing. */
export function fresh<T extends Failure>(known: Known | null, failures: T[]): [Known, T[]] {
  const seen = new Set([...(known?.seen ?? []), ...failures.map(keyOf)]);
  if (!known) return [{ seen, since: Math.max(0, ...failures.map(timeOf)) }, []];
  const latest = failures.filter((job) => !known.seen.has(keyOf(job)) && timeOf(job) >= known.since);
  return [{ seen, since: known.since }, latest.toSorted((one, other) => timeOf(other) - timeOf(one))];
}
