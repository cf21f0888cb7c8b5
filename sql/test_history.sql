-- cache_stats_history, cache_record_stats, cache_trend.  By the test clock.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
\getenv abs_srcdir PG_ABS_SRCDIR
\set test_functions :abs_srcdir '/test/test_functions.sql'
\set ECHO none
\i :test_functions
\set ECHO all
RESET client_min_messages;
SELECT cache_clear();
SELECT cache_create_namespace('hist a'), cache_create_namespace('hist b');
SELECT cache_reset_stats();
-- others may have set the clock forward
TRUNCATE cache_stats_history, cache_stats_history_total, cache_alerts;
UPDATE cache_stats_marks SET at = cache_clock_timestamp();
SELECT cache_record_stats() >= 0 AS from_here_on;
CREATE VIEW written AS
    SELECT namespace, extract(epoch FROM span)::int / 60 AS minutes, hits, misses,
           round(hit_ratio::numeric, 3) AS hit_ratio, puts, invalidations, entries, bytes
    FROM cache_stats_history WHERE namespace LIKE 'hist %' ORDER BY at, namespace;

-- nothing happened: no row
SELECT pgcache_test_advance_clock('5 min');
SELECT cache_record_stats();
SELECT * FROM written;

-- what happened since
SELECT count(cache_put('k' || i, 'value', namespace => 'hist a')) FROM generate_series(1, 10) i;
SELECT count(cache_get('k' || i, 'hist a')), count(*) FROM generate_series(1, 15) i;
SELECT pgcache_test_advance_clock('5 min');
SELECT cache_record_stats();
SELECT * FROM written;
-- the first to come is all that counts
SELECT cache_record_stats();
-- the time in which nothing was written counts as well
SELECT count(cache_get('k' || i, 'hist a')) FROM generate_series(1, 2) i;
SELECT cache_put('k', 'longer value', namespace => 'hist b');
SELECT pgcache_test_advance_clock('5 min');
SELECT cache_record_stats();
SELECT * FROM written;
-- unless the worker looked meanwhile
SELECT pgcache_test_advance_clock('20 min');
SELECT cache_get('k', 'hist b');
SELECT pgcache_test_advance_clock('5 min');
SELECT cache_record_stats(cache_clock_timestamp() - '5 min'::interval);
SELECT * FROM written OFFSET 3;
-- what there is, without a counter moving
SELECT count(*) AS whole, sum(hits) AS hits, sum(puts) AS puts,
       (SELECT (entries, bytes) FROM cache_stats_history_total ORDER BY at DESC LIMIT 1) AS now
    FROM cache_stats_history_total WHERE at > cache_clock_timestamp() - '40 min'::interval;

-- counters that go back
TRUNCATE cache_stats_history;
SELECT cache_reset_stats();
SELECT cache_get('k', 'hist b'), cache_get('k', 'hist b');
SELECT pgcache_test_advance_clock('5 min');
SELECT cache_record_stats();
SELECT * FROM written;
-- with nothing counted since
SELECT cache_reset_stats();
SELECT cache_record_stats();
SELECT cache_get('k', 'hist b'), cache_get('k', 'hist b'), cache_get('k', 'hist b');
SELECT pgcache_test_advance_clock('5 min');
SELECT cache_record_stats();
SELECT * FROM written OFFSET 1;
-- no number is ever negative, and nothing is lost or counted twice
SELECT cache_get('k', 'hist b') FROM generate_series(1, 10);
SELECT cache_record_stats();
SELECT cache_get('k', 'hist b') FROM generate_series(1, 7);
SELECT cache_record_stats();
SELECT sum(h.hits) = s.hits + 2 AS all_counted
    FROM cache_stats_history h, cache_stats_namespaces s
    WHERE h.namespace = 'hist b' AND s.namespace = 'hist b' GROUP BY s.hits;

-- a namespace of the same name is another
SELECT cache_drop_namespace('hist b');
SELECT cache_create_namespace('hist b');
SELECT count(cache_get('none', 'hist b')) FROM generate_series(1, 25);
SELECT pgcache_test_advance_clock('5 min');
SELECT cache_record_stats();
SELECT hits, misses, puts, entries FROM cache_stats_history WHERE namespace = 'hist b' ORDER BY at DESC LIMIT 1;
SELECT count(*) FROM cache_stats_marks
    WHERE namespace_id > 1 AND namespace_id NOT IN (SELECT id FROM cache_namespaces);

