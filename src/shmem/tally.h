/*-------------------------------------------------------------------------
 *
 * tally.h
 *	  What the torture test counts: answers of the cache compared with the
 *	  table's.
 *
 * Compiled in test builds only (PGCACHE_TEST).  In shared memory and atomic,
 * because what a transaction found must be counted even if it is rolled back.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_SHMEM_TALLY_H
#define PGCACHE_SHMEM_TALLY_H

#include "port/atomics.h"

#define PGCACHE_TALLY_KINDS		32	/* of entries, as the test numbers them */
#define PGCACHE_TALLY_MODES		4	/* READ COMMITTED, REPEATABLE READ, and
									 * both in a transaction with an xid */

typedef struct PgCacheTallyCell
{
	pg_atomic_uint64 reads;		/* misses, too */
	pg_atomic_uint64 hits;		/* each was compared */
	pg_atomic_uint64 wrong;
} PgCacheTallyCell;

typedef struct PgCacheSharedTally
{
	PgCacheTallyCell cells[PGCACHE_TALLY_KINDS][PGCACHE_TALLY_MODES];
	pg_atomic_uint64 hits;		/* of all cells */
	pg_atomic_uint64 first_wrong;	/* the hits' number by then; 0: none */
} PgCacheSharedTally;

/* Lies in the debug points' part of shared memory. */
extern PgCacheSharedTally *pgcache_tally;

extern void pgcache_tally_init(PgCacheSharedTally *tally);
extern void pgcache_tally_reset(void);

/*
 * Counts a read; true where it is the wrong one among so many, so that not all
 * of thousands are logged.
 */
extern bool pgcache_tally_count(int kind, int mode, bool hit, bool wrong);

#endif							/* PGCACHE_SHMEM_TALLY_H */
