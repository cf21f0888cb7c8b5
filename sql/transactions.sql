-- Changes of the cache belong to the transaction that makes them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
RESET client_min_messages;
SELECT cache_create_namespace('tx');
CREATE FUNCTION show(VARIADIC keys text[]) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(k || '=' || CASE WHEN cache_exists(k, 'tx') THEN coalesce(cache_get(k, 'tx'), 'null')
                                       ELSE '-' END, ' ' ORDER BY n)
    FROM unnest(keys) WITH ORDINALITY AS u (k, n) $$;

-- the own transaction sees its puts by every function that reads
BEGIN;
SELECT cache_put('a', 'own', '1 hour', ARRAY['t1', 't2'], 'tx', 3), cache_put('n', 42, namespace => 'tx'),
       cache_put('nothing', NULL, namespace => 'tx');
SELECT cache_get('a', 'tx'), cache_get_as('n', 0, 'tx') + 1 AS n, cache_exists('nothing', 'tx'), cache_get('n', 'tx');
SELECT * FROM cache_get_many(ARRAY['n', 'missing', 'nothing', 'a'], 'tx');
SELECT cache_expires_at('a', 'tx') > now() AS expires, cache_expires_at('n', 'tx');
SELECT namespace, key, type, bytes, stored_bytes, version IS NULL AS no_version_yet,
       created_at BETWEEN now() AND clock_timestamp() AS created, expires_at > created_at AS expires,
       last_access = created_at AS untouched, hits, tags, priority
    FROM cache_entry('a', 'tx');
-- what is in the cache does not have them yet
SELECT count(*) FROM cache_entries WHERE namespace = 'tx';
COMMIT;
SELECT show('a', 'n', 'nothing'), (SELECT version > 0 AS version FROM cache_entry('a', 'tx'));
SELECT count(*) FROM cache_entries WHERE namespace = 'tx';

-- reads of own puts count as hits, of own deletes as misses
SELECT hits AS hits, misses AS misses FROM cache_stats_namespaces WHERE namespace = 'tx' \gset
BEGIN;
SELECT cache_put('counted', 'v', namespace => 'tx');
SELECT cache_get('counted', 'tx'), count(*) FROM cache_get_many(ARRAY['counted', 'a', 'missing'], 'tx');
SELECT cache_delete('a', 'tx');
SELECT cache_get('a', 'tx');
ROLLBACK;
SELECT hits - :hits AS hits, misses - :misses AS misses FROM cache_stats_namespaces WHERE namespace = 'tx';

-- ROLLBACK undoes everything
BEGIN;
SELECT cache_put('a', 'changed', namespace => 'tx'), cache_put('new', 'v', namespace => 'tx'), cache_delete('n', 'tx');
SELECT cache_put_many(ARRAY['m1', 'm2'], ARRAY['1', '2'], namespace => 'tx');
SELECT show('a', 'n', 'new', 'm1', 'm2');
ROLLBACK;
SELECT show('a', 'n', 'new', 'm1', 'm2');
-- and so does an error
BEGIN;
SELECT cache_put('a', 'changed', namespace => 'tx');
SELECT cache_put('', 'v');
COMMIT;
SELECT show('a');
BEGIN;
SELECT cache_clear('tx');
SELECT show('a', 'n', 'nothing');
ROLLBACK;
SELECT show('a', 'n', 'nothing');

-- delete
BEGIN;
SELECT cache_delete('a', 'tx'), cache_delete('a', 'tx'), cache_delete('missing', 'tx');
SELECT show('a'), cache_expires_at('a', 'tx') IS NULL AS gone, (SELECT count(*) FROM cache_entry('a', 'tx'));
SELECT cache_put('a', 'again', namespace => 'tx');
SELECT show('a'), cache_delete('a', 'tx');
SELECT show('a');
COMMIT;
SELECT show('a');
SELECT cache_put('a', 'own', '1 hour', namespace => 'tx');

