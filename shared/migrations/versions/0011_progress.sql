-- When the figures of the running stage were last written: a pack's `updated_at` moves with them.
ALTER TABLE jobs ADD COLUMN progress_at timestamptz;
GRANT UPDATE (progress_at) ON jobs TO cs_scanner, cs_compressor, cs_uploader;
