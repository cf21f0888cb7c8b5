# The launcher and the workers: found, started, ended, and started again.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs the test build' unless $ENV{PGCACHE_TEST};

my $node = new_server('workers', 'max_prepared_transactions = 4',
	'max_worker_processes = 16', 'restart_after_crash = on');
install_test_functions($node);

# Back-offs are by the cache's clock.
sub pass_time
{
	my ($by) = @_;
	$node->safe_psql('postgres', "SELECT pgcache_test_advance_clock('$by')");
	return;
}

wait_for_workers($node, 'postgres', 'CREATE EXTENSION starts a worker');
like(processes($node, 'launcher'), qr/^\d+$/, 'there is one launcher');
my $first = worker_of($node, 'postgres');

# The extension in three databases; those without it have none.
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(one two without);
install($node, $_) for qw(one two);
wait_for_workers($node, 'one postgres two', 'each database with the extension has a worker');
is(worker_of($node, 'postgres'), $first, 'the first is still the same');

# Rest: no transaction, no snapshot, no transaction id.
{
	my $idle = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg\_cache %'
		AND (xact_start IS NOT NULL OR backend_xid IS NOT NULL OR backend_xmin IS NOT NULL)};
	ok($node->poll_query_until('postgres', $idle, '0'), 'nobody is in a transaction');
	my $xid = $node->safe_psql('postgres', 'SELECT pg_snapshot_xmax(pg_current_snapshot())');
	$node->safe_psql('postgres', q{SELECT pgcache_test_advance_clock('0')}) for 1 .. 20;
	$node->safe_psql('without', 'SELECT 1');
	ok($node->poll_query_until('postgres', $idle, '0'), 'nor after they were woken');
	is($node->safe_psql('postgres', 'SELECT pg_snapshot_xmax(pg_current_snapshot())'), $xid,
		'they used no transaction id');
}

# Dropped and created.
$node->safe_psql('one', 'DROP EXTENSION pg_cache CASCADE');
wait_for_workers($node, 'postgres two', 'DROP EXTENSION ends the worker');
$node->safe_psql('one', 'BEGIN; CREATE EXTENSION pg_cache; ROLLBACK');
$node->safe_psql('one', 'BEGIN; SAVEPOINT s; CREATE EXTENSION pg_cache; ROLLBACK TO s; COMMIT');
install($node, 'one');
wait_for_workers($node, 'one postgres two', 'CREATE EXTENSION starts another');
$node->safe_psql('one', 'BEGIN; DROP EXTENSION pg_cache; ROLLBACK');
$node->safe_psql('one', 'DROP EXTENSION pg_cache; CREATE EXTENSION pg_cache') for 1 .. 5;
wait_for_workers($node, 'one postgres two', 'after several times in a row');

$node->safe_psql('without', q{BEGIN; CREATE EXTENSION pg_cache; PREPARE TRANSACTION 'p'});
is(worker_of($node, 'without'), '', 'a prepared CREATE EXTENSION starts nothing');
$node->safe_psql('without', q{COMMIT PREPARED 'p'});
wait_for_workers($node, 'one postgres two without', 'but when it is committed');
$node->safe_psql('without', q{BEGIN; DROP EXTENSION pg_cache; PREPARE TRANSACTION 'p'});
$node->safe_psql('without', q{COMMIT PREPARED 'p'});
wait_for_workers($node, 'one postgres two', 'and a prepared DROP EXTENSION ends it');

# SIGTERM: the worker comes back after a pause, the launcher takes over the others.
{
	my ($pid, $other) = (worker_of($node, 'one'), worker_of($node, 'two'));
	is($node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)"), 't', 'terminate a worker');
	ok($node->poll_query_until('postgres', qq{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)}), 'it ends');
	pass_time('2 s');
	wait_for_workers($node, 'one postgres two', 'a terminated worker comes back');

	my $launcher = processes($node, 'launcher');
	is($node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)"), 't', 'terminate the launcher');
	ok($node->poll_query_until('postgres',
		qq{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_cache launcher' AND pid <> $launcher}),
		'a terminated launcher comes back');
	is(worker_of($node, 'two'), $other, 'and leaves alone who runs');

	$node->safe_psql('postgres', "SELECT pg_terminate_backend($other)");
	ok($node->poll_query_until('postgres', qq{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $other)}), 'a worker that it took over ends');
	pass_time('2 s');
	wait_for_workers($node, 'one postgres two', 'and is started again');
}

# SIGINT, as pg_cancel_backend sends it, does nothing to who is idle.
{
	my $pids = join ',', processes($node, 'worker'), processes($node, 'launcher');
	$node->safe_psql('postgres', "SELECT pg_cancel_backend(p) FROM unnest('{$pids}'::int[]) p");
	pass_time('1 s');
	is(join(',', processes($node, 'worker'), processes($node, 'launcher')), $pids, 'nobody minds a cancel');
}

# A database made from one with the extension has its own.
$node->safe_psql('postgres', 'CREATE DATABASE three TEMPLATE two');
wait_for_workers($node, 'one postgres three two', 'a copied database has a worker');

# A restart finds them all.
$node->restart;
wait_for_workers($node, 'one postgres three two', 'a restart finds them all');

# SIGKILL: the server starts anew, and all comes back; more and more slowly.
for my $type ('worker', 'launcher', 'worker')
{
	my $pid = (split /,/, processes($node, $type))[0];
	kill 'KILL', $pid;
	$node->poll_query_until('postgres', qq{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)});
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_cache launcher'});
	pass_time('10 s');
	wait_for_workers($node, 'one postgres three two', "after the crash of a $type");
}

# Reload: both read the interval anew.
{
	$node->append_conf('postgresql.conf', "pg_cache.worker_interval = '10ms'");
	$node->reload;
	$node->safe_psql('two', q{SELECT cache_put('short', 'v', ttl => '1 s')});
	pass_time('2 s');
	is($node->safe_psql('two', q{SELECT cache_get('short') IS NULL}), 't', 'an entry expires');
	ok($node->poll_query_until('two', q{SELECT sum(entries) = 0 FROM cache_stats}),
		'and is swept away with a short interval');
	$node->append_conf('postgresql.conf', "pg_cache.worker_interval = '23h'");
	$node->reload;
}

is_sound($node, 'workers');
$node->stop;

# An upgrade wants to be alone in all databases.
{
	my @ctl = ('pg_ctl', '--pgdata' => $node->data_dir, '--wait');
	my $seen = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg\_cache %'};

	system_or_bail(@ctl, '--log' => $node->logfile, '--options' => '-b', 'start');
	is($node->safe_psql('postgres', $seen), '0', 'nothing is started in binary upgrade mode');
	system_or_bail(@ctl, 'stop');
	$node->start;
	wait_for_workers($node, 'one postgres three two', 'and after that they are there');
	$node->stop;
}
done_testing();
