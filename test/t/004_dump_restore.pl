# Namespaces, their options and grants, and what the workers work by, survive
# pg_dump, pg_dumpall, pg_restore and pg_upgrade; ids are not used again.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Paths in pg_upgrade's command lines must be short enough for its sockets.
my $old = new_server('old');
my $dir = PostgreSQL::Test::Utils::tempdir;

$old->safe_psql('postgres', 'CREATE ROLE owner; CREATE ROLE reader; CREATE ROLE writer LOGIN; CREATE DATABASE source');
$old->safe_psql('source', q{
CREATE SCHEMA cache;
CREATE EXTENSION pg_cache SCHEMA cache;
GRANT ALL ON SCHEMA cache TO owner, reader, writer;
SET search_path = cache;

SELECT cache_alter_namespace('default', default_ttl => '1 hour', ttl_jitter => 0.25, priority => -3);
SELECT cache_revoke('default', 'public', 'write');
SELECT cache_grant('default', 'writer', 'write');

SET ROLE owner;
SELECT cache_create_namespace('dropped before');
SELECT cache_drop_namespace('dropped before');
SELECT cache_create_namespace('second', default_ttl => '90 min', max_ttl => '1 day 2 hours',
  ttl_jitter => 0.1, sliding => true, min_bytes => 0, max_bytes => 1000000, max_entries => 1000,
  priority => 7, compression => 'lz4', compression_threshold => 512, transactional => false);
SELECT cache_revoke('second', 'public', 'read');
SELECT cache_grant('second', 'reader', 'read');
SELECT cache_grant('second', 'writer', 'read');
SELECT cache_grant('second', 'writer', 'write');
SELECT cache_create_namespace('Ünïcode "name"');
SELECT cache_grant('Ünïcode "name"', 'public', 'read');
SELECT cache_create_namespace('dropped after');
SELECT cache_drop_namespace('dropped after');
RESET ROLE;

SELECT cache_put('k', 'v'), cache_put('k', 'v', namespace => 'second');
SELECT cache_watch_file('/nonexistent/pg_cache/f', '{a,"b c"}'), cache_watch_file('/nonexistent/pg_cache/f', '{a}', 'second');
GRANT pg_read_server_files TO writer;
SET ROLE writer;
SELECT cache_watch_file('/nonexistent/pg_cache/writer', '{a}', 'second');
RESET ROLE;
SELECT cache_create_warmer('all', 'SELECT ''a "key"'', 1', '*/5 * * * 1-5', ttl => '1 hour', tags => '{a,"b c"}', time_zone => 'Europe/Berlin');
SET ROLE writer;
SELECT cache_create_warmer('writer''s', 'SELECT key, key FROM (VALUES (1), (2)) AS t (key)', '@start', namespace => 'second', enabled => false);
RESET ROLE;
SELECT cache_create_alert_rule('mine', 'misses_per_second', '>', 1e6, namespace => 'second', for_at_least => '1 min', level => 'critical');
SELECT cache_alter_alert_rule('hit_ratio_low', threshold => 0.125);
});

# The tables that are dumped besides that of namespaces, and how many rows.
my %tables = (cache_alert_rules => 2, cache_file_watches => 3, cache_warmers => 2);
my %rows;
for my $table (sort keys %tables)
{
	$rows{$table} = $old->safe_psql('source', "SELECT * FROM cache.$table ORDER BY 1, 2");
	is(scalar(split(/\n/, $rows{$table})), $tables{$table}, "$table: rows to be kept");
}

my $all = 'SELECT * FROM cache.cache_namespaces ORDER BY id';
my $expected = $old->safe_psql('source', $all);
is(scalar(split(/\n/, $expected)), 3, 'three rows to be kept');

# Whether what is in the catalog is what counts, in a database without entries.
sub works
{
	my ($node, $database, $how) = @_;

	is($node->safe_psql($database, $all), $expected, "$how: same namespaces");
	is($node->safe_psql($database, "SELECT * FROM cache.$_ ORDER BY 1, 2"), $rows{$_}, "$how: same $_")
	  for sort keys %tables;
	is($node->safe_psql($database, q{
		SET search_path = cache;
		SELECT cache_get('k') IS NULL, cache_get('k', 'second') IS NULL;
		SELECT cache_put('k', 'v'), cache_put('k', 'v', namespace => 'second');
		SELECT cache_expires_at('k') BETWEEN now() + '40 min' AND now() + '61 min',
		       cache_expires_at('k', 'second') BETWEEN now() + '80 min' AND now() + '91 min',
		       (cache_entry('k', 'second')).priority, (cache_entry('k')).priority}),
		"t|t\n|\nt|t|7|-3", "$how: options count, and the cache was empty");
	is($node->safe_psql($database, q{
		SET search_path = cache;
		SET ROLE reader; SELECT cache_get('k'), cache_get('k', 'second');
		RESET ROLE; SET ROLE writer;
		SELECT cache_get('k', 'second'), cache_put('k', 'w', namespace => 'second'), cache_put('k', 'w');
		RESET ROLE; SET ROLE owner;
		SELECT cache_alter_namespace('second', priority => 7)}), "v|v\nv||\n", "$how: grants count");
	for my $denied (q{SET ROLE reader; SELECT cache.cache_put('k', 'x', namespace => 'second')},
		q{SET ROLE reader; SELECT cache.cache_put('k', 'x')},
		q{SET ROLE writer; SELECT cache.cache_put('k', 'x', namespace => 'Ünïcode "name"')},
		q{SET ROLE reader; SELECT cache.cache_drop_namespace('second')})
	{
		like(query_error($node, $denied, $database), qr/42501/, "$how: and nothing else");
	}
	is($node->safe_psql($database, q{
		SET search_path = cache;
		SELECT cache_create_namespace('third');
		SELECT id > (SELECT max(id) + 1 FROM cache_namespaces WHERE name <> 'third')
		FROM cache_namespaces WHERE name = 'third';
		SELECT cache_drop_namespace('third')}), "\nt\n", "$how: ids are not used again");
	is($node->safe_psql($database, 'SELECT * FROM cache.cache_check()'), '', "$how: sound");
	return;
}

