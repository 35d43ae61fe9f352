-- The statements that all services share. A block begins with `-- name --` and a line that states its purpose. ":name"
-- and "$n" are parameters (`shared/infra/db.py`); a statement uses one kind of them. Times come from the database's
-- clock; no service's clock decides anything.

-- lock_claims --
-- Allow one claim at a time per lane, so that limits and order are exact. $1 lane.
SELECT pg_advisory_xact_lock(hashtext('claim:' || $1))

-- count_lane --
-- Jobs of a lane that have a worker. $1 kinds, $2 states of the lane.
SELECT count(*) FROM jobs
WHERE kind = ANY($1::text[]) AND status = ANY($2::text[]) AND NOT paused AND lease_until >= clock_timestamp()

-- cancel_unleased --
-- Cancel jobs without a worker that have a cancel request. $1 kinds, $2 states this role may cancel from, $3 this job only (null:
-- all).
UPDATE jobs SET status = 'cancelled', current_operation = 'Cancelled'
WHERE kind = ANY($1::text[]) AND status = ANY($2::text[]) AND cancel_requested_by IS NOT NULL
  AND (lease_until IS NULL OR lease_until < clock_timestamp()) AND ($3::uuid IS NULL OR id = $3)
RETURNING id

-- fail_crashed --
-- Fail jobs whose workers crashed too often without progress. An expired lease is no crash if it ended while the server was down,
-- or earlier than $4 s ago, when the server refused us: its worker may live. $1 kinds, $2 states, $3 crashes allowed, $4 seconds
-- (null: it never refused us), $5 this job only (null: all).
UPDATE jobs SET status = 'failed', current_operation = 'Failed', crash_count = crash_count + 1,
  error_code = NULL, error_message = format('Its worker crashed %s times in a row while the job was %s; see the service''s log, then retry.', crash_count + 1, status)
WHERE kind = ANY($1::text[]) AND status = ANY($2::text[]) AND NOT paused
  AND lease_owner IS NOT NULL AND lease_until < clock_timestamp() AND crash_count + 1 >= $3 AND ($5::uuid IS NULL OR id = $5)
  AND lease_until > pg_postmaster_start_time() AND ($4::float8 IS NULL OR lease_until > clock_timestamp() - make_interval(secs => $4))
RETURNING id

-- reclaim --
-- Return jobs to the state from which the lane picks them up. Their worker is silent (a crash, unless the server was away:
-- see fail_crashed) or released them (a stop, a resume). $1 kinds, $2 working states, $3 back, $4 seconds as in
-- fail_crashed, $5 this job only (null: all).
UPDATE jobs SET status = $3, lease_owner = NULL, lease_until = NULL,
  crash_count = crash_count + CASE
    WHEN lease_owner IS NOT NULL AND lease_until > pg_postmaster_start_time()
      AND ($4::float8 IS NULL OR lease_until > clock_timestamp() - make_interval(secs => $4)) THEN 1 ELSE 0 END,
  wait_reason = CASE WHEN lease_owner IS NULL THEN 'taken up again' ELSE format('%s stopped answering', lease_owner) END
WHERE kind = ANY($1::text[]) AND status = ANY($2::text[]) AND NOT paused AND (lease_until IS NULL OR lease_until < clock_timestamp())
  AND ($5::uuid IS NULL OR id = $5)
RETURNING id

-- unheld --
-- Jobs without a worker. $1 kinds, $2 states.
SELECT id FROM jobs
WHERE kind = ANY($1::text[]) AND status = ANY($2::text[]) AND (lease_until IS NULL OR lease_until < clock_timestamp())

