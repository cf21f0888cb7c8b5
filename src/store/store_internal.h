/*-------------------------------------------------------------------------
 *
 * store_internal.h
 *	  What the files of this room do for each other.
 *
 * Where nothing else is said, the caller holds the partition's lock exclusively.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_STORE_STORE_INTERNAL_H
#define PGCACHE_STORE_STORE_INTERNAL_H

#include "store/layout_internal.h"

/* ---- pool.c --------------------------------------------------------------- */

/* A region for the partition, or NO_REGION if the limit is reached. */
extern uint32 pgcache_pool_take(PgCacheStore *store, PgCachePartition *part,
								PgCacheRegionKind kind);
extern void pgcache_pool_give(PgCacheStore *store, PgCachePartition *part,
							  uint32 region);

/* Number of regions that the limit allows. */
extern uint32 pgcache_pool_limit(const PgCacheStore *store);

/* Whether the limit is reached. */
extern bool pgcache_pool_is_exhausted(const PgCacheStore *store);

/* Whether at least an eighth of what the limit allows is free. */
extern bool pgcache_pool_is_roomy(const PgCacheStore *store);

/* ---- heap.c --------------------------------------------------------------- */

/*
 * A block of want granules, or of fewer, but at least least, if only a smaller
 * one is free; 0 if none is.  Marked busy.  Takes no new region.
 */
extern PgCacheOffset pgcache_heap_alloc(PgCacheStore *store, PgCachePartition *part,
										uint32 want, uint32 least);

/* Frees a block; gives its region back if nothing is left in it. */
extern void pgcache_heap_free(PgCacheStore *store, PgCachePartition *part,
							  PgCacheOffset block);

/* Frees a block, but keeps it as it is for the next one of its size. */
extern void pgcache_heap_retire(PgCacheStore *store, PgCachePartition *part,
								PgCacheOffset block);

/* Frees the block that was kept, if any; true if there was one. */
extern bool pgcache_heap_free_spare(PgCacheStore *store, PgCachePartition *part);

/* Granules in free blocks about as large as that, or larger. */
extern int64 pgcache_heap_holes(const PgCachePartition *part, uint32 size);

/* A finished block: busy no more. */
extern void pgcache_heap_settle(PgCacheStore *store, PgCacheOffset block,
								uint32 kind);

/* Adds a region from the pool; false if there is none. */
extern bool pgcache_heap_grow(PgCacheStore *store, PgCachePartition *part);

/* Gives back what became empty while the partition was evacuating. */
extern void pgcache_heap_trim(PgCacheStore *store, PgCachePartition *part);

/* Takes a region's free blocks out of the lists, so that it only empties. */
extern void pgcache_heap_drain(PgCacheStore *store, PgCachePartition *part,
							   uint32 region);

/* Gives a drained region without used blocks to the pool. */
extern void pgcache_heap_drained(PgCacheStore *store, PgCachePartition *part,
								 uint32 region);

/* ---- entry.c -------------------------------------------------------------- */

/* Unpacks the fields; reads at most ENTRY_MAX_FIELDS bytes at p. */
extern void pgcache_entry_unpack(const char *p, uint32 flags, uint32 len,
								 EntryFields *fields);
extern void pgcache_entry_fields(const PgCacheEntry *entry, EntryFields *fields);

/* Packs them; p has room for ENTRY_MAX_FIELDS.  Returns the bytes. */
extern uint32 pgcache_entry_pack(char *p, uint32 flags, const EntryFields *fields);

/* Bytes of the deps, which follow the fields and may lie at any address. */
static inline uint32
fields_deps_len(const EntryFields *fields)
{
	return (fields->nstamps + fields->ntables) * sizeof(uint32);
}

/* Copies the deps of an entry whose fields these are. */
extern void pgcache_entry_deps(const PgCacheEntry *entry, const EntryFields *fields,
							   uint32 *deps);

