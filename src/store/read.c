/*-------------------------------------------------------------------------
 *
 * read.c
 *	  Reading without a lock.
 *
 * The reader notes the version of the key's bucket (odd: a writer is at work),
 * copies what it needs of the entry, and looks at the version again.  If it is
 * the same, nothing in the bucket's chain was unlinked meanwhile, so the entry
 * was linked all the time, and what was copied is the entry.  If not, the copy
 * may be any bytes: nothing is believed, allocated or followed out of bounds
 * before the version has been checked.  The table's version is checked beside
 * it, since a bucket may cease to be one when the index shrinks.  A miss needs
 * more: that no bucket came to be, or ceased to be, while we looked.
 *
 * This is the protocol of st_changecount in PostgreSQL's backend_status.h.
 * After some vain tries the reader takes the partition's lock, so that a
 * writer that was suspended in the middle cannot keep it spinning.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "storage/s_lock.h"

#include "store/store_internal.h"

#define FREE_TRIES		3
#define CHAIN_GUARD		1024	/* no chain is that long */

/* Hits are counted exactly up to here, then with falling probability. */
#define EXACT_HITS		127

/* What one look at a bucket chain gave. */
typedef enum Look
{
	LOOK_FOUND,
	LOOK_ABSENT,
	LOOK_TORN					/* try again */
} Look;

/* ---- finding ------------------------------------------------------------------ */

/* Whether bytes from offset on are within the memory. */
static inline bool
in_bounds(const PgCacheStore *store, PgCacheOffset offset, Size bytes)
{
	return offset >= FIRST_OFFSET(store) && offset < store->end &&
		bytes <= ((uint64) (store->end - offset) << store->shift);
}

/*
 * Compares the entry at a location with the key, and copies its header to
 * *head.  May read garbage, but stays in bounds.
 */
static inline bool
entry_matches(const PgCacheStore *store, PgCacheOffset location,
			  const PgCacheKey *key, PgCacheEntry *head)
{
	const PgCacheEntry *entry = at(store, location);

	if (!in_bounds(store, location,
				   ENTRY_HEADER_BYTES + PGCACHE_MAX_KEY_LEN + ENTRY_MAX_FIELDS))
	{
		/* Near the end only what is needed need be there. */
		if (!in_bounds(store, location, ENTRY_HEADER_BYTES + key->len))
			return false;
	}
	memcpy(head, entry, ENTRY_HEADER_BYTES);
	return head->key_len == key->len && head->space == key->space &&
		memcmp(entry->key, key->data, key->len) == 0;
}

/* Fills ref from an entry whose header was copied to *head. */
static inline void
describe(const PgCacheStore *store, PgCacheRef *ref, PgCacheOffset location,
		 const PgCacheEntry *head)
{
	const PgCacheEntry *entry = at(store, location);
	EntryFields fields;
	char		packed[ENTRY_MAX_FIELDS];

	if (unlikely(head->flags & ENTRY_FIELDS))
	{
		Size		rest = ((uint64) (store->end - location) << store->shift) -
			ENTRY_HEADER_BYTES - head->key_len;

		memcpy(packed, entry->key + head->key_len, Min(rest, sizeof(packed)));
	}
	pgcache_entry_unpack(packed, head->flags, head->len, &fields);
	pgcache_entry_describe(store, head, &fields, &ref->meta);
	ref->location = location;
	ref->stamp = head->stamp;
	ref->accessed = head->accessed;
	ref->class = head->class;
	ref->chain = fields.chain;
	ref->inline_len = fields.inline_len;
	ref->tags_offset = ENTRY_HEADER_BYTES + head->key_len + fields.size;
	ref->value_offset = ref->tags_offset + fields.tags_len;
}

