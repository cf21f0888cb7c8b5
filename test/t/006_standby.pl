# A hot standby has a cache of its own.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', q{
shared_preload_libraries = 'pg_cache'
pg_cache.memory = '8MB'
autovacuum = off
});
$primary->start;
install($primary);
$primary->safe_psql('postgres', q{
	CREATE ROLE reader;
	SELECT cache_create_namespace('ns', default_ttl => '1 hour');
	SELECT cache_put('k', 'of the primary'), cache_put('k', 'of the primary', namespace => 'ns')});
$primary->backup('backup');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

sub replay
{
	$primary->wait_for_catchup($standby);
	return;
}
replay();

is($standby->safe_psql('postgres', q{
	SELECT cache_get('k') IS NULL;
	SELECT cache_put('k', 'of the standby'), cache_put('k', '[1]'::jsonb, namespace => 'ns', tags => '{t}');
	SELECT cache_get('k'), cache_get_as('k', NULL::jsonb, 'ns'), cache_exists('k'),
	       cache_expires_at('k', 'ns') < now() + '61 min';
	SELECT cache_add('k', 'x'), cache_replace('k', 'replaced'),
	       cache_cas('k', (SELECT version FROM cache_entry('k')), 'swapped'), cache_incr('n');
	SELECT cache_touch('k', '1 minute');
	SELECT cache_put_many('{a,b}', '{1,2}');
	SELECT count(*) FROM cache_get_many('{a,b,c}');
	SELECT cache_delete('a');
	SELECT entries FROM cache_stats}), join("\n", 't', '|',
		'of the standby|[1]|t|t', 'f|t|t|1', 't', '2', '2', 't', '4'), 'a standby caches');
is($primary->safe_psql('postgres', q{SELECT cache_get('k'), cache_get('k', 'ns'), cache_exists('n')}),
	'of the primary|of the primary|f', 'for itself');
# More than a transaction may have pending.
is($standby->safe_psql('postgres', q{
	SET pg_cache.transactional = off;
	SELECT cache_put_many(ARRAY(SELECT 'k' || i FROM generate_series(1, 3000) i),
	                      ARRAY(SELECT repeat('v', 5000) FROM generate_series(1, 3000) i));
	RESET pg_cache.transactional;
	SELECT evictions > 1000 FROM cache_stats;
	SELECT cache_clear('ns'), cache_reset_stats();
	SELECT cache_exists('k', 'ns'), cache_get('k3000') = repeat('v', 5000)}), "3000\nt\n|\nf|t",
	'evicts and clears');
