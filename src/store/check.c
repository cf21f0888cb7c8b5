/*-------------------------------------------------------------------------
 *
 * check.c
 *	  Verifies every structure of the store.
 *
 * Locking: each partition's lock in shared mode while it is walked, which
 * keeps writers out; faults are noted in memory of our own and reported when
 * it is released.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

#define MAX_FAULTS		32
#define FAULT_LEN		160

/* Sums over what was walked of a partition. */
typedef struct Check
{
	PgCacheStore *store;
	PgCachePartition *part;
	int			nfaults;
	char		faults[MAX_FAULTS][FAULT_LEN];

	int64		used;			/* granules of used blocks */
	int64		busy_granules;
	int64		free_blocks;
	int64		entry_blocks;
	int64		extent_blocks;
	int64		entries;		/* by the index */
	int64		extents;		/* of these */
	int64		dead;
	int64		ttl;
	int64		deps;
	PgCachePartitionUsage sum;
} Check;

/* Who has how many regions. */
typedef struct RegionCounts
{
	uint32		in_use;
	uint32		of[MAX_PARTITIONS];
} RegionCounts;

static void fault(Check *c, const char *format,...) pg_attribute_printf(2, 3);

static void
fault(Check *c, const char *format,...)
{
	va_list		args;
	int			n;

	if (c->nfaults < MAX_FAULTS)
	{
		n = snprintf(c->faults[c->nfaults], FAULT_LEN, "partition %d: ",
					 c->part->number);
		va_start(args, format);
		vsnprintf(c->faults[c->nfaults] + n, FAULT_LEN - n, format, args);
		va_end(args);
	}
	c->nfaults++;
}

/* ---- heap -------------------------------------------------------------------- */

static void
check_region(Check *c, uint32 number)
{
	PgCacheStore *store = c->store;
	PgCacheRegion *region = &store->regions[number];
	PgCacheOffset offset = region_start(store, number);
	PgCacheOffset end = offset + store->region_granules - 1;
	bool		prev_free = false;
	uint32		used = 0;
	uint32		busy = 0;

	if (region->kind != REGION_HEAP || region->owner != c->part->number)
		fault(c, "region %u is of kind %d and owner %d", number, region->kind, region->owner);
	while (offset < end)
	{
		uint32		word = *(uint32 *) at(store, offset);
		uint32		size = BLOCK_SIZE(word);

		if (size == 0 || offset + size > end)
		{
			fault(c, "block %u has size %u", offset, size);
			return;
		}
		if (((word & BLOCK_PREV_FREE) != 0) != prev_free)
			fault(c, "block %u is wrong about the block before it", offset);
		if ((word & BLOCK_FREE) && prev_free)
			fault(c, "free blocks meet at %u", offset);
		prev_free = (word & BLOCK_FREE) != 0;
		if (prev_free)
		{
			c->free_blocks++;
			if (((uint32 *) at(store, offset + size))[-1] != size)
				fault(c, "free block %u has no size at its end", offset);
		}
		else
		{
			used += size;
			if (BLOCK_KIND(word) == BLOCK_ENTRY)
				c->entry_blocks++;
			else if (BLOCK_KIND(word) == BLOCK_EXTENT)
				c->extent_blocks++;
			else
				busy++;
		}
		offset += size;
	}
	if (BLOCK_KIND(*(uint32 *) at(store, end)) != BLOCK_END)
		fault(c, "region %u has no end mark", number);
	if (used != region->used || busy != region->busy)
		fault(c, "region %u has %u granules in use and %u busy blocks, not %u and %u",
			  number, used, busy, region->used, region->busy);
	c->used += used;
}

