# Warmers that run by their schedules, in processes of their own.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs the test build' unless $ENV{PGCACHE_TEST};

# The clock is set forward, which wakes the workers; else they sleep.
my $node = new_server('main',
	"max_worker_processes = 12",
	"pg_cache.memory = '64MB'",
	"pg_cache.max_warmers = 2",
	"wal_level = replica",
	"max_wal_senders = 4",
	"pg_cache.stats_interval = 0",
	"log_timezone = 'Europe/Berlin'");
install_test_functions($node);
wait_for_workers($node, 'postgres', 'there is a worker');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub advance
{
	sql("SELECT pgcache_test_advance_clock('$_[0]')");
	return;
}

# Waits for n finished runs of a warmer, and gives columns of its last one.
sub wait_for_runs
{
	my ($name, $n, $columns) = @_;
	$node->poll_query_until('postgres',
		"SELECT count(*) >= $n FROM cache_warmer_runs WHERE name = '$name' AND finished_at IS NOT NULL")
	  or die "no $n runs of $name";
	return sql("SELECT " . ($columns // 'rows, attempt, reason, error')
		  . " FROM cache_warmer_runs WHERE name = '$name' ORDER BY id DESC LIMIT 1");
}

sub runs
{
	return sql("SELECT count(*) FROM cache_warmer_runs WHERE name = '$_[0]'");
}

# Until the worker has looked at everything that it was told, which it does in
# order: this warmer runs after what was due before.
my $markers = 0;
sub worker_has_looked
{
	my $name = 'marker ' . ++$markers;
	sql("SELECT cache_create_warmer('$name', 'VALUES (1, 1)', '1 ms', namespace => 'markers')");
	advance('1 s');
	wait_for_runs($name, 1);
	sql("SELECT cache_drop_warmer('$name')");
	return;
}

sql(q{
SELECT cache_create_namespace('markers');
CREATE TABLE items (id int PRIMARY KEY, name text);
INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 1000) i;
CREATE ROLE alice LOGIN;
CREATE ROLE power SUPERUSER LOGIN;
GRANT SELECT ON items TO alice;
GRANT alice TO power;
});

# What a query waits for that is to take long; and what does without a session that
# would be in the way.
my $holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(1)');
sql("CREATE FUNCTION hang() RETURNS text LANGUAGE sql AS 'SELECT pg_advisory_xact_lock_shared(1)::text'");
my $endless = 'SELECT count(*), 1 FROM (SELECT generate_series(1, 1000000000000000)) s';

# ---- an interval

sql("SELECT cache_create_warmer('interval', 'SELECT id, name FROM items', '1 hour')");
worker_has_looked();
is(runs('interval'), 0, 'not before its time');
advance('59 min');
worker_has_looked();
advance('1 min');
is(wait_for_runs('interval', 1), '1000|1|schedule|', 'after an hour');
is(sql("SELECT cache_get('1'), cache_get('1000')"), 'item 1|item 1000', 'its rows are in the cache');
is(sql(q{SELECT finished_at >= started_at, bytes, owner = current_user::regrole, sqlstate IS NULL, again
	FROM cache_warmer_runs WHERE name = 'interval'}),
	't|' . sql('SELECT sum(octet_length(id::text) + octet_length(name)) FROM items') . '|t|t|f', 'the row is complete');
advance('1 hour');
wait_for_runs('interval', 2);
advance('5 hours');
wait_for_runs('interval', 3);
worker_has_looked();
is(runs('interval'), 3, 'what was missed is not made up for');
sql("SELECT cache_alter_warmer('interval', enabled => false)");
advance('5 hours');
worker_has_looked();
is(runs('interval'), 3, 'not while disabled');
sql("SELECT cache_drop_warmer('interval')");

# ---- cron, in its own zone and in the server's

sql(q{
SELECT cache_create_warmer('berlin', $$SELECT 'berlin', 1$$, '30 7 * * *');
SELECT cache_create_warmer('new york', $$SELECT 'new york', 1$$, '30 7 * * *', time_zone => 'America/New_York');
});
worker_has_looked();
advance('1 day');
wait_for_runs('berlin', 1);
wait_for_runs('new york', 1);