# Transactions without ids: seen by oneself at once, by others from commit on, undone by ROLLBACK.
{
	my $writer = $standby->background_psql('postgres', on_error_stop => 0);
	my $reader = $standby->background_psql('postgres', on_error_stop => 0);
	my $look = q{SELECT coalesce(cache_get('x'), '-'), coalesce(cache_get('y'), '-'), coalesce(cache_get('z', 'ns'), '-')};
	my $fill = q{SELECT cache_put('x', 'x'), cache_put('y', 'y', tags => '{t,u}'), cache_put('z', 'z', namespace => 'ns')};
	my %changes = (
		q{SELECT cache_put('x', 'new')} => 'new|y|z',
		q{SELECT cache_delete('x')} => '-|y|z',
		q{SELECT cache_invalidate_tags('{u}')} => 'x|-|z',
		q{SELECT cache_invalidate_tags('{t,u}', all_of => true)} => 'x|-|z',
		q{SELECT cache_invalidate_pattern('y%')} => 'x|-|z',
		q{SELECT cache_clear('ns')} => 'x|y|-',
		q{SELECT cache_clear()} => '-|-|-',
		q{SELECT cache_touch('x', '1 us'), cache_invalidate_pattern('%', 'ns')} => '-|y|-',
		q{SELECT cache_delete('x'), cache_put('x', 'again'), cache_put('y', 'v', tags => '{t}'), cache_invalidate_tags('{t}')}
		  => 'again|-|z');
	for my $change (sort keys %changes)
	{
		my $after = $changes{$change};

		$writer->query_safe("$fill; BEGIN; $change");
		is($writer->query_safe($look), $after, "standby, own change: $change");
		is($reader->query_safe($look), 'x|y|z', 'not yet for others');
		$writer->query_safe('ROLLBACK');
		is($reader->query_safe($look), 'x|y|z', 'undone');
		$writer->query_safe("BEGIN; SAVEPOINT s; $change; ROLLBACK TO s; COMMIT");
		is($reader->query_safe($look), 'x|y|z', 'undone by ROLLBACK TO');
		$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
		$writer->query_safe("BEGIN; $change; COMMIT");
		is($reader->query_safe($look), $after, 'for all from commit on, whatever the snapshot');
		$reader->query_safe('COMMIT');
		is($standby->safe_psql('postgres', $look), $after, 'and for sessions that come later');
	}

	# A fill that is under way when the key, its tag, or all is invalidated is void.
	for my $change (q{cache_delete('f')}, q{cache_invalidate_tags('{tf}')}, q{cache_invalidate_pattern('f')}, 'cache_clear()')
	{
		is($reader->query_safe(q{BEGIN; SELECT cache_put('f', 'fill', tags => '{tf}')}), '', 'a fill begins');
		$writer->query_safe("SELECT $change");
		$reader->query_safe('COMMIT');
		is($reader->query_safe(q{SELECT cache_exists('f')}), 'f', "a fill under way is void after $change");
		is($reader->query_safe(q{SELECT cache_put('f', 'later', tags => '{tf}'); SELECT cache_get('f')}), "\nlater",
			'the next is not');
	}
	# With a lease.
	is($writer->query_safe(q{SELECT cache_lease('l') AS lease \gset
		SELECT cache_put('l', 'v', lease => :'lease');
		SELECT cache_get('l');
		SELECT cache_delete('l');
		SELECT cache_put('l', 'v', lease => :'lease');
		SELECT cache_exists('l')}), "\nv\nt\n\nf", 'leases');
	$writer->quit;
	$reader->quit;
}
$primary->safe_psql('postgres', 'CREATE TABLE watched (id int)');
replay();
for my $call (q{cache_put('k', 'v', depends_on => '{watched}')}, q{cache_depend('k', '{watched}')},
	q{cache_watch_table('watched', 'k{id}')}, q{cache_unwatch_table('watched')})
{
	like(query_error($standby, "SELECT $call"), qr/ERROR:  0A000/, "no tables: $call");
}
for my $change (q{cache_create_namespace('new')}, q{cache_alter_namespace('ns', priority => 1)},
	q{cache_alter_namespace('default', priority => 1)}, q{cache_drop_namespace('ns')},
	q{cache_grant('ns', 'reader', 'read')}, q{cache_revoke('default', 'public', 'read')})
{
	like(query_error($standby, "SELECT $change"), qr/25006/, "read only: $change");
}
is_sound($standby, 'on a standby');

# What the primary changes is replayed, for sessions that know the namespace.
my $session = $standby->background_psql('postgres', on_error_stop => 0);
is($session->query_safe(q{SELECT cache_put('k', 'v', namespace => 'ns'), cache_get('k', 'ns')}), '|v', 'in use');
$primary->safe_psql('postgres', q{SELECT cache_alter_namespace('ns', priority => 9, default_ttl => '1 day')});
replay();
is($session->query_safe(q{
	SELECT cache_put('k', 'w', namespace => 'ns');
	SELECT priority, expires_at > now() + '2 hours' FROM cache_entry('k', 'ns')}), "\n9|t", 'options are replayed');
$primary->safe_psql('postgres', q{SELECT cache_drop_namespace('ns')});
replay();
like(session_error($session, q{SELECT cache_get('k', 'ns')}), qr/does not exist/, 'a drop is replayed');
$primary->safe_psql('postgres', q{SELECT cache_create_namespace('ns')});
replay();
is($session->query_safe(q{SELECT cache_get('k', 'ns') IS NULL, cache_put('k', 'x', namespace => 'ns')}), 't|',
	'and a new namespace of the name');
$primary->safe_psql('postgres', q{SELECT cache_revoke('default', 'public', 'read')});
replay();
like(query_error($standby, q{SET ROLE reader; SELECT cache_get('k')}), qr/42501/, 'a revoke is replayed');
$primary->safe_psql('postgres', 'DROP EXTENSION pg_cache');
replay();
like(session_error($session, q{SELECT cache_get('k')}), qr/does not exist/, 'as is DROP EXTENSION');
$primary->safe_psql('postgres', q{CREATE EXTENSION pg_cache; SELECT cache_create_namespace('ns')});
replay();
is($session->query_safe(q{
	SELECT cache_get('k3000') IS NULL, cache_get('k', 'ns') IS NULL;
	SELECT cache_put('k', 'after'), cache_put('k', 'after', namespace => 'ns')}), "t|t\n|",
	'the new extension has nothing of the old one');
