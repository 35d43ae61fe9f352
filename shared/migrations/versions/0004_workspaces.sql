-- Workspaces: what packs, archive creations and extractions are about, quotas, uploads, and where a pack may delete its source.

-- Jobs -------------------------------------------------------------------------------------------------------------------------

-- A workspace job's `source_path` is "/" and the path below its root; `request` says which root, and everything else that was asked.
ALTER TABLE jobs ADD COLUMN request jsonb;         -- shared/domain/requests.py; null for archive jobs
ALTER TABLE jobs ADD COLUMN result jsonb;          -- shared/domain/requests.py; figures of a workspace job that has ended
ALTER TABLE jobs ADD CHECK ((kind = 'archive') = (request IS NULL));
ALTER TABLE jobs ADD CHECK (kind = 'archive' OR keep_source OR (kind = 'pack' AND request ->> 'root' = 'workspace'));
CREATE INDEX jobs_of_owner ON jobs (created_by_id, kind, created_at DESC, id DESC) WHERE kind <> 'archive';

CREATE TABLE job_secrets (                         -- a password somebody gave with a request: gone when the job has ended
  job_id uuid PRIMARY KEY REFERENCES jobs,
  password text NOT NULL
);

-- `jobs_guard` comes first (names decide the order); this one knows workspace jobs.
CREATE FUNCTION jobs_workspace_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.request IS DISTINCT FROM OLD.request THEN
    RAISE EXCEPTION 'what a job is about never changes' USING ERRCODE = 'CS001';
  END IF;
  IF OLD.kind = 'archive' OR NEW.status = OLD.status THEN
    RETURN NEW;
  END IF;
  -- The archive of this very job was tested, compared with what was packed, recorded with its manifest, and is the one that counts.
  IF NEW.status = 'deleting_source' AND (NEW.keep_source OR NEW.archive_attempt IS NULL OR NEW.cancel_requested_by IS NOT NULL) THEN
    RAISE EXCEPTION 'the source is to be kept' USING ERRCODE = 'CS003';
  END IF;
  IF OLD.status = 'verifying' AND NEW.status = 'completed' AND NOT NEW.keep_source THEN
    RAISE EXCEPTION 'the source is still to be emptied' USING ERRCODE = 'CS002';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER jobs_guard_workspace BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_workspace_guard();

CREATE FUNCTION jobs_forget_secret() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  DELETE FROM job_secrets WHERE job_id = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER jobs_forget_secret AFTER UPDATE OF status ON jobs FOR EACH ROW
  WHEN (NEW.status IN ('completed', 'failed', 'cancelled')) EXECUTE FUNCTION jobs_forget_secret();

-- Space ------------------------------------------------------------------------------------------------------------------------

ALTER TABLE users ADD COLUMN quota_bytes bigint CHECK (quota_bytes >= 0);  -- null: the setting workspace_quota

CREATE TABLE uploads (                             -- files that are still arriving in workspaces
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  path text NOT NULL,                              -- below the user's root
  total_bytes bigint NOT NULL CHECK (total_bytes >= 0),
  received_bytes bigint NOT NULL DEFAULT 0 CHECK (received_bytes >= 0),
  filesystem text NOT NULL,
  touched_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (user_id, path)
);

CREATE TABLE storage_places (                      -- names of file systems in the ledger, as the compressor sees them at its start
  place text PRIMARY KEY,                          -- workspaces
  filesystem text NOT NULL
);

-- Promised and not on the disk yet, by everybody but one job: what statvfs calls free and nobody may take. Ask under the ledger's lock.
CREATE FUNCTION unwritten_bytes(place text, except_job uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT ((SELECT coalesce(sum(bytes - least(written, bytes)), 0) FROM reservations
           WHERE filesystem = place AND job_id IS DISTINCT FROM except_job)
        + (SELECT coalesce(sum(total_bytes - least(received_bytes, total_bytes)), 0) FROM uploads WHERE filesystem = place))::bigint
$$;

-- What one user's running jobs and uploads will still add to the workspace, except one job.
CREATE FUNCTION unwritten_bytes_of(owner uuid, except_job uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT ((SELECT coalesce(sum(r.bytes - least(r.written, r.bytes)), 0) FROM reservations r JOIN jobs j ON j.id = r.job_id
           WHERE j.kind <> 'archive' AND j.created_by_id = owner AND r.job_id IS DISTINCT FROM except_job)
        + (SELECT coalesce(sum(total_bytes - least(received_bytes, total_bytes)), 0) FROM uploads WHERE user_id = owner))::bigint
$$;

-- Rights -----------------------------------------------------------------------------------------------------------------------

GRANT UPDATE (result, kept_count, first_unlink_at) ON jobs TO cs_compressor;
GRANT SELECT ON job_secrets TO cs_compressor;
GRANT INSERT ON job_secrets TO cs_gateway;
GRANT SELECT ON uploads, storage_places TO cs_scanner, cs_compressor, cs_uploader, cs_gateway;
GRANT INSERT, UPDATE, DELETE ON uploads TO cs_gateway;
GRANT INSERT, UPDATE ON storage_places TO cs_compressor;
GRANT INSERT ON reservations TO cs_gateway;
