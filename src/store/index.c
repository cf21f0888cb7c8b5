/*-------------------------------------------------------------------------
 *
 * index.c
 *	  The index of a partition: linear hashing over cache-line buckets.
 *
 * Buckets lie in segments of a region each, found through the partition's
 * directory.  The table grows by a bucket at a time as entries come, and
 * shrinks likewise (Litwin: "Linear hashing: a new tool for file and table
 * addressing", VLDB 1980), so that the index costs 16 to 20 bytes an entry
 * whatever the size of the values.  A bucket that is full goes on in overflow
 * buckets; these come from regions of their own, so that every bucket is one
 * cache line.
 *
 * Locking: the partition's lock, held exclusively, for everything here but
 * bucket_for().  What readers see without it: a chain's contents change only
 * between begin_change and end_change of its first bucket; a bucket comes into
 * use, or goes out of it, by a store to part->table; and table's version is
 * raised before a segment's memory serves for anything else.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

/* Buckets that one call splits or merges at the most. */
#define ADJUST_STEPS	2

static inline uint32
buckets_per_region(const PgCacheStore *store)
{
	return 1U << store->seg_shift;
}

static void
write_table(PgCachePartition *part, uint32 version, uint32 nbuckets)
{
	pg_write_barrier();
	pg_atomic_write_u64(&part->table, ((uint64) version << 32) | nbuckets);
	pg_write_barrier();
}

/* ---- slots ---------------------------------------------------------------- */

/* A reader's hit that comes in between is lost. */
static void
set_use(PgCacheBucket *bucket, int i, uint8 hits, int freq)
{
	uint64		use = pg_atomic_read_u64(&bucket->use);

	pg_atomic_write_u64(&bucket->use,
						(use & ~USE_SLOT_MASK(i)) |
						USE_ONE_HIT(i) * hits | USE_ONE_FREQ(i) * freq);
}

static void
copy_slot(PgCacheBucket *to, int i, PgCacheBucket *from, int j)
{
	uint64		use = pg_atomic_read_u64(&from->use);

	to->tag[i] = from->tag[j];
	to->location[i] = from->location[j];
	to->expiry[i] = from->expiry[j];
	set_use(to, i, USE_HITS(use, j), USE_FREQ(use, j));
}

/*
 * Makes memory an empty bucket.  Its version goes on from what it was: a reader
 * may have found something here when it was a bucket before.
 */
static void
init_bucket(PgCacheBucket *bucket)
{
	uint32		version = pg_atomic_read_u32(&bucket->version);

	memset((char *) bucket + sizeof(bucket->version), 0,
		   BUCKET_BYTES - sizeof(bucket->version));
	pg_atomic_write_u64(&bucket->use, USE_MARK);
	pg_atomic_write_u32(&bucket->version, (version | 1) + 1);
}

void
pgcache_index_create(PgCacheStore *store, PgCachePartition *part)
{
	uint32		region = pgcache_pool_take(store, part, REGION_INDEX);

	Assert(region != NO_REGION);
	*segment_at(store, part, 0) = region_start(store, region);
	for (int i = 0; i < MIN_BUCKETS; i++)
		init_bucket(bucket_number(store, part, i));
	pg_atomic_init_u64(&part->table, MIN_BUCKETS);
}

static PgCacheBucket *
next_bucket(const PgCacheStore *store, const PgCacheBucket *bucket)
{
	return bucket->next ? (PgCacheBucket *) at(store, bucket->next) : NULL;
}

/* Number of used slots; they come first. */
static int
count_slots(const PgCacheBucket *bucket)
{
	int			n = 0;

	while (n < BUCKET_SLOTS && bucket->location[n] != 0)
		n++;
	return n;
}

static PgCacheBucket *
first_bucket(const PgCacheStore *store, const PgCachePartition *part, uint64 hash)
{
	uint32		nbuckets = TABLE_BUCKETS(pg_atomic_read_u64(&unconstify(PgCachePartition *, part)->table));

	return bucket_for(store, part, nbuckets, (uint32) hash);
}

