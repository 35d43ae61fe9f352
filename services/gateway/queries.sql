-- The gateway's own statements.

-- Users -----------------------------------------------------------------------------------------------------------------------------

-- user_by_name --
-- Find a user by name, regardless of letter case. $1 name.
SELECT * FROM users WHERE lower(username) = lower($1)

-- session_user --
-- Return the user of a token while the token is valid. $1 user, $2 token id, $3 epoch.
SELECT u.* FROM users u
WHERE u.id = $1 AND u.disabled_at IS NULL AND (u.token_epoch = $3 OR u.kept_token = $2)
  AND NOT EXISTS (SELECT FROM revoked_tokens r WHERE r.jti = $2)

-- sessions_now --
-- Return the valid ones of these tokens with their current rights. Epoch -1 marks a personal token. $1 users, $2 token ids, $3 epochs.
SELECT s.jti, u.is_admin AND (s.epoch <> -1 OR t.scope = 'admin') AS is_admin, u.must_change_password
FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS s(sub, jti, epoch)
JOIN users u ON u.id = s.sub AND u.disabled_at IS NULL
LEFT JOIN api_tokens t ON t.id = s.jti AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())
WHERE CASE WHEN s.epoch = -1 THEN t.id IS NOT NULL
  ELSE (u.token_epoch = s.epoch OR u.kept_token = s.jti) AND NOT EXISTS (SELECT FROM revoked_tokens r WHERE r.jti = s.jti) END

-- token_user --
-- Return the user of a valid personal token, and whether its last use must be recorded. $1 digest.
SELECT u.*, t.id AS token_id, t.name AS token_name, t.scope, t.expires_at,
  t.last_used_at IS NULL OR t.last_used_at < clock_timestamp() - interval '1 minute' AS is_stale
FROM api_tokens t JOIN users u ON u.id = t.user_id AND u.disabled_at IS NULL
WHERE t.digest = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())

-- token_used --
-- Record the use of a personal token. $1 token.
UPDATE api_tokens SET last_used_at = clock_timestamp() WHERE id = $1

-- login_user --
-- Find a user by name, regardless of letter case, and tell whether this user has logged in from this address. $1 name, $2 address.
SELECT u.*, EXISTS (SELECT FROM known_addresses k WHERE k.user_id = u.id AND k.address = $2) AS is_known
FROM users u WHERE lower(u.username) = lower($1)

-- know_address --
-- Record that a user has logged in from an address. $1 user, $2 address.
INSERT INTO known_addresses (user_id, address) VALUES ($1, $2)
ON CONFLICT (user_id, address) DO UPDATE SET at = clock_timestamp()

-- forget_addresses --
-- Remove addresses without a login for 90 days.
DELETE FROM known_addresses WHERE at < clock_timestamp() - interval '90 days'

-- login_counts --
-- Return the counts within the window, and the seconds until they expire. $1 keys, $2 window seconds.
SELECT key, failures, (extract(epoch FROM since - clock_timestamp()) + $2)::float8 AS seconds
FROM login_failures WHERE key = ANY($1::text[]) AND since > clock_timestamp() - make_interval(secs => $2)

-- count_logins --
-- Count a password attempt. $1 keys, sorted so that two statements cannot deadlock, $2 window seconds.
INSERT INTO login_failures AS f (key, failures, since)
SELECT k, 1, clock_timestamp() FROM unnest($1::text[]) AS k
ON CONFLICT (key) DO UPDATE SET
  failures = CASE WHEN f.since < clock_timestamp() - make_interval(secs => $2) THEN 1 ELSE f.failures + 1 END,
  since = CASE WHEN f.since < clock_timestamp() - make_interval(secs => $2) THEN clock_timestamp() ELSE f.since END

-- forgive_logins --
-- Reset a failure counter after a correct password. $1 key.
DELETE FROM login_failures WHERE key = $1

-- forget_login_failures --
-- Remove failures that no longer count.
DELETE FROM login_failures WHERE since < clock_timestamp() - interval '1 hour'

-- logged_in --
-- Record a login. $1 user.
UPDATE users SET last_login = clock_timestamp() WHERE id = $1

-- revoke --
-- Revoke a token. $1 token id, $2 when it would have expired.
INSERT INTO revoked_tokens (jti, expires_at) VALUES ($1, $2) ON CONFLICT (jti) DO NOTHING

-- forget_expired_tokens --
-- Remove revocations of expired tokens.
DELETE FROM revoked_tokens WHERE expires_at < clock_timestamp() - interval '1 hour'

-- set_password --
-- Set a new password. All logins but one end. $1 user, $2 hash, $3 hash of the checked password, $4 token that stays valid.
UPDATE users SET password_hash = $2, must_change_password = false, token_epoch = token_epoch + 1, kept_token = $4
WHERE id = $1 AND password_hash = $3 RETURNING id

-- has_users --
-- Tell whether there are users.
SELECT EXISTS (SELECT FROM users)

-- first_admin --
-- Create the first user, once. $1 hash, $2 must the password be changed.
INSERT INTO users (username, password_hash, is_admin, must_change_password)
SELECT 'admin', $1, true, $2 WHERE NOT EXISTS (SELECT FROM users)
ON CONFLICT (lower(username)) DO NOTHING RETURNING id

-- lock_people --
-- Allow one change of users at a time, so that the check for the last admin is reliable.
SELECT pg_advisory_xact_lock(hashtext('people'))

-- users --
-- List all users. $1 limit (null: all), $2 offset.
SELECT *, count(*) OVER () AS total FROM users ORDER BY lower(username) LIMIT $1 OFFSET $2

-- user_ids --
-- List the ids of all users.
SELECT id FROM users

-- user --
-- Return one user. $1 id.
SELECT * FROM users WHERE id = $1

-- count_users --
-- Count the users.
SELECT count(*) FROM users

-- other_admins --
-- Count the enabled admins other than one user. $1 that user.
SELECT count(*) FROM users WHERE is_admin AND disabled_at IS NULL AND id <> $1

-- new_user --
-- Create a user. $1 name, $2 hash, $3 admin, $4 must the password be changed, $5 quota (null: the setting).
INSERT INTO users (username, password_hash, is_admin, must_change_password, quota_bytes) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (lower(username)) DO NOTHING RETURNING *

