# Without the library in shared_preload_libraries every function says what to
# do; with it all works, before and after other libraries that have hooks.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('preload');
$node->init;
$node->append_conf('postgresql.conf', q{
pg_cache.memory = '8MB'
autovacuum = off
});
$node->start;

# Not preloaded.  The server takes the settings of a library that it does not
# know yet, and the extension can be created, for pg_restore's sake.
install($node);

# Calls every function of the extension with arguments that are not NULL.
$node->safe_psql('postgres', q{
CREATE FUNCTION try(call text, OUT state text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE call;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, hint = PG_EXCEPTION_HINT;
END $$;
CREATE VIEW calls AS
SELECT p.oid::regprocedure AS function,
       l.lanname = 'sql' AND NOT has_function_privilege('pg_monitor', p.oid, 'EXECUTE') AND
         NOT has_function_privilege('pg_database_owner', p.oid, 'EXECUTE') AS internal,
       format('SELECT * FROM %s(%s)', p.oid::regproc, string_agg(
         CASE a.type
           WHEN 'text'::regtype THEN '''x''::text'
           WHEN 'anyelement'::regtype THEN '1::int'
           WHEN '"char"'::regtype THEN '''x''::"char"'
           WHEN 'text[]'::regtype THEN '''{x}''::text[]'
           WHEN 'bigint'::regtype THEN '1::bigint'
           WHEN 'interval'::regtype THEN '''1 s''::interval'
           WHEN 'boolean'::regtype THEN 'true'
           WHEN 'integer'::regtype THEN '1'
           WHEN 'timestamptz'::regtype THEN 'now()'
           WHEN 'regclass'::regtype THEN '''pg_class''::regclass'
           ELSE 'NULL::' || a.type::regtype END, ', ' ORDER BY a.n)) AS call
FROM pg_depend d
JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'pg_cache'
JOIN pg_proc p ON d.objid = p.oid AND p.prorettype <> 'trigger'::regtype
JOIN pg_language l ON p.prolang = l.oid
LEFT JOIN unnest(p.proargtypes::oid[]) WITH ORDINALITY a(type, n) ON true
WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass
GROUP BY p.oid, l.lanname;
});
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM calls'), '>', 30,
	'functions found');
# But for those that only compute or read tables, and what in SQL is not for PUBLIC.
is($node->safe_psql('postgres', q{
	SELECT function, state, hint FROM calls, try(call)
	WHERE function::text !~ '^cache_(counted_since|points_lost|compare|alert_metrics|last_interval|namespace_id|warmers_failing|hour_of_week|predict_keys|history_[a-z]+)\(' AND
	      NOT internal AND
	      (state IS DISTINCT FROM '55000' OR
	       hint NOT LIKE '%: shared_preload_libraries = ''pg_cache''' OR hint IS NULL)
	}), '', 'every function fails with 55000 and a hint if not preloaded');
is($node->safe_psql('postgres', q{
	SELECT state FROM unnest('{cache_stats,cache_stats_namespaces,cache_entries}'::text[]) view,
	try('TABLE ' || view)
	}), "55000\n55000\n55000", 'the views, too');
is($node->safe_psql('postgres', q{SELECT state FROM try('DELETE FROM cache_namespaces')}),
	'', 'the table can be changed');
my ($rc, $out, $err) = $node->psql('postgres',
	q{LOAD 'pg_cache'; SELECT cache_get('k')});
like($err, qr/must be loaded via "shared_preload_libraries"/, 'LOAD does not help');
is($node->safe_psql('postgres', q{
	DROP EXTENSION pg_cache CASCADE; CREATE EXTENSION pg_cache; SELECT 1}), '1',
	'the extension can be dropped');
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server lives');

# Preloaded; nothing else is to be done for a database that has the extension.
my $log = -s $node->logfile;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'pg_cache'
pg_cache.no_such_setting = 1
});
$node->restart;
is($node->safe_psql('postgres', q{SELECT cache_put('k', 'v'); SELECT cache_get('k')}),
	"\nv", 'preloaded');
is($node->safe_psql('postgres', 'SELECT memory_limit FROM cache_stats'), 8 * 1024 * 1024,
	'settings in postgresql.conf count');
ok($node->log_contains(qr/invalid configuration parameter name "pg_cache.no_such_setting"/, $log),
	'unknown settings are reported');
like(query_error($node, 'SET pg_cache.no_setting = 1'), qr/42602.*pg_cache\.no_setting/, 'and refused');
like(query_error($node, "SET pg_cache.memory = '1GB'"), qr/55P02/, 'no change after start');
is_sound($node, 'preloaded');

# Beside others that have hooks.
SKIP:
{
	skip 'no pg_stat_statements and auto_explain', 4
	  unless can_load('pg_stat_statements') && can_load('auto_explain');

	for my $order ('pg_cache, pg_stat_statements, auto_explain',
		'auto_explain, pg_stat_statements, pg_cache')
	{
		$node->append_conf('postgresql.conf', "shared_preload_libraries = '$order'");
		$node->restart;
		$log = -s $node->logfile;
		$node->safe_psql('postgres', q{CREATE EXTENSION IF NOT EXISTS pg_stat_statements});
		is($node->safe_psql('postgres', q{
			SELECT pg_stat_statements_reset() IS NULL;
			SET auto_explain.log_min_duration = 0;
			SELECT cache_put('k', 'v');
			SELECT cache_get('k');
			SELECT cache_get('k');
			SELECT sum(calls) FROM pg_stat_statements WHERE query LIKE 'SELECT cache_get(%';
			}), "f\n\nv\nv\n2", "works with $order") or diag $order;
		ok($node->log_contains(qr/Query Text: SELECT cache_get/, $log), 'auto_explain sees us');
		$node->safe_psql('postgres', 'CREATE DATABASE other');
		install($node, 'other');
		$node->safe_psql('other', q{SELECT cache_put('k', 'v')});
		$node->safe_psql('postgres', 'DROP DATABASE other');
		is_sound($node, $order);
	}
}

$node->stop;
done_testing();
