-- The statements that only the scanner uses.

-- nas_sentinel --
-- The id of the NAS that belongs at a base. $1 base path.
SELECT sentinel::text FROM nas_bases WHERE path = $1

-- remember_nas --
-- Record that this NAS belongs at this base. $1 base path, $2 its id.
INSERT INTO nas_bases (path, sentinel) VALUES ($1, $2::text::uuid)
ON CONFLICT (path) DO UPDATE SET sentinel = EXCLUDED.sentinel, adopted_at = now()

-- any_live_job --
-- Whether any job is live. Another NAS may be adopted only while no job depends on the known one.
SELECT EXISTS (SELECT FROM jobs WHERE kind = 'archive' AND status NOT IN ('completed', 'failed', 'cancelled'))

-- record_scan --
-- Record a scan that has ended. $1 base, $2 seconds it took, $3 folders, $4 what could not be read.
INSERT INTO scans (base_path, started_at, finished_at, folder_count, unreadable)
VALUES ($1, clock_timestamp() - make_interval(secs => $2), clock_timestamp(), $3, $4)
RETURNING id, finished_at

-- record_folders --
-- Record the folders that a scan saw, as arrays: one statement for any number of folders. Rows seen after `newer_than` are kept.
INSERT INTO folders (path, name, level1, level2, size_bytes, file_count, modified_at, is_archived, ignored, unreadable, scanned_at)
SELECT path, name, level1, level2, size_bytes, file_count, to_timestamp(modified_at), is_archived, ignored, unreadable, :seen_at
FROM unnest(:paths::text[], :names::text[], :level1s::text[], :level2s::text[], :sizes::bigint[], :file_counts::bigint[],
  :modified::float8[], :archived::boolean[], :ignored::text[], :unreadable::text[]) AS seen (path, name, level1, level2, size_bytes, file_count, modified_at, is_archived, ignored, unreadable)
ON CONFLICT (path) DO UPDATE SET size_bytes = EXCLUDED.size_bytes, file_count = EXCLUDED.file_count,
  modified_at = EXCLUDED.modified_at, is_archived = EXCLUDED.is_archived, ignored = EXCLUDED.ignored,
  unreadable = EXCLUDED.unreadable, scanned_at = EXCLUDED.scanned_at
WHERE folders.scanned_at <= :newer_than

-- forget_folders --
-- Remove folders that a whole scan did not see any more. $1 when it began.
DELETE FROM folders WHERE scanned_at < $1

-- forget_folder --
-- Remove one folder that is gone. $1 path.
DELETE FROM folders WHERE path = $1

-- folder --
-- One folder as last seen. $1 path.
SELECT size_bytes, file_count FROM folders WHERE path = $1

-- proof --
-- The evidence that permits the deletion: the manifest, the archive's facts and the age of the evidence. $1 job.
SELECT a.manifest, v.manifest_sha256, a.size, a.sha256, a.file_count, v.at AS verified_at,
  extract(epoch FROM clock_timestamp() - v.oldest)::float8 AS age_s
FROM jobs j
JOIN archives a ON a.job_id = j.id AND a.attempt = j.archive_attempt
JOIN (SELECT attempt, min(manifest_sha256) AS manifest_sha256, max(at) AS at, min(at) AS oldest
      FROM verifications WHERE job_id = $1 AND voided_at IS NULL GROUP BY attempt) v
  ON v.attempt = complete_evidence(j.id)
WHERE j.id = $1
