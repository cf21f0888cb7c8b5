/*-------------------------------------------------------------------------
 *
 * write.c
 *	  Storing and deleting entries.
 *
 * A put first builds the new entry's blocks, linked nowhere, then puts it in
 * the old one's place by a store to the bucket, so that readers find one or the
 * other and never neither.  A large value is copied in pieces, the lock being
 * released in between: nobody waits for a hundred megabytes.
 *
 * Locking: takes the partition's lock; see evict.c for what it calls while it
 * holds none.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shmem/debug_point.h"
#include "store/store_internal.h"

/* Bytes copied in one hold of the lock. */
#define HOLD_BYTES		(256 * 1024)

/* Regions that one put moves at the most for balance's sake. */
#define MAX_STEALS		2

/* Bytes that an entry may weigh more than its parts, by rounding and chaining. */
#define QUOTA_SLACK		64

/* And when its own partition has nothing but values under construction. */
#define MAX_LAST_STEALS	32

/* An entry under construction. */
typedef struct Build
{
	const PgCacheItem *item;
	uint32		flags;
	EntryFields fields;
	uint32		head_len;		/* header, key, fields, deps and tags */
	bool		yields;			/* not stored, and what is there stays */
	PgCacheOffset entry;		/* 0: no block yet */
	PgCacheOffset last;			/* the last extent, or 0 */
	uint32		placed;			/* bytes of the value that have their place */
	uint32		max_regions;	/* as many may be had from other partitions */
	uint32		limit;			/* regions that may be in use, in all */
	bool		large;			/* more than a region */
	int			steals;			/* that may still be tried */
	int			last_steals;	/* likewise, when nothing here can go */
} Build;

typedef enum BuildResult
{
	BUILD_DONE,
	BUILD_MORE,					/* release the lock for a moment */
	BUILD_STEAL,				/* get a region from another partition */
	BUILD_FAIL					/* no room */
} BuildResult;

/* ---- building ------------------------------------------------------------------ */

static uint32
head_len_of(const PgCacheItem *item, uint32 flags, EntryFields *fields)
{
	char		packed[ENTRY_MAX_FIELDS];

	if (flags & ENTRY_FIELDS)
		fields->size = pgcache_entry_pack(packed, flags, fields);
	return ENTRY_HEADER_BYTES + item->key.len + fields->size +
		fields_deps_len(fields) + item->tags_len;
}

static void
begin_build(PgCacheStore *store, Build *b, const PgCacheItem *item)
{
	uint32		limit = pgcache_pool_limit(store);
	uint32		fair = limit >> store->part_bits;
	uint32		needed = ((Size) item->len + item->len / 64) >>
	(store->region_shift + store->shift);
	int64		owed;

	memset(b, 0, sizeof(*b));
	b->item = item;
	b->limit = limit;
	b->flags = item->flags;
	b->fields.expires = item->expires;
	b->fields.slide = item->slide;
	b->fields.slide_cap = item->slide_cap;
	b->fields.typid = item->typid;
	b->fields.fingerprint = item->fingerprint;
	b->fields.raw_len = item->raw_len;
	b->fields.priority = item->priority;
	b->fields.tags_len = item->tags_len;
	b->fields.ntags = item->ntags;
	b->fields.writer = item->writer;
	if (item->flags & PGCACHE_ENTRY_DEPS)
	{
		Assert(item->nstamps + item->ntables <= PGCACHE_MAX_DEPS);
		b->fields.nstamps = item->nstamps;
		b->fields.ntables = item->ntables;
	}
	b->head_len = head_len_of(item, b->flags, &b->fields);
	b->max_regions = fair + needed;
	b->large = needed > 0;
	if (b->large)
		b->max_regions += 2;
	b->steals = MAX_STEALS + 2 * needed;
	b->last_steals = MAX_LAST_STEALS + 2 * needed;

	/* After the limit was lowered the pool owes some before it gives any. */
	owed = Max((int64) pg_atomic_read_u32(&store->shared->pool.in_use) - limit, 0);
	if (b->large)
		b->steals += owed;
	b->last_steals += owed;
}

