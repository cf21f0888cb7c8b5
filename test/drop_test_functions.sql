-- Drops what test_functions.sql created.  Regress tests share a database: the next one
-- that wants the functions creates them.
SET client_min_messages = warning;
DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT oid FROM pg_proc WHERE proname LIKE 'pgcache_test_%' AND pronamespace = 'public'::regnamespace LOOP
        EXECUTE format('DROP FUNCTION %s', f);
    END LOOP;
END $$;
RESET client_min_messages;
