/*-------------------------------------------------------------------------
 *
 * adapt.c
 *	  Memory follows use: some of what a namespace has is protected from others.
 *
 * With one queue for all, a namespace's share of the memory is its share of the
 * puts, whether they are ever asked for or not.  Ghosts (ghost.c) tell what a
 * byte more would have brought each: ghost hits by the bytes that were evicted of
 * it.  The one to which a byte is worth most, and clearly more than on average,
 * has what it has protected and a little more, step by step; one to which it is
 * worth clearly less than to another, or that nobody asks, loses that bit by bit.
 *
 * An entry of a namespace that has no more than is protected is passed over when
 * one is to be evicted, so the order within each namespace stays that of the
 * queue.  A partition has a cursor in the queue, behind which, towards the tail,
 * all is protected; a search that goes too far takes the oldest of all.  Namespaces with quotas have queues of their own, and no part in
 * this.  For LRU only.
 *
 * Locking: choosing, the partition's lock, held exclusively.  One process adapts;
 * what it writes are atomics.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

/* Entries passed over in one search. */
#define CURSOR_LOOKS	512

/* Weight of the last round in averages. */
#define FADING			0.3

/* Clearly more than another is so many times as much. */
#define CLEARLY			2.0

/* Ghost hits of the sample, on average a round, that are no accident. */
#define LEAST_HITS		8.0

/* Steps up and down, in parts of the memory; and what may be protected. */
#define STEP_UP			50
#define STEP_DOWN		8
#define MOST_PERCENT	80

/* What the launcher knows of a namespace. */
typedef struct PgCacheAdaptSpace
{
	uint64		ghost_hits;		/* by the last round */
	int64		evicted_bytes;
	uint64		gets;
	double		hits;			/* fading averages of a round */
	double		bytes;
	double		asked;
} PgCacheAdaptSpace;

/* ---- choosing --------------------------------------------------------------- */

/* Whether a namespace has no more in a partition than is protected there. */
static bool
is_protected(const PgCacheStore *store, const PgCachePartition *part, uint16 space)
{
	uint64		protected = pg_atomic_read_u64(&store->spaces[space].protected);

	return protected > 0 &&
		(uint64) usage_of(store, space, part)->memory * store->nparts <= protected;
}

PgCacheOffset
pgcache_adapt_victim(PgCacheStore *store, PgCachePartition *part,
					 const PgCacheClass *class, PgCacheOffset victim)
{
	uint32		round = pg_atomic_read_u32(&store->shared->protection);
	int			number = class - part->classes;
	PgCacheOffset offset;

	if (class->space >= 0 || !store->policy->bumps ||
		!is_protected(store, part, ((PgCacheEntry *) at(store, victim))->space))
		return victim;
	if (part->cursor == 0 || part->cursor_class != number || part->cursor_round != round)
	{
		part->cursor = victim;
		part->cursor_class = number;
		part->cursor_round = round;
	}
	offset = part->cursor;
	for (int i = 0; i < CURSOR_LOOKS && offset != 0; i++)
	{
		const PgCacheEntry *entry = at(store, offset);

		part->cursor = offset;
		if (!is_protected(store, part, entry->space))
			return offset;
		offset = entry->prev;
	}
	part->cursor = offset;
	return victim;
}

/* ---- adapting --------------------------------------------------------------- */

static int64
evicted_bytes_of(const PgCacheStore *store, int space)
{
	int64		bytes = 0;

	for (int i = 0; i < store->nparts; i++)
		bytes += usage_of(store, space, &store->parts[i])->evicted_bytes;
	return bytes;
}

static double
fade(double average, uint64 now, uint64 before)
{
	double		news = now >= before ? (double) (now - before) : 0;

	return average * (1 - FADING) + news * FADING;
}

