-- Time to live, by a clock that the test sets forward.  The real clock goes on
-- underneath, so nothing here is nearer to an expiry than half a minute.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
RESET client_min_messages;
\getenv abs_srcdir PG_ABS_SRCDIR
\set test_functions :abs_srcdir '/test/test_functions.sql'
\set ECHO none
\i :test_functions
\set ECHO all
SELECT pgcache_test_set_clock('0');
SELECT cache_create_namespace('ttl');

-- what a TTL is: the difference of two columns, and how all entries show it
CREATE VIEW ttls AS
    SELECT key, CASE WHEN expires_at < 'infinity'
                     THEN date_trunc('second', expires_at - created_at) END AS ttl
    FROM cache_entries WHERE namespace = 'ttl';

-- there until it expires
SELECT cache_put('hour', 'v', '1 hour', namespace => 'ttl'), cache_put('ever', 'v', namespace => 'ttl'),
       cache_put('day', 1, '1 day', namespace => 'ttl');
SELECT * FROM ttls ORDER BY key;
SELECT cache_expires_at('ever', 'ttl'), cache_expires_at('none', 'ttl') IS NULL AS none;
SELECT cache_get('hour', 'ttl');
SELECT pgcache_test_advance_clock('59 min 30 s');
SELECT cache_get('hour', 'ttl');
SELECT pgcache_test_advance_clock('30 s');
SELECT cache_get('hour', 'ttl') IS NULL AS expired, cache_get('day', 'ttl') AS day, cache_get('ever', 'ttl') AS ever;
-- and then it is gone for all
SELECT cache_exists('hour', 'ttl'), cache_expires_at('hour', 'ttl') IS NULL AS no_expiry,
       cache_get_as('hour', ''::text, 'ttl') IS NULL AS get_as,
       cache_replace('hour', 'w', namespace => 'ttl'),
       cache_touch('hour', '1 hour', 'ttl'), cache_delete('hour', 'ttl');
SELECT * FROM cache_get_many(ARRAY['hour', 'day', 'ever'], 'ttl');
SELECT * FROM cache_entry('hour', 'ttl');
SELECT key FROM cache_entries WHERE namespace = 'ttl' ORDER BY key;
SELECT cache_add('hour', 'anew', '1 hour', namespace => 'ttl'), cache_get('hour', 'ttl');
SELECT pgcache_test_advance_clock('23 hours');
SELECT cache_get('day', 'ttl') IS NULL AS expired, cache_get('ever', 'ttl') AS ever;
SELECT cache_clear('ttl');

-- all entries of a cache_put_many, and of cache_cas and cache_incr
SELECT pgcache_test_set_clock('0');
SELECT cache_put_many(ARRAY['a', 'b'], ARRAY['1', '2'], '1 hour', namespace => 'ttl');
SELECT cache_put('c', 'v', namespace => 'ttl');
SELECT cache_cas('c', version, 'w', '2 hours', namespace => 'ttl') FROM cache_entry('c', 'ttl');
SELECT cache_incr('n', 1, 0, '3 hours', 'ttl');
SELECT * FROM ttls ORDER BY key;
SELECT pgcache_test_advance_clock('1 hour');
-- a count keeps the expiry that it was made with
SELECT cache_incr('n', 1, 0, '9 hours', 'ttl');
SELECT * FROM ttls ORDER BY key;
SELECT pgcache_test_advance_clock('2 hours');
SELECT cache_incr('n', 1, 0, '3 hours', 'ttl');
SELECT * FROM ttls ORDER BY key;
SELECT cache_clear('ttl');

-- months have 30 days, and no life is longer than 1000 years
SELECT pgcache_test_set_clock('0');
SELECT cache_put('month', 'v', '1 month', namespace => 'ttl'), cache_put('mixed', 'v', '1 month -1 day', namespace => 'ttl'),
       cache_put('long', 'v', '100000 years', namespace => 'ttl'), cache_put('short', 'v', '999 hours', namespace => 'ttl');
SELECT * FROM ttls ORDER BY key;
SELECT cache_clear('ttl');

-- the default: of the namespace, else of the server
SET pg_cache.default_ttl = '10 min';
SELECT cache_put('server', 'v', namespace => 'ttl'), cache_put('given', 'v', '1 min', namespace => 'ttl');
SELECT cache_alter_namespace('ttl', default_ttl => '20 min');
SELECT cache_put('namespace', 'v', namespace => 'ttl'), cache_put('given2', 'v', '1 hour', namespace => 'ttl');
RESET pg_cache.default_ttl;
SELECT cache_put('namespace2', 'v', namespace => 'ttl');
SELECT * FROM ttls ORDER BY key;
SELECT cache_clear('ttl');