-- change_user --
-- Change a user. null: unchanged. A new password or disabling ends every login. $1 user, $2 admin, $3 disabled, $4 hash,
-- $5 must the password be changed.
UPDATE users SET
  is_admin = coalesce($2, is_admin),
  disabled_at = CASE WHEN $3::boolean IS NULL THEN disabled_at WHEN $3 THEN coalesce(disabled_at, clock_timestamp()) END,
  password_hash = coalesce($4, password_hash),
  must_change_password = coalesce($5, must_change_password),
  token_epoch = token_epoch + CASE WHEN $3 IS TRUE OR $4::text IS NOT NULL THEN 1 ELSE 0 END,
  kept_token = CASE WHEN $3 IS TRUE OR $4::text IS NOT NULL THEN NULL ELSE kept_token END
WHERE id = $1 RETURNING *

-- set_quota --
-- Set a user's workspace quota. $1 user, $2 bytes (null: the setting).
UPDATE users SET quota_bytes = $2 WHERE id = $1 RETURNING *

-- delete_user --
-- Delete a user and the user's personal tokens. $1 user.
DELETE FROM users WHERE id = $1

-- revoke_tokens_of --
-- Revoke all personal tokens of a user. $1 user.
UPDATE api_tokens SET revoked_at = clock_timestamp() WHERE user_id = $1 AND revoked_at IS NULL

-- tokens_of --
-- List a user's personal tokens that are not revoked. $1 user.
SELECT * FROM api_tokens WHERE user_id = $1 AND revoked_at IS NULL ORDER BY created_at DESC, id

-- new_token --
-- Create a personal token. $1 user, $2 name, $3 scope, $4 digest, $5 lifetime in days (null: until revoked).
INSERT INTO api_tokens (user_id, name, scope, digest, expires_at)
VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(days => $5))
ON CONFLICT (user_id, lower(name)) WHERE revoked_at IS NULL DO NOTHING RETURNING *

-- revoke_token --
-- Revoke one personal token. $1 token, $2 owner (null: any).
UPDATE api_tokens SET revoked_at = clock_timestamp()
WHERE id = $1 AND ($2::uuid IS NULL OR user_id = $2) AND revoked_at IS NULL RETURNING *

-- Settings, audit -------------------------------------------------------------------------------------------------------------------

-- set_setting --
-- Store an admin's value of a setting. $1 name, $2 value, $3 who.
INSERT INTO runtime_settings (name, value, set_by) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET value = $2, set_by = $3, set_at = clock_timestamp()

-- reset_settings --
-- Reset settings to the environment's values. $1 names.
DELETE FROM runtime_settings WHERE name = ANY($1::text[])

-- lock_settings --
-- Allow one change of settings at a time.
SELECT pg_advisory_xact_lock(hashtext('runtime_settings'))

-- note_audit --
-- Write one audit entry. $1 name, $2 user, $3 via, $4 address, $5 request id, $6 action, $7 target, $8 message, $9 data.
INSERT INTO audit (actor, actor_id, via, address, request_id, action, target, message, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- audit --
-- Return one page, newest first. $1 actor, $2 actions, $3 target, $4 address, $5 text in the message, $6 from, $7 before, $8 below this id,
-- $9 limit, $10 offset.
SELECT * FROM audit
WHERE ($1::text IS NULL OR lower(actor) = lower($1)) AND ($2::text[] IS NULL OR action = ANY($2))
  AND ($3::text IS NULL OR target = $3) AND ($4::text IS NULL OR address = $4)
  AND ($5::text IS NULL OR position(lower($5) IN lower(message)) > 0)
  AND ($6::timestamptz IS NULL OR at >= $6) AND ($7::timestamptz IS NULL OR at < $7) AND ($8::bigint IS NULL OR id < $8)
ORDER BY id DESC LIMIT $9 OFFSET $10

-- count_audit --
-- Count the matches. $1 to $7 as in `audit`.
SELECT count(*) FROM audit
WHERE ($1::text IS NULL OR lower(actor) = lower($1)) AND ($2::text[] IS NULL OR action = ANY($2))
  AND ($3::text IS NULL OR target = $3) AND ($4::text IS NULL OR address = $4)
  AND ($5::text IS NULL OR position(lower($5) IN lower(message)) > 0)
  AND ($6::timestamptz IS NULL OR at >= $6) AND ($7::timestamptz IS NULL OR at < $7)

-- Folders ---------------------------------------------------------------------------------------------------------------------------

-- throughput --
-- Return the speed of the last 20 archive jobs, from the first copy to the last proof, and the bytes that running jobs will still write.
SELECT sum(size) / nullif(sum(seconds), 0) AS bytes_per_second, count(*)::int AS jobs,
  (SELECT coalesce(sum(bytes - least(written, bytes)), 0)::bigint FROM reservations) AS unwritten
FROM (
  SELECT folder_size_bytes::float8 AS size, extract(epoch FROM completed_at - started_at)::float8 AS seconds
  FROM jobs WHERE kind = 'archive' AND status = 'completed' AND folder_size_bytes > 0 AND completed_at > started_at
  ORDER BY completed_at DESC LIMIT 20) AS last

-- folders --
-- List the folders of the last scan. $1 with archived, $2 with ignored, $3 text in name or path, $4 level 1, $5 level 2, $6 sort,
-- $7 descending, $8 only folders that can be archived now, $9 limit (null: all), $10 offset.
SELECT f.*, j.id AS job_id, j.status AS job_status, count(*) OVER () AS total
FROM folders f
LEFT JOIN jobs j ON j.source_path = f.path AND j.kind = 'archive' AND j.status NOT IN ('completed', 'failed', 'cancelled')
WHERE ($1 OR NOT f.is_archived) AND ($2 OR f.ignored IS NULL OR f.is_archived)
  AND ($3::text IS NULL OR position(lower($3) IN lower(f.level1 || '/' || f.level2 || '/' || f.name)) > 0)
  AND ($4::text IS NULL OR f.level1 = $4) AND ($5::text IS NULL OR f.level2 = $5)
  AND (NOT $8 OR (j.id IS NULL AND NOT f.is_archived AND f.ignored IS NULL))
ORDER BY
  CASE $6::text WHEN 'size' THEN f.size_bytes WHEN 'files' THEN f.file_count WHEN 'modified' THEN extract(epoch FROM f.modified_at) END
    * CASE WHEN $7 THEN -1 ELSE 1 END,
  CASE WHEN $6 = 'name' AND NOT $7 THEN lower(f.name) WHEN $6 = 'path' AND NOT $7 THEN lower(f.path) END,
  CASE WHEN $6 = 'name' AND $7 THEN lower(f.name) WHEN $6 = 'path' AND $7 THEN lower(f.path) END DESC,
  f.path
LIMIT $9 OFFSET $10

-- places --
-- List the folders' values of level 1 and level 2. $1 with archived, $2 with ignored.
SELECT level1, level2, count(*) AS folder_count FROM folders
WHERE ($1 OR NOT is_archived) AND ($2 OR ignored IS NULL OR is_archived)
GROUP BY level1, level2 ORDER BY lower(level1), level1, lower(level2), level2

-- last_scan --
-- Return the newest scan.
SELECT * FROM scans ORDER BY id DESC LIMIT 1

-- Jobs ------------------------------------------------------------------------------------------------------------------------------

-- new_job --
-- Create an archive job. $1 name, $2 source, $3 device, $4 inode, $5 destination, $6 keep the source, $7 user name, $8 user, $9 bytes, $10 files.
INSERT INTO jobs (folder_name, source_path, source_device, source_inode, destination_path, keep_source, created_by, created_by_id,
  folder_size_bytes, file_count, current_operation)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'Waiting to start')
