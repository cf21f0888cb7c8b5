-- Put, get, look at and remove single entries: what comes back, and how.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
RESET client_min_messages;
SELECT cache_create_namespace('keyvalue');

-- text
SELECT cache_put('greeting', 'hello');
SELECT cache_get('greeting');
SELECT cache_put('greeting', 'good morning');
SELECT cache_get('greeting');
SELECT cache_get('no such key') IS NULL AS miss;
SELECT cache_put('empty', '');
SELECT cache_get('empty') = '' AS found;

-- a key belongs to its namespace
SELECT cache_put('greeting', 'hello from afar', namespace => 'keyvalue');
SELECT cache_get('greeting'), cache_get('greeting', 'keyvalue');
SELECT cache_delete('greeting', 'keyvalue');
SELECT cache_get('greeting'), cache_get('greeting', 'keyvalue') IS NULL AS miss;

-- NULL is a value, which cache_exists tells from a miss
SELECT cache_put('nothing', NULL);
SELECT cache_get('nothing') IS NULL AS is_null, cache_exists('nothing'),
       cache_exists('no such key');
SELECT cache_get_as('nothing', NULL::int) IS NULL AS any_base,
       cache_get_as('nothing', NULL::jsonb) IS NULL AS any_other;
SELECT cache_put('nothing', NULL::int);
SELECT type, bytes, stored_bytes FROM cache_entry('nothing');

-- a NULL key, or a NULL namespace, gives readers nothing
SELECT cache_get(NULL) IS NULL AS get, cache_exists(NULL) AS exists,
       cache_expires_at(NULL) IS NULL AS expires_at,
       cache_get_as(NULL, NULL::int) IS NULL AS get_as;
SELECT cache_get('greeting', NULL) IS NULL AS get,
       cache_exists('greeting', NULL) AS exists,
       cache_get_as('greeting', ''::text, NULL) IS NULL AS get_as;
SELECT * FROM cache_entry(NULL);
SELECT * FROM cache_get_many(NULL);

