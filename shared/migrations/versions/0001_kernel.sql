-- The kernel: users, jobs, evidence, destinations, outbox, and the guard that no service can talk round.
-- Read shared/domain/lifecycle.py for the edges and docs/custody.md for the rules; this file enforces both.

-- One role per service; passwords are set by `python -m shared.infra.migrate`, never here.
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['cs_scanner', 'cs_compressor', 'cs_uploader', 'cs_gateway'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      EXECUTE format('CREATE ROLE %I LOGIN', name);
    END IF;
    EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''30s''', name);
    EXECUTE format('ALTER ROLE %I SET lock_timeout = ''5s''', name);
    EXECUTE format('ALTER ROLE %I SET statement_timeout = ''30s''', name);
    EXECUTE format('ALTER ROLE %I SET client_connection_check_interval = ''10s''', name);
    EXECUTE format('ALTER ROLE %I SET search_path = public', name);
  END LOOP;
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO cs_scanner, cs_compressor, cs_uploader, cs_gateway;

-- People -----------------------------------------------------------------------------------------------------------------------

CREATE TABLE users (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  username text NOT NULL CHECK (username <> ''),
  password_hash text NOT NULL,
  is_admin boolean NOT NULL DEFAULT false,
  must_change_password boolean NOT NULL DEFAULT false,
  token_epoch integer NOT NULL DEFAULT 0,          -- raised to revoke every token of a user at once
  kept_token uuid,                                 -- the one token that a raised epoch spared: it changed the password
  created_at timestamptz NOT NULL DEFAULT now(),
  last_login timestamptz
);
CREATE UNIQUE INDEX users_username ON users (lower(username));

CREATE TABLE revoked_tokens (
  jti uuid PRIMARY KEY,
  expires_at timestamptz NOT NULL                  -- the row may go once the token would have expired anyway
);

-- What the scanner sees ----------------------------------------------------------------------------------------------------------

