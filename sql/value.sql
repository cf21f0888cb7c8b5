--
-- Values: any type in and out, compression, limits, types that change
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
RESET client_min_messages;
SELECT cache_clear();

CREATE SCHEMA value_test;
SET search_path = value_test, public;

-- Puts a value, and gives the stored type and the text form, or says what
-- came back as a datum if that is not what went in.
CREATE FUNCTION pass(v anyelement) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	back text;
BEGIN
	PERFORM cache_put('pass', v);
	back := cache_get_as('pass', v)::text;
	IF back IS DISTINCT FROM v::text THEN
		RETURN 'came back as ' || coalesce(back, 'a miss');
	END IF;
	RETURN (SELECT type FROM cache_entry('pass')) || ': ' || cache_get('pass');
END $$;

CREATE TYPE pair AS (a int, b text, c numeric(10,2));
CREATE TYPE nest AS (one pair, many pair[], z int);
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE floats AS RANGE (subtype = float8);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN two_ints AS int[] CHECK (array_length(VALUE, 1) = 2);
CREATE DOMAIN pair_1 AS pair CHECK ((VALUE).a = 1);
CREATE DOMAIN price AS numeric(5,2);
CREATE DOMAIN code AS varchar(3) CHECK (VALUE <> 'bad');
CREATE DOMAIN padded AS char(5);

--
-- types with an implicit cast to text are text
--
SELECT pass('words'::text), pass(''::text), pass('words'::varchar),
       pass('words'::varchar(3)), pass('ab  '::char(4)), pass('words'::name),
       pass('w'::"char"), pass('abc'::code), pass('ab'::padded);

-- and convert to each other, with the length and the constraints of a domain
SELECT cache_put('t', 'ab');
SELECT cache_get_as('t', NULL::text), cache_get_as('t', NULL::varchar),
       cache_get_as('t', NULL::bpchar), cache_get_as('t', NULL::name),
       cache_get_as('t', NULL::"char"), cache_get_as('t', NULL::code),
       octet_length(cache_get_as('t', NULL::padded));
SELECT pg_typeof(cache_get_as('t', NULL::code));
\set VERBOSITY sqlstate
SELECT cache_put('t', 'bad');
SELECT cache_get_as('t', NULL::code);
SELECT cache_put('t', 'too long');
SELECT cache_get_as('t', NULL::code);
SELECT cache_get_as('t', NULL::padded);
\set VERBOSITY default
SELECT cache_put('t', repeat('long name ', 10));
SELECT length(cache_get_as('t', NULL::name));

-- a cast of one's own: what was stored before it is good, and its text
-- converts back, through the input function if need be
CREATE TYPE hue AS ENUM ('red', 'blue');
SELECT pass('red'::hue);
CREATE CAST (hue AS text) WITH INOUT AS IMPLICIT;
SELECT cache_get('pass'), cache_get_as('pass', NULL::hue);
SELECT cache_put('t', 'blue'::hue::text);
SELECT cache_get_as('t', NULL::hue);
\set VERBOSITY sqlstate
SELECT cache_put('t', 'green');
SELECT cache_get_as('t', NULL::hue);
-- both forms of cache_put would do for the type as it is
SELECT cache_put('t', 'blue'::hue);
DROP CAST (hue AS text);
SELECT cache_get_as('t', NULL::hue);
CREATE FUNCTION no_hue(text) RETURNS hue
LANGUAGE sql AS $$ SELECT NULL::hue $$;
CREATE CAST (hue AS text) WITH INOUT AS IMPLICIT;
CREATE CAST (text AS hue) WITH FUNCTION no_hue(text);
SELECT cache_get_as('t', NULL::hue);
\set VERBOSITY default

--
-- all other types are stored as they are
--
SELECT pass(1::int2), pass(-1), pass(1::int8), pass(1.5::float4),
       pass(1.5::float8), pass(true), pass('pg_class'::regclass);
SELECT pass(1.25), pass('NaN'::numeric), pass(1e30), pass(1.5::price);
SELECT pass('\xdeadbeef'::bytea), pass(''::bytea), pass('101'::bit(3));
SELECT pass('{"a": [1, {"b": null}]}'::jsonb), pass('{"a":1}'::json);
SELECT pass('11111111-2222-3333-4444-555555555555'::uuid),
       pass('10.0.0.1/8'::inet), pass('08:00:2b:01:02:03'::macaddr);
SELECT pass('2020-01-01 00:00:00+00'::timestamptz), pass('infinity'::timestamp),
       pass('2020-02-29'::date), pass('12:00:00+02'::timetz),
       pass('1 day 2 hours'::interval);
SELECT pass('(1,2)'::point), pass('((1,2),(3,4))'::box), pass('(0,1)'::tid),
       pass('a & b'::tsquery), pass('a b'::tsvector);
