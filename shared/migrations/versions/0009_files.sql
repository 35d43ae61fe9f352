-- Files of workspaces: what an upload says it is, what a quota has promised already, and workspaces whose users are gone.

-- What the client says about the file it sends (its size and time of change, say): another one under this path starts from the beginning.
ALTER TABLE uploads ADD COLUMN tag text NOT NULL DEFAULT '';

-- What one user's running jobs and uploads have taken of the quota, except one job. All of it, what is written too: work in progress lies
-- beside the workspace until it is published, so that nobody finds it there when adding up what the workspace holds.
CREATE OR REPLACE FUNCTION unwritten_bytes_of(owner uuid, except_job uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT ((SELECT coalesce(sum(r.bytes), 0) FROM reservations r JOIN jobs j ON j.id = r.job_id
           WHERE j.kind <> 'archive' AND j.created_by_id = owner AND r.job_id IS DISTINCT FROM except_job)
        + (SELECT coalesce(sum(total_bytes), 0) FROM uploads WHERE user_id = owner))::bigint
$$;

CREATE TABLE left_workspaces (                     -- of users who were deleted: kept until an admin removes them
  user_id uuid PRIMARY KEY,
  username text NOT NULL,
  left_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT, DELETE ON left_workspaces TO cs_gateway;
