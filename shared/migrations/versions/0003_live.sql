-- Live updates and controls: tickets for sockets, and where a pause ends.

CREATE TABLE ws_tickets (                          -- opens one live connection, once; the ticket itself is kept nowhere
  digest bytea PRIMARY KEY,                        -- SHA-256 of the ticket: 256 random bits need no slow hash
  claims jsonb NOT NULL,                           -- of the login that asked for it: the connection ends when that login ends
  expires_at timestamptz NOT NULL
);
CREATE INDEX ws_tickets_expiry ON ws_tickets (expires_at);
GRANT SELECT, INSERT, DELETE ON ws_tickets TO cs_gateway;

-- From the proof on a job runs to its end. A pause that was asked for a moment earlier ends there; a new one is refused.
CREATE FUNCTION jobs_pause_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.paused AND NEW.status IN ('verified', 'deleting_source', 'completed', 'failed', 'cancelled') THEN
    IF NEW.status = OLD.status THEN
      RAISE EXCEPTION 'a job that is % is not paused', NEW.status USING ERRCODE = 'CS002';
    END IF;
    NEW.paused := false;
  END IF;
  RETURN NEW;
END $$;
-- After jobs_guard: triggers run in the order of their names.
CREATE TRIGGER jobs_pause_guard BEFORE UPDATE OF paused, status ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_pause_guard();

-- What the dashboard counts.
ALTER TABLE jobs ADD COLUMN fetched_at timestamptz;  -- when somebody first fetched what a pack made; null: nobody did
GRANT UPDATE (fetched_at) ON jobs TO cs_gateway;
CREATE INDEX jobs_fetched ON jobs (fetched_at) WHERE fetched_at IS NOT NULL;
CREATE INDEX jobs_counted ON jobs (kind, status);