bool
pgcache_index_find(PgCacheStore *store, PgCachePartition *part,
				   const PgCacheKey *key, PgCacheSlot *slot)
{
	uint16		tag = HASH_TAG(key->hash);

	slot->first = first_bucket(store, part, key->hash);
	for (slot->bucket = slot->first; slot->bucket;
		 slot->bucket = next_bucket(store, slot->bucket))
	{
		for (slot->slot = 0; slot->slot < BUCKET_SLOTS; slot->slot++)
		{
			const PgCacheEntry *entry;

			if (slot->bucket->location[slot->slot] == 0)
				return false;
			if (slot->bucket->tag[slot->slot] != tag)
				continue;
			entry = at(store, slot->bucket->location[slot->slot]);
			if (entry->key_len == key->len && entry->space == key->space &&
				memcmp(entry->key, key->data, key->len) == 0)
				return true;
		}
	}
	return false;
}

void
pgcache_index_locate(PgCacheStore *store, PgCachePartition *part,
					 PgCacheOffset entry, uint64 hash, PgCacheSlot *slot)
{
	slot->first = first_bucket(store, part, hash);
	for (slot->bucket = slot->first; slot->bucket;
		 slot->bucket = next_bucket(store, slot->bucket))
	{
		for (slot->slot = 0; slot->slot < BUCKET_SLOTS; slot->slot++)
			if (slot->bucket->location[slot->slot] == entry)
				return;
	}
	elog(PANIC, "pg_cache: entry at %u is not in the index of partition %d",
		 entry, part->number);
}

/* ---- overflow buckets ------------------------------------------------------ */

/* A new, empty overflow bucket, or 0. */
static PgCacheOffset
alloc_overflow(PgCacheStore *store, PgCachePartition *part)
{
	PgCacheOffset offset = part->overflow_free;

	if (offset != 0)
		part->overflow_free = ((PgCacheBucket *) at(store, offset))->next;
	else
	{
		if (part->overflow_fresh == 0)
		{
			if (pgcache_pool_take(store, part, REGION_OVERFLOW) == NO_REGION &&
				(!pgcache_evacuate_region(store, part) ||
				 pgcache_pool_take(store, part, REGION_OVERFLOW) == NO_REGION))
				return 0;
			part->overflow_fresh = buckets_per_region(store);
		}
		part->overflow_fresh--;
		offset = offset_of(store,
						   bucket_within(store, part,
										 region_start(store, part->overflow_regions),
										 part->overflow_fresh));
	}
	part->overflow_used++;
	init_bucket(at(store, offset));
	return offset;
}

/* Frees an overflow bucket, and with the last of them all their regions. */
static void
free_overflow(PgCacheStore *store, PgCachePartition *part, PgCacheOffset offset)
{
	PgCacheBucket *bucket = at(store, offset);

	pg_atomic_write_u64(&bucket->use, 0);
	bucket->next = part->overflow_free;
	part->overflow_free = offset;
	if (--part->overflow_used > 0)
		return;
	part->overflow_free = 0;
	part->overflow_fresh = 0;
	while (part->overflow_regions != NO_REGION)
		pgcache_pool_give(store, part, part->overflow_regions);
}

/* ---- changing a chain ------------------------------------------------------ */

/* The first free slot of a chain; slot BUCKET_SLOTS if its last bucket is full. */
static void
last_slot(const PgCacheStore *store, PgCacheBucket *first, PgCacheSlot *slot)
{
	slot->first = first;
	slot->bucket = first;
	while (slot->bucket->next)
		slot->bucket = next_bucket(store, slot->bucket);
	slot->slot = count_slots(slot->bucket);
}

bool
pgcache_index_reserve(PgCacheStore *store, PgCachePartition *part, uint64 hash)
{
	PgCacheBucket *first = first_bucket(store, part, hash);
	PgCacheSlot slot;
	PgCacheOffset overflow;

	last_slot(store, first, &slot);
	if (slot.slot < BUCKET_SLOTS)
		return true;
	overflow = alloc_overflow(store, part);
	if (overflow == 0)
		return false;
	/* Making room may have emptied slots, even whole buckets, of this chain. */
	last_slot(store, first, &slot);
	if (slot.slot < BUCKET_SLOTS)
		free_overflow(store, part, overflow);
	else
	{
		begin_change(first);
		slot.bucket->next = overflow;
		end_change(first);
	}
	return true;
}

