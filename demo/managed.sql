-- What runs by itself: warming, hot keys, history, health, advice.
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off

\echo 'A warmer puts the pages of the packages that most others need, every morning at'
\echo 'six, as the role that created it; here it is run at once:'
\echo
SELECT cache_create_warmer('most needed', $$
	SELECT p.package, page(p.package)
	FROM packages p JOIN depends d ON d.target = p.package
	GROUP BY p.package ORDER BY count(*) DESC, p.package LIMIT 200
$$, schedule => '0 6 * * *', namespace => 'pages') \g /dev/null
SELECT cache_run_warmer('most needed') \g /dev/null
SELECT name, rows, pg_size_pretty(bytes) AS size,
	   round(extract(epoch FROM finished_at - started_at) * 1000) || ' ms' AS took, error
FROM cache_warmer_runs;

\echo 'The pages asked for most, by samples of the gets, and what was truly asked:'
\echo
CREATE TABLE hot AS
SELECT key, cache_hot_keys.requests AS sampled, truly.requests, bytes
FROM cache_hot_keys
	 JOIN (SELECT package AS key, count(*) AS requests FROM requests GROUP BY package) AS truly USING (key)
WHERE namespace = 'pages';
SELECT * FROM hot ORDER BY sampled DESC, key LIMIT 5;

\echo 'How long it took, in microseconds:'
\echo
SELECT operation, calls, round(p50_us::numeric, 2) AS p50, round(p95_us::numeric, 2) AS p95,
	   round(p99_us::numeric, 2) AS p99, round(max_us::numeric) AS max
FROM cache_latency WHERE calls > 0 ORDER BY operation;

\echo 'The history of the pages, of which the worker wrote a row every second:'
\echo
SELECT cache_record_stats() \g /dev/null
SELECT to_char(at, 'HH24:MI:SS') AS at, hits, misses, round(hit_ratio::numeric, 3) AS hit_ratio,
	   evictions, entries
FROM (SELECT * FROM cache_stats_history WHERE namespace = 'pages' AND hits > 1000 ORDER BY at DESC LIMIT 5) AS last
ORDER BY at;

\echo 'Health, and what to do:'
\echo
SELECT score, class FROM cache_health();
SELECT reason, weight, lost, round(figure::numeric, 3) AS figure, description
FROM cache_health_checks() WHERE lost > 0 ORDER BY lost DESC;
SELECT advice, namespace, message FROM cache_advice;

DO $$
BEGIN
	ASSERT (SELECT rows = 200 AND error IS NULL FROM cache_warmer_runs),
		'the warmer did not do what it should';
	ASSERT (SELECT count(*) = 200 FROM
			(SELECT p.package FROM packages p JOIN depends d ON d.target = p.package
			 GROUP BY p.package ORDER BY count(*) DESC, p.package LIMIT 200) AS needed
			WHERE cache_get_as(package, NULL::jsonb, 'pages') = page(package)),
		'a page is missing, or another one';
	ASSERT (SELECT key IN (SELECT key FROM hot ORDER BY requests DESC LIMIT 3)
			FROM hot ORDER BY sampled DESC, key LIMIT 1),
		'the key that the samples say is hottest is not';
	ASSERT (SELECT score BETWEEN 0 AND 100 FROM cache_health()), 'the score is none';
	ASSERT (SELECT sum(hits) > 0 FROM cache_stats_history WHERE namespace = 'pages'),
		'there is no history';
END
$$;
