-- cache_hot_keys in the course of time, and with more namespaces than are tracked.
-- By the test clock.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
\getenv abs_srcdir PG_ABS_SRCDIR
\set test_functions :abs_srcdir '/test/test_functions.sql'
\set ECHO none
\i :test_functions
\set ECHO all
RESET client_min_messages;
SELECT cache_create_namespace('hot');
SELECT cache_reset_stats();
CREATE VIEW hot AS
    SELECT key, requests, error FROM cache_hot_keys WHERE namespace = 'hot' ORDER BY requests DESC, key;

-- an hour halves what is there, when it is read as well as when more is asked for
SELECT count(cache_get('a', 'hot')) FROM generate_series(1, 64);
SELECT count(cache_get('b', 'hot')) FROM generate_series(1, 16);
SELECT pgcache_test_advance_clock('59 min');
SELECT * FROM hot;
SELECT pgcache_test_advance_clock('1 min');
SELECT * FROM hot;
SELECT count(cache_get('b', 'hot')) FROM generate_series(1, 40);
SELECT * FROM hot;
SELECT pgcache_test_advance_clock('3 hours');
SELECT * FROM hot;
SELECT cache_get('c', 'hot') IS NULL AS miss;
SELECT * FROM hot;
SELECT pgcache_test_advance_clock('10 years');
SELECT * FROM hot;
SELECT cache_get('c', 'hot') IS NULL AS miss;
SELECT * FROM hot;
-- counters and latencies stay
SELECT hits, misses FROM cache_stats_namespaces WHERE namespace = 'hot';
SELECT calls FROM cache_latency WHERE operation = 'get';

-- A statement that has gone on for hours, while others asked, fades nothing.
SELECT cache_reset_stats();
SELECT count(cache_get('d', 'hot')) FROM generate_series(1, 64);
DO $$
BEGIN
    PERFORM pgcache_test_age_statement('5 hours');
    PERFORM cache_get('e', 'hot');
END $$;
SELECT cache_get('d', 'hot') IS NULL AS miss;
SELECT * FROM hot;
DO $$
BEGIN
    PERFORM pgcache_test_age_statement('5 hours');
    PERFORM cache_reset_stats();
    PERFORM cache_get('e', 'hot') FROM generate_series(1, 10);
END $$;
SELECT cache_get('d', 'hot') IS NULL AS miss;
SELECT * FROM hot;

-- 64 namespaces are tracked at once; one that is asked for more than another has its
-- place, and of what was asked for in it before no key has more than its own
SELECT cache_reset_stats();
SELECT count(cache_create_namespace('many' || i)) FROM generate_series(1, 80) i;
SELECT count(cache_get('k', 'many' || i)) FROM generate_series(1, 80) i, generate_series(1, 4);
CREATE VIEW many AS
    SELECT namespace, key, requests, error FROM cache_hot_keys WHERE namespace LIKE 'many%';
SELECT count(*) BETWEEN 1 AND 64 AS tracked, min(requests), max(requests) FROM many;
SELECT count(*) FROM many WHERE namespace = 'many80';
SELECT cache_get('rare', 'many80') IS NULL AS miss;
SELECT count(cache_get('hot', 'many80')) FROM generate_series(1, 8);
SELECT * FROM many WHERE namespace = 'many80' ORDER BY requests DESC;
SELECT total, keys, weights FROM cache_key_hour_sketches('infinity') WHERE namespace = 'many80';
SELECT count(DISTINCT namespace) BETWEEN 1 AND 64 AS tracked FROM many;
-- what one without a place has asked for fades like what the others have
SELECT pgcache_test_advance_clock('1 hour');
SELECT count(cache_get('k', namespace)) FROM (SELECT DISTINCT namespace FROM many) m, generate_series(1, 2);
SELECT cache_get('k', 'many79') IS NULL AS miss;
SELECT count(*) FROM many WHERE namespace = 'many79';
-- those that are dropped make room
SELECT count(cache_drop_namespace('many' || i)) FROM generate_series(1, 40) i;
SELECT count(cache_get('k', 'many' || i)) FROM generate_series(41, 80) i;
SELECT count(*), max(requests), min(requests), count(*) FILTER (WHERE requests = 5) >= 20 AS with_what_was_before
FROM many WHERE key = 'k';

SELECT count(cache_drop_namespace('many' || i)) FROM generate_series(41, 80) i;
SELECT cache_drop_namespace('hot');
DROP VIEW hot, many;
SELECT cache_reset_stats();
SELECT pgcache_test_set_clock('0');
\set drop_test_functions :abs_srcdir '/test/drop_test_functions.sql'
\set ECHO none
\i :drop_test_functions
\set ECHO all
SELECT * FROM cache_check();