-- any type, through its output function and as it is
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE point3 AS (x int, y int, z text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN label AS text;
SELECT cache_put('int', 42), cache_put('bigint', 42::bigint),
       cache_put('bool', true), cache_put('float', 1.5::float8),
       cache_put('numeric', 12345678901234567890.12345),
       cache_put('bytea', '\x00ff00'::bytea),
       cache_put('jsonb', '{"b": [1, 2], "a": null}'::jsonb),
       cache_put('date', '2026-02-28'::date),
       cache_put('uuid', '6ecd8c99-4036-403d-bf84-cf8400f67836'::uuid),
       cache_put('array', ARRAY[1, NULL, 3]),
       cache_put('textarray', ARRAY['a b', NULL, '"']),
       cache_put('enum', 'happy'::mood),
       cache_put('row', ROW(1, NULL, 'three')::point3),
       cache_put('range', int4range(1, 10)),
       cache_put('domain', 7::positive),
       cache_put('name', 'pg_class'::name),
       cache_put('char', 'c'::"char"),
       cache_put('varchar', 'vv'::varchar),
       cache_put('bpchar', 'b '::char(3)),
       cache_put('label', 'on a jar'::label),
       cache_put('regclass', 'pg_class'::regclass);
\x on
SELECT cache_get('int') AS int, cache_get('bigint') AS bigint,
       cache_get('bool') AS bool, cache_get('float') AS float,
       cache_get('numeric') AS numeric, cache_get('bytea') AS bytea,
       cache_get('jsonb') AS jsonb, cache_get('date') AS date,
       cache_get('uuid') AS uuid, cache_get('array') AS array,
       cache_get('textarray') AS textarray, cache_get('enum') AS enum,
       cache_get('row') AS row, cache_get('range') AS range,
       cache_get('domain') AS domain, cache_get('name') AS name,
       cache_get('char') AS char, cache_get('varchar') AS varchar,
       cache_get('bpchar') AS bpchar, cache_get('label') AS label,
       cache_get('regclass') AS regclass;
SELECT cache_get_as('int', 0) + 1 AS int,
       cache_get_as('bigint', NULL::bigint) + 1 AS bigint,
       NOT cache_get_as('bool', false) AS bool,
       cache_get_as('float', NULL::float8) * 2 AS float,
       cache_get_as('numeric', NULL::numeric) + 1 AS numeric,
       length(cache_get_as('bytea', NULL::bytea)) AS bytea,
       cache_get_as('jsonb', NULL::jsonb) -> 'b' AS jsonb,
       cache_get_as('date', NULL::date) + 1 AS date,
       cache_get_as('uuid', NULL::uuid) AS uuid,
       (cache_get_as('array', NULL::int[]))[3] AS array,
       (cache_get_as('textarray', NULL::text[]))[1] AS textarray,
       cache_get_as('enum', NULL::mood) > 'ok' AS enum,
       (cache_get_as('row', NULL::point3)).z AS row,
       upper(cache_get_as('range', NULL::int4range)) AS range,
       cache_get_as('domain', NULL::positive) * 2 AS domain,
       cache_get_as('name', NULL::name) AS name,
       cache_get_as('label', NULL::label) AS label;
\x off
-- the name of the type that is kept: what casts to text by itself is text
SELECT key, type FROM unnest(ARRAY['int', 'jsonb', 'array', 'row', 'domain',
    'name', 'char', 'varchar', 'bpchar', 'label', 'nothing', 'greeting']) AS k,
    LATERAL cache_entry(k);
-- text goes to the types that are kept as text, and none to another
SELECT cache_get_as('greeting', NULL::varchar) AS varchar,
       cache_get_as('varchar', NULL::text) AS text,
       cache_get_as('greeting', NULL::name) AS name;
\set VERBOSITY sqlstate
SELECT cache_get_as('int', NULL::text);
SELECT cache_get_as('greeting', NULL::int);
SELECT cache_get_as('int', NULL::bigint);
SELECT cache_put('row', ROW(1, 2));
\set VERBOSITY default

-- the rows of a table
CREATE TABLE page (id int PRIMARY KEY, body text);
INSERT INTO page SELECT i, repeat('page ' || i || ' ', 1000) FROM generate_series(1, 20) i;
SELECT count(cache_put('page:' || id, body, namespace => 'keyvalue')) FROM page;
SELECT count(*) FROM page WHERE cache_get('page:' || id, 'keyvalue') = body;

-- large values, toasted and not
SELECT cache_put('large', repeat('0123456789', 100000));
SELECT length(cache_get('large')), md5(cache_get('large')) = md5(repeat('0123456789', 100000)) AS same;
CREATE TABLE doc (body text);
ALTER TABLE doc ALTER body SET STORAGE external;
INSERT INTO doc VALUES (repeat('abcdefghij', 5000));
SELECT cache_put('toasted', body) FROM doc;
SELECT cache_get('toasted') = body AS same FROM doc;

-- in PL/pgSQL
CREATE FUNCTION remembered(k text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v text := cache_get(k, 'keyvalue');
BEGIN
    IF v IS NULL THEN
        v := 'computed for ' || k;
        PERFORM cache_put(k, v, namespace => 'keyvalue');
    ELSE
        v := v || ', from the cache';
    END IF;
    RETURN v;
END $$;
SELECT remembered('k');
SELECT remembered('k');

-- cache_delete
SELECT cache_delete('greeting'), cache_delete('greeting');
SELECT cache_exists('greeting');

-- cache_entry
SELECT cache_put('described', 'some text', tags => ARRAY['b', 'a', 'b'], priority => 3,
                 namespace => 'keyvalue');
SELECT namespace, key, type, bytes, stored_bytes, version > 0 AS version,
       created_at BETWEEN now() - interval '1 minute' AND now() + interval '1 minute' AS created,
       expires_at, hits, tags, priority
    FROM cache_entry('described', 'keyvalue');
SELECT cache_put('described', 5, namespace => 'keyvalue');
SELECT type, bytes, tags, priority FROM cache_entry('described', 'keyvalue');
SELECT * FROM cache_entry('no such key');

-- versions differ, also across a deletion
SELECT version AS v1 FROM cache_entry('described', 'keyvalue') \gset
SELECT cache_put('described', 5, namespace => 'keyvalue');
SELECT version AS v2 FROM cache_entry('described', 'keyvalue') \gset
SELECT cache_delete('described', 'keyvalue');
SELECT cache_put('described', 5, namespace => 'keyvalue');
SELECT version AS v3 FROM cache_entry('described', 'keyvalue') \gset
SELECT :v1 <> :v2 AND :v2 <> :v3 AND :v1 <> :v3 AS differ;

-- compression, where it saves something
SET pg_cache.compression = lz4;
SET pg_cache.compression_threshold = '1kB';
SELECT cache_put('lz4', repeat('lz4 ', 1000));
SET pg_cache.compression = zstd;
SELECT cache_put('zstd', repeat('zstd ', 1000));
SELECT cache_put('small', repeat('s', 1000));
SELECT cache_put('zjson', to_jsonb(repeat('json ', 1000)));
RESET pg_cache.compression;
RESET pg_cache.compression_threshold;
SELECT key, bytes, stored_bytes < bytes / 4 AS compressed
    FROM unnest(ARRAY['lz4', 'zstd', 'small', 'zjson']) AS k, LATERAL cache_entry(k);
SELECT cache_get('lz4') = repeat('lz4 ', 1000) AS lz4,
       cache_get('zstd') = repeat('zstd ', 1000) AS zstd,
       cache_get_as('zjson', NULL::jsonb) = to_jsonb(repeat('json ', 1000)) AS json;

-- a value whose type is no more is a miss
SELECT cache_put('enum', 'happy'::mood);
DROP TYPE mood;
SELECT cache_get('enum') IS NULL AS miss;
SELECT cache_put('row', ROW(1, 2, 'three')::point3);
ALTER TYPE point3 DROP ATTRIBUTE y;
SELECT cache_get('row') IS NULL AS miss, cache_get_as('row', NULL::point3) IS NULL AS miss;

-- in a transaction that may only read
BEGIN READ ONLY;
SELECT cache_put('read only', 'written', tags => '{t}', ttl => '1 hour');
SELECT cache_get('read only');
SELECT cache_delete('read only');
COMMIT;

-- switched off: gets miss and puts delete, for this session; the rest goes on
SELECT cache_put('switch', 'on', namespace => 'keyvalue');
SET pg_cache.enabled = off;
SELECT cache_get('switch', 'keyvalue') IS NULL AS miss,
       cache_get_as('switch', ''::text, 'keyvalue') IS NULL AS miss,
       cache_exists('switch', 'keyvalue');
SELECT * FROM cache_get_many(ARRAY['switch'], 'keyvalue');
SELECT key, bytes FROM cache_entry('switch', 'keyvalue');
SELECT cache_expires_at('switch', 'keyvalue');
RESET pg_cache.enabled;
SELECT cache_get('switch', 'keyvalue');
SET pg_cache.enabled = off;
SELECT cache_put('switch', 'off', namespace => 'keyvalue');
SELECT cache_put_many(ARRAY['k'], ARRAY['v'], namespace => 'keyvalue');
SELECT cache_add('switch', 'added', namespace => 'keyvalue');
SELECT cache_incr('count', namespace => 'keyvalue');
SELECT cache_delete('count', 'keyvalue');
RESET pg_cache.enabled;
SELECT cache_get('switch', 'keyvalue'), cache_exists('k', 'keyvalue');

-- cache_clear: one namespace, at once
SELECT cache_put('stays', 'here');
SELECT cache_clear('keyvalue');
SELECT count(*) FROM page WHERE cache_exists('page:' || id, 'keyvalue');
SELECT entries FROM cache_stats_namespaces WHERE namespace = 'keyvalue';
SELECT count(*) FROM cache_entries WHERE namespace = 'keyvalue';
SELECT cache_get('stays');
SELECT cache_put('after', 'clear', namespace => 'keyvalue');
SELECT cache_get('after', 'keyvalue');
SELECT cache_clear();
SELECT cache_get('stays') IS NULL AS miss, cache_get('after', 'keyvalue') IS NULL AS miss;

DROP TABLE page, doc;
DROP FUNCTION remembered;
DROP TYPE point3;
DROP DOMAIN positive, label;
SELECT cache_drop_namespace('keyvalue');
SELECT * FROM cache_check();
