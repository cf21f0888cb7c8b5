/*-------------------------------------------------------------------------
 *
 * space.c
 *	  Namespaces as the store sees them: clearing, and quotas.
 *
 * Clearing is a number: entries whose value was read before are dead.  Each
 * partition notices when it next accounts for the namespace (see
 * pgcache_usage_refresh), and frees them as it needs room.  Where newer entries
 * came in between number and clear, the dead ones stay in the accounts till then.
 *
 * The entries of a namespace with quotas are in classes of their own, stamped
 * by a clock of the namespace, so that the oldest of them in all partitions is
 * found by comparing the ends of a few queues.
 *
 * Locking: no function here is called with a lock of the store held; those that
 * change partitions take their locks one after the other.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

/* Entries evicted under one lock when a namespace is far over its quota. */
#define QUOTA_BATCH		64

/* Buckets looked at in one partition for expired entries. */
#define QUOTA_LOOKS		256

void
pgcache_store_clear(PgCacheStore *store, uint16 number)
{
	pgcache_store_clear_to(store, number, pgcache_store_publish(store));
}

void
pgcache_store_clear_to(PgCacheStore *store, uint16 space, uint64 number)
{
	pg_atomic_uint64 *clear_seq = &store->spaces[space].clear_seq;
	uint64		old = pg_atomic_read_u64(clear_seq);

	while (old <= number &&
		   !pg_atomic_compare_exchange_u64(clear_seq, &old, number + 1))
		;						/* old was read anew */
	pg_atomic_fetch_add_u64(&store->shared->clears, 1);
}

/* How the stamps of a namespace's entries are dealt out when it gets quotas. */
typedef struct Restamp
{
	uint32		base;			/* the namespace's clock before */
	int64		span;			/* its entries in all partitions */
	int64		count;			/* and in this one */
	int64		moved;			/* so many of them already */
} Restamp;

/*
 * Puts an entry into the class that it belongs in.  Stamped as it comes, all of
 * one partition would look older than all of the next; so they are spread.
 */
static void
reclassify_entry(PgCacheStore *store, PgCachePartition *part,
				 PgCacheOffset offset, int queue, Restamp *restamp)
{
	PgCacheEntry *entry = at(store, offset);
	EntryFields fields;
	int			class;

	pgcache_entry_fields(entry, &fields);
	class = pgcache_class_for(store, part, entry->space, fields.priority);
	if (class == entry->class)
		return;
	pgcache_queue_unlink(store, part, offset);
	entry->class = class;
	pgcache_queue_push(store, part, offset, queue);
	if (part->classes[class].space >= 0)
		entry->stamp = restamp->base +
			(uint32) (Min(restamp->moved++, restamp->count) * restamp->span /
					  Max(restamp->count, 1));
}

/* Moves a namespace's entries in a partition to the classes they belong in. */
static void
reclassify(PgCacheStore *store, PgCachePartition *part, uint16 number,
		   Restamp *restamp)
{
	int			nclasses = part->nclasses;

	restamp->count = pgcache_usage_refresh(store, part, number)->entries;
	restamp->moved = 0;
	for (int i = 0; i < nclasses; i++)
	{
		for (int q = QUEUE_SMALL; q <= QUEUE_MAIN; q++)
		{
			/* From the oldest on, so that their order stays. */
			PgCacheOffset offset = part->classes[i].queue[q].tail;

			while (offset != 0)
			{
				PgCacheEntry *entry = at(store, offset);
				PgCacheOffset prev = entry->prev;

				if (entry->space == number && entry->class == i)
					reclassify_entry(store, part, offset, q, restamp);
				offset = prev;
			}
		}
	}
}