-- claim --
-- Take the next job. Archive jobs belong to the team: priority, then age. Interrupted ones keep their age, so they come first.
-- Other jobs belong to users, who take turns: first the user with the fewest running jobs, then the user whose last job began
-- longest ago. A job whose archive is proven needs no staging. pass_hours: how long smaller jobs may overtake one that waits for
-- space (null: no such rule). floor: progress. taken_over: a state in which a lane takes over (null: none). stagings: those that
-- this process sees (null: it needs none). reliable_s: seconds as in fail_crashed.
UPDATE jobs j SET attempt = j.attempt + 1, lease_owner = :owner, lease_until = clock_timestamp() + make_interval(secs => :lease_s),
  crash_count = j.crash_count + CASE
    WHEN j.lease_owner IS NOT NULL AND j.lease_until > pg_postmaster_start_time()
      AND (:reliable_s::float8 IS NULL OR j.lease_until > clock_timestamp() - make_interval(secs => :reliable_s)) THEN 1 ELSE 0 END,
  progress_percent = :floor
WHERE j.id = (
  SELECT c.id FROM jobs c
  LEFT JOIN (
    SELECT u.id,
      (SELECT count(*) FROM jobs w WHERE w.kind = ANY(:kinds::text[]) AND w.created_by_id = u.id AND w.lease_until >= clock_timestamp()
         AND w.status NOT IN ('completed', 'failed', 'cancelled')) AS at_work,
      (SELECT max(w.started_at) FROM jobs w WHERE w.kind <> 'archive' AND w.created_by_id = u.id) AS last_turn
    FROM (SELECT DISTINCT created_by_id AS id FROM jobs
          WHERE kind = ANY(:kinds::text[]) AND kind <> 'archive' AND status = ANY(:states::text[])
            AND status NOT IN ('completed', 'failed', 'cancelled')) AS u) AS t ON t.id = c.created_by_id AND c.kind <> 'archive'
  WHERE c.kind = ANY(:kinds::text[]) AND c.status = ANY(:states::text[]) AND NOT c.paused AND c.not_before <= clock_timestamp()
    AND (c.cancel_requested_by IS NULL OR c.status = :taken_over)
    AND (c.lease_until IS NULL OR c.lease_until < clock_timestamp())
    AND NOT EXISTS (SELECT FROM cleanups k WHERE k.job_id = c.id)
    AND (c.status <> 'compressed' OR :stagings::uuid[] IS NULL OR c.staging IS NULL OR c.staging = ANY(:stagings)
         OR complete_evidence(c.id) IS NOT NULL)
    AND NOT EXISTS (
      SELECT FROM jobs h
      WHERE h.kind = ANY(:kinds::text[]) AND h.status = 'queued' AND c.status = 'queued' AND NOT h.paused AND h.id <> c.id
        AND (h.priority, -h.seq) > (c.priority, -c.seq)
        AND (c.kind = 'archive' OR h.created_by_id = c.created_by_id)
        AND h.missing_bytes IS NOT NULL              -- lacks space now: a job that waits for anything else blocks no other job
        AND h.waiting_for_space_since < clock_timestamp() - make_interval(secs => :pass_hours * 3600))
  ORDER BY (c.status = :taken_over) DESC, c.priority DESC, t.at_work NULLS FIRST, t.last_turn NULLS FIRST, c.seq
  LIMIT 1
  FOR UPDATE OF c SKIP LOCKED)
RETURNING j.*

-- next_due --
-- Seconds until something of this lane may be due without an event: a delay or a lease that ends. $1 kinds, $2 states.
SELECT extract(epoch FROM min(greatest(not_before, coalesce(lease_until, '-infinity'))) - clock_timestamp())::float8
FROM jobs WHERE kind = ANY($1::text[]) AND status = ANY($2::text[]) AND NOT paused
  AND greatest(not_before, coalesce(lease_until, '-infinity')) > clock_timestamp()

-- renew --
-- Renew the lease; returns the cancel and pause requests. $1 job, $2 attempt, $3 owner, $4 lease seconds.
UPDATE jobs SET lease_until = clock_timestamp() + make_interval(secs => $4)
WHERE id = $1 AND attempt = $2 AND lease_owner = $3
RETURNING cancel_requested_by, paused