# The first start is late, because the clock jumped.  The next is at its time: one
# step short of it there is none, and a step further there is.
for my $case ([ 'berlin', 'Europe/Berlin' ], [ 'new york', 'America/New_York' ])
{
	my ($name, $zone) = @$case;
	my $before = runs($name);
	my $left = sql(qq{
		WITH clock AS (SELECT cache_clock_timestamp() AT TIME ZONE '$zone' AS now),
		day AS (SELECT now, date_trunc('day', now) + interval '7:30' AS at FROM clock)
		SELECT (CASE WHEN at <= now THEN at + '1 day' ELSE at END) AT TIME ZONE '$zone'
			- now AT TIME ZONE '$zone' - interval '10 min' FROM day});
	advance($left) unless $left =~ /^-/;
	worker_has_looked();
	is(runs($name), $before, "$name: not ten minutes before its time") unless $left =~ /^-/;
	advance('10 min');
	wait_for_runs($name, $before + 1);
	is(sql(qq{SELECT to_char(started_at AT TIME ZONE '$zone', 'HH24:MI') BETWEEN '07:30' AND '07:40'
		FROM cache_warmer_runs WHERE name = '$name' ORDER BY id DESC LIMIT 1}), 't', "$name: at half past seven there");
}
sql("SELECT cache_drop_warmer('berlin'), cache_drop_warmer('new york')");

# ---- jitter is bounded

sql("SELECT cache_create_warmer('jitter', 'VALUES (1, 1)', '1 hour', jitter => '10 min')");
worker_has_looked();
advance('59 min');
worker_has_looked();
is(runs('jitter'), 0, 'jitter: not before the time');
advance('11 min');
is(wait_for_runs('jitter', 1), '1|1|schedule|', 'jitter: not later than the time and the jitter');
sql("SELECT cache_drop_warmer('jitter')");

# ---- errors, retries

sql(q{SELECT cache_create_warmer('broken', 'SELECT id, 1 / (id - 500) FROM items ORDER BY id', '1 day', max_attempts => 3)});
worker_has_looked();
advance('1 day');
is(wait_for_runs('broken', 1, 'attempt, reason, sqlstate, error, rows < 1000'),
	'1|schedule|22012|division by zero|t', 'an error');
is(sql("SELECT count(*) FROM cache_entries WHERE key = '499' AND type = 'int'::regtype"), 0, 'and nothing is put');
advance('3 s');
worker_has_looked();
is(runs('broken'), 1, 'a pause of five seconds');
advance('1 s');
is(wait_for_runs('broken', 2, 'attempt, reason, sqlstate'), '2|retry|22012', 'tried again');
advance('8 s');
worker_has_looked();
is(runs('broken'), 2, 'then one of ten');
advance('1 s');
is(wait_for_runs('broken', 3, 'attempt, reason'), '3|retry', 'and again');
advance('1 hour');
worker_has_looked();
is(runs('broken'), 3, 'no fourth attempt');
sql(q{SELECT cache_alter_warmer('broken', query => 'SELECT id, id FROM items')});
advance('1 day');
is(wait_for_runs('broken', 4), '1000|1|schedule|', 'the next regular run is a first attempt');
sql("SELECT cache_drop_warmer('broken')");

# Many that fail at once, for the same cause: each has all its attempts.  The clock
# is set on until they had.
sql(q{SELECT cache_create_warmer('together ' || i, 'SELECT 1, 1 / 0', '1 hour', max_attempts => 3) FROM generate_series(1, 8) i});
worker_has_looked();
advance('1 hour');
my $together = q{SELECT count(*) FROM cache_warmer_runs WHERE name LIKE 'together %' AND finished_at IS NOT NULL AND attempt = };
for my $attempt (1 .. 3)
{
	ok($node->poll_query_until('postgres', $together . $attempt, 8), "of warmers that fail together each has attempt $attempt");
	advance('20 s');
}
sql(q{SELECT cache_drop_warmer('together ' || i) FROM generate_series(1, 8) i});

# ---- a table that was altered

sql(q{
CREATE TABLE pair (a text, b text);
INSERT INTO pair VALUES ('pair', 'one'), ('pair', 'two');
SELECT cache_create_warmer('pair', 'TABLE pair', '1 day', max_attempts => 1);
});
worker_has_looked();
advance('1 day');
is(wait_for_runs('pair', 1), '2|1|schedule|', 'duplicate keys');
is(sql("SELECT cache_get('pair')"), 'two', 'the last one wins');
sql('ALTER TABLE pair ADD c text');
advance('1 day');
is(wait_for_runs('pair', 2, 'sqlstate, error'), '42804|query of a warmer must have two columns, the key and the value', 'a third column');
sql('DROP TABLE pair');
advance('1 day');
is(wait_for_runs('pair', 3, 'sqlstate, error'), '42P01|relation "pair" does not exist', 'no table');
sql("SELECT cache_drop_warmer('pair')");

