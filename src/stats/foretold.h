/*-------------------------------------------------------------------------
 *
 * foretold.h
 *	  The keys that were foretold for an hour, and how often each was asked for.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_STATS_FORETOLD_H
#define PGCACHE_STATS_FORETOLD_H

#include "datatype/timestamp.h"

#define PGCACHE_MAX_FORETOLD	100

/* Without pointers; all zero is an empty one. */
typedef struct PgCacheForetold
{
	TimestampTz hour;			/* its beginning */
	uint32		n;
	uint64		hashes[PGCACHE_MAX_FORETOLD];	/* ascending */
	double		weights[PGCACHE_MAX_FORETOLD];
} PgCacheForetold;

/* Foretells keys by their hashes; what is beyond PGCACHE_MAX_FORETOLD is left out. */
extern void pgcache_foretold_set(PgCacheForetold *foretold, TimestampTz hour,
								 const uint64 *hashes, int n);

/* Notes that a key was asked for. */
extern void pgcache_foretold_add(PgCacheForetold *foretold, uint64 hash,
								 double weight);

/* How many were asked for at all; *weight: how often together. */
extern int	pgcache_foretold_asked(const PgCacheForetold *foretold, double *weight);

#endif							/* PGCACHE_STATS_FORETOLD_H */
