# What is counted and recorded survives a clean restart, and nothing else.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('stats', 'restart_after_crash = on', 'pg_cache.transactional = off');
my $file = $node->data_dir . '/pg_stat/pg_cache.stat';

# All that has to be the same afterwards, of a database.
my $counted = q{
	SELECT hits, misses, puts, deletes, evictions, expirations, invalidations, invalidations_manual, stats_reset
	FROM cache_stats;
	SELECT namespace, hits, misses, puts, deletes, evictions, expirations FROM cache_stats_namespaces ORDER BY namespace;
	SELECT * FROM cache_latency;
	SELECT namespace, key, requests, error, truncated FROM cache_hot_keys WHERE NOT truncated
	ORDER BY namespace, requests DESC, key};
my $sums = 'SELECT hits, misses, puts, evictions FROM cache_stats';
my $hot = q{SELECT string_agg(format('%s/%s:%s', namespace, key, requests), ' ' ORDER BY namespace, requests DESC, key)
	FROM cache_hot_keys};

# ---- a clean restart

$node->safe_psql('postgres', 'CREATE DATABASE other');
install($node, 'other');
$node->safe_psql('postgres', q{
	SELECT cache_create_namespace('kept', max_entries => 5), cache_create_namespace('unused'),
	       cache_create_namespace('gone');
	SELECT count(cache_put('k' || i, 'v', namespace => 'kept')) FROM generate_series(1, 20) i;
	SELECT count(cache_get('k20', 'kept')) FROM generate_series(1, 30);
	SELECT count(cache_get('k19', 'kept')) FROM generate_series(1, 20);
	SELECT count(cache_get('none', 'kept')) FROM generate_series(1, 10);
	SELECT count(cache_get(repeat('long', 100), 'kept')) FROM generate_series(1, 9);
	SELECT cache_get('k', 'unused');
	SELECT cache_put('d', 'v', namespace => 'gone');
	SELECT count(cache_get('d', 'gone')) FROM generate_series(1, 7);
	SELECT cache_delete('d', 'gone');
	SELECT cache_drop_namespace('gone')});
$node->safe_psql('other', q{
	SELECT cache_put_many('{a,b,c}', '{1,2,3}');
	SELECT * FROM cache_get_many('{a,b,d}');
	SELECT cache_get_as('a', ''::text), cache_invalidate_pattern('b')});

my %before = map { $_ => $node->safe_psql($_, $counted) } ('postgres', 'other');
like($before{postgres}, qr/^57\|20\|21\|1\|15\|/, 'there is something to keep');
like($before{postgres}, qr/^kept\|k20\|30\|0\|f$/m, 'of all kinds');
$node->restart;
ok(!-e $file, 'the file is gone while the server runs');
for my $database ('postgres', 'other')
{
	is($node->safe_psql($database, $counted), $before{$database}, "a restart keeps it: $database");
}
is($node->safe_psql('postgres', q{SELECT entries FROM cache_stats; SELECT count(*) FROM cache_hot_keys WHERE cached}),
	"0\n0", 'but not the entries');
$node->restart;
is($node->safe_psql('postgres', $counted), $before{postgres}, 'also twice, without any use in between');

# ---- what follows is added

$node->safe_psql('postgres', q{
	SELECT cache_get('k20', 'kept'), cache_get('k19', 'kept'), cache_get('new', 'kept')});
is($node->safe_psql('postgres', "$sums; $hot"),
	"57|23|21|15\nkept/k20:31 kept/k19:21 kept/none:10 kept/new:1 unused/k:1", 'counting goes on');
$node->restart;
$node->safe_psql('postgres', q{SELECT cache_get('new', 'kept')});
$node->restart;
is($node->safe_psql('postgres', "$sums; $hot"),
	"57|24|21|15\nkept/k20:31 kept/k19:21 kept/none:10 kept/new:2 unused/k:1", 'and again');
is_sound($node, 'after restarts');

# ---- dropped namespaces and databases

$node->safe_psql('postgres', q{
	SELECT cache_drop_namespace('unused');
	SELECT cache_create_namespace('unused')});
is($node->safe_psql('postgres', "$sums; $hot; SELECT misses FROM cache_stats_namespaces WHERE namespace = 'unused'"),
	"57|24|21|15\nkept/k20:31 kept/k19:21 kept/none:10 kept/new:2\n0",
	'a namespace dropped before it was used counts for the database, not for another of its name');
$node->safe_psql('postgres', q{SELECT cache_get('k', 'unused')});
$node->restart;
is($node->safe_psql('postgres', $sums), '57|25|21|15', 'also after a restart');
my $size = (stat_when_stopped())[7];
$node->start;
$node->safe_psql('postgres', 'DROP DATABASE other');
cmp_ok((stat_when_stopped())[7], '<', $size, 'a database that is dropped leaves nothing');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE other');
install($node, 'other');
is($node->safe_psql('other', "$sums; SELECT sum(calls) FROM cache_latency; $hot"), "0|0|0|0\n0\n",
	'not to another of its name either');

