# A logical subscriber's cache: what apply workers change counts, whether they
# apply whole transactions, stream large ones, or prepare.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical', extra => [ '--no-locale', '--encoding=UTF8' ]);
$publisher->append_conf('postgresql.conf', q{
max_prepared_transactions = 10
logical_decoding_work_mem = 64kB
autovacuum = off
});
$publisher->start;
my $subscriber = new_server('subscriber', 'max_prepared_transactions = 10');

my $tables = q{
	CREATE TABLE t (id int PRIMARY KEY, v text);
	CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
	CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (1000000);
	CREATE TABLE watched (id int PRIMARY KEY, v text);
	CREATE TABLE other (id int PRIMARY KEY)};
$publisher->safe_psql('postgres', "$tables;
	INSERT INTO t VALUES (1, 'first');
	CREATE PUBLICATION pub FOR TABLE t, part, watched, other");
$subscriber->safe_psql('postgres', "$tables;
	SELECT cache_watch_table('watched', key => 'watched:{id}', tags => ARRAY['v:{v}'])");
my $source = $publisher->connstr . ' dbname=postgres';

# All keys, each filled from the table that it depends on.
my $fill = q{
	SELECT cache_put('t', (SELECT count(*) || ' ' || max(v) FROM t), depends_on => '{t}'),
	       cache_put('part', (SELECT count(*)::text FROM part), depends_on => '{part}'),
	       cache_put('other', (SELECT count(*)::text FROM other), depends_on => '{other}'),
	       cache_put('watched:1', (SELECT max(v) FROM watched WHERE id = 1)),
	       cache_put('tagged', (SELECT count(*)::text FROM watched WHERE v = 'x'), tags => '{v:x}')};
# Which of them there are, and whether one is wrong.
my $state = q{
	SELECT string_agg(key, ' ' ORDER BY key) FROM cache_get_many('{t,part,other,watched:1,tagged}');
	SELECT coalesce(cache_get('t') <> (SELECT count(*) || ' ' || max(v) FROM t), false) OR
	       coalesce(cache_get('part') <> (SELECT count(*)::text FROM part), false) OR
	       coalesce(cache_get('other') <> (SELECT count(*)::text FROM other), false) OR
	       coalesce(cache_get('watched:1') <> (SELECT max(v) FROM watched WHERE id = 1), false) OR
	       coalesce(cache_get('tagged') <> (SELECT count(*)::text FROM watched WHERE v = 'x'), false)};

# Runs a change on the publisher; which keys are left on the subscriber?
sub after_change
{
	my ($sql, $left, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$subscriber->safe_psql('postgres', $fill);
	is($subscriber->safe_psql('postgres', $state), "other part t tagged watched:1\nf", "filled before $what");
	$publisher->safe_psql('postgres', $sql);
	$publisher->wait_for_catchup('sub');
	is($subscriber->safe_psql('postgres', $state), "$left\nf", $what);
	return;
}

# With streaming the worker writes large transactions to files and applies them
# at commit; with two_phase it prepares when the publisher does.
for my $streaming ('off', 'on')
{
	for my $two_phase ('off', 'on')
	{
		my $how = "streaming $streaming, two_phase $two_phase";
		my $id = 1000;

		$publisher->safe_psql('postgres', q{TRUNCATE t, part, watched, other;
			INSERT INTO t VALUES (1, 'first'); INSERT INTO watched VALUES (1, 'x'), (2, 'y')});
		$subscriber->safe_psql('postgres', "TRUNCATE t, part, watched, other; SELECT cache_clear(); $fill");

		# The first copy of the tables counts as well.
		$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION sub CONNECTION '$source' PUBLICATION pub
			WITH (streaming = $streaming, two_phase = $two_phase)");
		$subscriber->wait_for_subscription_sync($publisher, 'sub');
		is($subscriber->safe_psql('postgres', $state) =~ s/.*\n//r, 'f', "nothing wrong after the first copy: $how");
		is($subscriber->safe_psql('postgres', q{SELECT cache_exists('t'), cache_exists('watched:1')}), 'f|f',
			"what was copied has no entries: $how");

		after_change(q{INSERT INTO t VALUES (2, 'two')}, 'other part tagged watched:1', "INSERT: $how");
		after_change(q{UPDATE t SET v = 'twice' WHERE id = 2}, 'other part tagged watched:1', "UPDATE: $how");
		after_change(q{DELETE FROM t WHERE id = 2}, 'other part tagged watched:1', "DELETE: $how");
		after_change(q{INSERT INTO part VALUES (5)}, 'other t tagged watched:1', "a partition: $how");
		after_change(q{UPDATE watched SET v = 'z' WHERE id = 2}, 'other part t tagged watched:1', "another row of a watched table: $how");
		after_change(q{UPDATE watched SET v = 'z' WHERE id = 1}, 'other part t', "a row of a watched table: $how");
		after_change(q{UPDATE watched SET v = 'x' WHERE id = 2}, 'other part t watched:1', "a new row's tag: $how");
		after_change(q{TRUNCATE watched}, 'other part t', "TRUNCATE of a watched table: $how");
		after_change(q{TRUNCATE t}, 'other part tagged watched:1', "TRUNCATE: $how");
		after_change(q{BEGIN; INSERT INTO t VALUES (3, 'undone'); ROLLBACK; INSERT INTO part VALUES (6)},
			'other t tagged watched:1', "ROLLBACK: $how");
		after_change(q{BEGIN; INSERT INTO part VALUES (7); SAVEPOINT s; INSERT INTO t VALUES (3, 'undone'); ROLLBACK TO s; COMMIT},
			'other t tagged watched:1', "ROLLBACK TO: $how");

		# Larger than logical_decoding_work_mem.
		after_change(q{INSERT INTO t SELECT i, repeat('large', 10) FROM generate_series(10, 5000) i},
			'other part tagged watched:1', "a large transaction: $how");
		after_change(q{BEGIN; INSERT INTO part SELECT i FROM generate_series(10, 5000) i;
			SAVEPOINT s; UPDATE t SET v = v || 'x'; ROLLBACK TO s; INSERT INTO watched VALUES (1, 'q'); COMMIT},
			'other t tagged', "a large one with a savepoint: $how");
		after_change(q{BEGIN; UPDATE t SET v = v || 'x'; INSERT INTO part SELECT i FROM generate_series(5001, 9000) i; ROLLBACK;
			INSERT INTO other VALUES (1)}, 'part t tagged watched:1', "a large one rolled back: $how");

		# Prepared on the publisher; with two_phase on the subscriber, too.
		for my $end ('COMMIT PREPARED', 'ROLLBACK PREPARED')
		{
			for my $change (q{INSERT INTO t VALUES (100000, 'prepared')}, q{UPDATE t SET v = v || 'prepared'})
			{
				$publisher->safe_psql('postgres', q{DELETE FROM t WHERE id = 100000});
				$publisher->wait_for_catchup('sub');
				after_change("BEGIN; $change; PREPARE TRANSACTION 'p'", 'other part t tagged watched:1',
					"prepared, $change: $how");
				is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM pg_prepared_xacts'),
					$two_phase eq 'on' ? 1 : 0, "prepared on the subscriber: $how");
				$publisher->safe_psql('postgres', "$end 'p'");
				$publisher->wait_for_catchup('sub');
				my ($left, $wrong) = split /\n/, $subscriber->safe_psql('postgres', $state);
				is($wrong, 'f', "nothing wrong after $end, $change: $how");
				is($left, 'other part tagged watched:1', "$end, $change: $how") if $end eq 'COMMIT PREPARED';
			}
		}

		$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION sub');
		is_sound($subscriber, $how);
	}
}

$subscriber->stop;
$publisher->stop;
done_testing();