/* All that is here is busy; others have what can be evicted. */
static BuildResult
try_last_steal(Build *b)
{
	b->large = true;
	return b->last_steals-- > 0 ? BUILD_STEAL : BUILD_FAIL;
}

/*
 * A block for the next part, in this order: a hole, a new region, what another
 * partition has too much of, what is evicted here.
 */
static BuildResult
find_block(PgCacheStore *store, PgCachePartition *part, Build *b,
		   uint32 want, uint32 least, PgCacheOffset *block)
{
	for (;;)
	{
		*block = pgcache_heap_alloc(store, part, want, least);
		if (*block != 0)
			return BUILD_DONE;
		if (pgcache_heap_grow(store, part))
			continue;
		if (b->steals > 0 &&
			part->nheap_regions + part->nindex_regions < b->max_regions)
			return BUILD_STEAL;
		if (pgcache_make_room(store, part, CAUSE_EVICTED))
			continue;

		return try_last_steal(b);
	}
}

static Size
block_bytes(const PgCacheStore *store, PgCacheOffset block)
{
	return (Size) BLOCK_SIZE(*(uint32 *) at(store, block)) << store->shift;
}

/* Gets the entry's own block, and puts as much of the value there as fits. */
static BuildResult
place_entry(PgCacheStore *store, PgCachePartition *part, Build *b)
{
	const PgCacheItem *item = b->item;
	Size		chained_len = b->head_len + sizeof(b->fields.chain) +
	sizeof(b->fields.inline_len);
	Size		want = (Size) b->head_len + item->len;
	Size		least = want;
	BuildResult result;
	Size		size;

	if (want > MAX_BLOCK_BYTES)
		want = Max(MAX_BLOCK_BYTES, chained_len + MIN_CUT_BYTES);
	if (want >= 2 * MIN_CUT_BYTES)
		least = Max(MIN_CUT_BYTES, chained_len + 64);
	else
		least = want;
	result = find_block(store, part, b, to_granules(store, want),
						to_granules(store, Min(least, want)), &b->entry);
	if (result != BUILD_DONE)
		return result;

	size = block_bytes(store, b->entry);
	if (size >= (Size) b->head_len + item->len)
		b->fields.inline_len = item->len;
	else
	{
		b->flags |= ENTRY_CHAINED;
		b->head_len = chained_len;
		b->fields.inline_len = size - chained_len;
	}
	memcpy((char *) at(store, b->entry) + b->head_len, item->value,
		   b->fields.inline_len);
	b->placed = b->fields.inline_len;
	return BUILD_DONE;
}

/* Gets a further extent and fills it. */
static BuildResult
place_extent(PgCacheStore *store, PgCachePartition *part, Build *b)
{
	Size		rest = b->item->len - b->placed;
	Size		want = Min(rest + EXTENT_HEADER_BYTES, MAX_BLOCK_BYTES);
	PgCacheOffset offset;
	PgCacheExtent *extent;
	BuildResult result;

	result = find_block(store, part, b, to_granules(store, want),
						to_granules(store, Min(want, MIN_CUT_BYTES)), &offset);
	if (result != BUILD_DONE)
		return result;
	extent = at(store, offset);
	extent->next = 0;
	extent->prev = b->last ? b->last : b->entry;
	extent->owner = b->entry;
	extent->len = Min(rest, block_bytes(store, offset) - EXTENT_HEADER_BYTES);
	memcpy((char *) extent + EXTENT_HEADER_BYTES, b->item->value + b->placed,
		   extent->len);
	if (b->last)
		((PgCacheExtent *) at(store, b->last))->next = offset;
	else
		b->fields.chain = offset;
	b->last = offset;
	b->placed += extent->len;
	return BUILD_DONE;
}

