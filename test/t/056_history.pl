# History and alerts, written by the worker: when they are due by the test clock,
# over restarts and crashes, on a standby, in a dump.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs the test build' unless $ENV{PGCACHE_TEST};

my $node = new_server('history', 'restart_after_crash = on', 'wal_level = replica',
	'max_wal_senders = 4');
install_test_functions($node);
wait_for_workers($node, 'postgres', 'there is a worker');

sub advance
{
	my ($by, $on) = @_;
	($on // $node)->safe_psql('postgres', "SELECT pgcache_test_advance_clock('$by')");
	return;
}

sub gets
{
	my ($n, $on) = @_;
	($on // $node)->safe_psql('postgres', "SELECT count(cache_get('none')) FROM generate_series(1, $n)");
	return;
}

sub recorded
{
	my ($n, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($node->poll_query_until('postgres', 'SELECT coalesce(sum(misses), 0) FROM cache_stats_history', $n), $what)
	  or diag($node->safe_psql('postgres', 'SELECT at, span, misses FROM cache_stats_history ORDER BY at'));
	return;
}

# What a listener is told, for which psql looks after each statement.
sub heard
{
	my ($listener, $what) = @_;
	my $heard = '';
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;
	$heard .= $listener->query_safe('SELECT 1') while $heard !~ $what && time < $until;
	return $heard;
}

# A row an interval.
gets(3);
advance('5 min');
recorded(3, 'the worker writes what was counted');
gets(4);
advance('5 min');
recorded(7, 'and what was since');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM cache_stats_history;
	SELECT count(*) FROM cache_stats_history_total;
	SELECT bool_and(span > '0') FROM cache_stats_history}), "2\n2\nt", 'a row each time');

# Nothing happens: nothing is written.
advance('5 min') for 1 .. 10;
gets(1);
advance('5 min');
recorded(8, 'after an idle time');
is($node->safe_psql('postgres', 'SELECT count(*) FROM cache_stats_history'), '3', 'one row');

# Off, and on again.
$node->safe_psql('postgres', q{ALTER SYSTEM SET pg_cache.stats_interval = 0});
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT current_setting('pg_cache.stats_interval') = '0'}), 'reloaded');
gets(2);
advance('1 hour');
$node->safe_psql('postgres', q{ALTER SYSTEM SET pg_cache.stats_interval = '1 min'});
$node->reload;
recorded(10, 'a shorter interval counts at once');
gets(1);
advance('1 min');
recorded(11, 'and from then on');
# The clock set back: as much is written as before.
advance('-1 hour');
gets(1);
advance('1 min');
recorded(12, 'the clock set back');
advance('1 hour');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET pg_cache.stats_interval});
$node->reload;

# What was in no row yet when the server stopped is in the first one after.
gets(5);
advance('5 min');
recorded(17, 'before the restart');
gets(5);
$node->restart;
wait_for_workers($node, 'postgres', 'the worker is back');
gets(6);
advance('10 min');
recorded(28, 'a restart neither loses nor repeats anything');

# A crash sets the counters back; what follows counts from zero.
my $worker = worker_of($node, 'postgres');
kill 'KILL', $worker;
ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_stat_activity
	WHERE backend_type = 'pg_cache worker' AND pid <> $worker"), 'back after a crash');
gets(2);
advance('10 min');
recorded(30, 'after a crash what was counted since');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM cache_stats_history WHERE least(hits, misses, puts, deletes, invalidations) < 0}),
	'0', 'nothing negative');

# Alerts: NOTIFY, and the log.
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN pg_cache_alerts');
my $log = -s $node->logfile;
$node->safe_psql('postgres', q{
	SELECT cache_create_alert_rule('many', 'entries', '>=', 3, 'default', '1 min', 'emergency')});
$node->safe_psql('postgres', q{SELECT cache_put('k' || i, 'v') FROM generate_series(1, 3) i});
advance('10 s');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM cache_pending_alerts}, '1'), 'an alert is waiting');
advance('50 s');
advance('10 s');
ok($node->poll_query_until('postgres', q{
	SELECT rule || ' ' || value FROM cache_alerts WHERE closed_at IS NULL}, 'many 3'), 'and opens');
