/*-------------------------------------------------------------------------
 *
 * policy_lru.c
 *	  Least recently used.
 *
 * One queue a class.  A hit moves an entry to the head only when a certain
 * share of the queue's length (pg_cache.lru_bump) has been stamped since it was
 * last there, which a reader sees without a lock (read.c); so a hot entry is
 * left alone, and the misses are hardly more than of exact LRU.
 *
 * As long as an eighth of the memory is free, the first hit of an entry moves it
 * and leaves a bit in the index, and later ones do nothing: what is used at all
 * is then in front of what is not, and the order of use is learnt when it
 * begins to count.
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
