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

for my $point ('put-before-link', 'put-after-link')
{
	$node->safe_psql('postgres', q{
		SELECT cache_clear();
		SELECT cache_put('held', 'old value', priority => 1);
		CALL fill()});
	my $expected = $point eq 'put-before-link' ? 'old value' : 'new value';
	my ($holder, $held) = hold_at($node, $point, q{SELECT cache_put('held', 'new value')});

	is($node->safe_psql('postgres', q{
		SELECT cache_get('held'), cache_exists('held'), cache_expires_at('held');
		SELECT value FROM cache_get_many('{held}');
		SELECT key, bytes FROM cache_entry('held')}),
		"$expected|t|infinity\n$expected\nheld|9", "$point: the key can be read");
	is($node->safe_psql('postgres', q{
		SELECT wrong();
		SELECT count(*) > 1000 FROM cache_get_many(ARRAY(SELECT 'fill' || i FROM generate_series(1, 8000) i));
		SELECT count(cache_get('missing' || i)) FROM generate_series(1, 100) i}),
		"0\nt\n0", "$point: all others, too");

	$holder->query_safe("SELECT pgcache_test_disarm('$point')");
	$held->query_until(qr/^done$/m, '');
	is($node->safe_psql('postgres', q{SELECT cache_get('held')}), 'new value', "$point: let go");
	$holder->quit;
	$held->quit;
	is_sound($node, "after $point");
}

# A clear waits for no writer, and hits what is being put.
{
	my ($holder, $held) = hold_at($node, 'put-before-link', q{SELECT cache_put('held', 'newer value')});
	$node->safe_psql('postgres', 'SELECT cache_clear()');
	$holder->query_safe(q{SELECT pgcache_test_disarm('put-before-link')});
	$held->query_until(qr/^done$/m, '');
	is($node->safe_psql('postgres', q{SELECT cache_get('held') IS NULL, entries FROM cache_stats}), 't|0',
		'cleared in the midst of a put');
	$holder->quit;
	$held->quit;
	is_sound($node, 'cleared in the midst of a put');
}

# ---- kill -9 at each of the places

# The large one has no room but what it takes from other partitions.
my %killed_at = (
	'put-before-link' => q{SELECT cache_put('held', 'new value')},
	'put-after-link' => q{SELECT cache_put('held', 'new value')},
	'put-before-steal' => q{SELECT cache_put('held', repeat('large', 600000))});

for my $point (sort keys %killed_at)
{
	$node->safe_psql('postgres', q{
		SELECT cache_put('held', 'old value', priority => 1);
		CALL fill();
		SELECT cache_put('held', 'old value')});
	my ($holder, $held, $pid) = hold_at($node, $point, $killed_at{$point});
	my $log = -s $node->logfile;

	kill 'KILL', $pid;
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log);
	$node->poll_query_until('postgres', 'SELECT true') or die 'no restart';
	is($node->safe_psql('postgres', q{SELECT cache_get('held') IS NULL, entries FROM cache_stats}),
		't|0', "$point: the cache is empty after a crash");
	is($node->safe_psql('postgres', q{
		SELECT cache_put('held', 'after'); CALL fill();
		SELECT wrong(), entries > 1000 FROM cache_stats}), "\n0|t", "$point: and works");
	is_sound($node, "crash at $point");
	$holder->{run}->finish;
	$held->{run}->finish;
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
	my $script = join("\n", map { "SET statement_timeout = $_; $statements{$what};" } 1 .. 30);
	my ($rc, $out, $err) = $node->psql('postgres', $script, on_error_stop => 0);
	my $cancelled = () = $err =~ /canceling statement due to statement timeout/g;
	is($cancelled, 30, "cancelled: $what");
	is($node->safe_psql('postgres', q{
		SELECT wrong(), coalesce(cache_get('large') = repeat('large', 700000), true)}), '0|t',
		"values are whole after: $what");
	is_sound($node, "cancelled: $what");
}
for my $what (sort keys %statements)
{
	for (1 .. 5)
	{
		my $session = $node->background_psql('postgres', on_error_stop => 0);
		my $pid = $session->query_safe('SELECT pg_backend_pid()');
		$session->query_until(qr/^begun$/m, "\\echo begun\n$statements{$what};\n");
		$node->poll_query_until('postgres',
			"SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $pid AND state = 'active'");
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 180000)");
		$session->{run}->finish;
	}
	is($node->safe_psql('postgres', q{
		SELECT wrong(), coalesce(cache_get('large') = repeat('large', 700000), true)}), '0|t',
		"values are whole after pg_terminate_backend: $what");
	is_sound($node, "terminated: $what");
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

# All memory can still be used: nothing was lost on the way.
is($node->safe_psql('postgres', q{
	SELECT cache_clear(); CALL fill(); CALL fill();
	SELECT memory_used > 0.9 * memory_limit, entries > 4000, wrong() FROM cache_stats}),
	"\nt|t|0", 'all memory is used');
is_sound($node, 'at the end');
$node->stop;
done_testing();