my $heard = heard($listener, qr/payload/);
like($heard, qr/notification "pg_cache_alerts" with payload "(\{.*\})"/, 'NOTIFY');
$heard =~ /payload "(\{.*\})" received/;
is($node->safe_psql('postgres', qq{
	SELECT j ->> 'event', j ->> 'rule', j ->> 'namespace', j ->> 'level', j ->> 'value', j ->> 'threshold',
	       (j ->> 'opened_at')::timestamptz = opened_at
	FROM cache_alerts, CAST(\$j\$$1\$j\$ AS jsonb) AS j WHERE closed_at IS NULL}),
	'opened|many|default|emergency|3|3|t', 'what it says');
ok($node->log_contains(
	qr/WARNING:  pg_cache alert "many" opened \(emergency\): entries of namespace "default" is 3, threshold >= 3/, $log),
	'the log');
$node->safe_psql('postgres', q{SELECT cache_clear()});
advance('10 s');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM cache_alerts WHERE closed_at IS NULL}, '0'), 'it closes');
like(heard($listener, qr/payload/), qr/payload "\{.*"closed".*\}"/, 'NOTIFY');
ok($node->log_contains(qr/LOG:  pg_cache alert "many" closed \(emergency\)/, $log), 'the log');
$listener->quit;

# A new rule is looked at without anything being counted.
$node->safe_psql('postgres', q{
	SELECT cache_create_alert_rule('none', 'entries', '=', 0, level => 'info')});
ok($node->poll_query_until('postgres', q{SELECT rule FROM cache_alerts WHERE closed_at IS NULL}, 'none'),
	'a new rule counts at once');
ok($node->log_contains(qr/LOG:  pg_cache alert "none" opened \(info\): entries of database "postgres" is 0, threshold = 0/, $log),
	'the log of one on the database');
$node->safe_psql('postgres', q{SELECT cache_drop_alert_rule('none')});
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM cache_alerts WHERE closed_at IS NULL}, '0'),
	'so does its end');

# What other databases do, in a quiet one.  The last evaluation found nothing
# open, and all that was counted was written before.
$node->safe_psql('postgres', 'CREATE DATABASE other');
install($node, 'other');
sub quiet
{
	$node->safe_psql('postgres', q{SELECT cache_create_alert_rule('now', 'entries', '>=', 0, level => 'info')});
	ok($node->poll_query_until('postgres', q{SELECT rule FROM cache_alerts WHERE closed_at IS NULL}, 'now'),
		'an evaluation');
	$node->safe_psql('postgres', q{SELECT cache_drop_alert_rule('now')});
	ok($node->poll_query_until('postgres', q{SELECT count(*) FROM cache_alerts WHERE closed_at IS NULL}, '0'),
		'and another');
	return;
}
advance('1 hour');
$node->safe_psql('postgres', q{
	SELECT cache_create_alert_rule('slots', 'namespaces_used_ratio', '>', max(value), level => 'info'),
	       cache_create_alert_rule('memory', 'memory_used_ratio', '>', 0.5, level => 'info')
	FROM cache_metrics() WHERE metric = 'namespaces_used_ratio'});
quiet();
$node->safe_psql('other', q{SELECT cache_create_namespace('one more'); SELECT cache_put('k', 'v', namespace => 'one more')});
advance('10 s');
ok($node->poll_query_until('postgres', q{SELECT rule FROM cache_alerts WHERE closed_at IS NULL}, 'slots'),
	'another database takes a namespace');
$node->safe_psql('postgres', q{SELECT cache_drop_alert_rule('slots')});
quiet();
$node->safe_psql('other', q{SET pg_cache.compression = 'none'; SET pg_cache.transactional = off; SELECT count(cache_put('k' || i, repeat('v', 10000))) FROM generate_series(1, 1000) i});
advance('10 s');
ok($node->poll_query_until('postgres', q{SELECT rule FROM cache_alerts WHERE closed_at IS NULL}, 'memory'),
	'or memory');
$node->safe_psql('postgres', q{SELECT cache_drop_alert_rule('memory')});
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM cache_alerts WHERE closed_at IS NULL}, '0'), 'no more');
$node->safe_psql('other', 'DROP EXTENSION pg_cache');

# Too old.
advance('10 min');
ok($node->poll_query_until('postgres', q{
	SELECT max(at) > cache_clock_timestamp() - interval '5 min' FROM cache_stats_history}), 'all is written');
