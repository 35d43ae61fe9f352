/** Packs and the other tasks of a workspace as one list. Pure. */
import { packWord } from "../../api/patch";
import { hasEnded } from "../../api/jobCan";
import type { JobSummary, PackTask, Status } from "../../api/types";
import { nameOf } from "../../util/files";

export interface TrayTask {
  id: string;
  kind: "pack" | "compress" | "extract";
  name: string;
  word: PackTask["status"];
  status: Status;
  progress: number;
  /** What it holds of the space now; null: not told. */
  reserved: number | null;
  message: string;
  error: string | null;
  cancelling: boolean;
  paused: boolean;
  createdAt: string;
  /** Of a finished pack: what there is to fetch. */
  output: { name: string; size: number } | null;
  kept: number;
  expiresAt: string | null;
}

function ofPack(pack: PackTask): TrayTask {
  return {
    id: pack.id,
    kind: "pack",
    name: nameOf(pack.folder_path),
    word: pack.status,
    status: pack.job_status,
    progress: pack.progress,
    reserved: pack.reserved_space,
    message: pack.message,
    error: pack.error_message,
    cancelling: pack.cancelling,
    paused: pack.paused,
    createdAt: pack.created_at,
    output: pack.status === "done" && pack.output_path !== null ? { name: nameOf(pack.output_path), size: pack.output_size ?? 0 } : null,
    kept: pack.kept_count,
    expiresAt: pack.expires_at,
  };
}

function ofJob(job: JobSummary): TrayTask {
  return {
    id: job.job_id,
    kind: job.kind === "extract" ? "extract" : "compress",
    name: job.folder_name,
    word: packWord(job.status),
    status: job.status,
    progress: job.progress_percent,
    reserved: null,
    message: job.current_operation,
    error: job.error_message,
    cancelling: job.cancelling,
    paused: job.paused,
    createdAt: job.created_at,
    output: null,
    kept: 0,
    expiresAt: null,
  };
}

/** Newest first. */
export function trayTasks(packs: PackTask[], jobs: JobSummary[]): TrayTask[] {
  return [...packs.map(ofPack), ...jobs.map(ofJob)].toSorted((one, other) => other.createdAt.localeCompare(one.createdAt));
}

/** Which are not at their end. */
export function running(tasks: TrayTask[]): ReadonlySet<string> {
  return new Set(tasks.flatMap((task) => (hasEnded(task.status) ? [] : [task.id])));
}

export function activeCount(tasks: TrayTask[]): number {
  return running(tasks).size;
}

/** Those that ran before and are done or have failed now; who cancels a task knows it. */
export function ended(before: ReadonlySet<string>, tasks: TrayTask[]): TrayTask[] {
  return tasks.filter((task) => before.has(task.id) && (task.word === "done" || task.word === "failed"));
}
