# What logical replication applies is published on the subscriber: with and
# without streaming and two_phase.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs the test build' unless $ENV{PGCACHE_TEST};

my $publisher = PostgreSQL::Test::Cluster->new('watch_publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->append_conf('postgresql.conf', q{
max_prepared_transactions = 4
logical_decoding_work_mem = '64kB'
autovacuum = off
});
$publisher->start;
my $subscriber = new_server('watch_subscriber', 'max_prepared_transactions = 4', 'wal_level = logical');
install_test_functions($subscriber);

my $tables = q{
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE truncated (id int PRIMARY KEY);
CREATE TABLE quiet (id int PRIMARY KEY);
CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (100);
};
$publisher->safe_psql('postgres', $tables);
$publisher->safe_psql('postgres', 'CREATE PUBLICATION p FOR ALL TABLES');
$subscriber->safe_psql('postgres', $tables . q{
CREATE TABLE triggered (id int);
CREATE FUNCTION trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.triggered VALUES (NEW.id); RETURN NEW; END $$;
CREATE TRIGGER trigger AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION trigger();
ALTER TABLE t ENABLE ALWAYS TRIGGER trigger;
});

my @watched = qw(t truncated quiet parted part triggered);

sub stamps
{
	return split /\|/, $subscriber->safe_psql('postgres',
		'SELECT ' . join(', ', map { "pgcache_test_relation_stamp('$_')" } @watched));
}

# Runs the statements on the publisher, and compares what is published here.
sub applies
{
	my ($what, $sql, %expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @before = stamps();
	$publisher->safe_psql('postgres', $sql);
	$publisher->wait_for_catchup('s');
	my @after = stamps();
	my %got = map { ($watched[$_] => 1) } grep { $after[$_] != $before[$_] } 0 .. $#watched;
	is_deeply(\%got, { map { ($_ => 1) } keys %expected }, $what);
	return;
}

my $connection = $publisher->connstr . ' dbname=postgres';
for my $options ('streaming = off', 'streaming = on', 'streaming = on, two_phase = on', 'two_phase = on')
{
	$publisher->safe_psql('postgres', 'TRUNCATE t, truncated, parted');
	$subscriber->safe_psql('postgres', 'TRUNCATE t, truncated, parted');
	$subscriber->safe_psql('postgres',
		"CREATE SUBSCRIPTION s CONNECTION '$connection' PUBLICATION p WITH ($options)");
	$subscriber->wait_for_subscription_sync($publisher, 's');

	applies("INSERT ($options)", q{INSERT INTO t VALUES (1, 'a')}, t => 1, triggered => 1);
	applies("UPDATE ($options)", q{UPDATE t SET v = 'b'}, t => 1);
	applies("a partition ($options)", 'INSERT INTO part VALUES (1)', part => 1, parted => 1);
	applies("TRUNCATE ($options)", 'TRUNCATE truncated', truncated => 1);
	is($subscriber->safe_psql('postgres', q{SELECT pgcache_test_relation_kind('truncated')}), 'strict',
		"which is strict ($options)");
	applies("a large transaction ($options)",
		q{INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(2, 3000) i}, t => 1, triggered => 1);
	applies("DELETE ($options)", 'DELETE FROM t WHERE id > 1', t => 1);
	if ($options =~ /two_phase/)
	{
		applies("PREPARE ($options)", q{
			BEGIN; UPDATE t SET v = 'c'; TRUNCATE truncated; PREPARE TRANSACTION 'p'},
			t => 1, truncated => 1);
		is($subscriber->safe_psql('postgres', q{SELECT pgcache_test_relation_kind('truncated')}), 'prepared',
			"strict, too ($options)");
		is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM pg_prepared_xacts'), 1, 'prepared here');
		applies("COMMIT PREPARED ($options)", q{COMMIT PREPARED 'p'});
		is($subscriber->safe_psql('postgres', 'SELECT v FROM t'), 'c', 'applied');
	}
	else
	{
		applies("prepared ($options)", q{
			BEGIN; UPDATE t SET v = 'c'; PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'}, t => 1);
	}
	$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION s');
}

# A trigger that reads, loops and puts, while another session changes what it read.
$subscriber->safe_psql('postgres', q{
CREATE TABLE source (v text);
INSERT INTO source VALUES ('old');
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  x text;
  r record;
BEGIN
  SELECT v INTO x FROM public.source;
  PERFORM pg_advisory_xact_lock(4711);
  FOR r IN SELECT * FROM public.source LOOP NULL; END LOOP;
  PERFORM public.cache_put('k' || NEW.id, x);
  RETURN NULL;
END $$;
CREATE TRIGGER fill AFTER INSERT ON quiet FOR EACH ROW EXECUTE FUNCTION fill();
ALTER TABLE quiet ENABLE ALWAYS TRIGGER fill;
CREATE SUBSCRIPTION s CONNECTION '} . $connection . q{' PUBLICATION p WITH (copy_data = off)});
$subscriber->wait_for_subscription_sync($publisher, 's');
$publisher->safe_psql('postgres', 'INSERT INTO quiet VALUES (1)');
$publisher->wait_for_catchup('s');
is($subscriber->safe_psql('postgres', q{SELECT cache_get('k1')}), 'old', 'a trigger at work puts');
my $writer = $subscriber->background_psql('postgres', on_error_stop => 1);
$writer->query_safe('SELECT pg_advisory_lock(4711)');
$publisher->safe_psql('postgres', 'INSERT INTO quiet VALUES (2)');
$subscriber->poll_query_until('postgres', q{
	SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}) or die 'nobody waits';
$writer->query_safe(q{UPDATE source SET v = 'new'; SELECT cache_delete('k2')});
$writer->query_safe('SELECT pg_advisory_unlock(4711)');
$publisher->wait_for_catchup('s');
is($subscriber->safe_psql('postgres', q{SELECT cache_get('k2') IS NULL}), 't',
	'what it read before a loop is not newer after it');
$writer->quit;
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION s');

is_sound($subscriber, 'applied');
$subscriber->stop;
$publisher->stop;
done_testing();
