-- cache_stats, cache_stats_namespaces, cache_entries, cache_reset_stats.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
RESET client_min_messages;
SELECT cache_clear();
SELECT cache_create_namespace('stats'), cache_create_namespace('stats2');
SELECT cache_reset_stats();

-- what is counted, and by what
CREATE VIEW counted AS
    SELECT namespace, hits, misses, round(hit_ratio::numeric, 3) AS hit_ratio, puts, deletes, entries
    FROM cache_stats_namespaces WHERE namespace LIKE 'stats%' ORDER BY namespace;
SELECT * FROM counted;
SELECT cache_put('k', 'v', namespace => 'stats');
SELECT * FROM counted;
SELECT cache_get('k', 'stats'), cache_get('k', 'stats'), cache_get('none', 'stats') IS NULL AS none;
SELECT * FROM counted;
SELECT cache_get_as('k', ''::text, 'stats'), cache_get_as('none', ''::text, 'stats') IS NULL AS none;
SELECT * FROM cache_get_many(ARRAY['k', 'none', 'k', NULL, 'none'], 'stats');
SELECT * FROM counted;
-- a cached NULL is a hit
SELECT cache_put('null', NULL, namespace => 'stats');
SELECT cache_get('null', 'stats') IS NULL AS hit;
SELECT * FROM counted;
-- a look is neither
SELECT cache_exists('k', 'stats'), cache_exists('none', 'stats'), cache_expires_at('k', 'stats');
SELECT count(*) FROM cache_entry('k', 'stats');
SELECT count(*) FROM cache_entries WHERE namespace = 'stats';
SELECT * FROM counted;
-- puts are what was stored
SELECT cache_add('k', 'w', namespace => 'stats'), cache_replace('none', 'w', namespace => 'stats'),
       cache_add('a', 'w', namespace => 'stats'), cache_replace('a', 'w', namespace => 'stats'),
       cache_incr('n', namespace => 'stats'), cache_incr('n', namespace => 'stats');
SELECT cache_put_many(ARRAY['x', 'y', 'x'], ARRAY['1', '2', '3'], namespace => 'stats');
SELECT cache_delete('x', 'stats'), cache_delete('x', 'stats'), cache_delete('none', 'stats');
SELECT * FROM counted;
-- while the cache is off all gets miss, and puts delete
SET pg_cache.enabled = off;
SELECT cache_get('k', 'stats') IS NULL AS miss;
SELECT cache_put('y', 'v', namespace => 'stats');
RESET pg_cache.enabled;
SELECT * FROM counted;
-- the bytes
SELECT cache_clear('stats');
SELECT cache_put('k' || i, repeat('v', 1000), namespace => 'stats') FROM generate_series(1, 10) i \g /dev/null
SELECT entries, key_bytes, bytes, stored_bytes, memory_used > bytes AS memory_used
    FROM cache_stats_namespaces WHERE namespace = 'stats';
SELECT cache_alter_namespace('stats', compression => 'lz4', compression_threshold => 100);
SELECT cache_put('k' || i, repeat('v', 1000), namespace => 'stats') FROM generate_series(1, 10) i \g /dev/null
SELECT entries, bytes, stored_bytes < bytes / 2 AS compressed
    FROM cache_stats_namespaces WHERE namespace = 'stats';
-- cache_clear counts what it removed
SELECT cache_clear('stats');
SELECT entries, bytes, stored_bytes, key_bytes, memory_used, deletes, invalidations, invalidations_manual
    FROM cache_stats_namespaces WHERE namespace = 'stats';

-- the database's sums
SELECT cache_reset_stats();
SELECT cache_put('k', 'v', namespace => 'stats'), cache_put('k', 'v', namespace => 'stats2'), cache_put('k', 'v');
SELECT cache_get('k', 'stats'), cache_get('k', 'stats2'), cache_get('k'), cache_get('stats: none') IS NULL AS none;
SELECT hits, misses, hit_ratio, puts, stale_puts, dropped_puts, deletes, evictions, expirations,
       invalidations, loads, load_errors, waits, entries, key_bytes, bytes, stored_bytes
    FROM cache_stats;
SELECT namespace, hits, misses, puts, entries FROM cache_stats_namespaces ORDER BY namespace;
SELECT memory_used BETWEEN index_bytes AND memory_limit AS used,
       memory_limit = pg_size_bytes(current_setting('pg_cache.memory')) AS limited,
       overhead_per_entry > 0 AS overhead
    FROM cache_stats;

-- back to zero
SELECT cache_reset_stats();
SELECT hits, misses, hit_ratio IS NULL AS no_ratio, puts, invalidations, entries FROM cache_stats;
SELECT cache_clear();
SELECT invalidations, invalidations_manual, entries FROM cache_stats;

