/*-------------------------------------------------------------------------
 *
 * pool.c
 *	  The memory in regions, and the pool of those that nobody has.
 *
 * A partition takes regions as it grows, for blocks or for its index, and
 * gives back those that become empty.  So partitions need not be of a size,
 * and a value may be larger than a partition's share.
 *
 * What was given back is taken first.  A region that nobody took for a while is
 * given to the operating system by the upkeep: meanwhile it is in no list, so
 * that the lock need not be held, and then in that of hollow ones, which are as
 * good as fresh ones.  The first in the list of free ones came last, so the last
 * one is the one to look at.
 *
 * Locking: the pool's lock, for a few instructions, inside a partition's.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/mman.h>
#include <unistd.h>

#include "store/store_internal.h"

/* Seconds for which a region must have been free. */
#define RELEASE_AGE		10

uint32
pgcache_pool_limit(const PgCacheStore *store)
{
	uint32		limit = Min(store->tuning.memory_limit >>
							(store->region_shift + store->shift),
							store->nregions);

	/* Each partition has a segment of its index and needs a region of heap. */
	return Max(limit, Min(store->nregions, (uint32) store->nparts * 4));
}

bool
pgcache_pool_is_exhausted(const PgCacheStore *store)
{
	return pg_atomic_read_u32(&store->shared->pool.in_use) >= pgcache_pool_limit(store);
}

bool
pgcache_pool_is_roomy(const PgCacheStore *store)
{
	uint64		in_use = pg_atomic_read_u32(&store->shared->pool.in_use);

	return in_use * 8 < (uint64) pgcache_pool_limit(store) * 7;
}

/* The list of a partition that regions of that kind are in, if any. */
static uint32 *
list_for(PgCachePartition *part, PgCacheRegionKind kind)
{
	switch (kind)
	{
		case REGION_HEAP:
			return &part->heap_regions;
		case REGION_OVERFLOW:
			return &part->overflow_regions;
		default:
			return NULL;		/* the directory knows them */
	}
}

static void
count_region(PgCachePartition *part, PgCacheRegionKind kind, int n)
{
	if (kind == REGION_HEAP)
		part->nheap_regions += n;
	else
		part->nindex_regions += n;
}

/* Takes a region out of the list of free ones; the pool's lock is held. */
static void
unlink_free(PgCacheStore *store, uint32 number)
{
	PgCachePool *pool = &store->shared->pool;
	const PgCacheRegion *region = &store->regions[number];

	if (region->prev != NO_REGION)
		store->regions[region->prev].next = region->next;
	else
		pool->free = region->next;
	if (region->next != NO_REGION)
		store->regions[region->next].prev = region->prev;
	else
		pool->oldest = region->prev;
}

uint32
pgcache_pool_take(PgCacheStore *store, PgCachePartition *part,
				  PgCacheRegionKind kind)
{
	PgCachePool *pool = &store->shared->pool;
	uint32		number = NO_REGION;
	PgCacheRegion *region;
	uint32	   *list;

	if (pgcache_pool_is_exhausted(store))
		return NO_REGION;

	LWLockAcquire(pool_lock(store), LW_EXCLUSIVE);
	if (pool->free != NO_REGION)
	{
		number = pool->free;
		unlink_free(store, number);
	}
	else if (pool->hollow != NO_REGION)
	{
		number = pool->hollow;
		pool->hollow = store->regions[number].next;
	}
	else if (pool->fresh < store->nregions)
		number = pool->fresh++;
	if (number != NO_REGION)
		pg_atomic_write_u32(&pool->in_use, pg_atomic_read_u32(&pool->in_use) + 1);
	LWLockRelease(pool_lock(store));
	if (number == NO_REGION)
		return NO_REGION;

	region = &store->regions[number];
	memset(region, 0, sizeof(*region));
	region->kind = kind;
	region->owner = part->number;
	region->prev = region->next = NO_REGION;
	count_region(part, kind, 1);
	list = list_for(part, kind);
	if (list)
	{
		region->next = *list;
		if (*list != NO_REGION)
			store->regions[*list].prev = number;
		*list = number;
	}
	return number;
}

void
pgcache_pool_give(PgCacheStore *store, PgCachePartition *part, uint32 number)
{
	PgCachePool *pool = &store->shared->pool;
	PgCacheRegion *region = &store->regions[number];
	uint32	   *list = list_for(part, region->kind);

	Assert(region->owner == part->number && region->busy == 0);
	if (list)
	{
		if (region->prev != NO_REGION)
			store->regions[region->prev].next = region->next;
		else
			*list = region->next;
		if (region->next != NO_REGION)
			store->regions[region->next].prev = region->prev;
	}
	count_region(part, region->kind, -1);
	region->kind = REGION_FREE;

	LWLockAcquire(pool_lock(store), LW_EXCLUSIVE);
	region->used = pool->second;
	region->prev = NO_REGION;
	region->next = pool->free;
	if (pool->free != NO_REGION)
		store->regions[pool->free].prev = number;
	else
		pool->oldest = number;
	pool->free = number;
	pg_atomic_write_u32(&pool->in_use, pg_atomic_read_u32(&pool->in_use) - 1);
	LWLockRelease(pool_lock(store));
}

/* ---- giving memory back ----------------------------------------------------- */

/*
 * Lets the system have the whole pages of a region, which nobody uses.  A reader
 * that is late finds zeros, which is as good as any other garbage: the versions
 * that it checks are of a bucket that is one no more, and the table's has
 * changed, or of another region.
 */
static bool
punch(PgCacheStore *store, uint32 number)
{
#ifdef MADV_REMOVE
	uintptr_t	page = sysconf(_SC_PAGESIZE);
	uintptr_t	start = (uintptr_t) at(store, region_start(store, number));
	uintptr_t	end = (start + store->region_bytes) & ~(page - 1);

	start = (start + page - 1) & ~(page - 1);
	return start >= end || madvise((void *) start, end - start, MADV_REMOVE) == 0;
#else
	return false;
#endif
}

/* The region that has been free longest, if that is long; out of its list. */
static uint32
take_oldest(PgCacheStore *store)
{
	PgCachePool *pool = &store->shared->pool;
	uint32		number;

	LWLockAcquire(pool_lock(store), LW_EXCLUSIVE);
	pool->second = seconds_of(store, store->now());
	number = pool->oldest;
	if (number != NO_REGION &&
		pool->second - store->regions[number].used < RELEASE_AGE)
		number = NO_REGION;
	if (number != NO_REGION)
	{
		unlink_free(store, number);
		pool->punched++;
	}
	LWLockRelease(pool_lock(store));
	return number;
}

bool
pgcache_store_release(PgCacheStore *store)
{
	PgCachePool *pool = &store->shared->pool;
	uint32		number = take_oldest(store);

	if (number == NO_REGION)
		return false;
	if (!store->keeps_memory && !punch(store, number))
		store->keeps_memory = true;
	LWLockAcquire(pool_lock(store), LW_EXCLUSIVE);
	store->regions[number].next = pool->hollow;
	pool->hollow = number;
	pool->punched--;
	LWLockRelease(pool_lock(store));
	return true;
}
