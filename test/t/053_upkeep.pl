# What the launcher does to the store: it expires, evicts ahead of need, and gives
# memory back; and what misses are found to be.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs the test build' unless $ENV{PGCACHE_TEST};

my $mib = 1024 * 1024;
my $node = new_server('upkeep', "pg_cache.worker_interval = '20ms'");
install_test_functions($node);

sub set
{
	my (@conf) = @_;
	$node->append_conf('postgresql.conf', join("\n", @conf));
	$node->reload;
	return;
}

sub value
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

# Something expires and is swept: so a whole round has passed meanwhile.
sub wait_for_round
{
	my $expired = q{SELECT expirations FROM cache_stats_namespaces WHERE namespace = 'default'};
	my $before = value($expired);
	$node->safe_psql('postgres', q{
		SELECT cache_put('marker', 'v', ttl => '1 s');
		SELECT pgcache_test_advance_clock('2 s')});
	$node->poll_query_until('postgres', "SELECT ($expired) > $before")
	  or die 'no round of the upkeep';
	return;
}

# Ends the launcher; another one is started a second later.
sub end_launcher
{
	value(q{SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE backend_type = 'pg_cache launcher'}) eq 't'
	  or die 'the launcher did not end';
	return;
}

# Expired entries go without anybody asking for them.
$node->safe_psql('postgres', q{
	SELECT cache_create_namespace('ttl');
	SELECT count(cache_put('k' || i, 'v', namespace => 'ttl', ttl => CASE WHEN i <= 600 THEN '1 min' ELSE '1 h' END::interval))
	FROM generate_series(1, 1000) i});
wait_for_round();
is(value(q{SELECT entries, expirations FROM cache_stats_namespaces WHERE namespace = 'ttl'}), '1000|0', 'nothing goes too early');
$node->safe_psql('postgres', q{SELECT pgcache_test_advance_clock('2 min')});
ok($node->poll_query_until('postgres', q{SELECT entries = 400 AND expirations = 600 AND evictions = 0
	FROM cache_stats_namespaces WHERE namespace = 'ttl'}), 'what has expired is swept away');
my $misses = value(q{SELECT cache_reset_stats(); SELECT count(cache_get('k' || i, 'ttl')) FROM generate_series(1, 600) i;
	SELECT expired_misses BETWEEN 300 AND 1200, ghost_hits FROM cache_stats_namespaces WHERE namespace = 'ttl'});
is($misses, "\n0\nt|0", 'a miss of an expired entry is known as one');
$node->safe_psql('postgres', q{SELECT cache_drop_namespace('ttl')});

# Nothing is evicted ahead while there is free memory, then a little.
my $background = q{SELECT evictions_background FROM cache_stats_namespaces WHERE namespace = 'default'};
$node->safe_psql('postgres', q{SELECT cache_reset_stats()});
my $session = $node->background_psql('postgres');
$session->query_safe('SET pg_cache.transactional = off');
$session->query_safe(q{SELECT count(cache_put('k' || i, repeat('v', 1000))) FROM generate_series(1, 7000) i});
wait_for_round();
is(value($background), 0, 'nothing is evicted ahead while there is free memory');
$session->query_safe(q{SELECT count(cache_put('k' || i, repeat('v', 1000))) FROM generate_series(1, 45000) i});
ok($node->poll_query_until('postgres', qq{SELECT ($background) > 50}), 'then a little is, without a put');
wait_for_round();
my $ahead = value($background);
wait_for_round();
is(value($background), $ahead, 'and no more than that');
is(value(q{SELECT evictions > evictions_background, dropped_puts FROM cache_stats}), 't|0', 'all evictions together are more');

# Misses of what was lately evicted.
is(value(q{SELECT cache_reset_stats();
	SELECT count(*) FROM cache_get_many((SELECT array_agg('k' || i) FROM generate_series(1, 3000) i));
	SELECT ghost_hits, misses FROM cache_stats}), "\n0\n0|3000", 'what is gone for long is no ghost hit');
