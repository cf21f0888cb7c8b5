# More namespaces than have a place in shared memory: a watched table can be changed
# though the watch's namespace has none, and what is put there meanwhile is stale.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('no_slot', 'pg_cache.max_namespaces = 4', 'max_prepared_transactions = 2');
$node->safe_psql('postgres', q{
	CREATE TABLE t (id int, v text);
	INSERT INTO t VALUES (1, 'old');
	SELECT cache_create_namespace('n' || i) FROM generate_series(1, 3) i;
	SELECT cache_create_namespace('last');
	SELECT cache_watch_table('t', 'k:{id}', '{t}', 'last')});
my $writer = $node->background_psql('postgres', on_error_stop => 0);
my $filler = $node->background_psql('postgres', on_error_stop => 0);

# All places are in use after a restart, and nobody can use the last one.
my $use = q{SELECT cache_put('k', 'v', namespace => n) FROM unnest('{default,n1,n2,n3}'::text[]) n};
my $fill = q{SELECT cache_put('k:1', v, namespace => 'last'), cache_put('x', v, tags => '{t}', namespace => 'last') FROM t WHERE id = 1};
my $get = q{SELECT coalesce(cache_get('k:1', 'last'), 'miss'), coalesce(cache_get('x', 'last'), 'miss')};
sub use_all
{
	$_->quit for $writer, $filler;
	$node->restart;
	($writer, $filler) = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;
	$node->safe_psql('postgres', $use);
	like(query_error($node, $fill), qr/53400/, 'no place is left');
	return;
}
my $change = 0;
for my $sql (q{UPDATE t SET v = 'new' WHERE id = 1}, q{INSERT INTO t VALUES (1, 'again')}, 'TRUNCATE t; INSERT INTO t VALUES (1)',
	'ALTER TABLE t ADD COLUMN c int DEFAULT random()')
{
	use_all() if $change++ % 2 == 0;
	is(query_error($node, "BEGIN; $sql; ROLLBACK; $sql"), 'no error', "changed without a place: $sql");
}
is($node->safe_psql('postgres', q{SELECT cache_get('k', n) FROM unnest('{default,n1,n2,n3}'::text[]) n}), "v\nv\nv\nv",
	'others keep what they have');

# One becomes free, and the filler's namespace gets it, before the change is committed.
for my $sql (q{UPDATE t SET v = 'newer' WHERE id = 1}, q{TRUNCATE t; INSERT INTO t VALUES (1, 'newest')})
{
	for my $end ('COMMIT', q{PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'}, 'ROLLBACK')
	{
		$node->safe_psql('postgres', q{DELETE FROM t; INSERT INTO t VALUES (1, 'old'); SELECT cache_create_namespace('n3') WHERE NOT EXISTS (SELECT FROM cache_namespaces WHERE name = 'n3')});
		use_all();
		# A dropped one keeps its place until those have ended who may use it.
		my $user = $node->background_psql('postgres', on_error_stop => 0);
		$user->query_safe(q{BEGIN; SELECT cache_get('k', 'n3')});
		$node->safe_psql('postgres', q{SELECT cache_drop_namespace('n3')});
		$writer->query_safe("BEGIN; $sql");
		like(session_error($filler, $get), qr/too many namespaces/, 'still no place is left');
		$user->query_safe('COMMIT');
		$user->quit;
		# TRUNCATE keeps others from reading.
		if ($sql =~ /^UPDATE/)
		{
			is($filler->query_safe("$fill; $get"), "|\nold|old", "filled before $end: $sql");
		}
		else
		{
			$filler->query_safe(q{SELECT cache_put('k:1', 'old', namespace => 'last'), cache_put('x', 'old', tags => '{t}', namespace => 'last')});
		}
		$writer->query_safe($end);
		is($node->safe_psql('postgres', $get), $end eq 'ROLLBACK' ? 'old|old' : 'miss|miss', "after $end: $sql");
	}
}
is($node->safe_psql('postgres', "$fill; $get"), "|\nold|old", 'filled again');
is($node->safe_psql('postgres', q{UPDATE t SET v = 'newer'; } . $get), 'miss|miss', 'and invalidated as ever');
is_sound($node, 'at the end');
$_->quit for $writer, $filler;
$node->stop;
done_testing();