RETURNING *

-- new_workspace_job --
-- Create a workspace job other than a pack. $1 kind, $2 name, $3 path, $4 request, $5 user name, $6 user, $7 bytes, $8 files.
INSERT INTO jobs (kind, folder_name, source_path, request, keep_source, created_by, created_by_id, folder_size_bytes, file_count,
  current_operation)
VALUES ($1, $2, $3, $4, true, $5, $6, $7, $8, 'Waiting to start')
RETURNING *

-- lock_jobs_of --
-- Allow one new job of a user at a time, so that the count is exact. After `lock_quota` and `lock_space`, never before. $1 user.
SELECT pg_advisory_xact_lock(hashtext('jobs:' || $1::uuid::text))

-- count_live_jobs_of --
-- Count a user's jobs of every kind that have not ended. $1 user.
SELECT count(*) FROM jobs WHERE created_by_id = $1 AND status NOT IN ('completed', 'failed', 'cancelled')

-- keep_secret --
-- Keep the password of a request. The database deletes it when the job ends. $1 job, $2 password.
INSERT INTO job_secrets (job_id, password) VALUES ($1, $2)

-- remote_place --
-- Return the destination of new jobs.
SELECT endpoint, base_path FROM remote_places ORDER BY used_at DESC LIMIT 1

-- acquire_destination --
-- Acquire a free destination for a job. $1 key, $2 path, $3 job, $4 endpoint, $5 base path (null: the destination is not known yet).
INSERT INTO destinations (key, path, job_id, state, place)
VALUES ($1, $2, $3, 'held', (SELECT id FROM remote_places WHERE (endpoint, base_path) = ($4, $5)))
ON CONFLICT (key) DO UPDATE SET job_id = $3, path = $2, state = 'held' WHERE destinations.state = 'released'
RETURNING key

-- destination_of --
-- Return the destination that a job holds or has proven. It stays the job's during a clean-up of the job's own files. $1 job.
SELECT key, state FROM destinations WHERE job_id = $1 AND state <> 'released' ORDER BY since DESC LIMIT 1

-- keep_destination --
-- Do the same, and lock the row until this transaction ends. $1 job.
SELECT key FROM destinations WHERE job_id = $1 AND state <> 'released' FOR UPDATE

-- destination_holder --
-- Return the job that holds a destination. $1 its keys.
SELECT d.job_id, d.state, d.path, j.folder_name, j.status, j.created_by
FROM destinations d JOIN jobs j ON j.id = d.job_id WHERE d.key = ANY($1::text[]) AND d.state <> 'released'
ORDER BY d.state = 'verified' DESC LIMIT 1

-- wait_for_cleanup --
-- Let the job wait until another job's files are removed from its destination. $1 job, $2 why.
UPDATE jobs SET wait_reason = $2 WHERE id = $1 RETURNING *

-- work_elsewhere --
-- Return work that is held or pending at destinations that the settings no longer name.
SELECT * FROM work_elsewhere

-- live_job_of_source --
-- Return the live job on a folder, by its path or by its device and inode. $1 path, $2 device, $3 inode.
SELECT id, folder_name, source_path, status, created_by FROM jobs
WHERE kind = 'archive' AND status NOT IN ('completed', 'failed', 'cancelled')
  AND (source_path = $1 OR (source_device = $2 AND source_inode = $3))
LIMIT 1

-- lock_job --
-- Return a job, and lock it until this transaction ends. $1 job.
SELECT *, coalesce(lease_until >= clock_timestamp(), false) AS held FROM jobs WHERE id = $1 FOR UPDATE

-- cancel_now --
-- Cancel a job that no worker holds. $1 job, $2 who.
UPDATE jobs SET status = 'cancelled', cancel_requested_by = $2, current_operation = 'Cancelled' WHERE id = $1

-- request_cancel --
-- Ask the worker that holds a job to stop. $1 job, $2 who.
UPDATE jobs SET cancel_requested_by = $2 WHERE id = $1

-- cancel_let_go --
-- Cancel the jobs whose cancel was requested while a worker held them, once the worker has released them.
UPDATE jobs SET status = 'cancelled', current_operation = 'Cancelled'
WHERE cancel_requested_by IS NOT NULL
  AND (status = 'queued' OR (kind = 'archive' AND status IN ('compressed', 'verified')))
  AND (lease_until IS NULL OR lease_until < clock_timestamp())
RETURNING id

-- pause --
-- Pause a job. Its worker stops and releases it, and no worker claims it until it is resumed. $1 job.
UPDATE jobs SET paused = true WHERE id = $1

-- resume --
-- Resume a job. It continues like any interrupted work, and this does not count as a retry. $1 job.
UPDATE jobs SET paused = false WHERE id = $1

-- retry_job --
-- Queue a failed job again. The guard resets its retry budgets. $1 job.
UPDATE jobs SET status = 'queued', current_operation = 'Waiting to start', wait_reason = NULL, cleared_at = NULL
WHERE id = $1 AND status = 'failed' RETURNING *

