-- Entries that make room for others.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
RESET client_min_messages;
-- More than a transaction may have pending is put in one statement.
SELECT cache_create_namespace('evict');
SET pg_cache.transactional = off;
CREATE VIEW evicted AS
    SELECT entries, evictions, expirations, invalidations, dropped_puts
    FROM cache_stats_namespaces WHERE namespace = 'evict';

-- a limit on the number of entries: the one used least lately goes
SET pg_cache.lru_bump = 0;
SELECT cache_alter_namespace('evict', max_entries => 3);
SELECT count(cache_put(k, 'v', namespace => 'evict')) FROM unnest(ARRAY['a', 'b', 'c']) AS k;
SELECT cache_get('a', 'evict');
SELECT cache_put('d', 'v', namespace => 'evict');
SELECT key FROM cache_entries WHERE namespace = 'evict' ORDER BY key;
SELECT * FROM evicted;
-- to look is not to use
SELECT cache_exists('c', 'evict'), (SELECT count(*) FROM cache_entry('c', 'evict'));
SELECT cache_put('e', 'v', namespace => 'evict');
SELECT key FROM cache_entries WHERE namespace = 'evict' ORDER BY key;
-- what is replaced does not count twice
SELECT cache_put('e', 'w', namespace => 'evict'), cache_put('a', 'w', namespace => 'evict');
SELECT key FROM cache_entries WHERE namespace = 'evict' ORDER BY key;
SELECT * FROM evicted;
-- a lower limit takes effect with the next use
SELECT cache_alter_namespace('evict', max_entries => 1);
SELECT cache_get('a', 'evict');
SELECT key FROM cache_entries WHERE namespace = 'evict';
SELECT cache_alter_namespace('evict', reset => '{max_entries}');
RESET pg_cache.lru_bump;
SELECT cache_clear('evict');
SELECT cache_reset_stats();

-- higher priority goes later, whatever the order of use
SELECT cache_alter_namespace('evict', max_entries => 10);
SELECT count(cache_put('high' || i, 'v', namespace => 'evict', priority => 10)) FROM generate_series(1, 5) i;
SELECT count(cache_put('low' || i, 'v', namespace => 'evict', priority => -10)) FROM generate_series(1, 5) i;
SELECT count(cache_put('mid' || i, 'v', namespace => 'evict')) FROM generate_series(1, 5) i;
SELECT left(key, 3) AS kind, count(*) FROM cache_entries WHERE namespace = 'evict' GROUP BY 1 ORDER BY 1;
SELECT count(cache_put('mid' || i, 'v', namespace => 'evict')) FROM generate_series(6, 20) i;
SELECT left(key, 3) AS kind, count(*) FROM cache_entries WHERE namespace = 'evict' GROUP BY 1 ORDER BY 1;
SELECT * FROM evicted;
-- the namespace's priority is the one of puts that name none
SELECT cache_alter_namespace('evict', priority => 5);
SELECT cache_put('p', 'v', namespace => 'evict'), cache_put('q', 'v', namespace => 'evict', priority => 0),
       cache_put('r', 'v', namespace => 'evict', priority => 1);
SELECT cache_add('s', 'v', namespace => 'evict'), cache_incr('t', namespace => 'evict');
SELECT key, priority FROM cache_entries WHERE namespace = 'evict' AND length(key) = 1 ORDER BY key;
SELECT cache_alter_namespace('evict', reset => '{priority,max_entries}');
SELECT cache_clear('evict');

-- a limit on the bytes
SELECT cache_alter_namespace('evict', max_bytes => 100000);
SELECT count(cache_put('b' || i, repeat('v', 1000), namespace => 'evict')) FROM generate_series(1, 500) i;
SELECT memory_used <= 100000 AS within, entries BETWEEN 60 AND 100 AS entries
    FROM cache_stats_namespaces WHERE namespace = 'evict';
SELECT cache_get('b500', 'evict') IS NOT NULL AS newest, cache_get('b1', 'evict') IS NULL AS oldest;
-- a value that can never fit is dropped, and what it would have replaced as well
SELECT cache_put('b500', repeat('v', 200000), namespace => 'evict');
SELECT cache_exists('b500', 'evict'), dropped_puts FROM evicted;
SELECT cache_alter_namespace('evict', reset => '{max_bytes}');
SELECT cache_clear('evict');
SELECT cache_reset_stats();

-- more than the whole cache holds: never an error, and the newest are there
SELECT (memory_limit * 1.5 / 65536)::int AS n FROM cache_stats \gset
SELECT count(cache_put('big' || i, repeat(chr(65 + i % 26), 65000), namespace => 'evict')) = :n AS all_put
    FROM generate_series(1, :n) i;
SELECT evictions > 0 AS evicted, entries < :n AS fewer, entries > :n / 3 AS most_of_the_memory, dropped_puts
    FROM evicted;
SELECT memory_used <= memory_limit AS within, memory_used > memory_limit * 0.8 AS well_used FROM cache_stats;
SELECT count(*) FROM generate_series(:n - 49, :n) i
    WHERE cache_get('big' || i, 'evict') = repeat(chr(65 + i % 26), 65000);
-- each that is there is whole
SELECT count(*) > :n / 3 AS many, bool_and(value = repeat(chr(65 + substr(key, 4)::int % 26), 65000)) AS whole
    FROM cache_get_many(ARRAY(SELECT 'big' || i FROM generate_series(1, :n) i), 'evict');
-- values of all sizes, over and over
SELECT count(cache_put('mix' || i % 997, repeat(chr(65 + i % 26), (i * 7919) % 50000), namespace => 'evict'))
    FROM generate_series(1, 3000) i;
SELECT bool_and(value = repeat(left(value, 1), length(value))) AS whole, count(*) > 100 AS many
    FROM cache_get_many(ARRAY(SELECT 'mix' || i FROM generate_series(0, 996) i), 'evict');
-- the largest value that may be stored
SELECT memory_limit / 4 AS largest FROM cache_stats \gset
SELECT cache_put('largest', repeat('x', :largest), namespace => 'evict');
SELECT length(cache_get('largest', 'evict')) = :largest AS found;
\set VERBOSITY sqlstate
SELECT cache_put('larger', repeat('x', :largest + 1), namespace => 'evict');
\set VERBOSITY default
SELECT * FROM cache_check();
-- all the memory is back after a clear, for others to use
SELECT cache_clear('evict');
SELECT count(cache_put('again' || i, repeat('y', 65000), namespace => 'evict')) = :n AS all_put
    FROM generate_series(1, :n) i;
SELECT memory_used > memory_limit * 0.8 AS well_used FROM cache_stats;

-- a limit of nothing is none
ALTER SYSTEM SET pg_cache.memory_limit = 0;
ALTER SYSTEM SET pg_cache.memory_limit = '100kB';

DROP VIEW evicted;
SELECT cache_drop_namespace('evict');
SELECT * FROM cache_check();
