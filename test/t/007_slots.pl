# Quotas at work and slots in use while others go on; what was counted is
# forgotten with its database.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# A slot is not free again while a transaction of before it was dropped is on, one
# of a worker's as well: there are few slots here, so workers do nothing.
my $node = new_server('slots', 'max_prepared_transactions = 4', 'pg_cache.max_namespaces = 8',
	"pg_cache.worker_interval = '1d'");

my $entries = q{SELECT entries FROM cache_stats_namespaces WHERE namespace = 'q'};

# ---- quotas

$node->safe_psql('postgres', q{
	SELECT cache_create_namespace('q');
	SELECT count(cache_put('k' || i, 'v', namespace => 'q')) FROM generate_series(1, 5000) i});
$node->safe_psql('postgres', q{SELECT cache_alter_namespace('q', max_entries => 3)});
is($node->safe_psql('postgres', $entries), 3, 'a quota acts at commit');
$node->safe_psql('postgres', q{
	SELECT cache_alter_namespace('q', reset => '{max_entries}'), cache_clear('q');
	SELECT count(cache_put('k' || i, 'v', namespace => 'q')) FROM generate_series(1, 10) i;
	BEGIN;
	SELECT cache_alter_namespace('q', max_entries => 1);
	DROP EXTENSION pg_cache;
	ROLLBACK;
	BEGIN;
	SELECT cache_alter_namespace('q', max_entries => 2);
	PREPARE TRANSACTION 'p'});
is($node->safe_psql('postgres', $entries), 10, 'not if rolled back or only prepared');
$node->safe_psql('postgres', "COMMIT PREPARED 'p'");
is($node->safe_psql('postgres', q{
	SELECT cache_exists('none', 'q');
	SELECT count(*) FROM generate_series(1, 10) i WHERE cache_exists('k' || i, 'q'); } . $entries), "f\n2\n2",
	'after COMMIT PREPARED at the next use');
$node->safe_psql('postgres', q{
	SELECT cache_alter_namespace('q', max_entries => 5);
	SELECT count(cache_put('k' || i, 'v', namespace => 'q')) FROM generate_series(1, 10) i;
	UPDATE cache_namespaces SET max_entries = 4 WHERE name = 'q'});
is($node->safe_psql('postgres', $entries), 4, 'written to the table');
$node->safe_psql('postgres', q{
	CREATE DATABASE other});
$node->safe_psql('other', q{
	CREATE EXTENSION pg_cache;
	BEGIN;
	SELECT cache_create_namespace('gone', max_entries => 1);
	DROP EXTENSION pg_cache;
	COMMIT});
is($node->safe_psql('other', 'SELECT count(*) FROM pg_extension WHERE extname = $$pg_cache$$'), 0,
	'changed and dropped with the extension');

# While entries of one namespace give way, which can be many, all others work,
# also those that need a slot; a second change waits.
SKIP:
{
	skip 'needs the test build', 4 unless $ENV{PGCACHE_TEST};
	install_test_functions($node);
	my ($holder, $held) = hold_at($node, 'quota-apply',
		q{SELECT cache_alter_namespace('q', max_entries => 1)});
	is($node->safe_psql('postgres', q{
		SET statement_timeout = '60 s';
		SELECT cache_put('k', 'v'), cache_get('none', 'q') IS NULL, cache_get('k')}), '|t|v',
		'look-ups do not wait for a quota to be applied');
	$holder->query_safe("SELECT pgcache_test_disarm('quota-apply')");
	$held->query_until(qr/^done$/m, '');
	is($node->safe_psql('postgres', $entries), 1, 'then it is');
	$holder->quit;
	$held->quit;
}

# ---- counts

my $sums = 'SELECT hits, misses, puts, evictions FROM cache_stats';
# Each its own statement: what a DO block puts counts as read when it began, which
# is before the namespace of its second turn was cleared.
my $use = q{
	SELECT cache_create_namespace('ns', max_entries => 1);
	SELECT cache_put('k', 'v', namespace => 'ns'), cache_put('l', 'v', namespace => 'ns'),
	       cache_get('l', 'ns'), cache_get('none', 'ns');
	SELECT cache_drop_namespace('ns');
} x 20;
$node->safe_psql('other', "CREATE EXTENSION pg_cache; $use");
$node->safe_psql('postgres', "SELECT cache_reset_stats(); $use");
is($node->safe_psql('other', $sums), '20|20|40|20', 'dropped namespaces are counted');
is($node->safe_psql('postgres', $sums), '20|20|40|20', 'for each database');
my $oid = $node->safe_psql('postgres', q{SELECT oid FROM pg_database WHERE datname = 'other'});
$node->safe_psql('postgres', 'DROP DATABASE other');
$node->safe_psql('postgres', "CREATE DATABASE other OID = $oid");
$node->safe_psql('other', 'CREATE EXTENSION pg_cache');
is($node->safe_psql('other', $sums), '0|0|0|0', 'and forgotten with it');
is($node->safe_psql('postgres', $sums), '20|20|40|20', 'and not with another');

is_sound($node, 'at the end');
$node->stop;
done_testing();