CREATE TABLE nas_bases (
  path text PRIMARY KEY,
  sentinel uuid NOT NULL,                          -- the content of .cs-archiver-nas-id while this very NAS is mounted
  adopted_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE scans (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  base_path text NOT NULL,
  started_at timestamptz NOT NULL,
  finished_at timestamptz NOT NULL,
  folder_count integer NOT NULL,
  unreadable jsonb NOT NULL DEFAULT '[]'           -- what could not be looked into above level 3: [{"path", "reason"}]
);

CREATE TABLE folders (
  path text PRIMARY KEY,
  name text NOT NULL,
  level1 text NOT NULL,
  level2 text NOT NULL,
  size_bytes bigint NOT NULL,
  file_count bigint NOT NULL,
  modified_at timestamptz NOT NULL,
  is_archived boolean NOT NULL,
  ignored text,                                    -- why it is not offered; null: it is
  unreadable text,                                 -- what could not be read, in words; null: everything could
  scanned_at timestamptz NOT NULL
);

-- The life cycle ------------------------------------------------------------------------------------------------------------------

CREATE TABLE edges (                               -- shared/domain/lifecycle.py, as the database enforces it
  kind text NOT NULL,
  source text NOT NULL,
  target text NOT NULL,
  role text NOT NULL,
  forward boolean NOT NULL,                        -- real progress: forgives crashes
  PRIMARY KEY (kind, source, target, role)
);
INSERT INTO edges (kind, source, target, role, forward) VALUES
  ('archive', 'queued', 'copying', 'compressor', true),
  ('archive', 'queued', 'compressed', 'compressor', true),
  ('archive', 'copying', 'compressing', 'compressor', true),
  ('archive', 'compressing', 'verifying', 'compressor', true),
  ('archive', 'verifying', 'compressed', 'compressor', true),
  ('archive', 'copying', 'queued', 'compressor', false),
  ('archive', 'compressing', 'queued', 'compressor', false),
  ('archive', 'verifying', 'queued', 'compressor', false),
  ('archive', 'compressed', 'queued', 'uploader', false),
  ('archive', 'compressed', 'uploading', 'uploader', true),
  ('archive', 'compressed', 'upload_verifying', 'uploader', true),
  ('archive', 'uploading', 'upload_verifying', 'uploader', true),
  ('archive', 'uploading', 'compressed', 'uploader', false),
  ('archive', 'upload_verifying', 'compressed', 'uploader', false),
  ('archive', 'upload_verifying', 'verified', 'uploader', true),
  ('archive', 'verified', 'deleting_source', 'scanner', true),
  ('archive', 'verified', 'completed', 'scanner', true),
  ('archive', 'verified', 'failed', 'scanner', false),
  ('archive', 'deleting_source', 'completed', 'scanner', true),
  ('archive', 'deleting_source', 'failed', 'scanner', false),
  ('archive', 'queued', 'failed', 'compressor', false),
  ('archive', 'queued', 'cancelled', 'compressor', false),
  ('archive', 'copying', 'failed', 'compressor', false),
  ('archive', 'copying', 'cancelled', 'compressor', false),
  ('archive', 'compressing', 'failed', 'compressor', false),
  ('archive', 'compressing', 'cancelled', 'compressor', false),
  ('archive', 'verifying', 'failed', 'compressor', false),
  ('archive', 'verifying', 'cancelled', 'compressor', false),
  ('archive', 'compressed', 'failed', 'uploader', false),
  ('archive', 'compressed', 'cancelled', 'uploader', false),
  ('archive', 'uploading', 'failed', 'uploader', false),
  ('archive', 'uploading', 'cancelled', 'uploader', false),
  ('archive', 'upload_verifying', 'failed', 'uploader', false),
  ('archive', 'upload_verifying', 'cancelled', 'uploader', false),
  ('archive', 'queued', 'cancelled', 'gateway', false),
  ('archive', 'compressed', 'cancelled', 'gateway', false),
  ('archive', 'verified', 'cancelled', 'gateway', false),
  ('archive', 'failed', 'queued', 'gateway', false),
  ('pack', 'queued', 'running', 'compressor', true),
  ('pack', 'running', 'verifying', 'compressor', true),
  ('pack', 'verifying', 'deleting_source', 'compressor', true),
  ('pack', 'verifying', 'completed', 'compressor', true),
  ('pack', 'deleting_source', 'completed', 'compressor', true),
  ('pack', 'running', 'queued', 'compressor', false),
  ('pack', 'verifying', 'queued', 'compressor', false),
  ('pack', 'queued', 'failed', 'compressor', false),
  ('pack', 'queued', 'cancelled', 'compressor', false),
  ('pack', 'running', 'failed', 'compressor', false),
  ('pack', 'running', 'cancelled', 'compressor', false),
  ('pack', 'verifying', 'failed', 'compressor', false),
  ('pack', 'verifying', 'cancelled', 'compressor', false),
  ('pack', 'queued', 'cancelled', 'gateway', false),
  ('pack', 'failed', 'queued', 'gateway', false),
  ('compress', 'queued', 'running', 'compressor', true),
  ('compress', 'running', 'verifying', 'compressor', true),
  ('compress', 'verifying', 'deleting_source', 'compressor', true),
  ('compress', 'verifying', 'completed', 'compressor', true),
  ('compress', 'deleting_source', 'completed', 'compressor', true),
  ('compress', 'running', 'queued', 'compressor', false),
  ('compress', 'verifying', 'queued', 'compressor', false),
  ('compress', 'queued', 'failed', 'compressor', false),
  ('compress', 'queued', 'cancelled', 'compressor', false),
  ('compress', 'running', 'failed', 'compressor', false),
  ('compress', 'running', 'cancelled', 'compressor', false),
  ('compress', 'verifying', 'failed', 'compressor', false),
  ('compress', 'verifying', 'cancelled', 'compressor', false),
  ('compress', 'queued', 'cancelled', 'gateway', false),
  ('compress', 'failed', 'queued', 'gateway', false),
  ('extract', 'queued', 'running', 'compressor', true),
  ('extract', 'running', 'verifying', 'compressor', true),
  ('extract', 'verifying', 'deleting_source', 'compressor', true),
  ('extract', 'verifying', 'completed', 'compressor', true),
  ('extract', 'deleting_source', 'completed', 'compressor', true),
  ('extract', 'running', 'queued', 'compressor', false),
  ('extract', 'verifying', 'queued', 'compressor', false),
  ('extract', 'queued', 'failed', 'compressor', false),
  ('extract', 'queued', 'cancelled', 'compressor', false),
  ('extract', 'running', 'failed', 'compressor', false),
  ('extract', 'running', 'cancelled', 'compressor', false),
  ('extract', 'verifying', 'failed', 'compressor', false),
  ('extract', 'verifying', 'cancelled', 'compressor', false),
  ('extract', 'queued', 'cancelled', 'gateway', false),
  ('extract', 'failed', 'queued', 'gateway', false);

CREATE TABLE jobs (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,  -- age in the queue
  kind text NOT NULL DEFAULT 'archive' CHECK (kind IN ('archive', 'pack', 'compress', 'extract')),
  folder_name text NOT NULL CHECK (folder_name <> ''),
  source_path text NOT NULL CHECK (source_path LIKE '/%' AND source_path !~ '(^|/)\.\.?(/|$)' AND source_path !~ '//|/$'),
  source_device numeric(20),                       -- of the folder at the request: two paths to one folder are one job
  source_inode numeric(20),
  destination_path text,                           -- on the destination collection
  keep_source boolean NOT NULL DEFAULT false,
  priority integer NOT NULL DEFAULT 0,
  created_by text NOT NULL,
  created_by_id uuid,
  created_at timestamptz NOT NULL DEFAULT now(),

  status text NOT NULL DEFAULT 'queued',
  status_since timestamptz NOT NULL DEFAULT now(),
  version integer NOT NULL DEFAULT 1,              -- +1 per state entered, without gaps: the order of events
  attempt integer NOT NULL DEFAULT 0,              -- +1 per claim: the fencing token
  lease_owner text,
  lease_until timestamptz,
  crash_count integer NOT NULL DEFAULT 0,
  retry_count integer NOT NULL DEFAULT 0,          -- spent from the current operation's budget
  connection_retry_count integer NOT NULL DEFAULT 0,
  not_before timestamptz NOT NULL DEFAULT '-infinity',
  wait_reason text,
  missing_bytes bigint,                            -- lacking space, where that is the reason to wait
  waiting_for_space_since timestamptz,
  cancel_requested_by text,
  paused boolean NOT NULL DEFAULT false,
  archive_attempt integer,                         -- the archives row that counts
  verified_attempt integer,                        -- the evidence that counts
  first_unlink_at timestamptz,                     -- from here on the job cannot fail any more

  started_at timestamptz,
  completed_at timestamptz,
  cleared_at timestamptz,                          -- hidden from history, never erased
  globus_task_id text,
  archive_path text,
  archive_size_bytes bigint CHECK (archive_size_bytes > 0),
  folder_size_bytes bigint,
  file_count bigint,
  kept_count integer NOT NULL DEFAULT 0,           -- source entries that were not deleted
  error_message text,
  current_operation text,
  progress_percent integer NOT NULL DEFAULT 0 CHECK (progress_percent BETWEEN 0 AND 100),
  stage_percent real,
  bytes_done bigint,
  bytes_total bigint,
  bytes_per_second bigint,
  eta_seconds bigint,
  CHECK (kind <> 'archive' OR destination_path IS NOT NULL)
);
CREATE UNIQUE INDEX one_live_job_per_source ON jobs (source_path)
  WHERE kind = 'archive' AND status NOT IN ('completed', 'failed', 'cancelled');
CREATE UNIQUE INDEX one_live_job_per_folder ON jobs (source_device, source_inode)
  WHERE kind = 'archive' AND status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX jobs_queue ON jobs (status, priority DESC, seq) WHERE status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX jobs_history ON jobs (created_at DESC, id DESC) WHERE cleared_at IS NULL;
CREATE INDEX jobs_history_by_status ON jobs (status, created_at DESC, id DESC) WHERE cleared_at IS NULL;

CREATE TABLE job_logs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id uuid NOT NULL REFERENCES jobs,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  level text NOT NULL CHECK (level IN ('INFO', 'WARNING', 'ERROR')),
  action text NOT NULL,                            -- a stable word for programs
  message text NOT NULL,                           -- a sentence for people
  data jsonb
);
CREATE INDEX job_logs_of_job ON job_logs (job_id, id);