-- touch: of what is in the cache, of what is not, and of an own put
BEGIN;
SELECT cache_touch('a', '1 day', 'tx'), cache_touch('missing', '1 day', 'tx');
SELECT cache_expires_at('a', 'tx') > now() + interval '23 hours' AS touched, show('a');
ROLLBACK;
SELECT cache_expires_at('a', 'tx') > now() + interval '23 hours' AS touched;
BEGIN;
SELECT cache_touch('a', '1 day', 'tx');
COMMIT;
SELECT cache_expires_at('a', 'tx') > now() + interval '23 hours' AS touched, show('a');
BEGIN;
SELECT cache_put('b', 'v', '1 hour', namespace => 'tx'), cache_touch('b', '1 day', 'tx');
SELECT cache_expires_at('b', 'tx') > now() + interval '23 hours' AS touched;
SELECT cache_delete('b', 'tx'), cache_touch('b', '1 day', 'tx');
SELECT cache_put('b', 'v', '1 day', namespace => 'tx'), cache_touch('b', NULL, 'tx');
COMMIT;
SELECT show('b'), cache_expires_at('b', 'tx');

-- put, clear, put: what was put before the clear is gone, what was put after it stays
BEGIN;
SELECT cache_put('c1', 'before', namespace => 'tx'), cache_put('c2', 'before', namespace => 'tx');
SELECT cache_clear('tx');
SELECT show('a', 'c1', 'c2');
SELECT cache_put('c2', 'after', namespace => 'tx');
SELECT show('a', 'c1', 'c2');
COMMIT;
SELECT show('a', 'c1', 'c2');
SELECT key FROM cache_entries WHERE namespace = 'tx' ORDER BY key;

-- savepoints
SELECT cache_put('s', 'zero', namespace => 'tx');
BEGIN;
SAVEPOINT one;
SELECT cache_put('s', 'one', namespace => 'tx'), cache_put('s1', 'one', namespace => 'tx');
SAVEPOINT two;
SELECT cache_put('s', 'two', namespace => 'tx'), cache_delete('s1', 'tx');
SELECT show('s', 's1');
ROLLBACK TO two;
SELECT show('s', 's1');
SELECT cache_clear('tx');
SELECT show('s', 's1');
ROLLBACK TO two;
SELECT show('s', 's1');
ROLLBACK TO one;
SELECT show('s', 's1');
SELECT cache_put('s2', 'after the rollback', namespace => 'tx');
COMMIT;
SELECT show('s', 's1', 's2');
-- released
BEGIN;
SAVEPOINT one;
SELECT cache_put('s', 'released', namespace => 'tx');
SAVEPOINT two;
SELECT cache_put('s1', 'released', namespace => 'tx');
RELEASE two;
RELEASE one;
SELECT show('s', 's1');
COMMIT;
SELECT show('s', 's1');
-- released into one that is rolled back
BEGIN;
SAVEPOINT one;
SELECT cache_put('s', 'outer', namespace => 'tx');
SAVEPOINT two;
SELECT cache_put('s', 'inner', namespace => 'tx'), cache_delete('s1', 'tx');
RELEASE two;
SELECT show('s', 's1');
ROLLBACK TO one;
SELECT show('s', 's1');
COMMIT;
SELECT show('s', 's1');
-- a touch, a tag and a pattern that are rolled back in part
SELECT cache_put('s', 'v', '1 hour', ARRAY['tag'], 'tx');
BEGIN;
SAVEPOINT one;
SELECT cache_touch('s', '1 day', 'tx'), cache_invalidate_tags(ARRAY['tag'], 'tx');
SELECT show('s');
ROLLBACK TO one;
SELECT show('s'), cache_expires_at('s', 'tx') > now() + interval '23 hours' AS touched;
SELECT cache_invalidate_pattern('s%', 'tx');
SELECT show('s', 's1');
ROLLBACK TO one;
SELECT show('s', 's1');
COMMIT;
SELECT show('s', 's1');

-- subtransactions of PL/pgSQL
CREATE FUNCTION attempt(value text, fails boolean) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM cache_put('p', 'outside', namespace => 'tx');
    BEGIN
        PERFORM cache_put('p', value, namespace => 'tx');
        PERFORM cache_put('p in', value, namespace => 'tx');
        IF fails THEN
            PERFORM 1 / 0;
        END IF;
    EXCEPTION WHEN division_by_zero THEN
        PERFORM cache_put('p handler', value, namespace => 'tx');
    END;
    RETURN show('p', 'p in', 'p handler');
