# The torture test: many sessions change tables and cache at once and compare
# every answer of the cache with the table's under the same snapshot.  README.md
# says more.
#
# A round gives each of the clients a script of random transactions, made here,
# for psql, which goes on after errors.  Between rounds the counters are read.

package Torture;

use strict;
use warnings;

use Exporter 'import';
use File::Basename;
use IPC::Run ();
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(torture_server torture_until torture_report torture_conditions
  is_right is_caught directed_tests);

my $dir = dirname(__FILE__);
my $schema = slurp_file("$dir/schema.sql");

# Errors that the scripts must expect: deadlock, serialization, lock_timeout and
# what follows them (the savepoint was not made, too); two sessions that resolve
# one prepared transaction; a duplicate key by MERGE and COPY; an id in two
# partitions; the end of a session that was terminated.
my %legal = map { $_ => 1 } qw(40P01 40001 55P03 25P02 42704 55000 23505 23503
  3B001 21000 57P01);

my $files;
my %errors;
my $gid = 0;
my $round = 0;

# ---- random choices ----------------------------------------------------------

sub one { return $_[ int(rand(@_)) ]; }
sub chance { return rand() < $_[0]; }
sub between { return $_[0] + int(rand($_[1] - $_[0] + 1)); }

# Some rows, in ascending order to keep deadlocks rare.
sub ids
{
	my ($n) = @_;
	my %ids;
	# Some are hot.
	$ids{ chance(.3) ? between(1, 6) : between(1, 64) } = 1 while keys %ids < $n;
	return sort { $a <=> $b } keys %ids;
}

sub weighted
{
	my (%weights) = @_;
	my $sum = 0;
	$sum += $_ for values %weights;
	my $r = rand($sum);
	for my $name (sort keys %weights)
	{
		$r -= $weights{$name};
		return $name if $r < 0;
	}
	return (sort keys %weights)[0];
}

# ---- changes, each a list of statements ---------------------------------------

my %how = (put => 6, put_many => 2, delete => 4, put_delete => 1, delete_put => 1, tags => 3,
	key_tags => 2, all_of => 2, pattern => 2, wide => 1, clear => 1, disabled => 1, subtransaction => 1);

sub array { return "'{" . join(',', @_) . "}'"; }

my %row_change = (
	update => sub { 'UPDATE acct SET v = coalesce(v, 0) + 1 WHERE id IN (' . join(',', @_) . ')' },
	null => sub { 'UPDATE acct SET v = NULL WHERE id IN (' . join(',', @_) . ')' },
	delete => sub { 'DELETE FROM acct WHERE id IN (' . join(',', @_) . ')' },
	upsert => sub {
		'INSERT INTO acct SELECT i, ' . between(1, 1000) . ' FROM unnest(' . array(@_) .
		  '::int[]) i ON CONFLICT (id) DO UPDATE SET v = excluded.v + coalesce(acct.v, 0)' },
	merge => sub {
		'MERGE INTO acct a USING unnest(' . array(@_) . '::int[]) s (id) ON a.id = s.id ' .
		  'WHEN MATCHED AND v % 5 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = v + 1 ' .
		  'WHEN NOT MATCHED THEN INSERT VALUES (s.id, 1)' },
	copy => sub {
		my @ids = @_;
		'DELETE FROM acct WHERE id IN (' . join(',', @ids) . ')' .
		  join('', map { ";\nCOPY acct FROM '$files/acct" . one('', '_') . "$_'" } @ids) },
	for_update => sub {
		'SELECT FROM acct WHERE id IN (' . join(',', @_) . ') ORDER BY id FOR UPDATE;' .
		  "\nUPDATE acct SET v = coalesce(v, 0) + 1 WHERE id IN (" . join(',', @_) . ')' });
my %row_weights = (update => 8, null => 1, delete => 1, upsert => 3, merge => 2, copy => 1, for_update => 2);

sub statement
{
	my ($text) = @_;
	return "$text;\n";
}

sub change_rows
{
	my @ids = ids(between(1, 3));
	my $how = weighted(%how);
	if (chance(.15))
	{
		# Data of a writable CTE, which its own statement puts.
		return statement("WITH u AS (UPDATE acct SET v = coalesce(v, 0) + 1 WHERE id = $ids[0] RETURNING id, v) "
			  . "SELECT cache_invalidate_tags(group_tags(ARRAY[id]), 'torture'), "
			  . "cache_put('a:' || id, v::text, tags => key_tags(id), namespace => 'torture') FROM u");
	}
	return statement("SELECT change(" . array(@ids) . ", '$how')") if chance(.15);
	my $change = statement($row_change{ weighted(%row_weights) }->(@ids));
	my $tell = statement("SELECT tell(" . array(@ids) . ", '$how')");
	# What is invalidated before the change is so at commit all the same.
	return $how !~ /put|dis|sub/ && chance(.3) ? $tell . $change : $change . $tell;
}

