/** What a pack, an archive or an extraction says of itself. Pure. */
import type { JobDetail } from "../../api/types";
import { text } from "../../text/en";
import { filesText } from "../../text/enFiles";
import { duration } from "../../util/time";
import { bytes, count, MB, rate } from "../../util/units";

function completed(job: JobDetail): string[] {
  const told = filesText.job;
  const took = duration(job.result?.seconds ?? 0);
  if (job.kind === "extract") return [told.done.extract(took)];
  const first = told.done[job.kind === "pack" ? "pack" : "compress"](took);
  const source = job.kind === "pack" && !job.keep_source ? told.deleted : told.kept;
  return job.kept_count > 0 ? [first, told.keptSome(job.kept_count)] : [first, source];
}

function failed(job: JobDetail): string[] {
  const told = filesText.job;
  const deleting = job.state_times.some((entry) => entry.status === "deleting_source");
  return [job.error_message ?? text.job.outcome.failed, deleting ? told.partly : told.safe, job.request?.encrypted ? told.askAgain : told.next];
}

/** In sentences; the first is the outcome. */
export function workspaceOutcome(job: JobDetail): string[] {
  const told = text.job.outcome;
  switch (job.status) {
    case "completed":
      return completed(job);
    case "failed":
      return failed(job);
    case "cancelled":
      return [told.cancelled, filesText.job.safe];
    case "queued":
      return [told.queued(job.wait_reason), ...(job.missing_bytes ? [told.missing(job.missing_bytes)] : [])];
    default:
      return [job.current_operation];
  }
}

function size(value: number | null | undefined): string | null {
  return value === null || value === undefined ? null : bytes(value);
}

/** What was asked for and what came of it, as label and value; what is not known is left out. */
export function workspaceFacts({ request, result }: JobDetail): [string, string][] {
  const words = filesText.job;
  const top = request ? filesText.top[request.root] : "";
  const from = request?.paths ?? (request?.path ? [request.path] : []);
  const to = result?.output_path ?? request?.output ?? result?.destination ?? request?.destination;
  const rows: [string, string | null | undefined][] = [
    [words.from, from.map((path) => `${top} / ${path}`).join(", ")],
    [words.to, to === null || to === undefined ? null : `${filesText.top.workspace} / ${to}`],
    [words.format, result?.format ?? request?.format],
    [words.level, request?.level?.toString()],
    [words.files, [result?.file_count, result?.files_extracted].find((n) => typeof n === "number")?.toString()],
    [words.original, size(result?.original_size)],
    [words.packed, size(result?.compressed_size)],
    [words.unpacked, size(result?.total_size)],
    [words.volumes, result?.volumes && result.volumes > 1 ? count(result.volumes) : null],
    [words.speed, result ? rate(result.mb_per_s * MB) : null],
  ];
  return rows.filter((row): row is [string, string] => Boolean(row[1]));
}
