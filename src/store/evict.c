/*-------------------------------------------------------------------------
 *
 * evict.c
 *	  Making room: removing entries, and moving regions between partitions.
 *
 * A put that finds no hole takes a region from the pool; if there is none, it
 * removes what has expired or is dead, then what the policy names.  A partition
 * with fewer regions than its share, or with a large value to store, rather
 * takes one from the partition that has most: that one makes room for the
 * region's blocks elsewhere by its own policy, moves them, and gives the region
 * to the pool.  No eviction order is broken by that.
 *
 * Locking: the partition's lock, held exclusively, but for the functions that
 * say that they take it.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

/* Buckets looked at for entries known to be dead before the policy is asked. */
#define DEAD_LOOKS		1024

/* Expired entries removed at once before it is. */
#define EXPIRY_BATCH	16
#define EXPIRY_LOOKS	256

/* Regions looked at for the emptiest. */
#define REGION_LOOKS	64

/* Partitions asked for a region. */
#define MAX_VICTIMS		8

/* ---- accounts --------------------------------------------------------------- */

PgCachePartitionUsage *
pgcache_usage_refresh(PgCacheStore *store, PgCachePartition *part, uint16 space)
{
	PgCachePartitionUsage *u = usage_of(store, space, part);
	uint64		clear_seq = pg_atomic_read_u64(&store->spaces[space].clear_seq);

	if (likely(u->heeded == clear_seq))
		return u;
	u->heeded = clear_seq;
	if (u->entries > 0 && u->newest >= clear_seq)
	{
		pgcache_dead_look(part);
		return u;
	}
	part->ndead += u->entries;
	u->entries = 0;
	u->key_bytes = 0;
	u->bytes = 0;
	u->stored_bytes = 0;
	u->memory = 0;
	u->newest = 0;
	u->clear_seq = clear_seq;
	return u;
}

void
pgcache_usage_refresh_all(PgCacheStore *store, PgCachePartition *part)
{
	for (int space = 0; space < store->max_spaces; space++)
		pgcache_usage_refresh(store, part, space);
}

/* Bytes of the value before compression. */
static inline uint32
raw_len_of(const PgCacheEntry *entry)
{
	EntryFields fields;

	if (likely((entry->flags & (PGCACHE_ENTRY_LZ4 | PGCACHE_ENTRY_ZSTD)) == 0))
		return entry->len;
	pgcache_entry_fields(entry, &fields);
	return fields.raw_len;
}

void
pgcache_usage_account(const PgCacheStore *store, PgCachePartitionUsage *u,
					  const PgCacheEntry *entry, int sign)
{
	u->entries += sign;
	u->key_bytes += sign * (int64) entry->key_len;
	u->bytes += sign * (int64) raw_len_of(entry);
	u->stored_bytes += sign * (int64) entry->len;
	u->memory += sign * ((int64) entry_granules(store, entry) << store->shift);
}

/* Counts the kinds of entries that sweeps look for. */
static inline void
count_kinds(PgCachePartition *part, const PgCacheEntry *entry, int sign)
{
	if (entry->flags & PGCACHE_ENTRY_TTL)
		part->nttl += sign;
	if (entry->flags & PGCACHE_ENTRY_DEPS)
		part->ndeps += sign;
}

void
pgcache_entry_account(PgCacheStore *store, PgCachePartition *part,
					  const PgCacheEntry *entry, const PgCacheEntry *replaced)
{
	PgCachePartitionUsage *u = pgcache_usage_refresh(store, part, entry->space);

	/* The namespace may have been cleared while we made room. */
	if (likely(entry->seq >= u->clear_seq))
		u->newest = Max(u->newest, entry->seq);
	if (unlikely(entry->seq < u->clear_seq))
	{
		part->ndead++;
		if (replaced)
			pgcache_entry_unaccount(store, part, replaced, CAUSE_REPLACED);
	}
	else if (replaced && replaced->seq >= u->clear_seq)
	{
		u->bytes += (int64) raw_len_of(entry) - raw_len_of(replaced);
		u->stored_bytes += (int64) entry->len - replaced->len;
		u->memory += ((int64) entry_granules(store, entry) -
					  entry_granules(store, replaced)) * ((int64) 1 << store->shift);
		count_kinds(part, replaced, -1);
	}
	else
	{
		pgcache_usage_account(store, u, entry, 1);
		if (replaced)
			pgcache_entry_unaccount(store, part, replaced, CAUSE_REPLACED);
	}
	count_kinds(part, entry, 1);
}

/* ---- removing ---------------------------------------------------------------- */

void
pgcache_chain_free(PgCacheStore *store, PgCachePartition *part, PgCacheOffset next)
{
	while (next != 0)
	{
		PgCacheOffset extent = next;

		next = ((PgCacheExtent *) at(store, extent))->next;
		pgcache_heap_free(store, part, extent);
	}
}