# ---- timeout, cancel, not twice at once, progress

sql(q{SELECT cache_create_warmer('slow', $$SELECT 'slow', hang()$$, '1 day', timeout => '200 ms', max_attempts => 1)});
worker_has_looked();
advance('1 day');
is(wait_for_runs('slow', 1, 'sqlstate, error'), '57014|canceling statement due to statement timeout', 'timeout');

sql(q{SELECT cache_alter_warmer('slow', query => $$SELECT CASE WHEN i > 100 THEN hang() ELSE 'slow ' || i END, i
	FROM generate_series(1, 200) i$$, schedule => '@daily', timeout => '1 day', max_attempts => 5)});
worker_has_looked();
advance('1 day');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM cache_warmer_progress p JOIN pg_stat_activity a USING (pid)
	WHERE p.name = 'slow' AND p.rows > 0 AND p.bytes > 0 AND p.attempt = 1 AND a.backend_type = 'pg_cache warmer'
	AND a.application_name = 'pg_cache warmer slow' AND a.query LIKE '%hang%'}), 'progress of a run');
is(sql("SELECT finished_at IS NULL, rows IS NULL FROM cache_warmer_runs WHERE name = 'slow' ORDER BY id DESC LIMIT 1"), 't|t', 'its row has no end yet');
advance('3 days');
worker_has_looked();
is(runs('slow'), 2, 'it is not started twice');
like(query_error($node, "SELECT cache_run_warmer('slow')"), qr/55006.*is running already/s, 'nor by hand');
sql("SELECT pg_cancel_backend(pid) FROM cache_warmer_progress");
is(wait_for_runs('slow', 2, 'sqlstate, error'), '57014|canceling statement due to user request', 'cancelled');
advance('1 hour');
worker_has_looked();
is(runs('slow'), 2, 'what was cancelled is not tried again');
is(sql('SELECT count(*) FROM cache_warmer_progress'), 0, 'no progress any more');

advance('1 day');
$node->poll_query_until('postgres', "SELECT rows > 0 FROM cache_warmer_progress WHERE name = 'slow'");
sql("SELECT pg_terminate_backend(pid) FROM cache_warmer_progress");
is(wait_for_runs('slow', 3, 'sqlstate'), '57P01', 'terminated');
sql("SELECT cache_drop_warmer('slow')");

# ---- max_warmers

sql(q{
SELECT cache_create_warmer('long ' || i, format($$SELECT %L || hang(), 1$$, i), '1 day') FROM generate_series(1, 4) i});
worker_has_looked();
advance('1 day');
ok($node->poll_query_until('postgres', "SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'pg_cache warmer'"), 'as many as max_warmers');
is(sql("SELECT count(*) FROM cache_warmer_runs WHERE name LIKE 'long %'"), 2, 'the others wait');
sql("SELECT cache_alter_warmer(name, query => 'VALUES (1, 2)') FROM cache_warmers WHERE name LIKE 'long %'");
sql("SELECT pg_cancel_backend(pid) FROM cache_warmer_progress");
ok($node->poll_query_until('postgres', "SELECT count(DISTINCT name) = 4 FROM cache_warmer_runs WHERE name LIKE 'long %' AND finished_at IS NOT NULL"), 'and run when there is room');
sql("SELECT cache_drop_warmer(name) FROM (SELECT name FROM cache_warmers WHERE name LIKE 'long %' OFFSET 0) x");

# A reload.  The history, which has its turn after the warmers, tells how far the
# worker is.
sub wait_for_history
{
	my $now = sql("SELECT cache_put('history', 'x'); SELECT cache_clock_timestamp()");
	$now =~ s/.*\n//s;
	advance('1 hour');
	$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM cache_stats_history_total WHERE at > '$now'")
	  or die 'no history';
	return;
}

