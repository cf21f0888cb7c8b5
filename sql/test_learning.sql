-- What is learned of hours: keys, predictions, and how good these were.  Times are
-- given and shown as the time since a Monday in the near future.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_cache CASCADE;
CREATE EXTENSION pg_cache;
RESET client_min_messages;
\getenv abs_srcdir PG_ABS_SRCDIR
\set test_functions :abs_srcdir '/test/test_functions.sql'
\set ECHO none
\i :test_functions
\set ECHO all
SET timezone = 'Asia/Kathmandu';
CREATE TABLE monday AS SELECT date_trunc('week', now(), 'UTC') + '336:00' AS at;
CREATE FUNCTION at(hours interval) RETURNS timestamptz STABLE
    LANGUAGE sql AS 'SELECT at + hours FROM monday';
CREATE FUNCTION set_time(hours interval) RETURNS void
    LANGUAGE sql AS 'SELECT pgcache_test_set_clock(at(hours) - clock_timestamp())';
-- asks so many times for each key
CREATE FUNCTION ask(keys text[], times int[], namespace text) RETURNS bigint
    LANGUAGE sql AS 'SELECT count(*) FROM
        (SELECT cache_get(key, namespace) FROM unnest(keys, times) u (key, n), generate_series(1, n) OFFSET 0) a';
CREATE VIEW hours AS
    SELECT coalesce(name, 'default') AS namespace, hour_of_week AS how, key, round(weight::numeric, 2) AS weight,
           seen_at - at('0') AS seen
    FROM cache_key_hours LEFT JOIN cache_namespaces ON id = namespace_id
    ORDER BY namespace, how, weight DESC, key;
CREATE VIEW accuracy AS
    SELECT namespace, hour - at('0') AS hour, predicted, asked, share, round(coverage::numeric, 2) AS coverage
    FROM cache_prediction_accuracy ORDER BY hour, namespace;
SELECT cache_create_namespace('learned'), cache_create_namespace('other');

-- hours of the week are those of UTC, whatever the session's time zone
SELECT cache_hour_of_week('2100-01-04 00:00 UTC') AS monday, cache_hour_of_week('2100-01-03 23:59:59.9 UTC') AS sunday,
       cache_hour_of_week('1901-01-01 12:30 UTC') AS long_ago, cache_hour_of_week('2100-01-04 00:00') AS here;

-- nothing is known at first
SELECT set_time('10:20');
SELECT cache_learn();
SELECT * FROM cache_predict('learned');
SELECT * FROM hours;

-- an hour is learned when it is over: its keys, those that were not there too
SELECT ask('{a,b,c}', '{9,4,1}', 'learned'), ask('{d}', '{3}', 'default');
SELECT cache_learn();
SELECT * FROM hours;
SELECT set_time('11:00');
-- (it is not forgotten if that fails, and not counted twice)
BEGIN;
SELECT cache_learn();
ROLLBACK;
BEGIN;
SAVEPOINT one;
SELECT cache_learn();
ROLLBACK TO one;
COMMIT;
BEGIN;
SELECT cache_learn();
SAVEPOINT one;
SELECT cache_learn();
RELEASE one;
COMMIT;
SELECT * FROM hours;
SELECT * FROM accuracy;
-- once, and without a transaction ID when there is nothing
BEGIN;
SELECT cache_learn();
SELECT pg_current_xact_id_if_assigned() IS NULL AS none;
COMMIT;
SELECT * FROM hours;

-- the next hour: what was asked for an hour ago
SELECT key, round(score::numeric, 3) AS score, rank FROM cache_predict('learned');
SELECT key, rank FROM cache_predict('learned', n => 2);
SELECT key, round(score::numeric, 3) AS score FROM cache_predict('learned', at('15:59'));
SELECT key FROM cache_predict('other');

-- how good it was: a and b of three, and four requests of ten went to them
SELECT ask('{a,b,x}', '{1,3,6}', 'learned'), ask('{e}', '{1}', 'default');
SELECT set_time('12:10');
SELECT cache_learn();
SELECT * FROM accuracy;
-- Once an hour is over, it stays as it is until it is learned, however late.
SELECT ask('{a}', '{2}', 'learned');
SELECT set_time('31:00');
SELECT ask('{too_late}', '{5}', 'learned');
-- (also by a statement that began then)
DO $$
BEGIN
    PERFORM pgcache_test_age_statement('19 hours');
    PERFORM ask('{too_late}', '{5}', 'learned');
END $$;
SELECT cache_learn();
SELECT ask('{in_time}', '{1}', 'learned');
SELECT set_time('32:00');
SELECT cache_learn();
SELECT * FROM hours WHERE namespace = 'learned' AND how >= 12;
SELECT * FROM accuracy WHERE hour >= '12:00';

-- A key that the sketch has not kept was asked for if its entry was.
SELECT cache_put('kept', 'v', namespace => 'other'), cache_put('unread', 'v', namespace => 'other');
SELECT ask('{kept,unread,gone}', '{1,1,1}', 'other');
SELECT set_time('33:00');
SELECT cache_learn();
-- (In new sessions, because those that ask for much are sampled.)
\c -
SELECT ask(array_agg('many' || i) || '{kept}'::text[], array_agg(1) || 1, 'other')
FROM generate_series(2, current_setting('pg_cache.tracked_keys')::int) i;
\c -
SELECT ask(array_agg('many' || i) || '{last}'::text[], array_agg(1) || 1, 'other')
FROM generate_series(2, current_setting('pg_cache.tracked_keys')::int) i;
SELECT count(*) FILTER (WHERE key = 'kept') AS kept
FROM cache_key_hour_sketches('infinity'), unnest(keys) key WHERE namespace = 'other';
\c -
SELECT set_time('34:00');
SELECT cache_learn();
SELECT predicted, asked FROM accuracy WHERE namespace = 'other' AND hour = '33:00';

