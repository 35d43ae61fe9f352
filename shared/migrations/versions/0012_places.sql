-- Ownership names a place. A destination, a submission, a removal and evidence belong to one collection and base path.

CREATE TABLE remote_places (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  endpoint text NOT NULL CHECK (endpoint <> ''),
  base_path text NOT NULL CHECK (base_path = '/' OR (base_path LIKE '/%' AND base_path !~ '//|/$')),
  used_at timestamptz NOT NULL DEFAULT '-infinity', -- when an uploader last started with it; new jobs go to the newest
  UNIQUE (endpoint, base_path)
);
GRANT SELECT ON remote_places TO cs_scanner, cs_compressor, cs_uploader, cs_gateway;
GRANT INSERT (endpoint, base_path, used_at), UPDATE (used_at) ON remote_places TO cs_uploader;

ALTER TABLE destinations ADD COLUMN place integer REFERENCES remote_places;   -- null: unknown, which gives no right to anything
ALTER TABLE verifications ADD COLUMN place integer REFERENCES remote_places;  -- null: unknown, which proves nothing

-- The place of what is there already ----------------------------------------------------------------------------------------------
-- Each stored document names its collection and its paths. What was never sent gets its place when the uploader next looks at it.

CREATE TEMPORARY TABLE named ON COMMIT DROP AS
SELECT t.submission_id, t.task_id, t.seq, t.job_id, d.key, t.status,
  coalesce(t.request ->> 'destination_endpoint', t.request ->> 'endpoint') AS endpoint,
  coalesce(nullif(left(f.path, length(f.path) - length(d.path)), ''), '/') AS base_path
FROM globus_tasks t
JOIN destinations d ON d.key = t.destination_key AND d.job_id = t.job_id
CROSS JOIN LATERAL (SELECT coalesce(t.request -> 'items' -> 0 ->> 'destination_path', t.request -> 'paths' ->> 0) AS path) AS f
WHERE right(f.path, length(d.path)) = d.path AND coalesce(t.request ->> 'destination_endpoint', t.request ->> 'endpoint') <> '';

INSERT INTO remote_places (endpoint, base_path) SELECT DISTINCT endpoint, base_path FROM named;

ALTER TABLE destinations DISABLE TRIGGER USER;
ALTER TABLE globus_tasks DISABLE TRIGGER USER;
ALTER TABLE verifications DISABLE TRIGGER USER;

-- The newest document that Globus did not refuse says where a destination is: a task that is still open is always the newest.
UPDATE destinations d SET place = p.id
FROM (SELECT DISTINCT ON (key) key, endpoint, base_path FROM named WHERE status IS DISTINCT FROM 'REFUSED' ORDER BY key, seq DESC) AS n
JOIN remote_places p USING (endpoint, base_path)
WHERE n.key = d.key;

-- Evidence is about the place of its transfer; where the second reading was of another, it is about none.
UPDATE verifications v SET place = p.id
FROM verifications t
JOIN named n ON n.job_id = t.job_id AND n.submission_id::text = t.evidence ->> 'submission_id'
JOIN remote_places p ON (p.endpoint, p.base_path) = (n.endpoint, n.base_path)
WHERE t.kind = 'task' AND (v.job_id, v.attempt) = (t.job_id, t.attempt) AND NOT EXISTS (
  SELECT FROM verifications c JOIN named r ON r.job_id = c.job_id AND r.task_id = c.evidence ->> 'recheck_task_id'
  WHERE c.kind = 'content' AND (c.job_id, c.attempt) = (t.job_id, t.attempt)
    AND (r.endpoint, r.base_path) <> (n.endpoint, n.base_path));

-- Two places are two keys. The base path is folded where this file is run; the path is folded already.
ALTER TABLE globus_tasks DROP CONSTRAINT globus_tasks_destination_key_fkey,
  ADD CONSTRAINT globus_tasks_destination_key_fkey FOREIGN KEY (destination_key) REFERENCES destinations ON UPDATE CASCADE;