static void
check_heap(Check *c)
{
	PgCacheStore *store = c->store;
	PgCacheHeap *heap = &c->part->heap;
	uint32		nregions = 0;
	int64		listed = 0;

	for (uint32 number = c->part->heap_regions; number != NO_REGION;
		 number = store->regions[number].next)
	{
		check_region(c, number);
		if (++nregions > store->nregions)
		{
			fault(c, "the list of regions is circular");
			return;
		}
	}
	if (nregions != c->part->nheap_regions)
		fault(c, "there are %u heap regions, not %u", nregions, c->part->nheap_regions);
	if (c->used != heap->used)
		fault(c, "%lld granules are in use, not %lld",
			  (long long) c->used, (long long) heap->used);

	for (int fl = 0; fl < HEAP_FL; fl++)
	{
		int64		granules = 0;

		if (((heap->fl_bitmap >> fl) & 1) != (heap->sl_bitmap[fl] != 0))
			fault(c, "the map of free lists is wrong at %d", fl);
		for (int sl = 0; sl < HEAP_SL; sl++)
		{
			PgCacheOffset before = 0;
			bool		marked = (heap->sl_bitmap[fl] & (1U << sl)) != 0;

			if (marked != (heap->head[fl][sl] != 0))
				fault(c, "the map of free list %d.%d is wrong", fl, sl);
			for (PgCacheOffset offset = heap->head[fl][sl]; offset != 0;)
			{
				FreeBlock  *block = at(store, offset);

				if (!(block->block & BLOCK_FREE) || block->prev != before ||
					++listed > c->free_blocks)
				{
					fault(c, "free list %d.%d is broken at %u", fl, sl, offset);
					return;
				}
				granules += BLOCK_SIZE(block->block);
				before = offset;
				offset = block->next;
			}
		}
		if (granules != heap->free[fl])
			fault(c, "free blocks of kind %d have %lld granules, not %lld",
				  fl, (long long) granules, (long long) heap->free[fl]);
	}
	if (listed != c->free_blocks)
		fault(c, "%lld free blocks are listed, but there are %lld",
			  (long long) listed, (long long) c->free_blocks);
}

/* ---- index and entries --------------------------------------------------------- */

static void
check_extents(Check *c, PgCacheOffset offset, const PgCacheEntry *entry,
			  const EntryFields *fields)
{
	PgCacheOffset before = offset;
	uint32		rest = entry->len - fields->inline_len;
	PgCacheOffset next;

	for (next = fields->chain; next != 0 && rest > 0;)
	{
		PgCacheExtent *extent = at(c->store, next);

		if (extent->prev != before || extent->owner != offset ||
			BLOCK_KIND(extent->block) != BLOCK_EXTENT || extent->len > rest)
		{
			fault(c, "extent %u of entry %u is broken", next, offset);
			return;
		}
		c->extents++;
		rest -= extent->len;
		before = next;
		next = extent->next;
	}
	if (next != 0 || rest != 0)
		fault(c, "the extents of entry %u do not add up", offset);
}

/* The fields that transactions are about, and that all have their place. */
static void
check_fields(Check *c, PgCacheOffset offset, const PgCacheEntry *entry,
			 const EntryFields *fields)
{
	Size		size = ENTRY_HEADER_BYTES + entry->key_len + fields->size +
	fields_deps_len(fields) + fields->tags_len + (Size) fields->inline_len;

	if (size > (Size) BLOCK_SIZE(entry->block) << c->store->shift)
		fault(c, "entry %u has %zu bytes, more than its block", offset, size);
	if ((entry->flags & (PGCACHE_ENTRY_ASOF | PGCACHE_ENTRY_HINTS)) &&
		!(entry->flags & PGCACHE_ENTRY_WRITER))
		fault(c, "entry %u has no writer, but flags 0x%x", offset,
			  (unsigned) entry->flags);
	/* 0 is an entry of a standby. */
	else if ((entry->flags & (PGCACHE_ENTRY_ASOF | PGCACHE_ENTRY_HINTS)) &&
			 fields->writer == 0)
		fault(c, "entry %u has hints and writer 0", offset);
	if (fields->nstamps + fields->ntables > PGCACHE_MAX_DEPS)
		fault(c, "entry %u depends on %d stamps and %d tables", offset,
			  fields->nstamps, fields->ntables);
	if (fields->ntags > PGCACHE_MAX_TAGS || fields->tags_len > PGCACHE_MAX_TAGS_LEN)
		fault(c, "entry %u has %d tags of %d bytes", offset, fields->ntags,
			  fields->tags_len);
}

