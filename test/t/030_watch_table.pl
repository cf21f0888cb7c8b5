# Watches are part of their tables: they are dumped and restored with them, and
# DROP EXTENSION takes them along, also after a restore.  Logical replication
# makes them fire; other sessions see their effect from commit on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', 'wal_level = logical', 'max_wal_senders = 4', 'max_replication_slots = 4',
	'max_prepared_transactions = 4');
my $dir = PostgreSQL::Test::Utils::tempdir;

my $schema = q{
CREATE TABLE plain (id int PRIMARY KEY, name text);
CREATE TABLE "Odd ""table" ("a column" int);
CREATE TABLE parted (id int, place int) PARTITION BY LIST (place);
CREATE TABLE parted1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted2 PARTITION OF parted FOR VALUES IN (2) PARTITION BY LIST (id);
CREATE TABLE parted21 PARTITION OF parted2 FOR VALUES IN (1, 2);
CREATE TABLE parent (id int);
CREATE TABLE child () INHERITS (parent);
};

$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql('source', qq{
CREATE SCHEMA "the cache";
CREATE EXTENSION pg_cache SCHEMA "the cache";
SELECT "the cache".cache_create_namespace('second');
$schema
INSERT INTO plain VALUES (1, 'one');
SET search_path = "the cache", public;
SELECT cache_watch_table('plain', 'plain:{id}', ARRAY['name ''{name}', 'back\\slash', '{{x}}', 'ünï']);
SELECT cache_watch_table('plain', namespace => 'second', tags => '{plain}');
SELECT cache_watch_table('"Odd ""table"', '{a column}');
SELECT cache_watch_table('parted', 'p:{id}');
SELECT cache_watch_table('parent', 'i:{id}');
});

my $watches = 'SELECT rel::text, key, tags, namespace FROM "the cache".cache_watches ORDER BY 1, 2, 3, 4';
my $triggers = q{SELECT tgrelid::regclass, tgtype, tgenabled, tgparentid <> 0, encode(tgargs, 'escape')
	FROM pg_trigger WHERE tgname LIKE 'pg\_cache\_watch%' ORDER BY tgrelid::regclass::text COLLATE "C", tgtype, 5};
my $expected_watches = $node->safe_psql('source', $watches);
my $expected_triggers = $node->safe_psql('source', $triggers);
is(scalar(split(/\n/, $expected_watches)), 6, 'six watches, a child\'s among them');
is(scalar(split(/\n/, $expected_triggers)), 6 * 2 + 3, 'and three clones of triggers');

sub works
{
	my ($database, $how) = @_;
	my $put = q{SELECT cache_put(key, 'v') FROM
		unnest('{plain:1,plain:2,7,8,p:1,p:2,p:3,i:1,i:2,i:3}'::text[]) AS key;
		SELECT cache_put('s', 'v', tags => '{plain}', namespace => 'second'), cache_put('t', 'v', tags => ARRAY['back\\slash'])};
	my $live = q{SELECT string_agg(key, ' ' ORDER BY key COLLATE "C") FROM cache_entries};
	my $path = 'SET search_path = "the cache", public;';

	is($node->safe_psql($database, $watches), $expected_watches, "$how: same watches");
	is($node->safe_psql($database, $triggers), $expected_triggers, "$how: same triggers");
	$node->safe_psql($database, "$path $put");
	is($node->safe_psql($database, "$path $live"), '7 8 i:1 i:2 i:3 p:1 p:2 p:3 plain:1 plain:2 s t', "$how: all is cached");
	$node->safe_psql($database, q{
		UPDATE plain SET id = 2;
		INSERT INTO "Odd ""table" VALUES (7);
		INSERT INTO parted VALUES (1, 2); INSERT INTO parted1 VALUES (2, 1);
		INSERT INTO child VALUES (1); INSERT INTO parent VALUES (2)});
	is($node->safe_psql($database, "$path $live"), '8 i:3 p:3', "$how: rows invalidate");
	$node->safe_psql($database, 'TRUNCATE "Odd ""table", parted1, child');
	is($node->safe_psql($database, "$path $live") , '', "$how: TRUNCATE invalidates all");
	is($node->safe_psql($database, 'SELECT * FROM "the cache".cache_check()'), '', "$how: sound");

	# DROP EXTENSION is not blocked.
	$node->safe_psql($database, "$path $put; DROP EXTENSION pg_cache");
	is($node->safe_psql($database, $triggers), '', "$how: no trigger outlives the extension");
	$node->safe_psql($database, 'INSERT INTO plain VALUES (3); TRUNCATE parted, plain, parent');
	return;
}

