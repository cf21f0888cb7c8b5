-- The time of one call: of the query, of a miss (the query and a put) and of a
-- hit.  A statement calls the function for each package of a sample, with a
-- clock reading before and after, so it is the server's time alone, and the
-- queries' plans are made beforehand.  Hits are too short for the clock and go by
-- the hundred.
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off

SELECT setseed(0.5) \g /dev/null
CREATE TABLE sample_pages AS
SELECT package FROM packages ORDER BY random() LIMIT 1000;
CREATE TABLE sample_dependents AS
SELECT package
FROM (SELECT target AS package FROM depends GROUP BY target
	  ORDER BY count(*) DESC, target LIMIT 500) AS needed
ORDER BY random() LIMIT 50;
VACUUM ANALYZE sample_pages, sample_dependents;

CREATE TABLE timing (what text, how text, package text, us float8, result text);

-- Once without a look at the time, so that the tables' pages are in memory.
SELECT count(page(package)) FROM sample_pages \g /dev/null
SELECT count(dependents(package)) FROM sample_dependents \g /dev/null

INSERT INTO timing
SELECT 'page of a package (jsonb)', 'query', package, extract(epoch FROM stop - start) * 1e6, result
FROM (SELECT package, clock_timestamp() AS start, page(package) AS result,
			 clock_timestamp() AS stop
	  FROM sample_pages OFFSET 0) AS t;
INSERT INTO timing
SELECT 'page of a package (jsonb)', 'miss', package, extract(epoch FROM stop - start) * 1e6, result
FROM (SELECT package, clock_timestamp() AS start, page_cached(package) AS result,
			 clock_timestamp() AS stop
	  FROM sample_pages OFFSET 0) AS t;
INSERT INTO timing
SELECT 'page of a package (jsonb)', 'hit', package, extract(epoch FROM stop - start) * 1e6 / 100, result
FROM (SELECT package, clock_timestamp() AS start,
			 (SELECT count(*) FROM generate_series(1, 100)
			  WHERE page_cached(package) IS NOT NULL),
			 clock_timestamp() AS stop, page_cached(package) AS result
	  FROM sample_pages OFFSET 0) AS t;

INSERT INTO timing
SELECT 'all dependents of a package', 'query', package, extract(epoch FROM stop - start) * 1e6, result
FROM (SELECT package, clock_timestamp() AS start, dependents(package) AS result,
			 clock_timestamp() AS stop
	  FROM sample_dependents OFFSET 0) AS t;
INSERT INTO timing
SELECT 'all dependents of a package', 'miss', package, extract(epoch FROM stop - start) * 1e6, result
FROM (SELECT package, clock_timestamp() AS start, dependents_cached(package) AS result,
			 clock_timestamp() AS stop
	  FROM sample_dependents OFFSET 0) AS t;
INSERT INTO timing
SELECT 'all dependents of a package', 'hit', package, extract(epoch FROM stop - start) * 1e6 / 100, result
FROM (SELECT package, clock_timestamp() AS start,
			 (SELECT count(*) FROM generate_series(1, 100)
			  WHERE dependents_cached(package) IS NOT NULL),
			 clock_timestamp() AS stop, dependents_cached(package) AS result
	  FROM sample_dependents OFFSET 0) AS t;

-- Cached or not, the answer is the same.
DO $$
BEGIN
	ASSERT (SELECT bool_and(n = 1) FROM (
				SELECT count(DISTINCT result) AS n FROM timing
				GROUP BY what, package HAVING count(*) = 3) AS t),
		'a cached answer is not what the query says';
	ASSERT (SELECT min(hits) > 0 FROM cache_stats_namespaces
			WHERE namespace IN ('pages', 'dependents')),
		'the second call was no hit';
END
$$;

CREATE VIEW latency AS
SELECT what, how, count(*) AS calls,
	   percentile_cont(0.5) WITHIN GROUP (ORDER BY us) AS median_us
FROM timing GROUP BY what, how;

SELECT q.what AS "median time of a call", q.calls,
	   round(q.median_us::numeric, 1) AS "query, us",
	   round(m.median_us::numeric, 1) AS "miss, us",
	   round(h.median_us::numeric, 2) AS "hit, us",
	   round((q.median_us / h.median_us)::numeric) || ' x' AS "speed-up"
FROM latency q, latency m, latency h
WHERE q.how = 'query' AND m.how = 'miss' AND h.how = 'hit'
	AND q.what = m.what AND q.what = h.what
ORDER BY q.what DESC;