/* Looks for the key once. */
static inline Look
look(PgCacheStore *store, PgCachePartition *part, const PgCacheKey *key,
	 PgCacheRef *ref)
{
	uint64		table = pg_atomic_read_u64(&part->table);
	uint16		tag = HASH_TAG(key->hash);
	PgCacheBucket *first;
	PgCacheBucket *bucket;
	PgCacheEntry head;
	uint32		version;

	pg_read_barrier();
	first = bucket_for(store, part, TABLE_BUCKETS(table), (uint32) key->hash);
	version = pg_atomic_read_u32(&first->version);
	if (version & 1)
		return LOOK_TORN;
	pg_read_barrier();

	bucket = first;
	for (int guard = 0; guard < CHAIN_GUARD; guard++)
	{
		PgCacheOffset next;

		for (int i = 0; i < BUCKET_SLOTS; i++)
		{
			PgCacheOffset location;

			if (bucket->tag[i] != tag)
				continue;
			location = bucket->location[i];
			if (location == 0 || !entry_matches(store, location, key, &head))
				continue;
			describe(store, ref, location, &head);
			ref->part = part;
			ref->bucket = first;
			ref->holder = bucket;
			ref->slot = i;
			ref->bucket_version = version;
			ref->table_version = TABLE_VERSION(table);
			pg_read_barrier();
			if (pg_atomic_read_u32(&first->version) != version ||
				TABLE_VERSION(pg_atomic_read_u64(&part->table)) != TABLE_VERSION(table))
				return LOOK_TORN;
			return LOOK_FOUND;
		}
		next = bucket->next;
		if (likely(next == 0))
			break;
		if (!in_bounds(store, next, BUCKET_BYTES))
			return LOOK_TORN;
		bucket = at(store, next);
	}
	pg_read_barrier();
	if (pg_atomic_read_u32(&first->version) != version ||
		pg_atomic_read_u64(&part->table) != table)
		return LOOK_TORN;
	return LOOK_ABSENT;
}

static Look
look_locked(PgCacheStore *store, PgCachePartition *part, const PgCacheKey *key,
			PgCacheRef *ref)
{
	Look		result;

	LWLockAcquire(lock_of(store, part), LW_SHARED);
	result = look(store, part, key, ref);
	LWLockRelease(lock_of(store, part));
	Assert(result != LOOK_TORN);
	return result;
}

/* Removes an entry found to have expired, if its partition's lock is free. */
static void
remove_expired(PgCacheStore *store, const PgCacheRef *ref)
{
	PgCachePartition *part = ref->part;
	PgCacheSlot slot;

	if (!LWLockConditionalAcquire(lock_of(store, part), LW_EXCLUSIVE))
		return;
	if (pgcache_index_find(store, part, ref->key, &slot))
	{
		PgCacheOffset offset = slot.bucket->location[slot.slot];
		EntryFields fields;

		pgcache_entry_fields(at(store, offset), &fields);
		if (fields.expires <= ref->now)
		{
			pgcache_entry_remove(store, part, offset, &slot, CAUSE_EXPIRED);
			pgcache_index_adjust(store, part);
		}
	}
	LWLockRelease(lock_of(store, part));
}

bool
pgcache_store_find(PgCacheStore *store, const PgCacheKey *key, PgCacheRef *ref)
{
	PgCachePartition *part = partition_of(store, key->hash);
	Look		result;

	for (int i = 0;; i++)
	{
		result = look(store, part, key, ref);
		if (likely(result != LOOK_TORN))
			break;
		if (i == FREE_TRIES)
		{
			result = look_locked(store, part, key, ref);
			break;
		}
		SPIN_DELAY();
	}
	if (result != LOOK_FOUND)
		return false;
	ref->key = key;
	if (unlikely(ref->meta.seq <
				 pg_atomic_read_u64(&store->spaces[key->space].clear_seq)))
		return false;
	if (ref->meta.flags & PGCACHE_ENTRY_TTL)
	{
		ref->now = store->now();
		if (ref->meta.expires <= ref->now)
		{
			remove_expired(store, ref);
			return false;
		}
	}
	return true;
}

/* ---- copying ------------------------------------------------------------------- */

/* Copies the value; false where the extents make no sense. */
static bool
copy_value(const PgCacheStore *store, const PgCacheRef *ref, char *dst)
{
	uint32		rest = ref->meta.len - ref->inline_len;
	PgCacheOffset offset = ref->chain;

	if (unlikely(ref->inline_len > ref->meta.len ||
				 !in_bounds(store, ref->location,
							(Size) ref->value_offset + ref->inline_len)))
		return false;
	memcpy(dst, (char *) at(store, ref->location) + ref->value_offset,
		   ref->inline_len);
	dst += ref->inline_len;
	while (rest > 0)
	{
		PgCacheExtent head;

		if (!in_bounds(store, offset, EXTENT_HEADER_BYTES))
			return false;
		memcpy(&head, at(store, offset), EXTENT_HEADER_BYTES);
		if (head.len == 0 || head.len > rest ||
			!in_bounds(store, offset, EXTENT_HEADER_BYTES + (Size) head.len))
			return false;
		memcpy(dst, (char *) at(store, offset) + EXTENT_HEADER_BYTES, head.len);
		dst += head.len;
		rest -= head.len;
		offset = head.next;
	}
	return true;
}