static void
check_entry(Check *c, PgCacheBucket *first, PgCacheBucket *bucket, int i)
{
	PgCacheStore *store = c->store;
	PgCacheOffset offset = bucket->location[i];
	PgCacheEntry *entry;
	EntryFields fields;
	uint64		hash;

	c->entries++;
	if (offset < FIRST_OFFSET(store) || offset >= store->end ||
		store->regions[region_of(store, offset)].kind != REGION_HEAP)
	{
		fault(c, "slot points to %u, which is no heap", offset);
		return;
	}
	entry = at(store, offset);
	if ((entry->block & BLOCK_FREE) || BLOCK_KIND(entry->block) != BLOCK_ENTRY ||
		entry->key_len == 0 || entry->key_len > PGCACHE_MAX_KEY_LEN ||
		entry->space >= store->max_spaces || entry->class >= c->part->nclasses)
	{
		fault(c, "entry %u is broken", offset);
		return;
	}
	hash = pgcache_entry_hash(store, entry);
	if (bucket->tag[i] != HASH_TAG(hash) ||
		partition_of(store, hash) != c->part ||
		bucket_for(store, c->part,
				   TABLE_BUCKETS(pg_atomic_read_u64(&c->part->table)),
				   (uint32) hash) != first)
		fault(c, "entry %u is in the wrong place of the index", offset);

	pgcache_entry_fields(entry, &fields);
	check_fields(c, offset, entry, &fields);
	c->deps += (entry->flags & PGCACHE_ENTRY_DEPS) != 0;
	if (entry->flags & ENTRY_CHAINED)
		check_extents(c, offset, entry, &fields);
	if (((entry->flags & PGCACHE_ENTRY_TTL) != 0) != (bucket->expiry[i] != 0))
		fault(c, "entry %u and its slot disagree on a TTL", offset);
	if (entry->flags & PGCACHE_ENTRY_TTL)
	{
		c->ttl++;
		if (fields.expires < c->part->next_expiry)
			fault(c, "entry %u expires before the earliest expiry", offset);
	}
	if (entry->seq < usage_of(store, entry->space, c->part)->clear_seq)
		c->dead++;
	else
		pgcache_usage_account(store, &c->sum, entry, 1);
	if (entry->seq > usage_of(store, entry->space, c->part)->newest &&
		entry->seq >= usage_of(store, entry->space, c->part)->clear_seq)
		fault(c, "entry %u is newer than the newest", offset);
}

/* The regions of the index: segments, and those of overflow buckets. */
static void
check_index_regions(Check *c)
{
	PgCacheStore *store = c->store;
	uint32		nbuckets = TABLE_BUCKETS(pg_atomic_read_u64(&c->part->table));
	uint32		per_segment = 1U << store->seg_shift;
	uint32		nsegments = (nbuckets + per_segment - 1) / per_segment;
	uint32		noverflow = 0;

	for (uint32 n = 0; n < nsegments; n++)
	{
		PgCacheOffset segment = *segment_at(store, c->part, n);
		PgCacheRegion *region = &store->regions[region_of(store, segment)];

		if (region->kind != REGION_INDEX || region->owner != c->part->number)
			fault(c, "segment %u lies in a region of kind %d and owner %d",
				  n, region->kind, region->owner);
	}
	for (uint32 number = c->part->overflow_regions; number != NO_REGION;
		 number = store->regions[number].next)
	{
		PgCacheRegion *region = &store->regions[number];

		if (region->kind != REGION_OVERFLOW || region->owner != c->part->number ||
			++noverflow > store->nregions)
		{
			fault(c, "the list of regions of overflow buckets is broken at %u", number);
			return;
		}
	}
	if (nsegments + noverflow != c->part->nindex_regions)
		fault(c, "the index has %u segments and %u regions of overflow buckets, not %u in all",
			  nsegments, noverflow, c->part->nindex_regions);
}

