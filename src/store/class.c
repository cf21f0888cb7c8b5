/*-------------------------------------------------------------------------
 *
 * class.c
 *	  Classes of entries that compete for room, and their queues.
 *
 * All entries of one priority are a class; those of a namespace with quotas
 * are classes of their own, so that the namespace's oldest entry is at hand.
 * A partition has a small table of classes; they are made when first needed.
 * Each owner may have some; an entry of a further priority joins the class that
 * comes nearest.
 *
 * Locking: the partition's lock, held exclusively.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

static bool
class_is_empty(const PgCacheClass *class)
{
	return class->queue[QUEUE_SMALL].count == 0 && class->queue[QUEUE_MAIN].count == 0;
}

/*
 * The class that comes nearest where an owner may have no more: one of its own,
 * else one of those that all share; never another namespace's, whose quotas
 * are not its.
 */
static int
nearest_class(const PgCachePartition *part, int32 owner, int32 priority)
{
	int			best = -1;
	uint64		best_distance = PG_UINT64_MAX;

	for (int i = 0; i < part->nclasses; i++)
	{
		const PgCacheClass *class = &part->classes[i];
		uint64		distance = class->priority > priority ?
		(uint64) ((int64) class->priority - priority) :
		(uint64) ((int64) priority - class->priority);

		if (class->space != owner && class->space >= 0)
			continue;
		if (class->space != owner)
			distance += (uint64) 1 << 33;
		if (distance < best_distance)
		{
			best = i;
			best_distance = distance;
		}
	}
	return best;
}

int
pgcache_class_for(PgCacheStore *store, PgCachePartition *part,
				  uint16 space, int32 priority)
{
	int32		owner = store->spaces[space].has_quota ? (int32) space : -1;
	int			most = owner < 0 ? MAX_SHARED_CLASSES : MAX_OWN_CLASSES;
	int			has = 0;
	int			unused = -1;
	PgCacheClass *class;

	for (int i = 0; i < part->nclasses; i++)
	{
		class = &part->classes[i];
		if (class->priority == priority && class->space == owner)
			return i;
		/* The first is kept for those without quotas. */
		if (i > 0 && class_is_empty(class))
			unused = i;
		else if (class->space == owner)
			has++;
	}
	if (has >= most)
		return nearest_class(part, owner, priority);
	if (unused < 0 && part->nclasses < MAX_CLASSES)
		unused = part->nclasses++;
	if (unused < 0)
		return nearest_class(part, owner, priority);
	class = &part->classes[unused];
	memset(class, 0, sizeof(*class));
	class->priority = priority;
	class->space = owner;
	return unused;
}

uint32
pgcache_class_clock(const PgCacheStore *store, const PgCachePartition *part,
					const PgCacheClass *class)
{
	int32		space = *(volatile int32 *) &class->space;	/* readers have no lock */

	if (space >= 0)
		return pg_atomic_read_u32(&store->spaces[space].clock);
	return part->clock;
}

/* A new stamp, later than all given before to entries of the class. */
static uint32
next_stamp(PgCacheStore *store, PgCachePartition *part, const PgCacheClass *class)
{
	if (class->space >= 0)
		return pg_atomic_add_fetch_u32(&store->spaces[class->space].clock, 1);
	return ++part->clock;
}

void
pgcache_queue_push(PgCacheStore *store, PgCachePartition *part,
				   PgCacheOffset offset, int queue)
{
	PgCacheEntry *entry = at(store, offset);
	PgCacheClass *class = &part->classes[entry->class];
	PgCacheQueue *q = &class->queue[queue];

	entry->stamp = next_stamp(store, part, class);
	entry->prev = 0;
	entry->next = q->head;
	if (q->head)
		((PgCacheEntry *) at(store, q->head))->prev = offset;
	else
		q->tail = offset;
	q->head = offset;
	q->count++;
	q->granules += entry_granules(store, entry);
	if (((entry->flags & ENTRY_MAIN) != 0) != (queue == QUEUE_MAIN))
		entry->flags ^= ENTRY_MAIN;
}

void
pgcache_queue_unlink(PgCacheStore *store, PgCachePartition *part,
					 PgCacheOffset offset)
{
	PgCacheEntry *entry = at(store, offset);
	PgCacheQueue *q = queue_of(part, entry);

	if (unlikely(part->cursor == offset))
		part->cursor = entry->prev;
	if (entry->prev)
		((PgCacheEntry *) at(store, entry->prev))->next = entry->next;
	else
		q->head = entry->next;
	if (entry->next)
		((PgCacheEntry *) at(store, entry->next))->prev = entry->prev;
	else
		q->tail = entry->prev;
	q->count--;
	q->granules -= entry_granules(store, entry);
}
