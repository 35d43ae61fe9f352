-- A zip of what arrives in a workspace by an upload or an extraction, where its user wants one.

CREATE TABLE auto_archive (                        -- what each user wants
  user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
  everything boolean NOT NULL DEFAULT false,       -- wherever in the workspace it arrives
  folders text[] NOT NULL DEFAULT '{}',            -- in these folders and below
  since timestamptz NOT NULL DEFAULT clock_timestamp(),  -- extractions that ended earlier do not count
  problem text,                                    -- why no zip was made the last time
  problem_at timestamptz
);

CREATE TABLE arrivals (                            -- uploaded files of which no zip was asked for yet
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  path text NOT NULL,                              -- below the user's root
  size bigint NOT NULL,
  batch text NOT NULL DEFAULT '',                  -- files that a client sends together; empty: each by itself
  is_closed boolean NOT NULL DEFAULT false,        -- the client says that the batch has arrived whole
  arrived_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (user_id, path)
);

CREATE TABLE extractions_seen (                    -- extractions of which a zip was asked for, or refused
  job_id uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE
);

CREATE FUNCTION wants_archive(wanted auto_archive, path text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT wanted.everything OR EXISTS (SELECT FROM unnest(wanted.folders) AS f(folder) WHERE starts_with(path, folder || '/'))
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON auto_archive, arrivals, extractions_seen TO cs_gateway;