-- clear_completed --
-- Hide some completed jobs from the history. Nothing is deleted. $1 requested by, $2 requested before, $3 maximum number, $4 the moment
-- of the whole clearing, which identifies it for an undo, $5 kinds.
WITH chosen AS (
  SELECT id FROM jobs
  WHERE kind = ANY($5::text[]) AND status = 'completed' AND cleared_at IS NULL
    AND ($1::text IS NULL OR lower(created_by) = lower($1)) AND ($2::timestamptz IS NULL OR created_at < $2)
  LIMIT $3 FOR UPDATE SKIP LOCKED
), cleared AS (UPDATE jobs j SET cleared_at = $4 FROM chosen c WHERE j.id = c.id RETURNING 1)
SELECT count(*) FROM cleared

-- clear_job --
-- Hide one job and its alert from the history. Nothing is deleted. $1 job, $2 the moment, which identifies it for an undo.
UPDATE jobs SET cleared_at = $2 WHERE id = $1

-- restore_cleared --
-- Undo one clearing. $1 its moment, $2 maximum number, $3 owner of the workspace jobs (null: all).
WITH chosen AS (
  SELECT id FROM jobs WHERE cleared_at = $1 AND ($3::uuid IS NULL OR kind = 'archive' OR created_by_id = $3)
  LIMIT $2 FOR UPDATE SKIP LOCKED
), shown AS (UPDATE jobs j SET cleared_at = NULL FROM chosen c WHERE j.id = c.id RETURNING 1)
SELECT count(*) FROM shown

-- history --
-- Return one page, newest first. Each kind adds its newest jobs from an index. Only the page's own rows are read completely.
-- $1 kinds, $2 states, $3 requested by, $4 owner of the workspace jobs (null: all), $5 words, $6 use the trigram index (for rare words;
-- otherwise rows are walked), $7 from, $8 before, $9 ended from, $10 ended before, $11 after created_at, $12 after id, $13 limit,
-- $14 offset. (CASE, because with OR the planner expects few matches and sorts the table.)
SELECT j.*, page.created_at AS place FROM (
  SELECT p.id, p.created_at FROM unnest($1::text[]) AS k(kind) CROSS JOIN LATERAL (
    SELECT h.id, h.created_at FROM jobs h
    WHERE h.kind = k.kind AND h.cleared_at IS NULL AND ($2::text[] IS NULL OR h.status = ANY($2))
      AND ($3::text IS NULL OR lower(h.created_by) = lower($3)) AND ($4::uuid IS NULL OR CASE k.kind WHEN 'archive' THEN true ELSE h.created_by_id = $4 END)
      AND ($5::text IS NULL OR position(lower($5) IN h.words) > 0) AND (NOT $6 OR pieces(h.words) @> pieces(lower($5)))
      AND ($7::timestamptz IS NULL OR h.created_at >= $7) AND ($8::timestamptz IS NULL OR h.created_at < $8)
      AND ($9::timestamptz IS NULL OR h.completed_at >= $9) AND ($10::timestamptz IS NULL OR h.completed_at < $10)
      AND ($12::uuid IS NULL OR (h.created_at, h.id) < ($11::timestamptz, $12))
    ORDER BY h.created_at DESC, h.id DESC LIMIT $13::bigint + $14::bigint) AS p
  ORDER BY p.created_at DESC, p.id DESC LIMIT $13 OFFSET $14) AS page
JOIN jobs j ON j.id = page.id
ORDER BY page.created_at DESC, page.id DESC

-- history_by_state --
-- Work like `history`, but each state of each kind adds its newest jobs. $1 to $14 as there, $2 not null.
SELECT j.*, page.created_at AS place FROM (
  SELECT p.id, p.created_at FROM unnest($1::text[]) AS k(kind) CROSS JOIN unnest($2::text[]) AS s(status) CROSS JOIN LATERAL (
    SELECT h.id, h.created_at FROM jobs h
    WHERE h.kind = k.kind AND h.status = s.status AND h.cleared_at IS NULL
      AND ($3::text IS NULL OR lower(h.created_by) = lower($3)) AND ($4::uuid IS NULL OR CASE k.kind WHEN 'archive' THEN true ELSE h.created_by_id = $4 END)
      AND ($5::text IS NULL OR position(lower($5) IN h.words) > 0) AND (NOT $6 OR pieces(h.words) @> pieces(lower($5)))
      AND ($7::timestamptz IS NULL OR h.created_at >= $7) AND ($8::timestamptz IS NULL OR h.created_at < $8)
      AND ($9::timestamptz IS NULL OR h.completed_at >= $9) AND ($10::timestamptz IS NULL OR h.completed_at < $10)
      AND ($12::uuid IS NULL OR (h.created_at, h.id) < ($11::timestamptz, $12))
    ORDER BY h.created_at DESC, h.id DESC LIMIT $13::bigint + $14::bigint) AS p
  ORDER BY p.created_at DESC, p.id DESC LIMIT $13 OFFSET $14) AS page
JOIN jobs j ON j.id = page.id
ORDER BY page.created_at DESC, page.id DESC

-- history_desc_@key --
-- List ended jobs, largest or newest first. Otherwise like `history_by_state`. Migration 0019 has the indexes. $2 not null, $11 after this key.
-- @key: ended = h.completed_at; name = left(lower(h.folder_name), 200); size = coalesce(h.folder_size_bytes, -1); duration = coalesce(h.completed_at - h.started_at, interval '-1 s')
SELECT j.*, page.place FROM (
  SELECT p.id, p.place FROM unnest($1::text[]) AS k(kind) CROSS JOIN unnest($2::text[]) AS s(status) CROSS JOIN LATERAL (
    SELECT h.id, @key AS place FROM jobs h
    WHERE h.kind = k.kind AND h.status = s.status AND h.cleared_at IS NULL AND h.completed_at IS NOT NULL
      AND ($3::text IS NULL OR lower(h.created_by) = lower($3)) AND ($4::uuid IS NULL OR CASE k.kind WHEN 'archive' THEN true ELSE h.created_by_id = $4 END)
      AND ($5::text IS NULL OR position(lower($5) IN h.words) > 0) AND (NOT $6 OR pieces(h.words) @> pieces(lower($5)))
      AND ($7::timestamptz IS NULL OR h.created_at >= $7) AND ($8::timestamptz IS NULL OR h.created_at < $8)
      AND ($9::timestamptz IS NULL OR h.completed_at >= $9) AND ($10::timestamptz IS NULL OR h.completed_at < $10)
      AND ($12::uuid IS NULL OR (@key, h.id) < ($11, $12))
    ORDER BY @key DESC, h.id DESC LIMIT $13::bigint + $14::bigint) AS p
  ORDER BY p.place DESC, p.id DESC LIMIT $13 OFFSET $14) AS page
