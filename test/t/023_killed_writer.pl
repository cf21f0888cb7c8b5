# A writer that ends in the midst of its commit, by an error, by FATAL or by a
# signal, leaves nothing behind that others wait for or are misled by.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs the test build' unless $ENV{PGCACHE_TEST};

my $node = new_server('killed', 'restart_after_crash = on', 'max_prepared_transactions = 2',
	'wal_level = replica', 'max_wal_senders = 1');
install_test_functions($node);
$node->safe_psql('postgres', q{
	CREATE TABLE t (id int PRIMARY KEY, v text);
	INSERT INTO t VALUES (1, 'old')});

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Does a statement in a session that is held at an armed debug point.
sub hold
{
	my ($point, $statement) = @_;
	my $holder = $node->background_psql('postgres', on_error_stop => 0);
	my $held = $node->background_psql('postgres', on_error_stop => 0);

	$holder->query_safe("SELECT pgcache_test_arm('$point')");
	my $pid = $held->query_safe('SELECT pg_backend_pid()');
	$held->query_until(qr/^held$/m, "\\echo held\n$statement;\n\\echo done\n");
	$node->poll_query_until('postgres',
		"SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid") or die "not held at $point";
	return ($holder, $held, $pid);
}

# What is there is old or nothing, the table says old; then everything works.
sub is_usable
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is(sql(q{SELECT v, coalesce(cache_get('k'), 'old'), coalesce(cache_get('tagged'), 'old') FROM t}),
		'old|old|old', "nothing of the writer: $what");
	is(sql(q{SET lock_timeout = '60s';
		SELECT cache_put('k', v, tags => '{x}', depends_on => '{t}'), cache_put('tagged', v, tags => '{tag}') FROM t;
		SELECT cache_get('k'), cache_get('tagged')}), "|\nold|old", "filled again: $what");
	is(sql(q{SET lock_timeout = '60s'; SELECT cache_incr('n') > 0, cache_add('new', 'v'), cache_replace('new', 'w'), cache_delete('new')}),
		't|t|t|t', "nobody is waited for: $what");
	is(sql(q{SELECT cache_invalidate_tags('{tag}'); SELECT cache_get('tagged') IS NULL, cache_get('k')}),
		"\nt|old", "tags: $what");
	is(sql(q{UPDATE t SET v = 'old'; SELECT cache_get('k') IS NULL; SELECT cache_put('k', v, depends_on => '{t}') FROM t;
		SELECT cache_get('k'); SELECT cache_delete('k'); SELECT cache_get('k') IS NULL}), "t\n\nold\nt\nt", "the table: $what");
	is(sql(q{SELECT cache_put('k', 'a'); SELECT cache_invalidate_pattern('k'), cache_get('k') IS NULL; SELECT cache_put('k', 'b');
		SELECT cache_clear(); SELECT cache_get('k') IS NULL}), "\n1|t\n\n\nt", "patterns and clear: $what");
	is_sound($node, $what);
	return;
}

my %changes = (
	put => q{SELECT cache_put('k', 'new', depends_on => '{t}'), cache_put('tagged', 'new'), cache_put('n', 100::bigint)},
	delete => q{SELECT cache_delete('k'), cache_delete('tagged'), cache_delete('n')},
	invalidate => q{SELECT cache_invalidate_tags('{tag}'), cache_invalidate_pattern('%'), cache_clear()});

my $fill = q{UPDATE t SET v = 'old'; SELECT cache_clear();
	SELECT cache_put('k', 'old', depends_on => '{t}'), cache_put('tagged', 'old', tags => '{tag}'), cache_put('n', 1::bigint)};

# ---- ended within its commit

for my $point ('txn-before-publish', 'txn-after-publish', 'txn-after-install')
{
	for my $does (sort keys %changes)
	{
		for my $end ('pg_cancel_backend', 'pg_terminate_backend')
		{
			my $what = "$end at $point, $does";
			sql($fill);
			my ($holder, $held, $pid) = hold($point,
				"BEGIN; UPDATE t SET v = 'new'; $changes{$does}; COMMIT");
			is(sql(q{SELECT coalesce(cache_get('k'), 'old'), coalesce(cache_get('tagged'), 'old') FROM t}), 'old|old',
				"before $what");
			sql("SELECT $end($pid)");
			$node->poll_query_until('postgres',
				"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Lock'");
			if ($end eq 'pg_cancel_backend')
			{
				$held->query_until(qr/^done$/m, '');
				is($held->query(q{SELECT v, coalesce(cache_get('k'), 'old') FROM t}), 'old|old', "itself after $what");
			}
			else
			{
				$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid");
				$held->{run}->finish;
			}
			$holder->quit;
			is_usable($what);
			$held->quit if $end eq 'pg_cancel_backend';
		}
	}
}