-- rolled back, as if not called
BEGIN;
SELECT cache_get('none', 'hist b');
SELECT cache_record_stats();
ROLLBACK;
SELECT cache_record_stats();

-- each counter has its column: a mark that makes them all differ
SELECT cache_record_stats() >= 0 AS marked;
TRUNCATE cache_stats_history, cache_stats_history_total;
UPDATE cache_stats_marks SET counters = ARRAY(
    SELECT c - 1000 * i FROM unnest(counters) WITH ORDINALITY AS u (c, i) ORDER BY i);
SELECT cache_record_stats() > 0 AS recorded;
CREATE VIEW columns AS
    SELECT 'namespace' AS what, to_jsonb(h) AS row, 3 AS before, attname::text, attnum, to_jsonb(s) AS stats
    FROM cache_stats_history h JOIN cache_stats_namespaces s USING (namespace), pg_attribute
    WHERE attrelid = 'cache_stats_history'::regclass AND namespace = 'hist a' AND attname <> 'namespace_id'
    UNION ALL
    SELECT 'total', to_jsonb(t), 3, attname::text, attnum, to_jsonb(s)
    FROM cache_stats_history_total t, cache_stats s, pg_attribute
    WHERE attrelid = 'cache_stats_history_total'::regclass;
SELECT what, attname FROM columns
    WHERE attname <> ALL (cache_history_gauges()) AND attnum > before AND NOT attname LIKE '%pg.dropped%' AND
          (row ->> attname)::bigint <> 1000 * (attnum - before);
SELECT what, attname FROM columns
    WHERE attname = ANY (cache_history_gauges()) AND attname NOT IN ('hit_ratio', 'memory_used') AND
          row ->> attname <> stats ->> attname;
-- and no counter is without one
SELECT attrelid::regclass, attname FROM pg_attribute a
    WHERE attrelid IN ('cache_stats'::regclass, 'cache_stats_namespaces'::regclass) AND atttypid = 'bigint'::regtype AND
          attname NOT IN ('memory_limit', 'index_bytes', 'memory_dead') AND
          NOT EXISTS (SELECT FROM cache_history_metrics() m WHERE m = attname);
DROP VIEW columns;
SELECT cache_record_stats();

-- retention
TRUNCATE cache_stats_history, cache_stats_history_total;
SELECT cache_get('none', 'hist a'), pgcache_test_advance_clock('5 min'), cache_record_stats();
SELECT pgcache_test_advance_clock('29 days 23 hours');
SELECT cache_record_stats();
SELECT namespace, misses FROM cache_stats_history ORDER BY namespace;
SELECT pgcache_test_advance_clock('1 hour');
SELECT cache_record_stats();
SELECT (SELECT count(*) FROM cache_stats_history), (SELECT count(*) FROM cache_stats_history_total);

-- the clock set back: what was counted by the other one is not the last interval
SELECT count(cache_get('none', 'hist a')) FROM generate_series(1, 11);
SELECT pgcache_test_advance_clock('5 min'), cache_record_stats();
SELECT namespace, round(seconds) AS seconds, counted ->> 'misses' AS misses FROM cache_last_interval() WHERE namespace = 'hist a';
SELECT pgcache_test_advance_clock('-1 hour');
SELECT namespace, round(seconds) AS seconds, counted ->> 'misses' AS misses FROM cache_last_interval() WHERE namespace = 'hist a';
SELECT count(cache_get('none', 'hist a')) FROM generate_series(1, 12);
SELECT cache_record_stats();
SELECT pgcache_test_advance_clock('5 min');
SELECT count(cache_get('none', 'hist a')) FROM generate_series(1, 13);
SELECT cache_record_stats();
SELECT namespace, round(seconds) AS seconds, counted ->> 'misses' AS misses FROM cache_last_interval() WHERE namespace = 'hist a';
-- what is ahead by more than the retention would stay for ever
SELECT pgcache_test_advance_clock('-30 days');
SELECT cache_prune_stats();
SELECT misses FROM cache_stats_history WHERE namespace = 'hist a' ORDER BY at;
SELECT count(*) FROM cache_stats_history_total;
SELECT sum(accesses) FROM cache_patterns;
SELECT pgcache_test_advance_clock('30 days');
-- no such time
\set VERBOSITY terse
UPDATE cache_stats_history SET at = 'infinity';
UPDATE cache_stats_history_total SET at = '-infinity';
\set VERBOSITY default