-- release --
-- Release a job without changing its state (stop, pause, wait). delay_s, reason: null changes nothing. retries,
-- connection_retries: what the attempt spent of each budget.
UPDATE jobs SET lease_owner = NULL, lease_until = NULL,
  not_before = CASE WHEN :delay_s::float8 IS NULL THEN not_before ELSE clock_timestamp() + make_interval(secs => :delay_s) END,
  wait_reason = coalesce(:reason, wait_reason), missing_bytes = :missing_bytes,
  retry_count = retry_count + :retries, connection_retry_count = connection_retry_count + :connection_retries
WHERE id = :job_id AND attempt = :attempt
RETURNING id

-- not_a_crash --
-- The database refused the renewals of a worker that lives. Release its job, or take back the crash that was counted
-- meanwhile. $1 job, $2 attempt, $3 owner.
UPDATE jobs SET
  crash_count = CASE WHEN attempt = $2 AND lease_owner = $3 THEN crash_count ELSE greatest(crash_count - 1, 0) END,
  lease_owner = CASE WHEN attempt = $2 AND lease_owner = $3 THEN NULL ELSE lease_owner END,
  lease_until = CASE WHEN attempt = $2 AND lease_owner = $3 THEN NULL ELSE lease_until END
WHERE id = $1 AND attempt >= $2 AND completed_at IS NULL

-- transition --
-- Change a job's state. Workers have no other way. delay_s: null keeps the time before which nobody claims it. retries,
-- connection_retries: what the attempt spent of each budget.
UPDATE jobs SET status = :to, error_code = :error_code,
  lease_owner = CASE WHEN :keep_lease THEN lease_owner END, lease_until = CASE WHEN :keep_lease THEN lease_until END,
  progress_percent = :progress_percent, current_operation = :operation,
  not_before = CASE WHEN :delay_s::float8 IS NULL THEN not_before ELSE clock_timestamp() + make_interval(secs => :delay_s) END,
  wait_reason = :reason, missing_bytes = :missing_bytes, error_message = :error,
  retry_count = retry_count + :retries, connection_retry_count = connection_retry_count + :connection_retries
WHERE id = :job_id AND attempt = :attempt AND status = :was
RETURNING version

-- state_of --
-- The current state of a job, for a worker whose change matched no row. $1 job.
SELECT status, attempt FROM jobs WHERE id = $1

-- job --
-- One whole job. $1 job.
SELECT * FROM jobs WHERE id = $1

-- progress --
-- Store the progress of the running stage; it never changes the state.
UPDATE jobs SET progress_percent = :progress_percent, stage_percent = :stage_percent, current_operation = :operation,
  bytes_done = :bytes_done, bytes_total = :bytes_total, bytes_per_second = :bytes_per_second, eta_seconds = :eta_seconds, progress_at = clock_timestamp()
WHERE id = :job_id AND attempt = :attempt AND lease_owner IS NOT NULL

-- log --
-- Add one line to a job's log. $1 job, $2 level, $3 action, $4 message, $5 data.
INSERT INTO job_logs (job_id, level, action, message, data) VALUES ($1, $2, $3, $4, $5) RETURNING at

-- lock_deletion --
-- Lock a job until this transaction ends, and return how far its deletion is. $1 job.
SELECT status, attempt, first_unlink_at FROM jobs WHERE id = $1 FOR UPDATE

