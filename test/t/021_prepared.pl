# Prepared transactions: committed and rolled back by other sessions, and over a
# restart of the server, after which the cache knows nothing of them.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('prepared', 'max_prepared_transactions = 10');
$node->safe_psql('postgres', q{
	CREATE TABLE t (id int PRIMARY KEY, v text);
	CREATE TABLE other (id int);
	INSERT INTO t VALUES (1, 'old')});

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# What a key has: its value, or that it is none.
sub get
{
	my ($key) = @_;
	return sql("SELECT coalesce(cache_get('$key'), 'miss')");
}

sub prepare
{
	my ($changes, $name) = @_;
	sql("BEGIN; $changes; PREPARE TRANSACTION '$name'");
	return;
}

my $fill = q{SELECT cache_clear();
	SELECT cache_put('k', 'old', tags => '{tag}', depends_on => '{t}'), cache_put('j', 'old')};
my $write = q{UPDATE t SET v = 'new' WHERE id = 1};

# ---- committed and rolled back by another session

# The changes, and what k and j are after COMMIT PREPARED.
my @changes = (
	[ q{SELECT cache_put('k', 'new')}, 'new', 'old' ],
	[ q{SELECT cache_put_many('{k,j}', '{new,new}')}, 'new', 'new' ],
	[ q{SELECT cache_delete('k')}, 'miss', 'old' ],
	[ q{SELECT cache_invalidate_tags('{tag}')}, 'miss', 'old' ],
	[ q{SELECT cache_invalidate_tags('{tag}', all_of => true)}, 'miss', 'old' ],
	[ q{SELECT cache_invalidate_pattern('k')}, 'miss', 'old' ],
	[ q{SELECT cache_clear()}, 'miss', 'miss' ],
	[ $write, 'miss', 'old' ],
	[ "$write; SELECT cache_put('k', 'new', depends_on => '{t}')", 'new', 'old' ],
	[ q{SELECT cache_delete('j'); SAVEPOINT s; SELECT cache_put('k', 'undone'); ROLLBACK TO s}, 'old', 'miss' ],
	[ q{TRUNCATE other; SELECT cache_put('j', 'new', depends_on => '{t}')}, 'old', 'new' ]);

for my $change (@changes)
{
	my ($does, $k, $j) = @$change;
	for my $end ('COMMIT PREPARED', 'ROLLBACK PREPARED')
	{
		my $commits = $end eq 'COMMIT PREPARED';
		sql("UPDATE t SET v = 'old'; $fill");
		prepare($does, 'p');
		for my $key ('k', 'j')
		{
			my $now = get($key);
			ok($now eq 'old' || $now eq 'miss', "$key while prepared: $does");
		}
		sql("$end 'p'");
		if ($commits)
		{
			is(get('k'), $k, "k after $end: $does");
			is(get('j'), $j, "j after $end: $does");
		}
		else
		{
			for my $key ('k', 'j')
			{
				my $then = get($key);
				ok($then eq 'old' || $then eq 'miss', "$key after $end: $does");
			}
		}
		# Nothing is left of it.
		is(sql(q{SELECT cache_put('k', v, tags => '{tag}', depends_on => '{t}'), cache_put('j', 'again') FROM t;
			SELECT cache_get('k') = v, cache_get('j') FROM t}), "|\nt|again", "filled after $end: $does");
	}
}
is_sound($node, 'without a restart');

# What acts at once waits for a prepared put, and goes by what becomes of it.
for my $end ('COMMIT PREPARED', 'ROLLBACK PREPARED')
{
	sql(q{SELECT cache_clear(); SELECT cache_put('n', 1::bigint)});
	prepare(q{SELECT cache_put('n', 5::bigint)}, 'p');
	like(query_error($node, q{SET lock_timeout = 1; SELECT cache_incr('n')}), qr/55P03/, 'waits for a prepared put');
	like(query_error($node, q{SET lock_timeout = 1; SELECT cache_add('n', 7::bigint)}), qr/55P03/, 'so does cache_add');
	my $session = $node->background_psql('postgres');
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->query_until(qr/^waits$/m, "\\echo waits\nSELECT 'incremented ' || cache_incr('n');\n\\echo done\n");
	$node->poll_query_until('postgres',
		"SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid") or die 'does not wait';
	sql("$end 'p'");
	my $out = $session->query_until(qr/^done$/m, '');
	my $expected = $end eq 'COMMIT PREPARED' ? 6 : 1;
	is(get('n'), $expected, "incremented after $end");
	$session->quit;
}

# A key that a prepared transaction will invalidate: nothing that acts at once
# before it survives it.
for my $does (q{SELECT cache_delete('n')}, q{SELECT cache_clear()}, q{SELECT cache_invalidate_pattern('n')})
{
	sql(q{SELECT cache_clear(); SELECT cache_put('n', 1::bigint)});
	prepare($does, 'p');
	my ($rc, $out, $err) = $node->psql('postgres', q{SET lock_timeout = 1; SELECT cache_incr('n')});
	sql(q{COMMIT PREPARED 'p'});
	is(get('n'), 'miss', "cache_incr before COMMIT PREPARED: $does");
}

