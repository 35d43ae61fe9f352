/** A user's jobs of every kind as one list, with what they made. Pure. */
import { packWord } from "../../api/patch";
import { hasEnded } from "../../api/jobCan";
import type { JobSummary, PackTask } from "../../api/types";
import { nameOf, parentOf } from "../../util/files";
import { downloads } from "../../util/paths";

export interface TrayTask {
  id: string;
  job: JobSummary;
  word: PackTask["status"];
  /** What it holds of the space now. */
  reserved: number;
  /** Of a finished pack or archive: what there is to fetch; of one in parts, the first and how many there are. */
  output: { name: string; size: number; parts: number; address: string } | null;
  /** Where in the workspace it has put something, "" is the top; null: it has not. */
  folder: string | null;
  expiresAt: string | null;
}

function ofJob(job: JobSummary, pack: PackTask | undefined): TrayTask {
  const path = job.status === "completed" ? (pack ? pack.output_path : job.output_path) : null;
  const size = (pack ? pack.output_size : job.output_size) ?? 0;
  const isArchive = path !== null && job.kind !== "extract";
  return {
    id: job.job_id,
    job,
    word: packWord(job.status),
    reserved: pack?.reserved_space ?? 0,
    output: isArchive ? { name: nameOf(path), size, parts: (pack ? null : job.output_files) ?? 1, address: pack ? downloads.pack(job.job_id) : downloads.file(path) } : null,
    folder: isArchive ? parentOf(path) : path,
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
