import { stalledSince } from "../api/standing";
import { standingOf, useConnection } from "../api/sync";
import type { JobSummary } from "../api/types";
import { useNow } from "../util/useNow";

const LOOK_MS = 5000;

/** Whether a job's bar may look as if it moved, and since when (milliseconds) its figures have stood still; null: they have not. */
export function useMoving(job: JobSummary): { moving: boolean; stalled: number | null } {
  const now = useNow(LOOK_MS);
  const live = useConnection().state === "live";
  const stalled = live ? stalledSince(job, standingOf(job.job_id), now) : null;
  return { moving: live && !job.paused && stalled === null, stalled };
}