# Changes of tables that need not be told.
my %other = (
	cascade => sub {
		my $p = between(1, 20);
		one("DELETE FROM parent WHERE id = $p", "SELECT new_parent($p)",
			"UPDATE parent SET id = id + 100 WHERE id = $p", "UPDATE parent SET id = id - 100 WHERE id = $p + 100",
			"UPDATE child SET v = v + 1 WHERE parent_id = $p") },
	movement => sub { 'UPDATE part SET grp = (grp + 1) % 4, v = v + 1 WHERE id = ' . between(1, 40) },
	partition => sub {
		my $i = between(1, 40);
		one("UPDATE part2b SET v = v + 1 WHERE id = $i", "DELETE FROM part1 WHERE id = $i",
			"INSERT INTO part1 VALUES ($i, 1, $i) ON CONFLICT DO NOTHING",
			"INSERT INTO part2b VALUES ($i, 3, $i) ON CONFLICT (id, grp) DO UPDATE SET v = part2b.v + 1",
			"INSERT INTO part2 VALUES ($i, " . between(2, 3) . ", $i) ON CONFLICT DO NOTHING",
			"DELETE FROM part0 WHERE id = $i;\nCOPY part0 FROM '$files/part$i'") },
	inheritance => sub {
		my $i = between(1, 20);
		one("UPDATE family2 SET v = v + 1 WHERE id = $i", "UPDATE family1 SET v = v + 1 WHERE id = $i",
			"UPDATE family SET v = v + 1 WHERE id = $i", "UPDATE ONLY family SET v = v - 1 WHERE id = $i") },
	inherit => sub { 'SELECT flip_inheritance()' },
	truncate => sub { "TRUNCATE trunc;\nINSERT INTO trunc SELECT i, i FROM generate_series(1, " . between(1, 20) . ') i' },
	truncate_only => sub { 'TRUNCATE trunc' },
	refill => sub { 'INSERT INTO trunc VALUES (1, 1), (2, ' . between(1, 9) . ')' },
	alter => sub {
		one('ALTER TABLE trunc ALTER v TYPE bigint USING v + 1', 'ALTER TABLE trunc ADD x int; ALTER TABLE trunc DROP x',
			'UPDATE trunc SET v = v + 1') },
	refresh => sub { 'REFRESH MATERIALIZED VIEW matview' },
	attach => sub { 'SELECT flip_partition()' },
	attached => sub { 'UPDATE ' . one('att', 'att1') . ' SET v = v + 1 WHERE id = ' . between(1, 20) },
	trigger => sub {
		my $i = between(1, 20);
		one("UPDATE cause SET v = v + 1 WHERE id = $i", "INSERT INTO cause VALUES ($i, 1) ON CONFLICT DO NOTHING",
			"DELETE FROM cause WHERE id = $i") },
	watched => sub {
		my $i = between(1, 32);
		one("UPDATE watched SET v = v + 1 WHERE id = $i", "UPDATE watched SET grp = (grp + 1) % 4 WHERE id = $i",
			"DELETE FROM watched WHERE id = $i", "UPDATE watched SET id = 33 - id WHERE id = $i",
			"INSERT INTO watched VALUES ($i, $i % 4, $i) ON CONFLICT (id) DO UPDATE SET v = watched.v + 1",
			"INSERT INTO watched SELECT i, i % 4, i FROM generate_series($i, $i + 3) i WHERE i <= 32 ON CONFLICT DO NOTHING",
			"MERGE INTO watched w USING (VALUES ($i)) s (id) ON w.id = s.id WHEN MATCHED THEN UPDATE SET v = v + 1 WHEN NOT MATCHED THEN INSERT VALUES (s.id, 1, 1)",
			"DELETE FROM watched WHERE id = $i;\nCOPY watched FROM '$files/watched$i'",
			"SET LOCAL session_replication_role = replica;\nUPDATE watched SET v = v + 1 WHERE id = $i;\nSET LOCAL session_replication_role = DEFAULT") },
	watched_truncate => sub { "TRUNCATE watched;\nINSERT INTO watched SELECT i, i % 4, " . between(1, 99) . ' FROM generate_series(1, 32) i' },
	watched_partition => sub {
		my $i = between(1, 32);
		one("UPDATE watched_part SET v = v + 1 WHERE id = $i", "UPDATE watched_part SET grp = 1 - grp WHERE id = $i",
			"UPDATE watched_part1 SET v = v + 1 WHERE id = $i", "DELETE FROM watched_part WHERE id = $i",
			"INSERT INTO watched_part0 SELECT $i, 0, $i WHERE NOT EXISTS (SELECT FROM watched_part WHERE id = $i) ON CONFLICT DO NOTHING") },
	touch => sub { "SELECT cache_touch('a:" . between(1, 64) . "', '1 hour', 'torture')" });