# More of them at a time than are remembered one by one: none is forgotten, the
# first one neither, when the later ones are committed.
{
	my $count = q{SELECT cache_put('count', count(*), depends_on => '{t}'), cache_put('tagged', count(*), tags => '{tag}') FROM t};
	my $wrong = q{SELECT coalesce(cache_get_as('count', 0::bigint) <> count(*), false), coalesce(cache_get_as('tagged', 0::bigint) <> count(*), false) FROM t};
	sql($count);
	prepare("INSERT INTO t VALUES (100 + $_, 'new'); SELECT cache_invalidate_tags('{tag}')", "p$_") for 1 .. 9;
	for my $i (reverse 1 .. 9)
	{
		sql($count);
		is(sql($wrong), 'f|f', "filled before COMMIT PREPARED $i of 9");
		sql("COMMIT PREPARED 'p$i'");
		is(sql($wrong), 'f|f', "after COMMIT PREPARED $i of 9");
		is(sql(q{SELECT cache_exists('count'), cache_exists('tagged')}), 'f|f', "nothing old after $i of 9");
	}
	is(sql("$count; SELECT cache_get('count') = cache_get('tagged')"), "|\nt", 'filled again after all');
	sql('DELETE FROM t WHERE id > 100');
}

# ---- over a restart

# Rows of the log since a place that say that a database's cache is off.
sub is_off_in_log
{
	my ($from) = @_;
	return slurp_file($node->logfile, $from) =~ /LOG: .*prepared transaction .* changed the cache/;
}

for my $mode ('fast', 'immediate')
{
	for my $end ('COMMIT PREPARED', 'ROLLBACK PREPARED')
	{
		my $what = "$end after a restart ($mode)";
		my $v = $end eq 'COMMIT PREPARED' ? 'new' : 'old';

		# With changes of the cache: it stays off until the end.
		sql("UPDATE t SET v = 'old'; $fill; CHECKPOINT");
		prepare("$write; SELECT cache_delete('j'), cache_put('k', 'new')", 'p');
		my $log = -s $node->logfile;
		$node->stop($mode);
		$node->start;
		is(sql(q{SELECT cache_get('k') IS NULL AND cache_get('j') IS NULL}), 't', "empty: $what");
		is(sql(q{SELECT cache_put('k', v, depends_on => '{t}'), cache_put('j', 'old'), cache_put('n', 'old') FROM t;
			SELECT cache_put_many('{a,b}', '{old,old}');
			SELECT cache_get('k') IS NULL, cache_get('j') IS NULL, cache_get('n') IS NULL, cache_get('a') IS NULL}),
			"||\n2\nt|t|t|t", "refuses puts before $what");
		ok(is_off_in_log($log), "says so in the log: $what");
		sql("$end 'p'");
		is(get('k') . get('j'), 'missmiss', "nothing old: $what");
		is(sql(q{SELECT cache_put('k', v, depends_on => '{t}'), cache_put('j', 'again') FROM t;
			SELECT cache_get('k'), cache_get('j')}), "|\n$v|again", "works again: $what");
		is_sound($node, $what);

		# With changes of a table only: it goes on.
		sql("UPDATE t SET v = 'old'; $fill; CHECKPOINT");
		prepare($write, 'p');
		$log = -s $node->logfile;
		$node->stop($mode);
		$node->start;
		is(sql(q{SELECT cache_put('k', v, depends_on => '{t}'), cache_put('j', 'plain'), cache_put('o', 'other', depends_on => '{other}') FROM t;
			SELECT coalesce(cache_get('k'), 'old'), cache_get('j'), cache_get('o')}),
			"||\nold|plain|other", "table changes only, before $what");
		ok(!is_off_in_log($log), "not off: $what");
		sql("$end 'p'");
		is(sql(q{SELECT coalesce(cache_get('k'), v) = v, cache_get('j'), cache_get('o') FROM t}), 't|plain|other',
			"right: table changes only, $what");
		is(sql(q{SELECT cache_put('k', v, depends_on => '{t}') FROM t; SELECT cache_get('k')}), "\n$v",
			"fills again: table changes only, $what");
		is_sound($node, "table changes only, $what");
	}
}

# Another database is none the worse.
{
	$node->safe_psql('postgres', 'CREATE DATABASE second');
	install($node, 'second');
	prepare(q{SELECT cache_delete('k')}, 'p');
	$node->restart;
	is($node->safe_psql('second', q{SELECT cache_put('k', 'v'); SELECT cache_get('k')}), "\nv", 'another database');
	is(sql(q{SELECT cache_put('k', 'v'); SELECT cache_get('k') IS NULL}), "\nt", 'but this one is off');

	# Two restarts later it still is, and a second one prepared doesn't end it.
	$node->restart;
	prepare(q{SELECT cache_delete('k')}, 'p2');
	sql(q{COMMIT PREPARED 'p2'});
	is(sql(q{SELECT cache_put('k', 'v'); SELECT cache_get('k') IS NULL}), "\nt", 'still off after two restarts');
	my $session = $node->background_psql('postgres');
	is($session->query_safe(q{SELECT cache_put('k', 'v'); SELECT cache_get('k') IS NULL}), "\nt", 'in a session');
	sql(q{ROLLBACK PREPARED 'p'});
	is($session->query_safe(q{SELECT cache_put('k', 'v'); SELECT cache_get('k')}), "\nv", 'which works again afterwards');
	$session->quit;
}

# A lease from before a restart is good for nothing.
{
	my $lease = sql(q{SELECT cache_lease('k')});
	$node->restart;
	is(sql("SELECT cache_put('k', 'v', lease => '$lease'); SELECT cache_get('k') IS NULL"), "\nt", 'a lease from before');
	$lease = sql(q{SELECT cache_lease('k')});
	is(sql("SELECT cache_put('k', 'v', lease => '$lease'); SELECT cache_get('k')"), "\nv", 'and one from after');
}

is_sound($node, 'at the end');
$node->stop;
done_testing();
