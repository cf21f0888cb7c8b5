# Sixteen sessions do everything at once with a hundred keys, in a cache too
# small for them.  Nobody ever sees a value that is torn, or another key's, and
# what the sessions counted is what the statistics say.
#
# PGCACHE_HAMMER_SECONDS: how long, for each eviction policy.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{PGCACHE_HAMMER_SECONDS} || 15;

my $node = new_server('hammer', "pg_cache.memory = '8MB'", "pg_cache.memory_limit = '3MB'",
	'log_statement = none', 'log_min_messages = warning', 'max_connections = 40');
$node->safe_psql('postgres', q{
CREATE UNLOGGED TABLE counted (hits bigint, misses bigint, puts bigint, deletes bigint);
SELECT cache_create_namespace('small', max_entries => 30, sliding => true, default_ttl => '50 ms');

-- The value that a key has, made from a seed and a number of repetitions, which
-- it begins with.  10 bytes to 100 kB.
CREATE FUNCTION make_value(key text, seed int, n int) RETURNS text IMMUTABLE LANGUAGE sql AS $$
  SELECT key || ' ' || seed || ' ' || n || ' ' || repeat(md5(key || seed), n)
$$;
CREATE FUNCTION new_value(key text) RETURNS text LANGUAGE sql AS $$
  SELECT make_value(key, (random() * 1000)::int, CASE WHEN random() < 0.5 THEN (random() * 20)::int
                                                 ELSE (random() ^ 2 * 3200)::int END)
$$;
CREATE PROCEDURE check_value(key text, value text) LANGUAGE plpgsql AS $$
DECLARE
  part text[] := string_to_array(left(value, 40), ' ');
BEGIN
  IF value <> make_value(key, part[2]::int, part[3]::int) THEN
    RAISE EXCEPTION 'wrong value of %: % bytes, % ... %', key, length(value), left(value, 60), right(value, 60);
  END IF;
END $$;

-- n steps in transactions of about so many steps; some have an id, some are rolled back.
CREATE PROCEDURE hammer(n int, steps int) LANGUAGE plpgsql AS $$
DECLARE
  c counted := (0, 0, 0, 0);
  transactional boolean := current_setting('pg_cache.transactional');
  committed bigint := 0;
  space text := CASE WHEN random() < 0.8 THEN 'default' ELSE 'small' END;
  key text;
  value text;
  keys text[];
  ttl interval;
  dice float8;
  number bigint;
  found record;
BEGIN
  FOR i IN 1 .. n LOOP
    key := 'k' || (random() ^ 2 * 99)::int;
    dice := random() * 100;
    ttl := CASE WHEN random() < 0.2 THEN random() * interval '20 ms' + interval '1 us' END;
    IF dice BETWEEN 84 AND 97 THEN
      -- What acts at once refuses what the transaction has changed.
      COMMIT;
      committed := c.puts;
    ELSIF dice > 98.5 AND transactional THEN
      PERFORM txid_current();
    END IF;
    IF dice < 45 THEN
      value := cache_get(key, space);
      IF value IS NULL THEN
        c.misses := c.misses + 1;
      ELSE
        c.hits := c.hits + 1;
        CALL check_value(key, value);
      END IF;
    ELSIF dice < 65 THEN
      PERFORM cache_put(key, new_value(key), ttl, CASE WHEN random() < 0.3 THEN ARRAY[key, 'tag'] END,
                        space, (random() * 3)::int);
      c.puts := c.puts + 1;
    ELSIF dice < 73 THEN
      keys := ARRAY(SELECT 'k' || (random() * 99)::int FROM generate_series(1, 20));
      FOR found IN SELECT * FROM cache_get_many(keys, space) LOOP
        CALL check_value(found.key, found.value);
        c.hits := c.hits + 1;
        c.misses := c.misses - 1;
      END LOOP;
      c.misses := c.misses + 20;
    ELSIF dice < 75 THEN
      keys := ARRAY(SELECT DISTINCT 'k' || (random() * 99)::int FROM generate_series(1, 5));
      c.puts := c.puts + cache_put_many(keys, ARRAY(SELECT new_value(k) FROM unnest(keys) k), ttl,
                                        namespace => space);
    ELSIF dice < 80 THEN
      c.deletes := c.deletes + cache_delete(key, space)::int;
    ELSIF dice < 84 THEN
      PERFORM cache_touch(key, ttl, space);
    ELSIF dice < 89 THEN
      c.puts := c.puts + cache_add(key, new_value(key), ttl, namespace => space)::int;
    ELSIF dice < 92 THEN
      c.puts := c.puts + cache_replace(key, new_value(key), ttl, namespace => space)::int;
    ELSIF dice < 94 THEN
      c.puts := c.puts + cache_cas(key, (SELECT version FROM cache_entry(key, space)), new_value(key), ttl,
                                   namespace => space)::int;
    ELSIF dice < 97 THEN
      number := cache_incr('number ' || (random() * 5)::int, 7, 0, ttl, space);
      c.puts := c.puts + 1;
      IF number % 7 <> 0 OR number <= 0 THEN
        RAISE EXCEPTION 'wrong number %', number;
      END IF;
    ELSIF dice < 98 THEN
      FOR found IN SELECT * FROM cache_entry(key, space) LOOP
        IF found.key <> key OR found.namespace <> space OR found.type <> 'text'::regtype
           OR found.tags NOT IN ('{}', ARRAY[key, 'tag']) OR found.bytes < 6 OR found.bytes > 110000 THEN
          RAISE EXCEPTION 'wrong description of %: %', key, found;
        END IF;
      END LOOP;
    ELSIF dice < 98.2 THEN
      PERFORM count(*) FROM cache_entries WHERE bytes < 0;
    ELSIF dice < 98.25 THEN
      PERFORM cache_clear(space);
    ELSIF dice < 98.4 THEN
      PERFORM cache_invalidate_tags(ARRAY[key]), cache_invalidate_pattern(key || '%', space);
    ELSE
      PERFORM cache_exists(key, space), cache_expires_at(key, space);
    END IF;
    IF random() * steps > 1 THEN
      CONTINUE;
    ELSIF random() < 0.1 AND transactional AND dice NOT BETWEEN 84 AND 97 THEN
      ROLLBACK;
      c.puts := committed;
    ELSE
      COMMIT;
    END IF;
    committed := c.puts;
  END LOOP;
  INSERT INTO counted VALUES (c.*);
END $$;

-- Uses a namespace of one's own, which comes and goes.
CREATE FUNCTION churn(space text) RETURNS bigint LANGUAGE sql AS $$
  SELECT count(cache_put('k' || i, space || i, namespace => space)) FROM generate_series(1, 100) i;
$$;
CREATE FUNCTION look_into(space text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  found record;
  number bigint;
BEGIN
  FOR found IN SELECT * FROM cache_get_many(ARRAY(SELECT 'k' || i FROM generate_series(1, 100) i), space) LOOP
    IF found.value <> replace(found.key, 'k', space) THEN
      RAISE EXCEPTION 'value of % in % is %', found.key, space, found.value;
    END IF;
  END LOOP;
  number := (SELECT entries FROM cache_stats_namespaces WHERE namespace = space);
  IF number > 50 THEN
    RAISE EXCEPTION 'too many entries in %: %', space, number;
  END IF;
END $$;
CREATE FUNCTION look_for_faults() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  faults text[] := ARRAY(SELECT cache_check());
BEGIN
  IF faults <> '{}' THEN
    RAISE EXCEPTION 'faults: %', faults;
  END IF;
END $$;
});

my $dir = PostgreSQL::Test::Utils::tempdir;
append_to_file("$dir/plain", "SET pg_cache.compression = 'none';\nCALL hammer(20, 1);\n");
append_to_file("$dir/lz4", "SET pg_cache.compression = 'lz4';\nCALL hammer(50, 10);\n");
append_to_file("$dir/now", "SET pg_cache.transactional = off;\nCALL hammer(20, 1);\nRESET pg_cache.transactional;\n");
append_to_file("$dir/churn", q{
\set mb random(1, 4)
SELECT cache_create_namespace('own ' || :client_id, max_entries => 60);
SELECT churn('own ' || :client_id);
SELECT cache_alter_namespace('own ' || :client_id, max_entries => 50);
SELECT look_into('own ' || :client_id);
SELECT churn('own ' || :client_id);
SELECT look_into('own ' || :client_id);
BEGIN;
SELECT cache_alter_namespace('own ' || :client_id, max_entries => 5);
SELECT churn('own ' || :client_id);
SELECT look_into('own ' || :client_id);
ROLLBACK;
SELECT cache_drop_namespace('own ' || :client_id);
ALTER SYSTEM SET pg_cache.memory_limit = :mb;
SELECT pg_reload_conf();
SELECT look_for_faults();
});

sub hammer
{
	my ($policy) = @_;

	$node->safe_psql('postgres', q{
		TRUNCATE counted;
		SELECT cache_clear(), cache_reset_stats()});
	$node->command_ok([ 'pgbench', '-n', '-c', 16, '-j', 2, '-T', $seconds,
			'-f', "$dir/plain\@7", '-f', "$dir/lz4\@7", '-f', "$dir/now\@6", '-f', "$dir/churn\@1", 'postgres' ],
		"$policy: only whole values, of the right keys");
	is($node->safe_psql('postgres', q{
			SELECT sum(hits), sum(misses)
			FROM cache_stats_namespaces WHERE namespace IN ('default', 'small')}),
		$node->safe_psql('postgres', 'SELECT sum(hits), sum(misses) FROM counted'),
		"$policy: counters are exact");
	# A session cannot tell a conditional put that was dropped from one in vain.
	is($node->safe_psql('postgres', q{
		SELECT sum(puts + dropped_puts + stale_puts) - own BETWEEN 0 AND sum(dropped_puts + stale_puts)
		FROM cache_stats_namespaces, (SELECT sum(puts) AS own FROM counted) c
		WHERE namespace IN ('default', 'small') GROUP BY own}), 't', "$policy: puts within what was dropped");
	is($node->safe_psql('postgres', q{
		SELECT hits > 1000, misses > 1000, deletes > 100, evictions > 100, expirations > 100, stale_puts > 100,
		       puts > 1000 AND dropped_puts * 10 <= puts FROM cache_stats}), 't|t|t|t|t|t|t', "$policy: all happened")
	  or diag $node->safe_psql('postgres', '\x\\\\ SELECT * FROM cache_stats');
	is_sound($node, $policy);
	is($node->safe_psql('postgres', q{
		SELECT count(cache_put('k' || i, 'v')) FROM generate_series(1, 1000) i;
		SELECT (SELECT entries FROM cache_stats_namespaces WHERE namespace = 'small') <= 30,
		       (SELECT memory_used <= memory_limit FROM cache_stats)}), "1000\nt|t", "$policy: limits are kept");
	return;
}

hammer('lru');
$node->append_conf('postgresql.conf', "pg_cache.eviction = 's3fifo'");
$node->restart;
hammer('s3fifo');

# After it all memory is of use, and given back.
is($node->safe_psql('postgres', q{
	SELECT cache_clear();
	SELECT count(cache_put('k' || i, 'v')) FROM generate_series(1, 100) i;
	SELECT entries, count(cache_get('k' || i)) FROM cache_stats, generate_series(1, 100) i GROUP BY 1}),
	"\n100\n100|100", 'the cache works');
is_sound($node, 'at the end');
$node->stop;
done_testing();
