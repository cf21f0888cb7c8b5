/*-------------------------------------------------------------------------
 *
 * stats.h
 *	  What is recorded besides the counters: latency, and which keys are hot.
 *
 *	  sample.c		which gets are looked at
 *	  latency.c		histograms
 *	  sketch.c		space-saving tables; runs without a server in unit tests
 *	  keys.c		the sketches of each namespace, in shared memory
 *	  file.c		counters that survive a clean restart
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_STATS_STATS_H
#define PGCACHE_STATS_STATS_H

#include "shmem/counters.h"
#include "store/store.h"

/* ---- sketches of the present hour (keys.c), for learning ------------------- */

typedef struct PgCacheHotKey
{
	uint64		hash;
	double		weight;			/* requests, estimated, at most so many */
	double		error;			/* by which that may be too high */
	uint16		len;			/* of the key; key is cut at so many bytes if
								 * truncated */
	bool		truncated;
	char		key[PGCACHE_MAX_KEY_LEN];
}			PgCacheHotKey;

/*
 * The keys asked for since the namespace's hourly sketch was last taken, most
 * frequent first, palloc'd; with reset empties it.  *total: the weight of all
 * requests, of keys that are not among them too.
 */
extern PgCacheHotKey * pgcache_keys_take_hour(uint16 slot, PgCacheIncarnation incarnation,
											  bool reset, int *n, double *total);

/* Registers shared memory; called by _PG_init. */
extern void pgcache_stats_register(void);

#endif							/* PGCACHE_STATS_STATS_H */