sql("SELECT cache_create_warmer('reload', 'VALUES (1, 1)', '1 hour')");
worker_has_looked();
sql("ALTER SYSTEM SET pg_cache.max_warmers = 0");
sql("ALTER SYSTEM SET pg_cache.stats_interval = 1");
$node->reload;
wait_for_history();
my $before = runs('reload');
wait_for_history();
wait_for_history();
is(runs('reload'), $before, 'none is started with max_warmers = 0');
sql("ALTER SYSTEM RESET ALL");
$node->reload;
is(wait_for_runs('reload', $before + 1), '1|1|schedule|', 'a reload lets them run');
sql("SELECT cache_drop_warmer('reload')");

# One that is always due does not keep others from their turn.
sql("ALTER SYSTEM SET pg_cache.max_warmers = 1");
$node->reload;
sql("SELECT cache_create_warmer('always', 'VALUES (1, 1)', '1 ms'), cache_create_warmer('now and then', 'VALUES (1, 1)', '1 hour')");
wait_for_runs('always', 5);
advance('1 hour');
wait_for_runs('now and then', 1);
pass('each has its turn');
sql("ALTER SYSTEM RESET pg_cache.max_warmers");
$node->reload;
sql("SELECT cache_drop_warmer('always'), cache_drop_warmer('now and then')");

# Nor does an owner who has many.
sql(q{SET ROLE alice; SELECT cache_create_warmer('alice ' || i, 'SELECT hang(), 1', '1 hour') FROM generate_series(1, 3) i});
sql(q{SELECT cache_create_warmer('not alice', 'SELECT hang(), 1', '1 hour')});
worker_has_looked();
advance('2 hours');
$node->poll_query_until('postgres', 'SELECT count(*) = 2 FROM cache_warmer_progress');
is(sql("SELECT string_agg(rtrim(name, ' 123'), ',' ORDER BY name) FROM cache_warmer_progress"), 'alice,not alice', 'each owner has a turn');

# ---- runs that are not wanted any more