static BuildResult
build(PgCacheStore *store, PgCachePartition *part, Build *b)
{
	uint32		placed = b->placed;
	BuildResult result;

	if (b->entry == 0)
	{
		result = place_entry(store, part, b);
		if (result != BUILD_DONE)
			return result;
	}
	while (b->placed < b->item->len)
	{
		if (b->placed - placed >= HOLD_BYTES)
			return BUILD_MORE;
		result = place_extent(store, part, b);
		if (result != BUILD_DONE)
			return result;
	}
	return BUILD_DONE;
}

/* Frees what was built and not linked. */
static void
discard(PgCacheStore *store, PgCachePartition *part, Build *b)
{
	if (b->entry == 0)
		return;
	pgcache_chain_free(store, part, b->fields.chain);
	pgcache_heap_free(store, part, b->entry);
	b->entry = 0;
}

/* ---- linking ------------------------------------------------------------------- */

/* Writes all of the entry but the value, and makes its blocks lasting. */
static PgCacheEntry *
finish(PgCacheStore *store, PgCachePartition *part, Build *b)
{
	const PgCacheItem *item = b->item;
	PgCacheEntry *entry = at(store, b->entry);
	int64		age = item->created - store->shared->epoch;
	PgCacheEntry head = {
		.len = item->len,
		.accessed = seconds_of(store, item->created),
		.version = ++part->version,
		.flags = b->flags,
		.created = age > 0 ? age / 1000 : 0,
		.class = pgcache_class_for(store, part, item->key.space, item->priority),
		.space = item->key.space,
		.seq = item->seq,
		.key_len = item->key.len
	};
	char	   *p;
	PgCacheOffset next;

	memcpy((char *) entry + sizeof(head.block), (char *) &head + sizeof(head.block),
		   ENTRY_HEADER_BYTES - sizeof(head.block));
	memcpy(entry->key, item->key.data, item->key.len);
	p = entry->key + item->key.len;
	p += pgcache_entry_pack(p, b->flags, &b->fields);
	if (fields_deps_len(&b->fields) > 0)
		memcpy(p, item->deps, fields_deps_len(&b->fields));
	p += fields_deps_len(&b->fields);
	if (item->tags_len > 0)
		memcpy(p, item->tags, item->tags_len);
	Assert(p + item->tags_len == (char *) entry + b->head_len);

	pgcache_heap_settle(store, b->entry, BLOCK_ENTRY);
	if (b->flags & ENTRY_CHAINED)
	{
		for (next = b->fields.chain; next != 0;
			 next = ((PgCacheExtent *) at(store, next))->next)
			pgcache_heap_settle(store, next, BLOCK_EXTENT);
	}
	return entry;
}

/* Takes an entry, which another replaced in the index, out of the rest. */
static void
unlink_replaced(PgCacheStore *store, PgCachePartition *part, PgCacheOffset offset)
{
	pgcache_queue_unlink(store, part, offset);
	if (((PgCacheEntry *) at(store, offset))->flags & ENTRY_CHAINED)
		pgcache_entry_free_blocks(store, part, offset);
	else
		pgcache_heap_retire(store, part, offset);
}

/* Puts the finished entry into the index, its queue and the accounts. */
static bool
link_entry(PgCacheStore *store, PgCachePartition *part, Build *b)
{
	const PgCacheItem *item = b->item;
	PgCacheOffset old = 0;
	PgCacheEntry *entry;
	PgCacheSlot slot;
	uint16		expiry = 0;

	PGCACHE_DEBUG_SPIN("put-before-link");
	if (pgcache_index_find(store, part, &item->key, &slot))
		old = slot.bucket->location[slot.slot];
	/* The index may need room of its own, and a busy block stays put. */
	else if (!pgcache_index_reserve(store, part, item->key.hash))
		return false;

	/* From here on nothing is swept or evicted. */
	entry = finish(store, part, b);
	if (b->flags & PGCACHE_ENTRY_TTL)
		expiry = pgcache_expiry_enter(store, part, b->fields.expires, store->now());
	if (old != 0)
	{
		/* S3-FIFO: what was in the main queue comes there again. */
		entry->flags |= ((PgCacheEntry *) at(store, old))->flags & ENTRY_MAIN;
		pgcache_index_replace(store, part, &slot, b->entry, expiry, false);
		pgcache_entry_account(store, part, entry, at(store, old));
		unlink_replaced(store, part, old);
	}
	else
	{
		pgcache_index_insert(store, part, b->entry, item->key.hash, expiry);
		pgcache_entry_account(store, part, entry, NULL);
	}
	store->policy->insert(store, part, b->entry, item->key.hash);
	if (unlikely(pgcache_key_is_sampled(item->key.hash)))
		pgcache_ghost_forget(store, part, item->key.space, item->key.hash);
	if (item->stored_version)
		*item->stored_version = entry->version;
	PGCACHE_DEBUG_SPIN("put-after-link");
	return true;
}

