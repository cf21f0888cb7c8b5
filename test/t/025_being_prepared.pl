# A transaction that is being prepared while a synchronous standby is waited for
# stands in the list of running ones twice; and one that was prepared before a
# restart has published nothing that what acts at once could go by.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('being_prepared', 'max_prepared_transactions = 5', 'wal_level = replica', 'max_wal_senders = 4',
	"synchronous_standby_names = 'nobody'", 'synchronous_commit = local');
$node->safe_psql('postgres', q{
	CREATE TABLE t (id int PRIMARY KEY, v text);
	CREATE TABLE other (id int);
	INSERT INTO t VALUES (1, 'old');
	SELECT cache_put('k', 'v')});
my ($preparer, $writer, $old, $filler, $new) = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 5;
my $get = q{SELECT coalesce(cache_get('k'), 'miss'), v FROM t};

# ---- while one is being prepared

# It and the writer run for the old snapshot, and for the filler's it stands in
# the list twice and the writer not at all: as many, but not the same.
my $pid = $preparer->query_safe('SELECT pg_backend_pid()');
$preparer->query_safe('SET synchronous_commit = on; BEGIN; INSERT INTO other VALUES (1)');
$writer->query_safe(q{BEGIN; UPDATE t SET v = 'new'});
$node->safe_psql('postgres', 'INSERT INTO other VALUES (2)');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT v FROM t');
$preparer->query_until(qr/^prepares$/m, "\\echo prepares\nPREPARE TRANSACTION 'p';\n\\echo done\n");
$node->poll_query_until('postgres', "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $pid")
  or die 'does not wait';
$writer->query_safe(q{SELECT cache_delete('k'); COMMIT});
is($filler->query_safe(q{SELECT cache_put('k', v), v FROM t}), '|new', 'filled');
is($old->query_safe($get), 'miss|old', 'not for a snapshot with as many in its list');
$node->safe_psql('postgres', 'INSERT INTO other VALUES (3)');
is($old->query_safe($get), 'miss|old', 'nor later');
is($new->query_safe($get), 'new|new', 'but for later snapshots');
$old->query_safe('COMMIT');

# What an older snapshot fills does not pass for something newer.
$writer->query_safe(q{BEGIN; UPDATE t SET v = 'newer'});
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT v FROM t');
$writer->query_safe(q{SELECT cache_delete('k'); COMMIT});
is($filler->query_safe(q{SELECT cache_put('k', v), v FROM t}), '|newer', 'filled again');
$old->query_safe(q{SELECT cache_put('k', v) FROM t; COMMIT});
isnt($new->query_safe(q{SELECT coalesce(cache_get('k'), 'miss')}), 'new', 'an old fill does not take its place');

$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$preparer->query_until(qr/^done$/m, '');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'p'});
is_sound($node, 'while one was being prepared');
$_->quit for $preparer, $writer, $old, $filler, $new;

# ---- prepared before a restart

# What is put before the end is read from before the change, which leaves no
# trace when it is committed.
my %fills = (
	'cache_add with cache_depend' => q{SELECT cache_add('k', v) FROM t; SELECT cache_depend('k', '{t}')},
	'cache_put with cache_depend' => q{SELECT cache_put('k', v) FROM t; SELECT cache_depend('k', '{t}')},
	'cache_put with cache_depend, in one transaction' => q{BEGIN; SELECT cache_put('k', v) FROM t; SELECT cache_depend('k', '{t}'); COMMIT},
	'cache_put with depends_on' => q{SELECT cache_put('k', v, depends_on => '{t}') FROM t},
	'depends_on, then cache_add' => q{SELECT cache_put('k', v, depends_on => '{t}') FROM t; SELECT cache_add('k', v) FROM t; SELECT cache_depend('k', '{t}')});
for my $fill (sort keys %fills)
{
	$node->safe_psql('postgres', q{UPDATE t SET v = 'old'; BEGIN; UPDATE t SET v = 'new'; PREPARE TRANSACTION 'p'});
	$node->restart;
	$node->safe_psql('postgres', $fills{$fill});
	is($node->safe_psql('postgres', q{SELECT coalesce(cache_get('k'), 'old')}), 'old', "nothing wrong before the end: $fill");
	$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
	is($node->safe_psql('postgres', $get), 'miss|new', "gone after it: $fill");
}

# What it changed in the cache is not stored either, by what acts at once.
$node->safe_psql('postgres', q{BEGIN; UPDATE t SET v = 'newest'; SELECT cache_delete('k'); PREPARE TRANSACTION 'p'});
$node->restart;
is($node->safe_psql('postgres', q{SELECT cache_add('k', v) FROM t; SELECT cache_exists('k')}), "f\nf", 'cache_add stores nothing');
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
is($node->safe_psql('postgres', $get), 'miss|newest', 'nor is there anything at the end');
is($node->safe_psql('postgres', q{SELECT cache_add('k', v) FROM t; SELECT cache_get('k')}), "t\nnewest", 'then it does');

is_sound($node, 'at the end');
$node->stop;
done_testing();