sub restored
{
	my ($how, $dump, $restore) = @_;
	my $database = "copy of $how";

	$node->safe_psql('postgres', qq{CREATE DATABASE "$database"});
	$node->command_ok($dump, "$how: dumped");
	$node->command_ok([ @$restore, '-d', $node->connstr($database) ], "$how: restored");
	$node->safe_psql($database, q{TRUNCATE plain; INSERT INTO plain VALUES (1, 'one')});
	works($database, $how);
	$node->safe_psql('postgres', qq{DROP DATABASE "$database"});
	return;
}

restored('plain', [ 'pg_dump', '-f', "$dir/plain", 'source' ],
	[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain" ]);
restored('custom', [ 'pg_dump', '-Fc', '-f', "$dir/custom", 'source' ],
	[ 'pg_restore', '--exit-on-error', "$dir/custom" ]);
restored('single transaction', [ 'pg_dump', '-Fc', '-f', "$dir/single", 'source' ],
	[ 'pg_restore', '--single-transaction', "$dir/single" ]);

# Without data there is no namespace: that is no error.
$node->safe_psql('postgres', 'CREATE DATABASE schema');
$node->command_ok([ 'pg_dump', '--schema-only', '-f', "$dir/schema", 'source' ], 'schema dumped');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/schema", '-d', $node->connstr('schema') ],
	'schema restored');
is($node->safe_psql('schema', $watches), $expected_watches, 'schema only: same watches');
$node->safe_psql('schema', "INSERT INTO plain VALUES (1, 'one')");
$node->safe_psql('schema', q{SELECT "the cache".cache_create_namespace('second')});
works('schema', 'schema only');

# One table, into a database that has the extension in the same schema.
$node->safe_psql('postgres', 'CREATE DATABASE target');
$node->safe_psql('target', 'CREATE SCHEMA "the cache"; CREATE EXTENSION pg_cache SCHEMA "the cache"');
$node->command_ok([ 'pg_dump', '-t', 'plain', '-f', "$dir/table", 'source' ], 'one table dumped');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/table", '-d', $node->connstr('target') ],
	'one table restored');
is($node->safe_psql('target', q{
	SELECT "the cache".cache_put('plain:1', 'v');
	DELETE FROM plain;
	SELECT "the cache".cache_get('plain:1') IS NULL}), "\nt", 'and its watch works');
$node->safe_psql('target', 'DROP EXTENSION pg_cache');
is($node->safe_psql('target', $triggers), '', 'until the extension is dropped');

works('source', 'as created');

# ---- DROP EXTENSION in a transaction that also changes watched tables

$node->safe_psql('postgres', 'CREATE TABLE t (id int)');
$node->safe_psql('postgres', q{
BEGIN;
SELECT cache_watch_table('t', 't:{id}');
INSERT INTO t VALUES (1);
TRUNCATE t;
ALTER TABLE t ADD COLUMN c int DEFAULT random();
DROP EXTENSION pg_cache;
INSERT INTO t VALUES (2);
COMMIT});
is($node->safe_psql('postgres', $triggers), '', 'dropped in one transaction');
install($node);

# ---- other sessions

$node->safe_psql('postgres', q{SELECT cache_watch_table('t', 't:{id}')});
my $writer = $node->background_psql('postgres', on_error_stop => 1);
my $exists = q{SELECT cache_exists('t:1')};
for my $change ('INSERT INTO t VALUES (1)', 'TRUNCATE t', 'ALTER TABLE t ALTER c TYPE bigint',
	'ALTER TABLE t ALTER c TYPE int')
{
	$node->safe_psql('postgres', q{SELECT cache_put('t:1', 'v')});
	$writer->query_safe("BEGIN; $change");
	is($node->safe_psql('postgres', $exists), 't', "$change: not seen before commit");
	$writer->query_safe('ROLLBACK');
	is($node->safe_psql('postgres', $exists), 't', "$change: not seen after rollback");
	$writer->query_safe("BEGIN; $change; COMMIT");
	is($node->safe_psql('postgres', $exists), 'f', "$change: seen after commit");
}
$node->safe_psql('postgres', q{SELECT cache_put('t:1', 'v')});
$writer->query_safe(q{BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'p'});
$node->safe_psql('postgres', q{SELECT cache_put('t:1', 'v')});
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
is($node->safe_psql('postgres', $exists), 'f', 'a prepared change counts, also for what is put meanwhile');

