-- Which refusal `error_message` is: bad-password, damaged, ... (shared/archiving/formats.py); NULL where no program has to know.
-- It counts only beside an error_message, which the guard clears on a retry.
ALTER TABLE jobs ADD COLUMN error_code text;
GRANT UPDATE (error_code) ON jobs TO cs_scanner, cs_compressor, cs_uploader;
