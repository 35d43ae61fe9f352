-- Keep a running total of each workspace's usage.
SELECT 1;
