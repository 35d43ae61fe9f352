-- The rest of 0012: keys name their place now, and the database enforces that rights belong to one place.

ALTER TABLE globus_tasks DROP CONSTRAINT globus_tasks_destination_key_fkey,
  ADD CONSTRAINT globus_tasks_destination_key_fkey FOREIGN KEY (destination_key) REFERENCES destinations;
ALTER TABLE destinations ENABLE TRIGGER USER;
ALTER TABLE globus_tasks ENABLE TRIGGER USER;
ALTER TABLE verifications ENABLE TRIGGER USER;

-- The attempt whose three rows prove this job's archive at one place; null while nothing does.
CREATE OR REPLACE FUNCTION complete_evidence(job uuid) RETURNS integer LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT v.attempt
  FROM verifications v
  JOIN archives a ON a.job_id = v.job_id AND a.attempt = v.archive_attempt
    AND a.sha256 = v.archive_sha256 AND a.manifest_sha256 = v.manifest_sha256
  WHERE v.job_id = job AND v.voided_at IS NULL AND v.place IS NOT NULL
  GROUP BY v.attempt
  HAVING count(*) = 3 AND count(DISTINCT v.archive_attempt) = 1 AND count(DISTINCT v.place) = 1
  ORDER BY v.attempt DESC
  LIMIT 1
$$;

-- As in the first migration, and: evidence is about the place that the job holds.
CREATE OR REPLACE FUNCTION verifications_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
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
    JOIN destinations d ON d.job_id = j.id AND d.state IN ('held', 'verified') AND d.place = NEW.place
    WHERE j.id = NEW.job_id AND j.status = 'upload_verifying' AND j.attempt = NEW.attempt
      AND a.attempt = NEW.archive_attempt AND a.sha256 = NEW.archive_sha256 AND a.manifest_sha256 = NEW.manifest_sha256) THEN
    RAISE EXCEPTION 'this is not evidence about the archive in hand, at the place that the job holds' USING ERRCODE = 'CS003';
  END IF;
  IF EXISTS (SELECT FROM globus_tasks t JOIN destinations d ON d.key = t.destination_key
             WHERE d.job_id = NEW.job_id AND t.ended_at IS NULL AND t.purpose <> 'recheck') THEN
    RAISE EXCEPTION 'a task is still changing the destination' USING ERRCODE = 'CS003';
  END IF;
  NEW.voided_at := NULL;
  RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION verifications_follow() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF complete_evidence(NEW.job_id) IS NOT NULL THEN
    -- A recheck repairs what differs: until it has ended, nothing is proven.
    IF EXISTS (SELECT FROM globus_tasks t JOIN destinations d ON d.key = t.destination_key
               WHERE d.job_id = NEW.job_id AND t.ended_at IS NULL) THEN
      RAISE EXCEPTION 'a task on this destination has not ended' USING ERRCODE = 'CS003';
    END IF;
    UPDATE destinations SET state = 'verified', since = clock_timestamp()
    WHERE job_id = NEW.job_id AND state = 'held' AND place = NEW.place;
  END IF;
  RETURN NULL;
END $$;

-- As in 0008, and: a destination stays where it is. Work that moves to another place takes another row.
CREATE OR REPLACE FUNCTION destinations_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
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
  IF NEW.place IS DISTINCT FROM OLD.place THEN
    RAISE EXCEPTION 'a destination does not move to another place' USING ERRCODE = 'CS001';
  END IF;
  IF NEW.key <> OLD.key OR ((NEW.job_id, NEW.path) <> (OLD.job_id, OLD.path) AND OLD.state <> 'released') THEN
    RAISE EXCEPTION 'this destination belongs to job %', OLD.job_id USING ERRCODE = 'CS001';
  END IF;
  IF NEW.state <> OLD.state THEN
    IF (OLD.state, NEW.state) NOT IN (('held', 'removing'), ('held', 'released'), ('held', 'verified'),
        ('removing', 'released'), ('removing', 'held'), ('released', 'held'), ('verified', 'released')) THEN
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

-- Whether a document is about exactly the two names of a path at a place.
CREATE FUNCTION names_exactly(request jsonb, purpose text, place integer, path text) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT CASE purpose
    WHEN 'removal' THEN request ->> 'endpoint' = p.endpoint AND request -> 'paths' = to_jsonb(f.names)
    ELSE request ->> 'destination_endpoint' = p.endpoint
      AND (SELECT array_agg(item ->> 'destination_path' ORDER BY n)
           FROM jsonb_array_elements(request -> 'items') WITH ORDINALITY AS i (item, n)) = f.names
    END
  FROM remote_places p
  CROSS JOIN LATERAL (SELECT CASE p.base_path WHEN '/' THEN path ELSE p.base_path || path END AS archive) AS a
  CROSS JOIN LATERAL (SELECT ARRAY[a.archive, a.archive || '.manifest.json'] AS names) AS f
  WHERE p.id = place