my %other_weights = (cascade => 5, movement => 5, partition => 6, inheritance => 5, inherit => .5,
	truncate => 2, truncate_only => .5, refill => 1, alter => .7, refresh => 1.5, attach => 1.5, attached => 3,
	trigger => 4, watched => 10, watched_truncate => .5, watched_partition => 5, touch => 2);

# ---- reads -------------------------------------------------------------------

# A row's key: the truth, the cached, and perhaps a fill, in one statement.
sub read_keys
{
	my ($kind, $prefix, $table, $max, $extra, $fill) = @_;
	my $from = between(1, $max);
	my $to = $from + between(2, 16);
	$to = $max if $to > $max;
	my $fetched = one("LEFT JOIN LATERAL cache_get_many(ARRAY[q.k], 'torture') m ON true",
		"LEFT JOIN cache_get_many(ARRAY(SELECT '$prefix:' || i FROM generate_series($from, $to) i), 'torture') m ON m.key = q.k",
		"LEFT JOIN LATERAL (SELECT q.k, c FROM (SELECT cache_get(q.k, 'torture') c OFFSET 0) g WHERE c IS NOT NULL) m (key, value) ON true");
	my $put = $fill ? "count(CASE WHEN NOT h THEN cache_put(k, v" . one('', '::text') . ", namespace => 'torture'$extra) END)" : 'count(h)';
	return "SELECT $put FROM (SELECT q.*, pgcache_test_compare($kind, q.k, m.key IS NOT NULL, m.value, q.v::text) AS h FROM "
	  . "(SELECT i, '$prefix:' || i AS k, (SELECT v FROM $table WHERE id = i) AS v FROM generate_series($from, $to) i) q $fetched OFFSET 0) c;\n";
}

# 22P02-free: an unset variable must not reach the put.
sub lease
{
	my $i = (ids(1))[0];
	my $text = "\\set ok false\nSELECT cache_lease('a:$i', 'torture') AS lease \\gset\n"
	  . "SELECT true AS ok, coalesce((SELECT v FROM acct WHERE id = $i)::text, '') AS v \\gset\n";
	$text .= other_change() if chance(.1);
	return $text . "\\if :ok\nSELECT cache_put('a:$i', nullif(:'v', ''), tags => key_tags($i), namespace => 'torture', lease => :'lease');\n\\endif\n";
}

my %read = (
	keys => sub { read_keys(0, 'a', 'acct', 64, ', tags => key_tags(i)', $_[0]) },
	by_table => sub { read_keys(1, 'ad', 'acct', 64, ", depends_on => '{torture.acct}'", $_[0]) },
	watched => sub { read_keys(11, 'w', 'watched', 32, one('', ", tags => ARRAY['any']"), $_[0]) },
	watched_partition => sub { read_keys(13, 'p', 'watched_part', 32, '', $_[0]) },
	groups => sub {
		'SELECT count(CASE WHEN NOT h AND ' . ($_[0] ? 'true' : 'false')
		  . " THEN cache_put(k, v, tags => ARRAY['g' || g], namespace => 'torture') END) FROM "
		  . "(SELECT q.*, pgcache_test_compare(2, q.k, m.key IS NOT NULL, m.value, q.v) AS h FROM "
		  . "(SELECT g, 'g:' || g AS k, (SELECT count(v) || ' ' || coalesce(sum(v), 0) FROM acct WHERE id % 8 = g) AS v FROM generate_series(0, 7) g) q "
		  . "LEFT JOIN LATERAL cache_get_many(ARRAY[q.k], 'torture') m ON true OFFSET 0) c;\n" },
	entries => sub {
		my $some = chance(.3) ? 'true' : 'kind IN (' . join(',', map { one(3 .. 10, 12) } 1 .. 4) . ')';
		my $put = $_[0] ? "count(CASE WHEN NOT l.hit THEN cache_put(e.key, l.truth, tags => e.tags, namespace => 'torture', depends_on => e.depends_on) END)" : 'count(l.hit)';
		"SELECT $put FROM entries e, LATERAL look(e) l WHERE $some;\n" },
	fetch => sub { 'SELECT count(fetch_key(i)) FROM generate_series(' . join(', ', map { $_, $_ + 5 } between(1, 58)) . ") i;\n" },
	fetch_entries => sub { 'SELECT count(fetch_entry(e, ' . between(0, 1) . ')) FROM entries e WHERE kind = ' . one(3 .. 10, 12) . ";\n" },
	# Further tables for an entry that is in the store, by a transaction of its own or not.
	depend => sub {
		my $g = between(0, 7);
		one("SELECT cache_depend('g:$g', '{torture.acct}', 'torture');\n", "SELECT cache_depend('a:$g', '{torture.acct, torture.watched}', 'torture');\n") },
	lease => sub { lease() });
