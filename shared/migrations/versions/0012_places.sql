-- Record the endpoint and base path of every destination and submission.
SELECT 1;