/* Fills meta from an entry and its fields; inline, since every hit does it. */
static inline void
entry_describe(const PgCacheStore *store, const PgCacheEntry *entry,
			   const EntryFields *fields, PgCacheMeta *meta)
{
	TimestampTz epoch = store->shared->epoch;

	meta->version = entry->version;
	meta->created = epoch + (int64) entry->created * 1000;
	meta->accessed = epoch + (int64) entry->accessed * USECS_PER_SEC;
	meta->expires = fields->expires;
	meta->slide = fields->slide;
	meta->slide_cap = fields->slide_cap;
	meta->seq = entry->seq;
	meta->hits = 0;
	meta->len = entry->len;
	meta->raw_len = fields->raw_len;
	meta->typid = fields->typid;
	meta->fingerprint = fields->fingerprint;
	meta->priority = fields->priority;
	meta->flags = entry->flags & ~(ENTRY_CHAINED | ENTRY_MAIN);
	meta->key_len = entry->key_len;
	meta->space = entry->space;
	meta->tags_len = fields->tags_len;
	meta->ntags = fields->ntags;
	meta->nstamps = fields->nstamps;
	meta->ntables = fields->ntables;
	meta->writer = fields->writer;
}

extern uint64 pgcache_entry_hash(const PgCacheStore *store, const PgCacheEntry *entry);

static inline const char *
entry_fields_at(const PgCacheEntry *entry)
{
	return entry->key + entry->key_len;
}

/*
 * What an entry weighs in queues and quotas: its blocks, but for the headers of
 * extents.
 */
static inline uint32
entry_granules(const PgCacheStore *store, const PgCacheEntry *entry)
{
	uint32		granules = BLOCK_SIZE(entry->block);

	if (unlikely(entry->flags & ENTRY_CHAINED))
	{
		EntryFields fields;

		pgcache_entry_fields(entry, &fields);
		granules += to_granules(store, entry->len - fields.inline_len);
	}
	return granules;
}

/* Whether the namespace was cleared since the entry's value was read. */
static inline bool
entry_is_dead(const PgCacheStore *store, const PgCacheEntry *entry)
{
	return entry->seq < pg_atomic_read_u64(&store->spaces[entry->space].clear_seq);
}

/* ---- index.c -------------------------------------------------------------- */

/* The place of a segment of the index. */
static inline PgCacheOffset *
segment_at(const PgCacheStore *store, const PgCachePartition *part, uint32 n)
{
	if (likely(n < NEAR_SEGMENTS))
		return unconstify(PgCacheOffset *, &part->segments[n]);
	return &store->directory[part->number * store->max_segments + n];
}

/*
 * The address of a bucket within its segment.  Segments begin at multiples of
 * their size, so small tables would all lie in the same few sets of the CPU's
 * caches if each began at the beginning.
 */
static inline PgCacheBucket *
bucket_within(const PgCacheStore *store, const PgCachePartition *part,
			  PgCacheOffset segment, uint32 n)
{
	uint32		place = (n + part->number * BUCKET_COLOUR) &
	((1U << store->seg_shift) - 1);

	return (PgCacheBucket *) ((char *) at(store, segment) + (Size) place * BUCKET_BYTES);
}

/* A bucket by its number. */
static inline PgCacheBucket *
bucket_number(const PgCacheStore *store, const PgCachePartition *part, uint32 n)
{
	return bucket_within(store, part,
						 *segment_at(store, part, n >> store->seg_shift), n);
}

/* The first bucket of a hash's chain, for a number of buckets. */
static inline PgCacheBucket *
bucket_for(const PgCacheStore *store, const PgCachePartition *part,
		   uint32 nbuckets, uint32 hash)
{
	uint32		mask = PG_UINT32_MAX >> __builtin_clz((nbuckets - 1) | 1);
	uint32		n = hash & mask;

	if (n >= nbuckets)
		n &= mask >> 1;
	return bucket_number(store, part, n);
}

#define TABLE_BUCKETS(table)	((uint32) (table))
#define TABLE_VERSION(table)	((uint32) ((table) >> 32))
#define HASH_TAG(hash)			((uint16) ((hash) >> 32))

extern void pgcache_index_create(PgCacheStore *store, PgCachePartition *part);

/* The slot of a key; false if it has none. */
extern bool pgcache_index_find(PgCacheStore *store, PgCachePartition *part,
							   const PgCacheKey *key, PgCacheSlot *slot);

/* The slot of a linked entry. */
extern void pgcache_index_locate(PgCacheStore *store, PgCachePartition *part,
								 PgCacheOffset entry, uint64 hash,
								 PgCacheSlot *slot);

/*
 * Makes sure that a chain has a free slot; false if it needs an overflow bucket
 * and no memory for one is to be had.  May evict other entries.
 */
extern bool pgcache_index_reserve(PgCacheStore *store, PgCachePartition *part,
								  uint64 hash);

