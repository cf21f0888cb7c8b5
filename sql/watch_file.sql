-- Watched files: who may watch what; 057_watch_file.pl has what the worker does.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_cache CASCADE;
CREATE EXTENSION pg_cache;
CREATE ROLE regress_pgcache_reader;
CREATE ROLE regress_pgcache_second;
CREATE ROLE regress_pgcache_nobody;
GRANT pg_read_server_files TO regress_pgcache_reader, regress_pgcache_second;
RESET client_min_messages;

SELECT current_setting('data_directory') AS data \gset
CREATE VIEW watched AS
SELECT replace(path, current_setting('data_directory'), 'DATA') AS path, namespace, tags,
       CASE WHEN owner::text LIKE 'regress%' THEN owner::text ELSE 'us' END AS owner,
       condition, mtime IS NOT NULL AS has_mtime, size, inode > 0 AS has_inode
FROM cache_file_watches ORDER BY path, namespace;
SELECT cache_create_namespace('second');
SELECT cache_create_namespace('closed');
-- what becomes of a call
CREATE FUNCTION try(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'SELECT ' || call;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate || ' ' || sqlerrm;
END $$;

---- Watching ----

SELECT cache_watch_file(:'data' || '/PG_VERSION', '{version,b,version}');
SELECT cache_watch_file('/nonexistent/pg_cache/f', '{f}');
SELECT * FROM watched;
-- one path, whatever it is written like; another namespace is another watch
SELECT cache_watch_file(:'data' || '//./PG_VERSION', '{a}', 'second');
SELECT cache_watch_file('/nonexistent//pg_cache/f/', '{g,h}');
SELECT * FROM watched;
-- a file below a file is none
SELECT cache_watch_file(:'data' || '/PG_VERSION/f', '{f}');
-- a directory is watched itself
SELECT cache_watch_file(:'data' || '/global', '{f}', namespace => 'second');
SELECT path, condition FROM watched WHERE path LIKE 'DATA/PG_VERSION/f' OR path LIKE 'DATA/global';
-- with the transaction
BEGIN;
SELECT cache_watch_file('/nonexistent/pg_cache/g', '{g}');
SELECT cache_unwatch_file('/nonexistent/pg_cache/f');
SELECT path FROM watched WHERE path LIKE '/none%';
ROLLBACK;
SELECT path FROM watched WHERE path LIKE '/none%';
BEGIN;
SELECT cache_watch_file('/nonexistent/pg_cache/twice', '{a}'), cache_watch_file('/nonexistent/pg_cache/twice', '{b}');
SELECT cache_unwatch_file('/nonexistent/pg_cache/twice');
SELECT cache_watch_file('/nonexistent/pg_cache/twice', '{c}');
COMMIT;
SELECT path, tags FROM watched WHERE path LIKE '/none%';
-- all of a path's
SELECT cache_unwatch_file(:'data' || '/PG_VERSION');
SELECT cache_unwatch_file(:'data' || '/PG_VERSION/f');
SELECT cache_unwatch_file('/nonexistent/pg_cache/twice');
SELECT path, namespace FROM watched;

---- Errors ----

\t
SELECT try($$cache_watch_file(NULL, '{a}')$$);
SELECT try($$cache_watch_file('/f', NULL)$$);
SELECT try($$cache_watch_file('/f', '{a}', NULL)$$);
SELECT try($$cache_watch_file('/f', '{a,NULL}')$$);
SELECT try($$cache_watch_file('/f', '{}')$$);
SELECT try($$cache_watch_file('/f', '{""}')$$);
SELECT try($$cache_watch_file('/f', ARRAY[repeat('t', 64)])$$);
SELECT try($$cache_watch_file('/f', (SELECT array_agg(n::text) FROM generate_series(1, 17) AS n))$$);
SELECT try($$cache_watch_file('', '{a}')$$);
SELECT try($$cache_watch_file('f', '{a}')$$);
SELECT try($$cache_watch_file('../f', '{a}')$$);
SELECT try($$cache_watch_file('/' || repeat('f', 1023), '{a}')$$);
SELECT try($$cache_watch_file('/f', '{a}', 'missing')$$);
SELECT try($$cache_watch_file('/f', '{a}', '')$$);
SELECT try($$cache_unwatch_file(NULL)$$);
SELECT try($$cache_unwatch_file('f')$$);
SELECT try($$cache_unwatch_file('/f')$$);
SELECT try($$cache_watch_file('/f', '{a}')$$);
BEGIN READ ONLY;
SELECT try($$cache_watch_file('/f', '{a}')$$);
SELECT try($$cache_unwatch_file('/f')$$);
ROLLBACK;
SELECT try($$cache_unwatch_file('/f')$$);

---- Privileges ----

SET ROLE regress_pgcache_nobody;
SELECT try($$cache_watch_file('/nonexistent/pg_cache/n', '{a}')$$);
SELECT try($$cache_unwatch_file('/nonexistent/pg_cache/f')$$);
SELECT try($$cache_unwatch_file('/nonexistent/pg_cache/unknown')$$);
-- the table is to be read only
SELECT count(*) FROM cache_file_watches;
SELECT path, namespace, tags FROM cache_file_watches WHERE false;
-- but not what the files are like
SELECT condition FROM cache_file_watches;
SELECT mtime, size, inode FROM cache_file_watches;
INSERT INTO cache_file_watches VALUES ('/f', 'default', '{}', current_user::regrole, 'absent');
RESET ROLE;

SET ROLE regress_pgcache_reader;
SELECT try($$cache_watch_file('/nonexistent/pg_cache/r', '{a}')$$);
SELECT try($$cache_watch_file('/nonexistent/pg_cache/r', '{a}', 'closed')$$);
-- another's
SELECT try($$cache_watch_file('/nonexistent/pg_cache/f', '{a}')$$);
SELECT try($$cache_unwatch_file('/nonexistent/pg_cache/f')$$);
RESET ROLE;
SELECT try($$cache_grant('closed', 'regress_pgcache_reader', 'write')$$);
SET ROLE regress_pgcache_reader;
SELECT try($$cache_watch_file('/nonexistent/pg_cache/r', '{a}', 'closed')$$);
RESET ROLE;
-- a member of the owner takes it over
SET ROLE regress_pgcache_second;
SELECT try($$cache_watch_file('/nonexistent/pg_cache/r', '{b}')$$);
SELECT try($$cache_unwatch_file('/nonexistent/pg_cache/r')$$);
RESET ROLE;
GRANT regress_pgcache_reader TO regress_pgcache_second;
SET ROLE regress_pgcache_second;
SELECT try($$cache_watch_file('/nonexistent/pg_cache/r', '{b}')$$);
RESET ROLE;
SELECT path, namespace, tags, owner FROM watched WHERE path LIKE '%/r';
SET ROLE regress_pgcache_second;
SELECT try($$cache_unwatch_file('/nonexistent/pg_cache/r')$$);
RESET ROLE;
\t

---- The table ----

-- what its owner does to it directly
UPDATE cache_file_watches SET tags = '{}' WHERE path LIKE '%/f';
DELETE FROM cache_file_watches;
TRUNCATE cache_file_watches;
-- columns of one's own
ALTER TABLE cache_file_watches ADD COLUMN note text;
\set VERBOSITY sqlstate
SELECT cache_watch_file('/nonexistent/pg_cache/f', '{f}');
\set VERBOSITY default
ALTER TABLE cache_file_watches DROP COLUMN note;
SELECT cache_watch_file('/nonexistent/pg_cache/f', '{f}');
SELECT cache_watch_file('/nonexistent/pg_cache/f', '{g}');
SELECT * FROM watched;
DROP VIEW watched;
DROP FUNCTION try;
SELECT * FROM cache_check();

SET client_min_messages = warning;
DROP EXTENSION pg_cache;
DROP ROLE regress_pgcache_reader, regress_pgcache_second, regress_pgcache_nobody;
