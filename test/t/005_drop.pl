# What is dropped leaves nothing in memory, and nothing for its successor;
# databases see nothing of each other.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Single statements put more than a transaction may have pending.
my $node = new_server('drop', 'max_prepared_transactions = 4', 'pg_cache.transactional = off');

# 1000 values of 5 kB in two namespaces: most of what the regions hold.
my $fill = q{
	SELECT count(cache_put('k' || i, repeat('v', 5000))),
	       count(cache_put('k' || i, repeat('v', 100), namespace => 'ns'))
	FROM generate_series(1, 1000) i;
};
my $look = q{
	SELECT count(cache_get('k' || i)), count(cache_get('k' || i, 'ns'))
	FROM generate_series(1, 1000) i;
};
my $create = q{
	CREATE EXTENSION pg_cache;
	SELECT cache_create_namespace('ns');
};

# Memory is given back when others need it.  So fill it from a database that has
# no entries so far: nothing need be evicted, since there is room.
sub memory_is_free
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is($node->safe_psql('postgres', q{
		SELECT cache_reset_stats();
		SELECT count(cache_put('other' || i, repeat('o', 5000))) FROM generate_series(1, 2500) i;
		SELECT evictions, entries, count(cache_get('other' || i))
		FROM cache_stats, generate_series(1, 2500) i GROUP BY 1, 2;
		SELECT cache_clear()}), "\n2500\n0|2500|2500\n", "$what: all memory is to be had");
	is_sound($node, $what);
	return;
}

# ---- databases

$node->safe_psql('postgres', 'CREATE DATABASE one');
$node->safe_psql('one', $create . $fill);
$node->safe_psql('postgres', 'CREATE DATABASE two TEMPLATE one');
is($node->safe_psql('two', $look . 'SELECT name FROM cache_namespaces; SELECT entries FROM cache_stats'),
	"0|0\nns\n0", 'a copied database has the namespaces, but not the entries');
$node->safe_psql('two', q{SELECT cache_put('k1', 'of two'), cache_put('k1', 'of two', namespace => 'ns')});
is($node->safe_psql('one', $look . q{SELECT left(cache_get('k1'), 3), cache_get('k1', 'ns') = repeat('v', 100)}),
	"1000|1000\nvvv|t", 'keys of one database');
is($node->safe_psql('two', $look . q{SELECT cache_get('k1'), cache_get('k1', 'ns')}),
	"1|1\nof two|of two", 'are not those of another');
$node->safe_psql('two', 'SELECT cache_clear()');
is($node->safe_psql('one', $look), '1000|1000', 'clearing all is for one database');
is($node->safe_psql('one', 'SELECT entries, hits FROM cache_stats'), '2000|4002', 'so are statistics');
is($node->safe_psql('two', 'SELECT count(*) FROM cache_entries'), 0, 'and cache_entries');

$node->safe_psql('postgres', 'ALTER DATABASE one RENAME TO renamed');
is($node->safe_psql('renamed', $look), '1000|1000', 'a renamed database keeps its entries');
$node->safe_psql('postgres', 'DROP DATABASE renamed');
$node->safe_psql('postgres', 'CREATE DATABASE one');
$node->safe_psql('one', $create);
is($node->safe_psql('one', $look), '0|0', 'a new one of the same name has none');
memory_is_free('DROP DATABASE');

$node->safe_psql('two', $fill);
my $session = $node->background_psql('two', on_error_stop => 0);
$session->query_safe($look);
$node->safe_psql('postgres', 'DROP DATABASE two WITH (FORCE)');
$session->{run}->finish;
memory_is_free('DROP DATABASE WITH (FORCE)');

# ---- the extension, with a session that goes on using it

$session = $node->background_psql('one', on_error_stop => 0);
my $remove = 'DROP EXTENSION pg_cache';

is($session->query_safe("$fill $look"), "1000|1000\n1000|1000", 'filled');
$node->safe_psql('one', "BEGIN; $remove; ROLLBACK");
is($session->query_safe($look), '1000|1000', 'a drop that is rolled back drops nothing');
is($node->safe_psql('one', "BEGIN; SAVEPOINT s; $remove; ROLLBACK TO s; COMMIT; $look"), '1000|1000',
	'nor does one in a subtransaction');
$node->safe_psql('one', "BEGIN; SAVEPOINT s; $remove; RELEASE s; COMMIT");
memory_is_free('DROP EXTENSION');
like(session_error($session, "SELECT cache_get('k1')"), qr/does not exist/, 'the session finds no cache');
$node->safe_psql('one', $create);
is($session->query_safe($look), '0|0', 'and then the new one');
is($session->query_safe("$fill $look"), "1000|1000\n1000|1000", 'which works');

$node->safe_psql('one', "$remove; $create");
is($session->query_safe($look), '0|0', 'replaced meanwhile');
$session->query_safe($fill);
is($node->safe_psql('one', "BEGIN; $remove; $create $look $fill $look COMMIT"),
	"\n0|0\n1000|1000\n1000|1000", 'replaced in one transaction');
is($session->query_safe("$fill $look"), "1000|1000\n1000|1000", 'for all');
is($node->safe_psql('one', "BEGIN; $remove; $create $fill ROLLBACK; $look"), "\n1000|1000\n1000|1000",
	'replaced and rolled back: the old one');