advance('31 days');
ok($node->poll_query_until('postgres', q{
	SELECT (SELECT count(*) FROM cache_stats_history) + (SELECT count(*) FROM cache_stats_history_total)}, '0'),
	'what is too old is deleted though nothing happens');

# A watched file that is changed before the worker knows of it counts at once.
{
	my $file = PostgreSQL::Test::Utils::tempdir . '/new';
	my $session = $node->background_psql('postgres');

	append_to_file($file, 'as it was');
	$session->query_safe("BEGIN; SELECT cache_watch_file('$file', '{new}')");
	$node->safe_psql('postgres', q{SELECT cache_put('new', 'v', tags => '{new}')});
	append_to_file($file, 'changed');
	$session->query_safe('COMMIT');
	ok($node->poll_query_until('postgres', q{SELECT NOT cache_exists('new')}), 'a file changed meanwhile');
	$session->quit;
}

# A standby writes nothing until it is promoted.
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');

# Its worker looks at watched files only.
my $watched = PostgreSQL::Test::Utils::tempdir . '/watched';
append_to_file($watched, 'as it was');
$node->safe_psql('postgres', qq{SELECT cache_watch_file('$watched', '{file}')});

# Returns when the worker has been through all of its jobs once after the call.
sub all_jobs
{
	for my $i (1 .. 2)
	{
		$standby->safe_psql('postgres', q{SELECT cache_put('of the file', 'v', tags => '{file}')});
		append_to_file($watched, "changed $i");
		advance('1 day', $standby);
		ok($standby->poll_query_until('postgres', q{SELECT NOT cache_exists('of the file')}), 'the worker looks');
	}
	return;
}
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
gets(5);
advance('5 min');
ok($node->poll_query_until('postgres', q{SELECT sum(misses) FROM cache_stats_history}, '5'), 'the primary goes on');
$node->wait_for_catchup($standby);
wait_for_workers($standby, 'postgres', 'a standby has a worker');
my $ahead = $node->safe_psql('postgres', 'SELECT cache_clock_timestamp() - clock_timestamp()');
$standby->safe_psql('postgres', "SELECT pgcache_test_set_clock('$ahead')");
$log = -s $standby->logfile;
gets(8, $standby);
all_jobs();
like(query_error($standby, 'SELECT cache_record_stats()'), qr/25006/, 'nor by hand');
like(query_error($standby, q{SELECT cache_create_alert_rule('x', 'hits', '>', 1)}), qr/25006/, 'nor rules');
is($standby->safe_psql('postgres', 'SELECT sum(misses) FROM cache_stats_history'), '5', 'a standby writes nothing');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM cache_trend('misses')}), '1', 'but reads');
$standby->promote;
gets(1, $standby);
advance('1 hour', $standby);
ok($standby->poll_query_until('postgres', q{SELECT sum(misses) > 5 FROM cache_stats_history}), 'when promoted it does');
is($standby->safe_psql('postgres', q{
	SELECT sum(misses) FROM cache_stats_history;
	SELECT sum(misses) FROM cache_stats_history_total;
	SELECT span > '2 days' FROM cache_stats_history ORDER BY at DESC LIMIT 1}),
	"14\n14\nt", 'all that it has counted itself, in the time in which it has');
unlike(slurp_file($standby->logfile, $log), qr/ERROR: .*\n.*job "(history|alerts)"/, 'and tried nothing before');
is_sound($standby, 'the promoted standby');
$standby->stop;

# A dump has the rules that were altered.
$node->safe_psql('postgres', q{
	SELECT cache_alter_alert_rule('hit_ratio_low', threshold => 0.25), cache_drop_alert_rule('stale_puts_high');
	CREATE DATABASE restored;
	CREATE ROLE reader LOGIN});
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-o', '/dev/null', $node->connstr('restored') ],
	'restored');
is($node->safe_psql('restored', q{
	SELECT name, threshold, enabled FROM cache_alert_rules ORDER BY name;
	SELECT count(*) FROM cache_effective_alert_rules WHERE built_in;
	SELECT count(*) FROM cache_alerts}),
	"hit_ratio_low|0.25|t\nmany|3|t\nstale_puts_high|0.25|f\n"
	  . $node->safe_psql('postgres', 'SELECT count(*) FROM cache_builtin_alert_rules') . "\n0",
	'the altered rules, and only these');

is_sound($node, 'at the end');
$node->stop;
done_testing();
