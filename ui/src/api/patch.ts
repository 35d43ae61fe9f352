/**
 * What live messages change in data already read. Pure: old data in, new data out; the same object when nothing changed.
 * Lists take one frame's updates at once, by job id: ten thousand jobs are one walk through a list, not ten thousand.
 */
import { hasEnded } from "./jobCan";
import packWords from "./packWords.json";
import type { Folder, JobSummary, JobUpdate, PackTask, Queue, Status } from "./types";

const FIGURES = [
  "status",
  "progress_percent",
  "current_operation",
  "attempt",
  "stage",
  "step",
  "stage_percent",
  "lane_percent",
  "bytes_done",
  "bytes_total",
  "bytes_per_second",
  "eta_seconds",
  "wait_reason",
  "paused",
  "error_message",
] as const satisfies readonly (keyof JobSummary & keyof JobUpdate)[];

/** The job with the message's figures. A message of an older attempt changes nothing. */
export function patchJob<T extends JobSummary>(job: T, update: JobUpdate): T {
  if (job.job_id !== update.job_id || update.attempt < job.attempt) return job;
  if (FIGURES.every((name) => job[name] === update[name])) return job;
  const figures = Object.fromEntries(FIGURES.map((name) => [name, update[name]]));
  return { ...job, ...figures };
}

function patchAll<T>(items: T[], patch: (item: T) => T): T[] {
  let changed = false;
  const patched = items.map((item) => {
    const next = patch(item);
    changed ||= next !== item;
    return next;
  });
  return changed ? patched : items;
}

export type Updates = ReadonlyMap<string, JobUpdate>;

export function patchJobs<T extends JobSummary>(jobs: T[], updates: Updates): T[] {
  return patchAll(jobs, (job) => {
    const update = updates.get(job.job_id);
    return update ? patchJob(job, update) : job;
  });
}

export type Place = "waiting" | "active" | "upload" | "gone";

/** Which list of the queue a job belongs to. */
export function placeOf(status: Status): Place {
  if (status === "queued") return "waiting";
  if (status === "compressed") return "upload";
  return status === "completed" || status === "failed" || status === "cancelled" ? "gone" : "active";
}

/** `moved`: a job belongs to another list now, so the queue must be read again. */
export function patchQueue(queue: Queue, updates: Updates): { queue: Queue; moved: boolean } {
  const known = new Map<string, Place>();
  for (const job of queue.queued_jobs) known.set(job.job_id, "waiting");
  for (const job of queue.waiting_upload_jobs) known.set(job.job_id, "upload");
  for (const job of queue.active_jobs) known.set(job.job_id, "active");
  const archiving = [...updates.values()].filter((update) => update.kind === "archive"); // others are not in this queue
  const moved = archiving.some((update) => (known.get(update.job_id) ?? "gone") !== placeOf(update.status));
  const next = {
    ...queue,
    queued_jobs: patchAll(queue.queued_jobs, (job) => patchWaiting(job, updates.get(job.job_id))),
    active_jobs: patchJobs(queue.active_jobs, updates),
    waiting_upload_jobs: patchJobs(queue.waiting_upload_jobs, updates),
  };
  const same =
    next.queued_jobs === queue.queued_jobs &&
    next.active_jobs === queue.active_jobs &&
    next.waiting_upload_jobs === queue.waiting_upload_jobs;
  return { queue: same ? queue : next, moved };
}

function patchWaiting(job: Queue["queued_jobs"][number], update: JobUpdate | undefined): Queue["queued_jobs"][number] {
  if (update?.status !== "queued") return job;
  if (job.wait_reason === update.wait_reason && job.paused === update.paused) return job;
  return { ...job, wait_reason: update.wait_reason, paused: update.paused };
}

export function patchFolders(folders: Folder[], updates: Updates): Folder[] {
  return patchAll(folders, (folder) => {
    const update = folder.job_id ? updates.get(folder.job_id) : undefined;
    return update && folder.job_status !== update.status ? { ...folder, job_status: update.status } : folder;
  });
}

/** The word for a pack's state; tests/ui/test_contract.py compares the table with the gateway's. */
export function packWord(status: Status): PackTask["status"] {
  return (packWords as Partial<Record<Status, PackTask["status"]>>)[status] ?? "packing";
}

export function patchPacks(packs: PackTask[], updates: Updates): PackTask[] {
  return patchAll(packs, (pack) => {
    const update = updates.get(pack.id);
    if (!update || hasEnded(pack.job_status)) return pack;
    const same = pack.job_status === update.status && pack.progress === update.progress_percent && pack.message === update.current_operation;
    if (same && pack.paused === update.paused) return pack;
    return {
      ...pack,
      status: packWord(update.status),
      job_status: update.status,
      progress: update.progress_percent,
      message: update.current_operation,
      paused: update.paused,
      error_message: update.error_message,
    };
  });
}

/** Whether something read shows a job as live that is not among the live ones. */
export function missesJob(live: ReadonlySet<string>, queue: Queue | undefined, folders: Folder[], jobs: Pick<JobSummary, "job_id" | "status">[]): boolean {
  const shown = [
    ...(queue ? [...queue.active_jobs, ...queue.queued_jobs, ...queue.waiting_upload_jobs] : []),
    ...jobs.filter((job) => !hasEnded(job.status)),
  ].map((job) => job.job_id);
  const badges = folders.flatMap((folder) => (folder.job_id && folder.job_status && !hasEnded(folder.job_status) ? [folder.job_id] : []));
  return [...shown, ...badges].some((id) => !live.has(id));
}
