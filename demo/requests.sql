-- What visitors of a web site might ask for: some pages very often, most of
-- them seldom.  The package of rank r is asked for in proportion to 1/r (Zipf's
-- law); ranks are dealt at random.
\set ON_ERROR_STOP on
\set QUIET on

SELECT setseed(0.25);
CREATE TABLE requests AS
WITH ranked AS (
	SELECT package, row_number() OVER (ORDER BY md5(package)) AS rank
	FROM packages),
asked AS (
	SELECT i, floor(exp(random() * ln((SELECT count(*) FROM packages) + 1)))::bigint AS rank
	FROM generate_series(1, :requests) AS i)
SELECT asked.i, ranked.package FROM asked JOIN ranked USING (rank);
CREATE INDEX ON requests (i);
VACUUM ANALYZE requests;

CREATE TABLE served (
	how text, client int, requests bigint, started timestamptz, finished timestamptz);

-- Serves every clients-th of some requests, each in a transaction of its own.  (For
-- all that is put within one CALL the data count as read when it began, so it had
-- better be a short one.)
CREATE PROCEDURE serve(how text, client int, clients int, first int, last int)
LANGUAGE plpgsql AS $$
DECLARE
	started timestamptz := clock_timestamp();
	served bigint := 0;
	name text;
	result jsonb;
BEGIN
	FOR name IN
		SELECT package FROM requests
		WHERE i BETWEEN first AND last AND i % clients = client ORDER BY i
	LOOP
		IF how = 'cached' THEN
			result := page_cached(name);
		ELSE
			result := page(name);
		END IF;
		ASSERT result ->> 'package' = name, 'this is the page of another package';
		served := served + 1;
		COMMIT;
	END LOOP;
	INSERT INTO served VALUES (how, client, served, started, clock_timestamp());
END
$$;

CREATE VIEW throughput AS
SELECT how, count(DISTINCT client) AS sessions, sum(requests)::bigint AS requests,
	   sum(requests) / extract(epoch FROM max(finished) - min(started)) AS per_second
FROM served GROUP BY how;

-- Figures of the replay shall not be mixed with those of what came before.
SELECT cache_clear('pages');
SELECT cache_reset_stats();