-- clock --
-- The clock that is the same for every machine, in nanoseconds since 1970.
SELECT (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint

-- begin_deletion --
-- Record the beginning of a deletion; an earlier one counts. From here on the job cannot fail any more. $1 job, $2 attempt.
UPDATE jobs SET first_unlink_at = coalesce(first_unlink_at, clock_timestamp()) WHERE id = $1 AND attempt = $2 RETURNING id

-- log_many --
-- Add many lines to a job's log. $1 job, $2 levels, $3 actions, $4 messages, $5 data.
INSERT INTO job_logs (job_id, level, action, message, data)
SELECT $1, level, action, message, data FROM unnest($2::text[], $3::text[], $4::text[], $5::jsonb[]) AS l (level, action, message, data)

-- record_kept --
-- Record how many source entries stayed. $1 job, $2 attempt, $3 count.
UPDATE jobs SET kept_count = $3 WHERE id = $1 AND attempt = $2

-- claim_cleanup --
-- Claim the next clean-up that this role owes. $1 role, $2 owner, $3 lease seconds, $4 stagings that this process sees (null:
-- all). Files on a staging that only another process sees are left to that process while it is there.
UPDATE cleanups c SET lease_owner = $2, lease_until = clock_timestamp() + make_interval(secs => $3), tries = c.tries + 1
WHERE (c.job_id, c.role) = (
  SELECT d.job_id, d.role FROM cleanups d
  JOIN jobs j ON j.id = d.job_id
  WHERE d.role = $1 AND d.not_before <= clock_timestamp() AND (d.lease_until IS NULL OR d.lease_until < clock_timestamp())
    AND ($4::uuid[] IS NULL OR j.staging IS NULL OR j.staging = ANY($4) OR NOT is_staging_seen(j.staging, $1))
  ORDER BY d.owed_since LIMIT 1 FOR UPDATE OF d SKIP LOCKED)
RETURNING c.job_id, c.tries

-- renew_cleanup --
-- Renew the lease of a clean-up. $1 job, $2 role, $3 owner, $4 lease seconds.
UPDATE cleanups SET lease_until = clock_timestamp() + make_interval(secs => $4)
WHERE job_id = $1 AND role = $2 AND lease_owner = $3 RETURNING job_id

-- finish_cleanup --
-- Delete a finished clean-up: nothing is owed any more. $1 job, $2 role, $3 owner.
DELETE FROM cleanups WHERE job_id = $1 AND role = $2 AND lease_owner = $3 RETURNING job_id

-- postpone_cleanup --
-- Postpone an unfinished clean-up. $1 job, $2 role, $3 owner, $4 delay seconds, $5 reason.
UPDATE cleanups SET lease_owner = NULL, lease_until = NULL, not_before = clock_timestamp() + make_interval(secs => $4), reason = $5
WHERE job_id = $1 AND role = $2 AND lease_owner = $3 RETURNING job_id

-- next_cleanup_due --
-- Seconds until a clean-up of this role may be due. $1 role.
SELECT extract(epoch FROM min(greatest(not_before, coalesce(lease_until, '-infinity'))) - clock_timestamp())::float8
FROM cleanups WHERE role = $1 AND greatest(not_before, coalesce(lease_until, '-infinity')) > clock_timestamp()

-- see_staging --
-- Record that this process sees a staging. $1 staging, $2 role, $3 instance, $4 its path.
INSERT INTO stagings (id, role, instance, path) VALUES ($1, $2, $3, $4)
ON CONFLICT (id, instance) DO UPDATE SET path = EXCLUDED.path, visible = true, seen_at = clock_timestamp()

-- lose_stagings --
-- Record that this process does not see its other stagings any more. $1 instance, $2 those that it sees.
UPDATE stagings SET visible = false WHERE instance = $1 AND visible AND id <> ALL($2::uuid[])

-- forget_stagings --
-- A process of this role sees the staging again: forget the dead processes that saw it before. $1 staging, $2 role, $3 instance.
DELETE FROM stagings s WHERE s.id = $1 AND s.role = $2 AND s.instance <> $3 AND s.seen_at < clock_timestamp() - interval '1 hour'
  AND NOT EXISTS (SELECT FROM service_instances i WHERE i.instance = s.instance)

-- tell_unseen --
-- Set the wait reason of archives that no running uploader sees, and remove it when one does.
UPDATE jobs j SET wait_reason = w.reason
FROM (SELECT c.id, unseen_staging(c.staging) AS reason FROM jobs c
      WHERE c.kind = 'archive' AND c.status = 'compressed' AND c.staging IS NOT NULL AND NOT c.paused
        AND c.status_since < clock_timestamp() - interval '10 seconds'  -- an uploader may just be starting
        AND (c.lease_until IS NULL OR c.lease_until < clock_timestamp())) AS w
WHERE j.id = w.id AND j.status = 'compressed' AND j.wait_reason IS DISTINCT FROM w.reason
  AND CASE WHEN w.reason IS NULL THEN j.wait_reason LIKE 'Waiting for staging %' ELSE complete_evidence(j.id) IS NULL END
RETURNING j.id, j.wait_reason

-- unplaced_archives --
-- Archives from before stagings had names that may still be needed.
SELECT a.job_id, a.attempt, a.archive_path FROM archives a JOIN jobs j ON j.id = a.job_id
WHERE j.kind = 'archive' AND a.staging IS NULL AND j.status NOT IN ('verified', 'deleting_source', 'completed', 'cancelled')

-- adopt_archive --
-- Record the staging of such an archive. $1 job, $2 attempt, $3 staging.
WITH adopted AS (UPDATE archives SET staging = $3 WHERE job_id = $1 AND attempt = $2 AND staging IS NULL RETURNING job_id, attempt)
UPDATE jobs j SET staging = $3 FROM adopted a WHERE j.id = a.job_id AND j.archive_attempt = a.attempt AND j.staging IS NULL

-- seen --
-- Record that this process is alive. $1 instance, $2 role, $3 version.
INSERT INTO service_instances (instance, role, version, started_at, seen_at)
VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp())
ON CONFLICT (instance) DO UPDATE SET seen_at = clock_timestamp()