$$;

-- As in the first migration, and: the document names the place and the path that the job holds, and nothing else.
CREATE OR REPLACE FUNCTION globus_tasks_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
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
  IF NOT coalesce(names_exactly(NEW.request, NEW.purpose, owned.place, owned.path), false) THEN
    RAISE EXCEPTION 'this % is not about the place and path that job % holds', NEW.purpose, NEW.job_id USING ERRCODE = 'CS003';
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

-- As in 0008, and: both names were seen to be absent just now, so no earlier transfer makes a later file this job's.
CREATE OR REPLACE FUNCTION release_destination(job uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM FROM destinations d WHERE d.job_id = job AND d.state = 'verified' FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM FROM jobs j WHERE j.id = job AND j.status IN ('completed', 'failed', 'cancelled') FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE verifications SET voided_at = clock_timestamp() WHERE job_id = job AND voided_at IS NULL;
  UPDATE destinations SET state = 'released', clean_since = clock_timestamp() WHERE job_id = job AND state = 'verified';
  RETURN true;
END $$;

-- What may be at a destination because of a job: a task that Globus did not refuse, since the destination was last seen to be clean.
CREATE FUNCTION has_sent(job uuid, destination text) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT EXISTS (
    SELECT FROM globus_tasks t JOIN destinations d ON d.key = t.destination_key
    WHERE t.destination_key = destination AND t.job_id = job AND (t.ended_at IS NULL
      OR (t.status IS DISTINCT FROM 'REFUSED' AND t.created_at > coalesce(d.clean_since, '-infinity'))))
$$;

-- The key of the destination that a live job holds. One that has sent nothing follows the settings to the place in the arguments;
-- one that has sent something stays where it is. Null: it holds nothing, because another job has the path.
CREATE FUNCTION take_destination(job uuid, to_endpoint text, to_base text, to_key text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  owned destinations%ROWTYPE;
  goal integer;
  goal_path text;
BEGIN
  SELECT * INTO owned FROM destinations d WHERE d.job_id = job AND d.state <> 'released' ORDER BY d.since DESC LIMIT 1 FOR UPDATE;
  SELECT j.destination_path INTO goal_path FROM jobs j
    WHERE j.id = job AND j.status NOT IN ('completed', 'failed', 'cancelled') FOR SHARE;
  IF goal_path IS NULL THEN
    RETURN owned.key;
  END IF;
  INSERT INTO remote_places (endpoint, base_path) VALUES (to_endpoint, to_base) ON CONFLICT (endpoint, base_path) DO NOTHING;
  SELECT p.id INTO goal FROM remote_places p WHERE (p.endpoint, p.base_path) = (to_endpoint, to_base);
  IF owned.key IS NOT NULL AND (owned.place = goal OR owned.state <> 'held' OR complete_evidence(job) IS NOT NULL
     OR has_sent(job, owned.key)) THEN
    RETURN owned.key;
  END IF;
  INSERT INTO destinations AS d (key, path, job_id, state, place) VALUES (to_key, goal_path, job, 'held', goal)
    ON CONFLICT (key) DO UPDATE SET job_id = job, path = goal_path, state = 'held' WHERE d.state = 'released';
  IF NOT FOUND THEN
    RETURN CASE WHEN owned.place IS NOT NULL THEN owned.key END;
  END IF;
  UPDATE destinations d SET state = 'released' WHERE d.key = owned.key;
  RETURN to_key;
END $$;
REVOKE ALL ON FUNCTION take_destination(uuid, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_destination(uuid, text, text, text) TO cs_uploader;

-- What is held or owed at places that the settings do not name any more; an unknown place is one of them.
CREATE VIEW work_elsewhere AS
SELECT p.endpoint, p.base_path, now_at.endpoint AS current_endpoint, now_at.base_path AS current_base_path,
  count(*) FILTER (WHERE j.status NOT IN ('completed', 'failed', 'cancelled')) AS jobs,
  count(*) FILTER (WHERE j.status IN ('completed', 'failed', 'cancelled')) AS owed,
  (array_agg(d.job_id ORDER BY d.since))[1] AS job_id, min(d.since) AS since
FROM destinations d
JOIN jobs j ON j.id = d.job_id
LEFT JOIN remote_places p ON p.id = d.place
CROSS JOIN LATERAL (SELECT q.id, q.endpoint, q.base_path FROM remote_places q ORDER BY q.used_at DESC LIMIT 1) AS now_at
WHERE d.state IN ('held', 'removing') AND d.place IS DISTINCT FROM now_at.id AND has_sent(d.job_id, d.key)
GROUP BY p.endpoint, p.base_path, now_at.endpoint, now_at.base_path;
GRANT SELECT ON work_elsewhere TO cs_uploader, cs_gateway;
