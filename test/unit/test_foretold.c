/*
 * test_foretold.c
 *	  Keys foretold for an hour.
 */
#include "harness.h"
#include "stats/foretold.h"

#define MANY	(2 * PGCACHE_MAX_FORETOLD)

int
main(void)
{
	static PgCacheForetold foretold;
	uint64		hashes[MANY];
	double		weight;

	pgcache_foretold_add(&foretold, 1, 5);
	ok(pgcache_foretold_asked(&foretold, &weight) == 0 && weight == 0, "an empty one counts nothing");

	for (int i = 0; i < MANY; i++)
		hashes[i] = (uint64) (MANY - i) << 56 | i;
	pgcache_foretold_set(&foretold, 7, hashes, MANY);
	ok(foretold.hour == 7 && foretold.n == PGCACHE_MAX_FORETOLD, "no more than there is room for");
	for (int i = 0; i < MANY; i++)
		pgcache_foretold_add(&foretold, hashes[i], 2);
	ok(pgcache_foretold_asked(&foretold, &weight) == PGCACHE_MAX_FORETOLD &&
	   weight == 2 * PGCACHE_MAX_FORETOLD, "the first of them are counted, whatever the order of their hashes");

	pgcache_foretold_set(&foretold, 8, hashes, 3);
	pgcache_foretold_add(&foretold, hashes[1], 1);
	pgcache_foretold_add(&foretold, hashes[1], 0.5);
	pgcache_foretold_add(&foretold, hashes[3], 1);
	pgcache_foretold_add(&foretold, 0, 1);
	pgcache_foretold_add(&foretold, PG_UINT64_MAX, 1);
	ok(pgcache_foretold_asked(&foretold, &weight) == 1 && weight == 1.5, "once each, with all its weight; no others");

	pgcache_foretold_set(&foretold, 9, hashes, 0);
	pgcache_foretold_add(&foretold, hashes[1], 1);
	ok(pgcache_foretold_asked(&foretold, &weight) == 0 && weight == 0, "none");
	return done_testing();
}
