/*-------------------------------------------------------------------------
 *
 * upkeep.c
 *	  What a background process does to the store from time to time.
 *
 * Removes what has expired or is dead, evicts ahead of need, and gives regions
 * back when the limit was lowered.
 *
 * Evicting ahead: once hardly a region is free, every put would have to evict for
 * itself.  So a little of each partition, about 1 %, is kept in holes as large as
 * entries are there on average.  It costs what 1 % of the memory is worth.
 *
 * Locking: takes a partition's lock for at most SWEEP_BATCH removals and
 * SWEEP_LOOKS buckets; where nothing is to be done, which a glance without the
 * lock tells, it takes none.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

/* Entries removed in one hold of the lock. */
#define SWEEP_BATCH		64

/* Buckets looked at in one hold. */
#define SWEEP_LOOKS		512

/* Buckets by which the index grows or shrinks in one hold, in pairs. */
#define ADJUST_CALLS	16

/* Evicted ahead are as many bytes of each so many, */
#define AHEAD_SHARE		100

/* but at least so many bytes, unless these are more than that share. */
#define AHEAD_BYTES		8192
#define AHEAD_MOST		16

/* What may be free at the most, in holes of whatever size. */
#define HOLES_SHARE		12

static uint32
count_buckets(PgCachePartition *part)
{
	return TABLE_BUCKETS(pg_atomic_read_u64(&part->table));
}

/* ---- sweeping --------------------------------------------------------------- */

/* Whether some entry may have expired. */
static bool
may_be_due(const PgCachePartition *part, TimestampTz now)
{
	return part->nttl > 0 && now >= part->next_expiry;
}

/* Whether the index has too many buckets for what is in it. */
static bool
is_sparse(PgCachePartition *part)
{
	uint32		nbuckets = count_buckets(part);

	return nbuckets > MIN_BUCKETS && part->nentries < (uint64) nbuckets * MERGE_LOAD;
}

/* Whether there is anything to sweep.  Without the lock a hint. */
static bool
needs_sweep(PgCacheStore *store, PgCachePartition *part, TimestampTz now)
{
	return may_be_due(part, now) || has_dead(part) || is_sparse(part) ||
		part->clears != pg_atomic_read_u64(&store->shared->clears) ||
		part->deaths != pg_atomic_read_u64(&store->shared->deaths);
}

/* Lets the index grow or shrink, by a number of buckets that is bounded. */
static void
adjust_index(PgCacheStore *store, PgCachePartition *part)
{
	for (int i = 0; i < ADJUST_CALLS; i++)
	{
		uint32		before = count_buckets(part);

		pgcache_index_adjust(store, part);
		if (count_buckets(part) == before)
			return;
	}
}

void
pgcache_store_sweep_begin(PgCacheStore *store, PgCacheSweep *sweep, int partition)
{
	sweep->partition = partition;
	sweep->now = store->now();
	sweep->removed = 0;
	sweep->vain = 0;
}

bool
pgcache_store_sweep_step(PgCacheStore *store, PgCacheSweep *sweep)
{
	PgCachePartition *part = &store->parts[sweep->partition];
	int64		n;
	bool		more;

	if (!needs_sweep(store, part, sweep->now))
		return false;
	LWLockAcquire(lock_of(store, part), LW_EXCLUSIVE);
	pgcache_heed_clears(store, part);
	pgcache_heed_deaths(store, part);
	n = pgcache_expiry_sweep(store, part, sweep->now, SWEEP_BATCH, SWEEP_LOOKS, true);
	if (n == 0 && has_dead(part) && !may_be_due(part, sweep->now))
		n = pgcache_dead_sweep(store, part, SWEEP_LOOKS);
	adjust_index(store, part);
	more = needs_sweep(store, part, sweep->now);
	LWLockRelease(lock_of(store, part));

	/*
	 * A round over the buckets may have been begun by a writer, and what he
	 * passed may be due by now.  Entries that come meanwhile must not keep us
	 * here.
	 */
	sweep->removed += n;
	sweep->vain = n > 0 ? 0 : sweep->vain + 1;
	return more && sweep->vain <= 2 * (count_buckets(part) / SWEEP_LOOKS + 1);
}

/* ---- evicting ahead ---------------------------------------------------------- */

/*
 * Whether puts will soon find no region in the pool.  What empties while we evict
 * goes there, and is as good as a hole.
 */
static bool
is_short(const PgCacheStore *store)
{
	uint32		limit = pgcache_pool_limit(store);

	return pg_atomic_read_u32(&store->shared->pool.in_use) + Max(limit / AHEAD_SHARE, 1) > limit;
}

/* Granules that are to be free in a partition. */
static int64
wanted_ahead(const PgCacheStore *store, const PgCachePartition *part)
{
	int64		granules = (int64) part->nheap_regions * store->region_granules;

	return Max(granules / AHEAD_SHARE,
			   Min(granules / AHEAD_MOST, (int64) to_granules(store, AHEAD_BYTES)));
}

/* Whether puts will find room there.  Without the lock a hint. */
static bool
has_room(const PgCacheStore *store, const PgCachePartition *part)
{
	int64		granules = (int64) part->nheap_regions * store->region_granules;

	/* They change meanwhile, and the first must not become 0. */
	uint32		nentries = *(volatile const uint32 *) &part->nentries;
	int64		used = *(volatile const int64 *) &part->heap.used;
	uint32		average;

	/* If nothing but small holes comes of it, more of them are of no use. */
	if (nentries == 0 || granules - used >= granules / HOLES_SHARE)
		return true;
	average = Min(used / nentries, to_granules(store, MAX_BLOCK_BYTES));
	return pgcache_heap_holes(part, average) >= wanted_ahead(store, part);
}

bool
pgcache_store_evict_ahead(PgCacheStore *store, int partition)
{
	PgCachePartition *part = &store->parts[partition];
	bool		more = true;

	if (!is_short(store) || has_room(store, part))
		return false;
	LWLockAcquire(lock_of(store, part), LW_EXCLUSIVE);
	for (int i = 0; i < SWEEP_BATCH && more; i++)
		more = is_short(store) && !has_room(store, part) &&
			pgcache_make_room(store, part, CAUSE_EVICTED_AHEAD);
	adjust_index(store, part);
	LWLockRelease(lock_of(store, part));
	return more;
}

void
pgcache_store_evicted(PgCacheStore *store, uint64 *at_need, uint64 *ahead)
{
	*at_need = 0;
	*ahead = 0;
	for (int i = 0; i < store->nparts; i++)
	{
		*at_need += store->parts[i].evicted;
		*ahead += store->parts[i].evicted_ahead;
	}
}

/* ---- the limit --------------------------------------------------------------- */

bool
pgcache_store_shrink(PgCacheStore *store)
{
	return pg_atomic_read_u32(&store->shared->pool.in_use) > pgcache_pool_limit(store) &&
		pgcache_steal_region(store, NULL, false);
}