-- Archives and evidence ---------------------------------------------------------------------------------------------------------------

CREATE TABLE archives (                            -- what one attempt made; never changed
  job_id uuid NOT NULL REFERENCES jobs,
  attempt integer NOT NULL,
  archive_path text NOT NULL,                      -- local, below the archives directory
  size bigint NOT NULL CHECK (size > 0),
  sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
  md5 text NOT NULL CHECK (md5 ~ '^[0-9a-f]{32}$'),
  manifest_size bigint NOT NULL CHECK (manifest_size > 0),
  manifest_sha256 text NOT NULL CHECK (manifest_sha256 ~ '^[0-9a-f]{64}$'),
  manifest_md5 text NOT NULL CHECK (manifest_md5 ~ '^[0-9a-f]{32}$'),
  manifest bytea NOT NULL,                         -- the sidecar file, compressed with zstd
  file_count bigint NOT NULL,
  total_bytes bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (job_id, attempt)
);
ALTER TABLE archives ALTER COLUMN manifest SET STORAGE EXTERNAL;  -- it is compressed already

CREATE TABLE verifications (                       -- the evidence; never changed, only voided by a removal
  job_id uuid NOT NULL,
  attempt integer NOT NULL,
  kind text NOT NULL CHECK (kind IN ('task', 'remote', 'content')),
  archive_attempt integer NOT NULL,
  archive_sha256 text NOT NULL,
  manifest_sha256 text NOT NULL,
  evidence jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  voided_at timestamptz,
  PRIMARY KEY (job_id, attempt, kind),
  FOREIGN KEY (job_id, archive_attempt) REFERENCES archives (job_id, attempt)
);

-- The attempt whose three rows prove this job's archive at the destination; null while nothing does.
CREATE FUNCTION complete_evidence(job uuid) RETURNS integer LANGUAGE sql STABLE AS $$
  SELECT v.attempt
  FROM verifications v
  JOIN archives a ON a.job_id = v.job_id AND a.attempt = v.archive_attempt
    AND a.sha256 = v.archive_sha256 AND a.manifest_sha256 = v.manifest_sha256
  WHERE v.job_id = job AND v.voided_at IS NULL
  GROUP BY v.attempt
  HAVING count(*) = 3 AND count(DISTINCT v.archive_attempt) = 1
  ORDER BY v.attempt DESC
  LIMIT 1
$$;

CREATE TABLE destinations (                        -- who may write to a remote path; outlives the job
  key text PRIMARY KEY,                            -- casefold(NFC(path)): destinations may fold case or normalise
  path text NOT NULL,
  job_id uuid NOT NULL REFERENCES jobs,
  state text NOT NULL CHECK (state IN ('held', 'removing', 'released', 'verified')),
  since timestamptz NOT NULL DEFAULT now(),
  clean_since timestamptz                          -- when nothing of this job's was there: what is found later without a newer transfer is another's
);
CREATE INDEX destinations_of_job ON destinations (job_id);

CREATE TABLE globus_tasks (                        -- every submission id, stored before it is used
  submission_id uuid PRIMARY KEY,
  seq bigint GENERATED ALWAYS AS IDENTITY,
  job_id uuid NOT NULL REFERENCES jobs,
  attempt integer NOT NULL,
  purpose text NOT NULL CHECK (purpose IN ('transfer', 'recheck', 'removal')),
  destination_key text NOT NULL REFERENCES destinations,
  archive_attempt integer,
  request jsonb NOT NULL,                          -- the document to send again, word for word, after a lost answer
  task_id text,
  status text,                                     -- as last seen
  detail jsonb,                                    -- the task document as last seen
  rejected jsonb,                                  -- why a verification did not accept what this task did: {"reason", "remove_first"}
  algorithm_refused boolean NOT NULL DEFAULT false, -- a collection does not know the checksum algorithm of this request
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  submitted_at timestamptz,
  ended_at timestamptz
);
CREATE INDEX globus_tasks_of_job ON globus_tasks (job_id, seq);
-- No new id for a path until all older tasks on it have ended.
CREATE UNIQUE INDEX one_open_task_per_destination ON globus_tasks (destination_key) WHERE ended_at IS NULL;

