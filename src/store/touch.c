/*-------------------------------------------------------------------------
 *
 * touch.c
 *	  Giving entries a new expiry.
 *
 * Where the entry's fields stay the same in kind they are written in place, under
 * a changed version of the bucket.  Else a copy of the entry's block takes its
 * place, and takes over the extents.
 *
 * Locking: the partition's lock, held exclusively; pgcache_store_touch takes it.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

void
pgcache_entry_set_expires(PgCacheStore *store, PgCachePartition *part,
						  const PgCacheSlot *slot, TimestampTz expires,
						  TimestampTz now)
{
	PgCacheEntry *entry = at(store, slot->bucket->location[slot->slot]);

	Assert(entry->flags & PGCACHE_ENTRY_TTL);
	begin_change(slot->first);
	/* expires is the first of the optional fields */
	memcpy(entry->key + entry->key_len, &expires, sizeof(expires));
	slot->bucket->expiry[slot->slot] =
		pgcache_expiry_enter(store, part, expires, now);
	end_change(slot->first);
}

/*
 * Makes a copy of an entry with other fields, in a block of its own that takes
 * over the extents, and puts it in the entry's place.  False where there is no
 * room or the entry went for it.
 */
static bool
change_fields(PgCacheStore *store, PgCachePartition *part, const PgCacheKey *key,
			  uint32 flags, const EntryFields *fields)
{
	char		packed[ENTRY_MAX_FIELDS];
	uint32		packed_len = pgcache_entry_pack(packed, flags, fields);
	uint32		rest = fields_deps_len(fields) + fields->tags_len + fields->inline_len;
	uint32		want = to_granules(store, ENTRY_HEADER_BYTES + key->len + packed_len + rest);
	PgCacheOffset to;
	PgCacheOffset from;
	PgCacheOffset next;
	PgCacheEntry *entry;
	PgCacheEntry *copy;
	PgCacheSlot slot;
	uint16		expiry;

	while ((to = pgcache_heap_alloc(store, part, want, want)) == 0)
		if (!pgcache_heap_grow(store, part) && !pgcache_make_room(store, part, CAUSE_EVICTED))
			return false;
	if (!pgcache_index_find(store, part, key, &slot))
	{
		pgcache_heap_free(store, part, to);
		return false;
	}
	from = slot.bucket->location[slot.slot];
	entry = at(store, from);
	copy = at(store, to);
	memcpy((char *) copy + sizeof(copy->block), (char *) entry + sizeof(entry->block),
		   ENTRY_HEADER_BYTES + key->len - sizeof(copy->block));
	/* Making room may have moved the entry to the main queue. */
	copy->flags = (flags & ~ENTRY_MAIN) | (entry->flags & ENTRY_MAIN);
	memcpy(copy->key + key->len, packed, packed_len);
	memcpy(copy->key + key->len + packed_len,
		   entry->key + key->len + fields->size, rest);
	pgcache_heap_settle(store, to, BLOCK_ENTRY);

	expiry = pgcache_expiry_enter(store, part, fields->expires, store->now());
	pgcache_entry_replace_block(store, part, &slot, to, expiry);
	for (next = fields->chain; next != 0;)
	{
		PgCacheExtent *extent = at(store, next);

		if (extent->prev == from)
			extent->prev = to;
		extent->owner = to;
		next = extent->next;
	}
	part->nttl += ((flags & PGCACHE_ENTRY_TTL) != 0) -
		((entry->flags & PGCACHE_ENTRY_TTL) != 0);
	pgcache_heap_free(store, part, from);
	return true;
}

/* Writes an entry's fields anew where their layout is the same. */
static void
rewrite_fields(PgCacheStore *store, PgCachePartition *part,
			   const PgCacheSlot *slot, const EntryFields *fields)
{
	PgCacheEntry *entry = at(store, slot->bucket->location[slot->slot]);

	begin_change(slot->first);
	pgcache_entry_pack(entry->key + entry->key_len, entry->flags, fields);
	slot->bucket->expiry[slot->slot] =
		pgcache_expiry_enter(store, part, fields->expires, store->now());
	end_change(slot->first);
}

bool
pgcache_store_touch(PgCacheStore *store, const PgCacheKey *key, uint64 version,
					TimestampTz expires, int64 slide, TimestampTz slide_cap)
{
	PgCachePartition *part = partition_of(store, key->hash);
	PgCacheOffset offset;
	PgCacheSlot slot;
	bool		touched = false;

	LWLockAcquire(lock_of(store, part), LW_EXCLUSIVE);
	offset = pgcache_find_live(store, part, key, &slot);
	if (offset != 0 &&
		(version == 0 || ((PgCacheEntry *) at(store, offset))->version == version))
	{
		PgCacheEntry *entry = at(store, offset);
		int			queue = (entry->flags & ENTRY_MAIN) ? QUEUE_MAIN : QUEUE_SMALL;
		uint32		flags = entry->flags & ~(PGCACHE_ENTRY_TTL | PGCACHE_ENTRY_SLIDING);
		EntryFields fields;

		pgcache_entry_fields(entry, &fields);
		if (expires != DT_NOEND)
			flags |= PGCACHE_ENTRY_TTL;
		if (expires != DT_NOEND && slide > 0)
			flags |= PGCACHE_ENTRY_SLIDING;
		fields.expires = expires;
		fields.slide = slide;
		fields.slide_cap = slide_cap;
		if (flags == entry->flags)
		{
			rewrite_fields(store, part, &slot, &fields);
			touched = true;
		}
		else
		{
			/* It must not itself be what makes room for it. */
			pgcache_queue_unlink(store, part, offset);
			pgcache_queue_push(store, part, offset, queue);
			touched = change_fields(store, part, key, flags, &fields);
			pgcache_index_adjust(store, part);
		}
	}
	LWLockRelease(lock_of(store, part));
	return touched;
}