-- evictions are set back as well
SELECT cache_alter_namespace('stats', max_entries => 10);
SELECT count(cache_put('k' || i, 'v', namespace => 'stats')) FROM generate_series(1, 30) i;
SELECT entries, evictions, invalidations FROM cache_stats_namespaces WHERE namespace = 'stats';
SELECT cache_reset_stats();
SELECT entries, evictions FROM cache_stats_namespaces WHERE namespace = 'stats';

-- what happened in a namespace stays in the sums when it is dropped, and when
-- another has its slot
CREATE VIEW sums AS
    SELECT hits, misses, puts, deletes, evictions, expirations, entries FROM cache_stats;
CREATE TEMP TABLE before AS SELECT * FROM sums;
SELECT cache_create_namespace('stats3', max_entries => 10);
SELECT count(cache_put('k' || i, 'v', namespace => 'stats3')) FROM generate_series(1, 30) i;
SELECT cache_get('k30', 'stats3'), cache_get('none', 'stats3') IS NULL AS none, cache_delete('k30', 'stats3');
CREATE VIEW since AS
    SELECT s.hits - b.hits AS hits, s.misses - b.misses AS misses, s.puts - b.puts AS puts,
           s.deletes - b.deletes AS deletes, s.evictions - b.evictions AS evictions,
           s.expirations - b.expirations AS expirations, s.entries - b.entries AS entries
    FROM sums s, before b;
SELECT * FROM since;
SELECT cache_drop_namespace('stats3');
SELECT * FROM since;
DO $$
BEGIN
    FOR i IN 1 .. current_setting('pg_cache.max_namespaces')::int LOOP
        PERFORM cache_create_namespace('stats3');
        PERFORM cache_add('k', 'v', namespace => 'stats3');
        COMMIT;
        PERFORM cache_drop_namespace('stats3');
        COMMIT;
    END LOOP;
END $$;
SELECT hits, misses, puts - current_setting('pg_cache.max_namespaces')::int AS puts,
       deletes, evictions, expirations, entries
    FROM since;
SELECT cache_reset_stats();
SELECT * FROM sums;
DROP VIEW since, sums;
DROP TABLE before;

-- cache_entries
SELECT cache_clear();
SELECT cache_put('text', 'some text', tags => ARRAY['x', 'y'], namespace => 'stats', priority => -2),
       cache_put('int', 7, '1 hour', namespace => 'stats2'), cache_put('null', NULL, namespace => 'stats2');
SELECT cache_get('text', 'stats'), cache_get('text', 'stats'), cache_get('int', 'stats2');
SELECT namespace, key, type, bytes, stored_bytes, hits, tags, priority,
       expires_at < 'infinity' AS expires
    FROM cache_entries ORDER BY namespace, key;
SELECT namespace, key, hits FROM unnest(ARRAY['stats', 'stats2']) AS n, unnest(ARRAY['text', 'int']) AS k,
    LATERAL cache_entry(k, n);
SELECT count(*) FROM cache_entries e, LATERAL cache_entry(e.key, e.namespace) AS o WHERE e IS NOT DISTINCT FROM o;
-- many
SELECT count(cache_put('key ' || i, repeat('v', i % 50), tags => ARRAY['t' || i % 7], namespace => 'stats2'))
    FROM generate_series(1, 3000) i;
SELECT count(*), count(DISTINCT key), sum(bytes), bool_and(tags = ARRAY['t' || substr(key, 5)::int % 7]) AS tags
    FROM cache_entries WHERE namespace = 'stats2' AND key LIKE 'key %';

-- who sees what
CREATE ROLE regress_cache_reader;
CREATE ROLE regress_cache_monitor IN ROLE pg_monitor;
SELECT cache_grant('stats', 'regress_cache_reader', 'read');
SET ROLE regress_cache_reader;
SELECT namespace FROM cache_stats_namespaces ORDER BY namespace;
SELECT namespace, count(*) FROM cache_entries GROUP BY namespace ORDER BY namespace;
SELECT entries > 3000 AS all_of_the_database FROM cache_stats;
RESET ROLE;
SET ROLE regress_cache_monitor;
SELECT namespace FROM cache_stats_namespaces ORDER BY namespace;
SELECT namespace, count(*) FROM cache_entries GROUP BY namespace ORDER BY namespace;
RESET ROLE;
GRANT EXECUTE ON FUNCTION cache_reset_stats() TO regress_cache_monitor;
SET ROLE regress_cache_monitor;
SELECT cache_reset_stats();
RESET ROLE;
REVOKE EXECUTE ON FUNCTION cache_reset_stats() FROM regress_cache_monitor;
SELECT cache_revoke('stats', 'regress_cache_reader', 'read');
DROP ROLE regress_cache_reader, regress_cache_monitor;

DROP VIEW counted;
SELECT cache_drop_namespace('stats'), cache_drop_namespace('stats2');
SELECT namespace FROM cache_stats_namespaces WHERE namespace LIKE 'stats%';
SELECT * FROM cache_check();
