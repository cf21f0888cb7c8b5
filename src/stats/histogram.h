/*-------------------------------------------------------------------------
 *
 * histogram.h
 *	  A log-linear histogram of times.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_STATS_HISTOGRAM_H
#define PGCACHE_STATS_HISTOGRAM_H

/*
 * Nanoseconds below 16 are told apart; from there on each power of two is divided
 * into eight, to 2^45, ten hours, where the last bucket takes the rest.
 */
#define PGCACHE_HISTOGRAM_BUCKETS	(16 + 41 * 8)

typedef struct PgCacheHistogram
{
	uint64		max;			/* exact */
	uint64		buckets[PGCACHE_HISTOGRAM_BUCKETS];
} PgCacheHistogram;

/* The bucket of so many nanoseconds, and what stands for a bucket. */
extern int	pgcache_histogram_bucket(uint64 ns);
extern double pgcache_histogram_value(int bucket);

extern uint64 pgcache_histogram_calls(const PgCacheHistogram *histogram);

/*
 * The time that a share (0 to 1) of the calls did not exceed, in nanoseconds,
 * within 6 %; -1 if there were none.
 */
extern double pgcache_histogram_percentile(const PgCacheHistogram *histogram,
										   double share);

#endif							/* PGCACHE_STATS_HISTOGRAM_H */