void
pgcache_store_set_quota(PgCacheStore *store, uint16 number, int64 min_bytes,
						int64 max_bytes, int64 max_entries)
{
	PgCacheStoreSpace *space = &store->spaces[number];
	bool		has_quota = min_bytes > 0 || max_bytes > 0 || max_entries > 0;
	bool		changed = has_quota != space->has_quota;
	PgCacheUsage usage;
	Restamp		restamp;

	space->min_bytes = min_bytes;
	space->has_quota = has_quota;
	pgcache_store_usage(store, number, &usage);
	restamp.span = usage.entries;
	if (changed)
		restamp.base = pg_atomic_fetch_add_u32(&space->clock, (uint32) usage.entries);
	for (int i = 0; changed && i < store->nparts; i++)
	{
		PgCachePartition *part = &store->parts[i];

		/* Who puts after this has seen has_quota, by way of the lock. */
		LWLockAcquire(lock_of(store, part), LW_EXCLUSIVE);
		reclassify(store, part, number, &restamp);
		LWLockRelease(lock_of(store, part));
	}

	/* Limits last: who enforces them must find the oldest in every partition. */
	space->max_bytes = max_bytes;
	space->max_entries = max_entries;
	if (has_quota)
		pgcache_enforce_quota(store, number);
}

void
pgcache_store_forget_space(PgCacheStore *store, uint16 number)
{
	pgcache_store_clear(store, number);
	pgcache_store_set_quota(store, number, 0, 0, 0);
	pg_atomic_write_u64(&store->shares[number].protected, 0);
	pg_atomic_fetch_add_u32(&store->shares[number].users, 1);
	for (int i = 0; i < store->nparts; i++)
	{
		PgCachePartition *part = &store->parts[i];
		PgCachePartitionUsage *u;

		LWLockAcquire(lock_of(store, part), LW_EXCLUSIVE);
		u = pgcache_usage_refresh(store, part, number);
		u->evictions = 0;
		u->background_evictions = 0;
		u->expirations = 0;
		LWLockRelease(lock_of(store, part));
	}
}

/* ---- quotas ------------------------------------------------------------------ */

/* What a namespace has beyond its quotas. */
typedef struct Excess
{
	int64		entries;
	int64		bytes;
} Excess;

static bool
is_over(PgCacheStore *store, uint16 number, Excess *excess)
{
	PgCacheStoreSpace *space = &store->spaces[number];
	PgCacheUsage usage;

	pgcache_store_usage(store, number, &usage);
	excess->entries = space->max_entries > 0 ? usage.entries - space->max_entries : 0;
	excess->bytes = space->max_bytes > 0 ? usage.memory - space->max_bytes : 0;
	return usage.entries > 0 && (excess->entries > 0 || excess->bytes > 0);
}

/*
 * The class of a namespace in a partition that has to give way first: lowest
 * priority, then oldest.  Without the partition's lock a hint.
 */
static PgCacheClass *
oldest_class(PgCacheStore *store, PgCachePartition *part, uint16 number,
			 uint32 *age)
{
	uint32		clock = pg_atomic_read_u32(&store->spaces[number].clock);
	PgCacheClass *chosen = NULL;

	for (int i = 0; i < Min(part->nclasses, MAX_CLASSES); i++)
	{
		PgCacheClass *class = &part->classes[i];

		if (class->space != number)
			continue;
		for (int q = QUEUE_SMALL; q <= QUEUE_MAIN; q++)
		{
			PgCacheOffset tail = class->queue[q].tail;
			uint32		tail_age;

			if (tail < FIRST_OFFSET(store) || tail >= store->end)
				continue;
			tail_age = clock - ((PgCacheEntry *) at(store, tail))->stamp;
			if (!chosen || class->priority < chosen->priority ||
				(class->priority == chosen->priority && tail_age > *age))
			{
				chosen = class;
				*age = tail_age;
			}
		}
	}
	return chosen;
}

/* The partition that holds the entry of a namespace which has to go first. */
static PgCachePartition *
find_oldest(PgCacheStore *store, uint16 number)
{
	PgCachePartition *where = NULL;
	int32		priority = 0;
	uint32		oldest = 0;

	for (int i = 0; i < store->nparts; i++)
	{
		PgCachePartition *part = &store->parts[i];
		uint32		age = 0;
		PgCacheClass *class = oldest_class(store, part, number, &age);

		if (class && (!where || class->priority < priority ||
					  (class->priority == priority && age > oldest)))
		{
			where = part;
			priority = class->priority;
			oldest = age;
		}
	}
	return where;
}

