-- Warmers: how they are defined, who may do what with them, and runs by hand.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_cache;
CREATE SCHEMA warmers;
CREATE EXTENSION pg_cache SCHEMA warmers;
RESET client_min_messages;
SET search_path = warmers, public;
CREATE ROLE regress_pgcache_owner LOGIN;
CREATE ROLE regress_pgcache_member LOGIN IN ROLE regress_pgcache_owner;
CREATE ROLE regress_pgcache_stranger LOGIN;
CREATE ROLE regress_pgcache_nologin;
CREATE ROLE regress_pgcache_monitor LOGIN IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA warmers TO PUBLIC;
CREATE TABLE public.items (id int PRIMARY KEY, name text, price numeric);
INSERT INTO items SELECT i, 'item ' || i, i * 1.5 FROM generate_series(1, 200) i;
GRANT SELECT ON items TO regress_pgcache_owner;
SELECT cache_create_namespace('closed'), cache_create_namespace('owned');
SELECT cache_grant('owned', 'regress_pgcache_owner', 'write'), cache_grant('owned', 'public', 'read');

-- Creating one.
SET ROLE regress_pgcache_owner;
SELECT cache_create_warmer('items', 'SELECT id, name FROM items', '*/5 * * * *');
SELECT name, query, schedule, namespace, ttl, tags, timeout, max_rows, max_attempts, jitter,
       time_zone, enabled, owner, search_path, created_at <= clock_timestamp() AS created
FROM cache_warmers;
SELECT cache_create_warmer('all', 'VALUES (1, 2)', '1 hour 30 min', namespace => 'owned', ttl => '10 min',
    tags => ARRAY['a', 'b'], timeout => '1 min', max_rows => 10, max_attempts => 1, jitter => '5 s',
    time_zone => 'Europe/Berlin', enabled => false);
SELECT name, schedule, namespace, ttl, tags, timeout, max_rows, max_attempts, jitter, time_zone, enabled
FROM cache_warmers WHERE name = 'all';

-- What is refused: names,
SELECT cache_create_warmer('items', 'VALUES (1, 2)', '@daily');
SELECT cache_create_warmer('', 'VALUES (1, 2)', '@daily');
SELECT cache_create_warmer(repeat('x', 64), 'VALUES (1, 2)', '@daily');
SELECT cache_create_warmer(NULL, 'VALUES (1, 2)', '@daily');
-- queries,
SELECT cache_create_warmer('x', NULL, '@daily');
SELECT cache_create_warmer('x', '', '@daily');
SELECT cache_create_warmer('x', 'SELECT', '@daily');
SELECT cache_create_warmer('x', 'SELECT 1', '@daily');
SELECT cache_create_warmer('x', 'SELECT 1, 2, 3', '@daily');
SELECT cache_create_warmer('x', 'SELECT 1, 2; SELECT 1, 2', '@daily');
SELECT cache_create_warmer('x', 'SELECT id, nme FROM items', '@daily');
SELECT cache_create_warmer('x', 'SELECT 1, FROM items', '@daily');
SELECT cache_create_warmer('x', 'SELECT 1, $1', '@daily');
SELECT cache_create_warmer('x', 'INSERT INTO items VALUES (0) RETURNING id, name', '@daily');
SELECT cache_create_warmer('x', 'WITH d AS (DELETE FROM items RETURNING id, name) SELECT * FROM d', '@daily');
SELECT cache_create_warmer('x', 'SELECT id, name FROM items FOR UPDATE', '@daily');
SELECT cache_create_warmer('x', 'SELECT 1 AS a, 2 AS b INTO t', '@daily');
SELECT cache_create_warmer('x', 'SHOW ALL', '@daily');
-- schedules,
SELECT cache_create_warmer('x', 'VALUES (1, 2)', NULL);
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', 'often');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '0 25 * * *');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '* * * *');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@reboot');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '0 0 30 2 *');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '0 s');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '-1 h');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '99999999999 years');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', time_zone => 'Mars/Base');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', time_zone => repeat('x', 300));
-- limits,
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', ttl => '0');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', timeout => '0');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', timeout => '25 h');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', max_rows => 0);
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', max_attempts => 0);
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', jitter => '-1 s');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', tags => ARRAY['a', NULL]);
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', tags => ARRAY['']);
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', tags => (SELECT array_agg(i::text) FROM generate_series(1, 17) i));
-- namespaces,
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', namespace => NULL);
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', namespace => 'none');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', namespace => 'closed');
-- roles and transactions.
RESET ROLE;
SET ROLE regress_pgcache_nologin;
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily');
RESET ROLE;
BEGIN READ ONLY;
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily');
ROLLBACK;
SELECT name FROM cache_warmers ORDER BY name;