sub wait_for_no_process
{
	my ($name, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pg_cache warmer $name'"), $what);
	return;
}

sql("SELECT cache_alter_warmer('not alice', enabled => false)");
wait_for_no_process('not alice', 'to disable one ends its run');
is(wait_for_runs('not alice', 1, 'sqlstate, again'), '57P01|f', 'for good');
sql("SELECT cache_drop_warmer(name) FROM (SELECT name FROM cache_warmers WHERE name LIKE 'alice _' OFFSET 0) x");
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM cache_warmer_progress'), 'to drop one ends its run');
sql("SELECT cache_drop_warmer('not alice')");

# ---- tables and rows that somebody has locked

my $worker = worker_of($node, 'postgres');
my $waiting = "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $worker AND wait_event_type = 'Lock'";
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE cache_warmer_runs IN SHARE MODE');
sql("SELECT cache_create_warmer('locked', \$\$SELECT 'locked', 1\$\$, '1 day')");
$node->poll_query_until('postgres', "SELECT pgcache_test_advance_clock('1 day') IS NOT NULL AND EXISTS ($waiting)");
ok($node->poll_query_until('postgres', $waiting), 'the worker waits for the table');
ok($node->poll_query_until('postgres', "SELECT cache_exists('locked')"), 'the run goes on');
sql("SELECT pg_cancel_backend($worker)");
$locker->query_safe('COMMIT');
ok($node->poll_query_until('postgres', "SELECT pgcache_test_advance_clock('1 min') IS NOT NULL AND count(*) > 0 FROM cache_warmer_runs WHERE name = 'locked' AND finished_at IS NOT NULL"),
	'the row comes with the end of the run');
is(sql("SELECT count(*), min(rows), min(attempt), min(reason), min(error) FROM cache_warmer_runs WHERE name = 'locked'"), '1|1|1|schedule|', 'one row, and a complete one');
sql("SELECT cache_drop_warmer('locked')");

sql("SELECT cache_create_warmer('locked row', 'SELECT hang(), 1', '1 day', max_attempts => 1)");
worker_has_looked();
advance('1 day');
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM cache_warmer_runs WHERE name = 'locked row'");
$locker->query_safe("BEGIN; SELECT FROM cache_warmer_runs WHERE name = 'locked row' FOR UPDATE");
sql("SELECT pg_cancel_backend(pid) FROM cache_warmer_progress WHERE name = 'locked row'");
ok($node->poll_query_until('postgres', $waiting), 'the worker waits for the row');
sql("SELECT pg_cancel_backend($worker)");
$locker->query_safe('COMMIT');
ok($node->poll_query_until('postgres', "SELECT pgcache_test_advance_clock('1 min') IS NOT NULL AND count(*) > 0 FROM cache_warmer_runs WHERE name = 'locked row' AND finished_at IS NOT NULL"),
	'the end is noted when it can be');
is(sql("SELECT count(*), min(sqlstate) FROM cache_warmer_runs WHERE name = 'locked row'"), '1|57014', 'as it was');
$locker->quit;
sql("SELECT cache_drop_warmer('locked row')");

# ---- a new worker

sql("SELECT cache_create_warmer('again', 'SELECT 1 / 0, 1', '1 day', max_attempts => 3)");
worker_has_looked();
advance('1 day');
wait_for_runs('again', 1);
sql("SELECT pg_terminate_backend($worker)");
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_cache worker' AND datname = 'postgres' AND pid <> $worker"), 'a new worker');
worker_has_looked();
advance('5 s');
is(wait_for_runs('again', 2, 'attempt, reason'), '2|retry', 'takes up what another was to try again');
sql("SELECT cache_drop_warmer('again')");

# ---- an owner that is gone, or is called otherwise

sql(q{
CREATE ROLE gone LOGIN;
CREATE ROLE called LOGIN;
SET ROLE gone;
SELECT cache_create_warmer('gone', $$SELECT 'gone', 1$$, '1 hour');
RESET ROLE;
SET ROLE called;
SELECT cache_create_warmer('called', $$SELECT 'called', 1$$, '1 hour');
RESET ROLE;
});
worker_has_looked();
my $log = -s $node->logfile;
sql('DROP ROLE gone; ALTER ROLE called RENAME TO otherwise');
advance('2 hours');
worker_has_looked();
like(query_error($node, "SELECT cache_run_warmer('gone')"), qr/55000.*role "gone", which owns it, was dropped/s, 'no run for a dropped role');
like(query_error($node, "SELECT cache_run_warmer('called')"), qr/55000.*role "called", which owns it, is now called "otherwise", or is another/s, 'nor for one that has another name');
is(sql("SELECT count(*) FROM cache_warmer_runs WHERE name IN ('gone', 'called') AND error IS NULL"), 0, 'nor by their schedules');
is(sql("SELECT cache_exists('gone'), cache_exists('called')"), 'f|f', 'nothing was put');
$node->wait_for_log(qr/LOG: .*warmer "gone" is left out: role "gone", which owns it, was dropped/, $log);
my @lines = slurp_file($node->logfile, $log) =~ /warmer "gone" is left out/g;
is(scalar @lines, 1, 'one line in the log');
sql("SELECT cache_alter_warmer('called', max_rows => 10)");
worker_has_looked();
advance('2 hours');
ok($node->poll_query_until('postgres', "SELECT cache_exists('called')"), 'to alter it says that it is the same role');
my $dump = PostgreSQL::Test::Utils::tempdir . '/roles';
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'dumped');
unlike(slurp_file($dump), qr/^gone\t/m, 'a warmer of a dropped role is not dumped');
like(slurp_file($dump), qr/^called\t/m, 'others are');
sql("SELECT cache_drop_warmer('gone'), cache_drop_warmer('called')");

# ---- @invalidate

