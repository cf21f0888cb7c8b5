# Who must have a database for himself gets it, whatever its worker is doing; and
# whatever becomes of the statement, the worker comes back.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgCacheTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs the test build' unless $ENV{PGCACHE_TEST};

my $node = new_server('aside', 'max_worker_processes = 16', 'allow_in_place_tablespaces = on');
install_test_functions($node);
$node->safe_psql('postgres', q{CREATE TABLESPACE elsewhere LOCATION '';
	CREATE ROLE stranger LOGIN; CREATE ROLE maker LOGIN CREATEDB});
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(drop_me rename_me move_me copy_me);
install($node, $_) for qw(drop_me rename_me move_me copy_me);
wait_for_workers($node, 'copy_me drop_me move_me postgres rename_me', 'five databases');

# Every worker stays in its next job, in a transaction; new ones in their first.
my $holder = $node->background_psql('postgres', on_error_stop => 0);
$holder->query_safe(q{SELECT pgcache_test_arm('worker-job')});

sub wait_until_busy
{
	my ($database) = @_;
	ok($node->poll_query_until('postgres', qq{
		SELECT pg_terminate_backend(pid) AND pgcache_test_advance_clock('1 h') IS NOT NULL
		FROM pg_stat_activity WHERE datname = '$database' AND backend_type = 'pg_cache worker'
			AND wait_event IS DISTINCT FROM 'advisory'
		UNION ALL
		SELECT true FROM pg_stat_activity WHERE datname = '$database' AND backend_type = 'pg_cache worker'
			AND wait_event = 'advisory'}), "the worker of $database is in a job")
	  or diag($node->safe_psql('postgres', 'SELECT * FROM pg_stat_activity'));
	return;
}

wait_until_busy('drop_me');
$node->safe_psql('postgres', 'DROP DATABASE drop_me');
wait_for_workers($node, 'copy_me move_me postgres rename_me', 'DROP DATABASE while the worker is busy');

wait_until_busy('rename_me');
$node->safe_psql('postgres', 'ALTER DATABASE rename_me RENAME TO a_renamed');
wait_for_workers($node, 'a_renamed copy_me move_me postgres', 'RENAME while the worker is busy');

wait_until_busy('move_me');
$node->safe_psql('postgres', 'ALTER DATABASE move_me SET TABLESPACE elsewhere');
is($node->safe_psql('postgres', q{SELECT spcname FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname = 'move_me'}),
	'elsewhere', 'SET TABLESPACE while the worker is busy');
wait_for_workers($node, 'a_renamed copy_me move_me postgres', 'and the worker is back');

wait_until_busy('copy_me');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE copy_me');
wait_for_workers($node, 'a_renamed copy copy_me move_me postgres', 'TEMPLATE while the worker is busy');

# By an owner who is no superuser, who could not end the worker himself.
$node->safe_psql('postgres', 'ALTER DATABASE copy OWNER TO maker');
wait_until_busy('copy');
$node->safe_psql('postgres', 'DROP DATABASE copy WITH (FORCE)', extra_params => [ '-U', 'maker' ]);
wait_for_workers($node, 'a_renamed copy_me move_me postgres', 'DROP DATABASE by its owner');

# Who may not gets his error, and the worker stays.
{
	my $pid = worker_of($node, 'copy_me');
	for my $sql ('DROP DATABASE copy_me', 'ALTER DATABASE copy_me RENAME TO mine',
		'ALTER DATABASE copy_me SET TABLESPACE elsewhere', 'CREATE DATABASE mine TEMPLATE copy_me')
	{
		for my $role ('stranger', 'maker')
		{
			my ($rc, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $role ]);
			isnt($rc, 0, "$role may not $sql");
		}
		my ($rc) = $node->psql('postgres', "BEGIN; $sql", on_error_stop => 1);
		isnt($rc, 0, "$sql in a transaction block");
	}
	is($node->safe_psql('postgres', qq{SELECT datname FROM pg_stat_activity WHERE pid = $pid}), 'copy_me',
		'and the worker is left alone');
}
$holder->query_safe(q{SELECT pgcache_test_disarm('worker-job')});
$holder->quit;

# A statement that fails lets the database go.
for my $sql ('ALTER DATABASE copy_me RENAME TO postgres', 'ALTER DATABASE copy_me SET TABLESPACE pg_global')
{
	my $pid = worker_of($node, 'copy_me');
	isnt(query_error($node, $sql), 'no error', "$sql fails");
	wait_for_workers($node, 'a_renamed copy_me move_me postgres', 'and the worker comes back');
	isnt(worker_of($node, 'copy_me'), $pid, 'it is another one') or diag($pid);
}

# So does a session that is cancelled or ended while it waits for others.
for my $how ('pg_cancel_backend', 'pg_terminate_backend')
{
	my $there = $node->background_psql('copy_me', on_error_stop => 0);
	my $dropper = $node->background_psql('postgres', on_error_stop => 0);
	my $dropper_pid = $dropper->query_safe('SELECT pg_backend_pid()');
	my $pid = worker_of($node, 'copy_me');

	$dropper->query_until(qr/^dropping$/m, "\\echo dropping\nDROP DATABASE copy_me;\n");
	ok($node->poll_query_until('postgres', qq{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)}),
		'the worker stepped aside, a session did not');
	$node->safe_psql('postgres', "SELECT $how($dropper_pid)");
	wait_for_workers($node, 'a_renamed copy_me move_me postgres', "$how, and the worker is back");
	eval { $dropper->quit };
	$there->quit;
}

# Nobody connects while the database is held.
{
	my $there = $node->background_psql('copy_me', on_error_stop => 0);
	my $dropper = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = worker_of($node, 'copy_me');

	$dropper->query_until(qr/^dropping$/m, "\\echo dropping\nDROP DATABASE copy_me;\n");
	$node->poll_query_until('postgres', qq{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)});
	$node->safe_psql('postgres', q{SELECT pgcache_test_advance_clock('1 h')});
	$there->quit;
	ok($node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM pg_database WHERE datname = 'copy_me')}),
		'dropped when the last session left');
	$dropper->quit;
	wait_for_workers($node, 'a_renamed move_me postgres', 'without its worker');
}

# The extension in template1.
install($node, 'template1');
wait_for_workers($node, 'a_renamed move_me postgres template1', 'a worker in template1');
$node->safe_psql('postgres', "CREATE DATABASE from_template_$_") for 1 .. 3;
$node->safe_psql('postgres', 'CREATE DATABASE from_template_4', extra_params => [ '-U', 'maker' ]);
wait_for_workers($node, 'a_renamed from_template_1 from_template_2 from_template_3 from_template_4 move_me postgres template1',
	'CREATE DATABASE works, and each has a worker');
$node->safe_psql('postgres', "DROP DATABASE from_template_$_") for 1 .. 3;
$node->safe_psql('postgres', 'DROP DATABASE from_template_4', extra_params => [ '-U', 'maker' ]);
wait_for_workers($node, 'a_renamed move_me postgres template1', 'dropped again');

is_sound($node, 'stepping aside');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal/, 'nothing broke');
done_testing();
