-- Limit what one user can hold: queued jobs, entries, login attempts.

-- Whose turn it is among the users whose packs wait.
CREATE INDEX jobs_turns ON jobs (created_by_id, started_at DESC) WHERE kind <> 'archive' AND started_at IS NOT NULL;

-- Where each user has logged in: strangers who guess from there or elsewhere do not keep that user out.
CREATE TABLE known_addresses (
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  address text NOT NULL,                           -- as the login limits count addresses: an IPv6 /64 is one
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (user_id, address)
);
CREATE INDEX known_addresses_age ON known_addresses (at);
GRANT SELECT, INSERT, UPDATE, DELETE ON known_addresses TO cs_gateway;

-- Whose tickets wait, so that nobody fills the table.
ALTER TABLE ws_tickets ADD COLUMN user_id uuid;
CREATE INDEX ws_tickets_of_user ON ws_tickets (user_id);