# Whoever watched before the change was committed reads the table without it, and
# must not fill the cache with that.
my $reader = $node->background_psql('postgres', on_error_stop => 1);
$writer->query_safe('BEGIN; TRUNCATE t; INSERT INTO t VALUES (1, 1); COMMIT');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t');
$writer->query_safe('UPDATE t SET c = 2');
$reader->query_safe(q{SELECT cache_put('t:1', c::text) FROM t; COMMIT});
is($node->safe_psql('postgres', $exists), 'f', 'what an old snapshot read is not put');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t');
$writer->query_safe('UPDATE t SET c = 3');
$writer->query_safe(q{SELECT cache_put('t:1', c::text) FROM t});
is($reader->query_safe(q{SELECT cache_get('t:1') IS NULL, c FROM t}), 't|2', 'what it cannot see it does not get');
$reader->query_safe('COMMIT');
is($node->safe_psql('postgres', q{SELECT cache_get('t:1')}), '3', 'others do');
$writer->quit;
$reader->quit;
is_sound($node, 'other sessions');

# ---- announced by NOTIFY, under the name of the table that is watched

sub announced
{
	my ($sql) = @_;
	my $out = $node->safe_psql('postgres', "LISTEN pg_cache; SET pg_cache.notify = on; $sql");
	return [ sort($out =~ /"table": "([^"]+)"/g) ];
}
$node->safe_psql('postgres', q{
CREATE TABLE told (id int, place int) PARTITION BY LIST (place);
CREATE TABLE told1 PARTITION OF told FOR VALUES IN (1) PARTITION BY LIST (id);
CREATE TABLE told11 PARTITION OF told1 DEFAULT;
CREATE TABLE untold (id int);
SELECT cache_watch_table('told')});
is_deeply(announced('INSERT INTO told11 VALUES (1, 1), (2, 1)'), ['public.told'], 'rows of a partition');
is_deeply(announced('BEGIN; TRUNCATE told11; INSERT INTO t VALUES (5, 5); COMMIT'), [ 'public.t', 'public.told' ],
	'TRUNCATE of a partition');
is_deeply(announced('BEGIN; DELETE FROM told; ROLLBACK; INSERT INTO untold VALUES (1)'), [], 'nothing else');

# More of them than one message holds: take everything for changed.  What is
# rolled back may count, but not in the next transaction.
sub message
{
	my ($sql) = @_;
	my $out = $node->safe_psql('postgres', "LISTEN pg_cache; SET pg_cache.notify = on; $sql");
	return [ $out =~ /with payload "(.*)" received/g ];
}
$node->safe_psql('postgres', q{
DO $$ BEGIN
	FOR i IN 1 .. 300 LOOP
		EXECUTE format('CREATE TABLE n%s (id int)', i);
		PERFORM cache_watch_table(format('n%s', i)::regclass);
	END LOOP;
END $$});
my $insert = q{FOR i IN 1 .. 300 LOOP EXECUTE format('INSERT INTO n%s VALUES (1)', i); END LOOP;};
is_deeply(message("DO \$\$ BEGIN $insert END \$\$"), ['{"more": true}'], '300 tables');
is_deeply(message("DO \$\$ BEGIN $insert END \$\$; INSERT INTO told VALUES (6, 1)"),
	[ '{"more": true}', '{"changes": [{"table": "public.told"}]}' ], 'the next transaction');
is_deeply(message("BEGIN; DO \$\$ BEGIN $insert END \$\$; ROLLBACK; INSERT INTO told VALUES (7, 1)"),
	['{"changes": [{"table": "public.told"}]}'], 'all rolled back');
is_deeply(message("SET pg_cache.transactional = off; DO \$\$ BEGIN PERFORM cache_delete('a key that is long, number ' || i) FROM generate_series(1, 1000) i; END \$\$"),
	['{"more": true}'], '1000 keys at once');

# ---- the owner of a watched table loses the privilege to write