$primary->safe_psql('postgres', 'CREATE DATABASE other TEMPLATE template0');
$primary->safe_psql('other', 'CREATE EXTENSION pg_cache');
replay();
$standby->safe_psql('other', q{SELECT cache_put('k', 'v')});
$primary->safe_psql('postgres', 'DROP DATABASE other');
replay();

# Its entries, which were put by no transaction, end with promotion; then it may do all.
# What was read before may not be put afterwards: what the primary deleted
# meanwhile left no trace here.
my @sessions = map { $standby->background_psql('postgres', on_error_stop => 0) } 1 .. 3;
$primary->safe_psql('postgres', 'CREATE TABLE source AS SELECT 1 AS v');
install_test_functions($primary) if $ENV{PGCACHE_TEST};
replay();
is($session->query_safe(q{
	SET pg_cache.transactional = off;
	SELECT cache_put('immediate', 'v');
	RESET pg_cache.transactional;
	SELECT cache_put('tagged', 'v', tags => '{t}'), cache_add('added', 'v'), cache_incr('n');
	SELECT cache_get('k'), cache_get('k', 'ns'), cache_get('immediate'), cache_get('tagged'), cache_get('added'), cache_get('n')}),
	"\n|t|1\nafter|after|v|v|v|1", 'before promotion');
$sessions[0]->query_safe(q{BEGIN; SELECT cache_put('p0', v) FROM source});
$sessions[1]->query_safe(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT v FROM source});
$sessions[2]->query_safe(q{SELECT cache_lease('p2') AS lease, v FROM source \gset});
# One is in the midst of its commit.
my ($holder, $held) = map { $standby->background_psql('postgres', on_error_stop => 0) } 1 .. 2;
if ($ENV{PGCACHE_TEST})
{
	$holder->query_safe(q{SELECT pgcache_test_arm('txn-before-publish')});
	my $pid = $held->query_safe('SELECT pg_backend_pid()');
	$held->query_until(qr/^held$/m, "\\echo held\nBEGIN; SELECT cache_put('p3', v) FROM source; COMMIT;\n\\echo done\n");
	$standby->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid")
	  or die 'not held';
}
$primary->safe_psql('postgres', q{UPDATE source SET v = 2; SELECT cache_delete('p' || i) FROM generate_series(0, 3) i});
replay();
$standby->promote;
if ($ENV{PGCACHE_TEST})
{
	$holder->query_safe(q{SELECT pgcache_test_disarm('txn-before-publish')});
	$held->query_until(qr/^done$/m, '');
}
$sessions[0]->query_safe('COMMIT');
$sessions[1]->query_safe(q{SELECT cache_put('p1', v) FROM source; COMMIT});
$sessions[2]->query_safe(q{SELECT cache_put('p2', :v, lease => :'lease')});
is($session->query_safe(q{
	SELECT coalesce(cache_get('p' || i), '2') FROM generate_series(0, 3) i;
	SELECT count(*) FROM unnest('{k,immediate,tagged,added,n,f,k3000}'::text[]) key WHERE cache_exists(key)}),
	"2\n2\n2\n2\n0", 'nothing read or put before promotion is served after it');
$_->quit for @sessions, $holder, $held;
is($session->query_safe(q{SELECT cache_incr('n'), cache_add('added', 'w'), cache_replace('immediate', 'w')}), '1|t|f',
	'nor counts as present');
is($session->query_safe(q{
	SELECT cache_get('k') IS NULL, cache_get('k', 'ns') IS NULL, cache_put('k', 'promoted', namespace => 'ns');
	SELECT cache_get('k', 'ns')}), "t|t|\npromoted", 'promotion ends the entries');
is($session->query_safe(q{
	SELECT cache_create_namespace('new', max_entries => 2), cache_alter_namespace('ns', priority => 3);
	SELECT count(cache_put('k' || i, i, namespace => 'new')) FROM generate_series(1, 10) i;
	SELECT entries FROM cache_stats_namespaces WHERE namespace = 'new';
	SELECT cache_drop_namespace('new')}), "|\n10\n2\n", 'and namespaces can be changed');
$session->quit;
is_sound($standby, 'after promotion');
is_sound($primary, 'on the primary');

$standby->stop;
$primary->stop;
done_testing();