/* Adds a slot to a chain that has a free one. */
extern void pgcache_index_insert(PgCacheStore *store, PgCachePartition *part,
								 PgCacheOffset entry, uint64 hash, uint16 expiry);
extern void pgcache_index_remove(PgCacheStore *store, PgCachePartition *part,
								 const PgCacheSlot *slot);

/* Another entry takes the slot over. */
extern void pgcache_index_replace(PgCacheStore *store, PgCachePartition *part,
								  const PgCacheSlot *slot, PgCacheOffset entry,
								  uint16 expiry, bool keep_hits);

/* Grows or shrinks by some buckets towards the load wanted. */
extern void pgcache_index_adjust(PgCacheStore *store, PgCachePartition *part);

/* Brackets of a change that readers of the chain must notice. */
static inline void
begin_change(PgCacheBucket *first)
{
	pg_atomic_write_u32(&first->version, pg_atomic_read_u32(&first->version) + 1);
	pg_write_barrier();
}

static inline void
end_change(PgCacheBucket *first)
{
	pg_write_barrier();
	pg_atomic_write_u32(&first->version, pg_atomic_read_u32(&first->version) + 1);
	pg_write_barrier();
}

/* ---- expiry.c ------------------------------------------------------------- */

/*
 * Removes expired entries, until it has enough or has looked at so many buckets;
 * the next call goes on there.  Cheap while nothing can have expired.  Unless
 * eager, a round over all buckets begins once a second at the most.  Returns how
 * many.
 */
extern int64 pgcache_expiry_sweep(PgCacheStore *store, PgCachePartition *part,
								  TimestampTz now, int64 enough, int64 looks,
								  bool eager);

/*
 * An entry expires then (DT_NOEND: never), by a clock that says now.  Returns
 * the coarse form of it for the entry's slot.
 */
extern uint16 pgcache_expiry_enter(const PgCacheStore *store, PgCachePartition *part,
								   TimestampTz expires, TimestampTz now);

/*
 * Entries went to buckets that the round may have passed: when it ends, nothing
 * is known of what comes next.
 */
extern void pgcache_expiry_unsure(PgCachePartition *part);

/* Removes dead entries, at most looking at so many buckets.  How many. */
extern int64 pgcache_dead_sweep(PgCacheStore *store, PgCachePartition *part,
								uint32 nbuckets);

/* Where some may be dead, so many buckets are looked at before the policy is asked. */
#define MOST_DEAD_LOOKS		512
#define LEAST_DEAD_LOOKS	8

/* Every bucket may have dead entries that are not in ndead. */
extern void pgcache_dead_look(PgCachePartition *part);

/* Entries went to other buckets, perhaps out of those yet to be looked at. */
extern void pgcache_dead_unsure(PgCachePartition *part);

/* Notices what died otherwise than by a clear. */
extern void pgcache_heed_deaths(PgCacheStore *store, PgCachePartition *part);

/* Whether a sweep would have something to look for. */
static inline bool
has_dead(const PgCachePartition *part)
{
	return part->ndead > 0 || part->dead_left > 0;
}

/* ---- ghost.c -------------------------------------------------------------- */

/* An entry goes, whose hash is one of the sample: leaves a mark. */
extern void pgcache_ghost_mark(PgCacheStore *store, PgCachePartition *part,
							   const PgCacheEntry *entry, uint64 hash, bool expired);

/* The mark of a key, which is one of the sample, is true no more. */
extern void pgcache_ghost_forget(PgCacheStore *store, PgCachePartition *part,
								 uint16 space, uint64 hash);

extern bool pgcache_ghosts_are_sound(const PgCacheStore *store,
									 const PgCachePartition *part);

/* ---- adapt.c -------------------------------------------------------------- */

/*
 * The entry of a class that goes next, where the policy would have named victim: of
 * a namespace of which not all is protected, if one is found near.
 */
extern PgCacheOffset pgcache_adapt_victim(PgCacheStore *store, PgCachePartition *part,
										  const PgCacheClass *class,
										  PgCacheOffset victim);

/* ---- read.c --------------------------------------------------------------- */

/* The number of hits that a bucket's count stands for. */
extern uint64 pgcache_decode_hits(uint8 hits);

/* ---- write.c -------------------------------------------------------------- */

/* The live entry of a key, neither cleared nor expired, with its slot; or 0. */
extern PgCacheOffset pgcache_find_live(PgCacheStore *store, PgCachePartition *part,
									   const PgCacheKey *key, PgCacheSlot *slot);

