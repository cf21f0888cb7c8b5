# What a restart keeps, and the settings that count at start or by reload.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Single statements put more than a transaction may have pending.
my $node = new_server('restart', 'pg_cache.transactional = off');

# Puts n values of so many bytes; gives what is used afterwards, in megabytes.
$node->safe_psql('postgres', q{
CREATE FUNCTION fill(n int, bytes int, prefix text = 'fill') RETURNS numeric LANGUAGE sql AS $$
  SELECT count(cache_put(prefix || i, repeat(chr(97 + i % 26), bytes)))
  FROM generate_series(1, n) i;
  SELECT round(memory_used / 1048576.0, 1) FROM cache_stats;
$$;
CREATE FUNCTION wrong(bytes int, prefix text = 'fill') RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM generate_series(1, 100000) i, cache_get(prefix || i) value
  WHERE value <> repeat(chr(97 + i % 26), bytes);
$$;
});

sub restart_with
{
	$node->append_conf('postgresql.conf', join("\n", @_));
	$node->restart;
	return;
}

# ---- a clean restart

$node->safe_psql('postgres', q{
	SELECT cache_create_namespace('kept', default_ttl => '1 hour', max_entries => 3);
	SELECT cache_revoke('kept', 'public', 'read');
	SELECT cache_put('k', 'v'), cache_put('k', 'v', namespace => 'kept');
});
$node->restart;
is($node->safe_psql('postgres', q{SELECT cache_get('k') IS NULL, cache_get('k', 'kept') IS NULL}),
	't|t', 'a restart empties the cache');
is($node->safe_psql('postgres', 'SELECT entries, hits, misses, puts FROM cache_stats'),
	'0|0|2|2', 'but not the statistics');
is($node->safe_psql('postgres', q{
	SELECT name, default_ttl, max_entries FROM cache_namespaces;
	SELECT count(cache_put('k' || i, 'v', namespace => 'kept')) FROM generate_series(1, 10) i;
	SELECT entries FROM cache_stats_namespaces WHERE namespace = 'kept'}),
	"kept|01:00:00|3\n10\n3", 'namespaces stay, with their options');
is_sound($node, 'after a restart');

# ---- as little memory as can be

restart_with("pg_cache.memory = '1MB'");
is($node->safe_psql('postgres', "SELECT fill(5000, 1000) BETWEEN 0.5 AND 1"), 't',
	'a cache of 1 MB is used');
cmp_ok($node->safe_psql('postgres', 'SELECT evictions FROM cache_stats'), '>', 3000, 'and evicts');
is($node->safe_psql('postgres', 'SELECT wrong(1000)'), 0, 'values are whole');
is($node->safe_psql('postgres', q{
	SELECT cache_put('large', repeat('x', 256 * 1024));
	SELECT length(cache_get('large'))}), "\n262144", 'a quarter of it is not too large');
like(query_error($node, q{SELECT cache_put('large', repeat('x', 256 * 1024 + 1))}),
	qr/54000.*pg_cache\.max_value_size/s, 'more is');
is($node->safe_psql('postgres', 'SELECT fill(100000, 1) <= 1 AND wrong(1) = 0'), 't',
	'many small values');
is_sound($node, '1 MB');

# ---- much memory, the other policy

restart_with("pg_cache.memory = '512MB'", "pg_cache.eviction = 's3fifo'", 'pg_cache.max_namespaces = 2');
is($node->safe_psql('postgres', q{
	SELECT cache_put('large', repeat('0123456789', 10000000));
	SELECT cache_put('large 2', repeat('9876543210', 10000000));
	SELECT cache_get('large') = repeat('0123456789', 10000000),
	       cache_get('large 2') = repeat('9876543210', 10000000)}),
	"\n\nt|t", '100 MB in 512 MB');
is($node->safe_psql('postgres', 'SHOW pg_cache.eviction'), 's3fifo', 'other policy');
like(query_error($node, q{
	SELECT cache_create_namespace('third'); SELECT cache_get('k', 'kept'), cache_get('k', 'third')}),
	qr/53400.*pg_cache\.max_namespaces/s, 'too many namespaces in use');
is_sound($node, '512 MB');
restart_with("pg_cache.memory = '4MB'", 'pg_cache.max_namespaces = 256');
is($node->safe_psql('postgres', 'SELECT fill(20000, 500) BETWEEN 3 AND 4 AND wrong(500) = 0'), 't',
	's3fifo evicts');
is_sound($node, 's3fifo');

# ---- values that settings cannot have: reported, and the default used

my $log = -s $node->logfile;
restart_with("pg_cache.memory = '0'", "pg_cache.eviction = 'mru'", "pg_cache.memory_limit = 'much'");
is($node->safe_psql('postgres', q{
	SELECT name, setting, unit, context FROM pg_settings
	WHERE name IN ('pg_cache.memory', 'pg_cache.eviction', 'pg_cache.memory_limit') ORDER BY name}),
	"pg_cache.eviction|lru||postmaster\npg_cache.memory|128|MB|postmaster\npg_cache.memory_limit|-1|MB|sighup",
	'bad settings are not taken');
