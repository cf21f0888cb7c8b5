# Workers where there is hardly room for them, and on a standby.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs the test build' unless $ENV{PGCACHE_TEST};

sub pass_time
{
	my ($node, $by) = @_;
	$node->safe_psql('postgres', "SELECT pgcache_test_advance_clock('$by')");
	return;
}

# ---- no free slot -----------------------------------------------------------

{
	# The launcher, and one more.
	my $node = new_server('no_slot', 'max_worker_processes = 2', 'max_logical_replication_workers = 0');
	install_test_functions($node);
	wait_for_workers($node, 'postgres', 'one worker has a slot');
	my $log = -s $node->logfile;
	$node->safe_psql('postgres', 'CREATE DATABASE one');
	install($node, 'one');
	$node->wait_for_log(qr/LOG: .*no free background worker slot for a pg_cache (probe|worker)/, $log);
	like(slurp_file($node->logfile, $log), qr/HINT: .*max_worker_processes/, 'the other has none, says the log');
	pass_time($node, '1 min') for 1 .. 3;
	my @lines = slurp_file($node->logfile, $log) =~ /no free background worker slot/g;
	is(scalar @lines, 1, 'once');
	is($node->safe_psql('one', q{SELECT cache_put('k', 'v'); SELECT cache_get('k')}), "\nv", 'the cache works without');

	$node->safe_psql('postgres', 'DROP EXTENSION pg_cache');
	wait_for_workers($node, '', 'the first gives its slot back');
	pass_time($node, '1 min');
	wait_for_workers($node, 'one', 'and the other takes it');
	$node->safe_psql('postgres', 'ALTER DATABASE one RENAME TO two');
	pass_time($node, '1 min');
	wait_for_workers($node, 'two', 'also after it stepped aside');
	is_sound($node, 'no slot', 'two');
	$node->stop;
}

# ---- a standby --------------------------------------------------------------

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', q{
shared_preload_libraries = 'pg_cache'
pg_cache.memory = '8MB'
pg_cache.worker_interval = '23h'
autovacuum = off
});
$primary->start;
install($primary);
install_test_functions($primary);
$primary->safe_psql('postgres', "CREATE DATABASE $_") for qw(one two);
install($primary, 'two');
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

sub replay
{
	$primary->wait_for_catchup($standby);
	return;
}
replay();
wait_for_workers($standby, 'postgres two', 'workers on a standby');

# It removes what has expired, although it can write nothing.
$standby->safe_psql('two', q{SELECT cache_put('short', 'v', ttl => '1 s')});
$standby->append_conf('postgresql.conf', "pg_cache.worker_interval = '10ms'");
$standby->reload;
pass_time($standby, '2 s');
ok($standby->poll_query_until('two', q{SELECT sum(entries) = 0 FROM cache_stats}), 'a standby sweeps');
$standby->append_conf('postgresql.conf', "pg_cache.worker_interval = '23h'");
$standby->reload;

# Nobody tells it of extensions that come, so it looks.
install($primary, 'one');
$primary->safe_psql('postgres', 'CREATE DATABASE three TEMPLATE two');
replay();
pass_time($standby, '6 min');
wait_for_workers($standby, 'one postgres three two', 'what the primary created');
$primary->safe_psql('one', 'DROP EXTENSION pg_cache');
replay();
pass_time($standby, '1 min');
wait_for_workers($standby, 'postgres three two', 'what the primary dropped');
$primary->safe_psql('postgres', 'DROP DATABASE three');
replay();
wait_for_workers($standby, 'postgres two', 'the worker does not hold up DROP DATABASE');
my $writes = q{FROM pg_stat_activity WHERE backend_type = 'pg_cache worker'
	AND coalesce(query, '') NOT IN ('', 'watched files')};
pass_time($standby, '3 h');
ok($standby->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pg_stat_activity
	WHERE backend_type = 'pg_cache worker' AND query = 'watched files' AND state = 'idle'}), 'its workers look at files');
is($standby->safe_psql('postgres', "SELECT count(*) $writes"), '0', 'and do nothing that writes');
install($primary, 'one');
replay();

# Promoted, it does all.
$standby->promote;
pass_time($standby, '1 s');
wait_for_workers($standby, 'one postgres two', 'after the promotion it looked once more');
ok($standby->poll_query_until('postgres', "SELECT count(*) = 3 AND pgcache_test_advance_clock('1 h') IS NOT NULL $writes"),
	'and the workers do what writes');
$standby->safe_psql('one', 'DROP EXTENSION pg_cache; CREATE EXTENSION pg_cache');
wait_for_workers($standby, 'one postgres two', 'it hears of extensions');
is_sound($standby, 'promoted');
is_sound($primary, 'primary');
$standby->stop;
$primary->stop;
for my $node ($primary, $standby)
{
	my $log = slurp_file($node->logfile);
	unlike($log, qr/PANIC|TRAP|was terminated by signal|cannot execute .* recovery/, 'nothing broke');
}
done_testing();
