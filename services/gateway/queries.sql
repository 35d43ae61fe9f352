-- The gateway's own statements.

-- People ----------------------------------------------------------------------------------------------------------------------------

-- user_by_name --
-- A user by name, whatever the letter case. $1 name.
SELECT * FROM users WHERE lower(username) = lower($1)

-- session_user --
-- The user behind a token, while the token counts. $1 user, $2 token id, $3 epoch.
SELECT u.* FROM users u
WHERE u.id = $1 AND (u.token_epoch = $3 OR u.kept_token = $2)
  AND NOT EXISTS (SELECT FROM revoked_tokens r WHERE r.jti = $2)

-- sessions_ended --
-- Which of these tokens do not count any more. $1 users, $2 token ids, $3 epochs.
SELECT s.jti FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS s(sub, jti, epoch)
LEFT JOIN users u ON u.id = s.sub AND (u.token_epoch = s.epoch OR u.kept_token = s.jti)
WHERE u.id IS NULL OR EXISTS (SELECT FROM revoked_tokens r WHERE r.jti = s.jti)

-- logged_in --
-- Note a login. $1 user.
UPDATE users SET last_login = clock_timestamp() WHERE id = $1

-- revoke --
-- A token that counts no more. $1 token id, $2 when it would have ended anyway.
INSERT INTO revoked_tokens (jti, expires_at) VALUES ($1, $2) ON CONFLICT (jti) DO NOTHING

-- forget_expired_tokens --
-- Revocations that nobody needs any more.
DELETE FROM revoked_tokens WHERE expires_at < clock_timestamp() - interval '1 hour'

-- set_password --
-- A new password, which ends every token but one. $1 user, $2 hash, $3 hash it was checked against, $4 token that stays.
UPDATE users SET password_hash = $2, must_change_password = false, token_epoch = token_epoch + 1, kept_token = $4
WHERE id = $1 AND password_hash = $3 RETURNING id

-- has_users --
-- Is this not the first run?
SELECT EXISTS (SELECT FROM users)

-- first_admin --
-- The first user, once. $1 hash, $2 must the password be changed.
INSERT INTO users (username, password_hash, is_admin, must_change_password)
SELECT 'admin', $1, true, $2 WHERE NOT EXISTS (SELECT FROM users)
ON CONFLICT (lower(username)) DO NOTHING RETURNING id

-- Folders ---------------------------------------------------------------------------------------------------------------------------

-- folders --
-- What the last scan saw. $1 with archived, $2 with ignored, $3 text in name or path, $4 level 1, $5 level 2, $6 sort, $7 descending,
-- $8 limit (null: all), $9 offset.
SELECT f.*, j.id AS job_id, j.status AS job_status, count(*) OVER () AS total
FROM folders f
LEFT JOIN jobs j ON j.source_path = f.path AND j.kind = 'archive' AND j.status NOT IN ('completed', 'failed', 'cancelled')
WHERE ($1 OR NOT f.is_archived) AND ($2 OR f.ignored IS NULL OR f.is_archived)
  AND ($3::text IS NULL OR position(lower($3) IN lower(f.level1 || '/' || f.level2 || '/' || f.name)) > 0)
  AND ($4::text IS NULL OR f.level1 = $4) AND ($5::text IS NULL OR f.level2 = $5)
ORDER BY
  CASE $6::text WHEN 'size' THEN f.size_bytes WHEN 'files' THEN f.file_count WHEN 'modified' THEN extract(epoch FROM f.modified_at) END
    * CASE WHEN $7 THEN -1 ELSE 1 END,
  CASE WHEN $6 = 'name' AND NOT $7 THEN lower(f.name) WHEN $6 = 'path' AND NOT $7 THEN lower(f.path) END,
  CASE WHEN $6 = 'name' AND $7 THEN lower(f.name) WHEN $6 = 'path' AND $7 THEN lower(f.path) END DESC,
  f.path
LIMIT $8 OFFSET $9

-- last_scan --
-- The newest scan.
SELECT * FROM scans ORDER BY id DESC LIMIT 1

-- Jobs ------------------------------------------------------------------------------------------------------------------------------

-- new_job --
-- A request. $1 name, $2 source, $3 device, $4 inode, $5 destination, $6 keep the source, $7 user name, $8 user, $9 bytes, $10 files.
INSERT INTO jobs (folder_name, source_path, source_device, source_inode, destination_path, keep_source, created_by, created_by_id,
  folder_size_bytes, file_count, current_operation)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'Waiting to start')
RETURNING *

-- acquire_destination --
-- Take a remote path for a job: a free one, or its own (a clean-up of its own files ends first, and leaves it the place). $1 key, $2 path, $3 job.
INSERT INTO destinations (key, path, job_id, state) VALUES ($1, $2, $3, 'held')
ON CONFLICT (key) DO UPDATE SET job_id = $3, path = $2,
  state = CASE destinations.state WHEN 'released' THEN 'held' ELSE destinations.state END
WHERE destinations.state = 'released' OR destinations.job_id = $3
RETURNING key

-- destination_holder --
-- Who has a remote path. $1 key.
SELECT d.job_id, d.state, d.path, j.folder_name, j.status, j.created_by
FROM destinations d JOIN jobs j ON j.id = d.job_id WHERE d.key = $1

-- live_job_of_source --
-- The live job on a folder, by path or by what the path leads to. $1 path, $2 device, $3 inode.
SELECT id, folder_name, source_path, status, created_by FROM jobs
WHERE kind = 'archive' AND status NOT IN ('completed', 'failed', 'cancelled')
  AND (source_path = $1 OR (source_device = $2 AND source_inode = $3))
