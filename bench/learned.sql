-- Tables and functions of bench/learned.

CREATE EXTENSION pg_cache;
CREATE SCHEMA learned;

-- Hours are numbered from the beginning of the replay.
CREATE UNLOGGED TABLE learned.requests (
	seq bigserial PRIMARY KEY,
	key text COLLATE "C" NOT NULL,
	size int NOT NULL,
	time float8,			-- seconds
	hour int);
CREATE UNLOGGED TABLE learned.hours (
	h int PRIMARY KEY,
	first bigint,			-- request
	second_half boolean);
CREATE UNLOGGED TABLE learned.predicted (
	method text,
	h int,
	key text COLLATE "C",
	rank int);

-- Hour 0 begins the week after next.
CREATE TABLE learned.monday AS SELECT date_trunc('week', now(), 'UTC') + interval '336:00' AS at;
CREATE FUNCTION learned.hour_begin(h int) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
	SELECT at + h * interval '1:00' FROM learned.monday
$$;

-- By the trace's times if it has them and they span two days, else evenly.
CREATE FUNCTION learned.spread(days float8) RETURNS void
LANGUAGE sql AS $$
	UPDATE learned.requests r
	SET hour = CASE WHEN a.span >= 2 * 86400 THEN floor((r.time - a.first) / 3600)
		ELSE floor((r.seq - a.first_seq) * days * 24 / a.n) END
	FROM (SELECT min(time) AS first, max(time) - min(time) AS span, min(seq) AS first_seq, count(*) AS n
		FROM learned.requests) a;
	CREATE INDEX ON learned.requests (hour);
	ANALYZE learned.requests;
	INSERT INTO learned.hours
	SELECT h, (SELECT min(seq) FROM learned.requests WHERE hour = h), h >= (m + 1) / 2
	FROM (SELECT max(hour) AS m FROM learned.requests) a, generate_series(0, m) h;
$$;

-- The hour before is closed, and the new one predicted.
CREATE FUNCTION learned.begin_hour(h int) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pgcache_test_set_clock(learned.hour_begin(h) + interval '1 minute' - clock_timestamp());
	PERFORM cache_learn();
	IF (SELECT second_half FROM learned.hours WHERE hours.h = begin_hour.h) THEN
		INSERT INTO learned.predicted
		SELECT 'cache_predict', h, key, rank FROM cache_predict('default', learned.hour_begin(h), 500);
	END IF;
END $$;

-- A miss puts, as the application would that was traced.
CREATE FUNCTION learned.replay(first bigint, last bigint) RETURNS bigint
LANGUAGE sql AS $$
	SELECT count(CASE WHEN cache_get(key) IS NULL THEN cache_put(key, repeat('v', greatest(size, 1))) END)
	FROM (SELECT key, size FROM learned.requests WHERE seq BETWEEN first AND last ORDER BY seq) r
$$;

CREATE FUNCTION learned.describe() RETURNS text
LANGUAGE sql AS $$
	SELECT format('%s requests for %s keys in %s hours, the second half of which is predicted',
		count(*), count(DISTINCT key), (SELECT count(*) FROM learned.hours))
	FROM learned.requests
$$;

-- How often each key was asked for in each hour, and its place there.
CREATE VIEW learned.counts AS
SELECT hour AS h, key, count(*) AS n, row_number() OVER (PARTITION BY hour ORDER BY count(*) DESC, key) AS rank
FROM learned.requests GROUP BY hour, key;

CREATE VIEW learned.report AS
WITH counts AS MATERIALIZED (SELECT * FROM learned.counts),
hours AS (SELECT h, coalesce(sum(n), 0) AS n FROM learned.hours LEFT JOIN counts USING (h) WHERE second_half GROUP BY h),
overall AS (
	SELECT key, row_number() OVER (ORDER BY sum(n) DESC, key) AS rank
	FROM counts JOIN learned.hours USING (h) WHERE NOT second_half GROUP BY key),
methods AS (
	SELECT 1 AS ord, method, h, key, rank FROM learned.predicted
	UNION ALL SELECT 2, 'keys of the hour before', h + 1, key, rank FROM counts WHERE h + 1 IN (SELECT h FROM hours)
	UNION ALL SELECT 3, 'most frequent of the first half', h, key, rank FROM overall, hours WHERE rank <= 500
	UNION ALL SELECT 4, '(the hour''s own, if they were known)', h, key, rank FROM counts WHERE h IN (SELECT h FROM hours)),
found AS (
	SELECT limits.n AS "keys", m.ord, m.method, m.h, count(*) AS predicted, count(c.n) AS asked, coalesce(sum(c.n), 0) AS requests
	FROM (VALUES (100), (500)) limits (n) JOIN methods m ON m.rank <= limits.n LEFT JOIN counts c ON c.h = m.h AND c.key = m.key
	GROUP BY limits.n, m.ord, m.method, m.h)
SELECT "keys", method,
	round(100 * sum(asked) / sum(predicted), 1) AS "asked for, %",
	round(100 * sum(requests) / (SELECT sum(n) FROM hours), 1) AS "coverage, %"
FROM found
GROUP BY "keys", ord, method
UNION ALL
SELECT 100, 'as cache_prediction_accuracy has it',
	round((100 * sum(asked)::float8 / nullif(sum(predicted), 0))::numeric, 1),
	round((100 * sum(coverage * n) / sum(n))::numeric, 1)
FROM cache_prediction_accuracy a JOIN hours ON a.hour = learned.hour_begin(h)
WHERE namespace = 'default'
ORDER BY 1, 3 DESC, 2;