-- the same hour next week: old weights count half; the heaviest stay
SELECT set_time('201:30');
SELECT ask('{many7,new}', '{10,3}', 'other');
SELECT set_time('202:00');
SELECT cache_learn();
SELECT count(*) = current_setting('pg_cache.tracked_keys')::int AS bounded, max(weight) FILTER (WHERE key = 'many7') AS many7,
       max(weight) FILTER (WHERE key = 'new') AS new
FROM cache_key_hours WHERE namespace_id = (SELECT id FROM cache_namespaces WHERE name = 'other') AND hour_of_week = 33;

-- What is usual at this hour of the week or day comes before what was asked for once at some other hour this week.
SELECT key FROM cache_predict('learned', at('346:30'), 3);
SELECT key FROM cache_predict('learned', at('394:30'), 3);

-- in forty years, too
SELECT key FROM cache_predict('learned', at('350002:00'), 3);

-- keys that are too long to be kept whole are not learned, but count
SELECT ask(ARRAY[repeat('k', 1000), 'short'], '{3,1}', 'learned');
SELECT set_time('203:00');
SELECT cache_learn();
SELECT how, key, weight FROM hours WHERE seen = '202:00';

-- errors
\set VERBOSITY sqlstate
SELECT cache_predict('none');
SELECT cache_predict('');
SELECT cache_predict('learned', n => 0);
SELECT cache_predict('learned', n => NULL);
SELECT cache_predict('learned', 'infinity');
\set VERBOSITY default
SELECT cache_predict(NULL);

-- Who may see what: keys are for readers.
CREATE ROLE regress_pgcache_nobody;
CREATE ROLE regress_pgcache_monitor IN ROLE pg_monitor;
SELECT cache_revoke('other', 'public', 'read');
SET ROLE regress_pgcache_nobody;
SELECT namespace_id <> 1 AS named, count(*) > 0 AS seen FROM cache_key_hours GROUP BY 1 ORDER BY 1;
SELECT DISTINCT namespace FROM cache_prediction_accuracy ORDER BY 1;
SELECT count(*) > 0 AS seen FROM cache_predict('default');
\set VERBOSITY sqlstate
SELECT cache_predict('other');
SELECT cache_learn();
SELECT * FROM cache_key_hour_sketches('infinity');
SELECT cache_forget_key_hour_sketches('infinity');
DELETE FROM cache_key_hours;
DELETE FROM cache_prediction_accuracy;
\set VERBOSITY default
SET ROLE regress_pgcache_monitor;
SELECT count(*) > 0 AS seen FROM cache_predict('other');
\set VERBOSITY sqlstate
SELECT cache_predict('none');
SELECT cache_predict('');
SELECT cache_lock('cache_key_hours');
\set VERBOSITY default
SELECT count(DISTINCT namespace_id) FROM cache_key_hours;
SELECT DISTINCT namespace FROM cache_prediction_accuracy ORDER BY 1;
RESET ROLE;

-- A namespace of the same name starts anew.
SELECT count(*) > 0 AS known FROM cache_predict('learned');
SELECT cache_drop_namespace('learned'), cache_create_namespace('learned');
SELECT count(*) FROM cache_predict('learned');
SELECT cache_learn();
SELECT count(*) FROM cache_key_hours k
WHERE namespace_id > 1 AND NOT EXISTS (SELECT FROM cache_namespaces n WHERE n.id = k.namespace_id);

-- What is old goes.
SELECT set_time('1619:00');
SELECT cache_learn();
SELECT count(*) FROM cache_key_hours;
SELECT count(*) FROM cache_prediction_accuracy;

-- patterns: averages of the hours of the history
SELECT set_time('1739:30');
INSERT INTO cache_stats_history (at, namespace, span, hits, misses, puts, stale_puts, dropped_puts, deletes, evictions,
    expirations, invalidations, invalidations_manual, invalidations_tag, invalidations_pattern, invalidations_table,
    invalidations_file, invalidations_error, loads, load_errors, waits, ghost_hits, expired_misses, entries, key_bytes,
    bytes, stored_bytes, memory_used, evictions_background, namespace_id)
SELECT at(hours), namespace, '5 min', hits, misses, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    cache_namespace_id(namespace)
FROM (VALUES
    ('1570:30'::interval, 'default', 10, 2),
    -- the end of a span belongs to the hour in which most of it lies
    ('1571:00:01', 'default', 20, 4),
    ('1738:59', 'default', 30, 0),
    ('1739:00:01', 'other', 100, 0),
    ('1584:03', 'default', 0, 7)) v (hours, namespace, hits, misses);
SELECT * FROM cache_patterns WHERE accesses > 0 ORDER BY namespace, day_of_week, hour_of_day;
SELECT namespace, count(*), sum(hours) FROM cache_patterns GROUP BY 1 ORDER BY 1;
SET ROLE regress_pgcache_nobody;
SELECT DISTINCT namespace FROM cache_patterns;
RESET ROLE;
DELETE FROM cache_stats_history;

SELECT pgcache_test_set_clock('0');
DROP VIEW hours, accuracy;
DROP FUNCTION ask, set_time, at;
\set drop_test_functions :abs_srcdir '/test/drop_test_functions.sql'
\set ECHO none
\i :drop_test_functions
\set ECHO all
DROP TABLE monday;
SELECT cache_drop_namespace('learned'), cache_drop_namespace('other');
DROP ROLE regress_pgcache_nobody, regress_pgcache_monitor;
SELECT * FROM cache_check();
