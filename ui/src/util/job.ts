/** What a job's record says about its stages. Pure. */
import type { JobDetail, Kind, StateTime, Status } from "../api/types";

export const STAGES = ["copying", "compressing", "verifying", "uploading", "upload_verifying", "deleting_source"] as const;
export type StageName = (typeof STAGES)[number];
export type StageState = "done" | "active" | "failed" | "stopped" | "todo" | "skipped";

export interface Stage {
  name: StageName;
  state: StageState;
  startedAt: string | null;
  endedAt: string | null;
}

/** How far a state is along the way; a stage is done when the job is beyond it. */
const RANK: Record<Status, number> = {
  queued: 0,
  copying: 1,
  compressing: 2,
  running: 2,
  verifying: 3,
  compressed: 3.5,
  uploading: 4,
  upload_verifying: 5,
  verified: 5.5,
  deleting_source: 6,
  completed: 7,
  failed: 0,
  cancelled: 0,
};

function isEnding(status: Status) {
  return status === "failed" || status === "cancelled";
}

type Told = Pick<JobDetail, "status" | "keep_source" | "state_times">;

/** The last state before the end; the state itself while there is none. */
function reached(job: Told): Status {
  if (!isEnding(job.status)) return job.status;
  return job.state_times.findLast((entry) => !isEnding(entry.status))?.status ?? "queued";
}

export function stages(job: Told): Stage[] {
  const far = RANK[reached(job)];
  const halted = isEnding(job.status) ? STAGES.find((name) => RANK[name] >= far) : undefined;
  return STAGES.map((name) => {
    const index = job.state_times.findLastIndex((entry) => entry.status === name);
    return {
      name,
      state: stateOf(name, job, far, halted),
      startedAt: job.state_times[index]?.at ?? null,
      endedAt: index < 0 ? null : (job.state_times[index + 1]?.at ?? null),
    };
  }).map((stage) => (stage.state === "todo" || stage.state === "skipped" ? { ...stage, startedAt: null, endedAt: null } : stage));
}

function stateOf(name: StageName, job: Told, far: number, halted: StageName | undefined): StageState {
  if (name === "deleting_source" && job.keep_source) return "skipped";
  if (name === halted) return job.status === "failed" ? "failed" : "stopped";
  if (RANK[name] < far) return "done";
  return job.status === name ? "active" : "todo";
}

/** When the job last began to work on its present state. */
export function since(times: StateTime[], status: Status): string | null {
  return times.findLast((entry) => entry.status === status)?.at ?? null;
}

const BANDS: Partial<Record<Status, readonly [number, number]>> = {
  copying: [0, 33],
  compressing: [33, 66],
  verifying: [66, 100],
  uploading: [0, 75],
  upload_verifying: [75, 90],
  verified: [90, 90],
  deleting_source: [90, 100],
};

export type Bar = { kind: "determinate"; value: number } | { kind: "indeterminate"; from: number; to: number };

/** The lane's bar. Without figures it is a band, never an invented number. Other kinds have one bar from start to end. */
export function laneBar(job: { kind: Kind; status: Status; stage_percent: number | null; lane_percent: number | null; progress_percent: number }): Bar {
  if (job.kind !== "archive") return { kind: "determinate", value: job.progress_percent };
  const band = BANDS[job.status];
  if (job.stage_percent === null && band && band[0] < band[1]) return { kind: "indeterminate", from: band[0], to: band[1] };
  return { kind: "determinate", value: job.lane_percent ?? 0 };
}
