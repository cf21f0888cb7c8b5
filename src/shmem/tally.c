/*-------------------------------------------------------------------------
 *
 * tally.c
 *	  What the torture test counts: answers of the cache compared with the
 *	  table's.
 *
 * Nothing is locked: every number is atomic.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef PGCACHE_TEST

#include "shmem/tally.h"

/* How many wrong answers of a kind and mode are worth a line in the log. */
#define MAX_LOGGED	20

PgCacheSharedTally *pgcache_tally = NULL;

void
pgcache_tally_init(PgCacheSharedTally *tally)
{
	for (int k = 0; k < PGCACHE_TALLY_KINDS; k++)
		for (int m = 0; m < PGCACHE_TALLY_MODES; m++)
		{
			pg_atomic_init_u64(&tally->cells[k][m].reads, 0);
			pg_atomic_init_u64(&tally->cells[k][m].hits, 0);
			pg_atomic_init_u64(&tally->cells[k][m].wrong, 0);
		}
	pg_atomic_init_u64(&tally->hits, 0);
	pg_atomic_init_u64(&tally->first_wrong, 0);
}

void
pgcache_tally_reset(void)
{
	for (int k = 0; k < PGCACHE_TALLY_KINDS; k++)
		for (int m = 0; m < PGCACHE_TALLY_MODES; m++)
		{
			pg_atomic_write_u64(&pgcache_tally->cells[k][m].reads, 0);
			pg_atomic_write_u64(&pgcache_tally->cells[k][m].hits, 0);
			pg_atomic_write_u64(&pgcache_tally->cells[k][m].wrong, 0);
		}
	pg_atomic_write_u64(&pgcache_tally->hits, 0);
	pg_atomic_write_u64(&pgcache_tally->first_wrong, 0);
}

bool
pgcache_tally_count(int kind, int mode, bool hit, bool wrong)
{
	PgCacheTallyCell *cell = &pgcache_tally->cells[kind][mode];
	uint64		hits;
	uint64		none = 0;

	(void) pg_atomic_fetch_add_u64(&cell->reads, 1);
	if (!hit)
		return false;
	(void) pg_atomic_fetch_add_u64(&cell->hits, 1);
	hits = pg_atomic_add_fetch_u64(&pgcache_tally->hits, 1);
	if (!wrong)
		return false;
	(void) pg_atomic_compare_exchange_u64(&pgcache_tally->first_wrong, &none, hits);
	return pg_atomic_fetch_add_u64(&cell->wrong, 1) < MAX_LOGGED;
}

#endif							/* PGCACHE_TEST */