/* Whether the entry is still linked as it was when it was found. */
static inline bool
is_unchanged(const PgCacheRef *ref)
{
	pg_read_barrier();
	return pg_atomic_read_u32(&ref->bucket->version) == ref->bucket_version &&
		TABLE_VERSION(pg_atomic_read_u64(&ref->part->table)) == ref->table_version;
}

/*
 * The bucket changed, perhaps for a neighbour's sake: finds the same entry
 * again under the lock, and copies.
 */
static bool
copy_locked(PgCacheStore *store, PgCacheRef *ref, char *dst, bool tags)
{
	PgCacheRef	again;
	bool		same;

	LWLockAcquire(lock_of(store, ref->part), LW_SHARED);
	same = look(store, ref->part, ref->key, &again) == LOOK_FOUND &&
		again.meta.version == ref->meta.version;
	if (same && tags)
		memcpy(dst, (char *) at(store, again.location) + again.tags_offset,
			   again.meta.tags_len);
	else if (same)
		same = copy_value(store, &again, dst);
	LWLockRelease(lock_of(store, ref->part));
	return same;
}

bool
pgcache_store_copy(PgCacheStore *store, PgCacheRef *ref, char *dst)
{
	if (likely(copy_value(store, ref, dst) && is_unchanged(ref)))
		return true;
	return copy_locked(store, ref, dst, false);
}

bool
pgcache_store_copy_tags(PgCacheStore *store, PgCacheRef *ref, char *dst)
{
	if (in_bounds(store, ref->location, (Size) ref->tags_offset + ref->meta.tags_len))
	{
		memcpy(dst, (char *) at(store, ref->location) + ref->tags_offset,
			   ref->meta.tags_len);
		if (is_unchanged(ref))
			return true;
	}
	return copy_locked(store, ref, dst, true);
}

/* ---- noting hits ---------------------------------------------------------------- */

/*
 * Counts a hit in the index: exactly to 127, then each step stands for twice
 * as many hits after every eight (Morris, "Counting large numbers of events in
 * small registers", CACM 1978), so that a hot entry is hardly written.
 */
static inline uint64
with_hit(const PgCacheStore *store, uint64 use, int slot)
{
	uint8		hits = USE_HITS(use, slot);

	if (!store->policy->bumps && USE_FREQ(use, slot) < 3)
		use += USE_ONE_FREQ(slot);
	if (hits < EXACT_HITS)
		use += USE_ONE_HIT(slot);
	else if (hits < PG_UINT8_MAX)
	{
		uint32		mask = (2U << ((hits - EXACT_HITS) / 8)) - 1;

		if (((uint32) pg_prng_uint32(&pg_global_prng_state) & mask) == 0)
			use += USE_ONE_HIT(slot);
	}
	return use;
}

static inline void
count_hit(const PgCacheStore *store, const PgCacheRef *ref)
{
	PgCacheBucket *bucket = ref->holder;
	uint64		use = pg_atomic_read_u64(&bucket->use);

	for (int i = 0; i < FREE_TRIES; i++)
	{
		uint64		next;

		if (!USE_IS_MARKED(use) || bucket->location[ref->slot] != ref->location)
			return;
		next = with_hit(store, use, ref->slot);
		if (next == use || pg_atomic_compare_exchange_u64(&bucket->use, &use, next))
			return;
	}
}

uint64
pgcache_decode_hits(uint8 hits)
{
	uint64		n = Min(hits, EXACT_HITS);

	for (int i = EXACT_HITS; i < hits; i++)
		n += UINT64CONST(2) << ((i - EXACT_HITS) / 8);
	return n;
}

uint64
pgcache_store_hits(const PgCacheRef *ref)
{
	return pgcache_decode_hits(USE_HITS(pg_atomic_read_u64(&ref->holder->use),
										ref->slot));
}