void
pgcache_entry_free_blocks(PgCacheStore *store, PgCachePartition *part,
						  PgCacheOffset offset)
{
	PgCacheEntry *entry = at(store, offset);

	if (entry->flags & ENTRY_CHAINED)
	{
		EntryFields fields;

		pgcache_entry_fields(entry, &fields);
		pgcache_chain_free(store, part, fields.chain);
	}
	pgcache_heap_free(store, part, offset);
}

static inline bool
is_eviction(PgCacheCause cause)
{
	return cause == CAUSE_EVICTED || cause == CAUSE_EVICTED_AHEAD ||
		cause == CAUSE_EVICTED_QUOTA;
}

void
pgcache_entry_unaccount(PgCacheStore *store, PgCachePartition *part,
						const PgCacheEntry *entry, PgCacheCause cause)
{
	PgCachePartitionUsage *u = pgcache_usage_refresh(store, part, entry->space);

	count_kinds(part, entry, -1);
	if (entry->seq < u->clear_seq)
	{
		part->ndead--;
		return;
	}
	pgcache_usage_account(store, u, entry, -1);
	if (is_eviction(cause) && !entry_is_dead(store, entry))
	{
		u->evictions++;
		u->background_evictions += cause == CAUSE_EVICTED_AHEAD;
		u->evicted_bytes += (int64) entry_granules(store, entry) << store->shift;
	}
	else if (cause == CAUSE_EXPIRED)
		u->expirations++;
}

/* pgcache_key_is_sampled, of the tag that a slot has of the hash. */
static inline bool
tag_is_sampled(uint16 tag)
{
	return pgcache_key_is_sampled((uint64) tag << 32);
}

void
pgcache_entry_remove(PgCacheStore *store, PgCachePartition *part,
					 PgCacheOffset offset, const PgCacheSlot *slot,
					 PgCacheCause cause)
{
	PgCacheEntry *entry = at(store, offset);
	PgCacheSlot located;

	if (slot == NULL || is_eviction(cause))
	{
		uint64		hash = pgcache_entry_hash(store, entry);

		if (slot == NULL)
			pgcache_index_locate(store, part, offset, hash, &located);
		else
			located = *slot;
		if (is_eviction(cause))
			store->policy->evicted(store, part, offset, hash);
	}
	else
		located = *slot;
	/* With more memory it would have gone all the same, if for a quota. */
	if ((is_eviction(cause) || cause == CAUSE_EXPIRED) &&
		cause != CAUSE_EVICTED_QUOTA &&
		tag_is_sampled(located.bucket->tag[located.slot]))
		pgcache_ghost_mark(store, part, entry, pgcache_entry_hash(store, entry),
						   cause == CAUSE_EXPIRED);
	pgcache_entry_unaccount(store, part, entry, cause);
	pgcache_index_remove(store, part, &located);
	pgcache_queue_unlink(store, part, offset);
	pgcache_entry_free_blocks(store, part, offset);
}

/* ---- choosing ---------------------------------------------------------------- */

/* Whether a namespace's min_bytes shields its entries from others. */
static bool
is_shielded(PgCacheStore *store, const PgCacheClass *class)
{
	PgCacheUsage usage;

	if (class->space < 0 || store->spaces[class->space].min_bytes <= 0)
		return false;
	pgcache_store_usage(store, class->space, &usage);
	return usage.memory <= store->spaces[class->space].min_bytes;
}

/* When the oldest entry of a class was last used, to the second. */
static uint32
oldest_access(const PgCacheStore *store, const PgCacheClass *class)
{
	uint32		oldest = PG_UINT32_MAX;

	for (int q = QUEUE_SMALL; q <= QUEUE_MAIN; q++)
		if (class->queue[q].tail != 0)
			oldest = Min(oldest,
						 ((PgCacheEntry *) at(store, class->queue[q].tail))->accessed);
	return oldest;
}

/*
 * The class that has to give way: the lowest priority; of equal ones, that
 * whose oldest entry was not used for longest.
 */
static PgCacheClass *
choose_class(PgCacheStore *store, PgCachePartition *part, bool heed_shields)
{
	PgCacheClass *chosen = NULL;
	uint32		chosen_access = 0;

	for (int i = 0; i < part->nclasses; i++)
	{
		PgCacheClass *class = &part->classes[i];
		uint32		access;

		if (class->queue[QUEUE_SMALL].count + class->queue[QUEUE_MAIN].count == 0)
			continue;
		if (chosen && class->priority > chosen->priority)
			continue;
		if (heed_shields && is_shielded(store, class))
			continue;
		access = oldest_access(store, class);
		if (!chosen || class->priority < chosen->priority || access < chosen_access)
		{
			chosen = class;
			chosen_access = access;
		}
	}
	return chosen;
}