-- The codes of these errors.
\set VERBOSITY sqlstate
SELECT cache_create_warmer('items', 'VALUES (1, 2)', '@daily');
SELECT cache_create_warmer('', 'VALUES (1, 2)', '@daily');
SELECT cache_create_warmer('x', NULL, '@daily');
SELECT cache_create_warmer('x', 'SELECT 1', '@daily');
SELECT cache_create_warmer('x', 'SHOW ALL', '@daily');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', 'often');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '0 25 * * *');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '0 0 30 2 *');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '0 s');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', time_zone => 'Mars/Base');
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', max_rows => 0);
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', namespace => 'none');
SELECT cache_drop_warmer('none');
SELECT cache_alter_warmer('none');
SELECT cache_run_warmer('none');
SET ROLE regress_pgcache_stranger;
SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily', namespace => 'closed');
SELECT cache_drop_warmer('items');
SELECT cache_run_warmer('items');
RESET ROLE;
\set VERBOSITY default

-- What it may run without being asked what it may read.
SET ROLE regress_pgcache_stranger;
SELECT cache_create_warmer('denied', 'SELECT id, name FROM items', '@daily');
SELECT cache_run_warmer('denied');
SELECT cache_drop_warmer('denied');

-- Altering.
SET ROLE regress_pgcache_member;
SELECT cache_alter_warmer('all');
SELECT cache_alter_warmer('all', schedule => '@start', ttl => '1 h', enabled => true, max_rows => 3);
SELECT name, query, schedule, namespace, ttl, tags, timeout, max_rows, max_attempts, jitter, time_zone, enabled, owner
FROM cache_warmers WHERE name = 'all';
SELECT cache_alter_warmer('all', reset => ARRAY['ttl', 'tags', 'timeout', 'max_rows', 'max_attempts', 'jitter', 'time_zone', 'namespace', 'enabled']);
SELECT name, query, schedule, namespace, ttl, tags, timeout, max_rows, max_attempts, jitter, time_zone, enabled, owner
FROM cache_warmers WHERE name = 'all';
SELECT cache_alter_warmer('all', ttl => '1 h', reset => ARRAY['ttl']);
SELECT cache_alter_warmer('all', reset => ARRAY['query']);
SELECT cache_alter_warmer('all', reset => ARRAY['schedule']);
SELECT cache_alter_warmer('all', reset => ARRAY['owner']);
SELECT cache_alter_warmer('all', reset => ARRAY[NULL]::text[]);
SELECT cache_alter_warmer('all', query => 'SELECT 1');
SELECT cache_alter_warmer('all', schedule => 'never');
SELECT cache_alter_warmer('all', max_rows => -1);
SELECT cache_alter_warmer('all', namespace => 'closed');
SELECT cache_alter_warmer('none', max_rows => 1);
SELECT cache_alter_warmer(NULL, max_rows => 1);
SET search_path = warmers, pg_temp;
SELECT cache_alter_warmer('all', query => 'VALUES (3, 4), (5, 6)');
SELECT query, search_path FROM cache_warmers WHERE name = 'all';
SET search_path = warmers, public;

-- Others may not.
SET ROLE regress_pgcache_stranger;
SELECT cache_alter_warmer('all', max_rows => 1);
SELECT cache_drop_warmer('all');
SELECT cache_run_warmer('all');
SELECT cache_drop_warmer('none');
SELECT cache_run_warmer('none');
INSERT INTO cache_warmers SELECT * FROM cache_warmers;
DELETE FROM cache_warmers;
SELECT cache_warmer_run_start('x', 0::regrole, now(), 1, 'manual', now());
SELECT cache_warmer_runs_trim();

-- Runs by hand: by a member of the owner, as the owner.
SET ROLE regress_pgcache_member;
SELECT count(*) FROM items;
SELECT cache_run_warmer('items');
SELECT cache_get('1'), cache_get('200'), cache_exists('201');
SELECT name, rows, bytes, error, sqlstate, note, attempt, reason, owner, finished_at >= started_at AS finished
FROM cache_warmer_runs;
RESET ROLE;
SELECT cache_run_warmer('all');
SELECT cache_get('3'), cache_get_as('5', NULL::int);
SELECT name, rows, bytes, owner FROM cache_warmer_runs ORDER BY id;

