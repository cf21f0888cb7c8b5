/*-------------------------------------------------------------------------
 *
 * foretold.c
 *	  The keys that were foretold for an hour, and how often each was asked for.
 *
 * The sketch of an hour forgets keys that are asked for seldom.  These few are
 * remembered by their hashes, so that one can tell how good the prediction was.
 *
 * No locks: the caller has the one of whatever this lies in.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "stats/foretold.h"

static int
compare_hash(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

void
pgcache_foretold_set(PgCacheForetold *foretold, TimestampTz hour,
					 const uint64 *hashes, int n)
{
	foretold->hour = hour;
	foretold->n = Min(n, PGCACHE_MAX_FORETOLD);
	memcpy(foretold->hashes, hashes, foretold->n * sizeof(uint64));
	qsort(foretold->hashes, foretold->n, sizeof(uint64), compare_hash);
	memset(foretold->weights, 0, sizeof(foretold->weights));
}

void
pgcache_foretold_add(PgCacheForetold *foretold, uint64 hash, double weight)
{
	const uint64 *found = bsearch(&hash, foretold->hashes, foretold->n,
								  sizeof(uint64), compare_hash);

	if (found != NULL)
		foretold->weights[found - foretold->hashes] += weight;
}

int
pgcache_foretold_asked(const PgCacheForetold *foretold, double *weight)
{
	int			asked = 0;

	*weight = 0;
	for (uint32 i = 0; i < foretold->n; i++)
	{
		*weight += foretold->weights[i];
		if (foretold->weights[i] > 0)
			asked++;
	}
	return asked;
}