-- who sees what
SELECT cache_get('none', 'hist a'), cache_get('none', 'hist b'), cache_record_stats();
CREATE ROLE regress_cache_reader;
CREATE ROLE regress_cache_monitor IN ROLE pg_monitor;
SELECT cache_grant('hist a', 'regress_cache_reader', 'read');
SET ROLE regress_cache_reader;
SELECT DISTINCT namespace FROM cache_stats_history ORDER BY namespace;
SELECT count(*) > 0 AS sums FROM cache_stats_history_total;
SELECT n > 0 AS trend FROM cache_trend('hits', 'hist a');
SELECT n > 0 AS trend FROM cache_trend('hits', 'hist b');
SELECT cache_record_stats();
SELECT count(*) FROM cache_stats_marks;
DELETE FROM cache_stats_history;
RESET ROLE;
SET ROLE regress_cache_monitor;
SELECT DISTINCT namespace FROM cache_stats_history WHERE namespace LIKE 'hist %' ORDER BY namespace;
SELECT n > 0 AS trend FROM cache_trend('hits', 'hist b');
RESET ROLE;
-- a namespace of the same name does not show what was recorded of another
SELECT cache_create_alert_rule('hist', 'misses', '>', 0, 'hist b'), cache_evaluate_alerts() > 0 AS opened;
INSERT INTO cache_prediction_accuracy (namespace, namespace_id, hour, predicted, asked)
    VALUES ('hist b', cache_namespace_id('hist b'), '2100-01-01 00:00 UTC', 1, 1);
CREATE VIEW seen WITH (security_invoker = true) AS
    SELECT (SELECT count(*) > 0 FROM cache_stats_history WHERE namespace = 'hist b') AS history,
           (SELECT count(*) > 0 FROM cache_history_values('misses', 'hist b', '-infinity')) AS trend,
           (SELECT sum(misses) > 0 FROM cache_patterns WHERE namespace = 'hist b') AS patterns,
           (SELECT count(*) > 0 FROM cache_last_interval() WHERE namespace = 'hist b') AS interval,
           (SELECT count(*) FROM cache_alerts WHERE namespace = 'hist b') AS alerts,
           (SELECT count(*) FROM cache_alerts WHERE namespace = 'hist b' AND closed_at IS NULL) AS open,
           (SELECT count(*) FROM cache_prediction_accuracy WHERE namespace = 'hist b') AS accuracy;
GRANT SELECT ON seen TO PUBLIC;
SELECT * FROM seen;
SELECT cache_drop_namespace('hist b');
GRANT CREATE ON SCHEMA public TO regress_cache_reader;
SET ROLE regress_cache_monitor;
SELECT * FROM seen;
SET ROLE regress_cache_reader;
SELECT cache_create_namespace('hist b');
SELECT * FROM seen;
RESET ROLE;
SELECT cache_get('none', 'hist b'), cache_evaluate_alerts() >= 0 AS closed, cache_evaluate_alerts() > 0 AS opened;
SELECT rule, closed_at IS NULL AS open FROM cache_alerts WHERE rule = 'hist' ORDER BY id;
SET ROLE regress_cache_reader;
SELECT * FROM seen;
SET ROLE regress_cache_monitor;
SELECT * FROM seen;
RESET ROLE;
DROP VIEW seen;
REVOKE CREATE ON SCHEMA public FROM regress_cache_reader;
SELECT cache_drop_alert_rule('hist'), cache_evaluate_alerts() >= 0 AS closed;
DELETE FROM cache_prediction_accuracy WHERE namespace = 'hist b';
SELECT cache_drop_namespace('hist b'), cache_create_namespace('hist b');
SELECT cache_revoke('hist a', 'regress_cache_reader', 'read');
DROP ROLE regress_cache_reader, regress_cache_monitor;

