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
is($session->query_safe(q{SELECT cache_get('k'), cache_get('k', 'ns')}), 'after|after', 'before promotion');
$standby->promote;
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
