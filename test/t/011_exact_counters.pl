# Counters are exact: no event of any session is lost, neither while others read
# and reset them nor when sessions end, with more namespaces than a backend
# counts for at a time.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('counters', 'log_statement = none', 'max_connections = 40');
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

my $sums = q{
	SELECT sum(hits), sum(misses), sum(puts), min(hits) = max(hits) FROM cache_stats_namespaces
	WHERE namespace LIKE 'ns%';
	SELECT hits, misses, puts FROM cache_stats};
is($node->safe_psql('postgres', $sums), "$goal|$goal|$goal|t\n$goal|$goal|$goal", 'all is counted');

$node->safe_psql('postgres', 'SELECT cache_reset_stats()');
is($node->safe_psql('postgres', $sums), "0|0|0|t\n0|0|0", 'reset');
$node->command_ok([ 'pgbench', '-n', '-C', '-c', 16, '-j', 2, '-t', 10, '-f', "$dir/use", 'postgres' ],
	'with a connection for each transaction');
$goal = 16 * 10 * 5 * 20;
is($node->safe_psql('postgres', $sums), "$goal|$goal|$goal|t\n$goal|$goal|$goal", 'all is counted');

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
