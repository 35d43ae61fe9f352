-- The statements that only the compressor uses.

-- nas_sentinel --
-- The id of the NAS that belongs at a base. $1 base path.
SELECT sentinel::text FROM nas_bases WHERE path = $1

-- evidence --
-- The attempt that proves this job's archive; null while none does. $1 job.
SELECT complete_evidence($1)

-- archives_of --
-- The archives that earlier attempts made, newest first. $1 job.
SELECT attempt, archive_path, staging, size, sha256, manifest_size, manifest_sha256 FROM archives WHERE job_id = $1 ORDER BY attempt DESC

-- use_archive --
-- Set the archive that counts from now on. $1 job, $2 its attempt, $3 worker's attempt, $4 its current
-- path, $5 staging (null: a workspace).
UPDATE jobs j SET archive_attempt = a.attempt, archive_path = $4, archive_size_bytes = a.size, staging = $5
FROM archives a WHERE j.id = $1 AND j.attempt = $3 AND a.job_id = j.id AND a.attempt = $2

-- record_archive --
-- Record a tested archive and its sidecar. manifest: the packed sidecar. staging: null in a workspace.
INSERT INTO archives (job_id, attempt, archive_path, size, sha256, md5, manifest_size, manifest_sha256, manifest_md5, manifest,
  file_count, total_bytes, staging)
VALUES (:job_id, :attempt, :archive_path, :size, :sha256, :md5, :manifest_size, :manifest_sha256, :manifest_md5, :manifest,
  :file_count, :total_bytes, :staging)

-- record_folder --
-- Record the measured size of the folder. $1 job, $2 attempt, $3 bytes, $4 files.
UPDATE jobs SET folder_size_bytes = $3, file_count = $4 WHERE id = $1 AND attempt = $2

-- work_on_staging --
-- Record where the job's files are from now on. $1 job, $2 attempt, $3 staging.
UPDATE jobs SET staging = $3 WHERE id = $1 AND attempt = $2

-- waits_for_space --
-- Record since when a job lacks space; the first refusal counts. $1 job, $2 attempt.
UPDATE jobs SET waiting_for_space_since = coalesce(waiting_for_space_since, clock_timestamp()) WHERE id = $1 AND attempt = $2

-- lock_ledger --
-- Allow one reservation at a time, so that two jobs never both take the last gigabyte.
SELECT pg_advisory_xact_lock(hashtext('space'))

-- unwritten --
-- What other jobs and uploads reserved and have not written yet. $1 file system, $2 job.
SELECT unwritten_bytes($1, $2) AS bytes, promised_entries($1, $2) AS entries

-- reserve --
-- Put a job's need into the ledger. $1 job, $2 file system, $3 bytes, $4 written already, $5 entries.
INSERT INTO reservations (job_id, filesystem, bytes, written, entries) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (job_id, filesystem) DO UPDATE SET bytes = EXCLUDED.bytes, written = EXCLUDED.written, entries = EXCLUDED.entries

-- written --
-- Record how much of a reservation is on the disk. $1 job, $2 file system, $3 bytes.
UPDATE reservations SET written = $3 WHERE job_id = $1 AND filesystem = $2

-- release_space --
-- Release the reservation: the files are gone. $1 job.
DELETE FROM reservations WHERE job_id = $1

-- release_idle_space --
-- Release the reservation of a job that ended, or that waits without a worker: it has no files. $1 job, $2 its last attempt. Run
-- it under `lock_ledger`: a new attempt may be reserving.
DELETE FROM reservations r USING jobs j
WHERE j.id = $1 AND r.job_id = j.id AND j.attempt = $2 AND j.status IN ('queued', 'completed', 'failed', 'cancelled')
  AND (j.lease_until IS NULL OR j.lease_until < clock_timestamp())

-- log_text --
-- A job's log as text. $1 job.
SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' ' || level || ' ' || message FROM job_logs WHERE job_id = $1 ORDER BY id

-- endings --
-- Which of these jobs have ended, how, and how many days ago; jobs that still owe a clean-up are left out. $1 jobs.
SELECT id, status, attempt, extract(epoch FROM clock_timestamp() - completed_at)::float8 / 86400 AS days_ago FROM jobs
WHERE id = ANY($1::uuid[]) AND status IN ('completed', 'failed', 'cancelled')
  AND NOT EXISTS (SELECT FROM cleanups k WHERE k.job_id = jobs.id)

-- idle --
-- Which of these jobs wait in the queue without a worker: nothing up to their last attempt is needed. $1 jobs.
SELECT id, attempt FROM jobs
WHERE id = ANY($1::uuid[]) AND status = 'queued' AND (lease_until IS NULL OR lease_until < clock_timestamp())
  AND NOT EXISTS (SELECT FROM cleanups k WHERE k.job_id = jobs.id)

