-- The tables and functions of the benchmark.  :floor is the module of floor/.

CREATE EXTENSION pg_cache;
CREATE SCHEMA bench;

CREATE FUNCTION bench.empty(key text, size int) RETURNS text
	AS :'floor', 'floor_empty' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION bench.empty_put(key text, value text) RETURNS void
	AS :'floor', 'floor_empty_put' LANGUAGE C VOLATILE;
CREATE FUNCTION bench.empty_many(keys text[], size int) RETURNS TABLE (key text, value text)
	AS :'floor', 'floor_empty_many' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION bench.floor_get(key text) RETURNS text
	AS :'floor', 'floor_get' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION bench.floor_put(key text, value text) RETURNS void
	AS :'floor', 'floor_put' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION bench.touch(value text) RETURNS int
	AS :'floor', 'floor_touch' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION bench.value(i int, size int) RETURNS text
	AS :'floor', 'floor_value' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION bench.cpu_time() RETURNS bigint
	AS :'floor', 'floor_cpu_time' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION bench.mark() RETURNS void
	AS :'floor', 'floor_mark' LANGUAGE C STRICT VOLATILE;

-- A set of keys of 20 bytes with values of one size: a table kv_NAME, the keys
-- in random order in keys_NAME, and in arrays in arrays_NAME.
CREATE TABLE bench.sets (
	name text PRIMARY KEY,
	nkeys int NOT NULL,
	size int NOT NULL);

-- A round of a case times each of its variants once: the statement, over one of
-- so many slices of the keys, so many times, after so many times untimed, which
-- bring what fits there into the caches of the CPU.
CREATE TABLE bench.cases (
	name text PRIMARY KEY,
	title text NOT NULL,
	set_name text NOT NULL REFERENCES bench.sets,
	slices int NOT NULL,
	warm int NOT NULL,
	repeats int NOT NULL);

-- In statement and proof {keys} stands for the keys, {set} for the name of the
-- set and {size} for the size of its values.
CREATE TABLE bench.variants (
	case_name text NOT NULL REFERENCES bench.cases,
	name text NOT NULL,
	statement text NOT NULL,
	less text,				-- variant whose time is taken off
	proof text,				-- true if the statement does what it should
	target text NOT NULL DEFAULT '',
	ord serial,
	PRIMARY KEY (case_name, name));

CREATE UNLOGGED TABLE bench.results (
	case_name text,
	variant text,
	round int,
	calls bigint,
	ns float8);				-- per call

CREATE PROCEDURE bench.load(set_name text)
LANGUAGE plpgsql AS $$
DECLARE
	s bench.sets;
	command text;