SELECT cache_alter_namespace('ttl', reset => '{default_ttl}');

-- a setting of less than a microsecond is one as well
SET pg_cache.default_ttl = '0.4 us';
SELECT cache_put('tiny', 'v', namespace => 'ttl');
SELECT cache_expires_at('tiny', 'ttl') IS DISTINCT FROM 'infinity' AS expires;
RESET pg_cache.default_ttl;
SET pg_cache.max_ttl = 0.0004;
SELECT cache_put('tiny', 'v', namespace => 'ttl');
SELECT cache_expires_at('tiny', 'ttl') IS DISTINCT FROM 'infinity' AS expires;
RESET pg_cache.max_ttl;
SELECT cache_clear('ttl');

-- the maximum: the lower of both, and entries without a TTL get it
SELECT cache_alter_namespace('ttl', max_ttl => '2 hours');
SELECT cache_put('namespace', 'v', '3 hours', namespace => 'ttl'), cache_put('none', 'v', namespace => 'ttl'),
       cache_put('below', 'v', '1 hour', namespace => 'ttl');
SET pg_cache.max_ttl = '90 min';
SELECT cache_put('server', 'v', '3 hours', namespace => 'ttl'), cache_put('none2', 'v', namespace => 'ttl');
SELECT cache_alter_namespace('ttl', reset => '{max_ttl}');
SELECT cache_put('server2', 'v', '100 min', namespace => 'ttl'), cache_put('none3', 'v', namespace => 'ttl');
RESET pg_cache.max_ttl;
SELECT * FROM ttls ORDER BY key;
SELECT cache_clear('ttl');

-- jitter takes up to its share of the TTL away, from each entry another one
SELECT cache_alter_namespace('ttl', ttl_jitter => 0.5);
SELECT cache_put_many(array_agg('j' || i), array_agg('v'::text), '1 hour', namespace => 'ttl') FROM generate_series(1, 500) i;
SELECT count(*), bool_and(ttl BETWEEN '30 min' AND '1 hour') AS within,
       min(ttl) < '35 min' AS low, max(ttl) > '55 min' AS high, count(DISTINCT ttl) > 300 AS differ
    FROM ttls;
SELECT cache_alter_namespace('ttl', reset => '{ttl_jitter}');
SELECT cache_clear('ttl');

-- cache_touch
SELECT cache_put('k', 'v', '1 hour', namespace => 'ttl');
SELECT pgcache_test_advance_clock('30 min');
SELECT cache_touch('k', '2 hours', 'ttl');
SELECT date_trunc('minute', ttl + interval '10 s') AS ttl FROM ttls;
SELECT pgcache_test_advance_clock('119 min');
SELECT cache_get('k', 'ttl'), cache_touch('k', NULL, 'ttl'), cache_expires_at('k', 'ttl');
SELECT cache_touch('k', '1 hour', 'ttl');
SELECT pgcache_test_advance_clock('1 hour');
SELECT cache_get('k', 'ttl') IS NULL AS expired, cache_touch('k', '1 hour', 'ttl');
SELECT cache_touch('none', '1 hour', 'ttl');
-- with the namespace's default and maximum
SELECT cache_alter_namespace('ttl', default_ttl => '20 min', max_ttl => '40 min');
SELECT cache_put('k', 'v', '5 min', namespace => 'ttl');
SELECT cache_touch('k', NULL, 'ttl');
SELECT date_trunc('minute', ttl + interval '10 s') AS ttl FROM ttls;
SELECT cache_touch('k', '10 hours', 'ttl');
SELECT date_trunc('minute', ttl + interval '10 s') AS ttl FROM ttls;
-- all else stays
SELECT cache_put('t', 5, '5 min', ARRAY['a', 'b'], 'ttl', 3);
SELECT cache_touch('t', '6 min', 'ttl');
SELECT type, tags, priority FROM cache_entry('t', 'ttl');
SELECT cache_get_as('t', 0, 'ttl');
SELECT cache_clear('ttl');

-- sliding: each hit begins the TTL anew, a look does not, and max_ttl is the end
SELECT cache_alter_namespace('ttl', default_ttl => '1 hour', max_ttl => '3 hours', sliding => true);
SELECT cache_put('s', 'v', namespace => 'ttl'), cache_put('looked at', 'v', namespace => 'ttl'),
       cache_put('many', 'v', namespace => 'ttl'), cache_put('as', 5, namespace => 'ttl');
