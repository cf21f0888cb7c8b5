# Backends that are killed, terminated or cancelled in the midst of something,
# and what others can do while one is held there.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs the test build' unless $ENV{PGCACHE_TEST};

# Single statements put more than a transaction may have pending.
my $node = new_server('crash', 'restart_after_crash = on', 'log_min_messages = warning',
	'pg_cache.transactional = off');
install_test_functions($node);
$node->safe_psql('postgres', q{
CREATE PROCEDURE fill() LANGUAGE sql AS $$
  SELECT count(cache_put('fill' || i, repeat(chr(97 + i % 26), 3000)))
  FROM generate_series(1, 8000) i;
$$;
CREATE TABLE written (id int);
-- Fill values that are not what was put.
CREATE FUNCTION wrong() RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM generate_series(1, 8000) i, cache_get('fill' || i) value
  WHERE value <> repeat(chr(97 + i % 26), 3000);
$$;
});

# ---- a writer that is held hinders no reader
#
# The writer holds its partition's lock.  Reads of the same key, and of all
# others, which certainly include some of that partition, return meanwhile.

# A put that acts at once; one of a transaction without an id, which is stored
# after it has committed; and with one, before.
my %ways = (
	'at once' => sub { $_[0] },
	'without an id' => sub { "SET pg_cache.transactional = on; $_[0]" },
	'with an id' => sub { "SET pg_cache.transactional = on; BEGIN; INSERT INTO written VALUES (1); $_[0]; COMMIT" });

for my $point ('put-before-link', 'put-after-link')
{
	for my $way (sort keys %ways)
	{
		my $what = "$point, $way";
		$node->safe_psql('postgres', q{
			SELECT cache_clear();
			SELECT cache_put('held', 'old value', priority => 1);
			CALL fill()});
		my ($holder, $held) = hold_at($node, $point, $ways{$way}->(q{SELECT cache_put('held', 'new value')}));
		my $seen = "old value|t|infinity\nold value\nheld|9";

		# What is in its place is not committed yet, or is the new value.
		$seen = $way eq 'with an id' ? '|f|' : "new value|t|infinity\nnew value\nheld|9" if $point eq 'put-after-link';
		is($node->safe_psql('postgres', q{
			SELECT cache_get('held'), cache_exists('held'), cache_expires_at('held');
			SELECT value FROM cache_get_many('{held}');
			SELECT key, bytes FROM cache_entry('held')}), $seen, "$what: the key can be read");
		is($node->safe_psql('postgres', q{
			SELECT wrong();
			SELECT count(*) > 1000 FROM cache_get_many(ARRAY(SELECT 'fill' || i FROM generate_series(1, 8000) i));
			SELECT count(cache_get('missing' || i)) FROM generate_series(1, 100) i}),
			"0\nt\n0", "$what: all others, too");

		$holder->query_safe("SELECT pgcache_test_disarm('$point')");
		$held->query_until(qr/^done$/m, '');
		is($node->safe_psql('postgres', q{SELECT cache_get('held')}), 'new value', "$what: let go");
		$holder->quit;
		$held->quit;
		is_sound($node, "after $what");
	}
}

# A clear waits for no writer, and hits what is being put.
for my $way (sort keys %ways)
{
	my ($holder, $held) = hold_at($node, 'put-before-link', $ways{$way}->(q{SELECT cache_put('held', 'newer value')}));
	$node->safe_psql('postgres', 'SELECT cache_clear()');
	$holder->query_safe(q{SELECT pgcache_test_disarm('put-before-link')});
	$held->query_until(qr/^done$/m, '');
	is($node->safe_psql('postgres', q{SELECT cache_get('held') IS NULL, entries FROM cache_stats}), 't|0',
		"cleared in the midst of a put $way");
	$holder->quit;
	$held->quit;
	is_sound($node, "cleared in the midst of a put $way");
}

# ---- kill -9 at each of the places

# The large one has no room but what it takes from other partitions.
my %killed_at = (
	'put-before-link' => q{SELECT cache_put('held', 'new value')},
	'put-after-link' => q{SELECT cache_put('held', 'new value')},
	'put-before-steal' => q{SELECT cache_put('held', repeat('large', 600000))});