for my $name ('memory', 'eviction', 'memory_limit')
{
	ok($node->log_contains(qr/WARNING: .*"pg_cache\.$name"/, $log), "bad pg_cache.$name is reported");
}

# ---- pg_cache.memory_limit by reload

restart_with("pg_cache.memory = '16MB'", "pg_cache.eviction = 'lru'", "pg_cache.memory_limit = -1");

sub limit_to
{
	my ($limit) = @_;
	$node->append_conf('postgresql.conf', "pg_cache.memory_limit = '$limit'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('pg_cache.memory_limit') = '$limit'")
	  or die 'no reload';
	return;
}

$node->safe_psql('postgres', q{SELECT cache_put('large', repeat('large value ', 200000))});
is($node->safe_psql('postgres', 'SELECT fill(40000, 500) BETWEEN 14 AND 16'), 't', 'all memory used');
is($node->safe_psql('postgres', q{
	SELECT cache_put('large', repeat('large value.', 4 * 1024 * 1024 / 12));
	SELECT cache_get('large') = repeat('large value.', 4 * 1024 * 1024 / 12)}), "\nt",
	'a quarter of a full cache');
limit_to('4MB');
is($node->safe_psql('postgres', 'SELECT memory_limit FROM cache_stats'), 4 * 1024 * 1024, 'limit lowered');
is($node->safe_psql('postgres', 'SELECT fill(2000, 500)  <= 4.0'), 't', 'puts bring the use down to it');
is($node->safe_psql('postgres', 'SELECT wrong(500)'), 0, 'what is left is whole');
is_sound($node, 'limit lowered');
is($node->safe_psql('postgres', q{
	SELECT cache_put('large', repeat('large value ', 200000));
	SELECT cache_get('large') = repeat('large value ', 200000)}), "\nt", 'a large value within the limit');
limit_to('12MB');
is($node->safe_psql('postgres', 'SELECT fill(40000, 500) BETWEEN 10 AND 12'), 't', 'limit raised');
limit_to('1MB');
is($node->safe_psql('postgres', 'SELECT fill(3000, 500) <= 1 AND wrong(500) = 0'), 't', 'and lowered a lot');
limit_to('64MB');
is($node->safe_psql('postgres', 'SELECT memory_limit FROM cache_stats'), 16 * 1024 * 1024,
	'never more than pg_cache.memory');
is($node->safe_psql('postgres', 'SELECT fill(40000, 500) BETWEEN 14 AND 16'), 't', 'and all is used again');
is_sound($node, 'limit changed');

# ---- what a transaction may have pending: half of the limit

$node->safe_psql('postgres', 'ALTER SYSTEM SET pg_cache.transactional = on; SELECT pg_reload_conf()');
$node->poll_query_until('postgres', q{SELECT current_setting('pg_cache.transactional') = 'on'}) or die 'no reload';
for my $limit ('16MB', '4MB')
{
	limit_to($limit);
	# Values of all of the limit.
	is($node->safe_psql('postgres', q{
		SELECT cache_clear();
		SELECT cache_reset_stats();
		SELECT count(cache_put('old' || i, 'old')) FROM generate_series(1, 20) i;
		BEGIN;
		SELECT count(cache_put(CASE WHEN i <= 20 THEN 'old' ELSE 'fill' END || i,
		                       repeat(chr(97 + i % 26), memory_limit::int / 1000)))
		FROM generate_series(1, 1000) i, (SELECT memory_limit FROM cache_stats) s;
		SELECT cache_exists('fill1000'), cache_exists('fill900'), cache_exists('fill100');
		COMMIT;
		SELECT entries BETWEEN 350 AND 510, puts - 20 = entries, dropped_puts + puts = 1020, stale_puts FROM cache_stats;
		SELECT wrong(memory_limit::int / 1000), cache_exists('fill1000'), cache_exists('fill900'), cache_exists('fill100')
		FROM cache_stats;
		SELECT count(*) FROM generate_series(1, 20) i WHERE cache_exists('old' || i)}),
		"\n\n20\n1000\nt|t|f\nt|t|t|0\n0|t|t|f\n0",
		"$limit: of one transaction's puts the newest are kept");
	is($node->safe_psql('postgres', q{
		SELECT cache_clear();
		SELECT fill(200, 500) > 0;
		SELECT count(*) FROM generate_series(1, 200) i WHERE cache_get('fill' || i) = repeat(chr(97 + i % 26), 500)}),
		"\nt\n200", "$limit: of few all");
}
# The largest value that can be stored can be put, beside many others.
limit_to('16MB');
is($node->safe_psql('postgres', q{
	BEGIN;
	SELECT cache_put('large', repeat('0123456789abcdef', 256 * 1024));
	SELECT count(cache_put('small' || i, 'v')) FROM generate_series(1, 10) i;
	SELECT cache_put('large 2', repeat('0123456789abcdef', 256 * 1024));
	SELECT cache_put('large 3', repeat('fedcba9876543210', 256 * 1024));
	COMMIT;
	SELECT cache_get('large') IS NULL, cache_get('large 3') = repeat('fedcba9876543210', 256 * 1024)}),
	"\n10\n\n\nt|t", 'a quarter of the memory in a transaction');
is_sound($node, 'large transactions');

$node->stop;
done_testing();
