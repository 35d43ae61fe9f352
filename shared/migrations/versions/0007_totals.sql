-- Exact totals at a million jobs: counted when they change, not when somebody looks; and what cannot be known is counted in an index.

-- How many jobs there are of each sort is the sum of `n`. A change adds rows (-1, +1) and so never waits for another transaction.
CREATE TABLE job_totals (
  kind text NOT NULL,
  status text NOT NULL,
  cleared boolean NOT NULL,
  creator text NOT NULL,                           -- created_by in small letters
  owner uuid,                                      -- created_by_id
  n bigint NOT NULL
);

CREATE FUNCTION jobs_count() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    INSERT INTO job_totals VALUES (OLD.kind, OLD.status, OLD.cleared_at IS NOT NULL, lower(OLD.created_by), OLD.created_by_id, -1);
  END IF;
  INSERT INTO job_totals VALUES (NEW.kind, NEW.status, NEW.cleared_at IS NOT NULL, lower(NEW.created_by), NEW.created_by_id, 1);
  RETURN NULL;
END $$;
CREATE TRIGGER jobs_count_new AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_count();
CREATE TRIGGER jobs_count_changed AFTER UPDATE ON jobs FOR EACH ROW
  WHEN ((OLD.status, OLD.cleared_at IS NULL, OLD.created_by_id) IS DISTINCT FROM (NEW.status, NEW.cleared_at IS NULL, NEW.created_by_id))
  EXECUTE FUNCTION jobs_count();
-- A total is right however a row came in, a restored backup's too.
ALTER TABLE jobs ENABLE ALWAYS TRIGGER jobs_count_new;
ALTER TABLE jobs ENABLE ALWAYS TRIGGER jobs_count_changed;

-- Sums up what belongs together, when that at least halves the rows.
CREATE FUNCTION fold_job_totals() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH gone AS (
    DELETE FROM job_totals
    WHERE (SELECT count(*) > 2 * count(DISTINCT (kind, status, cleared, creator, owner)) FROM job_totals) RETURNING *)
  INSERT INTO job_totals SELECT kind, status, cleared, creator, owner, sum(n) FROM gone GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0
$$;

INSERT INTO job_totals
SELECT kind, status, cleared_at IS NOT NULL, lower(created_by), created_by_id, count(*) FROM jobs GROUP BY 1, 2, 3, 4, 5;

-- Totals are not guessed any more, and these two were for counting.
DROP FUNCTION expected_jobs(text[], text[], text, uuid, text, timestamptz, timestamptz);
DROP INDEX jobs_counted;

-- A filter by words or by user reads no row that it does not show: all it asks for stands in the indexes that give the order.
ALTER TABLE jobs ADD COLUMN words text GENERATED ALWAYS AS (job_words(source_path)) STORED;
DROP INDEX jobs_history_by_kind, jobs_history_by_state, jobs_history_by_user, jobs_words;
CREATE INDEX jobs_history_by_kind ON jobs (kind, created_at DESC, id DESC) INCLUDE (status, created_by, created_by_id, words)
  WHERE cleared_at IS NULL;
CREATE INDEX jobs_history_by_state ON jobs (kind, status, created_at DESC, id DESC) INCLUDE (created_by, created_by_id, words)
  WHERE cleared_at IS NULL;
CREATE INDEX jobs_history_by_user ON jobs (kind, lower(created_by), created_at DESC, id DESC)
  INCLUDE (status, created_by, created_by_id, words) WHERE cleared_at IS NULL;
CREATE INDEX jobs_words ON jobs USING gin (pieces(words));

GRANT SELECT ON job_totals TO cs_gateway;
