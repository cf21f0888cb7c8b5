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
 * all is protected; a search that goes too far takes the oldest of all, and so do
 * those of the same round after one that came to the queue's end.  Namespaces with
 * quotas have queues of their own, and no part in this.  For LRU only.
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

/*
 * Steps up and down, in parts of the memory; and what may be protected of the room
 * for entries without quotas.
 */
#define STEP_UP			50
#define STEP_DOWN		8
#define MOST_PERCENT	85

/* What the launcher knows of a namespace. */
typedef struct PgCacheAdaptSpace
{
	uint64		user;			/* of the slot: as of the last round, from 1 */
	uint64		ghost_hits;		/* by then */
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
	uint64		protected = pg_atomic_read_u64(&store->shares[space].protected);

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
	if (part->cursor_class != number || part->cursor_round != round)
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

static void
set_protected(PgCacheStore *store, int space, int64 bytes)
{
	pg_atomic_write_u64(&store->shares[space].protected, Max(bytes, 0));
}

static int64
protected_of(const PgCacheStore *store, int space)
{
	return (int64) pg_atomic_read_u64(&store->shares[space].protected);
}

static double
fade(double average, uint64 now, uint64 before)
{
	double		news = now >= before ? (double) (now - before) : 0;

	return average * (1 - FADING) + news * FADING;
}

/* From now on we look whether it is asked; it was, let us say, so often a round. */
static void
begin_asking(PgCacheAdaptSpace *s, uint64 gets, double asked)
{
	s->gets = gets;
	s->asked = asked;
}

/* Notes what happened since the last round; bytes evicted of all, on average. */
static double
take_notes(PgCacheStore *store, PgCacheAdaptSpace *spaces, uint64 (*gets) (uint16 space))
{
	double		bytes = 0;

	for (int i = 0; i < store->max_spaces; i++)
	{
		PgCacheAdaptSpace *s = &spaces[i];
		uint64		user = (uint64) pg_atomic_read_u32(&store->shares[i].users) + 1;
		uint64		hits = pg_atomic_read_u64(&store->shares[i].ghost_hits);
		int64		evicted = evicted_bytes_of(store, i);

		if (s->user != user)
		{
			memset(s, 0, sizeof(*s));
			s->user = user;
			s->ghost_hits = hits;
			s->evicted_bytes = evicted;
			/* Somebody protected it who is no more. */
			if (protected_of(store, i) > 0)
				begin_asking(s, gets(i), LEAST_HITS);
		}
		s->hits = fade(s->hits, hits, s->ghost_hits);
		s->bytes = fade(s->bytes, evicted, s->evicted_bytes);
		s->ghost_hits = hits;
		s->evicted_bytes = evicted;
		if (protected_of(store, i) > 0)
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

/* Memory for the entries that have a part in this, at the most. */
static int64
room_of(const PgCacheStore *store, int64 memory)
{
	for (int i = 0; i < store->nparts; i++)
		memory -= (int64) store->parts[i].nindex_regions * store->region_bytes;
	for (int i = 0; i < store->max_spaces; i++)
		if (store->spaces[i].has_quota)
			for (int p = 0; p < store->nparts; p++)
				memory -= usage_of(store, i, &store->parts[p])->memory;
	return Max(memory, 0);
}

/*
 * Takes some of what is protected from those to whom it is no more worth it.  How
 * much all have then.
 */
static int64
fade_protection(PgCacheStore *store, const PgCacheAdaptSpace *spaces, double bytes,
				double most, int64 memory)
{
	int64		sum = 0;

	for (int i = 0; i < store->max_spaces; i++)
	{
		int64		protected = protected_of(store, i);

		if (protected == 0)
			continue;
		if (spaces[i].asked < 1 || worth_of(&spaces[i], bytes) * CLEARLY < most)
			set_protected(store, i, protected - Max(protected, memory / 10) / STEP_DOWN);
		sum += protected_of(store, i);
	}
	return sum;
}

/* The room became less than it was: all have their part of what may be protected. */
static int64
cut_protection(PgCacheStore *store, int64 sum, int64 allowed)
{
	double		part = (double) allowed / sum;

	sum = 0;
	for (int i = 0; i < store->max_spaces; i++)
	{
		set_protected(store, i, (int64) (protected_of(store, i) * part));
		sum += protected_of(store, i);
	}
	return sum;
}

/*
 * Protects a step more of what a namespace has, but not more than left.  How much
 * more is protected then.
 */
static int64
protect_more(PgCacheStore *store, int space, int64 memory, int64 left)
{
	int64		before = protected_of(store, space);
	int64		protected;
	PgCacheUsage usage;

	pgcache_store_usage(store, space, &usage);
	/* It grows into what it has been given before it is given more. */
	if (before > usage.memory + memory / STEP_UP)
		return 0;
	protected = Max(before, usage.memory) + memory / STEP_UP;
	if (protected - before > left)
		return 0;
	set_protected(store, space, protected);
	return protected - before;
}

void
pgcache_store_adapt(PgCacheStore *store, PgCacheAdapt *adapt, uint64 (*gets) (uint16 space))
{
	int64		memory = (int64) pgcache_pool_limit(store) * store->region_bytes;
	int64		allowed = room_of(store, memory) / 100 * MOST_PERCENT;
	int64		sum;
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
	sum = fade_protection(store, adapt->spaces, bytes, most, memory);
	if (sum > allowed)
		sum = cut_protection(store, sum, allowed);
	if (best >= 0 && most > average * CLEARLY)
	{
		PgCacheAdaptSpace *s = &adapt->spaces[best];

		if (protected_of(store, best) == 0)
			begin_asking(s, gets(best), s->hits);
		sum += protect_more(store, best, memory, allowed - sum);
	}
	/* Cursors begin anew. */
	pg_atomic_write_u32(&store->shared->protection, sum > 0 ? Max(round + 1, 1) : 0);
}

void
pgcache_store_adapt_no_more(PgCacheStore *store, PgCacheAdapt *adapt)
{
	free(adapt->spaces);
	adapt->spaces = NULL;
	if (pg_atomic_read_u32(&store->shared->protection) == 0)
		return;
	for (int i = 0; i < store->max_spaces; i++)
		set_protected(store, i, 0);
	pg_atomic_write_u32(&store->shared->protection, 0);
}
