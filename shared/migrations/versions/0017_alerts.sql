-- Whether a newer job has archived the folder of a failed one. A hash, because a path may be longer than a B-tree's entry.
CREATE INDEX jobs_archived_source ON jobs USING hash (source_path) WHERE kind = 'archive' AND status = 'completed';