-- Space, clean-up, instances --------------------------------------------------------------------------------------------------------------

CREATE TABLE reservations (                        -- the one ledger of space, for every kind of job
  job_id uuid NOT NULL REFERENCES jobs,
  filesystem text NOT NULL,                        -- which file system, as the service that owns it names it
  bytes bigint NOT NULL CHECK (bytes >= 0),
  written bigint NOT NULL DEFAULT 0 CHECK (written >= 0),  -- of these already on the disk, so no longer "free" there
  since timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (job_id, filesystem)
);

CREATE TABLE cleanups (                            -- what a terminal state still owes, claimed like work
  job_id uuid NOT NULL REFERENCES jobs,
  role text NOT NULL,
  owed_since timestamptz NOT NULL DEFAULT now(),
  lease_owner text,
  lease_until timestamptz,
  not_before timestamptz NOT NULL DEFAULT '-infinity',
  tries integer NOT NULL DEFAULT 0,
  reason text,                                     -- why it is not done yet
  PRIMARY KEY (job_id, role)
);

CREATE TABLE service_instances (
  instance text PRIMARY KEY,
  role text NOT NULL,
  version text NOT NULL,
  started_at timestamptz NOT NULL,
  seen_at timestamptz NOT NULL
);

-- Events -------------------------------------------------------------------------------------------------------------------------------

CREATE TABLE outbox (                              -- written by a trigger in the transaction of the change; one relay empties it
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id uuid NOT NULL,
  version integer NOT NULL,
  subject text NOT NULL,
  payload jsonb NOT NULL,
  stream_seq bigint,                               -- where the stream keeps it; null: not known to be there
  UNIQUE (job_id, version)
);
CREATE INDEX outbox_todo ON outbox (id) WHERE stream_seq IS NULL;
CREATE INDEX outbox_sent ON outbox (stream_seq) WHERE stream_seq IS NOT NULL;

-- The guard ------------------------------------------------------------------------------------------------------------------------------
-- CS001: a column that is not to be changed. CS002: no such edge for this role. CS003: no right to delete.

