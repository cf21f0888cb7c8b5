-- What the replay gave.
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off

SELECT how AS "requests served", sessions, requests,
	   round(per_second) AS "per second",
	   round(per_second / min(per_second) OVER (), 1) || ' x' AS "speed-up"
FROM throughput ORDER BY per_second;

SELECT entries AS "pages in the cache", hits, misses,
	   round(hit_ratio::numeric, 3) AS "hit ratio", evictions,
	   pg_size_pretty(memory_used) AS "memory used",
	   pg_size_pretty(memory_limit) AS "limit"
FROM cache_stats_namespaces WHERE namespace = 'pages';

-- What has priority is still there.
DO $$
BEGIN
	ASSERT (SELECT evictions = 0 AND entries = (SELECT count(*) FROM sample_dependents)
			FROM cache_stats_namespaces WHERE namespace = 'dependents'),
		'entries of a higher priority were evicted';
END
$$;

-- Counters are exact: each request was a hit or a miss, and nothing else was.
-- The pages that are cached now are those that the query gives.
CREATE TABLE compared AS
SELECT key, cache_get_as(key, NULL::jsonb, 'pages') AS cached, page(key) AS computed
FROM (SELECT key FROM cache_entries WHERE namespace = 'pages'
	  ORDER BY md5(key) LIMIT 2000) AS t;
DO $$
BEGIN
	ASSERT (SELECT hits + misses = requests + (SELECT count(*) FROM compared)
			FROM cache_stats_namespaces, throughput
			WHERE namespace = 'pages' AND how = 'cached'),
		'hits and misses do not add up to the number of requests';
	ASSERT (SELECT count(*) > 0 AND bool_and(cached IS NOT DISTINCT FROM computed)
			FROM compared),
		'a cached page is not what the query says';
END
$$;
SELECT count(*) || ' cached pages compared with the query: all equal' AS "check"
FROM compared;
