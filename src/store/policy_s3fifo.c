/*-------------------------------------------------------------------------
 *
 * policy_s3fifo.c
 *	  S3-FIFO: a small queue for what is new, a main one, and ghosts.
 *
 * After Yang et al., "FIFO queues are all you need for cache eviction", SOSP
 * 2023: a new entry waits in a small queue, a tenth of the memory; if it is
 * not used there it goes, and its key is remembered for a while; if it was
 * used, or comes back while it is remembered, it enters the main queue, whose
 * entries get another round for each use, three at the most.  One use in the
 * small queue is enough here, which on database traces beats the paper's two.
 * A hit writes two bits of the index and no more.
 *
 * Locking: the partition's lock, held exclusively.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

/* Entries that one search for a victim moves at the most, under a lock. */
#define MAX_MOVES		256

/* The small queue's share of a class. */
#define SMALL_PERCENT	10

static PgCacheGhost *
ghost_row(const PgCacheStore *store, const PgCachePartition *part, uint64 hash)
{
	return store->ghosts +
		((Size) part->number * store->ghost_sets +
		 ((uint32) hash & (store->ghost_sets - 1))) * GHOST_WAYS;
}

static uint32
ghost_fingerprint(uint64 hash)
{
	return (uint32) (hash >> 32) | 1;	/* 0 is an unused place */
}

/* Forgets a key; whether it was evicted not longer ago than main is long. */
static bool
ghost_take(PgCacheStore *store, PgCachePartition *part, uint64 hash,
		   uint32 main_count)
{
	PgCacheGhost *row = ghost_row(store, part, hash);

	for (int i = 0; i < GHOST_WAYS; i++)
	{
		if (row[i].fingerprint == ghost_fingerprint(hash))
		{
			row[i].fingerprint = 0;
			return part->ghost_clock - row[i].time <= main_count;
		}
	}
	return false;
}

static void
ghost_put(PgCacheStore *store, PgCachePartition *part, uint64 hash)
{
	PgCacheGhost *row = ghost_row(store, part, hash);
	int			oldest = 0;

	for (int i = 0; i < GHOST_WAYS; i++)
	{
		if (row[i].fingerprint == 0 ||
			row[i].fingerprint == ghost_fingerprint(hash))
		{
			oldest = i;
			break;
		}
		if (part->ghost_clock - row[i].time > part->ghost_clock - row[oldest].time)
			oldest = i;
	}
	row[oldest].fingerprint = ghost_fingerprint(hash);
	row[oldest].time = part->ghost_clock++;
}

/* An entry that replaces one of the main queue has its flag and goes there. */
static void
s3fifo_insert(PgCacheStore *store, PgCachePartition *part,
			  PgCacheOffset offset, uint64 hash)
{
	PgCacheEntry *entry = at(store, offset);
	PgCacheClass *class = &part->classes[entry->class];
	bool		known = ghost_take(store, part, hash, class->queue[QUEUE_MAIN].count) ||
	(entry->flags & ENTRY_MAIN) != 0;

	pgcache_queue_push(store, part, offset, known ? QUEUE_MAIN : QUEUE_SMALL);
}

/*
 * Whether an entry was used since it was last looked at; counts one use off if
 * it is to stay in its queue, else all.
 */
static bool
take_use(PgCacheStore *store, PgCachePartition *part, PgCacheOffset offset,
		 bool promote)
{
	PgCacheSlot slot;
	uint64		use;
	int			freq;

	pgcache_index_locate(store, part, offset,
						 pgcache_entry_hash(store, at(store, offset)), &slot);
	use = pg_atomic_read_u64(&slot.bucket->use);
	freq = USE_FREQ(use, slot.slot);
	if (freq == 0)
		return false;
	pg_atomic_write_u64(&slot.bucket->use,
						use - USE_ONE_FREQ(slot.slot) * (promote ? freq : 1));
	return true;
}

static PgCacheOffset
s3fifo_victim(PgCacheStore *store, PgCachePartition *part, PgCacheClass *class)
{
	PgCacheQueue *small = &class->queue[QUEUE_SMALL];
	PgCacheQueue *main = &class->queue[QUEUE_MAIN];
	PgCacheOffset offset = 0;

	for (int moves = 0; moves < MAX_MOVES; moves++)
	{
		bool		from_small = small->count > 0 &&
		(main->count == 0 ||
		 small->granules * 100 >
		 (small->granules + main->granules) * SMALL_PERCENT);

		offset = from_small ? small->tail : main->tail;
		if (offset == 0 || !take_use(store, part, offset, from_small))
			break;
		pgcache_queue_unlink(store, part, offset);
		pgcache_queue_push(store, part, offset, QUEUE_MAIN);
	}
	return offset;
}

static void
s3fifo_evicted(PgCacheStore *store, PgCachePartition *part,
			   PgCacheOffset offset, uint64 hash)
{
	PgCacheEntry *entry = at(store, offset);

	if ((entry->flags & ENTRY_MAIN) == 0)
		ghost_put(store, part, hash);
}

const PgCachePolicy pgcache_policy_s3fifo = {
	.insert = s3fifo_insert,
	.victim = s3fifo_victim,
	.evicted = s3fifo_evicted,
	.bumps = false
};