void
pgcache_index_insert(PgCacheStore *store, PgCachePartition *part,
					 PgCacheOffset entry, uint64 hash, uint16 expiry)
{
	PgCacheSlot slot;

	last_slot(store, first_bucket(store, part, hash), &slot);
	begin_change(slot.first);
	slot.bucket->tag[slot.slot] = HASH_TAG(hash);
	slot.bucket->expiry[slot.slot] = expiry;
	set_use(slot.bucket, slot.slot, 0, 0);
	slot.bucket->location[slot.slot] = entry;
	end_change(slot.first);
	part->nentries++;
}

/*
 * Takes a slot out of its chain: the chain's last slot moves into its place,
 * and a bucket that this empties is freed.  Between begin_change and
 * end_change; returns the bucket to free, or 0.
 */
static PgCacheOffset
drop_slot(PgCacheStore *store, PgCacheBucket *first, PgCacheBucket *bucket, int i)
{
	PgCacheBucket *before = NULL;
	PgCacheBucket *last = first;
	int			n;
	PgCacheOffset emptied = 0;

	while (last->next)
	{
		before = last;
		last = next_bucket(store, last);
	}
	n = count_slots(last) - 1;
	Assert(n >= 0);
	copy_slot(bucket, i, last, n);
	last->location[n] = 0;
	last->tag[n] = 0;
	last->expiry[n] = 0;
	if (n == 0 && before)
	{
		emptied = before->next;
		before->next = 0;
	}
	return emptied;
}

void
pgcache_index_remove(PgCacheStore *store, PgCachePartition *part,
					 const PgCacheSlot *slot)
{
	PgCacheOffset emptied;

	begin_change(slot->first);
	emptied = drop_slot(store, slot->first, slot->bucket, slot->slot);
	end_change(slot->first);
	if (emptied)
		free_overflow(store, part, emptied);
	part->nentries--;
}

void
pgcache_index_replace(PgCacheStore *store, PgCachePartition *part,
					  const PgCacheSlot *slot, PgCacheOffset entry,
					  uint16 expiry, bool keep_hits)
{
	begin_change(slot->first);
	slot->bucket->location[slot->slot] = entry;
	slot->bucket->expiry[slot->slot] = expiry;
	if (!keep_hits)
		set_use(slot->bucket, slot->slot, 0, 0);
	end_change(slot->first);
}

/* ---- growing and shrinking -------------------------------------------------- */

/* The bucket from which bucket n splits off. */
static uint32
parent_of(uint32 n)
{
	return n & ~(1U << pg_leftmost_one_pos32(n));
}

/* Memory for the segment that starts with bucket n; false if there is none. */
static bool
add_segment(PgCacheStore *store, PgCachePartition *part, uint32 n)
{
	uint32		segment = n >> store->seg_shift;
	uint32		region;

	if (segment >= store->max_segments)
		return false;
	region = pgcache_pool_take(store, part, REGION_INDEX);
	if (region == NO_REGION && pgcache_evacuate_region(store, part))
		region = pgcache_pool_take(store, part, REGION_INDEX);
	if (region == NO_REGION)
		return false;
	*segment_at(store, part, segment) = region_start(store, region);
	return true;
}

/* Gives back the segment that starts with bucket n. */
static void
drop_segment(PgCacheStore *store, PgCachePartition *part, uint32 n)
{
	pgcache_pool_give(store, part,
					  region_of(store, *segment_at(store, part, n >> store->seg_shift)));
}

/*
 * Links overflow buckets to a bucket nobody sees yet, so that it holds n
 * entries.  Takes only what is at hand; false, and links none, if that is not
 * enough.
 */
static bool
extend_chain(PgCacheStore *store, PgCachePartition *part, PgCacheBucket *first,
			 int n)
{
	PgCacheBucket *last = first;

	for (int i = BUCKET_SLOTS; i < n; i += BUCKET_SLOTS)
	{
		if (part->overflow_free == 0 && part->overflow_fresh == 0)
		{
			while (first->next)
			{
				PgCacheOffset overflow = first->next;

				first->next = next_bucket(store, first)->next;
				free_overflow(store, part, overflow);
			}
			return false;
		}
		last->next = alloc_overflow(store, part);
		last = next_bucket(store, last);
	}
	return true;
}

/* Number of entries of a chain that have a bit of the hash set. */
static int
count_moving(PgCacheStore *store, const PgCacheBucket *bucket, uint32 bit)
{
	int			n = 0;

	for (; bucket; bucket = next_bucket(store, bucket))
		for (int i = 0; i < count_slots(bucket); i++)
			n += (pgcache_entry_hash(store, at(store, bucket->location[i])) & bit) != 0;
	return n;
}