$old->safe_psql('source', 'SELECT cache.cache_clear()');
works($old, 'source', 'as created');

# ---- pg_dump

sub dump_and_restore
{
	my ($how, $dump, $restore) = @_;
	my $database = "copy of $how";

	$old->safe_psql('postgres', qq{CREATE DATABASE "$database"});
	$old->command_ok($dump, "$how: dumped");
	$old->command_ok([ @$restore, '-d', $old->connstr($database) ], "$how: restored");
	works($old, $database, $how);
	$old->safe_psql('postgres', qq{DROP DATABASE "$database"});
	return;
}

dump_and_restore('plain', [ 'pg_dump', '-f', "$dir/plain", 'source' ],
	[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain" ]);
dump_and_restore('custom', [ 'pg_dump', '-Fc', '-f', "$dir/custom", 'source' ],
	[ 'pg_restore', '--exit-on-error', "$dir/custom" ]);
dump_and_restore('single transaction', [ 'pg_dump', '-Fc', '-f', "$dir/single", 'source' ],
	[ 'pg_restore', '--single-transaction', "$dir/single" ]);
dump_and_restore('inserts', [ 'pg_dump', '--column-inserts', '-f', "$dir/inserts", 'source' ],
	[ 'psql', '-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/inserts" ]);

# By who owns the database and is no superuser.
$old->safe_psql('source', q{
CREATE ROLE dumper LOGIN;
ALTER DATABASE source OWNER TO dumper;
GRANT USAGE ON SCHEMA cache TO dumper});
dump_and_restore('its owner', [ 'pg_dump', '-U', 'dumper', '-f', "$dir/owner", 'source' ],
	[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/owner" ]);
$old->safe_psql('source', q{
ALTER DATABASE source OWNER TO CURRENT_USER;
REVOKE USAGE ON SCHEMA cache FROM dumper;
DROP ROLE dumper});

# Into a database where the cache is in use: the rows replace what was there.
$old->safe_psql('postgres', 'CREATE DATABASE used');
$old->safe_psql('used', q{
CREATE SCHEMA cache;
CREATE EXTENSION pg_cache SCHEMA cache;
SELECT cache.cache_put('k', 'v')});
$old->command_ok([ 'pg_restore', '--clean', '--if-exists', '-d', $old->connstr('used'), "$dir/custom" ],
	'restored over another extension');
works($old, 'used', 'over another');
$old->safe_psql('postgres', 'DROP DATABASE used');

# A default that nobody altered has no row.
is($old->safe_psql('postgres', 'SELECT count(*) FROM cache_namespaces'), 0, 'no row for default');

# ---- pg_upgrade, to the same version

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init(extra => [ '--no-locale', '--encoding=UTF8' ]);
$new->append_conf('postgresql.conf', q{
shared_preload_libraries = 'pg_cache'
pg_cache.memory = '16MB'
autovacuum = off
});
$old->stop;

my $bindir = $new->config_data('--bindir');
my @upgrade = ('pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bindir,
	'-B', $bindir, '-s', $new->host, '-p', $old->port, '-P', $new->port);
SKIP:
{
	skip 'no pg_upgrade', 1 unless -x "$bindir/pg_upgrade";
	chdir $dir;
	command_ok([ @upgrade, '--check' ], 'pg_upgrade --check');
	command_ok(\@upgrade, 'pg_upgrade');
	$new->start;
	works($new, 'source', 'pg_upgrade');
	is($new->safe_psql('postgres', 'SELECT cache_put(1::text, 2); SELECT cache_get(1::text)'), "\n2",
		'the other database works');

	# ---- pg_dumpall

	$new->command_ok([ 'pg_dumpall', '--clean', '--if-exists', '-f', "$dir/all" ], 'pg_dumpall');
	$new->safe_psql('postgres', 'DROP DATABASE source; DROP ROLE owner, reader, writer');
	$new->run_log([ 'psql', '-X', '-q', '-f', "$dir/all", '-d', $new->connstr('template1') ]);
	works($new, 'source', 'pg_dumpall');
	$new->stop;
}
done_testing();