sql(q{
SELECT cache_create_namespace('tagged');
SELECT cache_create_warmer('invalidated', $$SELECT 'k' || id, name FROM items$$, '@invalidate', namespace => 'tagged', tags => ARRAY['items']);
});
advance('1 day');
worker_has_looked();
is(runs('invalidated'), 0, 'nothing was invalidated');
sql("SELECT cache_run_warmer('invalidated')");
advance('1 min');
worker_has_looked();
is(runs('invalidated'), 1, 'its own puts do not start it');
sql("SELECT cache_invalidate_tags(ARRAY['others'], 'tagged')");
advance('1 s');
worker_has_looked();
is(runs('invalidated'), 1, 'nor do tags of others');
sql("SELECT cache_invalidate_tags(ARRAY['items'], 'tagged')");
is(sql("SELECT cache_exists('k1', 'tagged')"), 'f', 'its entries are gone');
advance('1 s');
is(wait_for_runs('invalidated', 2), '1000|1|invalidation|', 'its tag does');
is(sql("SELECT cache_get('k1', 'tagged')"), 'item 1', 'they are back');
advance('1 min');
worker_has_looked();
is(runs('invalidated'), 2, 'once');
sql("SELECT cache_invalidate_pattern('k9%', 'tagged')");
advance('2 s');
is(wait_for_runs('invalidated', 3), '1000|1|invalidation|', 'a pattern does');
sql("BEGIN; SELECT cache_clear('tagged'); ROLLBACK");
advance('2 s');
worker_has_looked();
is(runs('invalidated'), 3, 'what was rolled back does not');
sql("SELECT cache_clear('tagged')");
advance('2 s');
wait_for_runs('invalidated', 4);
advance('1 min');
worker_has_looked();
sql("SELECT cache_invalidate_tags(ARRAY['items'], 'tagged'), cache_invalidate_tags(ARRAY['items'], 'tagged')");
advance('2 s');
wait_for_runs('invalidated', 5);
worker_has_looked();
sql("SELECT cache_reset_stats()");
sql("SELECT cache_invalidate_tags(ARRAY['items'], 'tagged')");
advance('2 s');
wait_for_runs('invalidated', 6);
pass('also after the counters were reset');
sql("SELECT cache_drop_warmer('invalidated')");

# ---- connected as the owner

sql(q{
CREATE FUNCTION who() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RESET ROLE;
    RESET SESSION AUTHORIZATION;
    RETURN session_user || ' ' || current_user;
END $$;
CREATE FUNCTION climb() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    SET ROLE power;
    RETURN current_user;
END $$;
SET ROLE alice;
SELECT cache_create_warmer('who', $$SELECT 'who', who()$$, '1 day', max_attempts => 1);
SELECT cache_create_warmer('climb', $$SELECT 'climb', climb()$$, '1 day', max_attempts => 1);
SELECT cache_create_warmer('secret', $$SELECT rolname, rolpassword FROM pg_authid$$, '1 day', max_attempts => 1);
});
worker_has_looked();
advance('1 day');
is(wait_for_runs('who', 1), '1|1|schedule|', 'RESET ROLE works');
is(sql("SELECT cache_get('who')"), 'alice alice', 'and gains nothing');
is(wait_for_runs('climb', 1, 'sqlstate, error'), '42501|permission denied to set role "power"', 'SET ROLE gains nothing');
is(wait_for_runs('secret', 1, 'sqlstate'), '42501', 'no catalog that is not for her');
sql('ALTER ROLE alice NOLOGIN');
advance('1 day');
is(wait_for_runs('who', 2, 'sqlstate, error, rows'), '28000|role "alice" is not permitted to log in|0', 'who may not log in runs nothing');
sql('ALTER ROLE alice LOGIN');
sql("SELECT cache_drop_warmer('climb'), cache_drop_warmer('secret')");

# ---- many rows

sql(q{SELECT cache_create_warmer('many', $$SELECT 'many ' || i, i FROM generate_series(1, 1000000) i$$, '1 day', namespace => 'tagged')});
worker_has_looked();
advance('1 day');
is(wait_for_runs('many', 1), '1000000|1|schedule|', 'a million rows');
my ($entries, $last) = split /\|/, sql("SELECT count(*), cache_get('many 1000000', 'tagged') FROM cache_entries WHERE namespace = 'tagged'");
note("$entries entries of 1000000 rows, with pg_cache.memory = 64MB");
is($last, '1000000', 'the last are there');
cmp_ok($entries, '>', 10000, 'and many others');
sql(q{SELECT cache_alter_warmer('many', max_rows => 500)});
advance('1 day');
is(wait_for_runs('many', 2, 'rows, error, note'), '500||stopped at max_rows, 500', 'max_rows');
sql("SELECT cache_drop_warmer('many')");
is_sound($node, 'after runs of all kinds');

# ---- restarts