CREATE FUNCTION jobs_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  edge edges%ROWTYPE;
  proven integer;
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'jobs are never deleted' USING ERRCODE = 'CS001';
  END IF;
  IF TG_OP = 'INSERT' THEN
    IF NEW.status <> 'queued' OR NEW.attempt <> 0 OR NEW.version <> 1 OR NEW.archive_attempt IS NOT NULL
       OR NEW.verified_attempt IS NOT NULL OR NEW.first_unlink_at IS NOT NULL THEN
      RAISE EXCEPTION 'a job begins as queued' USING ERRCODE = 'CS001';
    END IF;
    RETURN NEW;
  END IF;

  IF (NEW.id, NEW.seq, NEW.kind, NEW.folder_name, NEW.source_path, NEW.keep_source, NEW.created_by, NEW.created_at)
     IS DISTINCT FROM
     (OLD.id, OLD.seq, OLD.kind, OLD.folder_name, OLD.source_path, OLD.keep_source, OLD.created_by, OLD.created_at)
     OR (NEW.source_device, NEW.source_inode, NEW.destination_path)
     IS DISTINCT FROM (OLD.source_device, OLD.source_inode, OLD.destination_path) THEN
    RAISE EXCEPTION 'what a job is about never changes' USING ERRCODE = 'CS001';
  END IF;
  IF NEW.attempt NOT IN (OLD.attempt, OLD.attempt + 1) THEN
    RAISE EXCEPTION 'attempt goes up by one' USING ERRCODE = 'CS001';
  END IF;
  IF NEW.version <> OLD.version THEN
    RAISE EXCEPTION 'version is set by the database' USING ERRCODE = 'CS001';
  END IF;
  IF NEW.first_unlink_at IS DISTINCT FROM OLD.first_unlink_at
     AND (OLD.first_unlink_at IS NOT NULL OR OLD.status <> 'deleting_source' OR NEW.status <> 'deleting_source') THEN
    RAISE EXCEPTION 'first_unlink_at is written once, while deleting' USING ERRCODE = 'CS001';
  END IF;
  IF NEW.verified_attempt IS DISTINCT FROM OLD.verified_attempt AND NEW.status = OLD.status THEN
    RAISE EXCEPTION 'verified_attempt changes with the state only' USING ERRCODE = 'CS001';
  END IF;
  IF NEW.archive_attempt IS DISTINCT FROM OLD.archive_attempt AND NEW.archive_attempt IS NOT NULL
     AND NOT EXISTS (SELECT FROM archives a WHERE a.job_id = NEW.id AND a.attempt = NEW.archive_attempt) THEN
    RAISE EXCEPTION 'no archive of attempt % is recorded', NEW.archive_attempt USING ERRCODE = 'CS001';
  END IF;
  IF NEW.archive_attempt IS DISTINCT FROM OLD.archive_attempt AND complete_evidence(OLD.id) IS NOT NULL THEN
    RAISE EXCEPTION 'the proven archive is not exchanged' USING ERRCODE = 'CS003';
  END IF;
  -- Progress never goes back within an attempt, and is 100 only when all is done.
  IF NEW.attempt = OLD.attempt THEN
    NEW.progress_percent := greatest(NEW.progress_percent, OLD.progress_percent);
  END IF;
  IF NEW.status <> 'completed' THEN
    NEW.progress_percent := least(NEW.progress_percent, 99);
  END IF;

  IF NEW.status = OLD.status THEN
    RETURN NEW;
  END IF;

  SELECT * INTO edge FROM edges e
    WHERE e.kind = OLD.kind AND e.source = OLD.status AND e.target = NEW.status AND 'cs_' || e.role = current_user;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'no edge % -> % for % (kind %)', OLD.status, NEW.status, current_user, OLD.kind USING ERRCODE = 'CS002';
  END IF;
  NEW.version := OLD.version + 1;
  NEW.status_since := clock_timestamp();
  NEW.stage_percent := NULL;
  NEW.bytes_done := NULL;
  NEW.bytes_total := NULL;
  NEW.bytes_per_second := NULL;
  NEW.eta_seconds := NULL;
  IF edge.forward THEN
    NEW.crash_count := 0;
  END IF;
  IF edge.role = 'gateway' AND NEW.status = 'cancelled' AND OLD.lease_until >= clock_timestamp() THEN
    RAISE EXCEPTION 'somebody is working on this job: cancel by request' USING ERRCODE = 'CS002';
  END IF;

  IF OLD.kind = 'archive' THEN
    proven := complete_evidence(OLD.id);
    IF NEW.status = 'copying' THEN
      IF proven IS NOT NULL THEN
        RAISE EXCEPTION 'this job''s archive is proven at the destination: it is not copied again' USING ERRCODE = 'CS003';
      END IF;
      NEW.verified_attempt := NULL;
      NEW.archive_attempt := NULL;
      NEW.archive_path := NULL;
      NEW.archive_size_bytes := NULL;
    END IF;
    IF NEW.status IN ('compressed', 'uploading', 'upload_verifying') AND NEW.archive_attempt IS NULL THEN
      RAISE EXCEPTION 'no archive is recorded' USING ERRCODE = 'CS003';
    END IF;
    IF NEW.status = 'uploading' AND proven IS NOT NULL THEN
      RAISE EXCEPTION 'this job''s archive is proven at the destination: it is not sent again' USING ERRCODE = 'CS003';
    END IF;
    IF NEW.status = 'verified' THEN
      NEW.verified_attempt := coalesce(NEW.verified_attempt, proven);
      NEW.archive_path := NULL;                    -- the local archive is gone
    END IF;
    IF NEW.status IN ('verified', 'deleting_source')
       AND (proven IS NULL OR NEW.verified_attempt IS DISTINCT FROM proven
            OR NEW.archive_attempt IS DISTINCT FROM
               (SELECT min(v.archive_attempt) FROM verifications v WHERE v.job_id = OLD.id AND v.attempt = proven)) THEN
      RAISE EXCEPTION 'three verifications of this very archive are not recorded' USING ERRCODE = 'CS003';
    END IF;
    IF NEW.status = 'deleting_source' AND (NEW.keep_source OR OLD.cancel_requested_by IS NOT NULL
       OR NEW.cancel_requested_by IS NOT NULL) THEN
      RAISE EXCEPTION 'the source is to be kept' USING ERRCODE = 'CS003';
    END IF;
    IF OLD.status = 'verified' AND NEW.status = 'completed' AND NOT NEW.keep_source THEN
      RAISE EXCEPTION 'the source is still to be emptied' USING ERRCODE = 'CS002';
    END IF;
    IF OLD.status = 'deleting_source' AND NEW.status = 'failed' AND NEW.first_unlink_at IS NOT NULL THEN
      RAISE EXCEPTION 'a deletion that has begun is finished' USING ERRCODE = 'CS003';
    END IF;
    IF OLD.status = 'deleting_source' AND NEW.status = 'completed' AND NEW.first_unlink_at IS NULL THEN
      RAISE EXCEPTION 'nothing was deleted yet' USING ERRCODE = 'CS002';
    END IF;
    IF (OLD.status = 'verifying' AND NEW.status = 'compressed') OR NEW.status = 'verified' THEN
      NEW.retry_count := 0;
      NEW.connection_retry_count := 0;
    END IF;
  END IF;

  IF edge.forward THEN
    NEW.wait_reason := NULL;
    NEW.missing_bytes := NULL;
    NEW.waiting_for_space_since := NULL;
    NEW.started_at := coalesce(OLD.started_at, clock_timestamp());
  END IF;
  IF NEW.status IN ('completed', 'failed', 'cancelled') THEN
    NEW.completed_at := clock_timestamp();
    NEW.lease_owner := NULL;
    NEW.lease_until := NULL;
    NEW.wait_reason := NULL;
    NEW.missing_bytes := NULL;
    NEW.paused := false;
    IF NEW.status = 'completed' THEN
      NEW.progress_percent := 100;
      NEW.error_message := NULL;
    END IF;
  END IF;
  IF OLD.status = 'failed' THEN                    -- manual retry
    NEW.retry_count := 0;
    NEW.connection_retry_count := 0;
    NEW.crash_count := 0;
    NEW.progress_percent := 0;
    NEW.not_before := '-infinity';
    NEW.error_message := NULL;
    NEW.completed_at := NULL;
    NEW.cancel_requested_by := NULL;
    NEW.waiting_for_space_since := NULL;
    IF EXISTS (SELECT FROM cleanups c WHERE c.job_id = OLD.id) THEN
      NEW.wait_reason := 'what the last try left behind is being cleaned up';
    END IF;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER jobs_guard BEFORE INSERT OR UPDATE OR DELETE ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_guard();