JOIN jobs j ON j.id = page.id
ORDER BY page.place DESC, page.id DESC

-- history_asc_@key --
-- List ended jobs, smallest or oldest first. Otherwise like `history_by_state`. Migration 0019 has the indexes. $2 not null, $11 after this key.
-- @key: ended = h.completed_at; name = left(lower(h.folder_name), 200); size = coalesce(h.folder_size_bytes, -1); duration = coalesce(h.completed_at - h.started_at, interval '-1 s')
SELECT j.*, page.place FROM (
  SELECT p.id, p.place FROM unnest($1::text[]) AS k(kind) CROSS JOIN unnest($2::text[]) AS s(status) CROSS JOIN LATERAL (
    SELECT h.id, @key AS place FROM jobs h
    WHERE h.kind = k.kind AND h.status = s.status AND h.cleared_at IS NULL AND h.completed_at IS NOT NULL
      AND ($3::text IS NULL OR lower(h.created_by) = lower($3)) AND ($4::uuid IS NULL OR CASE k.kind WHEN 'archive' THEN true ELSE h.created_by_id = $4 END)
      AND ($5::text IS NULL OR position(lower($5) IN h.words) > 0) AND (NOT $6 OR pieces(h.words) @> pieces(lower($5)))
      AND ($7::timestamptz IS NULL OR h.created_at >= $7) AND ($8::timestamptz IS NULL OR h.created_at < $8)
      AND ($9::timestamptz IS NULL OR h.completed_at >= $9) AND ($10::timestamptz IS NULL OR h.completed_at < $10)
      AND ($12::uuid IS NULL OR (@key, h.id) > ($11, $12))
    ORDER BY @key ASC, h.id ASC LIMIT $13::bigint + $14::bigint) AS p
  ORDER BY p.place ASC, p.id ASC LIMIT $13 OFFSET $14) AS page
JOIN jobs j ON j.id = page.id
ORDER BY page.place ASC, page.id ASC

-- count_history --
-- Count the matches row by row. $1 to $10 as in `history`.
SELECT count(*) FROM jobs h
WHERE h.kind = ANY($1::text[]) AND h.cleared_at IS NULL AND ($2::text[] IS NULL OR h.status = ANY($2))
  AND ($3::text IS NULL OR lower(h.created_by) = lower($3)) AND ($4::uuid IS NULL OR h.kind = 'archive' OR h.created_by_id = $4)
  AND ($5::text IS NULL OR position(lower($5) IN h.words) > 0) AND (NOT $6 OR pieces(h.words) @> pieces(lower($5)))
  AND ($7::timestamptz IS NULL OR h.created_at >= $7) AND ($8::timestamptz IS NULL OR h.created_at < $8)
  AND ($9::timestamptz IS NULL OR h.completed_at >= $9) AND ($10::timestamptz IS NULL OR h.completed_at < $10)

-- words_lately --
-- Count the newest archive jobs that contain these words. $1 words, $2 how many jobs to check.
SELECT count(*) FROM (
  SELECT words FROM jobs WHERE kind = 'archive' AND cleared_at IS NULL ORDER BY created_at DESC, id DESC LIMIT $2) AS newest
WHERE position(lower($1) IN words) > 0

-- total_history --
-- Return the number of matches without words and dates, from the running totals. $1 to $4 as in `history`.
SELECT coalesce(sum(n), 0)::bigint FROM job_totals
WHERE kind = ANY($1::text[]) AND NOT cleared AND ($2::text[] IS NULL OR status = ANY($2))
  AND ($3::text IS NULL OR creator = lower($3)) AND ($4::uuid IS NULL OR kind = 'archive' OR owner = $4)

-- fold_totals --
-- Fold the running totals, so that few rows must be summed.
SELECT fold_job_totals()

-- live_jobs --
-- List all archive jobs that have not ended, in the queue's order.
SELECT * FROM jobs WHERE kind = 'archive' AND status NOT IN ('completed', 'failed', 'cancelled') ORDER BY priority DESC, seq

-- waiting --
-- List the waiting archive jobs in the queue's order, and lock them until this transaction ends.
SELECT id, priority, seq FROM jobs WHERE kind = 'archive' AND status = 'queued' ORDER BY priority DESC, seq FOR UPDATE

-- set_priorities --
-- Set the priorities of jobs. $1 jobs, $2 their priorities.
UPDATE jobs j SET priority = n.priority FROM unnest($1::uuid[], $2::integer[]) AS n(id, priority) WHERE j.id = n.id

-- lock_order --
-- Allow one change of the queue's order at a time.
SELECT pg_advisory_xact_lock(hashtext('queue_order'))

-- some_jobs --
-- Return several jobs by id. $1 jobs.
SELECT * FROM jobs WHERE id = ANY($1::uuid[])

-- archive_of --
-- Return the job's valid archive, without its manifest. $1 job.
SELECT a.size, a.sha256, a.md5, a.manifest_size, a.manifest_sha256, a.attempt, a.created_at
FROM jobs j JOIN archives a ON a.job_id = j.id AND a.attempt = j.archive_attempt WHERE j.id = $1

-- verifications_of --
-- Return the evidence of a job. $1 job.
SELECT kind, attempt, at, evidence, voided_at FROM verifications WHERE job_id = $1 ORDER BY at, kind

-- milestones_of --
-- Return the states that a job entered, its retries and its pre-flight findings, in order. $1 job.
SELECT at, level, action, message, data FROM job_logs
WHERE job_id = $1 AND action IN ('transition', 'retry', 'retry_requested', 'preflight') ORDER BY id

