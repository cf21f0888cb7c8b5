-- What a transaction has pending: what becomes of it, what it is counted as, and
-- what it takes, in cases that have gone wrong.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
RESET client_min_messages;
SELECT cache_create_namespace('pend'), cache_create_namespace('pend_now', transactional => false);
CREATE TABLE pend (id int PRIMARY KEY, v text);
INSERT INTO pend VALUES (1, 'old');
CREATE FUNCTION show(VARIADIC keys text[]) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(k || '=' || coalesce(cache_get(k, 'pend'), '-'), ' ' ORDER BY n)
    FROM unnest(keys) WITH ORDINALITY AS u (k, n) $$;
CREATE FUNCTION attempt(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE query INTO result;
    RETURN result;
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate || ': ' || sqlerrm;
END $$;

---- cache_depend ----

-- on an own put, after the transaction has changed the table itself
BEGIN;
SELECT cache_put('d', v, namespace => 'pend') FROM pend;
UPDATE pend SET v = 'new';
SELECT cache_depend('d', '{pend}', 'pend'), show('d');
COMMIT;
SELECT show('d'), v FROM pend;
-- changed before the data were read
BEGIN;
UPDATE pend SET v = 'newer';
SELECT cache_put('d', v, namespace => 'pend', depends_on => '{pend}') FROM pend;
SELECT cache_depend('d', '{pend}', 'pend'), show('d');
COMMIT;
SELECT show('d'), v FROM pend;
-- after a touch: the new TTL stays, whether it had one before or not
SELECT cache_put('t1', 'v', namespace => 'pend'), cache_put('t2', 'v', '1 hour', namespace => 'pend');
BEGIN;
SELECT cache_touch('t1', '1 day', 'pend'), cache_touch('t2', '1 day', 'pend');
SELECT cache_depend('t1', '{pend}', 'pend'), cache_depend('t2', '{pend}', 'pend');
SELECT k, cache_expires_at(k, 'pend') - now() BETWEEN '23 hours' AND '25 hours' AS touched FROM unnest('{t1,t2}'::text[]) AS k;
COMMIT;
SELECT k, cache_expires_at(k, 'pend') - now() BETWEEN '23 hours' AND '25 hours' AS touched FROM unnest('{t1,t2}'::text[]) AS k;
SELECT show('t1', 't2');
-- the other way round
SELECT cache_put('t1', 'v', namespace => 'pend');
BEGIN;
SELECT cache_depend('t1', '{pend}', 'pend'), cache_touch('t1', '1 day', 'pend');
COMMIT;
SELECT cache_expires_at('t1', 'pend') - now() BETWEEN '23 hours' AND '25 hours' AS touched;

---- Many tags and puts ----

-- each put has three tags, of which some are invalidated before it or after it.  Some
-- more are missed because their tags share a stamp with one that was.
CREATE FUNCTION wrong_ones() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM generate_series(1, 2000) AS i
        WHERE cache_get('m' || i, 'pend') <> 'v' || i OR ((i % 7 = 0 OR i % 5 = 0) AND cache_exists('m' || i, 'pend')) $$;
CREATE FUNCTION present() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM cache_get_many(ARRAY(SELECT 'm' || i FROM generate_series(1, 2000) AS i), 'pend') $$;
BEGIN;
DO $$
BEGIN
    FOR i IN 1 .. 2000 LOOP
        IF i % 3 = 0 THEN
            PERFORM cache_invalidate_tags(ARRAY['a' || i, 'b' || i], 'pend');
        END IF;
        PERFORM cache_put('m' || i, 'v' || i, tags => ARRAY['a' || i, 'b' || i, 'c' || i % 10], namespace => 'pend');
    END LOOP;
    FOR i IN 1 .. 2000 LOOP
        PERFORM cache_invalidate_tags(ARRAY[CASE WHEN i % 7 = 0 THEN 'b' ELSE 'x' END || i], 'pend');
    END LOOP;
END $$;
SELECT cache_invalidate_tags('{c0,c5}', 'pend');
SELECT present() AS present \gset
SELECT wrong_ones(), :present BETWEEN 1000 AND 1372 AS nearly_all;
-- also where some is rolled back
SAVEPOINT s;
SELECT cache_invalidate_tags(ARRAY['c1', 'b2', 'a3'], 'pend');
SELECT show('m1', 'm2', 'm3'), present() BETWEEN :present - 202 AND :present AS nearly_all;
ROLLBACK TO s;
SELECT wrong_ones(), present() = :present AS same;
COMMIT;
SELECT wrong_ones(), present() = :present AS same;
-- put again after the tag, touched, deleted, matched
BEGIN;
SELECT cache_put('p' || i, 'v', tags => '{t}', namespace => 'pend') FROM generate_series(1, 6) AS i \g /dev/null
SELECT cache_invalidate_tags('{t}', 'pend');
SELECT cache_touch('p1', '1 hour', 'pend'), cache_delete('p2', 'pend'), cache_exists('p3', 'pend');
SELECT cache_put('p4', 'again', tags => '{t}', namespace => 'pend'), cache_put('p5', 'again', namespace => 'pend');
SELECT show('p1', 'p2', 'p3', 'p4', 'p5', 'p6'), cache_invalidate_pattern('p5', 'pend');
SELECT show('p1', 'p2', 'p3', 'p4', 'p5', 'p6');
COMMIT;
SELECT show('p1', 'p2', 'p3', 'p4', 'p5', 'p6');

---- What acts at once ----

-- an unrelated tag, pattern or clear is no reason for a put to wait
SELECT cache_put('old', 'v', namespace => 'pend');
BEGIN;
SELECT cache_invalidate_tags('{other}', 'pend'), cache_invalidate_tags('{t}', 'pend_now'), cache_clear('pend_now');
SET LOCAL pg_cache.transactional = off;
SELECT cache_put('now', 'v', tags => '{t}', namespace => 'pend');
ROLLBACK;
SELECT show('now');
BEGIN;
SELECT cache_invalidate_pattern('other%', 'pend');
SET LOCAL pg_cache.transactional = off;
SELECT cache_put('now2', 'v', tags => '{t}', namespace => 'pend');
ROLLBACK;
SELECT show('now2');
-- the own change of the key, one of its tags, or all: in the order of the program
CREATE FUNCTION put_now(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    shown text;
BEGIN
    EXECUTE 'SELECT ' || change;
    PERFORM set_config('pg_cache.transactional', 'off', true);
    PERFORM cache_put('now', 'own', tags => '{t,u}', namespace => 'pend');
    shown := show('now');
    RAISE 'undone';
EXCEPTION WHEN raise_exception THEN
    RETURN shown || ', then ' || show('now');
END $$;
SELECT change, put_now(change) FROM unnest(ARRAY[
    $$cache_delete('now', 'pend')$$, $$cache_invalidate_tags('{u}', 'pend')$$, $$cache_invalidate_pattern('n%', 'pend')$$,
    $$cache_invalidate_tags('{t,u}', 'pend', all_of => true)$$, $$cache_clear('pend')$$, $$cache_invalidate_tags('{other}', 'pend')$$]) AS change;

-- cache_add and the like refuse where an own change, not yet for all, would hit them
SELECT cache_put('e', '1', tags => '{t,u}', namespace => 'pend');
CREATE FUNCTION at_once(change text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    query text;
BEGIN
    FOREACH query IN ARRAY ARRAY[
        $q$cache_add('absent', '1', tags => '{t,u}', namespace => 'pend')$q$,
        $q$cache_replace('e', '2', tags => '{t,u}', namespace => 'pend')$q$,
        $q$cache_replace('e', '2', namespace => 'pend')$q$,
        $q$cache_incr('e', namespace => 'pend')$q$,
        $q$cache_cas('e', (SELECT version FROM cache_entry('e', 'pend')), '3', tags => '{t,u}', namespace => 'pend')$q$] LOOP
        BEGIN
            EXECUTE 'SELECT ' || change;
            EXECUTE 'SELECT ' || query;
            RETURN NEXT query || ': done';
        EXCEPTION WHEN OTHERS THEN
            RETURN NEXT split_part(query, '(', 1) || ': ' || sqlstate;
        END;
    END LOOP;
END $$;
SELECT change, array_agg(r) FROM unnest(ARRAY[
    $$cache_invalidate_tags('{t}', 'pend')$$, $$cache_invalidate_tags('{t,u}', 'pend', all_of => true)$$,
    $$cache_invalidate_pattern('%', 'pend')$$, $$cache_clear('pend')$$]) AS change, at_once(change) AS r
    GROUP BY change ORDER BY change;
SELECT show('absent', 'e');
-- not so a tag that the value hasn't
BEGIN;
SELECT cache_invalidate_tags('{other}', 'pend');
SELECT cache_add('added', '1', tags => '{t}', namespace => 'pend'), attempt($$SELECT cache_add('added2', '1', tags => '{other}', namespace => 'pend')$$);
ROLLBACK;
SELECT show('added', 'added2');

-- what was cleared at once by the same statement before it keeps nothing out
CREATE FUNCTION clear_and(query text) RETURNS text LANGUAGE plpgsql SET pg_cache.transactional = off AS $$
BEGIN
    PERFORM cache_clear('pend');
    RETURN attempt('SELECT ' || query);
END $$;
SELECT clear_and($$cache_put('c', 'v', namespace => 'pend')$$);
SELECT show('c', 'now');
SELECT clear_and($$cache_add('c', 'added', namespace => 'pend')$$);
SELECT show('c');
SELECT clear_and($$cache_incr('c', namespace => 'pend')$$);
SELECT show('c');

---- Counts ----

CREATE FUNCTION counts() RETURNS text LANGUAGE sql AS $$
    SELECT format('puts %s, deletes %s, tag %s, pattern %s, table %s, manual %s, entries %s', puts, deletes, invalidations_tag,
                  invalidations_pattern, invalidations_table, invalidations_manual, entries) FROM cache_stats_namespaces WHERE namespace = 'pend' $$;
SELECT cache_clear('pend');
SELECT cache_reset_stats();
-- what a transaction does is counted when it is prepared
SELECT cache_put('n' || i, 'v', namespace => 'pend') FROM generate_series(1, 4) AS i \g /dev/null
SELECT counts();
BEGIN;
SELECT cache_put('n5', 'v', namespace => 'pend'), cache_delete('n1', 'pend'), cache_delete('n2', 'pend'), cache_invalidate_pattern('n3', 'pend');
SELECT counts();
PREPARE TRANSACTION 'regress_pgcache';
SELECT counts();
COMMIT PREPARED 'regress_pgcache';
SELECT counts();
-- an entry of a table that has changed is counted and goes when it is asked for
SELECT cache_clear('pend');
SELECT cache_reset_stats();
SELECT cache_put('t', v, depends_on => '{pend}', namespace => 'pend'), cache_put('u', v, tags => '{t}', namespace => 'pend') FROM pend;
SELECT counts();
UPDATE pend SET v = 'newest';
SELECT show('t'), show('t'), counts();
SELECT cache_invalidate_tags('{t}', 'pend');
SELECT show('u'), show('u');
SELECT invalidations_table, entries FROM cache_stats_namespaces WHERE namespace = 'pend';

---- SERIALIZABLE ----

-- what depends on tables is a miss there, but it is an entry for what acts at once
SELECT cache_put('s', v, depends_on => '{pend}', namespace => 'pend') FROM pend;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT show('s'), cache_add('s', 'added', namespace => 'pend'), cache_add('s2', 'added', namespace => 'pend');
SELECT cache_replace('s2', 'replaced', namespace => 'pend'), show('s', 's2');
COMMIT;
SELECT show('s', 's2');
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT cache_replace('s', 'replaced', namespace => 'pend');
COMMIT;
SELECT show('s');

---- Memory ----

-- a value has many owners: the put and each touch; one that is rolled back leaves
-- nothing, and the value goes when the put is dropped
CREATE FUNCTION pending_memory() RETURNS bigint LANGUAGE sql AS $$
    SELECT coalesce(sum(total_bytes), 0) FROM pg_backend_memory_contexts WHERE name = 'pg_cache changes' $$;
SELECT memory_limit AS limit, memory_limit / 1024 AS digests FROM cache_stats \gset
SET pg_cache.compression = none;
SELECT set_config('regress.digests', :digests::text, false) IS NOT NULL AS set;
BEGIN;
DO $$
DECLARE
    digests int := current_setting('regress.digests');
BEGIN
    FOR i IN 1 .. 60 LOOP
        PERFORM cache_put('large' || i, repeat(md5(i::text), digests), namespace => 'pend');
        BEGIN
            PERFORM cache_touch('large' || i, '1 hour', 'pend');
            RAISE 'undone';
        EXCEPTION WHEN raise_exception THEN
        END;
    END LOOP;
END $$;
-- nearly twice the cache's memory was put; half of it may be pending, and the value that is put
SELECT pending_memory() BETWEEN :limit / 4 AND :limit * 3 / 4 AS bounded;
SELECT cache_get('large60', 'pend') = repeat(md5('60'), :digests) AS newest;
COMMIT;
SELECT cache_get('large60', 'pend') = repeat(md5('60'), :digests) AS newest;
RESET pg_cache.compression;
BEGIN;
SELECT cache_put('same', repeat('x', 1000), namespace => 'pend');
SELECT pending_memory() AS memory \gset
DO $$
BEGIN
    FOR i IN 1 .. 5000 LOOP
        BEGIN
            PERFORM cache_touch('same', '1 hour', 'pend');
            RAISE 'undone';
        EXCEPTION WHEN raise_exception THEN
        END;
        PERFORM cache_put('same', repeat('x', 1000), namespace => 'pend');
    END LOOP;
END $$;
SELECT pending_memory() <= 4 * :memory + 64 * 1024 AS bounded, cache_get('same', 'pend') = repeat('x', 1000) AS same;
ROLLBACK;

SELECT * FROM cache_check();
DROP FUNCTION show, attempt, wrong_ones, present, put_now, at_once, clear_and, counts, pending_memory;
DROP TABLE pend;
SELECT cache_drop_namespace('pend'), cache_drop_namespace('pend_now');
