# A worker's jobs: one that fails is logged and left alone for a while; what ends
# the worker or takes its tables away does so in the midst of one as well.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs the test build' unless $ENV{PGCACHE_TEST};

my $node = new_server('jobs');
install_test_functions($node);
$node->safe_psql('postgres', 'CREATE DATABASE one');
install($node, 'one');
wait_for_workers($node, 'one postgres', 'two workers');

my $worker = q{FROM pg_stat_activity WHERE backend_type = 'pg_cache worker' AND datname = 'one'};
my $holder = $node->background_psql('postgres', on_error_stop => 0);

# Brings the worker of one into a job, where it stays.
sub make_busy
{
	$holder->query_safe(q{SELECT pgcache_test_arm('worker-job')});
	ok($node->poll_query_until('postgres', qq{SELECT pgcache_test_advance_clock('1 h') IS NOT NULL AND wait_event = 'advisory' $worker}),
		'the worker is in a job');
	is($node->safe_psql('postgres', qq{SELECT state, xact_start IS NOT NULL, query <> '' $worker}), 'active|t|t', 'as pg_stat_activity shows');
	return;
}

sub let_go
{
	$holder->query_safe(q{SELECT pgcache_test_disarm('worker-job')});
	ok($node->poll_query_until('postgres', qq{SELECT state = 'idle' AND xact_start IS NULL $worker}), 'the worker is idle');
	return;
}

# Cancelled: logged, and not tried again before its time.
{
	my $pid = worker_of($node, 'one');
	my $log = -s $node->logfile;
	make_busy();
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
	$node->wait_for_log(qr/ERROR: .*canceling statement/, $log);
	let_go();
	like(slurp_file($node->logfile, $log), qr/CONTEXT: .*job "[^"]+" of the pg_cache worker in database "one"/,
		'a failed job is logged with its name');
	is(worker_of($node, 'one'), $pid, 'the worker goes on');
	make_busy();
	let_go();
	is(worker_of($node, 'one'), $pid, 'and tries the job again later');
}

# Ended.
{
	my $pid = worker_of($node, 'one');
	make_busy();
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	ok($node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)"), 'a busy worker ends');
	$holder->query_safe(q{SELECT pgcache_test_disarm('worker-job')});
	$node->safe_psql('postgres', q{SELECT pgcache_test_advance_clock('1 h')});
	wait_for_workers($node, 'one postgres', 'and comes back');
}

# What the database's owner sets for it does not count for the worker.
{
	$node->safe_psql('one', q{
		CREATE ROLE nobody_much;
		ALTER DATABASE one SET role = 'nobody_much';
		ALTER DATABASE one SET exit_on_error = on;
		ALTER DATABASE one SET default_transaction_read_only = on});
	my $pid = worker_of($node, 'one');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	ok($node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)"), 'the worker ends');
	$node->safe_psql('postgres', q{SELECT pgcache_test_advance_clock('1 h')});
	wait_for_workers($node, 'one postgres', 'and comes back to a database with settings');
	my ($log, $misses) = (-s $node->logfile, q{SELECT coalesce(sum(misses), 0) FROM cache_stats_history});
	$node->safe_psql('one', q{
		SET role = none; SET default_transaction_read_only = off;
		ALTER DATABASE one RESET ALL; SELECT cache_get('none')});
	my $before = $node->safe_psql('one', $misses);
	$node->safe_psql('postgres', q{SELECT pgcache_test_advance_clock('1 h')});
	ok($node->poll_query_until('one', $misses, $before + 1), 'its jobs write');
	unlike(slurp_file($node->logfile, $log), qr/permission denied|read-only transaction/, 'and are refused nothing');
}

# A job that waits for a lock gives up before the other session would look for a
# deadlock, and is tried again.
{
	my $log = -s $node->logfile;
	my $locker = $node->background_psql('one', on_error_stop => 0);
	my $pid = worker_of($node, 'one');
	my $waits = qq{SELECT count(*) FROM pg_locks WHERE pid = $pid AND NOT granted};

	$locker->query_safe('BEGIN; LOCK TABLE cache_key_hours');
	ok($node->poll_query_until('postgres', "SELECT pgcache_test_advance_clock('1 h') IS NOT NULL AND ($waits) = 1"), 'a job waits for a lock');
	ok($node->poll_query_until('postgres', "SELECT ($waits) = 0"), 'and gives up');
	$locker->query_safe('DROP EXTENSION pg_cache');
	$locker->query_safe('ROLLBACK');
	$locker->quit;
	unlike(slurp_file($node->logfile, $log), qr/ERROR/, 'which is no error yet');
	is(worker_of($node, 'one'), $pid, 'the worker goes on');
}

# The extension is dropped, or dropped and created.
make_busy();
$node->safe_psql('one', 'DROP EXTENSION pg_cache; CREATE EXTENSION pg_cache');
let_go();
wait_for_workers($node, 'one postgres', 'created anew while a job ran');
make_busy();
$node->safe_psql('one', 'DROP EXTENSION pg_cache');
$holder->query_safe(q{SELECT pgcache_test_disarm('worker-job')});
wait_for_workers($node, 'postgres', 'dropped while a job ran');
install($node, 'one');
wait_for_workers($node, 'one postgres', 'and created');

# The server stops at once.
make_busy();
$holder->quit;
$node->stop('fast');
$node->start;
wait_for_workers($node, 'one postgres', 'stopped while a job ran');
is_sound($node, 'jobs', 'one');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal/, 'nothing broke');
done_testing();
