-- Expiry, cached NULLs, a namespace with a quota, compression, counters.
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\pset tuples_only on
\pset format unaligned

\echo 'An entry with a time to live of 200 ms:'
DO $$
DECLARE
	start timestamptz := clock_timestamp();
	gone interval;
BEGIN
	PERFORM cache_put('offer', 'half price', ttl => '200 ms');
	LOOP
		gone := clock_timestamp() - start;
		EXIT WHEN cache_get('offer') IS NULL;
		ASSERT gone < '10 s', 'the entry does not expire';
		PERFORM pg_sleep(0.002);
	END LOOP;
	ASSERT gone >= '200 ms', 'the entry expired too early';
	PERFORM set_config('demo.gone', gone::text, false);
END
$$;
SELECT '  served until it was gone after ' ||
	   round(extract(epoch FROM current_setting('demo.gone')::interval) * 1000) || ' ms';

\echo
\echo 'What does not exist is cached as well, so that it is not looked for again:'
SELECT page_cached('no-such-package') IS NULL AND page_cached('no-such-package') IS NULL \g /dev/null
SELECT format('  page: %s, in the cache: %s, hits: %s',
			  coalesce(page_cached(key)::text, 'NULL'),
			  cache_exists(key, 'pages'),
			  (SELECT hits FROM cache_entry(key, 'pages')))
FROM (VALUES ('no-such-package')) AS t(key);

\echo
\echo 'A namespace with a quota does not push others out:'
SELECT cache_create_namespace('sections', max_entries => 1000) \g /dev/null
SELECT count(cache_put(package, section, namespace => 'sections'))
FROM (SELECT package, section FROM packages ORDER BY package LIMIT 5000) AS t \g /dev/null
SELECT format('  put: %s, kept: %s, evicted: %s', puts, entries, evictions)
FROM cache_stats_namespaces WHERE namespace = 'sections';

\echo
\echo 'Values compress well:'
SELECT cache_create_namespace('lists', compression => 'zstd', compression_threshold => 256) \g /dev/null
CREATE VIEW names AS
SELECT jsonb_agg(package ORDER BY package) AS list
FROM (SELECT package FROM packages ORDER BY package LIMIT 5000) AS t;
SELECT cache_put('names', list, namespace => 'lists') FROM names \g /dev/null
SELECT format('  %s names of packages: %s, stored in %s', jsonb_array_length(list),
			  pg_size_pretty(bytes), pg_size_pretty(stored_bytes))
FROM names, cache_entry('names', 'lists');

\echo
\echo 'Counters that all sessions share, here a limit of 3 requests a minute:'
SELECT '  request ' || i || ': ' ||
	   CASE WHEN cache_incr('client 10.0.0.7', ttl => '1 minute') <= 3
			THEN 'served' ELSE 'refused' END
FROM generate_series(1, 4) AS i;

DO $$
BEGIN
	ASSERT cache_exists('no-such-package', 'pages') AND
		(SELECT hits > 0 FROM cache_entry('no-such-package', 'pages')),
		'a NULL was not cached';
	ASSERT (SELECT entries <= 1000 AND entries + evictions = puts
			FROM cache_stats_namespaces WHERE namespace = 'sections'),
		'the quota does not hold';
	ASSERT (SELECT stored_bytes < bytes / 2 FROM cache_entry('names', 'lists')),
		'the value was not compressed';
	ASSERT (SELECT cache_get_as('names', NULL::jsonb, 'lists') = list FROM names),
		'a compressed value came out differently';
	ASSERT cache_get('client 10.0.0.7') = '4', 'requests were not counted';
END
$$;