-- The right to change a row, and nothing else, lies with the caller; what must follow is written with the owner's right.
CREATE FUNCTION jobs_follow() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  sha text;
  sentence text;
BEGIN
  IF TG_OP = 'UPDATE' AND NEW.status = OLD.status THEN
    RETURN NULL;
  END IF;
  SELECT a.sha256 INTO sha FROM archives a WHERE a.job_id = NEW.id AND a.attempt = NEW.archive_attempt;
  INSERT INTO outbox (job_id, version, subject, payload) VALUES (NEW.id, NEW.version, 'job.' || NEW.status, jsonb_build_object(
    'specversion', '1.0',
    'id', NEW.id || ':' || NEW.version,
    'source', '/cs-archiver/jobs',
    'type', 'job.' || NEW.status,
    'subject', NEW.id,
    'time', to_char(NEW.status_since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'datacontenttype', 'application/json',
    'data', jsonb_build_object(
      'schema_version', 1,
      'job_id', NEW.id,
      'version', NEW.version,
      'kind', NEW.kind,
      'status', NEW.status,
      'previous_status', CASE WHEN TG_OP = 'UPDATE' THEN OLD.status END,
      'attempt', NEW.attempt,
      'folder_name', NEW.folder_name,
      'source_path', NEW.source_path,
      'globus_destination_path', NEW.destination_path,
      'created_by', NEW.created_by,
      'progress_percent', NEW.progress_percent,
      'retry_count', NEW.retry_count + NEW.connection_retry_count,
      'archive_size_bytes', NEW.archive_size_bytes,
      'archive_sha256', sha,
      'kept_count', NEW.kept_count,
      'reason', coalesce(NEW.error_message, NEW.wait_reason))));
  PERFORM pg_notify('outbox', '');

  sentence := CASE
    WHEN TG_OP = 'INSERT' THEN format('Queued by %s.', NEW.created_by)
    WHEN NEW.status = 'failed' THEN format('Failed: %s', coalesce(NEW.error_message, 'no reason recorded'))
    WHEN NEW.status = 'cancelled' THEN format('Cancelled by %s.', coalesce(NEW.cancel_requested_by, 'nobody named'))
    WHEN OLD.status = 'failed' THEN 'Queued again by hand.'
    WHEN NEW.status IN ('queued', 'compressed') AND NEW.wait_reason IS NOT NULL
      THEN format('Back to %s: %s', NEW.status, NEW.wait_reason)
    ELSE format('%s -> %s (attempt %s)', OLD.status, NEW.status, NEW.attempt) END;
  INSERT INTO job_logs (job_id, level, action, message, data) VALUES (NEW.id,
    CASE WHEN NEW.status = 'failed' THEN 'ERROR'
         WHEN NEW.status = 'cancelled' OR (NEW.wait_reason IS NOT NULL AND NEW.status IN ('queued', 'compressed')) THEN 'WARNING'
         ELSE 'INFO' END,
    'transition', sentence,
    jsonb_build_object('from', CASE WHEN TG_OP = 'UPDATE' THEN OLD.status END, 'to', NEW.status, 'attempt', NEW.attempt));

  IF NEW.status IN ('failed', 'cancelled') OR (NEW.status = 'completed' AND NEW.kind <> 'archive') THEN
    INSERT INTO cleanups (job_id, role) VALUES (NEW.id, 'compressor') ON CONFLICT (job_id, role) DO NOTHING;
    IF NEW.kind = 'archive' THEN
      INSERT INTO cleanups (job_id, role) VALUES (NEW.id, 'uploader') ON CONFLICT (job_id, role) DO NOTHING;
    END IF;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER jobs_follow AFTER INSERT OR UPDATE OF status ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_follow();

CREATE FUNCTION never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME USING ERRCODE = 'CS001';
END $$;
CREATE TRIGGER archives_immutable BEFORE UPDATE OR DELETE ON archives FOR EACH ROW EXECUTE FUNCTION never_changed();
CREATE TRIGGER job_logs_immutable BEFORE UPDATE OR DELETE ON job_logs FOR EACH ROW EXECUTE FUNCTION never_changed();
CREATE TRIGGER jobs_stay BEFORE TRUNCATE ON jobs EXECUTE FUNCTION never_changed();
CREATE TRIGGER job_logs_stay BEFORE TRUNCATE ON job_logs EXECUTE FUNCTION never_changed();
CREATE TRIGGER archives_stay BEFORE TRUNCATE ON archives EXECUTE FUNCTION never_changed();
CREATE TRIGGER verifications_stay BEFORE TRUNCATE ON verifications EXECUTE FUNCTION never_changed();
CREATE TRIGGER destinations_stay BEFORE TRUNCATE ON destinations EXECUTE FUNCTION never_changed();

CREATE FUNCTION job_logs_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.action = 'transition' AND current_user IN ('cs_scanner', 'cs_compressor', 'cs_uploader', 'cs_gateway') THEN
    RAISE EXCEPTION 'transitions are logged by the database' USING ERRCODE = 'CS001';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER job_logs_guard BEFORE INSERT ON job_logs FOR EACH ROW EXECUTE FUNCTION job_logs_guard();

CREATE FUNCTION archives_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM jobs j WHERE j.id = NEW.job_id AND j.attempt = NEW.attempt AND j.status = 'verifying') THEN
    RAISE EXCEPTION 'an archive is recorded by the attempt that made it, while verifying' USING ERRCODE = 'CS001';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER archives_guard BEFORE INSERT ON archives FOR EACH ROW EXECUTE FUNCTION archives_guard();