-- Who sees the runs.
SET ROLE regress_pgcache_stranger;
SELECT name FROM cache_warmer_runs;
SET ROLE regress_pgcache_monitor;
SELECT name FROM cache_warmer_runs ORDER BY id;
SELECT * FROM cache_warmer_progress;
RESET ROLE;

-- Tags, TTL, namespace; the last of equal keys wins; values of all types and NULL.
SELECT cache_create_warmer('types', $$
    SELECT k, v FROM (VALUES ('a', jsonb '{"x": 1}'), ('b', NULL), ('c', '[1]'), ('c', '[2]')) AS t (k, v)$$,
    '@start', namespace => 'owned', ttl => '1 hour', tags => ARRAY['t1', 't2']);
SELECT cache_run_warmer('types');
SELECT key, type, tags, expires_at - created_at BETWEEN '59 min' AND '61 min' AS ttl FROM cache_entries
WHERE namespace = 'owned' ORDER BY key;
SELECT cache_get('a', 'owned'), cache_get('b', 'owned'), cache_exists('b', 'owned'), cache_get('c', 'owned');
SELECT cache_invalidate_tags(ARRAY['t2'], 'owned');
SELECT cache_exists('a', 'owned'), cache_exists('c', 'owned');

-- The key by its type's output function.
SELECT cache_alter_warmer('types', query => $$SELECT row(1, date '2024-02-29'), 'v'$$);
SELECT cache_run_warmer('types');
SELECT key, cache_get(key, 'owned') FROM cache_entries WHERE namespace = 'owned';
SELECT cache_alter_warmer('types', query => $$SELECT NULL::text, 'v'$$);
SELECT cache_run_warmer('types');
SELECT cache_alter_warmer('types', query => $$SELECT '', 'v'$$);
SELECT cache_run_warmer('types');
SELECT cache_alter_warmer('types', query => $$SELECT 'k', row(1, 2)$$);
SELECT cache_run_warmer('types');

-- The cap.
SELECT cache_alter_warmer('types', query => 'SELECT i, i FROM generate_series(1, 100) i', max_rows => 60);
SELECT cache_run_warmer('types');
SELECT rows, note, error FROM cache_warmer_runs ORDER BY id DESC LIMIT 1;
SELECT cache_alter_warmer('types', max_rows => 100);
SELECT cache_run_warmer('types');
SELECT rows, note, error FROM cache_warmer_runs ORDER BY id DESC LIMIT 1;

-- Part of the transaction.
BEGIN;
SELECT cache_alter_warmer('types', query => $$SELECT 'rolled back', 1$$);
SELECT cache_run_warmer('types');
SELECT cache_get('rolled back', 'owned');
ROLLBACK;
SELECT cache_exists('rolled back', 'owned'), query FROM cache_warmers WHERE name = 'types';

-- With the owner's privileges and none of the caller's, whatever the query does.
CREATE FUNCTION public.whoami() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN current_user;
END $$;
CREATE FUNCTION public.escape() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RESET ROLE;
    RETURN current_user;
END $$;
SET ROLE regress_pgcache_owner;
SELECT cache_create_warmer('whoami', $$SELECT 'whoami', whoami()$$, '@start');
SELECT cache_create_warmer('escape', $$SELECT 'escape', escape()$$, '@start');
SELECT cache_create_warmer('secret', $$SELECT 'secret', rolpassword FROM pg_authid$$, '@start');
RESET ROLE;
SELECT cache_run_warmer('whoami'), current_user = session_user AS back;
SELECT cache_get('whoami');
SELECT cache_run_warmer('escape');
SELECT cache_run_warmer('secret');
SELECT current_user = session_user AS back, current_setting('search_path');

-- It means what it meant, whatever the caller's search path.
CREATE SCHEMA other;
CREATE TABLE other.items (id int, name text);
INSERT INTO other.items VALUES (1, 'wrong');
GRANT ALL ON SCHEMA other TO PUBLIC;
GRANT SELECT ON other.items TO PUBLIC;
CREATE TEMP TABLE items AS SELECT 1 AS id, 'wrong' AS name;
GRANT SELECT ON pg_temp.items TO PUBLIC;
SET search_path = other, warmers;
SELECT cache_run_warmer('items');
SELECT cache_get('1'), current_setting('search_path');
SET search_path = warmers, public;
DROP TABLE pg_temp.items;
SET search_path = '';
SELECT warmers.cache_create_warmer('no path', 'SELECT id, name FROM public.items', '@start');
SELECT warmers.cache_run_warmer('no path');
SET search_path = warmers, public;
SELECT name, search_path FROM cache_warmers WHERE name = 'no path';