sql(q{
SELECT cache_create_warmer('start', $$SELECT 'start', 'yes'$$, '@start');
SELECT cache_create_warmer('hourly', $$SELECT 'hourly', 'yes'$$, '1 hour');
SELECT cache_create_warmer('sleeper', $$SELECT 'sleeper' || hang(), 'x'$$, '1 day');
});
worker_has_looked();
is(runs('start'), 0, '@start: not in the server that it was created in');
advance('1 day');
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM cache_warmer_progress WHERE name = 'sleeper'");
sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pg_cache worker'");
wait_for_workers($node, 'postgres', 'a new worker');
worker_has_looked();
is(sql("SELECT count(*), count(finished_at) FROM cache_warmer_runs WHERE name = 'sleeper'"), '1|0', 'a run outlives the worker');
sql("SELECT pg_cancel_backend(pid) FROM cache_warmer_progress WHERE name = 'sleeper'");
is(wait_for_runs('sleeper', 1, 'sqlstate'), '57014', 'and the next worker notes its end');
advance('1 day');
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM cache_warmer_progress WHERE name = 'sleeper'");

$node->restart;
is(wait_for_runs('start', 1), '1|1|start|', '@start: after the server was started');
is(sql("SELECT cache_get('start')"), 'yes', 'its row is there');
is(wait_for_runs('sleeper', 2, 'sqlstate'), '57P01', 'the run that the restart ended has an end');
my $hourly = runs('hourly');
worker_has_looked();
is(runs('hourly'), $hourly, 'what came in between is not made up for');
sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pg_cache worker'");
wait_for_workers($node, 'postgres', 'a new worker');
worker_has_looked();
is(runs('start'), 1, '@start: not after a mere restart of the worker');
$node->stop('immediate');
$node->start;
wait_for_runs('start', 2);
pass('@start: after a crash');
sql("SELECT cache_drop_warmer('sleeper')");
is_sound($node, 'after restarts');

# ---- dump and restore

my $dir = PostgreSQL::Test::Utils::tempdir;
my $all = 'SELECT * FROM cache_warmers ORDER BY name';
my $expected = sql($all);
$node->command_ok([ 'pg_dump', '-f', "$dir/dump", 'postgres' ], 'dumped');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/dump", '-d', $node->connstr('copy') ], 'restored');
is($node->safe_psql('copy', $all), $expected, 'the warmers are there');
is($node->safe_psql('copy', "SELECT count(*) FROM cache_warmer_runs WHERE name <> 'start'"), 0, 'and no runs');
advance('2 hours');
ok($node->poll_query_until('copy', "SELECT count(*) > 0 FROM cache_warmer_runs WHERE name = 'hourly' AND error IS NULL AND finished_at IS NOT NULL"), 'they run there');

# ---- an extension that is dropped while one of its warmers runs