/* ---- touch.c -------------------------------------------------------------- */

/* Changes the expiry of an entry that has one. */
extern void pgcache_entry_set_expires(PgCacheStore *store, PgCachePartition *part,
									  const PgCacheSlot *slot, TimestampTz expires,
									  TimestampTz now);

/* ---- class.c -------------------------------------------------------------- */

/* The class of entries of that namespace and priority. */
extern int	pgcache_class_for(PgCacheStore *store, PgCachePartition *part,
							  uint16 space, int32 priority);
extern void pgcache_queue_push(PgCacheStore *store, PgCachePartition *part,
							   PgCacheOffset entry, int queue);
extern void pgcache_queue_unlink(PgCacheStore *store, PgCachePartition *part,
								 PgCacheOffset entry);

/* The clock by which entries of the class are stamped. */
extern uint32 pgcache_class_clock(const PgCacheStore *store,
								  const PgCachePartition *part,
								  const PgCacheClass *class);

/* ---- evict.c -------------------------------------------------------------- */

typedef enum PgCacheCause
{
	CAUSE_REPLACED,
	CAUSE_DELETED,
	CAUSE_EVICTED,
	CAUSE_EVICTED_AHEAD,		/* by the upkeep */
	CAUSE_EVICTED_QUOTA,		/* its namespace's, not for want of memory */
	CAUSE_EXPIRED
} PgCacheCause;

/* Unlinks an entry everywhere and frees its blocks. */
extern void pgcache_entry_remove(PgCacheStore *store, PgCachePartition *part,
								 PgCacheOffset entry, const PgCacheSlot *slot,
								 PgCacheCause cause);

/* A copy of an entry's block takes its place in the index and its queue. */
extern void pgcache_entry_replace_block(PgCacheStore *store, PgCachePartition *part,
										const PgCacheSlot *slot, PgCacheOffset to,
										uint16 expiry);

/* Frees the blocks of an entry that is linked nowhere (any more, or yet). */
extern void pgcache_entry_free_blocks(PgCacheStore *store, PgCachePartition *part,
									  PgCacheOffset entry);

/* Frees extents, from the first on. */
extern void pgcache_chain_free(PgCacheStore *store, PgCachePartition *part,
							   PgCacheOffset first);

/*
 * Brings a namespace's usage up to its last clear.  Where some of its entries
 * are older than that and some are not, all stay counted, and a look at every
 * bucket finds those that have to go.
 */
extern PgCachePartitionUsage *pgcache_usage_refresh(PgCacheStore *store,
													PgCachePartition *part,
													uint16 space);

extern void pgcache_usage_refresh_all(PgCacheStore *store, PgCachePartition *part);

/* An entry goes: takes it off the accounts, and counts the cause. */
extern void pgcache_entry_unaccount(PgCacheStore *store, PgCachePartition *part,
									const PgCacheEntry *entry, PgCacheCause cause);

/* Adds (sign 1) or subtracts (-1) an entry. */
extern void pgcache_usage_account(const PgCacheStore *store,
								  PgCachePartitionUsage *usage,
								  const PgCacheEntry *entry, int sign);

/* An entry takes the place of another, or of none (NULL). */
extern void pgcache_entry_account(PgCacheStore *store, PgCachePartition *part,
								  const PgCacheEntry *entry,
								  const PgCacheEntry *replaced);

/* Notices what was cleared, in whatever namespace. */
extern void pgcache_heed_clears(PgCacheStore *store, PgCachePartition *part);

/*
 * Removes something so that a block may fit: what has expired, else what is
 * dead, else what the policy chooses, which counts as evicted by that cause.
 * False if the partition is empty.
 */
extern bool pgcache_make_room(PgCacheStore *store, PgCachePartition *part,
							  PgCacheCause cause);

/*
 * Moves a heap region to the pool from the partition that has most: for a
 * large value from any, else only if it has more than the thief (NULL: nobody).
 * Takes the victim's lock; no lock may be held.  False if none has one to give.
 */
extern bool pgcache_steal_region(PgCacheStore *store, const PgCachePartition *thief,
								 bool large);

/* Empties a heap region of the partition into its others; lock held. */
extern bool pgcache_evacuate_region(PgCacheStore *store, PgCachePartition *part);

/* Evicts entries of a namespace until it is within its quotas. */
extern void pgcache_enforce_quota(PgCacheStore *store, uint16 space);

#endif							/* PGCACHE_STORE_STORE_INTERNAL_H */