-- a trend: ten an hour more, exactly
TRUNCATE cache_stats_history, cache_stats_history_total;
CREATE FUNCTION hours(hours int, what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR hour IN 1 .. hours LOOP
        EXECUTE format(what, hour);
        PERFORM pgcache_test_advance_clock('1 hour'), cache_record_stats();
    END LOOP;
END $$;
SELECT hours(8, 'SELECT cache_get(''none'', ''hist a'') FROM generate_series(1, 10 * %s)');
CREATE VIEW rounded AS
    SELECT metric, round(slope::numeric, 2) AS slope, round(forecast::numeric, 1) AS forecast,
           round(fit::numeric, 2) AS fit, round(mean::numeric, 2) AS mean, n
    FROM unnest(ARRAY['misses', 'hits', 'hit_ratio', 'entries', 'bytes']) AS metric,
         LATERAL cache_trend(metric, 'hist a', '8 hours');
SELECT * FROM rounded;
-- of what there is
-- of a put counts what is stored, at once
SET pg_cache.transactional = off;
SELECT hours(8, 'SELECT cache_put(''new%s'', ''12345'', namespace => ''hist a'')');
SELECT * FROM rounded;
RESET pg_cache.transactional;
SELECT round(slope::numeric, 2) AS slope, n FROM cache_trend('entries', NULL, '8 hours');
-- nothing since: counters zero, what there is as it was
SELECT pgcache_test_advance_clock('4 hours 30 min');
SELECT * FROM rounded;
SELECT pgcache_test_advance_clock('1 day');
SELECT * FROM rounded;
SELECT * FROM cache_trend('entries', 'hist a', '1 minute');
SELECT * FROM cache_trend('hits', 'no such');
-- rows and quiet times count for as long as they are, in however long a time: 100
-- in five minutes of every second hour
TRUNCATE cache_stats_history, cache_stats_history_total;
CREATE FUNCTION write_rows(n int, pause interval, of_span interval, hits bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    columns text := (SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = 'cache_stats_history'::regclass AND atttypid = 'bigint'::regtype AND attname <> 'hits');
BEGIN
    EXECUTE format('INSERT INTO cache_stats_history (at, span, namespace, namespace_id, hits, %s)
        SELECT cache_clock_timestamp() - (%s - i) * %L::interval, %L, ''hist a'', cache_namespace_id(''hist a''), %s, %s
        FROM generate_series(1, %s) i',
        columns, n, pause, of_span, hits, regexp_replace(columns, '\w+', '0', 'g'), n);
END $$;
SELECT write_rows(1000, '2 hours', '5 min', 100);
SELECT span, round(slope::numeric, 1) AS slope, round(mean::numeric, 0) AS mean
    FROM unnest('{1 day,7 days,30 days,80 days}'::interval[]) AS span, LATERAL cache_trend('hits', 'hist a', span);
-- as much, with another pg_cache.stats_interval
TRUNCATE cache_stats_history;
SELECT write_rows(600, '1 min', '1 min', 10);
SELECT pgcache_test_advance_clock('-10 hours'), write_rows(120, '5 min', '5 min', 50), pgcache_test_advance_clock('10 hours');
SELECT round(slope::numeric, 2) + 0 AS slope, round(mean::numeric, 0) AS mean, n FROM cache_trend('hits', 'hist a', '20 hours');
DROP FUNCTION write_rows;

\set VERBOSITY terse
SELECT * FROM cache_trend('nonsense');
SELECT * FROM cache_trend(NULL);
SELECT * FROM cache_trend('span');
\set VERBOSITY default
SELECT * FROM cache_trend('hits', span => '0');

DROP VIEW written, rounded;
DROP FUNCTION hours;
SELECT cache_drop_namespace('hist a'), cache_drop_namespace('hist b');
SELECT pgcache_test_set_clock('0');
\set drop_test_functions :abs_srcdir '/test/drop_test_functions.sql'
\set ECHO none
\i :drop_test_functions
\set ECHO all
SELECT * FROM cache_check();
