-- The guard is alone with its names. Fix the search path of every function and take the right to make objects from every role.
-- Idempotent: shared/migrations/guard.py runs this file again after every upgrade, because no dump of a database carries its rights.

-- A service makes no objects: nothing of its own can stand where a function, or the service's own SQL, looks for a table.
DO $$
DECLARE
  grantee text;
BEGIN
  EXECUTE format('REVOKE TEMPORARY, CREATE ON DATABASE %I FROM PUBLIC', current_database());
  REVOKE ALL ON SCHEMA public FROM PUBLIC;
  FOREACH grantee IN ARRAY ARRAY['cs_scanner', 'cs_compressor', 'cs_uploader', 'cs_gateway'] LOOP
    EXECUTE format('REVOKE TEMPORARY, CREATE ON DATABASE %I FROM %I', current_database(), grantee);
    EXECUTE format('REVOKE CREATE ON SCHEMA public FROM %I', grantee);
    EXECUTE format('ALTER ROLE %I SET search_path = pg_catalog, public, pg_temp', grantee);
  END LOOP;
END $$;

-- Large objects have no owner among our tables and no limit. Without the rights of a superuser this only warns.
REVOKE EXECUTE ON FUNCTION lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea) FROM PUBLIC;

-- Every function, those of earlier and later migrations too. Without a path of its own, a function looks its names up where its
-- caller says, among the caller's temporary tables first.
DO $$
DECLARE
  routine record;
BEGIN
  -- It works with the owner's rights, for the gateway alone. (An upgrade to an early version does not have it yet.)
  IF to_regprocedure('public.fold_job_totals()') IS NOT NULL THEN
    GRANT EXECUTE ON FUNCTION public.fold_job_totals() TO cs_gateway;
  END IF;
  FOR routine IN
    SELECT p.oid::regprocedure AS name, p.proconfig, p.prorettype = 'trigger'::regtype AS by_trigger,
      EXISTS (SELECT FROM aclexplode(p.proacl) a JOIN pg_roles r ON r.oid = a.grantee
              WHERE r.rolname IN ('cs_scanner', 'cs_compressor', 'cs_uploader', 'cs_gateway')) AS granted
    FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace AND p.prokind IN ('f', 'p')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  LOOP
    IF NOT coalesce('search_path=pg_catalog, public, pg_temp' = ANY (routine.proconfig), false) THEN
      EXECUTE format('ALTER ROUTINE %s SET search_path = pg_catalog, public, pg_temp', routine.name);
    END IF;
    EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', routine.name);
    -- Triggers need no right to be called. What no service was given by name is for all four.
    IF NOT routine.granted AND NOT routine.by_trigger THEN
      EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO cs_scanner, cs_compressor, cs_uploader, cs_gateway', routine.name);
    END IF;
  END LOOP;
END $$;