SELECT pass('{1,2,NULL}'::int[]), pass('{{a,b},{c,d}}'::text[]),
       pass('{}'::int[]), pass('[2:3]={5,6}'::int[]), pass('1 2'::int2vector);
SELECT pass('[1,5)'::int4range), pass('empty'::int4range),
       pass('{[1,2),[5,6)}'::int4multirange), pass('[1.5,2)'::floats);
SELECT pass('ok'::mood), pass('{sad,ok}'::mood[]);
SELECT pass(5::positive), pass('{1,2}'::two_ints), pass(row(1, 'x', 2)::pair_1);
SELECT pass(row(1, 'x', 2.5)::pair), pass(row(NULL, NULL, NULL)::pair),
       pass(array[row(1, 'x', 2)::pair, NULL]);
SELECT pass(row(row(1, 'x', 2.5), array[row(2, 'y', 3)::pair], 5)::nest);
SET bytea_output = escape;
SELECT pass('\xde61'::bytea);
RESET bytea_output;

-- NULL has no type
SELECT cache_put('n', NULL), cache_put('m', NULL::record);
SELECT cache_get('n'), cache_get_as('n', NULL::text), cache_get_as('n', 1),
       cache_get_as('m', row(1, 2)), cache_exists('n'), cache_exists('m');

--
-- the base must be of the stored type
--
SELECT cache_put('i', 5), cache_put('t', 'five');
SELECT cache_get_as('i', 0);
SELECT cache_get_as('i', NULL::text);
SELECT cache_get_as('t', NULL::int);
\set VERBOSITY sqlstate
SELECT cache_get_as('i', NULL::int8);
SELECT cache_get_as('i', NULL::pair);
SELECT cache_get_as('i', NULL::int[]);
SELECT cache_get_as('t', NULL::jsonb);

-- where a domain and its base type are one, if the domain allows the value
SELECT cache_get_as('i', NULL::positive);
SELECT cache_put('i', -5);
SELECT cache_get_as('i', NULL::positive);
SELECT cache_put('i', 5::positive);
SELECT cache_get_as('i', NULL::int), cache_get_as('i', NULL::positive);
SELECT cache_put('i', 3.14159);
SELECT cache_get_as('i', NULL::price);
SELECT cache_put('i', 314159.0);
SELECT cache_get_as('i', NULL::price);
SELECT cache_put('i', row(1, 'x', 2)::pair);
SELECT cache_get_as('i', NULL::pair_1);
SELECT cache_put('i', row(2, 'x', 2)::pair);
SELECT cache_get_as('i', NULL::pair_1);
\set VERBOSITY default

--
-- not cached: records without a type of their own, and pseudo-types
--
SELECT cache_put('r', row(1, 2));
SELECT cache_put('r', array[row(1, 2)]);
SELECT cache_get_as('t', NULL::record);
\set VERBOSITY sqlstate
SELECT cache_put('r', row(1, 2));
SELECT cache_put('r', array[row(1, 2)]);
SELECT cache_get_as('t', NULL::record);
SELECT cache_get_as('t', NULL::record[]);
SELECT cache_put('r', q) FROM (SELECT 1 AS a, 2 AS b) q;
SELECT cache_put('r', 'x'::cstring);
SELECT cache_put('r', pg_notify('value_test', ''));
\set VERBOSITY default
SELECT cache_put('r', to_jsonb(row(1, 2)));
SELECT cache_get('r');

--
-- toasted and expanded datums
--
CREATE TABLE wide (id int, plain text, packed text, j jsonb, p pair, a int[]);
ALTER TABLE wide ALTER plain SET STORAGE EXTERNAL;
INSERT INTO wide
SELECT 1, string_agg(md5(i::text), '' ORDER BY i), repeat('abc', 100000),
       jsonb_agg(i ORDER BY i), row(1, string_agg(md5(i::text), '' ORDER BY i), 2)::pair,
       array_agg(i ORDER BY i)
FROM generate_series(1, 5000) i;
INSERT INTO wide VALUES (2, repeat('abc', 100000), 'short', '{}',
                         row(2, repeat('abc', 100000), 2), '{}');
SELECT count(*) FROM wide WHERE id = 1 AND
	md5(pass(plain)) = md5('text: ' || plain) AND
	md5(pass(packed)) = md5('text: ' || packed) AND
	md5(pass(j)) = md5('jsonb: ' || j::text) AND
	md5(pass(p)) = md5('pair: ' || p::text) AND
	md5(pass(a)) = md5('integer[]: ' || a::text) AND
	md5(pass(wide)) = md5('wide: ' || wide::text);
SELECT cache_put('w', wide) FROM wide WHERE id = 2;
CREATE TABLE copy AS
SELECT (w).* FROM (SELECT cache_get_as('w', NULL::wide) AS w) q;
SELECT count(*) FROM copy JOIN wide USING (id, plain, packed, j, p, a);

