-- Workspace jobs: what they are about to put in place, packs that outlived their retention, quotas for the compressor.

-- Written before the first rename into a user's workspace, so that a crash at any instant can be told apart: what has its name there
-- with the same inode is this job's, what is still in the job's own directory is moved after it.
CREATE TABLE publications (
  job_id uuid PRIMARY KEY REFERENCES jobs,
  attempt integer NOT NULL,                        -- whose directory holds what is not moved yet
  plan jsonb NOT NULL,                             -- services/compressor/publication.py
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON publications TO cs_compressor;

-- A finished pack that kept its source was removed after `pack_retention_days`.
ALTER TABLE jobs ADD COLUMN expired_at timestamptz;
CREATE INDEX packs_to_expire ON jobs (completed_at) WHERE kind = 'pack' AND status = 'completed' AND keep_source AND expired_at IS NULL;
GRANT UPDATE (expired_at) ON jobs TO cs_compressor;

-- Whether a job fits its owner's quota is decided once more when its real size is known.
GRANT SELECT (id, quota_bytes) ON users TO cs_compressor;