$node->safe_psql('postgres', q{CREATE DATABASE loss; CREATE ROLE loser});
$node->safe_psql('loss', q{
CREATE EXTENSION pg_cache;
SELECT cache_create_namespace('closed'), cache_grant('closed', 'loser', 'write');
GRANT CREATE ON SCHEMA public TO loser;
SET ROLE loser;
CREATE TABLE lost (id int) PARTITION BY LIST (id);
CREATE TABLE lost1 PARTITION OF lost FOR VALUES IN (1);
CREATE TABLE parent (id int);
SELECT cache_watch_table('lost', 'k:{id}', namespace => 'closed'), cache_watch_table('parent', 'p:{id}', namespace => 'closed');
RESET ROLE;
SELECT cache_revoke('closed', 'loser', 'write')});
sub goes_on
{
	my ($database, $how) = @_;
	my ($put, $left) = (q{SELECT cache_put(k, 'v', namespace => 'closed') FROM unnest('{k:1,k:2,p:1,p:2}'::text[]) AS k},
		q{SELECT coalesce(string_agg(key, ' ' ORDER BY key), 'none') FROM cache_entries});

	$node->safe_psql($database, "$put; INSERT INTO lost VALUES (1); INSERT INTO parent VALUES (1)");
	is($node->safe_psql($database, $left), 'k:2 p:2', "$how: rows count");
	$node->safe_psql($database, "$put; TRUNCATE lost1, parent");
	is($node->safe_psql($database, $left), 'none', "$how: TRUNCATE does");
	# Children get the watch, whoever makes them.
	$node->safe_psql($database, q{SET ROLE loser;
		CREATE TABLE lost2 PARTITION OF lost FOR VALUES IN (2);
		CREATE TABLE child () INHERITS (parent);
		CREATE TABLE late (id int);
		ALTER TABLE late INHERIT parent});
	$node->safe_psql($database, "$put; INSERT INTO lost2 VALUES (2); INSERT INTO child VALUES (1); INSERT INTO late VALUES (2)");
	is($node->safe_psql($database, $left), 'k:1', "$how: rows of new children do");
	like(query_error($node, q{SET ROLE loser; SELECT cache_watch_table('late', 'q', namespace => 'closed')}, $database), qr/42501/,
		"$how: no new watch");
	like(query_error($node, q{SET ROLE loser; CREATE TRIGGER w_inherited AFTER INSERT ON late FOR EACH ROW EXECUTE FUNCTION
		cache_watch_trigger('q', '{}', 'closed')}, $database), qr/42501/, "$database: no name gives it back");
	like(query_error($node, q{SET ROLE loser; CREATE TRIGGER w AFTER INSERT ON late FOR EACH ROW EXECUTE FUNCTION
		cache_watch_trigger('q', '{}', 'closed')}, $database), qr/42501/, "$how: nor by hand");
	is($node->safe_psql($database, 'SELECT * FROM cache_check()'), '', "$how: sound");
	return;
}
$node->command_ok([ 'pg_dump', '-f', "$dir/loss", 'loss' ], 'dumped without the privilege');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/loss", '-d', $node->connstr('restored') ],
	'and restored');
goes_on('loss', 'privilege lost');
goes_on('restored', 'privilege lost, restored');

# ---- logical replication

my $subscriber = new_server('subscriber', 'max_replication_slots = 4');
$node->safe_psql('postgres', q{
CREATE TABLE r (id int PRIMARY KEY, place int) PARTITION BY RANGE (id);
CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (100);
INSERT INTO r SELECT n FROM generate_series(1, 5) AS n;
CREATE PUBLICATION pub FOR TABLE r WITH (publish_via_partition_root = true)});
$subscriber->safe_psql('postgres', q{
CREATE TABLE r (id int PRIMARY KEY, place int) PARTITION BY RANGE (id);
CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (100);
SELECT cache_watch_table('r', 'r:{id}')});
my $connection = $node->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', qq{CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION pub});
$subscriber->wait_for_subscription_sync($node, 'sub');

sub applied
{
	my ($sql, $left) = @_;

	$subscriber->safe_psql('postgres', q{SELECT cache_put('r:' || n, 'v') FROM generate_series(1, 7) AS n});
	$node->safe_psql('postgres', $sql);
	$node->wait_for_catchup('sub');
	is($subscriber->safe_psql('postgres',
			q{SELECT string_agg(key, ' ' ORDER BY key COLLATE "C") FROM cache_entries}),
		$left, "applied: $sql");
	return;
}
applied('UPDATE r SET place = 1 WHERE id = 1', 'r:2 r:3 r:4 r:5 r:6 r:7');
applied('UPDATE r SET id = 6 WHERE id = 2', 'r:1 r:3 r:4 r:5 r:7');
applied('DELETE FROM r WHERE id = 3', 'r:1 r:2 r:4 r:5 r:6 r:7');
applied('INSERT INTO r VALUES (7)', 'r:1 r:2 r:3 r:4 r:5 r:6');
applied('TRUNCATE r', '');
is_sound($subscriber, 'subscriber');
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION sub');
$subscriber->stop;

# ---- without the library preloaded, as pg_upgrade and pg_restore may find it

$node->safe_psql('postgres', q{CREATE TABLE u (id int); SELECT cache_watch_table('u', 'u:{id}')});
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
$node->safe_psql('postgres', 'INSERT INTO u VALUES (1); TRUNCATE u; DROP TABLE u');
like(query_error($node, q{SELECT cache_watch_table('t', 'k')}), qr/55000/, 'not preloaded: refused');
$node->stop;
done_testing();
