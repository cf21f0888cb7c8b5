# Transactions that were prepared before the server's start: what they changed is
# published in their place, and one that changed the cache keeps it empty.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs the test build' unless $ENV{PGCACHE_TEST};

my $node = new_server('watch_restart', 'max_prepared_transactions = 5', 'wal_level = replica',
	'max_wal_senders = 4', 'hot_standby = on');
install_test_functions($node);
$node->safe_psql('postgres', q{
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t VALUES (1, 1);
CREATE TABLE parted (id int) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE truncated (id int);
CREATE TABLE other (id int);
CREATE TABLE later (id int);
});
$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
install($node, 'elsewhere');
$node->safe_psql('elsewhere', slurp_file("$FindBin::RealBin/../test_functions.sql"));

sub value
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

my $stamps = q{
	SELECT pgcache_test_relation_stamp('t') > 0, pgcache_test_relation_stamp('parted') > 0,
	       pgcache_test_relation_stamp('part') > 0, pgcache_test_relation_kind('truncated'),
	       pgcache_test_relation_stamp('other')};
my $prepared = q{
	SELECT pgcache_test_relation_kind('t'), pgcache_test_relation_kind('parted'),
	       pgcache_test_relation_kind('part'), pgcache_test_relation_kind('truncated'),
	       pgcache_test_relation_stamp('other')};

# ---- changes of tables

value(q{
	BEGIN; UPDATE t SET v = 2; INSERT INTO part VALUES (1); TRUNCATE truncated;
	PREPARE TRANSACTION 'tables'});
for my $how ('fast', 'immediate')
{
	$node->stop($how);
	$node->start;
	is(value($stamps), 'f|f|f||0', "nothing is published after a restart ($how)");

	# A transaction of this server's time, running when the first one asks.
	my $writer = $node->background_psql('postgres', on_error_stop => 1);
	$writer->query_safe('BEGIN; INSERT INTO later VALUES (1)');
	value('INSERT INTO later VALUES (1)');
	is(value('SELECT pgcache_test_baseline_allows()'), 'f', 'a snapshot that may be older than the list');
	$writer->query_safe('COMMIT');
	$writer->quit;
	is(value('SELECT pgcache_test_baseline_allows()'), 't', 'allowed after that');
	is(value($prepared), 'xid|xid|xid|prepared|0', 'published in its place');
	is(value('SELECT pgcache_test_baseline_allows(); SELECT pgcache_test_baseline_allows()'), "t\nt",
		'and again');
	is(value('SELECT pgcache_test_baseline_allows()', 'elsewhere'), 't', 'allowed in another database');
}

# One that is older than its end.
my $old = $node->background_psql('postgres', on_error_stop => 1);
$node->restart;
$old->quit;
$old = $node->background_psql('postgres', on_error_stop => 1);
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
value(q{COMMIT PREPARED 'tables'});
is($old->query_safe('SELECT pgcache_test_baseline_allows()'), 'f',
	'not allowed: one ended between snapshot and list');
is(value('SELECT pgcache_test_baseline_allows()'), 't', 'a later snapshot is');
$old->query_safe('COMMIT');
is($old->query_safe('SELECT pgcache_test_baseline_allows()'), 't', 'so is the next');
$old->quit;

# Its end comes between the list, which another database made, and the question:
# what it had locked can't be known any more.
for my $end ('COMMIT', 'ROLLBACK')
{
	value(q{BEGIN; UPDATE t SET v = 5; PREPARE TRANSACTION 'tables'});
	$node->restart;
	is(value('SELECT pgcache_test_baseline_allows()', 'elsewhere'), 't', 'another database makes the list');
	$old = $node->background_psql('postgres', on_error_stop => 1);
	$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	value("$end PREPARED 'tables'");
	is($old->query_safe('SELECT pgcache_test_baseline_allows()'), 'f', "not allowed: $end after the list");
	is(value('SELECT pgcache_test_baseline_allows()'), 't', 'a later snapshot is');
	is($old->query_safe('SELECT pgcache_test_baseline_allows()'), 'f', 'the older one still not');
	$old->query_safe('COMMIT');
	$old->quit;
}

# ---- changes of the cache

for my $end ('COMMIT', 'ROLLBACK')
{
	value(q{BEGIN; INSERT INTO t VALUES (2); SELECT pgcache_test_baseline_mark(); PREPARE TRANSACTION 'cache 1'});
	value(q{BEGIN; INSERT INTO other VALUES (2); SELECT pgcache_test_baseline_mark(); PREPARE TRANSACTION 'cache 2'});
	is(value('SELECT pgcache_test_baseline_allows()'), 't', 'allowed before the restart');
	$node->restart;
	my $log = -s $node->logfile;
	is(value('SELECT pgcache_test_baseline_allows()'), 'f', 'not allowed after it');
	is(value('SELECT pgcache_test_baseline_allows()'), 'f', 'nor again');
	is(value('SELECT pgcache_test_baseline_allows()', 'elsewhere'), 't', 'but in another database');
	my $text = slurp_file($node->logfile, $log);
	my @found = $text =~ /(LOG:  prepared transaction "cache \d" changed the cache)/g;
	is(scalar(@found), 1, 'said once');
	like($text, qr/DETAIL:  Nothing is cached in database "postgres" until it is committed or rolled back\./,
		'with what follows');
	value("$end PREPARED 'cache 1'");
	is(value('SELECT pgcache_test_baseline_allows()'), 'f', 'one is left');
	value("$end PREPARED 'cache 2'");
	is(value('SELECT pgcache_test_baseline_allows()'), 't', "allowed after $end");
	value('DELETE FROM t WHERE id = 2');
}

# ---- promotion

$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('watch_promoted');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
value(q{BEGIN; UPDATE t SET v = 3; TRUNCATE truncated; PREPARE TRANSACTION 'tables'});
value(q{BEGIN; INSERT INTO other VALUES (2); SELECT pgcache_test_baseline_mark(); PREPARE TRANSACTION 'cache'});
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', 'SELECT pgcache_test_baseline_allows()'), 't', 'a standby allows');
$node->stop;
$standby->promote;
$node = $standby;
is(value('SELECT pgcache_test_baseline_allows()'), 'f', 'promoted, not allowed');
value(q{ROLLBACK PREPARED 'cache'});
is(value('SELECT pgcache_test_baseline_allows()'), 't', 'allowed');
is(value(q{SELECT pgcache_test_relation_kind('t'), pgcache_test_relation_kind('truncated')}),
	'xid|prepared', 'and the other published');
value(q{COMMIT PREPARED 'tables'});
is_sound($node, 'promoted');
$node->stop;
done_testing();