BEGIN
	SELECT * INTO STRICT s FROM bench.sets WHERE name = set_name;
	FOREACH command IN ARRAY ARRAY[
		'CREATE UNLOGGED TABLE bench.kv_{set} WITH (fillfactor = {fill}) AS
		 SELECT rpad(''{set}:'', 8, ''.'') || lpad(i::text, 12, ''0'') AS k, bench.value(i, {size}) AS v
		 FROM generate_series(1, {nkeys}) i',
		'ALTER TABLE bench.kv_{set} ADD PRIMARY KEY (k)',
		'CREATE UNLOGGED TABLE bench.keys_{set} AS
		 SELECT k, right(k, 12)::int AS i FROM bench.kv_{set} ORDER BY random()',
		'CREATE UNLOGGED TABLE bench.arrays_{set} AS
		 SELECT array_agg(k) AS ks FROM
		 (SELECT k, (row_number() OVER () - 1) / 1000 AS n FROM bench.keys_{set}) q GROUP BY n',
		'CREATE UNLOGGED TABLE bench.array_{set} AS SELECT array_agg(k) AS ks FROM bench.keys_{set}',
		'CREATE FUNCTION bench.lookup_{set}(key text) RETURNS text STABLE LANGUAGE plpgsql AS
		 ''DECLARE r text; BEGIN SELECT v INTO r FROM bench.kv_{set} WHERE k = key; RETURN r; END''',
		'SELECT count(cache_put(k, v)), count(bench.floor_put(k, v)) FROM bench.kv_{set}']
	LOOP
		command := replace(command, '{set}', s.name);
		command := replace(command, '{size}', s.size::text);
		command := replace(command, '{nkeys}', s.nkeys::text);
		-- Room for updates in place favours the table where it is updated.
		command := replace(command, '{fill}', CASE s.name WHEN 'put' THEN '50' ELSE '100' END);
		EXECUTE command;
		COMMIT;
	END LOOP;
END $$;

-- The keys of a slice, for a FROM clause.  Ranges of blocks, because reading
-- them costs the same wherever they lie.
CREATE FUNCTION bench.slice(set_name text, slice int, slices int) RETURNS text
LANGUAGE sql AS $$
	SELECT format('(SELECT * FROM bench.keys_%1$s WHERE ctid >= ''(%2$s,0)'' AND ctid < ''(%3$s,0)'')',
		set_name, pages * slice / slices, pages * (slice + 1) / slices)
	FROM (SELECT pg_relation_size('bench.keys_' || set_name) / current_setting('block_size')::int AS pages) p
$$;

CREATE FUNCTION bench.fill_in(template text, s bench.sets, keys text) RETURNS text
LANGUAGE sql AS $$
	SELECT replace(replace(replace(template, '{keys}', keys), '{set}', s.name), '{size}', s.size::text)
$$;

-- Runs every variant once, untimed, and asks whether it did what it should,
-- since nothing is as fast as a miss.  Proofs of hits read all keys, which maps
-- the pages of shared memory into the process.
CREATE PROCEDURE bench.prove(c bench.cases, s bench.sets)
LANGUAGE plpgsql AS $$
DECLARE
	v bench.variants;
	proven boolean;
BEGIN
	FOR v IN SELECT * FROM bench.variants WHERE case_name = c.name ORDER BY ord LOOP
		EXECUTE bench.fill_in(v.statement, s, bench.slice(s.name, 0, c.slices));
		IF v.proof IS NOT NULL THEN
			EXECUTE 'SELECT ' || bench.fill_in(v.proof, s, 'bench.keys_' || s.name) INTO proven;
			IF proven IS NOT TRUE THEN
				RAISE EXCEPTION '"%" of % did not do what it should', v.name, c.name;
			END IF;
		END IF;
		COMMIT;
	END LOOP;
END $$;

CREATE PROCEDURE bench.run(p_case text, rounds int, quick boolean)
LANGUAGE plpgsql AS $$
DECLARE
	c bench.cases;
	s bench.sets;
	v bench.variants;
	keys text;
	command text;
	calls bigint;
	started bigint;
	elapsed bigint;
BEGIN
	SELECT * INTO STRICT c FROM bench.cases WHERE name = p_case;
	SELECT * INTO STRICT s FROM bench.sets WHERE name = c.set_name;
	IF quick THEN
		c.repeats := greatest(1, c.repeats / 2);
		c.slices := CASE WHEN c.slices = 1 THEN 1 ELSE c.slices * 4 END;
	END IF;
	CALL bench.prove(c, s);
	FOR round IN 1 .. rounds LOOP
		keys := bench.slice(s.name, round % c.slices, c.slices);
		EXECUTE 'SELECT count(*) FROM ' || keys || ' q' INTO calls;
		FOR v IN SELECT * FROM bench.variants WHERE case_name = c.name ORDER BY random() LOOP
			command := bench.fill_in(v.statement, s, keys);
			elapsed := 0;
			-- Each time in a transaction of its own, or the table could not
			-- clean up what updates leave.  The commit counts: it installs what
			-- was put.
			FOR i IN 1 - c.warm .. c.repeats LOOP
				started := bench.cpu_time();
				EXECUTE command;
				COMMIT;
				IF i > 0 THEN
					elapsed := elapsed + bench.cpu_time() - started;
				END IF;
			END LOOP;
			INSERT INTO bench.results
			VALUES (c.name, v.name, round, calls * c.repeats, elapsed::float8 / (calls * c.repeats));
			COMMIT;
		END LOOP;
	END LOOP;
END $$;

CREATE FUNCTION bench.range(v float8[], digits int) RETURNS text
LANGUAGE sql AS $$
	SELECT format('%s - %s', round(v[1]::numeric, digits), round(v[3]::numeric, digits))
$$;

-- The table of a case.  Variants without "less" are only there to be taken off.
CREATE FUNCTION bench.report(p_case text)
RETURNS TABLE ("variant" text, "ns a call" numeric, "10 - 90 %" text,
	"pg_cache is" text, "10 - 90 % " text, "to reach" text)
LANGUAGE sql AS $$
	WITH net AS (
		SELECT v.ord, v.name, v.target, r.round, r.ns - l.ns AS ns
		FROM bench.variants v
		JOIN bench.results r ON r.case_name = v.case_name AND r.variant = v.name
		JOIN bench.results l ON l.case_name = v.case_name AND l.variant = v.less AND l.round = r.round
		WHERE v.case_name = p_case),
	spread AS (
		SELECT n.ord, n.name, n.target,
			percentile_cont(ARRAY[.1, .5, .9]) WITHIN GROUP (ORDER BY n.ns) AS ns,
			percentile_cont(ARRAY[.1, .5, .9]) WITHIN GROUP (ORDER BY ours.ns / nullif(n.ns, 0)) AS ratio
		FROM net n JOIN net ours ON ours.name = 'pg_cache' AND ours.round = n.round
		GROUP BY n.ord, n.name, n.target)
	SELECT s.name, round(s.ns[2]::numeric, 1), bench.range(s.ns, 1),
		CASE WHEN s.name <> 'pg_cache' THEN round((ours.ns[2] / nullif(s.ns[2], 0))::numeric, 3) || ' x' END,
		CASE WHEN s.name <> 'pg_cache' THEN bench.range(s.ratio, 3) END,
		s.target
	FROM spread s, spread ours
	WHERE ours.name = 'pg_cache'
	ORDER BY s.ord
$$;