-- A query that has become wrong.
ALTER TABLE items RENAME name TO title;
SELECT cache_run_warmer('items');
ALTER TABLE items RENAME title TO name;
SELECT cache_alter_warmer('items', query => 'SELECT * FROM (SELECT id, name FROM items) AS i');
CREATE TABLE public.pair (a int, b int);
INSERT INTO pair VALUES (1, 2);
SELECT cache_create_warmer('pair', 'TABLE pair', '@start');
SELECT cache_run_warmer('pair');
ALTER TABLE pair ADD c int;
SELECT cache_run_warmer('pair');

-- A warmer that runs itself, and one that runs another.
SELECT cache_create_warmer('itself', $$SELECT 'k', cache_run_warmer('itself')$$, '@start');
SELECT cache_run_warmer('itself');
SELECT cache_create_warmer('another', $$SELECT 'another', cache_run_warmer('itself')$$, '@start');
SELECT cache_alter_warmer('itself', query => 'VALUES (1, 1), (2, 2)');
SELECT cache_run_warmer('another');
SELECT cache_get('another'), (SELECT count(*) FROM cache_warmer_progress);

-- With the cache off puts act as deletes.
SET pg_cache.enabled = off;
SELECT cache_run_warmer('another');
RESET pg_cache.enabled;
SELECT cache_exists('another');

-- Privileges that were lost.
SELECT cache_create_warmer('lost', 'VALUES (1, 2)', '@start', namespace => 'owned');
SELECT cache_alter_warmer('lost', namespace => 'default');
SET ROLE regress_pgcache_owner;
SELECT cache_create_warmer('revoked', 'VALUES (1, 2)', '@start', namespace => 'owned');
RESET ROLE;
SELECT cache_revoke('owned', 'regress_pgcache_owner', 'write');
SELECT cache_run_warmer('revoked');
SELECT cache_alter_warmer('revoked', max_rows => 5);
ALTER ROLE regress_pgcache_owner NOLOGIN;
SELECT cache_alter_warmer('items', max_rows => 5);
SELECT cache_run_warmer('whoami');
SELECT cache_alter_warmer('items', enabled => false, max_rows => 5);
SELECT cache_alter_warmer('items', enabled => true);
ALTER ROLE regress_pgcache_owner LOGIN;

-- Owners that are gone, or are called otherwise.
CREATE ROLE regress_pgcache_gone LOGIN;
SET ROLE regress_pgcache_gone;
SELECT cache_create_warmer('gone', 'VALUES (1, 2)', '@start');
RESET ROLE;
ALTER ROLE regress_pgcache_gone RENAME TO regress_pgcache_called;
SELECT cache_run_warmer('gone');
SELECT cache_alter_warmer('gone');
SELECT cache_run_warmer('gone'), owner, owner_name FROM cache_warmers WHERE name = 'gone';
DROP ROLE regress_pgcache_called;
SELECT cache_run_warmer('gone');
SET ROLE regress_pgcache_stranger;
SELECT cache_drop_warmer('gone');
RESET ROLE;
SELECT cache_drop_warmer('gone');

-- Runs are trimmed: no more than a hundred of each warmer, and none too old.
SELECT count(cache_run_warmer('whoami')) FROM generate_series(1, 102);
SELECT cache_warmer_runs_trim();
SELECT count(*) FROM cache_warmer_runs WHERE name = 'whoami';
UPDATE cache_warmer_runs SET finished_at = now() - interval '31 days' WHERE name <> 'whoami';
SELECT cache_warmer_runs_trim();
SELECT name, count(*) FROM cache_warmer_runs GROUP BY name;

-- Dropping leaves the entries.
SELECT cache_drop_warmer('whoami');
SELECT cache_get('whoami');
SELECT cache_run_warmer('whoami');
SELECT count(cache_drop_warmer(name)) FROM (SELECT name FROM cache_warmers OFFSET 0) AS all_of_them;
SELECT count(*) FROM cache_warmers;

SELECT * FROM cache_check();
DROP EXTENSION pg_cache;
DROP SCHEMA warmers, other CASCADE;
DROP TABLE items, pair;
DROP FUNCTION whoami(), escape();
DROP ROLE regress_pgcache_member, regress_pgcache_stranger, regress_pgcache_nologin,
    regress_pgcache_monitor, regress_pgcache_owner;
