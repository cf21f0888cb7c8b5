# What a transaction changed is published in the stamps of the relations and of
# their ancestors, whatever way it was changed; strictly where the definition
# changed; and what the session knows of its own changes and its snapshot.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs the test build' unless $ENV{PGCACHE_TEST};

my $node = new_server('watch', 'max_prepared_transactions = 4', 'max_locks_per_transaction = 512');
install_test_functions($node);

$node->safe_psql('postgres', q{
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t SELECT i, i FROM generate_series(1, 100) i;
CREATE TABLE u (id int PRIMARY KEY, v int);
CREATE TABLE other (id int);

CREATE TABLE parted (id int, v int) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE part2 PARTITION OF parted FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (v);
CREATE TABLE part2a PARTITION OF part2 FOR VALUES FROM (0) TO (1000);
CREATE TABLE loose (id int, v int);

CREATE TABLE parent (id int);
CREATE TABLE parent2 (id int);
CREATE TABLE child () INHERITS (parent, parent2);
CREATE TABLE grandchild () INHERITS (child);

CREATE TABLE referenced (id int PRIMARY KEY);
CREATE TABLE referencing (id int REFERENCES referenced ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO referenced VALUES (1), (2), (3), (4), (5);
INSERT INTO referencing VALUES (1), (2), (3), (4), (5);

CREATE TABLE triggering (id int);
CREATE TABLE triggered (id int);
CREATE FUNCTION trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO triggered VALUES (NEW.id); RETURN NEW; END $$;
CREATE TRIGGER trigger AFTER INSERT ON triggering FOR EACH ROW EXECUTE FUNCTION trigger();
CREATE TABLE deferring (id int);
CREATE CONSTRAINT TRIGGER trigger AFTER INSERT ON deferring
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trigger();

CREATE MATERIALIZED VIEW matview AS SELECT * FROM t;
CREATE UNIQUE INDEX ON matview (id);
CREATE VIEW view AS SELECT * FROM t WHERE id < 10;
CREATE RULE also AS ON INSERT TO other DO ALSO INSERT INTO u SELECT NEW.id + 1000;
});

sub value
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

sub stamps
{
	my @tables = @_;
	return split /\|/, value('SELECT '
		  . join(', ', map { "pgcache_test_relation_stamp('$_')" } @tables)
		  . ', pgcache_test_database_stamp()');
}

# Runs the statements, and compares which of the tables were published, and how:
# each is given as table => 'xid', 'strict', 'prepared', or '' for not at all.
sub publishes
{
	my ($what, $sql, %expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @tables = sort keys %expected;
	my @before = stamps(@tables);
	my ($rc, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 0);
	my @after = stamps(@tables);
	my %got;

	for my $i (0 .. $#tables)
	{
		$got{$tables[$i]} = $after[$i] == $before[$i] ? '' :
		  value("SELECT pgcache_test_relation_kind('$tables[$i]')");
	}
	is_deeply(\%got, \%expected, $what) or diag $err;
	is($after[-1], $before[-1], "not everything: $what");
	is(value('SELECT ' . join(' + ', map { "pgcache_test_relation_pending('$_')" } @tables)),
		0, "nothing pending: $what");
	return;
}

# ---- rows

publishes('nothing written', 'SELECT * FROM t; BEGIN; LOCK TABLE t; COMMIT', t => '');
publishes('INSERT', 'INSERT INTO t VALUES (1000, 1)', t => 'xid', other => '');
publishes('UPDATE', 'UPDATE t SET v = v + 1 WHERE id = 1', t => 'xid');
publishes('DELETE', 'DELETE FROM t WHERE id = 1000', t => 'xid');
publishes('COPY', "COPY t FROM STDIN;\n2000\t1\n\\.\n", t => 'xid', other => '');
publishes('MERGE', q{
	MERGE INTO t USING (VALUES (2000), (2001)) s(id) ON t.id = s.id
	WHEN MATCHED THEN UPDATE SET v = 0 WHEN NOT MATCHED THEN INSERT VALUES (s.id, 0)},
	t => 'xid');
publishes('ON CONFLICT', 'INSERT INTO t VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET v = 5', t => 'xid');
publishes('writable CTE', 'WITH w AS (DELETE FROM t WHERE id > 1000 RETURNING *) INSERT INTO u SELECT * FROM w',
	t => 'xid', u => 'xid');
publishes('rule', 'INSERT INTO other VALUES (1)', other => 'xid', u => 'xid');
publishes('view', 'UPDATE view SET v = 0', t => 'xid', view => 'xid');
publishes('rollback', 'BEGIN; UPDATE t SET v = 1; ROLLBACK', t => '');
publishes('a savepoint that is rolled back',
	'BEGIN; INSERT INTO other VALUES (9); SAVEPOINT s; UPDATE t SET v = 1; ROLLBACK TO s; COMMIT',
	t => '', other => 'xid');
publishes('a savepoint that is released',
	'BEGIN; SAVEPOINT s; UPDATE t SET v = 1 WHERE id = 5; RELEASE s; COMMIT', t => 'xid');
publishes('an error', 'UPDATE t SET v = 1 / (v - v)', t => '');
publishes('COMMIT in a procedure', q{
	DO $$ BEGIN UPDATE t SET v = 1; COMMIT; UPDATE u SET v = 1; ROLLBACK; END $$},
	t => 'xid', u => '');
publishes('FOREIGN KEY', 'DELETE FROM referenced WHERE id = 1', referenced => 'xid', referencing => 'xid');
publishes('trigger', 'INSERT INTO triggering VALUES (1)', triggering => 'xid', triggered => 'xid');
publishes('deferred trigger', 'BEGIN; INSERT INTO deferring VALUES (1); COMMIT',
	deferring => 'xid', triggered => 'xid');
publishes('session_replication_role',
	'SET session_replication_role = replica; INSERT INTO triggering VALUES (1)',
	triggering => 'xid', triggered => '');
publishes('no counts', 'SET track_counts = off; UPDATE t SET v = 3 WHERE id = 3', t => 'xid');
publishes('temporary tables',
	'CREATE TEMP TABLE temporary (id int); INSERT INTO temporary VALUES (1)', t => '');

# ---- ancestors

publishes('a row for a partition', 'INSERT INTO parted VALUES (1, 1)',
	parted => 'xid', part1 => 'xid', part2 => '', part2a => '');
publishes('a row into a partition', 'INSERT INTO part1 VALUES (1, 1)', parted => 'xid', part1 => 'xid', part2 => '');
publishes('two levels', 'INSERT INTO part2a VALUES (100, 1)',
	parted => 'xid', part1 => '', part2 => 'xid', part2a => 'xid');
publishes('a row that moves', 'UPDATE parted SET id = id + 100 WHERE id = 1',
	part1 => 'xid', part2a => 'xid', parted => 'xid');
publishes('a child', 'INSERT INTO child VALUES (1)',
	parent => 'xid', parent2 => 'xid', child => 'xid', grandchild => '');
publishes('a grandchild', 'INSERT INTO grandchild VALUES (1)',
	parent => 'xid', parent2 => 'xid', child => 'xid', grandchild => 'xid');

# A session that knows the ancestors already.
my $session = $node->background_psql('postgres', on_error_stop => 1);
$session->query_safe('INSERT INTO loose VALUES (300, 1)');
publishes('ATTACH', 'ALTER TABLE parted ATTACH PARTITION loose FOR VALUES FROM (300) TO (400)',
	parted => 'strict', loose => 'strict');
my @before = stamps('parted', 'loose');
$session->query_safe('INSERT INTO loose VALUES (301, 1)');
my @after = stamps('parted', 'loose');
ok($after[0] > $before[0] && $after[1] > $before[1], 'another session sees ATTACH');
publishes('DETACH', 'ALTER TABLE parted DETACH PARTITION loose', parted => 'strict', loose => 'strict');
@before = stamps('parted', 'loose');
$session->query_safe('INSERT INTO loose VALUES (302, 1)');
@after = stamps('parted', 'loose');
ok($after[0] == $before[0] && $after[1] > $before[1], 'and DETACH');

$session->query_safe('INSERT INTO grandchild VALUES (2)');
publishes('NO INHERIT', 'ALTER TABLE child NO INHERIT parent',
	parent => 'strict', parent2 => 'strict', child => 'strict');
@before = stamps('parent', 'parent2');
$session->query_safe('INSERT INTO grandchild VALUES (3)');
@after = stamps('parent', 'parent2');
ok($after[0] == $before[0] && $after[1] > $before[1], 'another session sees NO INHERIT');
publishes('INHERIT', 'ALTER TABLE child INHERIT parent', parent => 'strict', child => 'strict');
@before = stamps('parent');
$session->query_safe('INSERT INTO grandchild VALUES (4)');
@after = stamps('parent');
cmp_ok($after[0], '>', $before[0], 'and INHERIT');
publishes('INHERIT and a row in one transaction', q{
	CREATE TABLE child2 (id int); BEGIN; ALTER TABLE child2 INHERIT parent;
	INSERT INTO child2 VALUES (1); COMMIT}, parent => 'strict', parent2 => '');
publishes('INHERIT after a look at what the child was a child of', q{
	CREATE TABLE child3 (id int);
	LOCK TABLE child3 IN ACCESS EXCLUSIVE MODE\; SELECT pgcache_test_wrote('t')\; ALTER TABLE child3 INHERIT parent;},
	parent => 'strict', parent2 => '');
publishes('DROP of a child', 'DROP TABLE grandchild', parent => 'strict', parent2 => 'strict', child => 'strict');
publishes('DROP of a partition', 'DROP TABLE part2a', parted => 'strict', part2 => 'strict', part1 => '');
$session->quit;

# ---- definitions

publishes('TRUNCATE', 'TRUNCATE u', u => 'strict', t => '');
publishes('TRUNCATE CASCADE', 'TRUNCATE referenced CASCADE', referenced => 'strict', referencing => 'strict');
publishes('TRUNCATE of a partitioned table', 'TRUNCATE parted', parted => 'strict', part1 => 'strict');
publishes('TRUNCATE of a partition', 'TRUNCATE part1', parted => 'strict', part1 => 'strict');
publishes('TRUNCATE rolled back', 'BEGIN; TRUNCATE u; ROLLBACK', u => '');
publishes('ALTER TABLE', 'ALTER TABLE u ADD w int', u => 'strict');
publishes('a rewrite', 'ALTER TABLE u ALTER v TYPE bigint', u => 'strict');
publishes('REFRESH', 'REFRESH MATERIALIZED VIEW matview', matview => 'strict', t => '');
publishes('REFRESH CONCURRENTLY',
	'UPDATE t SET v = 77 WHERE id = 7; REFRESH MATERIALIZED VIEW CONCURRENTLY matview', matview => 'strict', t => 'xid');
publishes('CLUSTER', 'CLUSTER t USING t_pkey', t => 'strict');
publishes('CREATE OR REPLACE VIEW', 'CREATE OR REPLACE VIEW view AS SELECT * FROM t WHERE id < 5', view => 'strict');
publishes('CREATE POLICY', 'CREATE POLICY p ON t USING (id < 5)', t => 'strict');
publishes('GRANT', 'GRANT SELECT ON t TO public', t => 'strict');
publishes('CREATE TABLE AS', 'CREATE TABLE made AS SELECT * FROM t', t => '');

# ---- prepared transactions

publishes('PREPARE', q{BEGIN; UPDATE t SET v = 2; INSERT INTO part1 VALUES (3); PREPARE TRANSACTION 'p'},
	t => 'xid', part1 => 'xid', parted => 'xid', u => '');
publishes('COMMIT PREPARED', q{COMMIT PREPARED 'p'}, t => '', part1 => '');
publishes('PREPARE of DDL', q{BEGIN; UPDATE t SET v = 2; TRUNCATE part1; PREPARE TRANSACTION 'p'},
	t => 'xid', part1 => 'prepared', parted => 'prepared', u => '');
publishes('ROLLBACK PREPARED', q{ROLLBACK PREPARED 'p'}, t => '', part1 => '');

# ---- too much

my $before = value('SELECT pgcache_test_database_stamp()');
value(q{
	DO $$ BEGIN
	  FOR i IN 1 .. 1100 LOOP EXECUTE 'CREATE TABLE many' || i || ' (id int)'; END LOOP;
	END $$});
cmp_ok(value('SELECT pgcache_test_database_stamp()'), '>', $before, 'too many definitions are everything');
$before = value('SELECT pgcache_test_database_stamp()');
value(q{
	DO $$ BEGIN
	  FOR i IN 1 .. 1000 LOOP EXECUTE 'INSERT INTO many' || i || ' VALUES (1)'; END LOOP;
	END $$});
is(value('SELECT pgcache_test_database_stamp()'), $before, 'a thousand tables are not');
$before = value('SELECT pgcache_test_database_stamp()');
value(q{
	DO $$ BEGIN
	  FOR i IN 1 .. 1100 LOOP EXECUTE 'INSERT INTO many' || i || ' VALUES (1)'; END LOOP;
	END $$});
cmp_ok(value('SELECT pgcache_test_database_stamp()'), '>', $before, 'too many tables are everything');
$before = value('SELECT pgcache_test_database_stamp()');
value('CREATE PUBLICATION p FOR ALL TABLES');
cmp_ok(value('SELECT pgcache_test_database_stamp()'), '>', $before, 'so is a message for all relations');

# ---- own changes

is(value(q{
	SELECT pgcache_test_wrote('t'), pgcache_test_own_changes('t');
	BEGIN;
	UPDATE t SET v = 1 WHERE id <= 3;
	SELECT pgcache_test_wrote('t'), pgcache_test_own_changes('t'),
	       pgcache_test_wrote('u'), pgcache_test_own_changes('u');
	SAVEPOINT s;
	UPDATE t SET v = 1 WHERE id = 3;
	SELECT pgcache_test_own_changes('t');
	ROLLBACK TO s;
	SELECT pgcache_test_own_changes('t');
	INSERT INTO part1 VALUES (1, 1);
	SELECT pgcache_test_wrote('parted'), pgcache_test_own_changes('parted'),
	       pgcache_test_wrote('part2'), pgcache_test_own_changes('part2');
	SET LOCAL track_counts = off;
	SELECT pgcache_test_own_changes('t') IS NULL, pgcache_test_own_changes('u');
	ROLLBACK}),
	"f|0\nt|3|f|0\n4\n3\nt|1|f|0\nt|0", 'own changes');
is(value(q{
	BEGIN;
	TRUNCATE t;
	SELECT pgcache_test_wrote('t'), pgcache_test_own_changes('t') IS NULL;
	ROLLBACK}), "t|t", 'own TRUNCATE');
is(value(q{
	BEGIN;
	ALTER TABLE u ADD x int;
	CREATE TEMP TABLE seen AS SELECT pgcache_test_own_changes('u') n;
	SELECT n > 0 FROM seen;
	ALTER TABLE u ADD y int;
	SELECT pgcache_test_own_changes('u') > n FROM seen;
	ROLLBACK}), "t\nt", 'own ALTER TABLE');

is(value(q{
	CREATE TABLE heir () INHERITS (parent);
	CREATE TABLE heir2 () INHERITS (parent2);
	BEGIN;
	SELECT pgcache_test_wrote('parent');
	SAVEPOINT s;
	DROP TABLE heir;
	SELECT pgcache_test_wrote('parent'), pgcache_test_own_changes('parent') <> 0, pgcache_test_wrote('parent2');
	ROLLBACK TO s;
	ALTER TABLE heir2 NO INHERIT parent2;
	SELECT pgcache_test_wrote('parent2'), pgcache_test_own_changes('parent2') <> 0, pgcache_test_wrote('parent');
	ROLLBACK}), "f\nt|t|f\nt|t|f", 'own DROP and NO INHERIT of a child');

# Whoever asks again and again reads pg_inherits once.
is(value(q{
	CREATE FUNCTION scans() RETURNS bigint LANGUAGE sql AS $$
	SELECT pg_stat_get_xact_numscans('pg_inherits_relid_seqno_index'::regclass) $$;
	BEGIN;
	CREATE TABLE made1 (); CREATE TABLE made2 ();
	SELECT pgcache_test_wrote('t');
	CREATE TEMP TABLE before AS SELECT scans();
	SELECT pgcache_test_wrote('t');
	SELECT scans() AS first \gset
	SELECT count(pgcache_test_wrote('t')) FROM generate_series(1, 10);
	SELECT scans() - :first;
	ROLLBACK}), "f\nf\n10\n0", 'families of the past are kept');

# ---- puts that depend on what the own transaction changed

value('DROP PUBLICATION p');

# What is served to others after the statements, and what the table has.
sub stored
{
	my ($sql) = @_;
	value(q{UPDATE src SET v = 'old'; SELECT cache_clear()});
	my ($rc, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 0);
	my $stored = value(q{SELECT coalesce(cache_get('k'), 'miss'), v FROM src});
	value('DROP TRIGGER IF EXISTS tr ON src');
	return $stored;
}

$node->safe_psql('postgres', q{
CREATE TABLE src (v text);
INSERT INTO src VALUES ('old');
CREATE TABLE log (v text);
CREATE FUNCTION put(x text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN PERFORM cache_put('k', x, depends_on => '{src}'); RETURN x; END $$;
CREATE FUNCTION fill() RETURNS text LANGUAGE plpgsql AS $$
DECLARE x text;
BEGIN SELECT v INTO x FROM src; RETURN put(x); END $$;
CREATE FUNCTION stable_fill() RETURNS text STABLE LANGUAGE plpgsql AS $$
DECLARE x text;
BEGIN SELECT v INTO x FROM src; PERFORM cache_put('k', x, depends_on => '{src}'); RETURN x; END $$;
CREATE FUNCTION change() RETURNS int LANGUAGE plpgsql AS $$
BEGIN UPDATE src SET v = 'new'; RETURN 1; END $$;
CREATE FUNCTION change_and_fill() RETURNS text LANGUAGE plpgsql AS $$
BEGIN PERFORM change(); RETURN fill(); END $$;
CREATE FUNCTION on_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM fill(); RETURN NULL; END $$;
CREATE FUNCTION on_change_stable() RETURNS trigger STABLE LANGUAGE plpgsql AS $$
BEGIN PERFORM stable_fill(); RETURN NULL; END $$;
CREATE TABLE filled (v text DEFAULT stable_fill());
ALTER TABLE filled ADD id int;
CREATE FUNCTION change_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.id = 1 THEN PERFORM change(); END IF; RETURN NEW; END $$;
CREATE TRIGGER tr BEFORE INSERT ON filled FOR EACH ROW EXECUTE FUNCTION change_once();
});

is(stored(q{SELECT cache_put('k', v, depends_on => '{src}') FROM src}), 'old|old', 'a put');
is(stored(q{SELECT change_and_fill()}), 'new|new', 'a function that changes, selects and puts');
is(stored(q{BEGIN; SELECT change(); SELECT fill(); COMMIT}), 'new|new', 'statement by statement');
is(stored(q{DO $$ BEGIN UPDATE src SET v = 'new'; PERFORM fill(); END $$}), 'new|new', 'DO');
is(stored(q{DO $$ DECLARE x text; BEGIN UPDATE src SET v = 'new'; x := fill(); END $$}), 'new|new', 'an assignment');
is(stored(q{CREATE TEMP TABLE made AS SELECT change_and_fill()}), 'new|new', 'CREATE TABLE AS');
is(stored(q{BEGIN; SELECT change(); CREATE TEMP TABLE made AS SELECT fill(); COMMIT}), 'new|new',
	'CREATE TABLE AS after it');
is(stored(q{BEGIN; UPDATE src SET v = 'new'; SAVEPOINT s; UPDATE src SET v = 'newer'; ROLLBACK TO s; SELECT fill(); COMMIT}),
	'new|new', 'after ROLLBACK TO');
is(stored(q{
	CREATE TRIGGER tr AFTER UPDATE ON src FOR EACH ROW EXECUTE FUNCTION on_change();
	UPDATE src SET v = 'new'}), 'new|new', 'AFTER ROW trigger');
is(stored(q{
	CREATE TRIGGER tr AFTER UPDATE ON src FOR EACH STATEMENT EXECUTE FUNCTION on_change();
	UPDATE src SET v = 'new'}), 'new|new', 'AFTER STATEMENT trigger');
is(stored(q{
	CREATE CONSTRAINT TRIGGER tr AFTER UPDATE ON src DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION on_change();
	UPDATE src SET v = 'new'}), 'new|new', 'deferred trigger');
is(stored(q{COPY log FROM stdin;
x
\.
SELECT change_and_fill()}), 'new|new', 'after COPY of another table');

# Read by a snapshot that doesn't see the change.
is(stored(q{
	WITH u AS (UPDATE src SET v = 'new' RETURNING 1)
	SELECT cache_put('k', (SELECT v FROM src), depends_on => '{src}') FROM u}), 'miss|new', 'WITH');
is(stored(q{
	WITH u AS (UPDATE src SET v = 'new' RETURNING 1)
	SELECT put((SELECT v FROM src)) FROM u}), 'miss|new', 'WITH, and a function that puts');
is(stored(q{
	WITH u AS (UPDATE src SET v = 'new' RETURNING put((SELECT v FROM src))) SELECT 1}), 'miss|new',
	'WITH that nobody reads');
is(stored(q{UPDATE src SET v = 'new' RETURNING put((SELECT v FROM src))}), 'miss|new', 'RETURNING');
is(stored(q{UPDATE src SET v = 'new' RETURNING stable_fill()}), 'miss|new', 'a STABLE function');
is(stored(q{
	CREATE TRIGGER tr AFTER UPDATE ON src FOR EACH ROW EXECUTE FUNCTION on_change_stable();
	UPDATE src SET v = 'new'}), 'miss|new', 'a STABLE trigger function');
is(stored(q{SELECT change(), cache_put('k', (SELECT v FROM src), depends_on => '{src}')}), 'miss|new',
	'a function that changes, in the same SELECT');
is(stored(q{INSERT INTO log SELECT cache_put('k', (SELECT v FROM src), depends_on => '{src}')::text
	FROM (SELECT change() OFFSET 0) c}), 'miss|new', 'INSERT of a SELECT');
is(stored(q{DO $$ DECLARE a int; b text; BEGIN
	SELECT change(), stable_fill() INTO a, b; END $$}), 'miss|new', 'in a block');
is(stored(q{COPY filled (id) FROM stdin;
1
2
\\.
}), 'miss|new', 'DEFAULT in COPY');

# Read before a part of the statement was rolled back.
is(stored(q{
	DO $$ DECLARE x text; BEGIN
	  BEGIN UPDATE src SET v = 'dirty'; SELECT v INTO x FROM src; RAISE 'no';
	  EXCEPTION WHEN OTHERS THEN NULL; END;
	  PERFORM put(x); END $$}), 'miss|old', 'an EXCEPTION block');
is(stored(q{
	DO $$ DECLARE x text; BEGIN
	  UPDATE src SET v = 'dirty'; SELECT v INTO x FROM src; ROLLBACK; PERFORM put(x); END $$}),
	'miss|old', 'ROLLBACK in DO');
is(stored(q{
	BEGIN;
	DO $$ BEGIN UPDATE src SET v = 'dirty'; RAISE 'no'; EXCEPTION WHEN OTHERS THEN NULL; END $$;
	SELECT fill(); COMMIT}), 'old|old', 'a later statement puts');
is(stored(q{
	DO $$ BEGIN
	  BEGIN INSERT INTO log VALUES ('dirty'); RAISE 'no';
	  EXCEPTION WHEN OTHERS THEN NULL; END;
	  PERFORM fill(); END $$}), 'old|old', 'another table rolled back');
is(stored(q{
	DO $$ BEGIN
	  BEGIN PERFORM v FROM src; RAISE 'no'; EXCEPTION WHEN OTHERS THEN NULL; END;
	  PERFORM fill(); END $$}), 'old|old', 'nothing rolled back');

# ---- writers that die

my $doomed = $node->background_psql('postgres', on_error_stop => 0);
my $holder = $node->background_psql('postgres', on_error_stop => 0);
for my $point ('watch-before-publish', 'watch-after-publish')
{
	my $pid = $doomed->query_safe('SELECT pg_backend_pid()');

	$holder->query_safe("SELECT pgcache_test_arm('$point')");
	$doomed->query_until(qr/started/, "\\echo started\nTRUNCATE u;\n");
	$node->poll_query_until('postgres', qq{
		SELECT count(*) = 1 FROM pg_stat_activity
		WHERE pid = $pid AND wait_event = 'advisory'}) or die "nobody at $point";
	is(value(q{SELECT pgcache_test_relation_pending('u')}),
		$point eq 'watch-after-publish' ? 1 : 0, "pending at $point");
	value("SELECT pg_terminate_backend($pid, 60000)");
	$holder->query_safe("SELECT pgcache_test_disarm('$point')");
	is(value(q{SELECT pgcache_test_relation_pending('u')}), 0, "killed at $point");
	$doomed->{run}->finish;
	$doomed = $node->background_psql('postgres', on_error_stop => 0);
}
$doomed->quit;
$holder->quit;

# ---- bounds

# asof, noted, before and epoch of several calls.
sub bounds
{
	my ($sql) = @_;
	return map { [ split /,/, s/[{}]//gr ] } split /\n/, value($sql);
}

$node->safe_psql('postgres', q{
CREATE TABLE busy (id int);
CREATE PROCEDURE twice() LANGUAGE plpgsql AS $$
DECLARE a bigint[]; b bigint[]; c bigint[]; d bigint[];
BEGIN
  PERFORM count(*) FROM t; a := pgcache_test_bound();
  INSERT INTO busy VALUES (1); PERFORM count(*) FROM t; b := pgcache_test_bound();
  COMMIT;
  PERFORM count(*) FROM t; c := pgcache_test_bound();
  INSERT INTO busy VALUES (1); PERFORM count(*) FROM t; d := pgcache_test_bound();
  RAISE INFO '% % %', a = b, a = c, a = d;
END $$;
CREATE TABLE bounds (what text, bound bigint[]);
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM count(*) FROM t;
  INSERT INTO bounds SELECT 'deferred', pgcache_test_bound();
  RETURN NEW;
END $$;
CREATE CONSTRAINT TRIGGER keep AFTER INSERT ON u
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION keep();
});

my ($rc, $out, $err) = $node->psql('postgres', 'CALL twice()');
like($err, qr/INFO:  t t t$/m, 'one bound for a procedure, also after it commits');

my @b = bounds('SELECT pgcache_test_bound(); INSERT INTO busy VALUES (1); SELECT pgcache_test_bound()');
cmp_ok($b[1][0], '>', $b[0][0], 'a later statement has a later snapshot');
cmp_ok($b[1][2], '>=', $b[0][1], 'its number before is of the end of the one before');
cmp_ok($b[1][1], '>', $b[0][1], 'it saw the publishes');
@b = bounds(q{
	BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pgcache_test_bound(); INSERT INTO busy VALUES (1);
	SELECT pgcache_test_bound(); COMMIT});
is_deeply([ @{ $b[0] }[0 .. 2] ], [ @{ $b[1] }[0 .. 2] ], 'REPEATABLE READ keeps its bound');

# A cursor that an earlier statement opened.
my $fetch = $node->background_psql('postgres', on_error_stop => 1);
$fetch->query_safe('BEGIN');
my ($open) = $fetch->query_safe('SELECT pgcache_test_bound()');
$fetch->query_safe('DECLARE c CURSOR FOR SELECT pgcache_test_bound() FROM generate_series(1, 3)');
value('INSERT INTO busy VALUES (1)');
my ($later) = $fetch->query_safe('SELECT pgcache_test_bound()');
my ($fetched) = $fetch->query_safe('FETCH 1 FROM c');
my @asof = map { (split /,/, s/[{}]//gr)[0] } $open, $fetched, $later;
is($asof[1], $asof[0], 'a cursor has the snapshot it was opened with');
cmp_ok($asof[2], '>', $asof[1], 'which is earlier');
my ($within) = $fetch->query_safe(q{
	CREATE FUNCTION pg_temp.fetch(c refcursor) RETURNS bigint[] LANGUAGE plpgsql AS $$
	DECLARE b bigint[]; BEGIN FETCH c INTO b; RETURN pgcache_test_bound(); END $$;
	SELECT pg_temp.fetch('c')});
is((split /,/, $within =~ s/[{}]//gr)[0], $asof[0], 'also where a function fetches from it');
$fetch->query_safe('COMMIT');
$fetch->quit;

value(q{BEGIN; INSERT INTO u VALUES (1), (2); COMMIT});
is(value(q{SELECT count(*), count(DISTINCT bound), bool_and(bound IS NOT NULL) FROM bounds}), '2|1|t',
	'deferred triggers have one bound');

# However many statements a transaction has, nothing is kept of them.
is(value(q{
	CREATE FUNCTION used() RETURNS bigint LANGUAGE sql AS $$
	SELECT used_bytes FROM pg_backend_memory_contexts WHERE name = 'TopTransactionContext' $$;
	PREPARE one AS SELECT 1;
	BEGIN;
	DECLARE c CURSOR FOR SELECT 1 FROM generate_series(1, 1000);
	FETCH c; EXECUTE one; SELECT 1;
	SELECT used() AS first \gset
	} . 'FETCH c; EXECUTE one; SELECT 1;' x 300 . q{
	SELECT 'used', used() - :first < 4096;
	COMMIT}) =~ /^used\|(.)$/m ? $1 : '', 't', 'memory of a transaction');

# Rules: two queries of one portal share a snapshot and its numbers.
value(q{
	CREATE TABLE ruled (id int);
	CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO bounds SELECT 'second', pgcache_test_bound();
	TRUNCATE bounds;
	INSERT INTO ruled SELECT 1 FROM (SELECT pgcache_test_bound()) x});
is(value(q{SELECT bound[2] >= bound[3] FROM bounds WHERE what = 'second'}), 't', 'rules');

is_sound($node, 'watch');
$node->stop;
done_testing();
