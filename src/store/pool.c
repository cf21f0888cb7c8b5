/*-------------------------------------------------------------------------
 *
 * pool.c
 *	  The memory in regions, and the pool of those that nobody has.
 *
 * A partition takes regions as it grows, for blocks or for its index, and
 * gives back those that become empty.  So partitions need not be of a size,
 * and a value may be larger than a partition's share.
 *
 * Locking: the pool's lock, for a few instructions, inside a partition's.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

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
		pool->free = store->regions[number].next;
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
	region->next = pool->free;
	pool->free = number;
	pg_atomic_write_u32(&pool->in_use, pg_atomic_read_u32(&pool->in_use) - 1);
	LWLockRelease(pool_lock(store));
}