-- Evidence comes from the attempt at work, about the archive that counts. The third row makes the destination the job's for ever.
CREATE FUNCTION verifications_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'evidence is never deleted' USING ERRCODE = 'CS001';
  END IF;
  IF TG_OP = 'UPDATE' THEN
    IF (to_jsonb(NEW) - 'voided_at') <> (to_jsonb(OLD) - 'voided_at') OR OLD.voided_at IS NOT NULL
       OR current_user = 'cs_uploader' THEN
      RAISE EXCEPTION 'evidence is never changed' USING ERRCODE = 'CS001';
    END IF;
    RETURN NEW;
  END IF;
  -- Locks first: neither a transition nor a removal may slip in between this look and the commit.
  PERFORM FROM destinations d WHERE d.job_id = NEW.job_id FOR UPDATE;
  PERFORM FROM jobs j WHERE j.id = NEW.job_id FOR SHARE;
  IF NOT EXISTS (
    SELECT FROM jobs j
    JOIN archives a ON a.job_id = j.id AND a.attempt = j.archive_attempt
    JOIN destinations d ON d.job_id = j.id AND d.state IN ('held', 'verified')
    WHERE j.id = NEW.job_id AND j.status = 'upload_verifying' AND j.attempt = NEW.attempt
      AND a.attempt = NEW.archive_attempt AND a.sha256 = NEW.archive_sha256 AND a.manifest_sha256 = NEW.manifest_sha256) THEN
    RAISE EXCEPTION 'this is not evidence about the archive in hand' USING ERRCODE = 'CS003';
  END IF;
  IF EXISTS (SELECT FROM globus_tasks t JOIN destinations d ON d.key = t.destination_key
             WHERE d.job_id = NEW.job_id AND t.ended_at IS NULL AND t.purpose <> 'recheck') THEN
    RAISE EXCEPTION 'a task is still changing the destination' USING ERRCODE = 'CS003';
  END IF;
  NEW.voided_at := NULL;
  RETURN NEW;
END $$;
CREATE TRIGGER verifications_guard BEFORE INSERT OR UPDATE OR DELETE ON verifications
  FOR EACH ROW EXECUTE FUNCTION verifications_guard();

CREATE FUNCTION verifications_follow() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF complete_evidence(NEW.job_id) IS NOT NULL THEN
    -- A recheck repairs what differs: until it has ended, nothing is proven.
    IF EXISTS (SELECT FROM globus_tasks t JOIN destinations d ON d.key = t.destination_key
               WHERE d.job_id = NEW.job_id AND t.ended_at IS NULL) THEN
      RAISE EXCEPTION 'a task on this destination has not ended' USING ERRCODE = 'CS003';
    END IF;
    UPDATE destinations SET state = 'verified', since = clock_timestamp() WHERE job_id = NEW.job_id AND state = 'held';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER verifications_follow AFTER INSERT ON verifications FOR EACH ROW EXECUTE FUNCTION verifications_follow();

CREATE FUNCTION destinations_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'destinations are never forgotten' USING ERRCODE = 'CS001';
  END IF;
  IF TG_OP = 'INSERT' THEN
    IF NEW.state <> 'held' THEN
      RAISE EXCEPTION 'a destination begins as held' USING ERRCODE = 'CS001';
    END IF;
    RETURN NEW;
  END IF;
  IF NEW.key <> OLD.key OR ((NEW.job_id, NEW.path) <> (OLD.job_id, OLD.path) AND OLD.state <> 'released') THEN
    RAISE EXCEPTION 'this destination belongs to job %', OLD.job_id USING ERRCODE = 'CS001';
  END IF;
  IF NEW.state <> OLD.state THEN
    IF (OLD.state, NEW.state) NOT IN (('held', 'removing'), ('held', 'released'), ('held', 'verified'),
        ('removing', 'released'), ('removing', 'held'), ('released', 'held')) THEN
      RAISE EXCEPTION 'a destination does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'CS001';
    END IF;
    IF NEW.state IN ('removing', 'released') AND complete_evidence(OLD.job_id) IS NOT NULL THEN
      RAISE EXCEPTION 'a proven archive keeps its destination' USING ERRCODE = 'CS003';
    END IF;
    IF NEW.state = 'verified' AND complete_evidence(OLD.job_id) IS NULL THEN
      RAISE EXCEPTION 'three verifications are not recorded' USING ERRCODE = 'CS003';
    END IF;
    IF OLD.state IN ('held', 'removing') AND NEW.state IN ('released', 'held')
       AND EXISTS (SELECT FROM globus_tasks t WHERE t.destination_key = OLD.key AND t.ended_at IS NULL) THEN
      RAISE EXCEPTION 'a task on this destination has not ended' USING ERRCODE = 'CS003';
    END IF;
    NEW.since := clock_timestamp();
  END IF;
  IF NEW.clean_since IS DISTINCT FROM OLD.clean_since
     AND EXISTS (SELECT FROM globus_tasks t WHERE t.destination_key = OLD.key AND t.ended_at IS NULL) THEN
    RAISE EXCEPTION 'a task on this destination has not ended' USING ERRCODE = 'CS003';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER destinations_guard BEFORE INSERT OR UPDATE OR DELETE ON destinations
  FOR EACH ROW EXECUTE FUNCTION destinations_guard();

