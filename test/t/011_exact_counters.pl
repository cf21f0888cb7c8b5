# Counters are exact: no event of any session is lost, neither while others read
# and reset them nor when sessions end, with more namespaces than a backend
# counts for at a time; nor by the workers, which record them meanwhile.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('counters', 'log_statement = none', 'max_connections = 40',
	"pg_cache.worker_interval = '10ms'", "pg_cache.stats_interval = '1s'");
my $dir = PostgreSQL::Test::Utils::tempdir;

$node->safe_psql('postgres', q{
SELECT count(cache_create_namespace('ns' || i)) FROM generate_series(1, 20) i;
SELECT count(cache_put('k', 'v', namespace => 'ns' || i)) FROM generate_series(1, 20) i;
SELECT cache_reset_stats();
CREATE FUNCTION use(namespace text, n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. n LOOP
    PERFORM cache_get('k', namespace), cache_get('no ' || i, namespace), cache_put('k', 'v', namespace => namespace);
  END LOOP;
END $$;
-- Reads until all is done; what is counted never goes back.
CREATE PROCEDURE watch(goal bigint) LANGUAGE plpgsql AS $$
DECLARE
  before bigint := 0;
  now bigint := 0;
  number bigint;
BEGIN
  WHILE now < goal LOOP
    SELECT sum(hits), count(*) INTO now, number FROM cache_stats_namespaces WHERE namespace LIKE 'ns%';
    IF now < before OR now > goal OR number <> 20 THEN
      RAISE EXCEPTION 'hits in % namespaces went from % to %', number, before, now;
    END IF;
    before := now;
    COMMIT;
  END LOOP;
END $$;
});

# 16 clients, each 200 times through 20 namespaces, 5 gets each; -C: every
# transaction has a connection of its own.
my $script = join('', map { "SELECT use('ns$_', 5);\n" } 1 .. 20);
append_to_file("$dir/use", $script);

my $watcher = $node->background_psql('postgres', on_error_stop => 0);
my $goal = 16 * 200 * 5 * 20;
$watcher->query_until(qr/^watching$/m, "\\echo watching\nCALL watch($goal);\n\\echo seen\n");
$node->command_ok([ 'pgbench', '-n', '-c', 16, '-j', 2, '-t', 200, '-M', 'prepared', '-f', "$dir/use",
		'postgres' ], '16 sessions');
$watcher->query_until(qr/^seen$/m, '');
is($watcher->{stderr} =~ /ERROR/ ? $watcher->{stderr} : '', '', 'statistics only grow');
$watcher->quit;

# A put of a key that other sessions put all the time may be dropped as stale.
my $sums = q{
	SELECT sum(hits), sum(misses), sum(puts + stale_puts), min(hits) = max(hits) FROM cache_stats_namespaces
	WHERE namespace LIKE 'ns%';
	SELECT hits, misses, puts + stale_puts FROM cache_stats};
is($node->safe_psql('postgres', $sums), "$goal|$goal|$goal|t\n$goal|$goal|$goal", 'all is counted');
is($node->safe_psql('postgres', q{
	SELECT cache_record_stats() >= 0;
	SELECT sum(hits), sum(misses) FROM cache_stats_history WHERE namespace LIKE 'ns%';
	SELECT sum(hits), sum(misses) FROM cache_stats_history_total}), "t\n$goal|$goal\n$goal|$goal",
	'and all is in the history');

$node->safe_psql('postgres', 'SELECT cache_reset_stats()');
is($node->safe_psql('postgres', $sums), "0|0|0|t\n0|0|0", 'reset');
$node->command_ok([ 'pgbench', '-n', '-C', '-c', 16, '-j', 2, '-t', 10, '-f', "$dir/use", 'postgres' ],
	'with a connection for each transaction');
$goal = 16 * 10 * 5 * 20;
is($node->safe_psql('postgres', $sums), "$goal|$goal|$goal|t\n$goal|$goal|$goal", 'all is counted');

# What the sessions themselves saw, of entries that come and go: each notes its hits
# and misses.  Puts are timed one and all.
$node->safe_psql('postgres', q{
SELECT cache_create_namespace('few', max_entries => 50);
CREATE TABLE seen (client int, hits bigint, misses bigint, puts bigint);
CREATE FUNCTION see(client int, n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  hits bigint := 0;
  puts bigint := 0;
  key text;
BEGIN
  FOR i IN 1 .. n LOOP
    key := 'key ' || (random() * 99)::int;
    IF cache_get(key, 'few') IS NOT NULL THEN
      hits := hits + 1;
    ELSIF i % 2 = 0 THEN
      PERFORM cache_put(key, 'v', namespace => 'few');
      puts := puts + 1;
    END IF;
  END LOOP;
  INSERT INTO seen VALUES (client, hits, n - hits, puts);
END $$;
SELECT cache_reset_stats()});
append_to_file("$dir/see", "SELECT see(:client_id, 500);\n");
$node->command_ok([ 'pgbench', '-n', '-c', 16, '-j', 2, '-t', 40, '-f', "$dir/see", 'postgres' ],
	'16 sessions that count themselves');
is($node->safe_psql('postgres', q{
	SELECT count(DISTINCT client), sum(s.hits + s.misses), sum(s.hits) > 0 AND sum(s.misses) > 0,
	       sum(s.hits) = max(v.hits), sum(s.misses) = max(v.misses),
	       sum(s.puts) = max(v.puts) + max(v.stale_puts), sum(s.puts) = max(l.calls)
	FROM seen s, cache_stats_namespaces v, cache_latency l
	WHERE v.namespace = 'few' AND l.operation = 'put'}), '16|320000|t|t|t|t|t',
	'the sums of what the sessions saw are what the views say');
# Samples weigh as much as there were gets, but for the distance to the next one.
is($node->safe_psql('postgres', q{
	SELECT calls BETWEEN 320000 * 0.8 AND 320000 * 1.2 FROM cache_latency WHERE operation = 'get';
	SELECT sum(requests) BETWEEN 320000 * 0.8 AND 320000 * 1.2, count(*), max(error) FROM cache_hot_keys
	WHERE namespace = 'few'}), "t\nt|100|0", 'and samples say nearly the same');
$node->safe_psql('postgres', q{SELECT cache_drop_namespace('few'); SELECT cache_reset_stats()});

# Changes count when they take effect; puts that later ones of the transaction
# supersede count as well, deletes that find nothing don't.
append_to_file("$dir/change", q{
BEGIN;
SELECT cache_put('a' || :client_id, 'v', tags => ARRAY['t' || :client_id]), cache_put('b' || :client_id, 'v');
SELECT cache_put('a' || :client_id, 'w', tags => ARRAY['t' || :client_id]);
COMMIT;
BEGIN;
SELECT cache_put('b' || :client_id, 'undone'), cache_delete('a' || :client_id);
ROLLBACK;
BEGIN;
SELECT cache_delete('b' || :client_id), cache_delete('none' || :client_id);
SAVEPOINT s;
SELECT cache_put('c' || :client_id, 'undone'), cache_invalidate_tags(ARRAY['t' || :client_id]);
ROLLBACK TO s;
SELECT cache_put('d' || :client_id, 'v'), cache_delete('a' || :client_id);
COMMIT;
SELECT cache_delete('d' || :client_id);
});
$node->safe_psql('postgres', 'SELECT cache_reset_stats()');
$node->command_ok([ 'pgbench', '-n', '-c', 16, '-j', 2, '-t', 50, '-f', "$dir/change", 'postgres' ],
	'changes of 16 sessions');
# A put may be dropped as stale: keys of two sessions may share a stamp, or one
# that is changed often may not know what ended while another session stood still.
# Then the delete that follows finds nothing.
is($node->safe_psql('postgres', q{
	SELECT puts + stale_puts, deletes + stale_puts, stale_puts < puts / 2, invalidations, dropped_puts, hits, misses FROM cache_stats;
	SELECT puts + stale_puts, deletes + stale_puts FROM cache_stats_namespaces WHERE namespace = 'default'}),
	join("\n", join('|', 16 * 50 * 4, 16 * 50 * 3, 't', 0, 0, 0, 0), join('|', 16 * 50 * 4, 16 * 50 * 3)),
	'all changes are counted, those undone are not');

# A namespace takes its counters with it, and a new one of the name has none.
is($node->safe_psql('postgres', q{
	SELECT cache_drop_namespace('ns1');
	SELECT cache_create_namespace('ns1');
	SELECT cache_get('k', 'ns1') IS NULL;
	SELECT hits, misses, puts FROM cache_stats_namespaces WHERE namespace = 'ns1'}), "\n\nt\n0|1|0",
	'a new namespace begins at zero');
is_sound($node, 'at the end');
$node->stop;
done_testing();
