/** Whether a job's figures still move. Pure; only what this tab has seen counts, so nothing is called stalled at first sight. */
import type { JobSummary } from "./types";

type Figures = Pick<JobSummary, "status" | "attempt" | "bytes_done" | "stage_percent">;
type Facts = Figures & Pick<JobSummary, "bytes_total" | "folder_size_bytes" | "paused" | "cancelling" | "wait_reason">;

export interface Standing {
  figures: string;
  /** Milliseconds: when the figures came. */
  since: number;
}

const STILL_MS = 60_000;
/** Globus is asked once a minute at most (UPLOAD_TASK_POLL_INTERVAL_SECONDS), so its figures come in steps. */
const STILL_UPLOAD_MS = 180_000;
/** 7-Zip tells whole percents. Slower than this would be stuck: 1 % of 10 TB then takes under three hours. */
const SLOWEST_BYTES_PER_MS = 10_000;

function figures(job: Figures): string {
  return JSON.stringify([job.status, job.attempt, job.bytes_done, job.stage_percent]);
}

/** The same object while nothing moved. */
export function stand(before: Standing | undefined, job: Figures, now: number): Standing {
  const seen = figures(job);
  return before?.figures === seen ? before : { figures: seen, since: now };
}

function patience(job: Facts): number {
  if (job.status === "uploading") return STILL_UPLOAD_MS;
  if (job.status !== "compressing" && job.status !== "verifying") return STILL_MS;
  return Math.max(STILL_MS, (job.folder_size_bytes ?? 0) / 100 / SLOWEST_BYTES_PER_MS);
}

/** Since when nothing has moved, milliseconds; null while it moves, need not, or is at its end. */
export function stalledSince(job: Facts, standing: Standing | undefined, now: number): number | null {
  const measured = job.bytes_done !== null || job.stage_percent !== null;
  const through = (job.bytes_total !== null && (job.bytes_done ?? 0) >= job.bytes_total) || job.stage_percent === 100;
  if (!standing || !measured || through || job.paused || job.cancelling || job.wait_reason) return null;
  return now - standing.since >= patience(job) ? standing.since : null;
}