-- warnings_of --
-- Return a job's warnings, newest last. $1 job, $2 how many.
SELECT * FROM (
  SELECT id, message FROM job_logs WHERE job_id = $1 AND level = 'WARNING' AND action <> 'transition' ORDER BY id DESC LIMIT $2) AS w
ORDER BY id

-- transition_lines --
-- Return the log line of each state entered. The n-th line belongs to version n. $1 jobs, $2 versions.
SELECT l.* FROM unnest($1::uuid[], $2::int[]) AS e(job_id, version)
CROSS JOIN LATERAL (
  SELECT * FROM job_logs k WHERE k.job_id = e.job_id AND k.action = 'transition' ORDER BY k.id OFFSET e.version - 1 LIMIT 1) AS l
ORDER BY l.id

-- logs_after --
-- Return a part of a job's log, oldest first. $1 job, $2 after this id, $3 level (null: all), $4 limit.
SELECT * FROM job_logs WHERE job_id = $1 AND id > $2 AND ($3::text IS NULL OR level = $3) ORDER BY id LIMIT $4

-- logs_last --
-- Return the end of a job's log, oldest first. $1 job, $2 level (null: all), $3 limit.
SELECT * FROM (
  SELECT * FROM job_logs WHERE job_id = $1 AND ($2::text IS NULL OR level = $2) ORDER BY id DESC LIMIT $3) AS l
ORDER BY id

-- count_logs --
-- Count the lines of a job's log. $1 job, $2 level (null: all).
SELECT count(*) FROM job_logs WHERE job_id = $1 AND ($2::text IS NULL OR level = $2)

-- Live ------------------------------------------------------------------------------------------------------------------------------

-- live_versions --
-- Return all jobs of every kind that have not ended, each with a text that changes with every version of its row.
SELECT id, xmin::text || ctid::text AS row_version FROM jobs WHERE status NOT IN ('completed', 'failed', 'cancelled')

-- events_after --
-- Return events in the stream's order. $1 after this sequence, $2 user, $3 sees all kinds (admin), $4 limit.
SELECT o.stream_seq, o.payload FROM outbox o JOIN jobs j ON j.id = o.job_id
WHERE o.stream_seq > $1 AND (j.kind = 'archive' OR $3 OR j.created_by_id = $2)
ORDER BY o.stream_seq LIMIT $4

-- add_ticket --
-- Create a ticket for one live connection. $1 digest, $2 identity, $3 seconds, $4 user.
INSERT INTO ws_tickets (digest, claims, expires_at, user_id) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3), $4)

-- lock_tickets_of --
-- Allow one new ticket of a user at a time. $1 user.
SELECT pg_advisory_xact_lock(hashtext('tickets:' || $1::uuid::text))

-- count_tickets_of --
-- Count a user's tickets that are still valid. $1 user.
SELECT count(*) FROM ws_tickets WHERE user_id = $1 AND expires_at > clock_timestamp()

-- take_ticket --
-- Use a ticket. Only the first request gets it. $1 digest.
DELETE FROM ws_tickets WHERE digest = $1 AND expires_at > clock_timestamp() RETURNING claims

-- forget_expired_tickets --
-- Remove expired tickets.
DELETE FROM ws_tickets WHERE expires_at < clock_timestamp()

-- stats --
-- Return the dashboard's counts and speeds.
SELECT
  count(*) FILTER (WHERE status <> 'queued' AND NOT paused AND lease_until >= clock_timestamp()) AS active,
  count(*) FILTER (WHERE status = 'queued' AND NOT paused) AS queued,
  count(*) FILTER (WHERE paused) AS paused,
  coalesce(sum(bytes_per_second) FILTER (WHERE status = 'uploading' AND NOT paused AND lease_until >= clock_timestamp()), 0)::bigint
    AS upload_speed,
  coalesce(sum(bytes_per_second) FILTER (WHERE status NOT IN ('uploading', 'upload_verifying') AND NOT paused), 0)::bigint AS staging_speed,
  (SELECT coalesce(sum(n), 0)::bigint FROM job_totals WHERE kind = 'archive' AND status = 'completed') AS uploads,
  (SELECT count(*) FROM jobs WHERE fetched_at IS NOT NULL) AS downloads,
  (SELECT coalesce(sum(n), 0)::bigint FROM job_totals WHERE status = 'failed' AND NOT cleared) AS failed
FROM jobs WHERE status NOT IN ('completed', 'failed', 'cancelled')

-- System ----------------------------------------------------------------------------------------------------------------------------

-- reserved_space --
-- Return the bytes that jobs and uploads will still write to the storage, on all its file systems.
SELECT ((SELECT coalesce(sum(bytes - least(written, bytes)), 0) FROM reservations)
  + (SELECT coalesce(sum(total_bytes - least(received_bytes, total_bytes)), 0) FROM uploads))::bigint AS unwritten

-- job_counts --
-- Count archive jobs by state, including hidden ones.
SELECT status, sum(n)::bigint AS n FROM job_totals WHERE kind = 'archive' GROUP BY status

-- instances --
-- Return the processes with a heartbeat within the last day. $1 seconds after which a process counts as gone.
SELECT *, seen_at > clock_timestamp() - make_interval(secs => $1) AS alive FROM service_instances
WHERE seen_at > clock_timestamp() - interval '1 day' ORDER BY role, instance

-- job_states --
-- Count jobs by kind and state.
SELECT kind, status, sum(n)::bigint AS n FROM job_totals GROUP BY kind, status

-- waits --
-- Return the age of the oldest queued job, and the numbers of paused jobs and pending clean-ups.
SELECT
  (SELECT extract(epoch FROM clock_timestamp() - min(created_at))::float8 FROM jobs WHERE status = 'queued' AND NOT paused) AS queue_age,
  (SELECT count(*) FROM jobs WHERE paused AND status NOT IN ('completed', 'failed', 'cancelled')) AS paused,
  (SELECT count(*) FROM cleanups) AS cleanups

-- leases --
-- Return each held job with its holder and the end of its lease.
SELECT lease_owner, id, folder_name, status, lease_until FROM jobs
WHERE status NOT IN ('completed', 'failed', 'cancelled') AND lease_until >= clock_timestamp() ORDER BY seq

