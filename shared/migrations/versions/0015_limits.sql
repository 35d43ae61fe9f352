-- Limit what one user can hold: queued jobs, entries, login attempts.

-- Whose turn it is among the users whose packs wait.
CREATE INDEX jobs_turns ON jobs (created_by_id, started_at DESC) WHERE kind <> 'archive' AND started_at IS NOT NULL;