$node->safe_psql('postgres', 'CREATE DATABASE again');
install($node, 'again');
$node->safe_psql('again', slurp_file("$FindBin::RealBin/../test_functions.sql"));
$node->safe_psql('again', "SELECT cache_create_warmer('stuck', '$endless', '1 day')");
ok($node->poll_query_until('again', "SELECT pgcache_test_advance_clock('1 day') IS NOT NULL AND EXISTS (SELECT FROM cache_warmer_progress)"), 'it is running');
my $stuck = $node->safe_psql('again', 'SELECT pid FROM cache_warmer_progress');
$node->safe_psql('again', 'DROP EXTENSION pg_cache');
$node->safe_psql('again', 'CREATE EXTENSION pg_cache');
$node->safe_psql('again', q{SELECT cache_create_warmer('new', 'VALUES (1, 1)', '1 day'); SELECT cache_run_warmer('new')});
ok($node->poll_query_until('again', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $stuck"), 'the run of the old one has ended');
ok($node->poll_query_until('again', "SELECT pgcache_test_advance_clock('1 day') IS NOT NULL AND count(*) >= 2 FROM cache_warmer_runs WHERE name = 'new' AND rows = 1 AND error IS NULL"),
	'the new extension does not mix up its runs with those of the old');
is($node->safe_psql('again', "SELECT count(*) FROM cache_warmer_progress WHERE name = 'stuck'"), 0, 'no progress');
is_sound($node, 'after another extension', 'again');
$node->safe_psql('postgres', 'DROP DATABASE again');

# ---- a database that is dropped while one of its warmers runs

$node->safe_psql('copy', "SELECT cache_create_warmer('stuck', '$endless', '1 day')");
$node->poll_query_until('copy', "SELECT count(*) > 0 FROM cache_warmers WHERE name = 'stuck'");
advance('1 s');
ok($node->poll_query_until('copy', "SELECT pgcache_test_advance_clock('1 day') IS NOT NULL AND EXISTS (SELECT FROM cache_warmer_progress WHERE name = 'stuck')"), 'it is running');
$node->safe_psql('postgres', 'DROP DATABASE copy');
is(sql("SELECT count(*) FROM pg_database WHERE datname = 'copy'"), 0, 'its database is dropped');

# ---- a database that others must have for themselves

$node->safe_psql('postgres', 'CREATE DATABASE moved');
install($node, 'moved');
$node->safe_psql('moved', slurp_file("$FindBin::RealBin/../test_functions.sql"));
$node->safe_psql('moved', "SELECT cache_create_warmer('stuck', '$endless', '\@monthly')");
ok($node->poll_query_until('moved', "SELECT pgcache_test_advance_clock('31 days') IS NOT NULL AND EXISTS (SELECT FROM cache_warmer_progress)"), 'it is running');
$node->safe_psql('postgres', 'ALTER DATABASE moved RENAME TO there');
ok($node->poll_query_until('there', "SELECT pgcache_test_advance_clock('10 s') IS NOT NULL AND EXISTS (SELECT FROM cache_warmer_progress WHERE attempt = 2)"),
	'renamed; then it is tried again');
is($node->safe_psql('there', 'SELECT attempt, sqlstate, again FROM cache_warmer_runs WHERE finished_at IS NOT NULL'), '1|57P01|t', 'the first attempt has an end');
$node->safe_psql('postgres', 'CREATE DATABASE third TEMPLATE there');
$node->safe_psql('postgres', 'DROP DATABASE third');
$node->safe_psql('postgres', 'DROP DATABASE there');

# ---- no free slot of max_worker_processes

{
	# The launcher, and a worker for each of two databases.
	my $full = new_server('full', 'max_worker_processes = 3', 'max_logical_replication_workers = 0');
	install_test_functions($full);
	$full->safe_psql('postgres', 'CREATE DATABASE other');
	install($full, 'other');
	wait_for_workers($full, 'other postgres', 'no free slot');
	my $log = -s $full->logfile;
	$full->safe_psql('postgres', q{SELECT cache_create_warmer('w', $$SELECT 'w', 1$$, '1 hour')});
	$full->safe_psql('postgres', "SELECT pgcache_test_advance_clock('1 s')");
	$full->safe_psql('postgres', "SELECT pgcache_test_advance_clock('1 hour')");
	$full->wait_for_log(qr/LOG: .*no background worker can be started for a warmer/, $log);
	for (1 .. 3)
	{
		$full->safe_psql('postgres', "SELECT pgcache_test_advance_clock('1 min')");
	}
	$full->safe_psql('other', 'DROP EXTENSION pg_cache');
	wait_for_workers($full, 'postgres', 'a slot is free');
	ok($full->poll_query_until('postgres', q{SELECT pgcache_test_advance_clock('10 s') IS NOT NULL
		AND EXISTS (SELECT FROM cache_warmer_runs WHERE rows = 1 AND error IS NULL)}), 'it runs when there is one');
	my @tries = slurp_file($full->logfile, $log) =~ /no background worker can be started/g;
	is(scalar @tries, 1, 'one line in the log');
	is($full->safe_psql('postgres', 'SELECT count(*) FROM cache_warmer_runs'), 1, 'and one row');
	is_sound($full, 'no free slot');
	$full->stop;
}

# ---- a standby

$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
my $starts = runs('start');
like(query_error($standby, q{SELECT cache_create_warmer('x', 'VALUES (1, 2)', '@daily')}), qr/25006/, 'standby: no new warmers');
like(query_error($standby, q{SELECT cache_run_warmer('start')}), qr/25006/, 'standby: none by hand');
wait_for_workers($standby, 'postgres', 'standby: a worker');
$standby->safe_psql('postgres', "SELECT pgcache_test_advance_clock('3 days')");
is($standby->safe_psql('postgres', "SELECT cache_exists('start'), (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_cache warmer')"), 'f|0', 'standby: none runs');
$standby->promote;
ok($standby->poll_query_until('postgres', "SELECT pgcache_test_advance_clock('1 s') IS NOT NULL AND count(*) > $starts FROM cache_warmer_runs WHERE name = 'start' AND finished_at IS NOT NULL"), 'they do after the promotion');
is_sound($standby, 'standby');
is_sound($node, 'at the end');
$standby->stop;
$node->stop;
done_testing();
