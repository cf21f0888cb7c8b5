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

#include "base/clock.h"
#include "base/compat.h"
#include "shmem/shmem.h"
#include "space/space.h"
#include "space/store_part.h"
#include "worker/pressure.h"
#include "worker/worker.h"

/* The shortest time between rounds, in milliseconds. */
#define LEAST_DELAY		10

/* Between the rounds in which memory follows use. */
#define ADAPT_SECONDS	5

/* Steps of one kind in a round, in one partition. */
#define MOST_STEPS		4096

static int	delay = PGCACHE_INTERVAL_MAX_S * 1000;

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
		/* Puts may use up the room as fast as we make it. */
		for (int n = 0; n < MOST_STEPS && pgcache_store_evict_ahead(pgcache_store, i); n++)
			CHECK_FOR_INTERRUPTS();
		CHECK_FOR_INTERRUPTS();
	}
}

/* Lets memory follow use, a step in so many seconds. */
static void
adapt(void)
{
	static PgCacheAdapt notes = {NULL};
	static TimestampTz last = 0;
	TimestampTz now = pgcache_clock_now();

	if (!pgcache_adaptive)
	{
		/* A launcher before us may have protected something. */
		pgcache_store_adapt_no_more(pgcache_store, &notes);
		return;
	}
	if (now >= last && now - last < ADAPT_SECONDS * USECS_PER_SEC)
		return;
	last = now;
	pgcache_store_adapt(pgcache_store, &notes, pgcache_space_gets);
}

/* Gives back memory that has been free for a while. */
static void
release(void)
{
	/* Of these, a region is a part only. */
	if (PGCACHE_HUGE_PAGES)
		return;
	for (int n = 0; n < MOST_STEPS && pgcache_store_release(pgcache_store); n++)
		CHECK_FOR_INTERRUPTS();
}

/*
 * If puts had to evict for themselves since the last round, the next one comes
 * sooner, else later.
 */
static void
set_delay(void)
{
	static uint64 last_at_need = 0;
	uint64		at_need;
	uint64		ahead;

	pgcache_store_evicted(pgcache_store, &at_need, &ahead);
	if (at_need != last_at_need)
		delay = Max(pgcache_upkeep_delay() / 2, LEAST_DELAY);
	else
		delay = pgcache_upkeep_delay() / 4 * 5 + 1;
	last_at_need = at_need;
}

int
pgcache_upkeep_delay(void)
{
	return Min(delay, pgcache_worker_interval);
}

void
pgcache_upkeep(void)
{
	if (!pgcache_shmem_ready)
		return;
	pgcache_pressure_round();
	pgcache_store_tune();
	sweep_all();
	while (pgcache_store_shrink(pgcache_store))
		CHECK_FOR_INTERRUPTS();
	release();
	adapt();
	evict_ahead();
	set_delay();
}
