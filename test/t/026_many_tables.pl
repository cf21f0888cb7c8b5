# DDL on more tables than a transaction can publish one by one is published for the
# whole database: what reads in the moment in which it is visible, and its messages
# are not yet sent, is not stored.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs the test build' unless $ENV{PGCACHE_TEST};

my $node = new_server('many_tables', 'max_locks_per_transaction = 256');
install_test_functions($node);
$node->safe_psql('postgres', q{
	CREATE TABLE p (i int) PARTITION BY RANGE (i);
	CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
	CREATE TABLE p2 (i int CHECK (i >= 10 AND i < 20));
	INSERT INTO p VALUES (1);
	INSERT INTO p2 VALUES (15)});
my $filler = $node->background_psql('postgres', on_error_stop => 0);
my $fill = q{SELECT cache_put('k', count(*), depends_on => '{p}') FROM p};
my $get = q{SELECT cache_get_as('k', 0::bigint) IS NULL OR cache_get_as('k', 0::bigint) = count(*) FROM p};
my $attach = 'ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20)';

# Few tables, and more than 1024.
for my $number (0, 1, 1100)
{
	$filler->query_safe($fill);
	is($filler->query_safe(q{SELECT cache_get('k'), count(*) FROM p}), '1|1', "filled before $number tables");
	my ($holder, $held) = hold_at($node, 'watch-visible', qq{
		BEGIN;
		DO \$\$ BEGIN FOR i IN 1 .. $number LOOP EXECUTE format('CREATE TABLE new_%s ()', i); END LOOP; END \$\$;
		$attach;
		COMMIT});
	$filler->query_safe($fill);
	$holder->query_safe(q{SELECT pgcache_test_disarm('watch-visible')});
	$held->query_until(qr/^done$/m, '');
	$_->quit for $holder, $held;
	is($node->safe_psql('postgres', $get), 't', "nothing old after $number tables");
	is($filler->query_safe($get), 't', 'nor for who filled');
	is($filler->query_safe(q{SELECT cache_put('k', count(*), depends_on => '{p}') FROM p; SELECT cache_get('k')}), "\n2", 'filled again');
	$node->safe_psql('postgres', qq{
		ALTER TABLE p DETACH PARTITION p2;
		DO \$\$ BEGIN FOR i IN 1 .. $number LOOP EXECUTE format('DROP TABLE new_%s', i); END LOOP; END \$\$});
	is($node->safe_psql('postgres', q{SELECT cache_get('k') IS NULL}), 't', 'gone after DETACH and DROP');
}
is_sound($node, 'at the end');
$filler->quit;
$node->stop;
done_testing();