void
pgcache_heed_clears(PgCacheStore *store, PgCachePartition *part)
{
	uint64		clears = pg_atomic_read_u64(&store->shared->clears);

	if (likely(part->clears == clears))
		return;
	/* The namespaces' numbers were written before. */
	pg_read_barrier();
	pgcache_usage_refresh_all(store, part);
	part->clears = clears;
}

/*
 * Removes dead entries, if some buckets show any.  Where it is not known that
 * there are any, a vain look makes the next ones shorter: after changes of
 * something that hardly any entry depends on, looking must not cost more than
 * the few entries it finds.
 */
static bool
remove_some_dead(PgCacheStore *store, PgCachePartition *part)
{
	bool		known = part->ndead > 0;

	if (pgcache_dead_sweep(store, part, known ? DEAD_LOOKS : part->dead_looks) > 0)
	{
		part->dead_looks = MOST_DEAD_LOOKS;
		return true;
	}
	if (!known)
		part->dead_looks = Max(part->dead_looks / 2, LEAST_DEAD_LOOKS);
	return false;
}

bool
pgcache_make_room(PgCacheStore *store, PgCachePartition *part, PgCacheCause cause)
{
	PgCacheClass *class;
	PgCacheOffset victim;

	pgcache_heed_clears(store, part);
	pgcache_heed_deaths(store, part);
	if (part->nttl > 0 && pgcache_expiry_sweep(store, part, store->now(), EXPIRY_BATCH, EXPIRY_LOOKS, false) > 0)
		return true;
	if (has_dead(part) && remove_some_dead(store, part))
		return true;
	class = choose_class(store, part, true);
	if (class == NULL)
		class = choose_class(store, part, false);
	if (class == NULL)
		return false;
	part->ordered = true;
	if (cause == CAUSE_EVICTED_AHEAD)
		part->evicted_ahead++;
	else
		part->evicted++;
	victim = store->policy->victim(store, part, class);
	if (unlikely(pg_atomic_read_u32(&store->shared->protection) != 0))
		victim = pgcache_adapt_victim(store, part, class, victim);
	pgcache_entry_remove(store, part, victim, NULL, cause);
	return true;
}

/* ---- moving regions ----------------------------------------------------------- */

void
pgcache_entry_replace_block(PgCacheStore *store, PgCachePartition *part,
							const PgCacheSlot *slot, PgCacheOffset to,
							uint16 expiry)
{
	const PgCacheEntry *old = at(store, slot->bucket->location[slot->slot]);
	PgCacheEntry *copy = at(store, to);
	PgCacheQueue *q = queue_of(part, copy);
	PgCachePartitionUsage *u = pgcache_usage_refresh(store, part, copy->space);
	int64		grown = (int64) entry_granules(store, copy) - entry_granules(store, old);

	q->granules += grown;
	if (copy->seq >= u->clear_seq)
		u->memory += grown * ((int64) 1 << store->shift);
	if (unlikely(part->cursor == slot->bucket->location[slot->slot]))
		part->cursor = to;
	if (copy->prev)
		((PgCacheEntry *) at(store, copy->prev))->next = to;
	else
		q->head = to;
	if (copy->next)
		((PgCacheEntry *) at(store, copy->next))->prev = to;
	else
		q->tail = to;
	pgcache_index_replace(store, part, slot, to, expiry, true);
}

/* Moves an entry's block; false if there is no room. */
static bool
relocate_entry(PgCacheStore *store, PgCachePartition *part, PgCacheOffset from)
{
	PgCacheEntry *entry = at(store, from);
	uint32		size = BLOCK_SIZE(entry->block);
	PgCacheOffset to = pgcache_heap_alloc(store, part, size, size);
	PgCacheEntry *copy;
	PgCacheSlot slot;

	if (to == 0)
		return false;
	copy = at(store, to);
	memcpy((char *) copy + sizeof(copy->block), (char *) entry + sizeof(entry->block),
		   ((Size) size << store->shift) - sizeof(entry->block));
	pgcache_heap_settle(store, to, BLOCK_ENTRY);

	if (copy->flags & ENTRY_CHAINED)
	{
		EntryFields fields;
		PgCacheOffset next;

		pgcache_entry_fields(copy, &fields);
		((PgCacheExtent *) at(store, fields.chain))->prev = to;
		for (next = fields.chain; next != 0;)
		{
			PgCacheExtent *extent = at(store, next);

			extent->owner = to;
			next = extent->next;
		}
	}

	pgcache_index_locate(store, part, from, pgcache_entry_hash(store, copy), &slot);
	pgcache_entry_replace_block(store, part, &slot, to,
								slot.bucket->expiry[slot.slot]);
	pgcache_heap_free(store, part, from);
	return true;
}

