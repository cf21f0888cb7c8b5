-- cache_put_many and cache_get_many.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
RESET client_min_messages;
SELECT cache_create_namespace('bulk');

SELECT cache_put_many(ARRAY['a', 'b', 'c'], ARRAY['1', NULL, '3'], namespace => 'bulk');
SELECT key, cache_exists(key, 'bulk'), cache_get(key, 'bulk')
    FROM unnest(ARRAY['a', 'b', 'c', 'd']) AS key;

-- hits only, in the order asked, twice if asked twice; a NULL is not asked for
SELECT * FROM cache_get_many(ARRAY['c', 'x', 'a', NULL, 'b', 'a'], 'bulk');
SELECT * FROM cache_get_many('{}', 'bulk');
SELECT * FROM cache_get_many(ARRAY[NULL::text], 'bulk');
SELECT * FROM cache_get_many(ARRAY['a', 'c'], NULL);
SELECT cache_get_many(ARRAY['a', 'c'], 'bulk');

-- arrays of more dimensions are read one element after the other
SELECT * FROM cache_get_many(ARRAY[['a', 'b'], ['c', 'x']], 'bulk');
SELECT cache_put_many(ARRAY[['p', 'q'], ['r', 's']], ARRAY['1', '2', '3', '4'], namespace => 'bulk');
SELECT * FROM cache_get_many(ARRAY['p', 'q', 'r', 's'], 'bulk');

-- of equal keys the last wins, and counts once
SELECT cache_put_many(ARRAY['d', 'e', 'd', 'd'], ARRAY['1', '2', '3', '4'], namespace => 'bulk');
SELECT * FROM cache_get_many(ARRAY['d', 'e'], 'bulk');
SELECT cache_put_many('{}', '{}', namespace => 'bulk');

-- TTL and tags are for all
SELECT cache_put_many(ARRAY['t1', 't2'], ARRAY['1', '2'], '1 hour', ARRAY['x', 'y'], 'bulk');
SELECT key, date_trunc('second', expires_at - created_at) AS ttl, tags FROM cache_entries
    WHERE namespace = 'bulk' AND key LIKE 't_' ORDER BY key;

-- values of other types and compressed ones come as text too
SELECT cache_put('json', '{"a": 1}'::jsonb, namespace => 'bulk'),
       cache_put('num', 3.14, namespace => 'bulk');
SET pg_cache.compression = zstd;
SELECT cache_put('zipped', repeat('zip ', 5000), namespace => 'bulk');
RESET pg_cache.compression;
SELECT key, length(value), left(value, 10) FROM cache_get_many(ARRAY['num', 'zipped', 'json', 'a'], 'bulk');

-- many, more than a group, with misses and values of all sizes
SELECT format('SELECT cache_put_many(array_agg(''many:'' || i ORDER BY i), array_agg(repeat(i::text, i %% 300) ORDER BY i),
                      namespace => ''bulk'') FROM generate_series(%s, %s) i', n, n + 999)
    FROM generate_series(1, 4001, 1000) n \gexec
SELECT count(*), bool_and(value = repeat(n, n::int % 300)) AS same,
       array_agg(n::int) = array_agg(n::int ORDER BY n::int) AS in_order
    FROM (SELECT substr(key, 6) AS n, value
          FROM cache_get_many(ARRAY(SELECT 'many:' || i FROM generate_series(1, 7000) i), 'bulk')) AS m;

-- an error stores nothing
SELECT cache_put_many(ARRAY['f1', 'f2'], ARRAY['1'], namespace => 'bulk');
SELECT cache_put_many(ARRAY['f1', NULL], ARRAY['1', '2'], namespace => 'bulk');
SELECT cache_put_many(ARRAY['f1', ''], ARRAY['1', '2'], namespace => 'bulk');
SELECT cache_put_many(ARRAY['f1', repeat('k', 1025)], ARRAY['1', '2'], namespace => 'bulk');
SET pg_cache.max_value_size = 10;
SELECT cache_put_many(ARRAY['f1', 'f2'], ARRAY['1', '12345678901'], namespace => 'bulk');
RESET pg_cache.max_value_size;
SELECT cache_exists('f1', 'bulk'), cache_exists('f2', 'bulk');
\set VERBOSITY sqlstate
SELECT cache_put_many(ARRAY['f1', 'f2'], ARRAY['1'], namespace => 'bulk');
SELECT cache_put_many(ARRAY['f1'], '{}', namespace => 'bulk');
SELECT cache_put_many(ARRAY['f1', NULL], ARRAY['1', '2'], namespace => 'bulk');
SELECT cache_put_many(ARRAY['f1'], ARRAY['1'], namespace => 'nowhere');
SELECT * FROM cache_get_many(ARRAY['a', ''], 'bulk');
SELECT * FROM cache_get_many(ARRAY['a'], 'nowhere');

SELECT cache_drop_namespace('bulk');
SELECT * FROM cache_check();