is(value(q{SELECT cache_reset_stats();
	SELECT count(*) FROM cache_get_many((SELECT array_agg('k' || i) FROM generate_series(27000, 29000) i));
	SELECT ghost_hits BETWEEN 1000 AND 4000, misses FROM cache_stats}), "\n0\nt|2001", 'what was there of late is');

# A lower limit is kept to without a put; what is free goes to the system.
{
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	my $resident = qq{(regexp_match(pg_read_file('/proc/$pid/smaps'), '/dev/zero[^\\n]*\\n(?:[^\\n]*\\n){0,6}?Rss: +(\\d+) kB'))[1]::int};
	my $before = value("SELECT $resident");
	set(q{pg_cache.memory_limit = '4MB'});
	ok($node->poll_query_until('postgres', "SELECT memory_used <= 4 * $mib AND memory_limit = 4 * $mib FROM cache_stats"),
		'a lower limit is kept to without a put');
	cmp_ok(value('SELECT entries FROM cache_stats'), '>', 2000, 'the rest stays');
	SKIP:
	{
		skip 'what a process maps is not to be seen', 1 unless $before =~ /^\d+$/ && $before > 14000;
		ok($node->poll_query_until('postgres', qq{
			SELECT $resident < $before - 10000 FROM pgcache_test_advance_clock('6 s')}),
			'free memory goes to the operating system');
	}
	is_sound($node, 'a lower limit');
	set(q{pg_cache.memory_limit = -1});
	ok($node->poll_query_until('postgres', "SELECT memory_limit = 16 * $mib FROM cache_stats"), 'the limit is raised again');
	$session->query_safe(q{SELECT count(cache_put('k' || i, repeat('v', 1000))) FROM generate_series(1, 30000) i});
	cmp_ok(value('SELECT memory_used FROM cache_stats'), '>', 15 * $mib, 'and the memory is used again');
	is_sound($node, 'a higher limit');
}

# Memory follows use: what is asked for keeps its place beside a scan.
{
	my $round = sub {
		$session->query_safe(q{
			DO $$
			DECLARE
				k text;
			BEGIN
				FOR i IN 1 .. 4000 LOOP
					k := 'k' || floor(power(random(), 3) * 30000)::int;
					IF cache_get(k, 'hot') IS NULL THEN
						PERFORM cache_put(k, repeat('v', 300), namespace => 'hot');
					END IF;
					PERFORM cache_put('s' || nextval('scanned'), repeat('v', 300), namespace => 'scan');
				END LOOP;
			END $$});
		$node->safe_psql('postgres', q{SELECT pgcache_test_advance_clock('6 s')});
		wait_for_round();
	};
	my $share = q{SELECT round((SELECT memory_used FROM cache_stats_namespaces WHERE namespace = 'hot') * 100.0 /
		sum(memory_used)) FROM cache_stats_namespaces WHERE namespace IN ('hot', 'scan')};

	set(q{pg_cache.memory_limit = '4MB'}, 'pg_cache.adaptive = off');
	$node->safe_psql('postgres', q{CREATE SEQUENCE scanned;
		SELECT cache_clear();
		SELECT cache_create_namespace(n) FROM unnest('{hot,scan}'::text[]) n});
	$session->query_safe('SELECT setseed(0.5)');
	$round->() for 1 .. 6;
	my $plain = value($share);
	set('pg_cache.adaptive = on');
	$round->() for 1 .. 14;
	my $adaptive = value($share);
	cmp_ok($adaptive, '>', $plain + 10, "with pg_cache.adaptive what is asked for has more memory: $adaptive %, not $plain %");
	is_sound($node, 'memory follows use');
	# By a launcher that knows nothing of it: it is some time before there is one.
	end_launcher();
	set('pg_cache.adaptive = off');
	$round->() for 1 .. 6;
	cmp_ok(value($share), '<', $adaptive - 5, 'and without it as much as its puts bring it');
	$node->safe_psql('postgres', q{SELECT cache_drop_namespace(n) FROM unnest('{hot,scan}'::text[]) n});
	set('pg_cache.memory_limit = -1', 'pg_cache.adaptive = on');
}