SELECT pgcache_test_advance_clock('50 min');
SELECT cache_get('s', 'ttl'), cache_exists('looked at', 'ttl'), cache_get_as('as', 0, 'ttl');
SELECT count(*) FROM cache_entries WHERE namespace = 'ttl';
SELECT key, value FROM cache_get_many(ARRAY['many'], 'ttl');
SELECT pgcache_test_advance_clock('50 min');
SELECT cache_get('s', 'ttl'), cache_exists('looked at', 'ttl'), cache_get_as('as', 0, 'ttl');
SELECT key, value FROM cache_get_many(ARRAY['many'], 'ttl');
SELECT pgcache_test_advance_clock('50 min');
SELECT cache_get('s', 'ttl');
SELECT pgcache_test_advance_clock('29 min');
SELECT cache_get('s', 'ttl');
SELECT pgcache_test_advance_clock('1 min');
SELECT cache_get('s', 'ttl') IS NULL AS at_its_end;
-- a touch cannot move the end either
SELECT cache_put('s', 'v', namespace => 'ttl');
SELECT pgcache_test_advance_clock('50 min');
SELECT cache_touch('s', '3 hours', 'ttl');
SELECT date_trunc('minute', ttl + interval '10 s') AS ttl FROM ttls WHERE key = 's';
SELECT cache_touch('s', '30 min', 'ttl');
SELECT pgcache_test_advance_clock('20 min');
SELECT cache_get('s', 'ttl');
SELECT pgcache_test_advance_clock('20 min');
SELECT cache_get('s', 'ttl');
SELECT pgcache_test_advance_clock('30 min');
SELECT cache_get('s', 'ttl') IS NULL AS expired;
-- a count goes on sliding, until the end that it was made with
SELECT cache_incr('n', namespace => 'ttl');
SELECT pgcache_test_advance_clock('50 min');
SELECT cache_get('n', 'ttl');
SELECT cache_incr('n', namespace => 'ttl');
SELECT pgcache_test_advance_clock('50 min');
SELECT cache_get('n', 'ttl');
SELECT pgcache_test_advance_clock('50 min');
SELECT cache_get('n', 'ttl'), cache_incr('n', namespace => 'ttl');
SELECT pgcache_test_advance_clock('30 min');
SELECT cache_get('n', 'ttl') IS NULL AS at_its_end;
-- without a maximum it never ends
SELECT cache_alter_namespace('ttl', reset => '{max_ttl}');
SELECT cache_put('s', 'v', namespace => 'ttl');
SELECT sum(length(cache_get('s', 'ttl'))) AS hits
    FROM generate_series(1, 100) i, LATERAL pgcache_test_advance_clock(i * 0 * interval '1 s' + interval '50 min');
SELECT pgcache_test_advance_clock('1 hour');
SELECT cache_get('s', 'ttl') IS NULL AS expired;

-- what expired is counted as that
SELECT cache_drop_namespace('ttl');
SELECT cache_create_namespace('ttl');
SELECT cache_put('k', 'v', '1 hour', namespace => 'ttl');
SELECT pgcache_test_advance_clock('1 hour');
SELECT cache_get('k', 'ttl') IS NULL AS expired;
SELECT hits, misses, entries, expirations, invalidations FROM cache_stats_namespaces WHERE namespace = 'ttl';

-- an insert that needs room takes what has expired first, used or not
SELECT cache_clear();
SELECT cache_reset_stats();
SET pg_cache.transactional = off;
SET pg_cache.lru_bump = 0;
SELECT count(cache_put('kept' || i, repeat('k', 8000), namespace => 'ttl')) FROM generate_series(1, 700) i;
SELECT count(cache_put('old' || i, repeat('o', 8000), '1 hour', namespace => 'ttl')) FROM generate_series(1, 900) i;
SELECT count(cache_get('old' || i, 'ttl')) FROM generate_series(1, 900) i;
SELECT pgcache_test_advance_clock('1 hour');
SELECT count(cache_put('new' || i, repeat('n', 8000), namespace => 'ttl')) FROM generate_series(1, 700) i;
SELECT left(key, 3) AS kind, count(*) FROM cache_entries WHERE namespace = 'ttl' GROUP BY 1 ORDER BY 1;
SELECT evictions, expirations > 200 AS expirations FROM cache_stats_namespaces WHERE namespace = 'ttl';
RESET pg_cache.lru_bump;
RESET pg_cache.transactional;

SELECT cache_drop_namespace('ttl');
SELECT pgcache_test_set_clock('0');
DROP VIEW ttls;
DROP FUNCTION pgcache_test_arm, pgcache_test_disarm, pgcache_test_reached,
    pgcache_test_set_clock, pgcache_test_advance_clock;
SELECT * FROM cache_check();