-- relay_lag --
-- Return the number of events that the stream does not have yet, and the age of the oldest in seconds.
SELECT count(*) AS waiting, extract(epoch FROM clock_timestamp() - min((payload ->> 'time')::timestamptz))::float8 AS oldest_seconds
FROM outbox WHERE stream_seq IS NULL

-- failures --
-- Return failed jobs that are neither cleared nor retried, newest first, except archive jobs whose folder a newer job has archived.
-- $1 kinds, $2 owner of the workspace jobs (null: all), $3 how many.
SELECT p.* FROM unnest($1::text[]) AS k(kind) CROSS JOIN LATERAL (
  SELECT f.* FROM jobs f
  WHERE f.kind = k.kind AND f.status = 'failed' AND f.cleared_at IS NULL
    AND ($2::uuid IS NULL OR CASE k.kind WHEN 'archive' THEN true ELSE f.created_by_id = $2 END)
    AND NOT EXISTS (SELECT FROM jobs n WHERE f.kind = 'archive' AND n.kind = 'archive' AND n.status = 'completed'
                    AND n.source_path = f.source_path AND n.created_at > f.created_at)
  ORDER BY f.created_at DESC, f.id DESC LIMIT $3) AS p
ORDER BY p.created_at DESC, p.id DESC LIMIT $3

-- schema_version --
-- Return the newest migration that has run.
SELECT version_num FROM alembic_version

-- Files -----------------------------------------------------------------------------------------------------------------------------

-- storage_place --
-- Return the ledger's name for the file system of a place, or null if the compressor has not reported it yet. $1 place.
SELECT filesystem FROM storage_places WHERE place = $1

-- lock_quota --
-- Allow one reservation or publication of a user at a time. $1 user.
SELECT pg_advisory_xact_lock(hashtext('quota:' || $1::uuid))

-- lock_space --
-- Allow one reservation at a time on a disk, so that two never take the same last gigabyte. After `lock_quota`, never before.
SELECT pg_advisory_xact_lock(hashtext('space'))

-- quota_of --
-- Return a user's own quota. null: the setting applies. $1 user.
SELECT quota_bytes FROM users WHERE id = $1

-- promised --
-- Return what a user's jobs and uploads have reserved and the workspace does not hold yet. $1 user.
SELECT unwritten_bytes_of($1, NULL) AS bytes, promised_entries_of($1, NULL) AS entries

-- unwritten_space --
-- Return what is reserved on a file system for all users and not written yet. $1 file system.
SELECT unwritten_bytes($1, NULL) AS bytes, promised_entries($1, NULL) AS entries

-- forget_usage --
-- Remove the usage record of a removed workspace. $1 user.
DELETE FROM workspace_usage WHERE owner_id = $1

-- share_names --
-- Keep packs from deleting their source between the check for conflicts and the change of a path. $1 user.
SELECT pg_advisory_xact_lock_shared(hashtext('names:' || $1::uuid::text))

-- lock_names --
-- Lock a user's workspace against changes of names, so that a check and the replacement are atomic. After `lock_quota`, never before. $1 user.
SELECT pg_advisory_xact_lock(hashtext('names:' || $1::uuid::text))

-- live_work_of --
-- Return a user's workspace jobs that have not ended. $1 user.
SELECT id, kind, folder_name, status, request, result FROM jobs
WHERE kind <> 'archive' AND created_by_id = $1 AND status NOT IN ('completed', 'failed', 'cancelled') ORDER BY seq

-- count_extractions --
-- Count a user's completed extractions. $1 user.
SELECT count(*) FROM jobs WHERE created_by_id = $1 AND kind = 'extract' AND status = 'completed'

-- new_pack --
-- Create a pack job. $1 name, $2 source, $3 keep the source, $4 user name, $5 user, $6 request, $7 bytes, $8 files.
INSERT INTO jobs (kind, folder_name, source_path, keep_source, created_by, created_by_id, request, folder_size_bytes, file_count,
  current_operation)
VALUES ('pack', $1, $2, $3, $4, $5, $6, $7, $8, 'Waiting to start')
RETURNING *

-- reserve_for --
-- Reserve space for a new job, in the transaction that creates it. $1 job, $2 file system, $3 bytes, $4 entries.
INSERT INTO reservations (job_id, filesystem, bytes, entries) VALUES ($1, $2, $3, $4)

-- upload_at --
-- Return the upload to a path. $1 user, $2 path.
SELECT * FROM uploads WHERE user_id = $1 AND path = $2

-- upload --
-- Return one upload. $1 id.
SELECT * FROM uploads WHERE id = $1

-- uploads_of --
-- List a user's incomplete uploads, newest first. $1 user.
SELECT * FROM uploads WHERE user_id = $1 ORDER BY touched_at DESC, id

-- new_upload --
-- Create an upload and reserve its space. $1 user, $2 path, $3 bytes, $4 file system, $5 tag.
INSERT INTO uploads (user_id, path, total_bytes, filesystem, tag) VALUES ($1, $2, $3, $4, $5) RETURNING *

-- touch_upload --
-- Record that an upload continues. $1 id, $2 bytes on the disk (null: unchanged).
UPDATE uploads SET touched_at = clock_timestamp(), received_bytes = coalesce($2, received_bytes) WHERE id = $1

-- forget_upload --
-- Remove the row of a complete or discarded upload. $1 id.
DELETE FROM uploads WHERE id = $1

-- forget_stale_uploads --
-- Remove uploads without progress. $1 hours.
DELETE FROM uploads WHERE touched_at < clock_timestamp() - make_interval(secs => $1 * 3600) RETURNING id

-- known_uploads --
-- Return the ids that belong to uploads. $1 ids.
SELECT id FROM uploads WHERE id = ANY($1::uuid[])

-- owners --
-- Return the owners of workspaces. $1 users.
SELECT o.id AS user_id, coalesce(u.username, l.username) AS username, l.left_at, u.quota_bytes, unwritten_bytes_of(o.id, NULL) AS reserved_bytes,
  promised_entries_of(o.id, NULL) AS reserved_entries
FROM unnest($1::uuid[]) AS o(id) LEFT JOIN users u ON u.id = o.id LEFT JOIN left_workspaces l ON l.user_id = o.id AND u.id IS NULL
ORDER BY l.left_at NULLS FIRST, lower(coalesce(u.username, l.username)), o.id

-- leave_workspace --
-- Record that a deleted user's workspace stays. $1 user, $2 name.
INSERT INTO left_workspaces (user_id, username) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING

