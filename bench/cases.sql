-- What is measured.  README.md says how to add a case.

INSERT INTO bench.sets VALUES
	('m100', 1000000, 100),
	('b100', 10000, 100),
	('b1k', 10000, 1024),
	('b8k', 10000, 8192),
	('b64k', 1000, 65536),
	('put', 10000, 100);

INSERT INTO bench.cases VALUES
	('hit_100', 'a hit of 100 B, 10,000 keys', 'b100', 1, 3, 20),
	('hit_1k', 'a hit of 1 KiB, 10,000 keys', 'b1k', 1, 2, 10),
	('hit_8k', 'a hit of 8 KiB, 10,000 keys', 'b8k', 1, 1, 2),
	('hit_64k', 'a hit of 64 KiB, 1,000 keys', 'b64k', 1, 1, 5),
	('hit_100_million', 'a hit of 100 B, 1,000,000 keys', 'm100', 10, 0, 1),
	('put_100', 'a put of 100 B over an existing key, 10,000 keys', 'put', 1, 3, 10),
	('get_many', 'cache_get_many of 1,000,000 keys, 1,000 a call, per key', 'm100', 1, 0, 1),
	('get_many_once', 'cache_get_many of 1,000,000 keys, all in one call, per key', 'm100', 1, 0, 1);

-- Hits: the same variants for every set, each an expression of the key.
INSERT INTO bench.variants (case_name, name, statement, less, proof)
SELECT c.name, v.name,
	'SELECT sum(bench.touch(' || v.expr || ')) FROM {keys} q',
	nullif('loop', v.name),
	'(SELECT bool_and(' ||
		CASE v.name
			WHEN 'loop' THEN 'true'
			WHEN 'empty function' THEN 'octet_length(' || v.expr || ') = {size}'
			ELSE 'coalesce(' || v.expr || ' = bench.value(i, {size}), false)'
		END || ') FROM {keys} q)'
FROM bench.cases c, (VALUES
	(1, 'loop', 'k'),
	(2, 'empty function', 'bench.empty(k, {size})'),
	(3, 'lockfree_limit', 'bench.floor_get(k)'),
	(4, 'pg_cache', 'cache_get(k)'),
	(5, 'table, sub-select', '(SELECT v FROM bench.kv_{set} t WHERE t.k = q.k)'),
	(6, 'table, PL/pgSQL', 'bench.lookup_{set}(k)')) v (ord, name, expr)
WHERE c.name LIKE 'hit%'
ORDER BY c.name, v.ord;

-- The keys are a small part of what is in the cache, so a hit does not move its
-- entry in the LRU queue, but here.
INSERT INTO bench.variants (case_name, name, statement, less) VALUES
	('hit_100', 'pg_cache, moving the entry',
	 'SET LOCAL pg_cache.lru_bump = 0; SELECT sum(bench.touch(cache_get(k))) FROM {keys} q', 'loop');

-- Puts: a value other than the one that was loaded.
INSERT INTO bench.variants (case_name, name, statement, less, proof) VALUES
	('put_100', 'loop', 'SELECT count(k) FROM {keys} q', NULL, NULL),
	('put_100', 'empty function',
	 'SELECT count(bench.empty_put(k, (SELECT bench.value(0, {size})))) FROM {keys} q', 'loop', NULL),
	('put_100', 'lockfree_limit',
	 'SELECT count(bench.floor_put(k, (SELECT bench.value(0, {size})))) FROM {keys} q', 'loop',
	 '(SELECT bool_and(bench.floor_get(k) = bench.value(0, {size})) FROM {keys} q)'),
	('put_100', 'pg_cache',
	 'SELECT count(cache_put(k, (SELECT bench.value(0, {size})))) FROM {keys} q', 'loop',
	 '(SELECT bool_and(coalesce(cache_get(k) = bench.value(0, {size}), false)) FROM {keys} q)'),
	('put_100', 'table, upsert in one statement',
	 'INSERT INTO bench.kv_{set} SELECT k, (SELECT bench.value(0, {size})) FROM {keys} q
	  ON CONFLICT (k) DO UPDATE SET v = excluded.v', 'loop',
	 '(SELECT bool_and(v = bench.value(0, {size})) FROM bench.kv_{set})'),
	('put_100', 'table, PL/pgSQL',
	 'SELECT count(bench.upsert(k, (SELECT bench.value(0, {size})))) FROM {keys} q', 'loop', NULL);

CREATE FUNCTION bench.upsert(key text, value text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO bench.kv_put VALUES (key, value) ON CONFLICT (k) DO UPDATE SET v = excluded.v;
END $$;

-- Many keys in a call.  What is taken off is reading the arrays.
INSERT INTO bench.variants (case_name, name, statement, less, proof)
SELECT c.name, v.name, replace(v.statement, '{arrays}', c.arrays), v.less, replace(v.proof, '{arrays}', c.arrays)
FROM (VALUES ('get_many', 'bench.arrays_{set}'), ('get_many_once', 'bench.array_{set}')) c (name, arrays), (VALUES
	(1, 'loop', 'SELECT sum(bench.touch(k)) FROM {keys} q', NULL, NULL),
	(2, 'arrays', 'SELECT sum(bench.touch(ks[1])) FROM {arrays}', NULL, NULL),
	(3, 'empty function',
	 'SELECT sum(bench.touch(m.value)) FROM {arrays} a, bench.empty_many(a.ks, {size}) m', 'arrays',
	 '(SELECT count(*) FROM {arrays} a, bench.empty_many(a.ks, {size})) = (SELECT count(*) FROM {keys} q)'),
	(4, 'pg_cache',
	 'SELECT sum(bench.touch(m.value)) FROM {arrays} a, cache_get_many(a.ks) m', 'arrays',
	 '(SELECT count(*) FROM {arrays} a, cache_get_many(a.ks) m
	   WHERE m.value = bench.value(right(m.key, 12)::int, {size})) = (SELECT count(*) FROM {keys} q)'),
	(5, 'table, hash join',
	 'SELECT sum(bench.touch(t.v)) FROM {keys} q JOIN bench.kv_{set} t ON t.k = q.k', 'loop', NULL)) v (ord, name, statement, less, proof)
ORDER BY c.name, v.ord;

-- What we want to reach.
UPDATE bench.variants v SET target = t.target
FROM (VALUES
	('hit_100', 'lockfree_limit', '<= 2 x'),
	('hit_100_million', 'lockfree_limit', '<= 1.3 x'),
	('put_100', 'pg_cache', '<= 120 ns'),
	('get_many', 'pg_cache', '<= 120 ns'),
	('get_many_once', 'pg_cache', '<= 120 ns')) t (case_name, name, target)
WHERE v.case_name = t.case_name AND v.name = t.name;
