-- What each workspace holds, as a running total, and promises of entries (files, folders and links) beside promises of bytes.

CREATE TABLE workspace_usage (
  owner_id uuid PRIMARY KEY,                       -- a user; the workspace may outlive its user
  bytes bigint NOT NULL DEFAULT 0 CHECK (bytes >= 0),
  files bigint NOT NULL DEFAULT 0 CHECK (files >= 0),
  entries bigint NOT NULL DEFAULT 0 CHECK (entries >= 0),
  added_bytes bigint NOT NULL DEFAULT 0,           -- the sum of all additions; never decreases
  added_files bigint NOT NULL DEFAULT 0,
  added_entries bigint NOT NULL DEFAULT 0,
  changes bigint NOT NULL DEFAULT 0,               -- how many changes were recorded
  walks bigint NOT NULL DEFAULT 0,                 -- how many walks have replaced the total
  walked_at timestamptz,                           -- end of the last of them; null: never measured
  walk_seconds double precision NOT NULL DEFAULT 0,
  exact boolean NOT NULL DEFAULT false             -- false: the workspace changed during the last walk, or something was removed since
);
GRANT SELECT, INSERT, UPDATE ON workspace_usage TO cs_gateway, cs_compressor;
GRANT DELETE ON workspace_usage TO cs_gateway;
GRANT SELECT ON workspace_usage TO cs_scanner, cs_uploader;
GRANT SELECT ON publications TO cs_gateway;

-- Whether a job is changing a user's workspace without having recorded it: a walk sees a part of that change at best.
CREATE FUNCTION workspace_is_changing(owner uuid) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT EXISTS (SELECT FROM publications p JOIN jobs j ON j.id = p.job_id WHERE j.created_by_id = owner)
      OR EXISTS (SELECT FROM jobs WHERE kind = 'pack' AND created_by_id = owner AND status = 'deleting_source')
$$;

ALTER TABLE reservations ADD COLUMN entries bigint NOT NULL DEFAULT 0 CHECK (entries >= 0);

-- As `unwritten_bytes`, in entries: all of them until the promise ends, also those that are on the disk already. An upload is one file.
CREATE FUNCTION promised_entries(place text, except_job uuid) RETURNS bigint LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT ((SELECT coalesce(sum(entries), 0) FROM reservations WHERE filesystem = place AND job_id IS DISTINCT FROM except_job)
        + (SELECT count(*) FROM uploads WHERE filesystem = place))::bigint
$$;

-- As `unwritten_bytes_of`, in entries.
CREATE FUNCTION promised_entries_of(owner uuid, except_job uuid) RETURNS bigint LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT ((SELECT coalesce(sum(r.entries), 0) FROM reservations r JOIN jobs j ON j.id = r.job_id
           WHERE j.kind <> 'archive' AND j.created_by_id = owner AND r.job_id IS DISTINCT FROM except_job)
        + (SELECT count(*) FROM uploads WHERE user_id = owner))::bigint
$$;
