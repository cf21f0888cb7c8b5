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

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

/* The slots whose tag is that one, as bits. */
static inline uint32
match_tags(const PgCacheBucket *bucket, uint16 tag)
{
#ifdef __SSE2__
	/* Reads the first two expiries, too. */
	__m128i		tags = _mm_loadu_si128((const __m128i *) bucket->tag);
	uint32		mask = _mm_movemask_epi8(_mm_packs_epi16(_mm_cmpeq_epi16(tags, _mm_set1_epi16(tag)),
														 _mm_setzero_si128()));

	return mask & ((1 << BUCKET_SLOTS) - 1);
#else
	uint32		mask = 0;

	for (int i = 0; i < BUCKET_SLOTS; i++)
		mask |= (uint32) (bucket->tag[i] == tag) << i;
	return mask;
#endif
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

	/*
	 * With a first field: behind every entry there is at least a region's
	 * end.
	 */
	if (unlikely(!in_bounds(store, location,
							ENTRY_HEADER_BYTES + (Size) key->len + sizeof(uint64))))
		return false;
	memcpy(head, entry, ENTRY_HEADER_BYTES);
	return head->key_len == key->len && head->space == key->space &&
		memcmp(entry->key, key->data, key->len) == 0;
}

/* Fills ref with the optional fields of an entry whose header is *head. */
static pg_noinline void
describe_fields(const PgCacheStore *store, PgCacheRef *ref,
				PgCacheOffset location, const PgCacheEntry *head)
{
	const PgCacheEntry *entry = at(store, location);
	Size		rest = ((uint64) (store->end - location) << store->shift) -
	ENTRY_HEADER_BYTES - head->key_len;
	EntryFields fields;
	char		packed[ENTRY_MAX_FIELDS];

	memset(packed, 0, sizeof(packed));
	memcpy(packed, entry->key + head->key_len, Min(rest, sizeof(packed)));
	pgcache_entry_unpack(packed, head->flags, head->len, &fields);
	if (head->flags & PGCACHE_ENTRY_DEPS)
	{
		/* Of garbage, none rather than too many. */
		if (unlikely(fields.nstamps + fields.ntables > PGCACHE_MAX_DEPS ||
					 fields.size + fields_deps_len(&fields) > rest))
			fields.nstamps = fields.ntables = 0;
		pgcache_entry_deps(entry, &fields, ref->deps);
	}
	entry_describe(store, head, &fields, &ref->meta);
	ref->chain = fields.chain;
	ref->inline_len = fields.inline_len;
	ref->tags_offset += fields.size + fields_deps_len(&fields);
	ref->value_offset = ref->tags_offset + fields.tags_len;
}

/* Fills ref from an entry whose header was copied to *head. */
static inline void
describe(const PgCacheStore *store, PgCacheRef *ref, PgCacheOffset location,
		 const PgCacheEntry *head)
{
	ref->location = location;
	ref->stamp = head->stamp;
	ref->class = head->class;
	ref->tags_offset = ENTRY_HEADER_BYTES + head->key_len;
	if (unlikely(head->flags & ENTRY_FIELDS & ~PGCACHE_ENTRY_WRITER))
		describe_fields(store, ref, location, head);
	else
	{
		EntryFields fields = {.expires = DT_NOEND,.raw_len = head->len};

		/* Without a TTL the writer comes first. */
		if (head->flags & PGCACHE_ENTRY_WRITER)
		{
			memcpy(&fields.writer, (char *) at(store, location) + ref->tags_offset,
				   sizeof(fields.writer));
			ref->tags_offset += sizeof(fields.writer);
		}
		entry_describe(store, head, &fields, &ref->meta);
		ref->chain = 0;
		ref->inline_len = head->len;
		ref->value_offset = ref->tags_offset;
	}
}

