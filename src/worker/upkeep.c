/*-------------------------------------------------------------------------
 *
 * upkeep.c
 *	  What the launcher does to the store: a round of its upkeep.
 *
 * The store is the whole server's and needs neither a database nor a
 * transaction.  What is done, and how much of it under one hold of a lock, is
 * the store's business (store/upkeep.c); here is the order, and that interrupts
 * are served in between.
 *
 * Locking: none is held here.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "shmem/shmem.h"
#include "space/store_part.h"
#include "worker/worker.h"

/* Removes what has expired or is dead. */
static void
sweep_all(void)
{
	for (int i = 0; i < pgcache_store_part_count(); i++)
	{
		PgCacheSweep sweep;

		pgcache_store_sweep_begin(pgcache_store, &sweep, i);
		while (pgcache_store_sweep_step(pgcache_store, &sweep))
			CHECK_FOR_INTERRUPTS();
		CHECK_FOR_INTERRUPTS();
	}
}

/* Evicts ahead of need, as long as memory is short. */
static void
evict_ahead(void)
{
	for (int i = 0; i < pgcache_store_part_count(); i++)
	{
		while (pgcache_store_evict_ahead(pgcache_store, i))
			CHECK_FOR_INTERRUPTS();
		CHECK_FOR_INTERRUPTS();
	}
}

void
pgcache_upkeep(void)
{
	if (!pgcache_shmem_ready)
		return;
	pgcache_store_tune();
	sweep_all();
	while (pgcache_store_shrink(pgcache_store))
		CHECK_FOR_INTERRUPTS();
	evict_ahead();
}