/* Notes what happened since the last round; bytes evicted of all, on average. */
static double
take_notes(PgCacheStore *store, PgCacheAdaptSpace *spaces, uint64 (*gets) (uint16 space))
{
	double		bytes = 0;

	for (int i = 0; i < store->max_spaces; i++)
	{
		PgCacheAdaptSpace *s = &spaces[i];
		uint64		hits = pg_atomic_read_u64(&store->spaces[i].ghost_hits);
		int64		evicted = evicted_bytes_of(store, i);

		s->hits = fade(s->hits, hits, s->ghost_hits);
		s->bytes = fade(s->bytes, evicted, s->evicted_bytes);
		s->ghost_hits = hits;
		s->evicted_bytes = evicted;
		if (pg_atomic_read_u64(&store->spaces[i].protected) > 0)
		{
			uint64		asked = gets(i);

			s->asked = fade(s->asked, asked, s->gets);
			s->gets = asked;
		}
		if (!store->spaces[i].has_quota)
			bytes += s->bytes;
	}
	return bytes;
}

/*
 * What a byte more is worth to a namespace.  Of the evicted bytes that are still
 * remembered it has as many as of those evicted of late.
 */
static double
worth_of(const PgCacheAdaptSpace *s, double bytes)
{
	return s->hits < LEAST_HITS ? 0 : s->hits / Max(s->bytes, bytes / 100);
}

static void
set_protected(PgCacheStore *store, int space, int64 bytes)
{
	pg_atomic_write_u64(&store->spaces[space].protected, Max(bytes, 0));
}

static int64
protected_of(const PgCacheStore *store, int space)
{
	return (int64) pg_atomic_read_u64(&store->spaces[space].protected);
}

/*
 * Protects a step more of what a namespace has, if not too much is already.  How much
 * more is protected then.
 */
static int64
protect_more(PgCacheStore *store, int space, int64 memory, int64 sum)
{
	int64		before = protected_of(store, space);
	int64		protected;
	PgCacheUsage usage;

	pgcache_store_usage(store, space, &usage);
	/* It grows into what it has been given before it is given more. */
	if (before > usage.memory + memory / STEP_UP)
		return 0;
	protected = Max(before, usage.memory) + memory / STEP_UP;
	if (sum - before + protected > memory / 100 * MOST_PERCENT)
		return 0;
	set_protected(store, space, protected);
	return protected - before;
}

void
pgcache_store_adapt(PgCacheStore *store, PgCacheAdapt *adapt, uint64 (*gets) (uint16 space))
{
	int64		memory = (int64) pgcache_pool_limit(store) * store->region_bytes;
	int64		sum = 0;
	double		bytes;
	double		most = 0;
	double		average;
	double		hits = 0;
	int			best = -1;
	uint32		round = pg_atomic_read_u32(&store->shared->protection);

	if (adapt->spaces == NULL)
		adapt->spaces = calloc(store->max_spaces, sizeof(PgCacheAdaptSpace));
	if (adapt->spaces == NULL)
		return;
	bytes = take_notes(store, adapt->spaces, gets);
	for (int i = 0; i < store->max_spaces; i++)
	{
		PgCacheAdaptSpace *s = &adapt->spaces[i];
		double		worth = worth_of(s, bytes);

		if (store->spaces[i].has_quota)
			set_protected(store, i, 0);
		else
			hits += s->hits;
		if (!store->spaces[i].has_quota && worth > most)
		{
			most = worth;
			best = i;
		}
	}
	average = bytes > 0 ? hits / bytes : 0;
	for (int i = 0; i < store->max_spaces; i++)
	{
		int64		protected = protected_of(store, i);

		if (protected == 0)
			continue;
		if (adapt->spaces[i].asked < 1 ||
			worth_of(&adapt->spaces[i], bytes) * CLEARLY < most)
			set_protected(store, i, protected - Max(protected, memory / 10) / STEP_DOWN);
		sum += protected_of(store, i);
	}
	if (best >= 0 && most > average * CLEARLY)
		sum += protect_more(store, best, memory, sum);
	/* Cursors begin anew. */
	pg_atomic_write_u32(&store->shared->protection, sum > 0 ? Max(round + 1, 1) : 0);
}

void
pgcache_store_adapt_no_more(PgCacheStore *store, PgCacheAdapt *adapt)
{
	free(adapt->spaces);
	adapt->spaces = NULL;
	for (int i = 0; i < store->max_spaces; i++)
		set_protected(store, i, 0);
	pg_atomic_write_u32(&store->shared->protection, 0);
}