/* Looks for the key once. */
static pg_attribute_always_inline Look
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
	if (unlikely(version & 1))
		return LOOK_TORN;
	pg_read_barrier();

	bucket = first;
	for (int guard = 0; guard < CHAIN_GUARD; guard++)
	{
		PgCacheOffset next;

		for (uint32 slots = match_tags(bucket, tag); slots != 0; slots &= slots - 1)
		{
			int			i = pg_rightmost_one_pos32(slots);
			PgCacheOffset location = bucket->location[i];

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
			if (unlikely(pg_atomic_read_u32(&first->version) != version ||
						 TABLE_VERSION(pg_atomic_read_u64(&part->table)) != TABLE_VERSION(table)))
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
	if (pg_atomic_read_u64(&part->table) != table)
		return LOOK_TORN;
	/* In this order: writers change the chain, then the table. */
	pg_read_barrier();
	if (pg_atomic_read_u32(&first->version) != version)
		return LOOK_TORN;
	return LOOK_ABSENT;
}

static pg_noinline Look
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

/*
 * Copies what of the value is in extents; false where they make no sense.  Where
 * the first is, the entry said while it was linked; what follows may be garbage.
 */
static bool
copy_extents(const PgCacheStore *store, const PgCacheRef *ref, char *dst)
{
	uint32		rest = ref->meta.len - ref->inline_len;
	PgCacheOffset offset = ref->chain;

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

/*
 * Copies the value.  Its place was read while the entry was linked, so it is in
 * bounds; whether its bytes are still the value, the caller finds out.
 */
static inline bool
copy_value(const PgCacheStore *store, const PgCacheRef *ref, char *dst)
{
	memcpy(dst, (char *) at(store, ref->location) + ref->value_offset,
		   ref->inline_len);
	return likely(ref->chain == 0) ||
		copy_extents(store, ref, dst + ref->inline_len);
}

/* Whether the entry is still linked as it was when it was found. */
static inline bool
is_unchanged(const PgCacheRef *ref)
{
	pg_read_barrier();
	return pg_atomic_read_u32(&ref->bucket->version) == ref->bucket_version &&
		TABLE_VERSION(pg_atomic_read_u64(&ref->part->table)) == ref->table_version;
}

/* Copies what an entry has, its value or its tags. */
static inline bool
copy_part(const PgCacheStore *store, const PgCacheRef *ref, char *dst, bool tags)
{
	if (!tags)
		return copy_value(store, ref, dst);
	memcpy(dst, (char *) at(store, ref->location) + ref->tags_offset,
		   ref->meta.tags_len);
	return true;
}

/*
 * The bucket changed, perhaps for a neighbour's sake: finds the same entry
 * again, and copies; the last time under the lock.
 */
static pg_noinline bool
copy_again(PgCacheStore *store, PgCacheRef *ref, char *dst, bool tags)
{
	PgCacheRef	again;
	bool		same = true;

	for (int i = 0; i < FREE_TRIES; i++)
	{
		Look		result = look(store, ref->part, ref->key, &again);

		if (result == LOOK_TORN)
			continue;
		if (result == LOOK_ABSENT || again.meta.version != ref->meta.version)
			return false;
		if (copy_part(store, &again, dst, tags) && is_unchanged(&again))
			return true;
	}
	LWLockAcquire(lock_of(store, ref->part), LW_SHARED);
	same = look(store, ref->part, ref->key, &again) == LOOK_FOUND &&
		again.meta.version == ref->meta.version &&
		copy_part(store, &again, dst, tags);
	LWLockRelease(lock_of(store, ref->part));
	return same;
}

bool
pgcache_store_copy(PgCacheStore *store, PgCacheRef *ref, char *dst)
{
	if (likely(copy_value(store, ref, dst) && is_unchanged(ref)))
		return true;
	return copy_again(store, ref, dst, false);
}

bool
pgcache_store_copy_tags(PgCacheStore *store, PgCacheRef *ref, char *dst)
{
	if (copy_part(store, ref, dst, true) && is_unchanged(ref))
		return true;
	return copy_again(store, ref, dst, true);
}

/* ---- noting hits ---------------------------------------------------------------- */

/*
 * Counts a hit in the index: exactly to 127, then each step stands for twice
 * as many hits after every eight (Morris, "Counting large numbers of events in
 * small registers", CACM 1978), so that a hot entry is hardly written.
 */
static inline uint64
with_hit(uint64 use, int slot, bool with_freq)
{
	uint8		hits = USE_HITS(use, slot);

	if (with_freq && USE_FREQ(use, slot) < 3)
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
count_hit(const PgCacheRef *ref, bool with_freq)
{
	PgCacheBucket *bucket = ref->holder;
	uint64		use = pg_atomic_read_u64(&bucket->use);

	for (int i = 0; i < FREE_TRIES; i++)
	{
		uint64		next;

		if (!USE_IS_MARKED(use) || bucket->location[ref->slot] != ref->location)
			return;
		next = with_hit(use, ref->slot, with_freq);
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

/*
 * Whether the entry must move to the head of its queue: when so much was stamped
 * since it was there, or, while memory is not short, at its first hit.
 */
static inline bool
wants_bump(const PgCacheStore *store, const PgCacheRef *ref)
{
	const PgCacheClass *class = &ref->part->classes[ref->class];
	uint32		age;

	if (!store->policy->bumps || ref->class >= MAX_CLASSES)
		return false;
	if (!ref->part->ordered && store->tuning.lru_bump > 0)
		return USE_FREQ(pg_atomic_read_u64(&ref->holder->use), ref->slot) == 0;
	age = pgcache_class_clock(store, ref->part, class) - ref->stamp;
	return (uint64) age * 100 >
		(uint64) class->queue[QUEUE_SMALL].count * store->tuning.lru_bump;
}

/* The bit that says that the entry was moved while memory was not short. */
static void
mark_moved(const PgCachePartition *part, const PgCacheSlot *slot)
{
	uint64		use = pg_atomic_read_u64(&slot->bucket->use);

	use &= ~(USE_ONE_FREQ(slot->slot) * 3);
	if (!part->ordered)
		use |= USE_ONE_FREQ(slot->slot);
	pg_atomic_write_u64(&slot->bucket->use, use);
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
			if (bump)
			{
				pgcache_queue_unlink(store, part, offset);
				pgcache_queue_push(store, part, offset, QUEUE_SMALL);
				mark_moved(part, &slot);
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
	int64		idle = statement - ref->meta.accessed;
	bool		bump;

	count_hit(ref, !store->policy->bumps);

	/*
	 * The time of the last access is kept to an eighth of the entry's age, so
	 * that an entry is written for it a few times in its life and no more.
	 */
	bump = wants_bump(store, ref);
	if (unlikely(bump || (ref->meta.flags & PGCACHE_ENTRY_SLIDING) ||
				 (idle >= USECS_PER_SEC &&
				  idle * 8 > statement - ref->meta.created)))
		write_hit(store, ref, seconds_of(store, statement), bump);
}

/* ---- hints ------------------------------------------------------------------------- */

void
pgcache_store_hint(PgCacheStore *store, const PgCacheKey *key, uint64 version,
				   uint16 hints, bool wait)
{
	PgCachePartition *part = partition_of(store, key->hash);
	PgCacheSlot slot;

	if (wait)
		LWLockAcquire(lock_of(store, part), LW_EXCLUSIVE);
	else if (!LWLockConditionalAcquire(lock_of(store, part), LW_EXCLUSIVE))
		return;
	if (pgcache_index_find(store, part, key, &slot))
	{
		PgCacheEntry *entry = at(store, slot.bucket->location[slot.slot]);

		/* Readers see the flags with the hint or without: both are true. */
		if (entry->version == version && (entry->flags & PGCACHE_ENTRY_WRITER))
			entry->flags |= hints & PGCACHE_ENTRY_HINTS;
	}
	LWLockRelease(lock_of(store, part));
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
	PgCacheBucket *bucket;

	pg_read_barrier();
	bucket = bucket_for(store, part, TABLE_BUCKETS(table), (uint32) key->hash);
	for (uint32 slots = match_tags(bucket, HASH_TAG(key->hash)); slots != 0;
		 slots &= slots - 1)
	{
		PgCacheOffset location = bucket->location[pg_rightmost_one_pos32(slots)];

		if (in_bounds(store, location, 4 * PG_CACHE_LINE_SIZE))
		{
			const char *entry = at(store, location);

			/* As far as a small value reaches. */
			__builtin_prefetch(entry);
			__builtin_prefetch(entry + 64);
			__builtin_prefetch(entry + 128);
			__builtin_prefetch(entry + 176);
		}
	}
	if (bucket->next != 0 && in_bounds(store, bucket->next, BUCKET_BYTES))
		__builtin_prefetch(at(store, bucket->next));
}
