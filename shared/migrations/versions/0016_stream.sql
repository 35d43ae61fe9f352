-- Let the event stream be rebuilt while the services run.
SELECT 1;