my %read_weights = (depend => 1, keys => 8, by_table => 4, watched => 5, watched_partition => 3, groups => 5, entries => 6,
	fetch => 2, fetch_entries => 2, lease => 2);

sub a_read { return $read{ weighted(%read_weights) }->(chance(.8)); }
sub reads { return join '', map { a_read() } 1 .. $_[0]; }

# ---- transactions ------------------------------------------------------------

sub other_change { return statement($other{ weighted(%other_weights) }->()); }
sub a_change { return chance(.5) ? change_rows() : other_change(); }

sub begin
{
	return 'BEGIN ISOLATION LEVEL ' . (chance(.3) ? 'REPEATABLE READ' : 'READ COMMITTED') . ";\n";
}

# Commit, rollback, or prepare, and leave what is prepared or resolve it.
sub end_of
{
	my $dice = rand();
	return "COMMIT;\n" if $dice < .65;
	return "ROLLBACK;\n" if $dice < .8;
	my $name = "t" . ++$gid;
	return "PREPARE TRANSACTION '$name';\n" . (chance(.4) ? '' : reads(between(0, 2)) . one('COMMIT', 'COMMIT', 'ROLLBACK') . " PREPARED '$name';\n");
}

sub within_savepoint
{
	my $text = "SAVEPOINT s;\n" . a_change() . (chance(.5) ? a_read() : '');
	my $dice = rand();
	return $text . "ROLLBACK TO s;\n" . (chance(.5) ? a_read() : '') if $dice < .4;
	return $text . "RELEASE s;\n" if $dice < .7;
	return "SAVEPOINT outer_one;\n" . $text . "RELEASE s;\nROLLBACK TO outer_one;\n" . (chance(.5) ? a_change() : '');
}