/*
 * Some entry of a namespace that has none in a class of its own in a partition,
 * because the table of classes was full; 0 if there is none.
 */
static PgCacheOffset
find_any(PgCacheStore *store, PgCachePartition *part, uint16 number)
{
	for (int i = 0; i < part->nclasses; i++)
	{
		if (part->classes[i].space >= 0)
			continue;
		for (int q = QUEUE_SMALL; q <= QUEUE_MAIN; q++)
		{
			PgCacheOffset offset = part->classes[i].queue[q].tail;

			for (; offset != 0; offset = ((PgCacheEntry *) at(store, offset))->prev)
				if (((PgCacheEntry *) at(store, offset))->space == number)
					return offset;
		}
	}
	return 0;
}

/* What goes next of a namespace in a partition, or 0. */
static PgCacheOffset
victim_of_space(PgCacheStore *store, PgCachePartition *part, uint16 number)
{
	uint32		age;
	PgCacheClass *class = oldest_class(store, part, number, &age);

	return class ? store->policy->victim(store, part, class) :
		find_any(store, part, number);
}

/* A partition that has entries of a namespace; NULL if none has. */
static PgCachePartition *
find_holder(PgCacheStore *store, uint16 number)
{
	for (int i = 0; i < store->nparts; i++)
		if (usage_of(store, number, &store->parts[i])->entries > 0)
			return &store->parts[i];
	return NULL;
}

/*
 * Evicts the oldest entry of a namespace that is over its quotas; if it is far
 * over, several of that partition's.  False if none was found.
 */
static bool
evict_of_space(PgCacheStore *store, uint16 number, Excess *excess)
{
	PgCachePartition *part = find_oldest(store, number);
	PgCachePartitionUsage *u;
	int64		entries;
	int64		bytes;
	bool		found_dead = false;
	bool		removed = false;

	if (part == NULL)
		part = find_holder(store, number);
	if (part == NULL)
		return false;

	LWLockAcquire(lock_of(store, part), LW_EXCLUSIVE);
	u = pgcache_usage_refresh(store, part, number);
	entries = u->entries;
	bytes = u->memory;
	for (int i = 0; i < QUOTA_BATCH; i++)
	{
		PgCacheOffset victim = victim_of_space(store, part, number);
		bool		dead;

		if (victim == 0)
			break;

		/* Behind a dead one is perhaps not the oldest of all partitions. */
		dead = entry_is_dead(store, at(store, victim));
		if (found_dead && !dead)
			break;
		found_dead = dead;
		pgcache_entry_remove(store, part, victim, NULL, CAUSE_EVICTED_QUOTA);
		removed = true;

		/* One by one where it matters which; its share where it cannot. */
		if (!dead &&
			(entries - u->entries) * store->nparts >= excess->entries &&
			(bytes - u->memory) * store->nparts >= excess->bytes)
			break;
	}
	pgcache_index_adjust(store, part);
	LWLockRelease(lock_of(store, part));
	return removed;				/* if not, others were quicker */
}

/* Removes what has expired, before anything live has to go. */
static bool
sweep_expired(PgCacheStore *store)
{
	TimestampTz now = 0;
	int64		removed = 0;

	for (int i = 0; i < store->nparts && removed == 0; i++)
	{
		PgCachePartition *part = &store->parts[i];

		if (part->nttl == 0)
			continue;
		if (now == 0)
			now = store->now();
		if (now < part->next_expiry)
			continue;
		LWLockAcquire(lock_of(store, part), LW_EXCLUSIVE);
		removed = pgcache_expiry_sweep(store, part, now, QUOTA_BATCH, QUOTA_LOOKS,
									   false);
		LWLockRelease(lock_of(store, part));
	}
	return removed > 0;
}

void
pgcache_enforce_quota(PgCacheStore *store, uint16 number)
{
	Excess		excess;

	while (is_over(store, number, &excess))
	{
		if (sweep_expired(store))
			continue;
		if (!evict_of_space(store, number, &excess))
			return;
	}
}
