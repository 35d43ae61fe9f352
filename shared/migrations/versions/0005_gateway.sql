-- Taking a clearing of the history back finds its jobs at once.
CREATE INDEX jobs_cleared ON jobs (cleared_at) WHERE cleared_at IS NOT NULL;