# While memory is short the limit goes down step by step, and later up again.
{
	my $directory = PostgreSQL::Test::Utils::tempdir();
	my $say = sub {
		my ($some, $full, $killed) = @_;
		append_to_file("$directory/new", "some avg10=$some avg60=0.00 avg300=0.00 total=1\n"
			  . "full avg10=$full avg60=0.00 avg300=0.00 total=1\n");
		rename("$directory/new", "$directory/memory.pressure");
		append_to_file("$directory/new", "low 0\nhigh 0\nmax 0\noom 0\noom_kill $killed\n");
		rename("$directory/new", "$directory/memory.events");
		return;
	};
	my $limit_is = sub {
		my ($what, $by) = @_;
		return $node->poll_query_until('postgres',
			"SELECT memory_limit $what FROM pgcache_test_advance_clock('$by'), LATERAL (SELECT * FROM cache_stats) s");
	};

	$say->('0.00', '0.00', 0);
	chmod 0755, $directory;
	$node->safe_psql('postgres', "SELECT pgcache_test_pressure('$directory')");
	set('pg_cache.memory_pressure = on');
	wait_for_round();
	is(value('SELECT memory_limit FROM cache_stats'), 16 * $mib, 'no pressure, no change');
	$say->('30.00', '5.00', 0);
	ok($limit_is->("< 14 * $mib", '3 s'), 'memory is short: the limit goes down');
	ok($limit_is->("= 4 * $mib", '3 s'), 'to a quarter');
	ok($node->poll_query_until('postgres', "SELECT memory_used <= 4 * $mib FROM cache_stats"), 'and so does the memory used');
	wait_for_round() for 1 .. 3;
	is(value('SELECT memory_limit FROM cache_stats'), 4 * $mib, 'but no further');
	is(value(q{SELECT cache_put('large', repeat('v', 2000000)); SELECT length(cache_get('large'))}), "\n2000000",
		'a large value is no error meanwhile');
	$say->('0.00', '0.00', 0);
	wait_for_round();
	is(value('SELECT memory_limit FROM cache_stats'), 4 * $mib, 'it is not raised at once');
	ok($limit_is->("> 5 * $mib", '61 s'), 'but after a while');
	$say->('0.00', '0.00', 1);
	ok($limit_is->("< 5 * $mib", '3 s'), 'a process that was killed is a shortage');
	ok($limit_is->("= 16 * $mib", '61 s'), 'in the end all is as it was');

	# A launcher that takes over while the limit is low.
	$say->('30.00', '5.00', 1);
	ok($limit_is->("= 4 * $mib", '3 s'), 'short again');
	$say->('0.00', '0.00', 1);
	end_launcher();
	wait_for_round();
	is(value('SELECT memory_limit FROM cache_stats'), 4 * $mib, 'a new launcher does not raise it at once either');
	ok($limit_is->("> 5 * $mib", '61 s'), 'but after a while');
	unlink("$directory/memory.pressure") or die "unlink: $!";
	ok($limit_is->("= 16 * $mib", '61 s'), 'nor does it stay low where nothing tells of pressure any more');

	$say->('30.00', '5.00', 1);
	ok($limit_is->("< 14 * $mib", '3 s'), 'and again');
	set('pg_cache.memory_pressure = off');
	ok($limit_is->("= 16 * $mib", '0 s'), 'switched off');

	my $log = slurp_file($node->logfile);
	my $lowered = () = $log =~ /LOG:  pg_cache lowers its memory because memory is short/g;
	my $raised = () = $log =~ /LOG:  pg_cache raises its memory because there is enough memory again/g;
	is("$lowered $raised", '4 3', 'the log has each change of direction');
}

is_sound($node, 'upkeep');
$session->quit;
$node->stop;
done_testing();
