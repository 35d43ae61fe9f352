-- The statements that only the uploader uses.

-- proven --
-- The attempt whose evidence is complete; null while there is none. $1 job.
SELECT complete_evidence($1)

-- archive --
-- The archive that counts, with its sidecar's facts. $1 job.
SELECT a.attempt, a.archive_path, a.staging, a.size, a.sha256, a.md5, a.manifest_size, a.manifest_sha256, a.manifest_md5, a.total_bytes
FROM jobs j JOIN archives a ON a.job_id = j.id AND a.attempt = j.archive_attempt WHERE j.id = $1

-- sent_back --
-- How often a job went back to be archived again since a user last requested it, whether the archive was made again or found
-- again. $1 job.
SELECT count(*) FROM job_logs WHERE job_id = $1 AND action = 'transition' AND data @> '{"from": "compressed", "to": "queued"}' AND at > coalesce(
  (SELECT max(at) FROM job_logs WHERE job_id = $1 AND action = 'retry_requested'), '-infinity')

-- submissions --
-- Every stored submission id for a destination, oldest first. $1 destination key.
SELECT t.*, a.sha256 AS archive_sha256, a.manifest_sha256, p.endpoint, p.base_path, d.path,
  t.ended_at IS NULL OR t.created_at > coalesce(d.clean_since, '-infinity') AS counts
FROM globus_tasks t
JOIN destinations d ON d.key = t.destination_key
LEFT JOIN remote_places p ON p.id = d.place
LEFT JOIN archives a ON a.job_id = t.job_id AND a.attempt = t.archive_attempt
WHERE t.destination_key = $1 ORDER BY t.seq

-- store_submission --
-- Store a submission id before it is used.
INSERT INTO globus_tasks (submission_id, job_id, attempt, purpose, destination_key, archive_attempt, request)
VALUES (:submission_id, :job_id, :attempt, :purpose, :destination_key, :archive_attempt, :request)

-- store_task --
-- Store the task that Globus made from a submission. $1 id, $2 task id.
UPDATE globus_tasks SET task_id = $2, submitted_at = coalesce(submitted_at, clock_timestamp()) WHERE submission_id = $1

-- show_task --
-- Record the task that users see on the job. $1 job, $2 attempt, $3 task id.
UPDATE jobs SET globus_task_id = $3 WHERE id = $1 AND attempt = $2

-- see_task --
-- Record a task as last seen; $4: it is terminal. $1 id, $2 status, $3 document, $4 ended.
UPDATE globus_tasks SET status = $2, detail = $3, ended_at = CASE WHEN $4 THEN coalesce(ended_at, clock_timestamp()) ELSE ended_at END
WHERE submission_id = $1

-- refuse_submission --
-- Record that Globus refused the document itself: it will never become a task. $1 id, $2 because of the checksum algorithm.
UPDATE globus_tasks SET status = 'REFUSED', algorithm_refused = $2, ended_at = clock_timestamp() WHERE submission_id = $1

-- refuse_algorithm --
-- Record that a task ended because a collection does not know the checksum algorithm. $1 id.
UPDATE globus_tasks SET algorithm_refused = true WHERE submission_id = $1

-- reject_submission --
-- Record that a task's result was rejected. $1 id, $2 why.
UPDATE globus_tasks SET rejected = $2 WHERE submission_id = $1

-- logged_events --
-- Events of a task that are in the job's log already. $1 job, $2 task id.
SELECT data ->> 'code' AS code, data ->> 'time' AS time FROM job_logs
WHERE job_id = $1 AND action = 'globus_event' AND data ->> 'task_id' = $2

-- record_evidence --
-- Record one verification of the current archive. endpoint, base_path: the place that was checked.
INSERT INTO verifications (job_id, attempt, kind, archive_attempt, archive_sha256, manifest_sha256, evidence, place)
VALUES (:job_id, :attempt, :kind, :archive_attempt, :archive_sha256, :manifest_sha256, :evidence,
  (SELECT id FROM remote_places WHERE (endpoint, base_path) = (:endpoint, :base_path)))

-- destination_of --
-- What a job holds or has proven, and where. $1 job.
SELECT d.key, d.state, d.path, p.endpoint, p.base_path FROM destinations d LEFT JOIN remote_places p ON p.id = d.place
WHERE d.job_id = $1 AND d.state <> 'released' ORDER BY d.since DESC LIMIT 1

-- take_destination --
-- Take the destination for a job; returns its key, null where another job has it. $1 job, $2 endpoint, $3 base path, $4 key at
-- that place.
SELECT take_destination($1, $2, $3, $4)

-- destination_holder --
-- The job that holds a destination. $1 key.
SELECT d.job_id, d.state, j.status FROM destinations d JOIN jobs j ON j.id = d.job_id WHERE d.key = $1 AND d.state <> 'released'

-- use_place --
-- Record where new jobs go from now on. $1 endpoint, $2 base path.
INSERT INTO remote_places (endpoint, base_path, used_at) VALUES ($1, $2, clock_timestamp())
ON CONFLICT (endpoint, base_path) DO UPDATE SET used_at = clock_timestamp()

-- endpoints --
-- Every collection that was ever a destination of archives.
SELECT DISTINCT endpoint FROM remote_places

-- work_elsewhere --
-- What is held or owed at places that the settings do not name.
SELECT * FROM work_elsewhere

-- release_verified --
-- Release the destination and the evidence of an archive that is gone; false: nothing to release. $1 job.
SELECT release_destination($1)

-- begin_removal --
-- Begin a removal. From here on nothing is sent to this destination until it is empty. $1 key, $2 job, $3 attempt.
UPDATE destinations SET state = 'removing'
WHERE key = $1 AND job_id = $2 AND state IN ('held', 'removing') AND EXISTS (SELECT FROM jobs j WHERE j.id = $2 AND j.attempt = $3)
RETURNING key

-- lock_destination --
-- Lock a destination. A retry takes its destination back under this lock, so a second one sees the result of the first. $1 key.
SELECT state FROM destinations WHERE key = $1 FOR UPDATE

-- clean_destination --
-- Record that nothing of this job is at the destination: held by a live job, else free. $1 key, $2 job, $3 attempt. After the
-- lock.
UPDATE destinations SET clean_since = clock_timestamp(), state = CASE
  WHEN (SELECT j.status FROM jobs j WHERE j.id = $2) IN ('completed', 'failed', 'cancelled') THEN 'released' ELSE 'held' END
WHERE key = $1 AND job_id = $2 AND state IN ('held', 'removing') AND EXISTS (SELECT FROM jobs j WHERE j.id = $2 AND j.attempt = $3)
RETURNING state

-- paused_at_globus --
-- Paused jobs without a worker whose transfer may still run.
SELECT DISTINCT t.destination_key, t.job_id FROM globus_tasks t JOIN jobs j ON j.id = t.job_id
WHERE j.paused AND t.ended_at IS NULL AND t.purpose <> 'removal' AND (j.lease_until IS NULL OR j.lease_until < clock_timestamp())

-- release_space --
-- Release the reservation: the files are gone. $1 job.
DELETE FROM reservations WHERE job_id = $1
