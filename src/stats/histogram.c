/*-------------------------------------------------------------------------
 *
 * histogram.c
 *	  A log-linear histogram of times.
 *
 * No locks: whoever shares one copies it first (latency.c).
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "port/pg_bitutils.h"

#include "stats/histogram.h"

#define EXACT		16			/* times below are told apart */
#define FIRST_POWER 4			/* which is two to this */
#define PARTS		8			/* of each further power of two */

int
pgcache_histogram_bucket(uint64 ns)
{
	int			power;
	int			bucket;

	if (ns < EXACT)
		return (int) ns;
	power = pg_leftmost_one_pos64(ns);
	bucket = EXACT + (power - FIRST_POWER) * PARTS +
		(int) ((ns >> (power - 3)) & (PARTS - 1));
	return Min(bucket, PGCACHE_HISTOGRAM_BUCKETS - 1);
}

/*
 * Where the bucket is from a to b, 2ab / (a + b): as far from the one as from the
 * other, in proportion, and from neither more than 5.9 %.
 */
double
pgcache_histogram_value(int bucket)
{
	int			power = FIRST_POWER + (bucket - EXACT) / PARTS;
	double		a;
	double		b;

	if (bucket < EXACT)
		return bucket;
	a = ldexp(PARTS + (bucket - EXACT) % PARTS, power - 3);
	b = a + ldexp(1, power - 3);
	return 2 * a * b / (a + b);
}

uint64
pgcache_histogram_calls(const PgCacheHistogram *histogram)
{
	uint64		calls = 0;

	for (int i = 0; i < PGCACHE_HISTOGRAM_BUCKETS; i++)
		calls += histogram->buckets[i];
	return calls;
}

double
pgcache_histogram_percentile(const PgCacheHistogram *histogram, double share)
{
	uint64		calls = pgcache_histogram_calls(histogram);
	uint64		rank = (uint64) ceil(share * (double) calls);
	uint64		seen = 0;

	if (calls == 0)
		return -1;
	for (int i = 0; i < PGCACHE_HISTOGRAM_BUCKETS; i++)
	{
		seen += histogram->buckets[i];
		if (seen >= Max(rank, 1))
			return Min(pgcache_histogram_value(i), (double) histogram->max);
	}
	return (double) histogram->max;
}
