-- The orders of the history (services/gateway/queries.sql, `history_desc_...`). Only jobs that have ended are in them, so a running job costs
-- nothing here. By end, a filter by words, user or time reads no row that it does not show.
CREATE INDEX jobs_ended ON jobs (kind, status, completed_at, id) INCLUDE (created_by, created_by_id, created_at, words)
  WHERE cleared_at IS NULL AND completed_at IS NOT NULL;
CREATE INDEX jobs_ended_by_user ON jobs (kind, lower(created_by), completed_at, id)
  INCLUDE (status, created_by, created_by_id, created_at, words) WHERE cleared_at IS NULL AND completed_at IS NOT NULL;
-- A part of the name, because an entry of a B-tree has a limit and a job must be able to end.
CREATE INDEX jobs_by_name ON jobs (kind, status, left(lower(folder_name), 200), id) WHERE cleared_at IS NULL AND completed_at IS NOT NULL;
CREATE INDEX jobs_by_size ON jobs (kind, status, coalesce(folder_size_bytes, -1), id) WHERE cleared_at IS NULL AND completed_at IS NOT NULL;
CREATE INDEX jobs_by_duration ON jobs (kind, status, coalesce(completed_at - started_at, interval '-1 s'), id)
  WHERE cleared_at IS NULL AND completed_at IS NOT NULL;