END $$;
SELECT attempt('works', false);
SELECT show('p', 'p in', 'p handler');
SELECT attempt('fails', true);
SELECT show('p', 'p in', 'p handler');
-- many keys in many subtransactions, half of them undone
DO $$
BEGIN
    FOR i IN 1 .. 100 LOOP
        BEGIN
            PERFORM cache_put('many' || i, i::text, namespace => 'tx');
            IF i % 2 = 0 THEN
                RAISE EXCEPTION 'undone';
            END IF;
        EXCEPTION WHEN raise_exception THEN
        END;
    END LOOP;
END $$;
SELECT count(*), bool_and(value::int % 2 = 1) AS odd
    FROM cache_get_many(ARRAY(SELECT 'many' || i FROM generate_series(1, 100) i), 'tx');

-- procedures that commit and roll back
DO $$
BEGIN
    PERFORM cache_put('d', 'committed', namespace => 'tx');
    COMMIT;
    PERFORM cache_put('d', 'rolled back', namespace => 'tx');
    RAISE NOTICE 'before %', show('d');
    ROLLBACK;
    RAISE NOTICE 'after %', show('d');
END $$;
SELECT show('d');

-- get, look, put in one function: its puts count as read by the first snapshot
CREATE TABLE tx_page (id int PRIMARY KEY, body text);
INSERT INTO tx_page VALUES (1, 'one'), (2, 'two');
CREATE FUNCTION page(page_id int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v text := cache_get('page' || page_id, 'tx');
BEGIN
    IF v IS NULL THEN
        SELECT body || ', filled' INTO v FROM tx_page WHERE id = page_id;
        PERFORM cache_put('page' || page_id, v, namespace => 'tx', depends_on => ARRAY['tx_page'::regclass]);
    END IF;
    RETURN v;
END $$;
SELECT page(1), page(2);
SELECT show('page1', 'page2');
BEGIN;
-- from the first own change of the table on, what depends on it is not used
UPDATE tx_page SET body = 'ONE' WHERE id = 1;
SELECT show('page1', 'page2');
SELECT page(1);
ROLLBACK;
SELECT show('page1', 'page2');
BEGIN;
UPDATE tx_page SET body = 'ONE' WHERE id = 1;
SELECT page(1);
COMMIT;
SELECT show('page1', 'page2');

-- what a READ ONLY transaction may do
BEGIN READ ONLY;
SELECT cache_put('ro', 'put', namespace => 'tx');
SELECT show('ro');
COMMIT;
SELECT show('ro');
BEGIN READ ONLY;
SELECT cache_delete('ro', 'tx'), cache_touch('d', '1 hour', 'tx'), cache_invalidate_tags(ARRAY['none']);
SELECT show('ro');
COMMIT;
SELECT show('ro');

-- REPEATABLE READ
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT show('s');
SELECT cache_put('s', 'repeatable', namespace => 'tx');
SELECT show('s');
COMMIT;
SELECT show('s');

-- pg_cache.enabled = off: puts act as deletes, and that is undone as well
BEGIN;
SELECT cache_put('s', 'pending', namespace => 'tx');
SET LOCAL pg_cache.enabled = off;
SELECT show('s');
SELECT cache_put('s', 'off', namespace => 'tx');
SET LOCAL pg_cache.enabled = on;
SELECT show('s');
ROLLBACK;
SELECT show('s');
BEGIN;
SET LOCAL pg_cache.enabled = off;
SELECT cache_put('s', 'off', namespace => 'tx'), cache_put_many(ARRAY['s1'], ARRAY['off'], namespace => 'tx');
COMMIT;
SELECT show('s', 's1');

-- cache_add and its like act at once, and not on a key with an uncommitted change
SELECT cache_put('s', 'v', namespace => 'tx');
BEGIN;
SELECT cache_add('lock', 'mine', namespace => 'tx'), cache_incr('hits', namespace => 'tx'),
       cache_replace('s', 'replaced', namespace => 'tx');
SELECT show('lock', 'hits', 's');
ROLLBACK;
SELECT show('lock', 'hits', 's');
\set VERBOSITY sqlstate
BEGIN;
SELECT cache_put('x', 'pending', namespace => 'tx');
SAVEPOINT sp;
SELECT cache_add('x', 'v', namespace => 'tx');
ROLLBACK TO sp;
SELECT cache_delete('hits', 'tx');
SAVEPOINT sp;
SELECT cache_incr('hits', namespace => 'tx');
ROLLBACK TO sp;
SELECT cache_incr('other', namespace => 'tx');
SELECT cache_invalidate_pattern('oth%', 'tx');
SAVEPOINT sp;
SELECT cache_replace('other', 'v', namespace => 'tx');
ROLLBACK TO sp;
SELECT cache_clear('tx');
SAVEPOINT sp;
SELECT cache_cas('other', 1, 'v', namespace => 'tx');
ROLLBACK TO sp;
SELECT cache_add('anything', 'v', namespace => 'tx');
ROLLBACK;
\set VERBOSITY default
BEGIN;
SELECT cache_put('x', 'pending', namespace => 'tx');
SELECT cache_add('x', 'v', namespace => 'tx');
ROLLBACK;
SELECT show('x', 'hits', 'other');

-- not transactional: by the setting
SET pg_cache.transactional = off;
BEGIN;
SELECT cache_put('now', 'put', namespace => 'tx'), cache_delete('s', 'tx'), cache_touch('lock', '1 hour', 'tx');
SELECT show('now', 's');
ROLLBACK;
SELECT show('now', 's'), cache_expires_at('lock', 'tx') < 'infinity' AS touched;
BEGIN;
SELECT cache_put('now', 'tagged', tags => ARRAY['t'], namespace => 'tx');
SELECT cache_invalidate_tags(ARRAY['t'], 'tx');
ROLLBACK;
SELECT show('now');
BEGIN;
SELECT cache_put('now', 'put', namespace => 'tx');
SELECT cache_invalidate_pattern('no_', 'tx');
ROLLBACK;
SELECT show('now');
-- one after the other in one statement
CREATE FUNCTION in_turn() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    seen text;
BEGIN
    PERFORM cache_put('now', 'first', namespace => 'tx');
    PERFORM cache_put('now', 'second', namespace => 'tx');
    seen := show('now');
    PERFORM cache_delete('now', 'tx');
    PERFORM cache_put('now', 'third', namespace => 'tx');
    seen := seen || ' ' || show('now');
    PERFORM cache_delete('now count', 'tx');
    PERFORM cache_incr('now count', namespace => 'tx');
    PERFORM cache_put('now count', 10, namespace => 'tx');
    PERFORM cache_incr('now count', namespace => 'tx');
    RETURN seen || ' ' || show('now count');
END $$;
SELECT in_turn();
DO $$ BEGIN RAISE NOTICE '%', in_turn(); END $$;
SELECT show('now', 'now count');
BEGIN;
SELECT cache_clear('tx');
ROLLBACK;
SELECT show('now', 'lock');
-- what depends on tables stays transactional
BEGIN;
SELECT cache_put('now', 'put', namespace => 'tx', depends_on => ARRAY['tx_page'::regclass]);
SELECT show('now');
ROLLBACK;
SELECT show('now');
RESET pg_cache.transactional;
-- by the namespace's option, which goes before the setting
SELECT cache_create_namespace('tx_now', transactional => false);
BEGIN;
SELECT cache_put('k', 'at once', namespace => 'tx_now'), cache_put('k', 'at commit', namespace => 'tx');
ROLLBACK;
SELECT cache_get('k', 'tx_now'), cache_get('k', 'tx');
SELECT cache_alter_namespace('tx_now', transactional => true);
SET pg_cache.transactional = off;
BEGIN;
SELECT cache_put('k', 'at commit', namespace => 'tx_now'), cache_put('k', 'at once', namespace => 'tx');
ROLLBACK;
SELECT cache_get('k', 'tx_now'), cache_get('k', 'tx');
SELECT cache_alter_namespace('tx_now', reset => '{transactional}');
BEGIN;
SELECT cache_put('k', 'by the setting', namespace => 'tx_now');
ROLLBACK;
SELECT cache_get('k', 'tx_now');
RESET pg_cache.transactional;

-- a namespace of the own transaction
BEGIN;
SELECT cache_create_namespace('tx_new');
SELECT cache_put('k', 'v', namespace => 'tx_new');
SELECT cache_get('k', 'tx_new');
COMMIT;
SELECT cache_get('k', 'tx_new');
BEGIN;
SELECT cache_put('k', 'not seen', namespace => 'tx_new');
SELECT cache_drop_namespace('tx_new');
COMMIT;
SELECT cache_create_namespace('tx_new');
SELECT cache_get('k', 'tx_new') IS NULL AS miss;
SELECT cache_drop_namespace('tx_new');

-- all namespaces at once
SELECT cache_put('k', 'v', namespace => 'tx');
BEGIN;
SELECT cache_clear();
SELECT cache_get('k', 'tx') IS NULL AND cache_get('k', 'tx_now') IS NULL AS miss;
ROLLBACK;
SELECT cache_get('k', 'tx'), cache_get('k', 'tx_now');
SELECT cache_clear();
SELECT cache_get('k', 'tx') IS NULL AND cache_get('k', 'tx_now') IS NULL AS miss;

-- prepared
SELECT cache_put('old', 'v', namespace => 'tx'), cache_put('gone', 'v', namespace => 'tx');
BEGIN;
SELECT cache_put('old', 'prepared', namespace => 'tx'), cache_put('new', 'prepared', namespace => 'tx'),
       cache_delete('gone', 'tx');
PREPARE TRANSACTION 'pgcache_1';
SELECT show('new'), cache_get('old', 'tx') IS DISTINCT FROM 'prepared' AS unseen;
\set VERBOSITY sqlstate
SET lock_timeout = '1ms';
SELECT cache_incr('new', namespace => 'tx');
RESET lock_timeout;
\set VERBOSITY default
COMMIT PREPARED 'pgcache_1';
SELECT show('old', 'new', 'gone');
BEGIN;
SELECT cache_put('old', 'prepared again', namespace => 'tx'), cache_put('newer', 'prepared', namespace => 'tx');
PREPARE TRANSACTION 'pgcache_1';
ROLLBACK PREPARED 'pgcache_1';
SELECT show('newer'), coalesce(cache_get('old', 'tx'), 'prepared') AS old;
SELECT cache_add('newer', 'added', namespace => 'tx');
SELECT show('newer');

-- pending puts take a share of the memory; beyond it the oldest become deletes
SELECT cache_put('big1', 'small', namespace => 'tx');
SELECT dropped_puts AS dropped FROM cache_stats_namespaces WHERE namespace = 'tx' \gset
BEGIN;
SELECT cache_put('big' || i, repeat(i::text, 1000000), namespace => 'tx') FROM generate_series(1, 12) i \g /dev/null
SELECT cache_exists('big1', 'tx') AS oldest, length(cache_get('big12', 'tx')) AS newest;
COMMIT;
SELECT cache_exists('big1', 'tx') AS oldest, length(cache_get('big12', 'tx')) AS newest;
SELECT dropped_puts > :dropped AS dropped FROM cache_stats_namespaces WHERE namespace = 'tx';

-- what acts at once ends own puts that it hits, whatever is rolled back, and an
-- own change of the key keeps the order of the program
SELECT cache_put('m' || i, 'old', tags => '{mt}', namespace => 'tx') FROM generate_series(1, 6) i \g /dev/null
BEGIN;
SELECT cache_put('m' || i, 'own', tags => '{mt}', namespace => 'tx') FROM generate_series(1, 2) i \g /dev/null
SELECT cache_put('m3', 'own', namespace => 'tx'), cache_put('x4', 'own', namespace => 'tx'), cache_put('m5', 'own', namespace => 'tx');
SET LOCAL pg_cache.transactional = off;
SAVEPOINT s;
SELECT cache_delete('m3', 'tx'), cache_invalidate_pattern('x%', 'tx'), cache_put('m5', 'now', namespace => 'tx');
SELECT cache_invalidate_tags('{mt}', 'tx');
SELECT show('m1', 'm2', 'm3', 'x4', 'm5', 'm6');
ROLLBACK TO s;
SELECT show('m1', 'm2', 'm3', 'x4', 'm5', 'm6');
COMMIT;
SELECT show('m1', 'm2', 'm3', 'x4', 'm5', 'm6');

DROP FUNCTION show, attempt, in_turn, page;
DROP TABLE tx_page;
SELECT cache_drop_namespace('tx'), cache_drop_namespace('tx_now');
SELECT * FROM cache_check();
