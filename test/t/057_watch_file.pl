# Watched files: what counts as a change, and what becomes of watches when the
# worker, the server, the table or the privileges are not there.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', "pg_cache.worker_interval = '50ms'", 'wal_level = replica', 'max_wal_senders = 4');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $time = 1_000_000_000;
my %time_of;

# Writes a file whose time of modification no other one has; or has the one given.
sub write_file
{
	my ($name, $text, $mtime) = @_;
	open(my $file, '>', "$dir/$name") or die "$dir/$name: $!";
	print $file $text;
	close($file);
	set_time($name, $mtime);
	return;
}

sub set_time
{
	my ($name, $mtime) = @_;
	$mtime //= ++$time;
	utime($mtime, $mtime, "$dir/$name") or die "$dir/$name: $!";
	$time_of{$name} = $mtime;
	return;
}

sub sql
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

# Puts an entry for each file, with its name as key and tag.
sub put
{
	my (@names) = @_;
	sql(join(';', map { "SELECT cache_put('$_', 'v', tags => '{$_}')" } @names));
	return;
}

sub gone
{
	my ($name, $what, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $server = $options{server} // $node;
	ok($server->poll_query_until($options{database} // 'postgres', "SELECT NOT cache_exists('$name')"),
		"$what: noticed");
	return;
}

# All files are looked at together, so once a change of one is noticed it is seen
# that another one's was none.
sub kept
{
	my ($name, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	put('marker');
	set_time('marker');
	gone('marker', "$what, the marker");
	is(sql("SELECT cache_exists('$name')"), 't', $what);
	return;
}

# ---- What a change is

write_file($_, 'some text') for qw(a b marker);
sql(qq{SELECT cache_watch_file('$dir/a', '{a}'), cache_watch_file('$dir/b', '{b}'),
	cache_watch_file('$dir/marker', '{marker}')});
put('a', 'b');
write_file('a', 'more text than before');
gone('a', 'written to');
kept('b', 'another file');
is(sql('SELECT invalidations_file FROM cache_stats'), '2', 'counted: the file and the marker');

put('a');
set_time('a');
gone('a', 'only its time');
put('a');
write_file('a', 'even more text than before', $time);
gone('a', 'only its size');
put('a');
write_file('new', 'even more text than before', $time);
rename("$dir/new", "$dir/a") or die;
gone('a', 'another in its place');

put('a');
unlink("$dir/a") or die;
gone('a', 'removed');
$node->poll_query_until('postgres', "SELECT condition = 'absent' AND size IS NULL FROM cache_file_watches WHERE path LIKE '%/a'");
put('a');
kept('a', 'still not there');
write_file('a', 'again');
gone('a', 'appeared');
is(sql("SELECT condition, size, extract(epoch FROM mtime)::int = $time_of{a} FROM cache_file_watches WHERE path LIKE '%/a'"),
	'present|5|t', 'what was seen is in the table');

mkdir("$dir/sub") or die;
set_time('sub');
sql("SELECT cache_watch_file('$dir/sub', '{sub}')");
put('sub');
write_file('sub/file', 'x');
gone('sub', 'a directory, of which the entries changed');

symlink("$dir/a", "$dir/link") or die;
sql("SELECT cache_watch_file('$dir/link', '{link}')");
put('a', 'link');
write_file('a', 'through a link');
gone('link', 'what a symbolic link points to');
gone('a', 'and the file itself');

# ---- A file that cannot be looked at

SKIP:
{
	skip 'root may look everywhere', 4 if $> == 0;
	sql("SELECT cache_watch_file('$dir/sub/file', '{file}')");
	put('file');
	chmod(0000, "$dir/sub") or die;
	gone('file', 'no permission');
	put('file');
	kept('file', 'still none');
	is(scalar(() = slurp_file($node->logfile) =~ /could not stat watched file ".*file": Permission denied/g), 1,
		'logged once');
	chmod(0700, "$dir/sub") or die;
	gone('file', 'permission again');
	sql("SELECT cache_unwatch_file('$dir/sub/file')");
}

# ---- Watches that change

put('a');
sql("BEGIN; SELECT cache_unwatch_file('$dir/a'); ROLLBACK");
write_file('a', 'not unwatched');
gone('a', 'an unwatch rolled back');

sql("SELECT cache_watch_file('$dir/a', '{a2}'); SELECT cache_unwatch_file('$dir/link')");
put('a', 'a2', 'link');
write_file('a', 'other tags');
gone('a2', 'other tags');
is(sql("SELECT cache_exists('a')"), 't', 'the old ones are not invalidated');
kept('link', 'no longer watched');
sql("SELECT cache_watch_file('$dir/a', '{a}')");

# Somebody changes the table and takes his time.
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe("BEGIN; SELECT cache_watch_file('$dir/c', '{c}')");
put('a');
write_file('a', 'while the table is locked');
gone('a', 'while the table is locked');
isnt(sql("SELECT extract(epoch FROM mtime)::int FROM cache_file_watches WHERE path LIKE '%/a'"), $time_of{a},
	'not in the table');
put('a');
kept('a', 'known though it is not in the table');
$session->query_safe('COMMIT');
ok($node->poll_query_until('postgres',
	"SELECT extract(epoch FROM mtime)::int = $time_of{a} FROM cache_file_watches WHERE path LIKE '%/a'"), 'written later');
$session->quit;
is(sql("SELECT cache_exists('a')"), 't', 'and not acted upon twice');
put('c');
write_file('c', 'new');
gone('c', 'a watch committed');

# ---- Namespaces and privileges

sql(qq{CREATE ROLE reader; GRANT pg_read_server_files TO reader;
	SELECT cache_create_namespace('n'); SELECT cache_grant('n', 'reader', 'write');
	SET ROLE reader; SELECT cache_watch_file('$dir/b', '{b}', 'n')});
my $in_n = q{SELECT cache_put('b', 'v', tags => '{b}', namespace => 'n'); SELECT cache_put('b', 'v', tags => '{b}')};
my $n_gone = q{SELECT NOT cache_exists('b', 'n')};
sql($in_n);
set_time('b');
ok($node->poll_query_until('postgres', $n_gone), 'another namespace');
gone('b', 'and the default one');

my $log = -s $node->logfile;
for my $revoked (q{SELECT cache_revoke('n', 'reader', 'write')}, 'REVOKE pg_read_server_files FROM reader')
{
	sql("$revoked; $in_n");
	set_time('b');
	ok($node->poll_query_until('postgres', $n_gone), "still heeded after: $revoked");
}
is(scalar(() = substr(slurp_file($node->logfile), $log) =~ /changes of file ".*b" are no longer meant to/g), 1,
	'said once');

sql(q{SELECT cache_drop_namespace('n')});
put('b');
set_time('b');
gone('b', 'a namespace dropped');
sql(q{SELECT cache_create_namespace('n')});
sql($in_n);
set_time('b');
ok($node->poll_query_until('postgres', $n_gone), 'and there again');
sql('DROP ROLE reader');
like(query_error($node, "CREATE ROLE other; GRANT pg_read_server_files TO other; SELECT cache_grant('n', 'other', 'write'); SET ROLE other; SELECT cache_watch_file('$dir/b', '{x}', 'n')"),
	qr/42501.*\n?.*DETAIL:  Role "\d+" watches it/, 'nobody else gets it');
sql($in_n);
set_time('b');
ok($node->poll_query_until('postgres', $n_gone), 'the role dropped');
is_sound($node, 'so far');

# ---- The worker and the server gone for a while

put('a');
sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pg_cache worker' AND datname = 'postgres'");
write_file('a', 'while the worker was away');
gone('a', 'the worker was away');

$node->stop;
write_file('a', 'while the server was down');
$node->start;
ok($node->poll_query_until('postgres', "SELECT extract(epoch FROM mtime)::int = $time_of{a}
	FROM cache_file_watches WHERE path LIKE '%/a'"), 'changed while the server was down');

# ---- Dump and restore

sql('CREATE DATABASE copy');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/dump", 'postgres' ], 'dumped');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), "$dir/dump" ], 'restored');
my $watches = 'SELECT path, namespace, tags, condition, mtime, size, inode FROM cache_file_watches
	WHERE owner::oid IN (SELECT oid FROM pg_roles) ORDER BY 1, 2';
is(sql($watches, 'copy'), sql($watches), 'the same watches');
my $orphans = 'SELECT count(*) FROM cache_file_watches WHERE owner::oid NOT IN (SELECT oid FROM pg_roles)';
is(sql($orphans) . sql($orphans, 'copy'), '10', 'but not that of the role that was dropped');
sql("SELECT cache_put('a', 'v', tags => '{a}')", 'copy');
put('a');
write_file('a', 'in two databases');
gone('a', 'a restored watch', database => 'copy');
gone('a', 'and the dumped one');
is_sound($node, 'copy', 'copy');
sql('DROP DATABASE copy');

# ---- Standby

$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
for my $call ("cache_watch_file('$dir/z', '{z}')", "cache_unwatch_file('$dir/a')")
{
	like(query_error($standby, "SELECT $call"), qr/25006/, "$call on a standby");
}
$standby->safe_psql('postgres', "SELECT cache_put('a', 'v', tags => '{a}')");
write_file('a', 'on the standby');
gone('a', 'on a standby', server => $standby);
$standby->promote;
$node->stop;
write_file('a', 'after the promotion');
ok($standby->poll_query_until('postgres', "SELECT extract(epoch FROM mtime)::int = $time_of{a}
	FROM cache_file_watches WHERE path LIKE '%/a'"), 'written to the table after the promotion');
is_sound($standby, 'standby');

# ---- The extension dropped and created

$standby->safe_psql('postgres', 'DROP EXTENSION pg_cache; CREATE EXTENSION pg_cache');
$standby->safe_psql('postgres', qq{SELECT cache_watch_file('$dir/a', '{a}');
	SELECT cache_put('a', 'v', tags => '{a}')});
write_file('a', 'a new extension');
gone('a', 'the extension created anew', server => $standby);
is_sound($standby, 'end');
done_testing();
