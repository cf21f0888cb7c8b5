-- The tables of the torture test, what is cached of them, and the functions by
-- which its scripts change and read them.  README.md says what it is about.

CREATE SCHEMA torture;
SET search_path = torture, public;

SELECT cache_create_namespace('torture');

---- Rows whose writers tell the cache ------------------------------------------
--
-- 'a:ID' is a row's value, 'ad:ID' the same by a table dependency, 'g:GROUP' a sum.

CREATE TABLE acct (id int PRIMARY KEY, v bigint) WITH (fillfactor = 30);
INSERT INTO acct SELECT i, i FROM generate_series(1, 64) i;

CREATE FUNCTION key_tags(id int) RETURNS text[] IMMUTABLE LANGUAGE sql AS $$
	SELECT ARRAY['a' || id, 'gk' || id % 8]
$$;
CREATE FUNCTION group_tags(ids int[]) RETURNS text[] IMMUTABLE LANGUAGE sql AS $$
	SELECT ARRAY(SELECT DISTINCT 'g' || i % 8 FROM unnest(ids) i)
$$;

-- Does to the cache, in one of many ways, what a change of these rows asks for.
CREATE FUNCTION tell(ids int[], how text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CASE how
	WHEN 'put' THEN
		PERFORM cache_invalidate_tags(group_tags(ids), 'torture');
		PERFORM cache_put('a:' || i, (SELECT v FROM acct WHERE id = i), tags => key_tags(i), namespace => 'torture')
		FROM unnest(ids) i;
	WHEN 'put_many' THEN
		PERFORM cache_put_many(array_agg('a:' || i), array_agg((SELECT v FROM acct WHERE id = i)::text),
			tags => array_agg('a' || i) || array_agg('gk' || i % 8), namespace => 'torture'),
			cache_invalidate_tags(group_tags(ids), 'torture')
		FROM unnest(ids) i;
	WHEN 'delete' THEN
		PERFORM cache_invalidate_tags(group_tags(ids), 'torture');
		PERFORM cache_delete('a:' || i, 'torture') FROM unnest(ids) i;
	WHEN 'put_delete' THEN
		PERFORM tell(ids, 'put');
		PERFORM tell(ids, 'delete');
	WHEN 'delete_put' THEN
		PERFORM tell(ids, 'delete');
		PERFORM tell(ids, 'put');
	WHEN 'tags' THEN
		PERFORM cache_invalidate_tags(group_tags(ids) || ARRAY(SELECT 'gk' || i % 8 FROM unnest(ids) i), 'torture');
	WHEN 'key_tags' THEN
		PERFORM cache_invalidate_tags(group_tags(ids) || ARRAY(SELECT 'a' || i FROM unnest(ids) i));
	WHEN 'all_of' THEN
		PERFORM cache_invalidate_tags(group_tags(ids), 'torture');
		PERFORM cache_invalidate_tags(key_tags(i), 'torture', true) FROM unnest(ids) i;
	WHEN 'pattern' THEN
		PERFORM cache_invalidate_pattern('a:' || i, 'torture'),
			cache_invalidate_pattern('g:' || i % 8, 'torture') FROM unnest(ids) i;
	WHEN 'wide' THEN
		PERFORM cache_invalidate_pattern('_:%', 'torture');
	WHEN 'clear' THEN
		PERFORM cache_clear('torture');
	WHEN 'disabled' THEN
		SET LOCAL pg_cache.enabled = off;
		PERFORM tell(ids, 'put');
		SET LOCAL pg_cache.enabled = on;
	WHEN 'subtransaction' THEN
		PERFORM tell(ids, 'delete');
		BEGIN
			PERFORM tell(ids, 'put');
			RAISE division_by_zero;
		EXCEPTION WHEN division_by_zero THEN
		END;
	END CASE;
END $$;

CREATE FUNCTION change(ids int[], how text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE acct SET v = coalesce(v, 0) + 1 WHERE id = ANY (ids);
	PERFORM tell(ids, how);
END $$;

-- So many subtransactions that snapshots overflow.
CREATE FUNCTION overflow(ids int[], how text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 90 LOOP
		BEGIN
			UPDATE acct SET v = coalesce(v, 0) + 1 WHERE id = ids[1 + i % cardinality(ids)];
			IF i % 9 = 0 THEN
				PERFORM tell(ids, how);
			END IF;
			IF i % 7 = 0 THEN
				RAISE division_by_zero;
			END IF;
		EXCEPTION WHEN division_by_zero THEN
		END;
	END LOOP;
	PERFORM tell(ids, how);
END $$;

CREATE PROCEDURE in_steps(ids int[], how text) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 4 LOOP
		PERFORM change(ids, how);
		IF i % 3 = 0 THEN
			ROLLBACK;
		ELSE
			COMMIT;
		END IF;
	END LOOP;
END $$;

---- Tables that entries depend on ----------------------------------------------

CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, v bigint NOT NULL,
	parent_id int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE);
CREATE INDEX ON child (parent_id);
INSERT INTO parent SELECT generate_series(1, 20);
INSERT INTO child SELECT i, i, i % 20 + 1 FROM generate_series(1, 60) i;

CREATE FUNCTION new_parent(p int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO parent VALUES (p) ON CONFLICT DO NOTHING;
	INSERT INTO child SELECT i, i, p FROM generate_series(1, 60) i WHERE i % 20 + 1 = p ON CONFLICT DO NOTHING;
$$;

CREATE TABLE part (id int, grp int, v bigint NOT NULL) PARTITION BY LIST (grp);
CREATE TABLE part0 PARTITION OF part FOR VALUES IN (0);
CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part2 PARTITION OF part FOR VALUES IN (2, 3) PARTITION BY LIST (grp);
CREATE TABLE part2a PARTITION OF part2 FOR VALUES IN (2);
CREATE TABLE part2b PARTITION OF part2 FOR VALUES IN (3);
CREATE UNIQUE INDEX ON part (id, grp);
INSERT INTO part SELECT i, i % 4, i FROM generate_series(1, 40) i;

CREATE TABLE family (id int, v bigint NOT NULL);
CREATE TABLE family1 () INHERITS (family);
CREATE TABLE family2 () INHERITS (family1);
CREATE TABLE family3 () INHERITS (family);
INSERT INTO family SELECT i, i FROM generate_series(1, 5) i;
INSERT INTO family1 SELECT i, i FROM generate_series(6, 10) i;
INSERT INTO family2 SELECT i, i FROM generate_series(11, 15) i;
INSERT INTO family3 SELECT i, i FROM generate_series(16, 20) i;

CREATE TABLE trunc (id int, v bigint);
INSERT INTO trunc SELECT i, i FROM generate_series(1, 20) i;

CREATE MATERIALIZED VIEW matview AS SELECT id % 4 AS id, sum(v) AS v FROM acct GROUP BY 1;
CREATE UNIQUE INDEX ON matview (id);

CREATE TABLE att (id int, grp int, v bigint) PARTITION BY LIST (grp);
CREATE TABLE att0 PARTITION OF att FOR VALUES IN (0);
CREATE TABLE att1 PARTITION OF att FOR VALUES IN (1);
INSERT INTO att SELECT i, i % 2, i FROM generate_series(1, 20) i;

CREATE TABLE cause (id int PRIMARY KEY, v bigint);
CREATE TABLE effect (total bigint);
INSERT INTO cause SELECT i, i FROM generate_series(1, 20) i;
INSERT INTO effect VALUES (0);
CREATE FUNCTION cause_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE effect SET total = total + 1;
	RETURN NULL;
END $$;
CREATE TRIGGER changed AFTER UPDATE ON cause FOR EACH ROW EXECUTE FUNCTION cause_changed();
CREATE CONSTRAINT TRIGGER changed_late AFTER INSERT ON cause DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION cause_changed();

-- ATTACH takes no lock that readers wait for.  With an old snapshot pg_inherits may
-- say what is so no longer.
CREATE FUNCTION flip_partition() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF NOT pg_try_advisory_xact_lock(77, 1) THEN
		RETURN;
	END IF;
	IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = 'torture.att1'::regclass) THEN
		ALTER TABLE att DETACH PARTITION att1;
	ELSE
		ALTER TABLE att ATTACH PARTITION att1 FOR VALUES IN (1);
	END IF;
EXCEPTION WHEN wrong_object_type OR undefined_table OR duplicate_table THEN
END $$;
CREATE FUNCTION flip_inheritance() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF NOT pg_try_advisory_xact_lock(77, 2) THEN
		RETURN;
	END IF;
	IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = 'torture.family3'::regclass) THEN
		ALTER TABLE family3 NO INHERIT family;
	ELSE
		ALTER TABLE family3 INHERIT family;
	END IF;
EXCEPTION WHEN wrong_object_type OR undefined_table OR duplicate_table THEN
END $$;

---- Watched tables -------------------------------------------------------------

CREATE TABLE watched (id int PRIMARY KEY, grp int, v bigint) WITH (fillfactor = 30);
INSERT INTO watched SELECT i, i % 4, i FROM generate_series(1, 32) i;
SELECT cache_watch_table('watched', 'w:{id}', ARRAY['wg{grp}'], 'torture');

CREATE TABLE watched_part (id int, grp int, v bigint, PRIMARY KEY (id, grp)) PARTITION BY LIST (grp);
CREATE TABLE watched_part0 PARTITION OF watched_part FOR VALUES IN (0);
CREATE TABLE watched_part1 PARTITION OF watched_part FOR VALUES IN (1);
INSERT INTO watched_part SELECT i, i % 2, i FROM generate_series(1, 32) i;
SELECT cache_watch_table('watched_part', 'p:{id}', namespace => 'torture');

---- What is cached -------------------------------------------------------------

CREATE TABLE kinds (kind int PRIMARY KEY, name text);
INSERT INTO kinds VALUES (0, 'key'), (1, 'key, by table'), (2, 'tag'),
	(3, 'foreign key'), (4, 'partitioned'), (5, 'partition'), (6, 'inheritance'),
	(7, 'truncated'), (8, 'matview'), (9, 'attached'), (10, 'trigger'),
	(11, 'watched key'), (12, 'watched tag'), (13, 'watched partition');

-- Those that are not compared by a statement of their own.
CREATE TABLE entries (kind int REFERENCES kinds, key text PRIMARY KEY, query text, tags text[], depends_on regclass[]);
INSERT INTO entries VALUES
	(3, 'd:child', 'SELECT count(*) || '' '' || sum(v) FROM torture.child', NULL, '{torture.child}'),
	(3, 'd:join', 'SELECT count(*) || '' '' || sum(v) || '' '' || sum(p.id) FROM torture.child c JOIN torture.parent p ON p.id = parent_id',
		NULL, '{torture.child, torture.parent}'),
	(4, 'd:part', 'SELECT count(*) || '' '' || sum(v) || '' '' || sum(grp) FROM torture.part', NULL, '{torture.part}'),
	(4, 'd:part2', 'SELECT count(*) || '' '' || sum(v) || '' '' || sum(grp) FROM torture.part2', NULL, '{torture.part2}'),
	(5, 'd:part1', 'SELECT count(*) || '' '' || sum(v) FROM torture.part1', NULL, '{torture.part1}'),
	(5, 'd:part2b', 'SELECT count(*) || '' '' || sum(v) FROM torture.part2b', NULL, '{torture.part2b}'),
	(6, 'd:family', 'SELECT count(*) || '' '' || sum(v) FROM torture.family', NULL, '{torture.family}'),
	(6, 'd:family1', 'SELECT count(*) || '' '' || sum(v) FROM torture.family1', NULL, '{torture.family1}'),
	(7, 'd:trunc', 'SELECT count(*) || '' '' || coalesce(sum(v), 0) FROM torture.trunc', NULL, '{torture.trunc}'),
	(8, 'd:matview', 'SELECT count(*) || '' '' || coalesce(sum(v), 0) FROM torture.matview', NULL, '{torture.matview}'),
	(9, 'd:att', 'SELECT count(*) || '' '' || sum(v) FROM torture.att', NULL, '{torture.att}'),
	(10, 'd:effect', 'SELECT total::text FROM torture.effect', NULL, '{torture.effect}'),
	(12, 'w:sum0', 'SELECT count(*) || '' '' || coalesce(sum(v), 0) FROM torture.watched WHERE grp = 0', '{wg0}', NULL),
	(12, 'w:sum1', 'SELECT count(*) || '' '' || coalesce(sum(v), 0) FROM torture.watched WHERE grp = 1', '{wg1}', NULL);

-- The truth, the cache's answer, and if they differ the truth once more, all
-- under the caller's snapshot.  The first also takes the locks by which a
-- TRUNCATE comes before all or after all.  In the window in which ATTACH has
-- committed and not yet told the other backends PostgreSQL may give two answers
-- under one snapshot, and a transaction that holds its lock on the table goes on
-- giving the old one: the cached one must be that, or what it gives when told.
CREATE FUNCTION look(e entries, OUT hit bool, OUT truth text) LANGUAGE plpgsql STABLE AS $$
DECLARE
	cached text;
	again text;
BEGIN
	EXECUTE e.query INTO truth;
	SELECT m.value INTO cached FROM cache_get_many(ARRAY[e.key], 'torture') m;
	hit := FOUND;
	IF hit AND cached IS DISTINCT FROM truth THEN
		PERFORM pgcache_test_accept_messages();
		EXECUTE e.query INTO again;
		IF again IS NOT DISTINCT FROM cached THEN
			truth := again;
		END IF;
	END IF;
	hit := pgcache_test_compare(e.kind, e.key, hit, cached, truth);
END $$;

-- Fillers that get, read and put under different snapshots.
CREATE FUNCTION fetch_key(i int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	value text;
BEGIN
	SELECT m.value INTO value FROM cache_get_many(ARRAY['a:' || i], 'torture') m;
	IF NOT FOUND THEN
		SELECT v::text INTO value FROM acct WHERE id = i;
		PERFORM cache_put('a:' || i, value, tags => key_tags(i), namespace => 'torture');
	END IF;
	RETURN value;
END $$;
CREATE FUNCTION fetch_entry(e entries, how int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	value text;
BEGIN
	SELECT m.value INTO value FROM cache_get_many(ARRAY[e.key], 'torture') m;
	IF NOT FOUND THEN
		EXECUTE e.query INTO value;
		IF how = 0 THEN
			PERFORM cache_put(e.key, value, tags => e.tags, namespace => 'torture', depends_on => e.depends_on);
		ELSE
			PERFORM cache_put(e.key, value, tags => e.tags, namespace => 'torture');
			IF e.depends_on IS NOT NULL THEN
				PERFORM cache_depend(e.key, e.depends_on, 'torture');
			END IF;
		END IF;
	END IF;
	RETURN value;
END $$;

CREATE FUNCTION noise(i int) RETURNS void LANGUAGE sql AS $$
	SELECT cache_put('n:' || n, repeat(md5(n::text), 200), namespace => 'torture') FROM generate_series(i, i + 30) n;
$$;
