-- cache_hot_keys, cache_big_keys, cache_latency.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
RESET client_min_messages;
SELECT cache_clear();
SELECT cache_create_namespace('hot'), cache_create_namespace('hot2');
SELECT cache_reset_stats();

-- at low rates every request counts: hits, misses, those of cache_get_as and
-- each key of cache_get_many
CREATE VIEW hot AS
    SELECT namespace, key, requests, error, bytes, cached, truncated FROM cache_hot_keys
    WHERE namespace LIKE 'hot%' ORDER BY namespace, requests DESC, key;
SELECT * FROM hot;
SELECT cache_put('a', 'value', namespace => 'hot'), cache_put('b', repeat('b', 100), namespace => 'hot');
SELECT count(cache_get('a', 'hot')) FROM generate_series(1, 20);
SELECT count(cache_get('b', 'hot')) FROM generate_series(1, 7);
SELECT count(cache_get('none', 'hot')) FROM generate_series(1, 5);
SELECT count(cache_get('a', 'hot2')) FROM generate_series(1, 3);
SELECT cache_get_as('a', NULL::text, 'hot');
SELECT count(*) FROM cache_get_many(ARRAY['a', 'b', 'c', 'c', NULL], 'hot');
-- an entry of the own transaction as well
BEGIN;
SELECT cache_put('own', 'v', namespace => 'hot');
SELECT cache_get('own', 'hot');
SELECT * FROM hot;
ROLLBACK;
-- a look is no request
SELECT cache_exists('a', 'hot'), cache_expires_at('b', 'hot'), count(*) FROM cache_entry('a', 'hot');
SELECT * FROM hot;
-- nor is what cannot be one
SELECT cache_get(NULL, 'hot') IS NULL AS none;
SELECT cache_get('', 'hot');
SELECT sum(requests) FROM hot;

-- keys that are too long to be kept are told apart all the same; whole characters
SELECT cache_reset_stats();
SELECT count(cache_get(repeat('x', 94), 'hot')) FROM generate_series(1, 9);
SELECT count(cache_get(repeat('x', 95), 'hot')) FROM generate_series(1, 8);
SELECT count(cache_get(repeat('x', 1023) || 'y', 'hot')) FROM generate_series(1, 7);
SELECT count(cache_get('y' || repeat('Ω', 50), 'hot')) FROM generate_series(1, 6);
SELECT left(key, 3) AS key, length(key), requests, bytes, cached, truncated FROM hot;

-- with pg_cache.track_keys off nothing is recorded, from the next request on
SELECT cache_reset_stats();
SELECT cache_get('a', 'hot');
SET pg_cache.track_keys = off;
SELECT count(cache_get('a', 'hot')) FROM generate_series(1, 50);
SELECT key, requests FROM hot;
SELECT operation, calls FROM cache_latency WHERE operation LIKE 'get%';
SET pg_cache.track_latency = off;
SELECT count(cache_get('a', 'hot')) FROM generate_series(1, 50);
SELECT cache_put('a', 'value', namespace => 'hot'), count(*) FROM cache_get_many(ARRAY['a'], 'hot');
SELECT cache_put_many(ARRAY['m'], ARRAY['value'], namespace => 'hot');
SELECT operation, calls FROM cache_latency;
SET pg_cache.track_keys = on;
SELECT count(cache_get('a', 'hot')) FROM generate_series(1, 4);
SELECT key, requests FROM hot;
SELECT operation, calls FROM cache_latency;
RESET pg_cache.track_latency;
RESET pg_cache.track_keys;
SELECT cache_get('a', 'hot');
SELECT key, requests FROM hot;

-- far more keys than are told apart: of the 100 shown the hot ones come first, and
-- the errors say how far the others may be off; no more than there were requests
SELECT cache_reset_stats();
SELECT count(cache_get('k' || CASE WHEN i % 3 = 0 THEN i % 10 ELSE i END, 'hot'))
    FROM generate_series(1, 3000) i;
SELECT count(*), min(requests) > 0 AS all_asked_for, bool_and(requests >= error) AS errors FROM hot;
SELECT count(*) FROM (SELECT key FROM hot LIMIT 10) AS top WHERE key ~ '^k[0-9]$';
-- a new session, which does not sample yet
\c -

