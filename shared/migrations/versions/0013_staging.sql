-- Record the staging that holds each archive: a compressor and an uploader need not see the same disk.

CREATE TABLE stagings (                            -- who sees which staging; a process that ended stays, so that a wait can name it
  id uuid NOT NULL,                                -- content of .cs-archiver-staging-id in the archives directory
  instance text NOT NULL,
  role text NOT NULL CHECK (role IN ('compressor', 'uploader')),
  path text NOT NULL,                              -- the archives directory, as this process sees it
  visible boolean NOT NULL DEFAULT true,           -- false: it was there, and is not mounted any more
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (id, instance)
);
GRANT SELECT ON stagings TO cs_scanner, cs_compressor, cs_uploader, cs_gateway;
GRANT INSERT, UPDATE, DELETE ON stagings TO cs_compressor, cs_uploader;

ALTER TABLE jobs ADD COLUMN staging uuid;          -- where the job's files are, while it has some; null: not known, or a workspace job
ALTER TABLE archives ADD COLUMN staging uuid;      -- null: made before stagings had names (adopted by whoever sees the file), or in a workspace
COMMENT ON COLUMN archives.archive_path IS 'below the archives directory of its staging; in rows without a staging absolute';
GRANT UPDATE (staging) ON jobs TO cs_compressor, cs_uploader;
GRANT UPDATE (staging) ON archives TO cs_compressor, cs_uploader;

-- An archive is what it is, for good. Only its staging may be filled in, once.
CREATE FUNCTION archives_stay() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.staging IS NULL AND NEW.staging IS NOT NULL
     AND (NEW.job_id, NEW.attempt, NEW.archive_path, NEW.size, NEW.sha256, NEW.md5, NEW.manifest_size, NEW.manifest_sha256,
          NEW.manifest_md5, NEW.manifest, NEW.file_count, NEW.total_bytes, NEW.created_at)
     IS NOT DISTINCT FROM
         (OLD.job_id, OLD.attempt, OLD.archive_path, OLD.size, OLD.sha256, OLD.md5, OLD.manifest_size, OLD.manifest_sha256,
          OLD.manifest_md5, OLD.manifest, OLD.file_count, OLD.total_bytes, OLD.created_at) THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'rows of archives are never changed or deleted' USING ERRCODE = 'CS001';
END $$;
DROP TRIGGER archives_immutable ON archives;
CREATE TRIGGER archives_immutable BEFORE UPDATE OR DELETE ON archives FOR EACH ROW EXECUTE FUNCTION archives_stay();

-- Whether a process of this role that is alive sees a staging. It is alive while it says so here or as an instance.
CREATE FUNCTION is_staging_seen(staging uuid, by_role text) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT EXISTS (
    SELECT FROM stagings s
    WHERE s.id = staging AND s.role = by_role AND s.visible
      AND (s.seen_at > clock_timestamp() - interval '30 seconds'
           OR EXISTS (SELECT FROM service_instances i
                      WHERE i.instance = s.instance AND i.seen_at > clock_timestamp() - interval '30 seconds')))
$$;

-- Why a job whose archive is on this staging cannot be uploaded now; null while an uploader sees it.
CREATE FUNCTION unseen_staging(staging uuid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT CASE WHEN NOT is_staging_seen(staging, 'uploader') THEN
    format('Waiting for staging %s: no running uploader sees it. %s', staging, coalesce(
      (SELECT format('%s saw it last, as %s. Start it again, or mount that directory.', s.instance, s.path)
       FROM stagings s WHERE s.id = staging AND s.role = 'uploader' ORDER BY s.seen_at DESC LIMIT 1),
      (SELECT format('No uploader ever saw it; for %s it is %s. Start an uploader that shares that directory.', s.instance, s.path)
       FROM stagings s WHERE s.id = staging ORDER BY s.seen_at DESC LIMIT 1),
      'Start an uploader that shares the archives directory of a compressor.')) END
$$;