/* ---- put ------------------------------------------------------------------------ */

/* Whether an entry may be served: neither cleared nor expired. */
static bool
is_live(PgCacheStore *store, const PgCacheEntry *entry)
{
	EntryFields fields;

	if (entry_is_dead(store, entry))
		return false;
	if ((entry->flags & PGCACHE_ENTRY_TTL) == 0)
		return true;
	pgcache_entry_fields(entry, &fields);
	return fields.expires > store->now();
}

PgCacheOffset
pgcache_find_live(PgCacheStore *store, PgCachePartition *part,
				  const PgCacheKey *key, PgCacheSlot *slot)
{
	PgCacheOffset offset;

	if (!pgcache_index_find(store, part, key, slot))
		return 0;
	offset = slot->bucket->location[slot->slot];
	return is_live(store, at(store, offset)) ? offset : 0;
}

static bool
condition_holds(PgCacheStore *store, PgCachePartition *part,
				const PgCacheKey *key, PgCachePutMode mode, uint64 version)
{
	PgCacheSlot slot;
	PgCacheOffset offset;

	if (mode == PGCACHE_PUT_SET)
		return true;
	offset = pgcache_find_live(store, part, key, &slot);
	switch (mode)
	{
		case PGCACHE_PUT_ADD:
			return offset == 0;
		case PGCACHE_PUT_REPLACE:
			return offset != 0;
		default:
			return offset != 0 &&
				((PgCacheEntry *) at(store, offset))->version == version;
	}
}

/* Removes whatever the key has. */
static void
remove_key(PgCacheStore *store, PgCachePartition *part, const PgCacheKey *key,
		   PgCacheCause cause)
{
	PgCacheSlot slot;

	if (pgcache_index_find(store, part, key, &slot))
		pgcache_entry_remove(store, part, slot.bucket->location[slot.slot],
							 &slot, cause);
}

/* What the item's owner says, who is shown what it would replace. */
static PgCachePutResult
ask_owner(PgCacheStore *store, PgCachePartition *part, Build *b)
{
	const PgCacheItem *item = b->item;
	PgCacheMeta present;
	PgCacheSlot slot;
	PgCacheOffset offset = pgcache_find_live(store, part, &item->key, &slot);

	if (offset != 0)
	{
		EntryFields fields;

		pgcache_entry_fields(at(store, offset), &fields);
		entry_describe(store, at(store, offset), &fields, &present);
	}
	switch (item->admit(item->admit_arg, offset != 0 ? &present : NULL))
	{
		case PGCACHE_ADMIT:
			return PGCACHE_STORED;
		case PGCACHE_YIELD:
			b->yields = true;
			return PGCACHE_STALE;
		case PGCACHE_POSTPONE:
			return PGCACHE_NOT_STORED;
		default:
			return PGCACHE_STALE;
	}
}

/*
 * PGCACHE_STORED if nothing speaks against storing the item.  Asked in each hold
 * of the lock, so that it holds when the item is linked, and a large value is
 * not built in vain.
 */
