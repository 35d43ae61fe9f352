-- The sentence about a new state no longer names the attempt: that number counts the claims of workers, not anybody's tries.
CREATE OR REPLACE FUNCTION jobs_follow() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
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
    ELSE format('%s -> %s', OLD.status, NEW.status) END;
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