-- Workspace jobs --------------------------------------------------------------------------------------------------------------------

-- place_of --
-- Tell the gateway which file system a directory is on. $1 directory, $2 its name in the ledger.
INSERT INTO storage_places (place, filesystem) VALUES ($1, $2) ON CONFLICT (place) DO UPDATE SET filesystem = EXCLUDED.filesystem

-- lock_quota --
-- Allow one reservation or publication of a user at a time. $1 user.
SELECT pg_advisory_xact_lock(hashtext('quota:' || $1::uuid::text))

-- reserved --
-- What a job has reserved. $1 job.
SELECT coalesce(sum(bytes), 0)::bigint AS bytes, coalesce(sum(entries), 0)::bigint AS entries FROM reservations WHERE job_id = $1

-- quota_of --
-- A user's own quota; null: the setting applies. $1 user.
SELECT quota_bytes FROM users WHERE id = $1

-- promised_to --
-- What a user's other jobs and uploads will still add. $1 user, $2 job that does not count.
SELECT unwritten_bytes_of($1, $2) AS bytes, promised_entries_of($1, $2) AS entries

-- secret --
-- The password that came with a request. $1 job.
SELECT password FROM job_secrets WHERE job_id = $1

-- lock_names --
-- Allow one choice of a name in a workspace at a time. $1 user.
SELECT pg_advisory_xact_lock(hashtext('names:' || $1::uuid::text))

-- names_in_use --
-- Where archives of a user's live jobs are about to be, below the workspace (older rows: absolute). $1 user, $2 job that does not
-- count.
SELECT a.archive_path FROM publications p JOIN archives a ON a.job_id = p.job_id JOIN jobs j ON j.id = p.job_id
WHERE j.created_by_id = $1 AND p.job_id <> $2

-- archive_of_attempt --
-- What one attempt recorded. $1 job, $2 attempt.
SELECT * FROM archives WHERE job_id = $1 AND attempt = $2

-- plan_publication --
-- Record the plan before the first rename. $1 job, $2 attempt whose directory holds the pieces, $3 plan.
INSERT INTO publications (job_id, attempt, plan) VALUES ($1, $2, $3)
ON CONFLICT (job_id) DO UPDATE SET attempt = EXCLUDED.attempt, plan = EXCLUDED.plan, at = clock_timestamp()

-- publication --
-- What a job is publishing. $1 job.
SELECT attempt, plan FROM publications WHERE job_id = $1

-- forget_publication --
-- Forget the plan: all of it is published, or all of it is taken back. $1 job.
DELETE FROM publications WHERE job_id = $1

-- forget_attempt_of --
-- Forget the plan of one attempt: all of it is taken back. $1 job, $2 attempt.
DELETE FROM publications WHERE job_id = $1 AND attempt = $2

-- record_result --
-- Record the result of a workspace job. $1 job, $2 attempt, $3 result.
UPDATE jobs SET result = $3 WHERE id = $1 AND attempt = $2

-- packed --
-- The archive whose source is to be deleted, with its manifest. $1 job.
SELECT a.* FROM jobs j JOIN archives a ON a.job_id = j.id AND a.attempt = j.archive_attempt WHERE j.id = $1

-- outlived_packs --
-- Finished packs that kept their source, are older than the retention, and still exist. only_copy: another pack of this user has
-- the very same bytes and deleted its source, so the file of that name may be the other pack's. $1 days, $2 how many, $3 and $4
-- completed_at and id of the row after which to continue.
SELECT j.id, j.completed_at, j.created_by_id, a.archive_path, a.size, a.sha256, extract(epoch FROM j.completed_at)::float8 AS completed,
  EXISTS (SELECT FROM jobs o JOIN archives b ON b.job_id = o.id AND b.attempt = o.archive_attempt
          WHERE o.created_by_id = j.created_by_id AND o.kind = 'pack' AND NOT o.keep_source AND b.sha256 = a.sha256) AS only_copy
FROM jobs j JOIN archives a ON a.job_id = j.id AND a.attempt = j.archive_attempt
WHERE j.kind = 'pack' AND j.status = 'completed' AND j.keep_source AND j.expired_at IS NULL
  AND j.completed_at < clock_timestamp() - make_interval(secs => $1 * 86400)
  AND ($3::timestamptz IS NULL OR (j.completed_at, j.id) > ($3, $4::uuid))
ORDER BY j.completed_at, j.id LIMIT $2

-- expired --
-- Record that a pack was removed, or is no longer what it was. $1 job.
UPDATE jobs SET expired_at = clock_timestamp() WHERE id = $1