static PgCachePutResult
admit(PgCacheStore *store, PgCachePartition *part, Build *b)
{
	const PgCacheItem *item = b->item;
	PgCacheStoreSpace *space = &store->spaces[item->key.space];
	PgCachePutResult result;

	if (item->seq < pg_atomic_read_u64(&space->clear_seq))
		return PGCACHE_STALE;
	if (item->admit && (result = ask_owner(store, part, b)) != PGCACHE_STORED)
		return result;
	/* What never fits must not flush everything else first. */
	if (space->has_quota && space->max_bytes > 0 &&
		(int64) b->head_len + item->len + QUOTA_SLACK > space->max_bytes)
		return PGCACHE_DROPPED;
	if (item->len > (Size) b->limit * store->region_bytes)
		return PGCACHE_DROPPED;
	return PGCACHE_STORED;
}

/* Gives regions back while more are in use than the limit allows. */
static void
heed_limit(PgCacheStore *store)
{
	for (int i = 0; i < MAX_STEALS &&
		 pg_atomic_read_u32(&store->shared->pool.in_use) > pgcache_pool_limit(store); i++)
	{
		if (!pgcache_steal_region(store, NULL, false))
			break;
	}
}

PgCachePutResult
pgcache_store_put(PgCacheStore *store, const PgCacheItem *item,
				  PgCachePutMode mode, uint64 version)
{
	PgCachePartition *part = partition_of(store, item->key.hash);
	PgCachePutResult result;
	Build		b;

	begin_build(store, &b, item);
	for (;;)
	{
		BuildResult built;

		LWLockAcquire(lock_of(store, part), LW_EXCLUSIVE);
		result = PGCACHE_NOT_STORED;
		if (!condition_holds(store, part, &item->key, mode, version))
			break;
		result = admit(store, part, &b);
		if (result != PGCACHE_STORED)
			break;
		built = build(store, part, &b);

		/*
		 * The index may find no room: regions are busy, or the pool owes
		 * some.
		 */
		if (built == BUILD_DONE && !link_entry(store, part, &b))
			built = try_last_steal(&b);
		if (built == BUILD_FAIL)
			result = PGCACHE_DROPPED;
		if (built == BUILD_FAIL || built == BUILD_DONE)
			break;
		LWLockRelease(lock_of(store, part));
		if (built == BUILD_STEAL)
		{
			PGCACHE_DEBUG_SPIN("put-before-steal");
			b.steals = pgcache_steal_region(store, part, b.large) ? b.steals - 1 : 0;
		}
	}
	if (result != PGCACHE_STORED)
		discard(store, part, &b);
	if (result == PGCACHE_DROPPED || (result == PGCACHE_STALE && !b.yields))
		remove_key(store, part, &item->key, CAUSE_REPLACED);
	pgcache_index_adjust(store, part);
	LWLockRelease(lock_of(store, part));

	if (unlikely(store->spaces[item->key.space].has_quota))
		pgcache_enforce_quota(store, item->key.space);
	heed_limit(store);
	return result;
}

/* Deletes the entry of key if it is of that version; 0: of any. */
static bool
delete_entry(PgCacheStore *store, const PgCacheKey *key, uint64 version)
{
	PgCachePartition *part = partition_of(store, key->hash);
	PgCacheOffset offset;
	PgCacheSlot slot;
	bool		wanted = true;

	LWLockAcquire(lock_of(store, part), LW_EXCLUSIVE);
	offset = pgcache_find_live(store, part, key, &slot);
	if (version != 0)
		wanted = offset != 0 &&
			((PgCacheEntry *) at(store, offset))->version == version;
	if (wanted)
		remove_key(store, part, key, offset != 0 ? CAUSE_DELETED : CAUSE_EXPIRED);
	if (wanted && pgcache_key_is_sampled(key->hash))
		pgcache_ghost_forget(store, part, key->space, key->hash);
	pgcache_index_adjust(store, part);
	LWLockRelease(lock_of(store, part));
	return wanted && offset != 0;
}

bool
pgcache_store_delete(PgCacheStore *store, const PgCacheKey *key)
{
	return delete_entry(store, key, 0);
}

bool
pgcache_store_delete_version(PgCacheStore *store, const PgCacheKey *key,
							 uint64 version)
{
	return delete_entry(store, key, version);
}
