/** Records for unit tests, as the gateway sends them. */
import type { Folder, JobDetail, JobSummary, JobUpdate, PackTask, QueuedJob } from "../api/types";

const FIGURES = {
  job_id: "job",
  folder_name: "Project Alpha",
  status: "copying",
  progress_percent: 10,
  current_operation: "Copying",
  attempt: 1,
  stage: "copy",
  step: "Step 1/3: Copying",
  stage_percent: 30,
  lane_percent: 10,
  bytes_done: 30,
  bytes_total: 100,
  bytes_per_second: 10,
  eta_seconds: 7,
  wait_reason: null,
  paused: false,
  error_message: null,
} as const;

export function update(more: Partial<JobUpdate> = {}): JobUpdate {
  return { type: "job_update", ...FIGURES, kind: "archive", version: 2, ...more };
}

export function summary(more: Partial<JobSummary> = {}): JobSummary {
  return {
    ...FIGURES,
    kind: "archive",
    source_path: "/nas/Production/2024/Project Alpha",
    status_since: "2026-01-01T00:00:01Z",
    missing_bytes: null,
    cancelling: false,
    keep_source: false,
    retry_count: 0,
    folder_size_bytes: 100,
    archive_size_bytes: null,
    kept_count: 0,
    created_by: "john",
    created_at: "2026-01-01T00:00:00Z",
    started_at: "2026-01-01T00:00:01Z",
    completed_at: null,
    output_path: null,
    output_size: null,
    output_files: null,
    ...more,
  };
}

export function detail(more: Partial<JobDetail> = {}): JobDetail {
  return {
    ...summary(),
    error_code: null,
    cleared_at: null,
    globus_destination_path: "/Production/2024/Project Alpha.tar.7z",
    globus_task_id: null,
    file_count: 3,
    cancel_requested_by: null,
    request: null,
    result: null,
    archive: null,
    verifications: [],
    state_times: [],
    retries: { automatic: 0, requested: 0 },
    warnings: [],
    notes: [],
    ...more,
  };
}

export function queued(more: Partial<QueuedJob> = {}): QueuedJob {
  return {
    job_id: "job",
    folder_name: "Project Beta",
    position: 1,
    created_by: "jane",
    created_at: "2026-01-01T00:00:00Z",
    folder_size_bytes: 5,
    wait_reason: null,
    missing_bytes: null,
    paused: false,
    cancelling: false,
    keep_source: false,
    ...more,
  };
}

export function folder(more: Partial<Folder> = {}): Folder {
  return {
    path: "/nas/Production/2024/Project Alpha",
    name: "Project Alpha",
    level1: "Production",
    level2: "2024",
    size_bytes: 100,
    size_human: "100 B",
    modified_at: "2026-01-01T00:00:00Z",
    file_count: 3,
    is_archived: false,
    ignored: null,
    unreadable: null,
    scanned_at: "2026-01-01T00:00:00Z",
    job_id: null,
    job_status: null,
    ...more,
  };
}

export function pack(more: Partial<PackTask> = {}): PackTask {
  return {
    id: "pack",
    owner_id: "owner",
    folder_path: "shots/day 1",
    folder_size: 100,
    reserved_space: 100,
    output_path: null,
    output_size: null,
    status: "packing",
    progress: 30,
    error_message: null,
    created_at: "2026-01-01T00:00:00Z",
    updated_at: "2026-01-01T00:00:00Z",
    root: "workspace",
    keep_source: false,
    kept_count: 0,
    format: "zip",
    compression_level: 5,
    job_status: "running",
    paused: false,
    cancelling: false,
    message: "Packing",
    file_count: 3,
    fetched_at: null,
    expires_at: null,
    ...more,
  };
}