$node->safe_psql('one', $remove);
memory_is_free('replaced and dropped');

$node->safe_psql('one', "CREATE SCHEMA s; CREATE EXTENSION pg_cache SCHEMA s");
$node->safe_psql('one', "SET search_path = s; SELECT cache_create_namespace('ns'); $fill");
$node->safe_psql('one', 'DROP SCHEMA s CASCADE');
memory_is_free('DROP SCHEMA CASCADE');

$node->safe_psql('one', $create . $fill);
$node->safe_psql('one', "BEGIN; $remove; PREPARE TRANSACTION 'p'");
$node->safe_psql('one', "COMMIT PREPARED 'p'");
$node->safe_psql('one', $create);
is($node->safe_psql('one', $look), '0|0', 'dropped by a prepared transaction');
$node->safe_psql('one', "BEGIN; SELECT cache_drop_namespace('ns'); PREPARE TRANSACTION 'p'");
$node->safe_psql('one', "ROLLBACK PREPARED 'p'");
is($node->safe_psql('one', $fill . $look), "1000|1000\n1000|1000", 'or not');

# ---- the same with puts that the transaction has pending

my $few = q{
	SELECT count(cache_put('few' || i, 'new')), count(cache_put('few' || i, 'new', namespace => 'ns'))
	FROM generate_series(1, 10) i;
};
my $look_few = q{
	SELECT string_agg(DISTINCT coalesce(cache_get('few' || i), '-'), ','),
	       string_agg(DISTINCT coalesce(cache_get('few' || i, 'ns'), '-'), ',') FROM generate_series(1, 10) i;
};
sub few
{
	my ($sql) = @_;
	return $node->safe_psql('one', "SET pg_cache.transactional = on; $sql");
}

is(few("BEGIN; $few $remove; COMMIT; $create $look_few"), "10|10\n\n-|-", 'the extension goes with what was put');
# At commit all entries of the database go with the old one.
is(few("SELECT cache_put('few1', 'old'); BEGIN; $remove; $create $few $look_few COMMIT; $look_few"),
	"\n\n10|10\nnew|new\n-|-", 'put into the new one');
is(few("$few $look_few"), "10|10\nnew|new", 'which works');
is($session->query_safe($look_few), 'new|new', 'for all');
is(few("BEGIN; SELECT cache_put('few1', 'newer'); $remove; $create $look_few ROLLBACK; $look_few"),
	"\n\n-|-\nnew|new", 'rolled back');
is(few("BEGIN; SELECT cache_put('few' || i, 'newer') FROM generate_series(1, 10) i; SAVEPOINT s; $remove; ROLLBACK TO s; COMMIT; $look_few"),
	"\n" x 10 . 'newer|new', 'rolled back to a savepoint');
is(few(qq{BEGIN; SAVEPOINT s; SELECT cache_create_namespace('sub'), cache_put('k', 'v', namespace => 'sub'); ROLLBACK TO s;
	SELECT cache_create_namespace('sub'), cache_get('k', 'sub'); COMMIT; SELECT cache_get('k', 'sub') IS NULL;
	SELECT cache_drop_namespace('sub')}), "|\n|\nt\n", 'a namespace of a savepoint');
is(few(qq{BEGIN; $few SELECT cache_drop_namespace('ns'); SELECT cache_create_namespace('ns'); $look_few COMMIT; $look_few}),
	"10|10\n\n\nnew|-\nnew|-", 'a namespace goes with what was put');
is(few(qq{$few BEGIN; SELECT cache_delete('few' || i), cache_put('few' || i, 'gone', namespace => 'ns') FROM generate_series(1, 10) i;
	SELECT cache_drop_namespace('ns'); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p';
	SELECT cache_create_namespace('ns'); $look_few}), "10|10\n" . "t|\n" x 10 . "\n\n-|-", 'or is prepared');

# Dropped by others before the commit.
few($few);
$session->query_safe(q{SET pg_cache.transactional = on; BEGIN;
	SELECT cache_put('few' || i, 'late', namespace => 'ns'), cache_put('few' || i, 'late') FROM generate_series(1, 10) i});
few(q{SELECT cache_drop_namespace('ns'); SELECT cache_create_namespace('ns')});
$session->query_safe('COMMIT');
is($session->query_safe($look_few), 'late|-', 'a namespace is replaced before the commit');
$session->query_safe(q{BEGIN; SELECT cache_put('few' || i, 'later'), cache_put('few' || i, 'later', namespace => 'ns')
	FROM generate_series(1, 10) i});
few("$remove; $create");
$session->query_safe('COMMIT');
is($session->query_safe($look_few), '-|-', 'the extension is');
is_sound($node, 'pending puts', 'one');
$session->query_safe('RESET pg_cache.transactional');
$node->safe_psql('one', 'SELECT cache_clear();' . $fill);

# ---- namespaces

$node->safe_psql('one', q{SELECT cache_drop_namespace('ns')});
is($session->query_safe('SELECT entries FROM cache_stats'), 1000, 'a dropped namespace leaves no entries');
is($session->query_safe(q{SELECT cache_create_namespace('ns'); } . $look), "\n1000|0",
	'nor any for a new one of its name');
$session->quit;
$node->safe_psql('postgres', 'DROP DATABASE one');
memory_is_free('at the end');

$node->stop;
done_testing();
