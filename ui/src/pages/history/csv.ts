import type { JobSummary } from "../../api/types";
import { text } from "../../text/en";

type Value = string | number | null;

/** RFC 4180; a value that a spreadsheet would run as a formula is kept from it by an apostrophe. */
export function cell(value: Value): string {
  if (value === null) return "";
  const plain = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

export function toCsv(jobs: JobSummary[]): string {
  const rows = jobs.map((job) => [
    job.job_id,
    job.folder_name,
    job.source_path,
    job.status,
    job.created_by,
    job.created_at,
    job.started_at,
    job.completed_at,
    job.folder_size_bytes,
    job.archive_size_bytes,
    job.error_message,
  ]);
  return [text.history.columns, ...rows.map((row) => row.map(cell).join(","))].join("\r\n") + "\r\n";
}
