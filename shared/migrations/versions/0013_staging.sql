-- Record the staging that holds each archive.
SELECT 1;
