-- What others put into the extension's schema before it is created is not used.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_cache;
CREATE SCHEMA cacheinstall;
CREATE ROLE regress_pgcache_mallory;
GRANT CREATE, USAGE ON SCHEMA cacheinstall TO regress_pgcache_mallory;

-- Operators that fit other types than PostgreSQL's do, and functions likewise.
SET ROLE regress_pgcache_mallory;
SET search_path = cacheinstall;
DO $$
DECLARE
    types text[] := '{smallint,integer,bigint,float8,numeric,text,name,varchar,interval,timestamptz,jsonb,oid,regclass,boolean,text[],bigint[]}';
    a text;
    b text;
    op text;
    result text;
BEGIN
    FOREACH a IN ARRAY types LOOP
        EXECUTE format('CREATE FUNCTION nextval(%s) RETURNS bigint LANGUAGE plpgsql AS %L', a,
                       'BEGIN RAISE ''trapped''; END');
        EXECUTE format('CREATE FUNCTION octet_length(%s) RETURNS int LANGUAGE plpgsql AS %L', a,
                       'BEGIN RAISE ''trapped''; END');
        FOREACH b IN ARRAY types LOOP
            FOREACH result IN ARRAY '{float8,boolean}'::text[] LOOP
                EXECUTE format('CREATE FUNCTION trap_%1$s(%2$s, %3$s) RETURNS %1$s LANGUAGE plpgsql AS %4$L',
                               result, a, b, 'BEGIN RAISE ''trapped''; END');
            END LOOP;
            FOREACH op IN ARRAY '{+,-,*,/,%,||,->,->>,<,<=,=,<>,>=,>}'::text[] LOOP
                EXECUTE format('CREATE OPERATOR %s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = trap_%s)',
                               op, a, b, CASE WHEN op IN ('+', '-', '*', '/', '%', '||', '->', '->>') THEN 'float8' ELSE 'boolean' END);
            END LOOP;
        END LOOP;
    END LOOP;
END $$;
RESET ROLE;

CREATE EXTENSION pg_cache SCHEMA cacheinstall;
RESET search_path;
RESET client_min_messages;
SELECT pg_describe_object(classid, objid, objsubid) AS uses,
       pg_describe_object(refclassid, refobjid, refobjsubid) AS used
FROM pg_depend
WHERE (refclassid = 'pg_proc'::regclass AND
       refobjid IN (SELECT oid FROM pg_proc WHERE proowner = 'regress_pgcache_mallory'::regrole) OR
       refclassid = 'pg_operator'::regclass AND
       refobjid IN (SELECT oid FROM pg_operator WHERE oprowner = 'regress_pgcache_mallory'::regrole)) AND
      NOT (classid = 'pg_operator'::regclass AND
           objid IN (SELECT oid FROM pg_operator WHERE oprowner = 'regress_pgcache_mallory'::regrole))
ORDER BY 1, 2;
SELECT count(*) FROM cacheinstall.cache_stats;
SELECT count(*) FROM cacheinstall.cache_stats_namespaces;
INSERT INTO cacheinstall.cache_namespaces
    (name, owner, readers, writers, default_ttl, max_ttl, ttl_jitter, min_bytes, max_bytes, max_entries,
     compression, compression_threshold)
VALUES ('n', current_user::regrole, '{}', '{}', '1 s', '1 min', 0.5, 1, 2, 3, 'lz4', 4);
SELECT id, name FROM cacheinstall.cache_namespaces;
SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'cacheinstall.cache_namespaces'::regclass;

SET client_min_messages = warning;
DROP EXTENSION pg_cache;
DROP OWNED BY regress_pgcache_mallory;
DROP ROLE regress_pgcache_mallory;
DROP SCHEMA cacheinstall;
RESET client_min_messages;
