-- cache_add, cache_replace, cache_cas and cache_incr.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
RESET client_min_messages;
SELECT cache_create_namespace('cond');

-- add stores where there is nothing, replace where there is something
SELECT cache_replace('k', 'zero', namespace => 'cond'), cache_exists('k', 'cond');
SELECT cache_add('k', 'one', namespace => 'cond'), cache_get('k', 'cond');
SELECT cache_add('k', 'two', namespace => 'cond'), cache_get('k', 'cond');
SELECT cache_replace('k', 'three', namespace => 'cond'), cache_get('k', 'cond');
SELECT cache_delete('k', 'cond');
-- a cached NULL is something
SELECT cache_add('null', NULL, namespace => 'cond'), cache_add('null', 'x', namespace => 'cond'),
       cache_replace('null', 'y', namespace => 'cond'), cache_get('null', 'cond');
-- values of any type, TTL and tags
SELECT cache_add('typed', 1.5, '1 hour', ARRAY['t'], 'cond'),
       cache_add('char', 'c'::"char", namespace => 'cond'),
       cache_replace('char', 'd'::"char", namespace => 'cond');
SELECT key, type, date_trunc('second', expires_at - created_at) AS ttl, tags FROM cache_entry('typed', 'cond');
SELECT cache_get_as('typed', NULL::numeric, 'cond') * 2 AS double, cache_get('char', 'cond');
SELECT cache_replace('typed', '{1,2}'::int[], namespace => 'cond');
SELECT key, type, expires_at, tags FROM cache_entry('typed', 'cond');

-- cas stores over the version that was seen, and over no other
SELECT cache_put('doc', 'first', namespace => 'cond');
SELECT version AS seen FROM cache_entry('doc', 'cond') \gset
SELECT cache_cas('doc', :seen, 'second', namespace => 'cond'), cache_get('doc', 'cond');
SELECT cache_cas('doc', :seen, 'third', namespace => 'cond'), cache_get('doc', 'cond');
SELECT version AS seen FROM cache_entry('doc', 'cond') \gset
SELECT cache_cas('doc', :seen, 3, '1 hour', ARRAY['x'], 'cond'), cache_get('doc', 'cond');
SELECT type, tags FROM cache_entry('doc', 'cond');
SELECT version AS seen FROM cache_entry('doc', 'cond') \gset
SELECT cache_put('doc', 'same again', namespace => 'cond');
SELECT cache_cas('doc', :seen, 'too late', namespace => 'cond'),
       cache_cas('doc', 0, 'none', namespace => 'cond'),
       cache_cas('doc', -1, 'none', namespace => 'cond'),
       cache_cas('doc', NULL, 'none', namespace => 'cond');
SELECT version AS seen FROM cache_entry('doc', 'cond') \gset
SELECT cache_delete('doc', 'cond');
SELECT cache_cas('doc', :seen, 'gone', namespace => 'cond'), cache_exists('doc', 'cond');
SELECT cache_cas('never', (SELECT version FROM cache_entry('never', 'cond')), 'x', namespace => 'cond');
SELECT cache_put('char', 'c'::"char", namespace => 'cond');
SELECT cache_cas('char', version, 'e'::"char", namespace => 'cond'), cache_get('char', 'cond')
    FROM cache_entry('char', 'cond');

-- a counter
SELECT cache_incr('n', namespace => 'cond');
SELECT cache_incr('n', 10, namespace => 'cond');
SELECT cache_incr('n', -20, namespace => 'cond');
SELECT cache_get('n', 'cond'), cache_get_as('n', NULL::bigint, 'cond');
SELECT type, bytes FROM cache_entry('n', 'cond');
SELECT cache_incr('from ten', 5, 10, namespace => 'cond'), cache_incr('from ten', 5, 10, namespace => 'cond');
SELECT sum(cache_incr('loop', namespace => 'cond')) FROM generate_series(1, 100);

-- the TTL counts when the counter is made, and all else of an entry stays
SELECT cache_incr('visits', 1, 0, '1 hour', 'cond');
SELECT cache_expires_at('visits', 'cond') AS expires \gset
SELECT cache_incr('visits', 1, 0, '1 day', 'cond'), cache_expires_at('visits', 'cond') = :'expires' AS same_expiry;
SELECT cache_put('tagged', 5, '1 hour', ARRAY['a', 'b'], 'cond', 7);
SELECT created_at AS created, expires_at AS expires FROM cache_entry('tagged', 'cond') \gset
SELECT cache_incr('tagged', namespace => 'cond');
SELECT type, tags, priority, created_at = :'created' AS created, expires_at = :'expires' AS expires
    FROM cache_entry('tagged', 'cond');

-- what counts as a number, and what does not
SELECT cache_put('s', 10::smallint, namespace => 'cond'), cache_put('i', 20, namespace => 'cond'),
       cache_put('b', 30::bigint, namespace => 'cond'), cache_put('t', '40', namespace => 'cond'),
       cache_put('spaces', ' -50 ', namespace => 'cond'), cache_put('plus', '+60', namespace => 'cond');