for my $point (sort keys %killed_at)
{
	for my $way (sort keys %ways)
	{
		my $what = "$point, $way";
		$node->safe_psql('postgres', q{
			TRUNCATE written;
			SELECT cache_put('held', 'old value', priority => 1);
			CALL fill();
			SELECT cache_put('held', 'old value')});
		my ($holder, $held, $pid) = hold_at($node, $point, $ways{$way}->($killed_at{$point}));
		my $log = -s $node->logfile;

		kill 'KILL', $pid;
		$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log);
		$node->poll_query_until('postgres', 'SELECT true') or die 'no restart';
		is($node->safe_psql('postgres', q{SELECT cache_get('held') IS NULL, entries FROM cache_stats}),
			't|0', "$what: the cache is empty after a crash");
		is($node->safe_psql('postgres', 'SELECT count(*) FROM written'), 0, "$what: it had not committed") if $way eq 'with an id';
		is($node->safe_psql('postgres', q{
			SELECT cache_put('held', 'after'); CALL fill();
			SELECT wrong(), entries > 1000 FROM cache_stats}), "\n0|t", "$what: and works");
		is_sound($node, "crash at $what");
		$holder->{run}->finish;
		$held->{run}->finish;
	}
}

# A client that is idle, but had used the cache.
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $log = -s $node->logfile;
	$session->query_safe(q{SELECT cache_put('k', 'v'), cache_get('k')});
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	kill 'KILL', $pid;
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log);
	$node->poll_query_until('postgres', 'SELECT true') or die 'no restart';
	$session->{run}->finish;
	is($node->safe_psql('postgres', q{SELECT cache_get('k') IS NULL}), 't', 'crash of an idle backend');
}

# ---- pg_terminate_backend and cancel

# While it has half a large value and holds no lock: it ends after the put, and
# leaves no half.
for my $end ('pg_cancel_backend', 'pg_terminate_backend')
{
	$node->safe_psql('postgres', q{SELECT cache_clear(); CALL fill()});
	my ($holder, $held, $pid) = hold_at($node, 'put-before-steal',
		q{DO $$ BEGIN PERFORM cache_put('held', repeat('large', 600000)); LOOP END LOOP; END $$});
	$node->safe_psql('postgres', "SELECT $end($pid)");
	$holder->query_safe(q{SELECT pgcache_test_disarm('put-before-steal')});
	$node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND state = 'active'");
	is($node->safe_psql('postgres', q{SELECT cache_get('held') = repeat('large', 600000)}), 't',
		"$end in a large put: it is put all the same");
	is($node->safe_psql('postgres', 'SELECT wrong()'), 0, 'others are whole');
	$holder->quit;
	if ($end eq 'pg_cancel_backend') { $held->quit } else { $held->{run}->finish }
	is_sound($node, $end);
}

# The same at commit, as the transaction has published and has half a large value:
# either all of it is undone or it is committed.
for my $end ('pg_cancel_backend', 'pg_terminate_backend')
{
	for my $way ('with an id', 'without an id')
	{
		my $what = "$end at the commit $way";
		$node->safe_psql('postgres', q{TRUNCATE written; SELECT cache_clear(); CALL fill()});
		my ($holder, $held, $pid) = hold_at($node, 'put-before-steal',
			$ways{$way}->(q{SELECT cache_put('held', repeat('large', 600000))}));
		$node->safe_psql('postgres', "SELECT $end($pid)");
		$holder->query_safe(q{SELECT pgcache_test_disarm('put-before-steal')});
		$node->poll_query_until('postgres',
			"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND (state = 'active' OR backend_xid IS NOT NULL)");
		is($node->safe_psql('postgres', q{
			SELECT coalesce(cache_get('held'), '') = CASE WHEN count(*) = 1 THEN repeat('large', 600000) ELSE '' END
			FROM written}), 't', "$what: what it wrote and what it put") if $way eq 'with an id';
		is($node->safe_psql('postgres', q{SELECT cache_get('held') = repeat('large', 600000)}), 't',
			"$what: it is put all the same") if $way eq 'without an id';
		is($node->safe_psql('postgres', 'SELECT wrong()'), 0, "$what: others are whole");
		$holder->quit;
		if ($end eq 'pg_cancel_backend') { $held->quit } else { $held->{run}->finish }
		is_sound($node, $what);
	}
}

