-- What the views say at the end, and all of it in a few lines.
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off

-- requests.sql calls it, and would else leave a riddle.
\echo 'Counted from cache_reset_stats() on, which was called just before the replay; what'
\echo 'is in "dependents" was put before, and not asked for since.'
\echo
SELECT namespace, entries, hits, misses, round(hit_ratio::numeric, 3) AS hit_ratio,
	   puts, evictions, expirations, bytes, stored_bytes, memory_used
FROM cache_stats_namespaces ORDER BY memory_used DESC;

SELECT namespace, key, type, hits, bytes FROM cache_entries
ORDER BY hits DESC, key LIMIT 5;

\pset expanded on
\echo 'SELECT * FROM cache_stats;'
SELECT * FROM cache_stats;
\pset expanded off

CREATE TABLE faults AS SELECT * FROM cache_check() AS fault;

\echo 'Summary'
\pset border 0
\pset tuples_only on
SELECT 'hit ratio of the replay', round(100 * hit_ratio::numeric, 1) || ' %'
FROM cache_stats_namespaces WHERE namespace = 'pages'
UNION ALL
SELECT 'requests a second', format('%s, without the cache %s (%s x)',
	round(c.per_second), round(q.per_second),
	round(c.per_second / q.per_second, 1))
FROM throughput c, throughput q WHERE c.how = 'cached' AND q.how = 'query'
UNION ALL
(SELECT 'speed-up, ' || q.what, format('%s x (%s us to %s us)',
	round((q.median_us / h.median_us)::numeric),
	round(q.median_us::numeric), round(h.median_us::numeric, 2))
FROM latency q JOIN latency h USING (what)
WHERE q.how = 'query' AND h.how = 'hit' ORDER BY what DESC)
UNION ALL
SELECT label, value FROM cache_stats, LATERAL (VALUES
	('memory used', format('%s of %s (%s %%)', pg_size_pretty(memory_used),
						   pg_size_pretty(memory_limit),
						   round(100.0 * memory_used / memory_limit, 1))),
	('entries', entries::text),
	('overhead per entry', round(overhead_per_entry) || ' bytes beyond key and value'),
	('evictions', evictions::text),
	('expirations', expirations::text)) AS t(label, value)
UNION ALL
SELECT 'faults found by cache_check()', count(*)::text FROM faults;

DO $$
BEGIN
	ASSERT (SELECT count(*) = 0 FROM faults),
		(SELECT string_agg(fault, E'\n') FROM faults);
	ASSERT (SELECT memory_used <= memory_limit FROM cache_stats),
		'more memory is used than the limit allows';
	ASSERT (SELECT expirations > 0 FROM cache_stats), 'nothing expired';
END
$$;