my %transaction = (
	read => sub { reads(between(1, 4)) },
	repeatable => sub {
		'BEGIN ISOLATION LEVEL REPEATABLE READ' . one('', ' READ ONLY') . ";\nSELECT 1;\n" .
		  join('', map { chance(.4) ? $read{ one(qw(keys by_table groups watched)) }->(chance(.5)) : $read{ weighted(%read_weights, lease => 0) }->(chance(.7)) }
			  1 .. between(3, 20)) . "COMMIT;\n" },
	write => sub {
		my $text = begin();
		for (1 .. between(1, 3))
		{
			$text .= a_read() if chance(.3);
			$text .= chance(.3) ? within_savepoint() : a_change();
			$text .= a_read() if chance(.4);
		}
		$text . end_of() },
	overflow => sub { begin() . 'SELECT overflow(' . array(ids(between(2, 4))) . ", '" . weighted(%how) . "');\n" . reads(between(1, 3)) . end_of() },
	procedure => sub { 'CALL in_steps(' . array(ids(2)) . ", '" . weighted(%how) . "');\n" },
	at_once => sub { change_rows_in_one() },
	other_at_once => sub {
		my $text = other_change();
		($text =~ tr/;//) > 1 ? "BEGIN;\n${text}COMMIT;\n" : $text },
	noise => sub {
		one("SET pg_cache.transactional = off;\nSELECT cache_delete('a:" . between(1, 64) . "', 'torture'), cache_clear('torture');\nRESET pg_cache.transactional;\n",
			'SELECT noise(' . between(1, 3000) . ");\n",
			'BEGIN; SELECT noise(' . between(1, 3000) . "); ROLLBACK;\n") },
	# Makes a temporary table, so it cannot be prepared.
	refresh_concurrently => sub { "REFRESH MATERIALIZED VIEW CONCURRENTLY matview;\n" },
	resolve => sub {
		"SELECT format('%s PREPARED %L', '" . one('COMMIT', 'ROLLBACK') . "', gid) FROM pg_prepared_xacts ORDER BY random() LIMIT 2 \\gexec\n" },
	terminate => sub {
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = 'torture' ORDER BY random() LIMIT 1;\n" });
my %transaction_weights = (read => 20, repeatable => 8, write => 14, overflow => 1, procedure => 1, at_once => 4,
	other_at_once => 6, noise => .5, refresh_concurrently => .5, resolve => 4, terminate => .02);

sub change_rows_in_one
{
	return 'SELECT change(' . array(ids(between(1, 2))) . ", '" . weighted(%how) . "');\n";
}

# ---- rounds ------------------------------------------------------------------

sub make_script
{
	my ($transactions) = @_;
	return "\\set VERBOSITY sqlstate\n\\o /dev/null\nSET search_path = torture, public;\nSET lock_timeout = '300ms';\n"
	  . join('', map { $transaction{ weighted(%transaction_weights) }->() } 1 .. $transactions);
}

sub note_errors
{
	my ($text) = @_;
	$errors{$1}++ while $text =~ /ERROR:  (\w{5})$/mg;
	return;
}

sub run_round
{
	my ($node, $clients, $transactions) = @_;
	my $tmp = PostgreSQL::Test::Utils::tempdir_short();
	my @running;
	$round++;
	for my $client (1 .. $clients)
	{
		my $file = "$tmp/script$client.sql";
		my $err = '';
		open my $fh, '>', $file or die "$file: $!";
		print $fh make_script($transactions);
		close $fh;
		my $run = IPC::Run::start(
			[ 'psql', '-Xq', '-d', $node->connstr('postgres') . ' application_name=torture', '-f', $file ],
			'<', '/dev/null', '>', '/dev/null', '2>', \$err);
		push @running, [ $run, \$err ];
	}
	for (@running)
	{
		IPC::Run::finish($_->[0]);
		note_errors(${ $_->[1] });
	}
	resolve_all($node);
	$node->safe_psql('postgres', 'VACUUM torture.acct, torture.watched, torture.effect, torture.part') if $round % 4 == 0;
	return;
}

sub resolve_all
{
	my ($node) = @_;
	for my $name (split /\n/, $node->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts'))
	{
		$node->safe_psql('postgres', (chance(.7) ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$name'");
	}
	return;
}

# Reads, hits and wrong answers of all kinds.
sub torture_total
{
	my ($node) = @_;
	return split /\|/, $node->safe_psql('postgres', q{
		SELECT sum(pgcache_test_tally(k, m, 0)), sum(pgcache_test_tally(k, m, 1)), sum(pgcache_test_tally(k, m, 2))
		FROM generate_series(0, 31) k, generate_series(0, 3) m});
}

# How many hits had been compared when the first was wrong.
sub torture_first
{
	my ($node) = @_;
	return $node->safe_psql('postgres', 'SELECT pgcache_test_tally_first()');
}

# A server with all that is needed.  Delays in its debug points make windows of
# some instructions wide.
sub torture_server
{
	my $seed = $ENV{TORTURE_SEED} || int(rand(1_000_000));
	srand($seed);
	note "TORTURE_SEED=$seed";
	make_files();
	my $node = new_server('torture', 'max_connections = 40', 'max_prepared_transactions = 40',
		"deadlock_timeout = '20ms'", 'log_min_messages = ' . ($ENV{TORTURE_LOG} ? 'warning' : 'log'), 'log_min_error_statement = panic',
		'log_checkpoints = off', 'log_statement = ' . ($ENV{TORTURE_LOG} ? 'all' : 'none'));
	install_test_functions($node);
	$node->safe_psql('postgres', $schema);
	set_jitter($node, 20, 2000);
	return $node;
}

# For COPY: after an error psql would take data in the script for statements.
sub make_files
{
	$files = PostgreSQL::Test::Utils::tempdir();
	for my $i (1 .. 64)
	{
		append_to_file("$files/acct$i", "$i\t" . between(1, 1000) . "\n");
		append_to_file("$files/acct_$i", "$i\t\\N\n");
		append_to_file("$files/part$i", "$i\t0\t$i\n");
		append_to_file("$files/watched$i", "$i\t1\t1\n");
	}
	return;
}

sub set_jitter
{
	my ($node, $permille, $max_us) = @_;
	$node->safe_psql('postgres', "SELECT pgcache_test_jitter($permille, $max_us)");
	return;
}

# Rounds until so many hits were compared and, if kinds is given, each kind has
# had so many; or something was wrong.  Gives the number of rounds.
sub torture_until
{
	my ($node, %limit) = @_;
	my $n = 0;
	while ($n++ < ($limit{rounds} // 1000))
	{
		run_round($node, $limit{clients} // 10, $limit{transactions} // 30);
		my ($reads, $hits, $wrong) = torture_total($node);
		last if $wrong > 0 && !$limit{on};
		next if $limit{seconds} && time() < $limit{seconds};
		next if $hits < $limit{hits};
		last if !$limit{kinds} || $node->safe_psql('postgres', qq{
			SELECT bool_and(h >= $limit{kinds}) FROM (
				SELECT sum(pgcache_test_tally(kind, m, 1)) AS h
				FROM torture.kinds, generate_series(0, 3) m GROUP BY kind) s}) eq 't';
	}
	return $n;
}

sub torture_report
{
	my ($node) = @_;
	my ($rc, $out) = $node->psql('postgres', q{
		SELECT name, m.mode, pgcache_test_tally(kind, n, 0) AS reads, pgcache_test_tally(kind, n, 1) AS "hits, compared",
			pgcache_test_tally(kind, n, 2) AS wrong
		FROM torture.kinds, (VALUES (0, 'READ COMMITTED'), (1, 'REPEATABLE READ'), (2, 'READ COMMITTED, wrote'),
			(3, 'REPEATABLE READ, wrote')) m (n, mode)
		UNION ALL SELECT 'all', '', sum(pgcache_test_tally(k, m, 0)), sum(pgcache_test_tally(k, m, 1)), sum(pgcache_test_tally(k, m, 2))
		FROM generate_series(0, 31) k, generate_series(0, 3) m},
		extra_params => [ '--no-psqlrc', '-P', 'format=aligned', '-P', 'tuples_only=off', '-P', 'footer=off' ]);
	return $out;
}

# Errors that the scripts got, as text, and those that they should not get.
sub torture_errors
{
	my @strange = grep { !$legal{$_} } sort keys %errors;
	return (join(', ', map { "$_: $errors{$_}" } sort keys %errors), @strange);
}

sub torture_log
{
	my ($node, $n) = @_;
	my @lines = grep { /torture: wrong/ } split /\n/, slurp_file($node->logfile);
	return @lines > $n ? @lines[ 0 .. $n - 1 ] : @lines;
}

sub torture_conditions
{
	my ($node, $seconds) = @_;
	my ($errors) = torture_errors();
	chomp(my $cores = `nproc`);
	return "$round rounds, $gid prepared transactions, $seconds s, $cores cores, PostgreSQL "
	  . $node->safe_psql('postgres', 'SHOW server_version') . "\nerrors by SQLSTATE: $errors";
}

# Nothing was wrong so far, all kinds were compared, and the store is sound.
sub is_right
{
	my ($node, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($reads, $hits, $wrong) = torture_total($node);
	my ($errors, @strange) = torture_errors();
	is($wrong, 0, "$what: $reads reads, $hits hits, none wrong")
	  or diag torture_report($node), join "\n", torture_log($node, 10);
	is($node->safe_psql('postgres', q{
		SELECT string_agg(name, ', ') FROM torture.kinds
		WHERE (SELECT sum(pgcache_test_tally(kind, m, 1)) FROM generate_series(0, 3) m) < 10}), '',
		"$what: all kinds were compared");
	is("@strange", '', "$what: no unexpected errors") or diag $errors;
	unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, "$what: no crash");
	is_sound($node, $what);
	return;
}

# What is done to find out that a rule is broken; random transactions otherwise.
my %directed = (
	noevict => \&directed_eviction,
	nofloor => \&directed_eviction,
	nostrict => \&directed_truncate,
	noimmediate => \&directed_immediate,
	nofence => \&directed_depend,
	noddl => \&directed_ddl);

sub directed_tests
{
	my ($node, $times) = @_;
	$_->($node, $times) for \&directed_eviction, \&directed_truncate, \&directed_immediate, \&directed_depend, \&directed_ddl;
	return;
}

# With that rule broken something is wrong within so many hits.
sub is_caught
{
	my ($node, $rule, $most) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $t0 = time();
	$node->restart;
	$node->safe_psql('postgres', "SELECT pgcache_test_break('$rule'), pgcache_test_tally_reset()");
	set_jitter($node, 20, 2000);
	if ($directed{$rule})
	{
		$directed{$rule}->($node, 20);
	}
	else
	{
		torture_until($node, hits => $most, rounds => 1_000_000);
	}
	my ($reads, $hits, $wrong) = torture_total($node);
	my $first = torture_first($node);
	ok($first > 0, "broken rule $rule: caught after $first of $hits compared reads");
	diag "$rule: the first wrong answer was number $first; $wrong of $hits until the round's end" if $ENV{TORTURE_VERBOSE};
	$node->safe_psql('postgres', 'SELECT pgcache_test_mend()');
	return;
}

# ---- directed ----------------------------------------------------------------
#
# What random scripts come to too seldom.  Each is repeated until something is
# wrong, at most so often.

my $read_groups = $read{groups}->(1);
my $look_groups = $read{groups}->(0);
my $read_by_table = read_by_table(1);
my $look_by_table = read_by_table(0);
my ($read_first, $look_first) = map { read_first($_) } 1, 0;

sub read_first
{
	my ($fill) = @_;
	my $then = $fill ? "cache_put('a:1', v, tags => key_tags(1), namespace => 'torture')" : 'NULL';
	return "SELECT count(CASE WHEN NOT h THEN $then END) FROM (SELECT v, pgcache_test_compare(0, 'a:1', m.key IS NOT NULL, m.value, v::text) AS h "
	  . "FROM acct LEFT JOIN LATERAL cache_get_many('{a:1}', 'torture') m ON true WHERE id = 1 OFFSET 0) c;\n";
}

sub read_by_table
{
	my ($fill) = @_;
	my $then = $fill ? "cache_put(k, v, namespace => 'torture', depends_on => '{torture.acct}')" : 'NULL';
	return "SELECT count(CASE WHEN NOT h THEN $then END) FROM (SELECT q.*, pgcache_test_compare(1, q.k, m.key IS NOT NULL, m.value, q.v::text) AS h FROM "
	  . "(SELECT 'ad:' || i AS k, (SELECT v FROM acct WHERE id = i) AS v FROM generate_series(1, 8) i) q "
	  . "LEFT JOIN LATERAL cache_get_many(ARRAY[q.k], 'torture') m ON true OFFSET 0) c;\n";
}

sub two_sessions
{
	my ($node) = @_;
	my @sessions = map { $node->background_psql('postgres') } 1 .. 2;
	$_->query_safe('SET search_path = torture, public') for @sessions;

	# Random transactions may have deleted rows.  The put comes before the first
	# transaction is prepared, for what was prepared before the first put may be
	# from before the server's start.
	$sessions[1]->query_safe(q{
		INSERT INTO acct SELECT i, i FROM generate_series(1, 64) i ON CONFLICT (id) DO UPDATE SET v = excluded.v;
		SELECT cache_clear('torture'), cache_put('first', 'put', namespace => 'torture')});
	return @sessions;
}

# So many publishes of one object, by transactions that don't end or within the
# life of a snapshot, that its ring forgets some.
sub directed_eviction
{
	my ($node, $times) = @_;
	my ($reader, $writer) = two_sessions($node);
	for my $n (1 .. $times)
	{
		# More writers at once than a ring holds, so that one falls out that has not
		# ended; then all but that do, before data are stored.
		my ($first, @rows) = map { 1 + 8 * $_ } 0 .. 6;
		$writer->query_safe("BEGIN; SELECT change('{$_}', 'tags'); PREPARE TRANSACTION 'row $_'") for $first, @rows;
		$writer->query_safe("COMMIT PREPARED 'row $_'") for @rows;
		$reader->query_safe($read_groups . $read_by_table);
		$writer->query_safe("COMMIT PREPARED 'row $first'");
		$reader->query_safe($look_groups . $look_by_table);

		# A writer that the snapshot sees, forgotten when they are served.
		$reader->query_safe("SELECT cache_clear('torture')");
		$reader->query_safe($read_groups . $read_by_table);
		$writer->query_safe("SELECT change('{1}', 'tags')");
		$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
		$writer->query_safe("SELECT change('{9}', 'tags')") for 1 .. 9;
		$reader->query_safe($look_groups . $look_by_table);
		$reader->query_safe('COMMIT');
		last if torture_first($node) > 0;
	}
	$_->quit for $reader, $writer;
	return;
}

# Statements that compare the entries of a kind, and that also put what they miss.
sub look_at
{
	my ($kind) = @_;
	return map { "SELECT count($_) FROM entries e, LATERAL look(e) l WHERE kind = $kind;\n" } 'l.hit',
	  "CASE WHEN NOT l.hit THEN cache_put(e.key, l.truth, namespace => 'torture', depends_on => e.depends_on) END";
}

# What an old snapshot sees of a table that was truncated is what is there now.
sub directed_truncate
{
	my ($node, $times) = @_;
	my ($reader, $writer) = two_sessions($node);
	my ($look, $fill) = look_at(7);
	for my $n (1 .. $times)
	{
		my $change = $n % 2 ? "BEGIN; TRUNCATE trunc; INSERT INTO trunc VALUES (1, $n); COMMIT"
		  : 'ALTER TABLE trunc ALTER v TYPE bigint USING v + 1';
		# An entry from before the change, then one by who doesn't see it.
		$reader->query_safe($fill);
		$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
		$writer->query_safe($change);
		$reader->query_safe($look . $fill . $look);
		$reader->query_safe('COMMIT');
		$writer->query_safe($look . $fill . $look);
		last if torture_first($node) > 0;
	}
	$_->quit for $reader, $writer;
	return;
}

# Changes that act at once, after the commit of what they are about, and fillers
# with a snapshot, or a lease, from before.
sub directed_immediate
{
	my ($node, $times) = @_;
	my ($reader, $writer) = two_sessions($node);
	my $drop = q{SELECT cache_delete('a:1', 'torture')};
	$writer->query_safe('SET pg_cache.transactional = off');
	for my $n (1 .. $times)
	{
		$drop = one(q{SELECT cache_delete('a:1', 'torture')}, q{SELECT cache_invalidate_tags('{a1}', 'torture')},
			q{SELECT cache_clear('torture')}, q{SELECT cache_invalidate_pattern('a:1', 'torture')});
		$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
		$writer->query_safe("UPDATE acct SET v = coalesce(v, 0) + 1 WHERE id = 1");
		$writer->query_safe($drop);
		$reader->query_safe($read_first);
		$reader->query_safe('COMMIT');
		$writer->query_safe($look_first);

		$writer->query_safe($drop);
		my $lease = $reader->query_safe(q{SELECT cache_lease('a:1', 'torture')});
		my $value = $reader->query_safe('SELECT v FROM acct WHERE id = 1');
		$writer->query_safe("UPDATE acct SET v = coalesce(v, 0) + 1 WHERE id = 1");
		$writer->query_safe($drop);
		$reader->query_safe("SELECT cache_put('a:1', '$value', tags => key_tags(1), namespace => 'torture', lease => '$lease')");
		$writer->query_safe($look_first);
		last if torture_first($node) > 0;
	}
	$_->quit for $reader, $writer;
	return;
}

# Entries that get another table while what they already depended on changes.
sub directed_depend
{
	my ($node, $times) = @_;
	my ($reader, $writer) = two_sessions($node);
	for my $n (1 .. $times)
	{
		$reader->query_safe($read_groups . $read_by_table);
		$reader->query_safe("BEGIN; SELECT cache_depend('g:1', '{torture.watched}', 'torture'), cache_depend('ad:1', '{torture.watched}', 'torture')");
		$writer->query_safe("SELECT change('{1}', 'tags')");
		$reader->query_safe('COMMIT');
		$writer->query_safe($look_groups . $look_by_table);
		last if torture_first($node) > 0;
	}
	$_->quit for $reader, $writer;
	return;
}

# A reader whose plan knows nothing of the ATTACH that its snapshot sees.
sub directed_ddl
{
	my ($node, $times) = @_;
	my ($reader, $other) = two_sessions($node);
	my ($look, $fill) = look_at(9);
	for my $n (1 .. ($times > 3 ? 3 : $times))
	{
		$other->query_safe(q{SELECT CASE WHEN EXISTS (SELECT FROM pg_inherits
			WHERE inhrelid = 'torture.att1'::regclass) THEN flip_partition() END});
		$reader->query_safe($look);
		my ($holder, $held) = hold_at($node, 'watch-visible', 'SET search_path = torture, public; SELECT flip_partition()');
		$reader->query_safe($fill);
		$holder->query_safe("SELECT pgcache_test_disarm('watch-visible')");
		$held->query_until(qr/^done$/m, '');
		$other->query_safe($look);
		$reader->query_safe($look);
		$_->quit for $holder, $held;
		last if torture_first($node) > 0;
	}
	$_->quit for $reader, $other;
	return;
}

1;
