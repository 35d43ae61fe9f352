-- People, tokens, settings at run time, the audit log, and what the history needs to stay fast at a million jobs.

-- People -----------------------------------------------------------------------------------------------------------------------

ALTER TABLE users ADD COLUMN disabled_at timestamptz;  -- from when this account may do nothing; null: it may

CREATE TABLE api_tokens (                          -- for scripts; the token itself is shown once and kept nowhere
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  name text NOT NULL CHECK (name <> ''),
  scope text NOT NULL CHECK (scope IN ('read', 'operate', 'admin')),
  digest bytea NOT NULL UNIQUE,                    -- SHA-256 of the token: 256 random bits need no slow hash
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz,
  last_used_at timestamptz,                        -- to the minute: a write per request would cost more than it tells
  revoked_at timestamptz
);
CREATE INDEX api_tokens_of_user ON api_tokens (user_id, created_at);
CREATE UNIQUE INDEX api_tokens_name ON api_tokens (user_id, lower(name)) WHERE revoked_at IS NULL;

CREATE UNLOGGED TABLE login_failures (             -- counted before the password is looked at, forgotten after a crash
  key text PRIMARY KEY,                            -- account or address; names as digests, because people type passwords there
  failures integer NOT NULL,
  since timestamptz NOT NULL
);

-- Settings ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE runtime_settings (                    -- what an admin set; what has no row comes from the environment
  name text PRIMARY KEY,
  value jsonb NOT NULL,
  set_by text NOT NULL,
  set_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Audit ------------------------------------------------------------------------------------------------------------------------

CREATE TABLE audit (                               -- who did what, when, from where; rows are never changed
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  actor text NOT NULL,                             -- the name as it was; empty: nobody known
  actor_id uuid,
  via text NOT NULL DEFAULT '',                    -- login, cookie, or token:<name>
  address text NOT NULL DEFAULT '',
  request_id text NOT NULL DEFAULT '',
  action text NOT NULL,                            -- a stable word for programs
  target text NOT NULL DEFAULT '',                 -- what it was done to: an id, or a name
  message text NOT NULL,                           -- a sentence for people
  data jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_at ON audit (at, id);
CREATE INDEX audit_actor ON audit (lower(actor), id);
CREATE INDEX audit_action ON audit (action, id);
CREATE INDEX audit_target ON audit (target, id);
CREATE TRIGGER audit_immutable BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION never_changed();
CREATE TRIGGER audit_stays BEFORE TRUNCATE ON audit EXECUTE FUNCTION never_changed();

-- History ----------------------------------------------------------------------------------------------------------------------

-- What people search jobs by: level 1, level 2 and name, in small letters.
CREATE FUNCTION job_words(source_path text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT lower(regexp_replace(source_path, '^.*/([^/]*/[^/]*/[^/]*)$', '\1'))
$$;

-- All pieces of three characters of a text. (The extension pg_trgm does this too; the embedded Postgres does not have it.)
CREATE FUNCTION pieces(words text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce(array_agg(DISTINCT substr(words, n, 3)), '{}') FROM generate_series(1, length(words) - 2) AS n
$$;

CREATE INDEX jobs_words ON jobs USING gin (pieces(job_words(source_path)));
CREATE INDEX jobs_history_by_kind ON jobs (kind, created_at DESC, id DESC) INCLUDE (status, created_by) WHERE cleared_at IS NULL;
CREATE INDEX jobs_history_by_state ON jobs (kind, status, created_at DESC, id DESC) INCLUDE (created_by) WHERE cleared_at IS NULL;
CREATE INDEX jobs_history_by_user ON jobs (kind, lower(created_by), created_at DESC, id DESC) INCLUDE (status) WHERE cleared_at IS NULL;
-- The older two lack the kind, and nothing asks without it.
DROP INDEX jobs_history;
DROP INDEX jobs_history_by_status;

-- How many rows the planner expects for the history's filters: for a total that must not cost a count of a million rows.
CREATE FUNCTION expected_jobs(kinds text[], states text[], creator text, owner uuid, words text, since timestamptz, before timestamptz)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  condition text := format('kind = ANY(%L::text[]) AND cleared_at IS NULL', kinds);
  plan json;
BEGIN
  IF states IS NOT NULL THEN condition := condition || format(' AND status = ANY(%L::text[])', states); END IF;
  IF creator IS NOT NULL THEN condition := condition || format(' AND lower(created_by) = lower(%L)', creator); END IF;
  IF owner IS NOT NULL THEN condition := condition || format(' AND (kind = ''archive'' OR created_by_id = %L)', owner); END IF;
  IF words IS NOT NULL THEN condition := condition || format(' AND pieces(job_words(source_path)) @> pieces(lower(%L))', words); END IF;
  IF since IS NOT NULL THEN condition := condition || format(' AND created_at >= %L', since); END IF;
  IF before IS NOT NULL THEN condition := condition || format(' AND created_at < %L', before); END IF;
  EXECUTE 'EXPLAIN (FORMAT JSON) SELECT FROM jobs WHERE ' || condition INTO plan;
  RETURN (plan -> 0 -> 'Plan' ->> 'Plan Rows')::numeric::bigint;
END $$;

-- Statements with optional filters need a plan for the filters that are there.
ALTER ROLE cs_gateway SET plan_cache_mode = 'force_custom_plan';

-- Rights -----------------------------------------------------------------------------------------------------------------------

GRANT SELECT, INSERT, UPDATE, DELETE ON api_tokens, login_failures TO cs_gateway;
GRANT SELECT ON runtime_settings TO cs_scanner, cs_compressor, cs_uploader, cs_gateway;
GRANT INSERT, UPDATE, DELETE ON runtime_settings TO cs_gateway;
GRANT SELECT ON audit TO cs_gateway;
GRANT INSERT (actor, actor_id, via, address, request_id, action, target, message, data) ON audit TO cs_gateway;