/* Makes an entry's first extent another one. */
static void
set_chain(PgCacheEntry *entry, PgCacheOffset chain)
{
	EntryFields fields;

	pgcache_entry_fields(entry, &fields);
	fields.chain = chain;
	pgcache_entry_pack(entry->key + entry->key_len, entry->flags, &fields);
}

/* Moves an extent; false if there is no room. */
static bool
relocate_extent(PgCacheStore *store, PgCachePartition *part, PgCacheOffset from)
{
	PgCacheExtent *extent = at(store, from);
	uint32		size = BLOCK_SIZE(extent->block);
	PgCacheOffset to = pgcache_heap_alloc(store, part, size, size);
	PgCacheEntry *owner = at(store, extent->owner);
	PgCacheExtent *copy;
	PgCacheSlot slot;

	if (to == 0)
		return false;
	copy = at(store, to);
	memcpy((char *) copy + sizeof(copy->block), (char *) extent + sizeof(extent->block),
		   ((Size) size << store->shift) - sizeof(extent->block));
	pgcache_heap_settle(store, to, BLOCK_EXTENT);

	pgcache_index_locate(store, part, copy->owner,
						 pgcache_entry_hash(store, owner), &slot);
	begin_change(slot.first);
	if (copy->prev == copy->owner)
		set_chain(owner, to);
	else
		((PgCacheExtent *) at(store, copy->prev))->next = to;
	if (copy->next)
		((PgCacheExtent *) at(store, copy->next))->prev = to;
	end_change(slot.first);
	pgcache_heap_free(store, part, from);
	return true;
}

/* The emptiest of some heap regions; NO_REGION if none can be emptied. */
static uint32
choose_region(PgCacheStore *store, PgCachePartition *part)
{
	uint32		chosen = NO_REGION;
	uint32		number = part->heap_regions;

	if (part->nheap_regions < 2)
		return NO_REGION;
	for (int i = 0; number != NO_REGION &&
		 (i < REGION_LOOKS || chosen == NO_REGION); i++)
	{
		PgCacheRegion *region = &store->regions[number];

		if (region->busy == 0 &&
			(chosen == NO_REGION || region->used < store->regions[chosen].used))
			chosen = number;
		number = region->next;
	}
	return chosen;
}

bool
pgcache_evacuate_region(PgCacheStore *store, PgCachePartition *part)
{
	uint32		number;
	PgCacheOffset offset;
	PgCacheOffset end;

	Assert(!part->evacuating);
	(void) pgcache_heap_free_spare(store, part);
	number = choose_region(store, part);
	if (number == NO_REGION)
		return false;
	/* What empties meanwhile is where the region's blocks shall go. */
	part->evacuating = true;
	pgcache_heap_drain(store, part, number);
	offset = region_start(store, number);
	end = offset + store->region_granules - 1;
	while (offset < end)
	{
		uint32		word = *(uint32 *) at(store, offset);

		if (word & BLOCK_FREE)
			offset += BLOCK_SIZE(word);
		else if (BLOCK_KIND(word) == BLOCK_ENTRY ?
				 !relocate_entry(store, part, offset) :
				 !relocate_extent(store, part, offset))
		{
			/* This very block may be what goes; it is looked at again. */
			if (!pgcache_make_room(store, part, CAUSE_EVICTED))
				elog(PANIC, "pg_cache: region %u holds a block of no entry", number);
		}
	}
	part->evacuating = false;
	pgcache_heap_drained(store, part, number);
	pgcache_heap_trim(store, part);
	return true;
}

bool
pgcache_steal_region(PgCacheStore *store, const PgCachePartition *thief, bool large)
{
	uint32		least = 0;
	uint64		tried[MAX_PARTITIONS / 64] = {0};

	if (thief && !large)
		least = thief->nheap_regions + thief->nindex_regions + 1;
	for (int n = 0; n < MAX_VICTIMS; n++)
	{
		PgCachePartition *victim = NULL;
		uint32		most = least;
		bool		stolen;

		for (int i = 0; i < store->nparts; i++)
		{
			PgCachePartition *part = &store->parts[i];
			uint32		has = part->nheap_regions + part->nindex_regions;

			if (part != thief && part->nheap_regions > 1 && has > most &&
				(tried[i / 64] & (UINT64CONST(1) << (i % 64))) == 0)
			{
				victim = part;
				most = has;
			}
		}
		if (victim == NULL)
			return false;
		LWLockAcquire(lock_of(store, victim), LW_EXCLUSIVE);
		stolen = pgcache_evacuate_region(store, victim);
		LWLockRelease(lock_of(store, victim));
		if (stolen)
			return true;
		/* Its regions may all be busy with a value under construction. */
		tried[victim->number / 64] |= UINT64CONST(1) << (victim->number % 64);
	}
	return false;
}