-- A transfer needs the destination and no proof yet; a removal needs the same. Both void what evidence there was: the file changes.
CREATE FUNCTION globus_tasks_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  owned destinations%ROWTYPE;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF (NEW.submission_id, NEW.job_id, NEW.purpose, NEW.destination_key, NEW.request)
       IS DISTINCT FROM (OLD.submission_id, OLD.job_id, OLD.purpose, OLD.destination_key, OLD.request)
       OR (OLD.task_id IS NOT NULL AND NEW.task_id IS DISTINCT FROM OLD.task_id)
       OR (OLD.ended_at IS NOT NULL AND NEW.ended_at IS NULL) THEN
      RAISE EXCEPTION 'what was submitted never changes' USING ERRCODE = 'CS001';
    END IF;
    RETURN NEW;
  END IF;
  SELECT * INTO owned FROM destinations d WHERE d.key = NEW.destination_key AND d.job_id = NEW.job_id FOR UPDATE;
  IF NEW.purpose IN ('transfer', 'removal') AND complete_evidence(NEW.job_id) IS NOT NULL THEN
    RAISE EXCEPTION 'a proven archive is neither replaced nor removed' USING ERRCODE = 'CS003';
  END IF;
  IF owned.key IS NULL OR owned.state <> (CASE NEW.purpose WHEN 'removal' THEN 'removing' ELSE 'held' END) THEN
    RAISE EXCEPTION 'job % does not hold this destination for a %', NEW.job_id, NEW.purpose USING ERRCODE = 'CS003';
  END IF;
  -- A removal is safe whoever asks (the state 'removing' keeps evidence out); a worker that lost its job must not write there.
  IF NEW.purpose <> 'removal' AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = NEW.job_id AND j.attempt = NEW.attempt) THEN
    RAISE EXCEPTION 'attempt % is not the one at work', NEW.attempt USING ERRCODE = 'CS003';
  END IF;
  IF NEW.purpose <> 'recheck' THEN
    UPDATE verifications SET voided_at = clock_timestamp() WHERE job_id = NEW.job_id AND voided_at IS NULL;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER globus_tasks_guard BEFORE INSERT OR UPDATE ON globus_tasks FOR EACH ROW EXECUTE FUNCTION globus_tasks_guard();

-- Rights: what each service reads and writes, column by column where it matters ------------------------------------------------------------

GRANT SELECT ON ALL TABLES IN SCHEMA public TO cs_scanner, cs_compressor, cs_uploader, cs_gateway;
REVOKE SELECT ON users, revoked_tokens FROM cs_scanner, cs_compressor, cs_uploader;
GRANT INSERT (job_id, level, action, message, data) ON job_logs TO cs_scanner, cs_compressor, cs_uploader, cs_gateway;
GRANT UPDATE (stream_seq) ON outbox TO cs_scanner, cs_compressor, cs_uploader, cs_gateway;
GRANT INSERT, UPDATE, DELETE ON service_instances TO cs_scanner, cs_compressor, cs_uploader, cs_gateway;
GRANT UPDATE (status, attempt, lease_owner, lease_until, crash_count, retry_count, connection_retry_count, not_before, wait_reason,
  missing_bytes, error_message, current_operation, progress_percent, stage_percent, bytes_done, bytes_total, bytes_per_second,
  eta_seconds) ON jobs TO cs_scanner, cs_compressor, cs_uploader;

GRANT UPDATE (first_unlink_at, kept_count) ON jobs TO cs_scanner;
GRANT INSERT, UPDATE, DELETE ON folders, nas_bases TO cs_scanner;
GRANT INSERT ON scans TO cs_scanner;

GRANT UPDATE (waiting_for_space_since, archive_attempt, archive_path, archive_size_bytes, folder_size_bytes, file_count)
  ON jobs TO cs_compressor;
GRANT INSERT ON archives TO cs_compressor;
GRANT INSERT, UPDATE, DELETE ON reservations TO cs_compressor;
GRANT UPDATE, DELETE ON cleanups TO cs_compressor, cs_uploader;

GRANT UPDATE (verified_attempt, globus_task_id, archive_path) ON jobs TO cs_uploader;
GRANT INSERT ON verifications TO cs_uploader;
GRANT INSERT, UPDATE ON globus_tasks TO cs_uploader;
GRANT UPDATE (state, since, clean_since) ON destinations TO cs_uploader;
GRANT UPDATE, DELETE ON reservations TO cs_uploader;

GRANT INSERT ON jobs TO cs_gateway;
GRANT UPDATE (status, priority, cancel_requested_by, paused, not_before, wait_reason, cleared_at, current_operation) ON jobs TO cs_gateway;
GRANT INSERT, UPDATE ON destinations TO cs_gateway;
GRANT INSERT, UPDATE, DELETE ON users, revoked_tokens TO cs_gateway;
