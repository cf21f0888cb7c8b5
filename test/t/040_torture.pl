# The torture test in its short form: readers compare every answer of the cache
# with the table while others change both, and find nothing wrong; with one rule
# of the protocol broken they find something.  "make torture" is the long form.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../torture";
use PgCacheTest;
use Torture;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs the test build' unless $ENV{PGCACHE_TEST};

my $node = torture_server();
torture_until($node, hits => 20_000, kinds => 20, rounds => 60);
is_right($node, 'random transactions');
directed_tests($node, 2);
is_right($node, 'directed tests');

# By at most so many compared reads.
is_caught($node, $_, 200_000) for qw(nosnapshot noown nokey noasof nounseen late hooks
  nostrict noevict nofloor noimmediate nofence noddl);
$node->stop;
done_testing();