LIMIT 1

-- lock_job --
-- A job, kept still until this transaction ends. $1 job.
SELECT *, coalesce(lease_until >= clock_timestamp(), false) AS held FROM jobs WHERE id = $1 FOR UPDATE

-- cancel_now --
-- Cancel a job nobody works on. $1 job, $2 who.
UPDATE jobs SET status = 'cancelled', cancel_requested_by = $2, current_operation = 'Cancelled' WHERE id = $1

-- request_cancel --
-- Ask whoever works on it to stop. $1 job, $2 who.
UPDATE jobs SET cancel_requested_by = $2 WHERE id = $1

-- cancel_let_go --
-- Serve what was asked for while somebody held the job and then let it go.
UPDATE jobs SET status = 'cancelled', current_operation = 'Cancelled'
WHERE cancel_requested_by IS NOT NULL
  AND (status = 'queued' OR (kind = 'archive' AND status IN ('compressed', 'verified')))
  AND (lease_until IS NULL OR lease_until < clock_timestamp())
RETURNING id

-- retry_job --
-- Queue a failed job again; the guard resets its budgets. $1 job.
UPDATE jobs SET status = 'queued', current_operation = 'Waiting to start', wait_reason = NULL, cleared_at = NULL
WHERE id = $1 AND status = 'failed' RETURNING *

-- clear_completed --
-- Hide completed jobs from the history; nothing is erased.
WITH cleared AS (
  UPDATE jobs SET cleared_at = clock_timestamp()
  WHERE kind = 'archive' AND status = 'completed' AND cleared_at IS NULL RETURNING 1)
SELECT count(*) FROM cleared

-- jobs --
-- One page of the history, newest first. $1 statuses (null: all), $2 after created_at, $3 after id, $4 limit, $5 offset.
SELECT * FROM jobs
WHERE kind = 'archive' AND cleared_at IS NULL AND ($1::text[] IS NULL OR status = ANY($1))
  AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
ORDER BY created_at DESC, id DESC
LIMIT $4 OFFSET $5

-- count_jobs --
-- How many the history has. $1 statuses (null: all).
SELECT count(*) FROM jobs WHERE kind = 'archive' AND cleared_at IS NULL AND ($1::text[] IS NULL OR status = ANY($1))

-- live_jobs --
-- All that has not ended, in the order of the queue.
SELECT * FROM jobs WHERE kind = 'archive' AND status NOT IN ('completed', 'failed', 'cancelled') ORDER BY priority DESC, seq

-- some_jobs --
-- Named jobs. $1 jobs.
SELECT * FROM jobs WHERE id = ANY($1::uuid[])

-- archive_of --
-- The archive that counts, without its manifest. $1 job.
SELECT a.size, a.sha256, a.md5, a.manifest_size, a.manifest_sha256, a.attempt, a.created_at
FROM jobs j JOIN archives a ON a.job_id = j.id AND a.attempt = j.archive_attempt WHERE j.id = $1

-- verifications_of --
-- The evidence of a job. $1 job.
SELECT kind, attempt, at, evidence, voided_at FROM verifications WHERE job_id = $1 ORDER BY at, kind

-- transitions_of --
-- The states a job entered, in order. $1 job.
SELECT at, data FROM job_logs WHERE job_id = $1 AND action = 'transition' ORDER BY id

-- warnings_of --
-- What a job warned about, newest last. $1 job, $2 how many.
SELECT * FROM (
  SELECT id, message FROM job_logs WHERE job_id = $1 AND level = 'WARNING' AND action <> 'transition' ORDER BY id DESC LIMIT $2) AS w
ORDER BY id

-- transition_lines --
-- The log line of each state entered: the n-th belongs to version n. $1 jobs, $2 versions.
SELECT l.* FROM unnest($1::uuid[], $2::int[]) AS e(job_id, version)
CROSS JOIN LATERAL (
  SELECT * FROM job_logs k WHERE k.job_id = e.job_id AND k.action = 'transition' ORDER BY k.id OFFSET e.version - 1 LIMIT 1) AS l
ORDER BY l.id

-- logs_after --
-- A part of a job's log, oldest first. $1 job, $2 after this id, $3 level (null: all), $4 limit.
SELECT * FROM job_logs WHERE job_id = $1 AND id > $2 AND ($3::text IS NULL OR level = $3) ORDER BY id LIMIT $4

-- logs_last --
-- The end of a job's log, oldest first. $1 job, $2 level (null: all), $3 limit.
SELECT * FROM (
  SELECT * FROM job_logs WHERE job_id = $1 AND ($2::text IS NULL OR level = $2) ORDER BY id DESC LIMIT $3) AS l
ORDER BY id

-- count_logs --
-- How many lines a job's log has. $1 job, $2 level (null: all).
SELECT count(*) FROM job_logs WHERE job_id = $1 AND ($2::text IS NULL OR level = $2)

-- System ----------------------------------------------------------------------------------------------------------------------------

-- job_counts --
-- Archive jobs by state, hidden ones too.
SELECT status, count(*) AS n FROM jobs WHERE kind = 'archive' GROUP BY status

-- instances --
-- The processes that have shown a sign of life. $1 seconds after which one counts as gone.
SELECT *, seen_at > clock_timestamp() - make_interval(secs => $1) AS alive FROM service_instances ORDER BY role, instance

-- schema_version --
-- The newest migration that has run.
SELECT version_num FROM alembic_version