DO $$
DECLARE
	a int[] := '{}';
	p pair;
BEGIN
	FOR i IN 1 .. 1000 LOOP
		a[i] := i;
	END LOOP;
	PERFORM cache_put('w', a);
	ASSERT cache_get_as('w', NULL::int[]) = a;
	ASSERT cache_get('w') = a::text;
	SELECT 3, plain INTO p.a, p.b FROM wide WHERE id = 2;
	PERFORM cache_put('w', p);
	ASSERT cache_get_as('w', NULL::pair) = p;
	p := cache_get_as('w', p);
	ASSERT length(p.b) = 300000;
END $$;
SELECT type FROM cache_entry('w');

--
-- compression: from the threshold on, where it saves
--
CREATE VIEW sizes AS
SELECT e.key, e.type, e.bytes, e.stored_bytes < e.bytes / 2 AS less
FROM (VALUES ('a'), ('b'), ('c'), ('d'), ('e')) k(name),
     cache_entry(k.name) e ORDER BY 1;
CREATE FUNCTION put_all() RETURNS void LANGUAGE sql AS $$
	SELECT cache_put('a', repeat('text ', 10000)),
	       cache_put('b', to_jsonb(array_fill('text'::text, array[10000]))),
	       cache_put('c', convert_to(repeat('byte ', 10000), 'UTF8')),
	       cache_put('d', array_fill(7, array[10000])),
	       cache_put('e', row(1, repeat('text ', 10000), 2)::pair);
$$;
CREATE VIEW intact AS
SELECT cache_get('a') = repeat('text ', 10000)
       AND cache_get_as('a', NULL::varchar) = repeat('text ', 10000) AS a,
       cache_get_as('b', NULL::jsonb) = to_jsonb(array_fill('text'::text, array[10000]))
       AND cache_get('b')::jsonb = cache_get_as('b', NULL::jsonb) AS b,
       cache_get_as('c', NULL::bytea) = convert_to(repeat('byte ', 10000), 'UTF8')
       AND cache_get('c') = '\x' || repeat('6279746520', 10000) AS c,
       cache_get_as('d', NULL::int[]) = array_fill(7, array[10000]) AS d,
       cache_get_as('e', NULL::pair) = row(1, repeat('text ', 10000), 2)::pair AS e;
SET pg_cache.compression = 'lz4';
SELECT put_all();
SELECT * FROM sizes;
SELECT * FROM intact;
SET pg_cache.compression = 'zstd';
SELECT put_all();
SELECT * FROM sizes;
SELECT * FROM intact;
SET pg_cache.compression_threshold = 50001;
SELECT put_all();
SELECT key, stored_bytes = bytes AS plain
FROM sizes JOIN LATERAL cache_entry(key) USING (key, bytes) ORDER BY 1;
SELECT * FROM intact;

-- random bytes stay as they are, and very short values too
SET pg_cache.compression_threshold = 0;
SELECT cache_put('random', string_agg(uuid_send(gen_random_uuid()), ''))
FROM generate_series(1, 1000);
SELECT bytes, stored_bytes FROM cache_entry('random');
SET pg_cache.compression = 'lz4';
SELECT cache_put('random', cache_get_as('random', NULL::bytea));
SELECT bytes, stored_bytes FROM cache_entry('random');
SELECT pass(''::text), pass('x'::text), pass(1), pass('\x00'::bytea), pass('n'::name);
RESET pg_cache.compression_threshold;

-- an entry is read whatever the setting is now
SELECT cache_put('a', repeat('text ', 10000));
RESET pg_cache.compression;
SELECT cache_get('a') = repeat('text ', 10000);

--
-- the limit counts before compression
--
SET pg_cache.max_value_size = 1000;
SELECT cache_put('big', repeat('x', 1000));
SELECT bytes, stored_bytes FROM cache_entry('big');
SELECT cache_put('big', repeat('x', 1001));
SET pg_cache.compression = 'lz4';
\set VERBOSITY sqlstate
SELECT cache_put('big', repeat('x', 1001));
RESET pg_cache.compression;
SELECT cache_put('big', plain) FROM wide WHERE id = 1;
SELECT cache_put('big', packed) FROM wide WHERE id = 1;
SELECT cache_put('big', p) FROM wide WHERE id = 1;
SELECT cache_put('big', a) FROM wide WHERE id = 1;
SELECT cache_put('big', j) FROM wide WHERE id = 1;
DO $$
DECLARE
	a int[] := array_fill(1, array[1000]);
BEGIN
	a[5] := 7;
	PERFORM cache_put('big', a);
END $$;
\set VERBOSITY default
SELECT length(cache_get('big'));
RESET pg_cache.max_value_size;

