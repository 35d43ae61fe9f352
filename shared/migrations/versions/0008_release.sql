-- Custody 3: an admin's release of a verified destination whose archive is there no more.

-- As in the first migration, and one step more: verified -> released, which needs that no evidence counts any more.
CREATE OR REPLACE FUNCTION destinations_guard() RETURNS trigger LANGUAGE plpgsql AS $$
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

-- The only way to that step. The evidence is voided with it: a retry must never empty a source on a proof whose archive is gone.
-- The caller has seen "not found" for both names just now. False: there is nothing to release, or its job is at work.
CREATE FUNCTION release_destination(job uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
  UPDATE destinations SET state = 'released' WHERE job_id = job AND state = 'verified';
  RETURN true;
END $$;
REVOKE ALL ON FUNCTION release_destination(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION release_destination(uuid) TO cs_uploader;