# Anywhere: a statement is cancelled after so many milliseconds, and whatever
# it did, the cache is sound and its values whole.
my %statements = (
	'large put' => q{SELECT cache_put('large', repeat('large', 700000))
		FROM (SELECT generate_series(1, 1000000)) s},
	'put_many' => q{SELECT cache_put_many(
		ARRAY(SELECT 'fill' || i FROM generate_series(1, 8000) i),
		ARRAY(SELECT repeat(chr(97 + i % 26), 3000) FROM generate_series(1, 8000) i))
		FROM (SELECT generate_series(1, 1000000)) s},
	'get_many' => q{SELECT count(*) FROM (SELECT generate_series(1, 1000000) AS n) s, cache_get_many(
		ARRAY(SELECT 'fill' || i FROM generate_series(least(s.n, 1), 8000) i))});
for my $what (sort keys %statements)
{
	for my $set (map { "SET pg_cache.transactional = $_" } 'off', 'on')
	{
		my $script = join("\n", $set . ';', map { "SET statement_timeout = $_; $statements{$what};" } 1 .. 30);
		my ($rc, $out, $err) = $node->psql('postgres', $script, on_error_stop => 0);
		my $cancelled = () = $err =~ /canceling statement due to statement timeout/g;
		is($cancelled, 30, "cancelled: $what, $set");
		is($node->safe_psql('postgres', q{
			SELECT wrong(), coalesce(cache_get('large') = repeat('large', 700000), true)}), '0|t',
			"values are whole after: $what, $set");
		is_sound($node, "cancelled: $what, $set");
	}
}
for my $what (sort keys %statements)
{
	for my $set (map { "SET pg_cache.transactional = $_" } 'off', 'on')
	{
		for (1 .. 5)
		{
			my $session = $node->background_psql('postgres', on_error_stop => 0);
			my $pid = $session->query_safe("$set; SELECT pg_backend_pid()");
			$session->query_until(qr/^begun$/m, "\\echo begun\n$statements{$what};\n");
			$node->poll_query_until('postgres',
				"SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $pid AND state = 'active'");
			$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 180000)");
			$session->{run}->finish;
		}
		is($node->safe_psql('postgres', q{
			SELECT wrong(), coalesce(cache_get('large') = repeat('large', 700000), true)}), '0|t',
			"values are whole after pg_terminate_backend: $what, $set");
		is_sound($node, "terminated: $what, $set");
	}
}

# Cancelled while it waits, before anything was done.
{
	my $holder = $node->background_psql('postgres');
	$holder->query_safe(q{SELECT pgcache_test_arm('put-store'), cache_put('k', 'old')});
	my ($rc, $out, $err) = $node->psql('postgres',
		q{SET statement_timeout = 1; SELECT cache_put('k', 'new')});
	like($err, qr/statement timeout/, 'cancelled before the put');
	is($node->safe_psql('postgres', q{SELECT cache_get('k')}), 'old', 'the old value is there');
	$holder->quit;
}

# The same at the commit: what it wrote is undone, and the old value is there.
{
	$node->safe_psql('postgres', 'TRUNCATE written');
	my $holder = $node->background_psql('postgres');
	my $held = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $held->query_safe('SELECT pg_backend_pid()');
	$holder->query_safe(q{SELECT pgcache_test_arm('put-store')});
	$held->query_until(qr/^held$/m, "\\echo held\n" . $ways{'with an id'}->(q{SELECT cache_put('k', 'new')}) . ";\n\\echo done\n");
	$node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid")
	  or die 'not held';
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
	$held->query_until(qr/^done$/m, '');
	is($node->safe_psql('postgres', q{SELECT cache_get('k'), count(*) FROM written}), 'old|0', 'cancelled at the commit');
	is($held->query(q{SELECT cache_get('k')}), 'old', 'also for itself');
	$held->quit;
	$holder->quit;
}

# All memory can still be used: nothing was lost on the way.
is($node->safe_psql('postgres', q{
	SELECT cache_clear(); CALL fill(); CALL fill();
	SELECT memory_used > 0.9 * memory_limit, entries > 4000, wrong() FROM cache_stats}),
	"\nt|t|0", 'all memory is used');
is_sound($node, 'at the end');
$node->stop;
done_testing();