# While it is preparing.
for my $end ('pg_cancel_backend', 'pg_terminate_backend')
{
	sql($fill);
	my ($holder, $held, $pid) = hold('txn-after-publish',
		"BEGIN; UPDATE t SET v = 'new'; $changes{put}; PREPARE TRANSACTION 'p'");
	sql("SELECT $end($pid)");
	$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Lock'");
	$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_locks WHERE pid = $pid AND locktype = 'transactionid'");
	is(sql('SELECT count(*) FROM pg_prepared_xacts'), 0, "not prepared: $end");
	$holder->quit;
	is_usable("$end while it prepares");
	if ($end eq 'pg_cancel_backend') { $held->quit } else { $held->{run}->finish }
}

# What waits for it goes on when it is gone.
{
	sql($fill);
	my ($holder, $held, $pid) = hold('txn-after-install', "BEGIN; UPDATE t SET v = 'new'; $changes{put}; COMMIT");
	my $waiter = $node->background_psql('postgres', on_error_stop => 0);
	my $waits = $waiter->query_safe('SELECT pg_backend_pid()');
	$waiter->query_until(qr/^waits$/m, "\\echo waits\nSELECT cache_incr('n');\n\\echo done\n");
	$node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $waits")
	  or die 'does not wait';
	sql("SELECT pg_terminate_backend($pid)");
	$waiter->query_until(qr/^done$/m, '');
	my $n = sql(q{SELECT cache_get('n')});
	ok($n == 1 || $n == 2, "cache_incr goes on from what was there, not from what was undone: $n");
	$held->{run}->finish;
	$waiter->quit;
	$holder->quit;
	is_usable('a writer that was waited for');
}

# ---- outside of its commit

for my $does (sort keys %changes)
{
	for my $how ('terminated', 'disconnected', 'timed out')
	{
		sql($fill);
		my $session = $node->background_psql('postgres', on_error_stop => 0);
		my $pid = $session->query_safe('SELECT pg_backend_pid()');
		$session->query_safe(q{SET idle_in_transaction_session_timeout = '1ms'}) if $how eq 'timed out';
		$session->query_until(qr/^began$/m, "BEGIN; UPDATE t SET v = 'new'; $changes{$does};\n\\echo began\n");
		sql("SELECT pg_terminate_backend($pid)") if $how eq 'terminated';
		if ($how eq 'disconnected') { $session->quit } else
		{
			$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid");
			$session->{run}->finish;
		}
		$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid");
		is(sql(q{SELECT v, cache_get('k'), cache_get('tagged'), cache_get('n') FROM t}), 'old|old|old|1',
			"nothing happened: $how, $does");
		is_usable("$how, $does");
	}
}

# ---- terminated while it waits for a standby: it is committed all the same

for my $does (sort keys %changes)
{
	sql($fill);
	$node->append_conf('postgresql.conf', "synchronous_standby_names = 'nobody'");
	$node->reload;
	$node->poll_query_until('postgres', q{SELECT current_setting('synchronous_standby_names') = 'nobody'});
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->query_until(qr/^commits$/m, "\\echo commits\nBEGIN; UPDATE t SET v = 'new'; $changes{$does}; COMMIT;\n");
	$node->poll_query_until('postgres', "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $pid")
	  or die 'does not wait';
	my $before = q{SET synchronous_commit = local; SELECT v, coalesce(cache_get('k'), v) = v FROM t};
	is(sql($before), 'old|t', "waits for a standby: $does");
	sql("SELECT pg_terminate_backend($pid)");
	$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid");
	$session->{run}->finish;
	is(sql($before), 'new|t', "committed: $does");
	is(sql(q{SELECT coalesce(cache_get('tagged'), 'miss'), coalesce(cache_get('n'), 'miss')}),
		$does eq 'put' ? 'new|100' : 'miss|miss', "its changes are there: $does");
	$node->adjust_conf('postgresql.conf', 'synchronous_standby_names', undef);
	$node->reload;
	$node->poll_query_until('postgres', q{SELECT current_setting('synchronous_standby_names') = ''});
	sql(q{UPDATE t SET v = 'old'; SELECT cache_clear()});
	is_usable("terminated while it waits for a standby, $does");
}

# ---- kill -9

for my $point ('txn-before-publish', 'txn-after-publish', 'txn-after-install')
{
	sql($fill);
	my ($holder, $held, $pid) = hold($point, "BEGIN; UPDATE t SET v = 'new'; $changes{put}; COMMIT");
	my $log = -s $node->logfile;
	kill 'KILL', $pid;
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log);
	$node->poll_query_until('postgres', 'SELECT true') or die 'no restart';
	is(sql(q{SELECT v, cache_get('k') IS NULL, cache_get('n') IS NULL FROM t}), 'old|t|t', "empty after kill -9 at $point");
	is_usable("kill -9 at $point");
	$holder->{run}->finish;
	$held->{run}->finish;
}

$node->stop;
done_testing();
