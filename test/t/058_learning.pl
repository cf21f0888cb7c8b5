# Learning: the worker closes hours of the clock, whatever happens to it, to the
# server, or to the standby's.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs the test build' unless $ENV{PGCACHE_TEST};

my $node = new_server('main', 'pg_cache.tracked_keys = 8', 'wal_level = replica', 'max_wal_senders = 4');
install_test_functions($node);

# The clock of the cache is set so many hours and ten minutes after this one.
my $first_hour = $node->safe_psql('postgres', q{SELECT date_trunc('hour', now())});
sub set_hour
{
	my ($hour, $server) = @_;
	($server // $node)->safe_psql('postgres', "SELECT pgcache_test_set_clock(
		timestamptz '$first_hour' + interval '$hour:10' - now())");
	return;
}

# A session of its own, so that nothing is left to sampling.
sub ask
{
	my ($key, $times, %options) = @_;
	my $namespace = $options{namespace} // 'default';
	($options{server} // $node)->safe_psql($options{database} // 'postgres',
		"SELECT cache_get('$key', '$namespace') FROM generate_series(1, $times)");
	return;
}

sub learned
{
	my ($keys, $what, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $query = "SELECT coalesce(string_agg(key || '=' || weight, ' ' ORDER BY key, weight), '') FROM cache_key_hours";
	my $server = $options{server} // $node;
	ok($server->poll_query_until($options{database} // 'postgres', $query, $keys), $what)
	  or diag($server->safe_psql($options{database} // 'postgres', $query));
	return;
}

sub restart_worker
{
	my $pid = worker_of($node, 'postgres');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	$node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_cache worker' AND datname = 'postgres' AND pid <> $pid")
	  or die 'no new worker';
	return;
}

# Each database's worker closes its own hours.
$node->safe_psql('postgres', 'CREATE DATABASE other');
install($node, 'other');
wait_for_workers($node, 'other postgres', 'workers');
set_hour(1);
ask('a', 3);
ask('o', 2, database => 'other');
set_hour(2);
learned('a=3', 'an hour is closed');
learned('o=2', 'in the other database too', database => 'other');
is($node->safe_psql('postgres', 'SELECT predicted, asked FROM cache_prediction_accuracy'), '0|0', 'it was not foretold');
is($node->safe_psql('postgres', q{SELECT key, rank FROM cache_predict('default')}), 'a|1', 'the next one is');

# The worker is gone while the hour ends, or most of it.
ask('a', 1);
ask('b', 1);
restart_worker();
set_hour(3);
learned('a=1 a=3 b=1', 'a worker that was restarted meanwhile');
is($node->safe_psql('postgres', 'SELECT predicted, asked, share, coverage FROM cache_prediction_accuracy ORDER BY hour DESC LIMIT 1'),
	'1|1|1|0.5', 'how well it was foretold');

# One that was asleep in the hours between.
ask('c', 2);
set_hour(9);
learned('a=1 a=3 b=1 c=2', 'late');
ask('d', 1);
set_hour(10);
learned('a=1 a=3 b=1 c=2 d=1', 'and then the present one');

# The hour that is open when the server ends is lost, and nothing else.
ask('lost', 5);
$node->restart;
wait_for_workers($node, 'other postgres', 'restarted');
set_hour(12);
ask('e', 1);
set_hour(13);
learned('a=1 a=3 b=1 c=2 d=1 e=1', 'after a restart');
ask('lost', 5);
$node->stop('immediate');
$node->start;
wait_for_workers($node, 'other postgres', 'restarted after a crash');
set_hour(15);
ask('f', 1);
set_hour(16);
learned('a=1 a=3 b=1 c=2 d=1 e=1 f=1', 'after a crash');
is($node->safe_psql('postgres', q{SELECT count(*) FROM cache_predict('default', now() + '16:00')}), '6', 'all are predicted');

# A commit that fails loses nothing: the hour is learned later.
$node->safe_psql('postgres', q{
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused at commit'; END $$;
	CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON cache_key_hours
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()});
my $log = -s $node->logfile;
ask('g', 1);
set_hour(17);
$node->wait_for_log(qr/refused at commit/, $log);
$node->safe_psql('postgres', 'DROP TRIGGER refuse ON cache_key_hours; DROP FUNCTION refuse()');
learned('a=1 a=3 b=1 c=2 d=1 e=1 f=1 g=1', 'after an error at commit');

# No more rows than keys are tracked, for an hour of the week.
$node->safe_psql('postgres', q{SELECT cache_create_namespace('bounded')});
for my $week (1, 2)
{
	set_hour($week * 168);
	ask("week$week.$_", 2 * $_ - 1, namespace => 'bounded') for 1 .. 8;
	set_hour($week * 168 + 1);
	ok($node->poll_query_until('postgres', "SELECT count(*) = $week FROM cache_prediction_accuracy WHERE namespace = 'bounded'"),
		"week $week");
	is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT hour_of_week) FROM cache_key_hours WHERE namespace_id > 1'),
		'8|1', 'bounded');
}
is($node->safe_psql('postgres', q{SELECT string_agg(key, ' ' ORDER BY key) FROM cache_key_hours WHERE namespace_id > 1}),
	'week1.6 week1.7 week1.8 week2.4 week2.5 week2.6 week2.7 week2.8', 'the heaviest stay, with half the weight a week later');

# Nothing asked for: no row, no transaction id.
set_hour(400);
$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM cache_key_hour_sketches('infinity'))");
my $xmax = $node->safe_psql('postgres', 'SELECT pg_snapshot_xmax(pg_current_snapshot())');
set_hour(401);
$node->safe_psql('postgres', 'SELECT cache_learn()');
restart_worker();
is($node->safe_psql('postgres', 'SELECT pg_snapshot_xmax(pg_current_snapshot())'), $xmax, 'no transaction id for nothing');

# A standby records, and writes nothing; predicts by what the primary has learned;
# and goes on when it is promoted.
$node->safe_psql('postgres', 'DELETE FROM cache_key_hours');
ask('p', 4);
set_hour(402);
learned('p=4', 'on the primary');
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
wait_for_workers($standby, 'other postgres', 'standby');
set_hour(402, $standby);
ask('s', 2, server => $standby);
my $errors = -s $standby->logfile;
set_hour(403, $standby);
set_hour(404, $standby);
is($standby->safe_psql('postgres', q{SELECT key FROM cache_predict('default', cache_clock_timestamp())}), 'p', 'predicts');
like(query_error($standby, 'SELECT cache_learn()'), qr/25006/, 'cannot learn');
is($standby->safe_psql('postgres', q{SELECT keys FROM cache_key_hour_sketches('infinity')}), '{s}', 'has recorded');
unlike(slurp_file($standby->logfile, $errors), qr{of the pg_cache worker}, 'its worker does not try');
is_sound($standby, 'on a standby');
$standby->promote;
set_hour(404, $standby);
learned('p=4 s=2', 'promoted: the hour it recorded', server => $standby);
ask('t', 1, server => $standby);
set_hour(405, $standby);
learned('p=4 s=2 t=1', 'and the next', server => $standby);
is_sound($standby, 'after promotion');

# Without tracked keys there is nothing to learn.
$node->append_conf('postgresql.conf', 'pg_cache.tracked_keys = 0');
$node->restart;
wait_for_workers($node, 'other postgres', 'restarted without tracked keys');
set_hour(406);
ask('p', 4);
set_hour(407);
is($node->safe_psql('postgres', 'SELECT cache_learn(); SELECT key, weight FROM cache_key_hours'), "\np|4", 'nothing tracked');
is_sound($node, 'at the end');

$standby->stop;
$node->stop;
done_testing();
