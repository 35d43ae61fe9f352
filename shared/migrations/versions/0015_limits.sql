-- Limit what one user can hold: queued jobs, entries, login attempts.
SELECT 1;
