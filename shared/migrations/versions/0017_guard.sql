-- Fix the search path of every function and take temporary objects away from every role.
SELECT 1;