sub stat_when_stopped
{
	$node->stop;
	return stat $file;
}

# ---- less room than before

$node->append_conf('postgresql.conf', "pg_cache.tracked_keys = 2\npg_cache.max_namespaces = 2");
$node->restart;
is($node->safe_psql('postgres', $sums), '57|25|21|15', 'fewer namespaces than are saved: the sums are the same');
like($node->safe_psql('postgres', $hot), qr{^kept/k20:31 kept/k19:21( |$)}, 'fewer keys: the hottest stay');
$node->append_conf('postgresql.conf', 'pg_cache.tracked_keys = 0');
$node->restart;
is($node->safe_psql('postgres', "$sums; SELECT cache_get('k20', 'kept') IS NULL; $hot"), "57|25|21|15\nt\n",
	'no keys are tracked');
is_sound($node, 'less room');
$node->append_conf('postgresql.conf', "pg_cache.tracked_keys = 512\npg_cache.max_namespaces = 256");
$node->restart;

# ---- reset

my $since = $node->safe_psql('postgres', 'SELECT stats_reset FROM cache_stats');
$node->safe_psql('other', q{SELECT cache_put('k', 'v'), cache_get('k')});
$node->safe_psql('postgres', q{
	SELECT cache_get('k', 'kept'), cache_put('k', 'v');
	SELECT cache_reset_stats()});
my $zero = "0|0|0|0\n0\n";
my $all = "$sums; SELECT sum(calls) FROM cache_latency; $hot";
is($node->safe_psql('postgres', $all), $zero, 'a reset sets back what was kept, too');
is($node->safe_psql('postgres', "SELECT stats_reset > '$since' AND stats_reset <= now() FROM cache_stats"), 't',
	'and says when');
$since = $node->safe_psql('postgres', 'SELECT stats_reset FROM cache_stats');
$node->restart;
is($node->safe_psql('postgres', $all), $zero, 'nothing comes back after a restart');
is($node->safe_psql('postgres', 'SELECT stats_reset FROM cache_stats'), $since, 'the time of the reset does');
isnt($node->safe_psql('other', 'SELECT stats_reset FROM cache_stats'), $since, 'it is the database\'s');
is($node->safe_psql('other', $all), "1|0|1|0\n2\ndefault/k:1", 'another database keeps its own');
$node->safe_psql('other', 'DROP EXTENSION pg_cache');
$node->restart;
install($node, 'other');
is($node->safe_psql('other', $all), $zero, 'unless it loses the extension');

# ---- a crash

my $use = q{SELECT cache_put('k', 'v'), cache_get('k')};
$node->safe_psql('postgres', $use);
$node->stop('immediate');
ok(!-e $file, 'an immediate shutdown writes nothing');
$node->start;
is($node->safe_psql('postgres', $all), $zero, 'after it all begins at zero');
is($node->safe_psql('postgres', "SELECT stats_reset > '$since' FROM cache_stats"), 't', 'at that time');

$node->safe_psql('postgres', $use);
$node->restart;
$node->safe_psql('postgres', $use);
is($node->safe_psql('postgres', $sums), '2|0|2|0', 'there is something to lose');
my $session = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $session->query_safe('SELECT pg_backend_pid()');
kill 'KILL', $pid;
$session->{run}->finish;
$node->poll_query_until('postgres', "SELECT hits = 0 FROM cache_stats") or die 'no restart';
is($node->safe_psql('postgres', $all), $zero, 'a crash loses what there was before the start as well');
is_sound($node, 'after crashes');
$node->safe_psql('postgres', $use);
$node->restart;
is($node->safe_psql('postgres', $sums), '1|0|1|0', 'a clean restart after a crash keeps');

# ---- files that are not whole

my $whole;
my %breaks = (
	'empty' => sub { '' },
	'garbage' => sub { 'x' x 10000 },
	'cut' => sub { substr($whole, 0, length($whole) - 100) },
	'a byte of it changed' => sub { substr($whole, 0, 50) . chr(ord(substr($whole, 50, 1)) ^ 1) . substr($whole, 51) },
	'longer' => sub { $whole . 'x' });
for my $break (sort keys %breaks)
{
	$node->safe_psql('postgres', $use);
	$node->stop;
	$whole = slurp_file($file);
	ok(length($whole) > 100, "$break: there was a file");
	unlink $file;
	append_to_file($file, $breaks{$break}->());
	my $log = -s $node->logfile;
	$node->start;
	ok($node->log_contains(qr/LOG: .*ignoring file "pg_stat\/pg_cache\.stat"/, $log), "$break: is logged");
	is($node->safe_psql('postgres', $all), $zero, "$break: all begins at zero");
	ok(!-e $file, "$break: the file is gone");
}
is_sound($node, 'after broken files');
$node->stop;
done_testing();
