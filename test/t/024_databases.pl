# Databases of one server share its memory and its transaction ids, and nothing
# else: even where all their objects have the same OIDs.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('databases', 'max_prepared_transactions = 4');
my $fill = q{SELECT cache_put('k', current_database(), tags => '{t}', depends_on => '{t}'),
	cache_put('w:1', current_database()), cache_put('ns', current_database(), namespace => 'ns')};
my $look = q{SELECT coalesce(cache_get('k'), 'miss'), coalesce(cache_get('w:1'), 'miss'), coalesce(cache_get('ns', 'ns'), 'miss')};

$node->safe_psql('postgres', 'CREATE DATABASE one');
install($node, 'one');
$node->safe_psql('one', q{
	CREATE TABLE t (id int PRIMARY KEY, v text);
	INSERT INTO t VALUES (1, 'old');
	CREATE TABLE w (id int);
	INSERT INTO w VALUES (1);
	SELECT cache_watch_table('w', key => 'w:{id}'), cache_create_namespace('ns')});
$node->safe_psql('one', $fill);
$node->safe_psql('postgres', 'CREATE DATABASE two TEMPLATE one');
is($node->safe_psql('two', $look), 'miss|miss|miss', 'a copied database has no entries');
$node->safe_psql('two', $fill);
is($node->safe_psql('one', q{SELECT 't'::regclass::oid}), $node->safe_psql('two', q{SELECT 't'::regclass::oid}),
	'its tables have the same OIDs');

# A change in one is seen there, and nothing of it in the other.
for my $change (
	[ q{SELECT cache_delete('k')}, 'miss|one|one' ],
	[ q{SELECT cache_invalidate_tags('{t}')}, 'miss|one|one' ],
	[ q{SELECT cache_invalidate_tags('{t}', all_of => true)}, 'miss|one|one' ],
	[ q{SELECT cache_invalidate_pattern('%')}, 'miss|miss|one' ],
	[ q{SELECT cache_clear('ns')}, 'one|one|miss' ],
	[ q{SELECT cache_clear()}, 'miss|miss|miss' ],
	[ q{UPDATE t SET v = 'new'}, 'miss|one|one' ],
	[ q{TRUNCATE t; INSERT INTO t VALUES (1, 'old')}, 'miss|one|one' ],
	[ q{UPDATE w SET id = 1}, 'one|miss|one' ],
	[ q{TRUNCATE w; INSERT INTO w VALUES (1)}, 'one|miss|one' ],
	[ q{SELECT cache_put('k', 'new', depends_on => '{t}')}, 'new|one|one' ])
{
	my ($sql, $then) = @$change;
	$node->safe_psql('one', $fill);
	is($node->safe_psql('one', $look) . ' ' . $node->safe_psql('two', $look), 'one|one|one two|two|two', "before $sql");
	$node->safe_psql('one', $sql);
	is($node->safe_psql('one', $look), $then, "after $sql");
	is($node->safe_psql('two', $look), 'two|two|two', "and in the other: $sql");
}

# A snapshot of one database sees which transactions of the other have ended, so
# a long one there keeps nobody from caching here.
{
	my $session = $node->background_psql('two');
	$session->query_safe(q{BEGIN; UPDATE t SET v = 'uncommitted'; SELECT cache_put('k', 'uncommitted'), cache_delete('w:1')});
	$node->safe_psql('one', $fill);
	is($node->safe_psql('one', $look), 'one|one|one', 'a transaction in another database');
	is($node->safe_psql('two', $look), 'two|two|two', 'is not seen before its commit there');
	$node->safe_psql('one', q{UPDATE t SET v = 'newer'});
	is($node->safe_psql('one', $look), 'miss|one|one', 'nor are ours held up');
	$session->query_safe('COMMIT');
	$session->quit;
	is($node->safe_psql('two', $look), 'uncommitted|miss|two', 'but then');
	is($node->safe_psql('one', $look), 'miss|one|one', 'and there only');
}

# A lease is of its database.
{
	my $lease = $node->safe_psql('one', q{SELECT cache_lease('k')});
	like(query_error($node, "SELECT cache_put('k', 'v', lease => '$lease')", 'two'), qr/22023/, 'a lease of another database');
}

# What the other prepared is committed there only.
$node->safe_psql('one', $fill);
$node->safe_psql('two', "$fill; BEGIN; SELECT cache_clear(), cache_put('k', 'prepared'); UPDATE w SET id = 1; PREPARE TRANSACTION 'p'");
is($node->safe_psql('one', $look), 'one|one|one', 'prepared in another database');
$node->safe_psql('two', q{COMMIT PREPARED 'p'});
is($node->safe_psql('one', $look), 'one|one|one', 'and committed');
is($node->safe_psql('two', $look), 'prepared|miss|miss', 'where it was prepared');

# DROP DATABASE takes what is there, and a new one of the name has nothing.
$node->safe_psql('postgres', 'DROP DATABASE two');
is($node->safe_psql('one', $look), 'one|one|one', 'the other was dropped');
$node->safe_psql('postgres', 'CREATE DATABASE two TEMPLATE one');
is($node->safe_psql('two', $look), 'miss|miss|miss', 'and made again');

is_sound($node, 'databases', 'one');
is_sound($node, 'a new one', 'two');
$node->stop;
done_testing();