/* Moves the entries that have a bit of the hash set to another chain. */
static void
move_slots(PgCacheStore *store, PgCachePartition *part, PgCacheBucket *from,
		   PgCacheBucket *to, uint32 bit)
{
	PgCacheBucket *bucket = from;
	int			n = 0;

	while (bucket)
	{
		PgCacheBucket *next = next_bucket(store, bucket);

		for (int i = 0; i < count_slots(bucket);)
		{
			PgCacheOffset emptied;

			if (!(pgcache_entry_hash(store, at(store, bucket->location[i])) & bit))
			{
				i++;
				continue;
			}
			if (n == BUCKET_SLOTS)
			{
				to = next_bucket(store, to);
				n = 0;
			}
			copy_slot(to, n++, bucket, i);
			emptied = drop_slot(store, from, bucket, i);
			if (emptied)
			{
				if (next && emptied == offset_of(store, next))
					next = NULL;
				free_overflow(store, part, emptied);
				if (emptied == offset_of(store, bucket))
					break;
			}
		}
		bucket = next;
	}
}

/*
 * Adds a bucket and moves there what belongs there.  The new table is shown
 * before the old chain is: a reader of the chain who misses what was moved
 * finds that the table changed.
 */
static bool
split(PgCacheStore *store, PgCachePartition *part)
{
	uint64		table = pg_atomic_read_u64(&part->table);
	uint32		n = TABLE_BUCKETS(table);
	uint32		bit = 1U << pg_leftmost_one_pos32(n);
	bool		new_segment = (n & (buckets_per_region(store) - 1)) == 0;
	PgCacheBucket *from;
	PgCacheBucket *to;

	if (new_segment && !add_segment(store, part, n))
		return false;
	from = bucket_number(store, part, parent_of(n));
	to = bucket_number(store, part, n);
	init_bucket(to);
	if (!extend_chain(store, part, to, count_moving(store, from, bit)))
	{
		pg_atomic_write_u64(&to->use, 0);
		if (new_segment)
			drop_segment(store, part, n);
		return false;
	}

	begin_change(from);
	move_slots(store, part, from, to, bit);
	write_table(part, TABLE_VERSION(table), n + 1);
	end_change(from);
	pgcache_dead_unsure(part);
	return true;
}

/* Moves the last bucket's entries to its parent, if they fit there. */
static bool
merge(PgCacheStore *store, PgCachePartition *part)
{
	uint64		table = pg_atomic_read_u64(&part->table);
	uint32		n = TABLE_BUCKETS(table) - 1;
	PgCacheBucket *from = bucket_number(store, part, n);
	PgCacheBucket *to = bucket_number(store, part, parent_of(n));
	bool		last_of_segment = (n & (buckets_per_region(store) - 1)) == 0;
	int			nfrom = count_slots(from);
	int			nto = count_slots(to);

	if (from->next || to->next || nfrom + nto > BUCKET_SLOTS)
		return false;
	begin_change(to);
	begin_change(from);
	for (int i = 0; i < nfrom; i++)
	{
		copy_slot(to, nto + i, from, i);
		from->location[i] = 0;
		from->tag[i] = 0;
	}
	pg_atomic_write_u64(&from->use, 0);
	if (nfrom > 0)
		pgcache_expiry_unsure(part);

	/* If the segment goes, no reader may trust what it finds there. */
	write_table(part, TABLE_VERSION(table) + (last_of_segment ? 1 : 0), n);
	end_change(from);
	end_change(to);
	pgcache_dead_unsure(part);
	if (last_of_segment)
		drop_segment(store, part, n);
	return true;
}

void
pgcache_index_adjust(PgCacheStore *store, PgCachePartition *part)
{
	for (int i = 0; i < ADJUST_STEPS; i++)
	{
		uint32		n = TABLE_BUCKETS(pg_atomic_read_u64(&part->table));

		if (part->nentries > (uint64) n * SPLIT_LOAD)
		{
			if (!split(store, part))
				return;
		}
		else if (part->nentries < (uint64) n * MERGE_LOAD && n > MIN_BUCKETS)
		{
			if (!merge(store, part))
				return;
		}
		else
			return;
	}
}