SELECT cache_incr('s', namespace => 'cond') AS s, cache_incr('i', namespace => 'cond') AS i,
       cache_incr('b', namespace => 'cond') AS b, cache_incr('t', namespace => 'cond') AS t,
       cache_incr('spaces', namespace => 'cond') AS spaces, cache_incr('plus', namespace => 'cond') AS plus;
SELECT DISTINCT type FROM unnest(ARRAY['s', 'i', 'b', 't', 'spaces', 'plus']) AS k, LATERAL cache_entry(k, 'cond');
SELECT cache_put('word', 'secret', namespace => 'cond'), cache_put('float', 1.5::float8, namespace => 'cond'),
       cache_put('numeric', 1.5::numeric, namespace => 'cond'), cache_put('nothing', '', namespace => 'cond'),
       cache_put('null', NULL, namespace => 'cond'), cache_put('two', '1 2', namespace => 'cond'),
       cache_put('long', repeat('1', 100), namespace => 'cond'), cache_put('huge', repeat('9', 19), namespace => 'cond'),
       cache_put('max', '9223372036854775807', namespace => 'cond'),
       cache_put('min', '-9223372036854775808', namespace => 'cond');
-- numbers of a domain, and whole ones of type numeric
CREATE DOMAIN cond_count AS bigint CHECK (VALUE < 1000);
CREATE DOMAIN cond_price AS numeric;
SELECT cache_put('domain', 70::cond_count, namespace => 'cond'), cache_put('whole', 80::numeric, namespace => 'cond'),
       cache_put('whole.0', '-90.00'::cond_price, namespace => 'cond'), cache_put('1e30', 1e30, namespace => 'cond'),
       cache_put('nan', 'NaN'::numeric, namespace => 'cond'), cache_put('inf', '-Infinity'::numeric, namespace => 'cond');
SELECT cache_incr('domain', 1000, namespace => 'cond') AS domain, cache_incr('whole', namespace => 'cond') AS whole,
       cache_incr('whole.0', namespace => 'cond') AS "whole.0";
SELECT DISTINCT type FROM unnest(ARRAY['domain', 'whole', 'whole.0']) AS k, LATERAL cache_entry(k, 'cond');
-- the text is not shown: to write is not to read
SELECT cache_incr('word', namespace => 'cond');
SELECT cache_incr('max', namespace => 'cond');
\set VERBOSITY sqlstate
SELECT cache_incr('word', namespace => 'cond');
SELECT cache_incr('float', namespace => 'cond');
SELECT cache_incr('numeric', namespace => 'cond');
SELECT cache_incr('1e30', namespace => 'cond');
SELECT cache_incr('nan', namespace => 'cond');
SELECT cache_incr('inf', namespace => 'cond');
SELECT cache_incr('nothing', namespace => 'cond');
SELECT cache_incr('null', namespace => 'cond');
SELECT cache_incr('two', namespace => 'cond');
SELECT cache_incr('long', namespace => 'cond');
SELECT cache_incr('huge', namespace => 'cond');
SELECT cache_incr('max', 1, namespace => 'cond');
SELECT cache_incr('min', -1, namespace => 'cond');
SELECT cache_incr('new', 1, 9223372036854775807, namespace => 'cond');
SELECT cache_incr('n', NULL, namespace => 'cond');
SELECT cache_incr('n', 1, NULL, namespace => 'cond');
\set VERBOSITY default
SELECT cache_incr('max', -1, namespace => 'cond'), cache_incr('min', 1, namespace => 'cond');
-- what failed changed nothing
SELECT cache_get('word', 'cond'), cache_exists('new', 'cond'), cache_get('n', 'cond');

-- a value whose type was altered or dropped is not there, for any of them
CREATE TYPE cond_type AS (a int);
SELECT cache_put(k, row(1)::cond_type, namespace => 'cond') FROM unnest(ARRAY['t1', 't2', 't3', 't4', 't5', 't6']) AS k \g /dev/null
SELECT cache_put('d1', 5::cond_count, tags => ARRAY['t'], namespace => 'cond');
SELECT version AS seen FROM cache_entry('t4', 'cond') \gset
SELECT deletes AS deletes FROM cache_stats_namespaces WHERE namespace = 'cond' \gset
DROP TYPE cond_type;
ALTER DOMAIN cond_count SET NOT NULL;
SELECT cache_delete('t1', 'cond'), cache_add('t2', 'v', namespace => 'cond'), cache_replace('t3', 'v', namespace => 'cond'),
       cache_cas('t4', :seen, 'v', namespace => 'cond'), cache_incr('t5', namespace => 'cond'),
       cache_incr('d1', 1, 100, namespace => 'cond'), cache_touch('t6', NULL, 'cond');
SET pg_cache.enabled = off;
SELECT cache_put('t6', 'v', namespace => 'cond');
RESET pg_cache.enabled;
SELECT deletes - :deletes AS deletes FROM cache_stats_namespaces WHERE namespace = 'cond';
SELECT key, type, tags FROM cache_entries WHERE namespace = 'cond' AND (key LIKE 't_' OR key = 'd1') ORDER BY key;
DROP DOMAIN cond_count, cond_price;

SELECT cache_drop_namespace('cond');
SELECT * FROM cache_check();