-- left_workspace --
-- Return the record of a deleted user's workspace. $1 user.
SELECT * FROM left_workspaces WHERE user_id = $1

-- forget_left_workspace --
-- Remove the record of a deleted user's workspace. $1 user.
DELETE FROM left_workspaces WHERE user_id = $1

-- cancel_work_of --
-- Request cancellation of a deleted user's workspace jobs. Jobs that already delete their source continue. $1 user, $2 requested by.
UPDATE jobs SET cancel_requested_by = $2
WHERE kind <> 'archive' AND created_by_id = $1 AND status IN ('queued', 'running', 'verifying') AND cancel_requested_by IS NULL

-- Packs -----------------------------------------------------------------------------------------------------------------------------

-- packs --
-- List a user's packs that are not cleared, newest first. $1 user, $2 limit, $3 offset.
SELECT j.*, coalesce((SELECT sum(r.bytes) FROM reservations r WHERE r.job_id = j.id), 0)::bigint AS reserved FROM jobs j
WHERE j.kind = 'pack' AND j.created_by_id = $1 AND j.cleared_at IS NULL ORDER BY j.created_at DESC, j.id DESC LIMIT $2 OFFSET $3

-- count_packs --
-- Count the rows of `packs`. $1 user.
SELECT count(*) FROM jobs WHERE kind = 'pack' AND created_by_id = $1 AND cleared_at IS NULL

-- pack --
-- Return one pack. $1 job.
SELECT j.*, coalesce((SELECT sum(r.bytes) FROM reservations r WHERE r.job_id = j.id), 0)::bigint AS reserved FROM jobs j
WHERE j.kind = 'pack' AND j.id = $1

-- fetched --
-- Record the first download of a pack. $1 job.
UPDATE jobs SET fetched_at = coalesce(fetched_at, clock_timestamp()) WHERE id = $1

-- Auto-archive ----------------------------------------------------------------------------------------------------------------------

-- auto_archive --
-- Return a user's auto-archive settings. $1 user.
SELECT * FROM auto_archive WHERE user_id = $1

-- set_auto_archive --
-- Change a user's auto-archive settings, and clear the last problem. $1 user, $2 everything, $3 folders.
INSERT INTO auto_archive (user_id, everything, folders) VALUES ($1, $2, $3)
ON CONFLICT (user_id) DO UPDATE SET everything = $2, folders = $3, since = clock_timestamp(), problem = NULL, problem_at = NULL

-- drop_arrivals_elsewhere --
-- Remove arrivals in folders that are no longer selected. $1 user.
DELETE FROM arrivals r USING auto_archive a WHERE r.user_id = $1 AND a.user_id = $1 AND NOT wants_archive(a, r.path)

-- auto_archive_problem --
-- Record why no zip was created. $1 user, $2 message.
UPDATE auto_archive SET problem = $2, problem_at = clock_timestamp() WHERE user_id = $1

-- note_arrival --
-- Record that an uploaded file was published. $1 user, $2 path, $3 bytes, $4 batch.
INSERT INTO arrivals (user_id, path, size, batch)
SELECT $1, $2, $3, $4 FROM auto_archive a WHERE a.user_id = $1 AND wants_archive(a, $2)
ON CONFLICT (user_id, path) DO UPDATE SET size = $3, batch = $4, is_closed = false, arrived_at = clock_timestamp()

-- close_batch --
-- Close a batch. $1 user, $2 batch.
UPDATE arrivals SET is_closed = true WHERE user_id = $1 AND batch = $2 AND batch <> ''

-- count_arrivals --
-- Count a user's arrivals. $1 user.
SELECT count(*) FROM arrivals WHERE user_id = $1

-- due_arrivals --
-- Return complete batches. Files without a batch are complete when nothing has arrived for $1 seconds and no upload is in progress.
SELECT r.user_id, r.batch FROM arrivals r GROUP BY r.user_id, r.batch
HAVING CASE WHEN r.batch <> '' THEN bool_and(r.is_closed) ELSE
  max(r.arrived_at) < clock_timestamp() - make_interval(secs => $1) AND NOT EXISTS (
    SELECT FROM uploads u JOIN auto_archive a ON a.user_id = u.user_id WHERE u.user_id = r.user_id AND wants_archive(a, u.path)) END

-- take_arrivals --
-- Take the arrivals of a batch. Only the gateway that gets the rows requests their zip. $1 user, $2 batch.
DELETE FROM arrivals WHERE user_id = $1 AND batch = $2 RETURNING path, size

-- forget_stale_arrivals --
-- Remove batches that were never closed. $1 hours.
WITH gone AS (
  DELETE FROM arrivals WHERE (user_id, batch) IN (
    SELECT user_id, batch FROM arrivals WHERE batch <> '' GROUP BY user_id, batch
    HAVING max(arrived_at) < clock_timestamp() - make_interval(secs => $1 * 3600)) RETURNING user_id, batch)
SELECT user_id, batch, count(*) AS files FROM gone GROUP BY user_id, batch

-- due_extractions --
-- Return successful extractions into folders whose arrivals are to be archived.
SELECT j.id, j.created_by_id AS user_id FROM auto_archive a JOIN jobs j ON j.created_by_id = a.user_id
WHERE (a.everything OR cardinality(a.folders) > 0) AND j.kind = 'extract' AND j.status = 'completed' AND j.completed_at > a.since
  AND wants_archive(a, (j.request->>'destination') || '/') AND NOT EXISTS (SELECT FROM extractions_seen s WHERE s.job_id = j.id)

-- see_extraction --
-- Mark an extraction as seen. Only the gateway that inserts the row requests the zip. $1 job.
INSERT INTO extractions_seen (job_id) VALUES ($1) ON CONFLICT DO NOTHING

-- extraction --
-- Return an extraction, and whether its archive is a zip that was created automatically. $1 job.
SELECT j.request, j.result, EXISTS (
  SELECT FROM jobs c WHERE c.created_by_id = j.created_by_id AND c.kind = 'compress' AND c.status = 'completed'
    AND (c.request->>'auto')::boolean AND c.result->>'output_path' = j.request->>'path' AND j.request->>'root' = 'workspace') AS was_auto
FROM jobs j WHERE j.id = $1
