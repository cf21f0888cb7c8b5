# The torture test in its long form, "make torture": random transactions until a
# million answers were compared, then every rule of the protocol broken, one at a
# time, which must be noticed.  README.md says more.
#
# TORTURE_SECONDS=600   so long at least
# TORTURE_HITS=1000000  so many compared answers at least
# TORTURE_BROKEN="..."  only these broken rules; none: empty
# TORTURE_SEED=...      of the random scripts

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../t";
use PgCacheTest;
use Torture;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $hits = $ENV{TORTURE_HITS} || 1_000_000;
my $until = $ENV{TORTURE_SECONDS} ? time() + $ENV{TORTURE_SECONDS} : 0;
my @broken = split ' ', $ENV{TORTURE_BROKEN} // 'late nosnapshot noown nostrict noevict nofloor nounseen noimmediate nofence hooks noddl nokey noasof';

my $node = torture_server();
my $started = time();
torture_until($node, hits => $hits, kinds => $hits / 1000, seconds => $until, rounds => 1_000_000);
directed_tests($node, 20);
is_right($node, 'random transactions');
diag torture_conditions($node, time() - $started);
diag torture_report($node);
is_caught($node, $_, 2_000_000) for @broken;
$node->stop;
done_testing();