-- connection_room --
-- How many connections the server gives to services, and how many service processes live.
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int AS room,
  (SELECT count(*) FROM service_instances WHERE seen_at > clock_timestamp() - interval '15 s') AS processes

-- gone --
-- Remove this process, which ends, and processes that died long ago. $1 instance.
DELETE FROM service_instances WHERE instance = $1 OR seen_at < clock_timestamp() - interval '1 day'

-- lead --
-- Become the relay; false while another process is. $1 the lock.
SELECT pg_try_advisory_lock($1)

-- outbox_todo --
-- The events that the stream does not have yet, in order. $1 how many.
SELECT id, subject, payload FROM outbox WHERE stream_seq IS NULL ORDER BY id LIMIT $1

-- outbox_sent --
-- Record that the stream has the event. $1 id, $2 sequence.
UPDATE outbox SET stream_seq = $2 WHERE id = $1

-- outbox_lost --
-- The stream lost its last events: mark them to be sent again. $1 last sequence it still has.
UPDATE outbox SET stream_seq = NULL WHERE stream_seq > $1

-- outbox_last --
-- The highest known sequence.
SELECT coalesce(max(stream_seq), 0) FROM outbox

-- outbox_in_stream --
-- Events that are known to be in the stream: those whose sequences it lacks, those before its first sequence although too young to
-- be forgotten, and which one is its last. $1 the stream's first sequence, $2 seconds after which it may forget, $3 sequences that
-- it lacks, $4 its last sequence.
SELECT count(*) FILTER (WHERE stream_seq = ANY($3::bigint[])) AS lacking,
  count(*) FILTER (WHERE stream_seq < $1 AND (payload ->> 'time')::timestamptz > clock_timestamp() - make_interval(secs => $2)) AS gone,
  max(payload ->> 'id') FILTER (WHERE stream_seq = $4) AS last_id
FROM outbox WHERE stream_seq IS NOT NULL

-- outbox_adopt --
-- Record that the stream has the event although the answer was lost. $1 event id, $2 sequence.
UPDATE outbox SET stream_seq = $2 WHERE payload ->> 'id' = $1 AND stream_seq IS NULL

-- is_migrated --
-- Whether the first tables and this role's rights exist.
SELECT to_regclass('public.service_instances') IS NOT NULL
  AND has_table_privilege(to_regclass('public.service_instances'), 'INSERT')

-- runtime_settings --
-- The settings that an admin changed.
SELECT name, value, set_by, set_at FROM runtime_settings ORDER BY name

-- ping --
-- Check that the database answers.
SELECT 1

-- little_memory --
-- Let the statements of this transaction use temporary files early.
SELECT set_config('work_mem', '64kB', true)

-- spill --
-- Write 1 MB into a temporary file. This fails if the disk is full, and leaves nothing.
SELECT count(*) FROM generate_series(1, 40000)

-- now --
-- The database's time, the only one that counts.
SELECT clock_timestamp()