--
-- types that change: what was stored before is a miss
--
SELECT cache_put('c', row(1, 'x', 2)::pair);
ALTER TYPE pair RENAME ATTRIBUTE b TO bb;
ALTER TYPE pair RENAME TO couple;
SELECT cache_get('c'), (cache_get_as('c', NULL::couple)).bb;
ALTER TYPE couple RENAME TO pair;
BEGIN;
ALTER TYPE pair ADD ATTRIBUTE d int;
SELECT cache_get('c'), cache_get_as('c', NULL::pair);
ROLLBACK;
SELECT cache_get('c'), cache_get_as('c', NULL::pair);

CREATE TYPE small AS (a int, b text);
CREATE TYPE outside AS (s small[], r floats);
CREATE DOMAIN small_domain AS small;
SELECT cache_put('c', row(1, 'x')::small);
ALTER TYPE small ADD ATTRIBUTE c int;
SELECT cache_get('c'), cache_get_as('c', NULL::small);
SELECT cache_put('c', row(1, 'x', 3)::small);
SELECT cache_get('c'), cache_get_as('c', NULL::small);
ALTER TYPE small DROP ATTRIBUTE b;
SELECT cache_get('c'), cache_get_as('c', NULL::small);
SELECT cache_put('c', row(array[row(1, 3)::small], '[1,2)')::outside);
SELECT cache_get('c'), cache_get_as('c', NULL::outside);
ALTER TYPE small ALTER ATTRIBUTE a TYPE bigint;
SELECT cache_get('c'), cache_get_as('c', NULL::outside);
SELECT cache_put('c', row(1, 3)::small_domain), cache_put('c2', array[row(1, 3)::small]);
SELECT cache_get('c'), cache_get('c2');
ALTER TYPE small ALTER ATTRIBUTE a TYPE int;
SELECT cache_get('c'), cache_get('c2');

-- a table's row
CREATE TABLE account (id int, owner text);
INSERT INTO account VALUES (1, 'x');
SELECT cache_put('c', account) FROM account;
CREATE INDEX ON account (id);
ANALYZE account;
SELECT cache_get('c'), cache_get_as('c', NULL::account);
ALTER TABLE account ADD COLUMN balance int DEFAULT 5;
SELECT cache_get('c'), cache_get_as('c', NULL::account);
SELECT cache_put('c', account) FROM account;
SELECT cache_get('c');
ALTER TABLE account DROP COLUMN owner;
SELECT cache_get('c');
SELECT cache_put('c', account) FROM account;
SELECT cache_get('c'), cache_get_as('c', NULL::account);
ALTER TABLE account ALTER COLUMN balance TYPE numeric;
SELECT cache_get('c'), cache_get_as('c', NULL::account);
SELECT cache_put('c', account) FROM account;
DROP TABLE account;
SELECT cache_get('c');

-- a domain that allows less than before
SELECT cache_put('c', 5::positive), cache_put('c2', array[5::positive]);
ALTER DOMAIN positive ADD CONSTRAINT even CHECK (VALUE % 2 = 0) NOT VALID;
SELECT cache_get('c'), cache_get_as('c', NULL::positive), cache_get('c2');
SELECT cache_put('c', 6::positive);
ALTER DOMAIN positive VALIDATE CONSTRAINT even;
SELECT cache_get('c'), cache_get_as('c', NULL::positive);
ALTER DOMAIN positive SET NOT NULL;
SELECT cache_get('c');

-- an enum only ever grows
SELECT cache_put('c', 'ok'::mood);
ALTER TYPE mood ADD VALUE 'happy';
ALTER TYPE mood RENAME VALUE 'ok' TO 'well';
SELECT cache_get('c'), cache_get_as('c', NULL::mood);
SELECT cache_put('c', 'happy'::mood);
SELECT cache_get('c'), cache_get_as('c', NULL::mood);

-- dropped types
DROP TYPE mood;
SELECT cache_get('c');
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
SELECT cache_get('c'), cache_get_as('c', NULL::mood), cache_get_as('c', NULL::text);
SELECT cache_put('c', '[1,2)'::floats), cache_put('c2', row(NULL, '[1,2)')::outside);
DROP TYPE floats CASCADE;
SELECT cache_get('c'), cache_get('c2');
BEGIN;
CREATE TYPE brief AS (a int);
SELECT cache_put('c', row(1)::brief);
SELECT cache_get('c');
ROLLBACK;
SELECT cache_get('c');
SELECT key FROM cache_get_many(array['c', 'c2', 't']);

SET client_min_messages = warning;
DROP SCHEMA value_test CASCADE;
RESET client_min_messages;
SELECT cache_get('pass'), cache_get('w'), cache_get('e');
SELECT cache_clear();
SELECT * FROM cache_check();
