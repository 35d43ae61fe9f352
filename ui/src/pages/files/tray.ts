/** A user's jobs of every kind as one list; of a pack also what there is to fetch. Pure. */
import { packWord } from "../../api/patch";
import { hasEnded } from "../../api/jobCan";
import type { JobSummary, PackTask } from "../../api/types";
import { nameOf } from "../../util/files";

export interface TrayTask {
  id: string;
  job: JobSummary;
  word: PackTask["status"];
  /** What it holds of the space now. */
  reserved: number;
  /** Of a finished pack: what there is to fetch. */
  output: { name: string; size: number } | null;
  expiresAt: string | null;
}

function ofJob(job: JobSummary, pack: PackTask | undefined): TrayTask {
  return {
    id: job.job_id,
    job,
    word: packWord(job.status),
    reserved: pack?.reserved_space ?? 0,
    output: job.status === "completed" && pack?.output_path ? { name: nameOf(pack.output_path), size: pack.output_size ?? 0 } : null,
    expiresAt: pack?.expires_at ?? null,
  };
}

/** Newest first. */
export function trayTasks(packs: PackTask[], jobs: JobSummary[]): TrayTask[] {
  const known = new Map(packs.map((pack) => [pack.id, pack]));
  return jobs.map((job) => ofJob(job, known.get(job.job_id))).toSorted((one, other) => other.job.created_at.localeCompare(one.job.created_at));
}

/** Which are not at their end. */
export function running(tasks: TrayTask[]): ReadonlySet<string> {
  return new Set(tasks.flatMap((task) => (hasEnded(task.job.status) ? [] : [task.id])));
}

export function activeCount(tasks: TrayTask[]): number {
  return running(tasks).size;
}

/** Those that ran before and are done now; a failure is told on every page, and who cancels a task knows it. */
export function done(before: ReadonlySet<string>, tasks: TrayTask[]): TrayTask[] {
  return tasks.filter((task) => before.has(task.id) && task.word === "done");
}
