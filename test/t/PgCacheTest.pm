# What the TAP tests of pg_cache share.

package PgCacheTest;

use strict;
use warnings;

use Exporter 'import';
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(new_server install install_test_functions is_sound
  can_load query_error session_error hold_at
  processes worker_of wait_for_workers);

# A server with the given lines in postgresql.conf, running, and with the
# extension in database postgres.  Its workers do what is due by the test clock
# when that is set, and else sleep; with an interval of 1d nothing at all.
sub new_server
{
	my ($name, @conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(extra => [ '--no-locale', '--encoding=UTF8' ]);
	$node->append_conf('postgresql.conf', join("\n",
		"shared_preload_libraries = 'pg_cache'",
		"pg_cache.memory = '16MB'",
		"pg_cache.worker_interval = '23h'",
		"autovacuum = off",
		"jit = off",
		@conf));
	$node->start;
	install($node);
	return $node;
}

sub install
{
	my ($node, $database) = @_;
	$node->safe_psql($database // 'postgres', 'CREATE EXTENSION pg_cache');
	return;
}

# The functions that stop backends, and set the clock; for test builds.
sub install_test_functions
{
	my ($node) = @_;
	$node->safe_psql('postgres',
		slurp_file("$FindBin::RealBin/../test_functions.sql"));
	return;
}

# Every test ends with this.
sub is_sound
{
	my ($node, $what, $database) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql($database // 'postgres', 'SELECT * FROM cache_check()'),
		'', "cache_check finds nothing: $what");
	return;
}

# Whether the server has a library that we don't bring along.
sub can_load
{
	my ($library) = @_;
	my ($dir) = run_command([ 'pg_config', '--pkglibdir' ]);
	return -e "$dir/$library.so";
}

# What a failing statement said: SQLSTATE, message and all.
sub query_error
{
	my ($node, $sql, $database) = @_;
	my ($rc, $out, $err) = $node->psql($database // 'postgres',
		"\\set VERBOSITY verbose\n$sql", on_error_stop => 1);
	return $rc == 0 ? 'no error' : $err;
}

# The same in a session that goes on.
sub session_error
{
	my ($session, $sql) = @_;
	$session->query($sql);
	my $err = $session->{stderr};
	$session->{stderr} = '';
	return $err;
}

# Process IDs of our background processes of that type, in a database or not.
sub processes
{
	my ($node, $type, $database) = @_;
	my $where = defined $database ? "datname = '$database'" : 'true';
	return $node->safe_psql('postgres',
		"SELECT coalesce(string_agg(pid::text, ',' ORDER BY pid), '') FROM pg_stat_activity"
		  . " WHERE backend_type = 'pg_cache $type' AND $where");
}

sub worker_of
{
	my ($node, $database) = @_;
	return processes($node, 'worker', $database);
}

# Waits until exactly these databases have a worker, in order of their names.
sub wait_for_workers
{
	my ($node, $databases, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $seen = "SELECT coalesce(string_agg(datname::text, ' ' ORDER BY datname::text), '')"
	  . " FROM pg_stat_activity WHERE backend_type = 'pg_cache worker'";
	ok($node->poll_query_until('postgres', $seen, $databases), $what)
	  or diag($node->safe_psql('postgres', $seen));
	return;
}

# Arms a debug point in one session, runs a statement in another that comes
# there, and gives both sessions and the process that is held.
sub hold_at
{
	my ($node, $point, $sql) = @_;
	my $holder = $node->background_psql('postgres', on_error_stop => 0);
	my $held = $node->background_psql('postgres', on_error_stop => 0);

	$holder->query_safe("SELECT pgcache_test_arm('$point')");
	my $pid = $held->query_safe('SELECT pg_backend_pid()');
	$held->query_until(qr/^held$/m, "\\echo held\n$sql;\n\\echo done\n");
	$node->poll_query_until('postgres',
		"SELECT pgcache_test_reached('$point') = $pid")
	  or die "nobody came to $point";
	return ($holder, $held, $pid);
}

1;