static void
check_index(Check *c)
{
	uint32		nbuckets = TABLE_BUCKETS(pg_atomic_read_u64(&c->part->table));
	uint32		overflow = 0;

	for (uint32 n = 0; n < nbuckets; n++)
	{
		PgCacheBucket *first = bucket_for(c->store, c->part, nbuckets, n);

		if (pg_atomic_read_u32(&first->version) & 1)
			fault(c, "bucket %u was left in the middle of a change", n);
		for (PgCacheBucket *bucket = first; bucket;)
		{
			int			i = 0;

			if (!USE_IS_MARKED(pg_atomic_read_u64(&bucket->use)))
				fault(c, "a bucket of chain %u is not marked", n);
			for (; i < BUCKET_SLOTS && bucket->location[i] != 0; i++)
				check_entry(c, first, bucket, i);
			if (bucket->next && i < BUCKET_SLOTS)
				fault(c, "a bucket of chain %u is not full", n);
			if (bucket != first && i == 0)
				fault(c, "an overflow bucket of chain %u is empty", n);
			for (; i < BUCKET_SLOTS; i++)
				if (bucket->location[i] != 0)
					fault(c, "a slot of chain %u lies behind a free one", n);
			if (!bucket->next)
				break;
			overflow++;
			bucket = at(c->store, bucket->next);
		}
	}
	if (overflow != c->part->overflow_used)
		fault(c, "%u overflow buckets are in use, not %u", overflow, c->part->overflow_used);
	if (c->entries != c->part->nentries)
		fault(c, "the index has %lld entries, not %u", (long long) c->entries, c->part->nentries);
	if (c->entries != c->entry_blocks || c->extents != c->extent_blocks)
		fault(c, "the index reaches %lld entries and %lld extents, but the heap has %lld and %lld",
			  (long long) c->entries, (long long) c->extents,
			  (long long) c->entry_blocks, (long long) c->extent_blocks);
}

/* ---- queues and accounts -------------------------------------------------------- */

static void
check_queues(Check *c)
{
	PgCacheStore *store = c->store;
	int64		total = 0;
	bool		cursor_found = false;

	for (int i = 0; i < c->part->nclasses; i++)
	{
		for (int q = QUEUE_SMALL; q <= QUEUE_MAIN; q++)
		{
			PgCacheQueue *queue = &c->part->classes[i].queue[q];
			PgCacheOffset before = 0;
			PgCacheOffset offset = queue->head;
			uint32		count = 0;
			uint64		granules = 0;

			while (offset != 0 && count <= queue->count)
			{
				PgCacheEntry *entry = at(store, offset);

				if (entry->prev != before || entry->class != i ||
					queue_of(c->part, entry) != queue)
				{
					fault(c, "queue %d.%d is broken at %u", i, q, offset);
					break;
				}
				count++;
				cursor_found |= offset == c->part->cursor && i == c->part->cursor_class;
				granules += entry_granules(store, entry);
				before = offset;
				offset = entry->next;
			}
			if (count != queue->count || granules != queue->granules ||
				queue->tail != before)
				fault(c, "queue %d.%d has %u entries, not %u", i, q, count, queue->count);
			total += count;
		}
	}
	if (c->part->cursor != 0 && !cursor_found)
		fault(c, "the cursor is at %u, not in queue %d", c->part->cursor, c->part->cursor_class);
	if (total != c->part->nentries)
		fault(c, "%lld entries are in queues, not %u", (long long) total, c->part->nentries);
}

static void
check_accounts(Check *c)
{
	PgCachePartitionUsage sum;

	memset(&sum, 0, sizeof(sum));
	for (int i = 0; i < c->store->max_spaces; i++)
	{
		PgCachePartitionUsage *u = usage_of(c->store, i, c->part);

		sum.entries += u->entries;
		sum.key_bytes += u->key_bytes;
		sum.bytes += u->bytes;
		sum.stored_bytes += u->stored_bytes;
		sum.memory += u->memory;
	}
	if (sum.entries != c->sum.entries || sum.key_bytes != c->sum.key_bytes ||
		sum.bytes != c->sum.bytes || sum.stored_bytes != c->sum.stored_bytes ||
		sum.memory != c->sum.memory)
		fault(c, "accounts say %lld entries of %lld bytes, but there are %lld of %lld",
			  (long long) sum.entries, (long long) sum.memory,
			  (long long) c->sum.entries, (long long) c->sum.memory);
	if (c->dead != c->part->ndead)
		fault(c, "%lld entries are dead, not %lld",
			  (long long) c->dead, (long long) c->part->ndead);
	if (c->ttl != c->part->nttl)
		fault(c, "%lld entries have a TTL, not %lld",
			  (long long) c->ttl, (long long) c->part->nttl);
	if (c->deps != c->part->ndeps)
		fault(c, "%lld entries have deps, not %lld",
			  (long long) c->deps, (long long) c->part->ndeps);
	if (c->part->dead_left > TABLE_BUCKETS(pg_atomic_read_u64(&c->part->table)))
		fault(c, "more buckets than there are may have dead entries");
}