-- how long it takes
SELECT cache_reset_stats();
SELECT * FROM cache_latency;
SELECT count(cache_put('l' || i, 'v', namespace => 'hot')) FROM generate_series(1, 2000) i;
SELECT cache_put_many(ARRAY['l1', 'l2'], ARRAY['x', 'y'], namespace => 'hot');
SELECT count(cache_get('l' || i, 'hot')) FROM generate_series(1, 50) i;
SELECT count(*) FROM cache_get_many(ARRAY['l1', 'l2'], 'hot');
SELECT cache_create_warmer('hot', $$SELECT 'w' || i, i FROM generate_series(1, 3) i$$, '1 day', 'hot');
SELECT cache_run_warmer('hot');
SELECT cache_drop_warmer('hot');
-- puts are all counted, those of warmers too: in the statement, so also those rolled
-- back, but not those that fail
BEGIN;
SELECT cache_put('undone', 'v', namespace => 'hot');
ROLLBACK;
SELECT cache_put(NULL, 'v', namespace => 'hot');
SELECT operation, calls,
       p50_us > 0 AND p50_us <= p95_us AND p95_us <= p99_us AND p99_us <= max_us AS in_order,
       max_us < 60e6 AS below_a_minute
    FROM cache_latency WHERE operation <> 'get';
SELECT operation, calls BETWEEN 1 AND 1000000 AS called,
       p50_us > 0 AND p50_us <= p95_us AND p95_us <= p99_us AND p99_us <= max_us AS in_order
    FROM cache_latency WHERE operation = 'get';

-- the largest entries
SELECT cache_clear();
SELECT * FROM cache_big_keys;
SELECT count(cache_put('big' || i, repeat('v', i * 10), namespace => 'hot')) FROM generate_series(1, 250) i;
SELECT cache_put('small', 'v', '1 hour', namespace => 'hot2'), cache_put('null', NULL, namespace => 'hot2');
SELECT cache_alter_namespace('hot2', compression => 'lz4', compression_threshold => 100);
SELECT cache_put('compressed', repeat('v', 10000), namespace => 'hot2');
SELECT cache_get('small', 'hot2');
SELECT count(*), min(bytes), max(bytes), min(key), sum((bytes = stored_bytes)::int)
    FROM cache_big_keys WHERE namespace = 'hot';
SELECT namespace, key, bytes, stored_bytes < bytes AS compressed, hits, expires_at < 'infinity' AS expires,
       last_access IS NOT NULL AS accessed
    FROM cache_big_keys WHERE namespace = 'hot2';
-- of equal size the first by name
SELECT cache_clear('hot');
SELECT count(cache_put('same' || i, 'v', namespace => 'hot')) FROM generate_series(1000, 1300) i;
SELECT count(*), min(key), max(key) FROM cache_big_keys WHERE namespace = 'hot';
-- what others cannot see is not there
BEGIN;
SELECT cache_delete('same1000', 'hot');
COMMIT;
SELECT count(*), min(key), max(key) FROM cache_big_keys WHERE namespace = 'hot';

-- who sees what
CREATE ROLE regress_cache_reader;
CREATE ROLE regress_cache_monitor IN ROLE pg_monitor;
SELECT cache_revoke('hot2', 'public', 'read'), cache_revoke('hot', 'public', 'read');
SELECT cache_grant('hot', 'regress_cache_reader', 'read');
SELECT cache_get('same1001', 'hot'), cache_get('small', 'hot2');
SET ROLE regress_cache_reader;
SELECT DISTINCT namespace FROM cache_hot_keys WHERE namespace LIKE 'hot%' ORDER BY 1;
SELECT DISTINCT namespace FROM cache_big_keys WHERE namespace LIKE 'hot%' ORDER BY 1;
SELECT count(*) FROM cache_latency;
RESET ROLE;
SET ROLE regress_cache_monitor;
SELECT DISTINCT namespace FROM cache_hot_keys WHERE namespace LIKE 'hot%' ORDER BY 1;
SELECT DISTINCT namespace FROM cache_big_keys WHERE namespace LIKE 'hot%' ORDER BY 1;
RESET ROLE;
DROP ROLE regress_cache_monitor;
SELECT cache_revoke('hot', 'regress_cache_reader', 'read');
DROP ROLE regress_cache_reader;

-- a namespace takes its keys with it, and a new one of the name has none
SELECT cache_drop_namespace('hot');
SELECT DISTINCT namespace FROM cache_hot_keys WHERE namespace LIKE 'hot%' ORDER BY 1;
SELECT cache_create_namespace('hot');
SELECT cache_get('new', 'hot') IS NULL AS miss;
SELECT key, requests FROM hot WHERE namespace = 'hot';

-- of several sessions together
SELECT cache_reset_stats();
SELECT cache_get('k', 'hot') IS NULL AS miss FROM generate_series(1, 3);
\c -
SELECT cache_get('k', 'hot') IS NULL AS miss FROM generate_series(1, 4);
SELECT namespace, key, requests FROM hot;

-- back to nothing
SELECT cache_reset_stats();
SELECT count(*) FROM cache_hot_keys;
SELECT operation, calls, p50_us, max_us FROM cache_latency;

DROP VIEW hot;
SELECT cache_drop_namespace('hot'), cache_drop_namespace('hot2');
SELECT * FROM cache_check();