/* Whether so much was stamped since that the entry must move to the head. */
static inline bool
wants_bump(const PgCacheStore *store, const PgCacheRef *ref)
{
	const PgCacheClass *class = &ref->part->classes[ref->class];
	uint32		age;

	if (!store->policy->bumps || ref->class >= MAX_CLASSES)
		return false;
	age = pgcache_class_clock(store, ref->part, class) - ref->stamp;
	return (uint64) age * 100 >
		(uint64) class->queue[QUEUE_SMALL].count * store->tuning.lru_bump;
}

/*
 * Writes what a hit changes in the entry itself.  Waits for the lock only if
 * that must not be lost.
 */
static void
write_hit(PgCacheStore *store, PgCacheRef *ref, uint32 seconds, bool bump)
{
	PgCachePartition *part = ref->part;
	bool		sliding = (ref->meta.flags & PGCACHE_ENTRY_SLIDING) != 0;
	PgCacheSlot slot;
	PgCacheEntry *entry;
	PgCacheOffset offset;

	if (sliding || (bump && store->tuning.lru_bump == 0))
		LWLockAcquire(lock_of(store, part), LW_EXCLUSIVE);
	else if (!LWLockConditionalAcquire(lock_of(store, part), LW_EXCLUSIVE))
		return;

	if (pgcache_index_find(store, part, ref->key, &slot))
	{
		offset = slot.bucket->location[slot.slot];
		entry = at(store, offset);
		if (entry->version == ref->meta.version)
		{
			entry->accessed = Max(entry->accessed, seconds);
			if (bump && part->classes[entry->class].queue[QUEUE_SMALL].head != offset)
			{
				pgcache_queue_unlink(store, part, offset);
				pgcache_queue_push(store, part, offset, QUEUE_SMALL);
			}
			/* A touch may have made it another kind meanwhile. */
			if (sliding && (entry->flags & PGCACHE_ENTRY_SLIDING))
			{
				EntryFields fields;

				pgcache_entry_fields(entry, &fields);
				pgcache_entry_set_expires(store, part, &slot,
										  Min(ref->now + fields.slide,
											  fields.slide_cap),
										  ref->now);
			}
		}
	}
	LWLockRelease(lock_of(store, part));
}

void
pgcache_store_hit(PgCacheStore *store, PgCacheRef *ref, TimestampTz statement)
{
	bool		bump;

	count_hit(store, ref);
	if (unlikely(store->memo_statement != statement))
	{
		store->memo_statement = statement;
		store->memo_seconds = seconds_of(store, statement);
	}
	bump = wants_bump(store, ref);
	if (unlikely(bump || store->memo_seconds > ref->accessed ||
				 (ref->meta.flags & PGCACHE_ENTRY_SLIDING)))
		write_hit(store, ref, store->memo_seconds, bump);
}

/* ---- prefetching ------------------------------------------------------------------ */

void
pgcache_store_prefetch_bucket(PgCacheStore *store, const PgCacheKey *key)
{
	PgCachePartition *part = partition_of(store, key->hash);
	uint64		table = pg_atomic_read_u64(&part->table);

	pg_read_barrier();
	__builtin_prefetch(bucket_for(store, part, TABLE_BUCKETS(table),
								  (uint32) key->hash));
}

void
pgcache_store_prefetch_entry(PgCacheStore *store, const PgCacheKey *key)
{
	PgCachePartition *part = partition_of(store, key->hash);
	uint64		table = pg_atomic_read_u64(&part->table);
	uint16		tag = HASH_TAG(key->hash);
	PgCacheBucket *bucket;

	pg_read_barrier();
	bucket = bucket_for(store, part, TABLE_BUCKETS(table), (uint32) key->hash);
	for (int i = 0; i < BUCKET_SLOTS; i++)
	{
		PgCacheOffset location = bucket->location[i];

		if (bucket->tag[i] == tag && in_bounds(store, location, 2 * PG_CACHE_LINE_SIZE))
		{
			const char *entry = at(store, location);

			__builtin_prefetch(entry);
			__builtin_prefetch(entry + 64);
			__builtin_prefetch(entry + 128);
		}
	}
	if (bucket->next != 0 && in_bounds(store, bucket->next, BUCKET_BYTES))
		__builtin_prefetch(at(store, bucket->next));
}