/* ---- pool ------------------------------------------------------------------------ */

static uint32
count_regions(const PgCachePartition *part)
{
	const volatile PgCachePartition *p = part;	/* perhaps without its lock */

	return p->nheap_regions + p->nindex_regions;
}

static void
read_counts(PgCacheStore *store, RegionCounts *counts)
{
	memset(counts, 0, sizeof(*counts));
	counts->in_use = pg_atomic_read_u32(&store->shared->pool.in_use);
	pg_read_barrier();
	for (int i = 0; i < store->nparts; i++)
		counts->of[i] = count_regions(&store->parts[i]);
	pg_read_barrier();
}

/* The length of one of the pool's lists, each region of which must be free. */
static uint32
count_list(const PgCacheStore *store, uint32 number, bool *sound)
{
	uint32		n = 0;

	for (; number != NO_REGION && n <= store->nregions; n++)
	{
		if (number >= store->nregions || store->regions[number].kind != REGION_FREE)
			*sound = false;
		if (!*sound)
			break;
		number = store->regions[number].next;
	}
	return n;
}

/* Whether every region that was ever used is in use or in a list. */
static bool
lists_are_sound(PgCacheStore *store)
{
	const PgCachePool *pool = &store->shared->pool;
	bool		sound = true;
	uint32		sum;

	LWLockAcquire(pool_lock(store), LW_SHARED);
	sum = count_list(store, pool->free, &sound) + count_list(store, pool->hollow, &sound) +
		pool->punched + pg_atomic_read_u32(&store->shared->pool.in_use);
	if (sum != pool->fresh || (pool->free == NO_REGION) != (pool->oldest == NO_REGION))
		sound = false;
	LWLockRelease(pool_lock(store));
	return sound;
}

/*
 * Whether the pool has as many regions in use as all partitions have together.
 * No lock keeps all of them still at once, so this says something only if each
 * had as many before they were walked, then, and after.
 */
static bool
pool_is_sound(PgCacheStore *store, const RegionCounts *before, const RegionCounts *walked)
{
	RegionCounts after;
	uint32		sum = 0;

	read_counts(store, &after);
	if (memcmp(before, &after, sizeof(after)) != 0 ||
		memcmp(before->of, walked->of, sizeof(after.of)) != 0)
		return true;
	for (int i = 0; i < store->nparts; i++)
		sum += after.of[i];
	return sum == after.in_use;
}

int
pgcache_store_check(PgCacheStore *store,
					void (*report) (void *arg, const char *fault), void *arg)
{
	static Check c;				/* too large for a stack */
	RegionCounts before;
	RegionCounts walked = {0};
	int			nfaults = 0;

	read_counts(store, &before);
	for (int i = 0; i < store->nparts; i++)
	{
		memset(&c, 0, sizeof(c));
		c.store = store;
		c.part = &store->parts[i];
		LWLockAcquire(lock_of(store, c.part), LW_SHARED);
		check_heap(&c);
		check_index(&c);
		check_index_regions(&c);
		check_queues(&c);
		check_accounts(&c);
		if (!pgcache_ghosts_are_sound(store, c.part))
			fault(&c, "the marks of what was evicted do not add up");
		walked.of[i] = count_regions(c.part);
		LWLockRelease(lock_of(store, c.part));
		for (int f = 0; f < Min(c.nfaults, MAX_FAULTS); f++)
			report(arg, c.faults[f]);
		nfaults += c.nfaults;
	}
	if (!pool_is_sound(store, &before, &walked))
	{
		report(arg, "the partitions' regions are not those that the pool has in use");
		nfaults++;
	}
	if (!lists_are_sound(store))
	{
		report(arg, "the pool's lists do not have all regions that are not in use");
		nfaults++;
	}
	return nfaults;
}
