-- Cases about transactions and tags; after the sets of keys were loaded.
--
-- Two namespaces hold the same keys, without tags and with three tags each, put by
-- transactions, which other cases don't do.

SELECT cache_create_namespace('plain'), cache_create_namespace('tagged') \g /dev/null

CREATE FUNCTION bench.put_tagged(k text, v text) RETURNS void LANGUAGE sql AS $$
	SELECT cache_put(k, v, namespace => 'plain'),
		cache_put(k, v, tags => ARRAY['all', 'of ' || right(k, 1), 'one ' || right(k, 3)], namespace => 'tagged')
$$;

-- Several transactions, because the pending puts of one take a share of the memory
-- only, and an xid each: entries are then settled as those of writers are.
SET pg_cache.transactional = on;
SELECT format('BEGIN; SELECT pg_current_xact_id(); SELECT count(bench.put_tagged(k, v)::text) FROM bench.kv_b100 WHERE right(k, 1) = %L; COMMIT', digit)
FROM generate_series(0, 9) digit \gexec
RESET pg_cache.transactional;

INSERT INTO bench.cases VALUES
	('hit_tags', 'a hit of 100 B with 3 tags, 10,000 keys', 'b100', 1, 3, 20),
	('put_transactional', 'a put of 100 B by a transaction over an existing key, 10,000 keys in one, with its commit', 'put', 1, 3, 10);

INSERT INTO bench.variants (case_name, name, statement, less, proof, target) VALUES
	('hit_tags', 'loop', 'SELECT sum(bench.touch(k)) FROM {keys} q', NULL, NULL, ''),
	('hit_tags', 'empty function', 'SELECT sum(bench.touch(bench.empty(k, {size}))) FROM {keys} q', 'loop', NULL, ''),
	('hit_tags', 'pg_cache', 'SELECT sum(bench.touch(cache_get(k, ''tagged''))) FROM {keys} q', 'loop',
	 '(SELECT avg((coalesce(cache_get(k, ''tagged'') = bench.value(i, {size}), false))::int) > 0.98 FROM {keys} q)', ''),
	('hit_tags', 'pg_cache, no tags', 'SELECT sum(bench.touch(cache_get(k, ''plain''))) FROM {keys} q', 'loop',
	 '(SELECT bool_and(coalesce(cache_get(k, ''plain'') = bench.value(i, {size}), false)) FROM {keys} q)', '<= 1.3 x'),
	('put_transactional', 'loop', 'SELECT count(k) FROM {keys} q', NULL, NULL, ''),
	('put_transactional', 'empty function',
	 'SELECT count(bench.empty_put(k, (SELECT bench.value(0, {size})))) FROM {keys} q', 'loop', NULL, ''),
	('put_transactional', 'pg_cache, at once',
	 'SELECT count(cache_put(k, (SELECT bench.value(0, {size})))) FROM {keys} q', 'loop',
	 '(SELECT bool_and(coalesce(cache_get(k) = bench.value(0, {size}), false)) FROM {keys} q)', ''),
	('put_transactional', 'pg_cache',
	 'SET LOCAL pg_cache.transactional = on; SELECT count(cache_put(k, (SELECT bench.value(0, {size})))) FROM {keys} q', 'loop',
	 '(SELECT bool_and(coalesce(cache_get(k) = bench.value(0, {size}), false)) FROM {keys} q)', ''),
	('put_transactional', 'pg_cache, and an xid',
	 'SET LOCAL pg_cache.transactional = on; SELECT pg_current_xact_id(); SELECT count(cache_put(k, (SELECT bench.value(0, {size})))) FROM {keys} q', 'loop',
	 '(SELECT bool_and(coalesce(cache_get(k) = bench.value(0, {size}), false)) FROM {keys} q)', ''),
	('put_transactional', 'table, upsert in one statement',
	 'INSERT INTO bench.kv_{set} SELECT k, (SELECT bench.value(0, {size})) FROM {keys} q
	  ON CONFLICT (k) DO UPDATE SET v = excluded.v', 'loop', NULL, '');
