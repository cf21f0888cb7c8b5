-- cache_clock_timestamp, cache_may_read, cache_error, cache_log.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
RESET client_min_messages;

SELECT cache_clock_timestamp() >= now() AS clock;

-- who may see what is recorded
SELECT cache_create_namespace('monitor open'), cache_create_namespace('monitor closed');
SELECT cache_grant('monitor open', 'public', 'read');
CREATE ROLE regress_cache_reader;
CREATE ROLE regress_cache_monitor IN ROLE pg_monitor;
CREATE VIEW readable AS
    SELECT name, cache_may_read(name)
    FROM unnest(ARRAY['default', 'monitor open', 'monitor closed', 'no such', '', repeat('x', 64), NULL]) AS name;
GRANT SELECT ON readable TO PUBLIC;
SET ROLE regress_cache_reader;
SELECT * FROM readable;
SELECT cache_get('k', 'monitor open') IS NULL AS miss;
SELECT * FROM readable;
RESET ROLE;
SELECT cache_grant('monitor closed', 'regress_cache_reader', 'read');
SELECT cache_revoke('monitor open', 'public', 'read');
SET ROLE regress_cache_reader;
SELECT * FROM readable;
RESET ROLE;
SET ROLE regress_cache_monitor;
SELECT * FROM readable;
RESET ROLE;
SELECT cache_revoke('monitor closed', 'regress_cache_reader', 'read');
DROP VIEW readable;

-- errors
DO $$
DECLARE
    detail text;
    hint text;
BEGIN
    PERFORM cache_error('42704', 'message', 'Detail.', 'Hint.');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RAISE INFO '% % % %', SQLSTATE, SQLERRM, detail, hint;
END $$;
SELECT cache_error('22023', 'message only');
-- what is none
\set VERBOSITY sqlstate
SELECT cache_error('1', 'x');
SELECT cache_error('00000', 'x');
SELECT cache_error('01000', 'x');
SELECT cache_error('02000', 'x');
SELECT cache_error('2202e', 'x');
SELECT cache_error(NULL, 'x');
SELECT cache_error('22023', NULL);
\set VERBOSITY default

-- the log
SET client_min_messages = log;
SELECT cache_log('a line');
SELECT cache_log('an urgent line', true);
RESET client_min_messages;
SET ROLE regress_cache_reader;
SELECT cache_log('not for everybody');
RESET ROLE;

DROP ROLE regress_cache_reader, regress_cache_monitor;
SELECT cache_drop_namespace('monitor open'), cache_drop_namespace('monitor closed');
SELECT * FROM cache_check();