-- usage_of --
-- The known usage of a workspace; no row: never measured, and nothing recorded. $1 user.
SELECT bytes, files, entries, walked_at IS NOT NULL AS is_measured FROM workspace_usage WHERE owner_id = $1

-- usage_added --
-- Record an addition, in the transaction that ends its reservation. Zeros keep walks from replacing the total until that
-- transaction ends. Returns how many walks have replaced it. $1 user, $2 bytes, $3 files, $4 entries.
INSERT INTO workspace_usage AS u (owner_id, bytes, files, entries, added_bytes, added_files, added_entries, changes)
VALUES ($1, $2::bigint, $3::bigint, $4::bigint, $2, $3, $4, 1)
ON CONFLICT (owner_id) DO UPDATE SET changes = u.changes + 1,
  bytes = u.bytes + EXCLUDED.bytes, files = u.files + EXCLUDED.files, entries = u.entries + EXCLUDED.entries,
  added_bytes = u.added_bytes + EXCLUDED.bytes, added_files = u.added_files + EXCLUDED.files, added_entries = u.added_entries + EXCLUDED.entries
RETURNING walks

-- usage_removed --
-- Record a removal. It is subtracted unless a walk has replaced the total since the removal began, because that walk may have
-- missed the removed files. The next walk is due soon. $1 user, $2 bytes, $3 files, $4 entries, $5 walks when the removal began.
UPDATE workspace_usage SET changes = changes + 1, exact = false,
  bytes = CASE WHEN walks = $5 THEN greatest(0, bytes - $2::bigint) ELSE bytes END,
  files = CASE WHEN walks = $5 THEN greatest(0, files - $3::bigint) ELSE files END,
  entries = CASE WHEN walks = $5 THEN greatest(0, entries - $4::bigint) ELSE entries END
WHERE owner_id = $1

-- usage_before --
-- What a walk must know when it begins. $1 user.
SELECT coalesce(u.changes, 0) AS changes, coalesce(u.added_bytes, 0) AS added_bytes, coalesce(u.added_files, 0) AS added_files,
  coalesce(u.added_entries, 0) AS added_entries, workspace_is_changing(o.id) AS is_changing
FROM (SELECT $1::uuid AS id) AS o LEFT JOIN workspace_usage u ON u.owner_id = o.id

-- usage_walked --
-- Replace the total by the result of a walk. Additions recorded during the walk are added to it, because the walk may have missed
-- them. So the total may be too large until the next walk, never too small. seconds: the duration of the walk. changes,
-- added_bytes, added_files, added_entries and is_changing: as `usage_before` returned them.
INSERT INTO workspace_usage AS u (owner_id, bytes, files, entries, walk_seconds, walks, walked_at, exact)
VALUES (:owner, :total_bytes::bigint, :file_count::bigint, :entries::bigint, :seconds, 1, clock_timestamp(),
  :changes::bigint = 0 AND NOT :is_changing AND NOT workspace_is_changing(:owner))
ON CONFLICT (owner_id) DO UPDATE SET walks = u.walks + 1, walked_at = EXCLUDED.walked_at, walk_seconds = EXCLUDED.walk_seconds,
  bytes = :total_bytes::bigint + u.added_bytes - :added_bytes::bigint, files = :file_count::bigint + u.added_files - :added_files::bigint,
  entries = :entries::bigint + u.added_entries - :added_entries::bigint,
  exact = u.changes = :changes::bigint AND NOT :is_changing AND NOT workspace_is_changing(:owner)

-- usage_due --
-- Workspaces that are due for a walk: first those never walked, then those with the oldest total. A slow walk is repeated rarely.
-- $1 users.
SELECT o.id FROM unnest($1::uuid[]) AS o(id) LEFT JOIN workspace_usage u ON u.owner_id = o.id
WHERE u.walked_at IS NULL OR u.walked_at < clock_timestamp()
  - make_interval(secs => CASE WHEN u.exact THEN greatest(600, 20 * u.walk_seconds) ELSE greatest(5, 5 * u.walk_seconds) END)
ORDER BY u.walked_at NULLS FIRST
