/*-------------------------------------------------------------------------
 *
 * heap.c
 *	  Blocks of memory within a partition's regions.
 *
 * Two-level segregated fit with immediate merging: allocating and freeing take
 * a bounded number of steps.  A region is filled with blocks that follow each
 * other without a gap, the last being an end mark of one granule; a block never
 * crosses a region's border.
 *
 *		+------+-----------------+------+---------+------+-----------+-----+
 *		| word | entry ...       | word | extent  | word | free ...  | end |
 *		+------+-----------------+------+---------+------+-----------+-----+
 *
 * A used block spends four bytes on its word.  A free one holds the links of
 * its list behind the word and its size once more in its last four bytes,
 * where the block behind it finds it in order to merge.
 *
 * Locking: the partition's lock, held exclusively by the caller throughout.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

/* How many blocks of a list are tried for one that just fits. */
#define FIT_TRIES	4

static inline FreeBlock *
block_at(const PgCacheStore *store, PgCacheOffset offset)
{
	return (FreeBlock *) at(store, offset);
}

/* The repeated size at the end of a free block of that size. */
static inline uint32 *
footer_of(const PgCacheStore *store, PgCacheOffset offset, uint32 size)
{
	return (uint32 *) ((char *) at(store, offset + size) - sizeof(uint32));
}

/* The list for blocks of a size. */
static inline void
list_of(uint32 size, int *fl, int *sl)
{
	if (size < HEAP_SL)
	{
		*fl = 0;
		*sl = size;
	}
	else
	{
		int			log = pg_leftmost_one_pos32(size);

		*fl = log - HEAP_SL_BITS + 1;
		*sl = (size >> (log - HEAP_SL_BITS)) & (HEAP_SL - 1);
	}
}

static void
link_free(PgCacheStore *store, PgCacheHeap *heap, PgCacheOffset offset, uint32 size)
{
	FreeBlock  *block = block_at(store, offset);
	int			fl,
				sl;

	list_of(size, &fl, &sl);
	block->prev = 0;
	block->next = heap->head[fl][sl];
	if (block->next != 0)
		block_at(store, block->next)->prev = offset;
	heap->head[fl][sl] = offset;
	heap->fl_bitmap |= 1U << fl;
	heap->sl_bitmap[fl] |= 1U << sl;
	heap->free[fl] += size;
}

static void
unlink_free(PgCacheStore *store, PgCacheHeap *heap, PgCacheOffset offset, uint32 size)
{
	FreeBlock  *block = block_at(store, offset);
	int			fl,
				sl;

	list_of(size, &fl, &sl);
	heap->free[fl] -= size;
	if (block->next != 0)
		block_at(store, block->next)->prev = block->prev;
	if (block->prev != 0)
		block_at(store, block->prev)->next = block->next;
	else
	{
		heap->head[fl][sl] = block->next;
		if (block->next == 0)
		{
			heap->sl_bitmap[fl] &= ~(1U << sl);
			if (heap->sl_bitmap[fl] == 0)
				heap->fl_bitmap &= ~(1U << fl);
		}
	}
}

/* Marks a run of granules as a free block and tells the block behind it. */
static void
mark_free(PgCacheStore *store, PgCacheOffset offset, uint32 size, uint32 prev_free)
{
	block_at(store, offset)->block = size | BLOCK_FREE | prev_free;
	*footer_of(store, offset, size) = size;
	block_at(store, offset + size)->block |= BLOCK_PREV_FREE;
}

/* A free block of at least size, by list order; 0 if there is none. */
static PgCacheOffset
find_fit(PgCacheStore *store, PgCacheHeap *heap, uint32 size)
{
	int			fl,
				sl;
	uint32		map;
	PgCacheOffset offset;

	/* In its own list some blocks may be smaller, but a fit wastes least. */
	list_of(size, &fl, &sl);
	offset = heap->head[fl][sl];
	for (int i = 0; i < FIT_TRIES && offset != 0; i++)
	{
		if (BLOCK_SIZE(block_at(store, offset)->block) >= size)
			return offset;
		offset = block_at(store, offset)->next;
	}

	/* In any higher list every block fits. */
	map = heap->sl_bitmap[fl] & (~0U << (sl + 1));
	if (map == 0)
	{
		uint32		fl_map = heap->fl_bitmap & (~0U << (fl + 1));

		if (fl_map == 0)
			return 0;
		fl = pg_rightmost_one_pos32(fl_map);
		map = heap->sl_bitmap[fl];
	}
	return heap->head[fl][pg_rightmost_one_pos32(map)];
}

/* A block of the highest list; not always the largest, but near. */
static PgCacheOffset
find_large(PgCacheHeap *heap)
{
	int			fl;

	if (heap->fl_bitmap == 0)
		return 0;
	fl = pg_leftmost_one_pos32(heap->fl_bitmap);
	return heap->head[fl][pg_leftmost_one_pos32(heap->sl_bitmap[fl])];
}

PgCacheOffset
pgcache_heap_alloc(PgCacheStore *store, PgCachePartition *part,
				   uint32 want, uint32 least)
{
	PgCacheHeap *heap = &part->heap;
	PgCacheOffset offset;
	FreeBlock  *block;
	uint32		size;
	uint32		rest;
	PgCacheRegion *region;

	want = Max(want, MIN_BLOCK_BYTES >> MIN_GRANULE_SHIFT);
	if (heap->spare != 0 &&
		BLOCK_SIZE(block_at(store, heap->spare)->block) == want)
	{
		offset = heap->spare;
		heap->spare = 0;
		return offset;
	}
	offset = find_fit(store, heap, want);
	if (offset == 0 && pgcache_heap_free_spare(store, part))
		offset = find_fit(store, heap, want);
	if (offset == 0)
	{
		offset = find_large(heap);
		if (offset == 0 || BLOCK_SIZE(block_at(store, offset)->block) < least)
			return 0;
	}

	block = block_at(store, offset);
	size = BLOCK_SIZE(block->block);
	Assert(block->block & BLOCK_FREE);
	unlink_free(store, heap, offset, size);
	rest = size > want ? size - want : 0;
	if (rest >= (MIN_BLOCK_BYTES >> MIN_GRANULE_SHIFT))
	{
		size = want;
		mark_free(store, offset + size, rest, 0);
		link_free(store, heap, offset + size, rest);
	}
	else
		block_at(store, offset + size)->block &= ~BLOCK_PREV_FREE;
	block->block = size | BLOCK_BUSY | (block->block & BLOCK_PREV_FREE);

	region = &store->regions[region_of(store, offset)];
	region->used += size;
	region->busy++;
	heap->used += size;
	return offset;
}

void
pgcache_heap_settle(PgCacheStore *store, PgCacheOffset offset, uint32 kind)
{
	FreeBlock  *block = block_at(store, offset);

	Assert(BLOCK_KIND(block->block) == BLOCK_BUSY);
	block->block = (block->block & ~BLOCK_KIND_MASK) | kind;
	store->regions[region_of(store, offset)].busy--;
}

int64
pgcache_heap_holes(const PgCachePartition *part, uint32 size)
{
	int64		granules = 0;
	int			fl,
				sl;

	list_of(size, &fl, &sl);
	for (; fl < HEAP_FL; fl++)
		granules += part->heap.free[fl];
	return granules;
}

/* Gives a region without used blocks to the pool, unless it is the last. */
static void
give_empty(PgCacheStore *store, PgCachePartition *part, uint32 number)
{
	if (part->nheap_regions < 2)
		return;
	unlink_free(store, &part->heap, region_start(store, number),
				store->region_granules - 1);
	pgcache_pool_give(store, part, number);
}

void
pgcache_heap_free(PgCacheStore *store, PgCachePartition *part, PgCacheOffset offset)
{
	PgCacheHeap *heap = &part->heap;
	uint32		word = block_at(store, offset)->block;
	uint32		size = BLOCK_SIZE(word);
	uint32		number = region_of(store, offset);
	PgCacheRegion *region = &store->regions[number];
	uint32		after;

	Assert((word & BLOCK_FREE) == 0 && BLOCK_KIND(word) != BLOCK_END);
	if (BLOCK_KIND(word) == BLOCK_BUSY)
		region->busy--;
	region->used -= size;
	heap->used -= size;
	if (region->draining)
	{
		/* Its blocks are walked by their sizes and must not merge. */
		block_at(store, offset)->block = size | BLOCK_FREE;
		return;
	}

	if (word & BLOCK_PREV_FREE)
	{
		uint32		before = *footer_of(store, offset, 0);

		offset -= before;
		size += before;
		unlink_free(store, heap, offset, before);
	}
	after = block_at(store, offset + size)->block;
	if (after & BLOCK_FREE)
	{
		unlink_free(store, heap, offset + size, BLOCK_SIZE(after));
		size += BLOCK_SIZE(after);
	}
	/* The one before, if any, is used: two free ones never meet. */
	mark_free(store, offset, size, 0);
	link_free(store, heap, offset, size);

	if (region->used == 0)
	{
		if (part->evacuating)
			part->nemptied++;
		else
			give_empty(store, part, number);
	}
}

void
pgcache_heap_retire(PgCacheStore *store, PgCachePartition *part, PgCacheOffset offset)
{
	FreeBlock  *block = block_at(store, offset);
	PgCacheRegion *region = &store->regions[region_of(store, offset)];

	Assert(!region->draining);
	(void) pgcache_heap_free_spare(store, part);
	block->block = (block->block & ~BLOCK_KIND_MASK) | BLOCK_BUSY;
	region->busy++;
	part->heap.spare = offset;
}

bool
pgcache_heap_free_spare(PgCacheStore *store, PgCachePartition *part)
{
	PgCacheOffset offset = part->heap.spare;

	if (offset == 0)
		return false;
	part->heap.spare = 0;
	pgcache_heap_free(store, part, offset);
	return true;
}

void
pgcache_heap_trim(PgCacheStore *store, PgCachePartition *part)
{
	uint32		number = part->heap_regions;

	while (part->nemptied > 0 && number != NO_REGION)
	{
		uint32		next = store->regions[number].next;

		if (store->regions[number].used == 0)
			give_empty(store, part, number);
		number = next;
	}
	part->nemptied = 0;
}

bool
pgcache_heap_grow(PgCacheStore *store, PgCachePartition *part)
{
	uint32		number = pgcache_pool_take(store, part, REGION_HEAP);
	uint32		size = store->region_granules - 1;
	PgCacheOffset offset;

	if (number == NO_REGION)
		return false;
	offset = region_start(store, number);
	block_at(store, offset + size)->block = BLOCK_END;
	mark_free(store, offset, size, 0);
	link_free(store, &part->heap, offset, size);
	part->ordered = !pgcache_pool_is_roomy(store);
	return true;
}

void
pgcache_heap_drain(PgCacheStore *store, PgCachePartition *part, uint32 number)
{
	PgCacheOffset offset = region_start(store, number);

	Assert(!store->regions[number].draining && store->regions[number].busy == 0);
	store->regions[number].draining = true;
	for (;;)
	{
		uint32		word = block_at(store, offset)->block;

		if (BLOCK_SIZE(word) == 0)
			break;
		if (word & BLOCK_FREE)
			unlink_free(store, &part->heap, offset, BLOCK_SIZE(word));
		offset += BLOCK_SIZE(word);
	}
}

void
pgcache_heap_drained(PgCacheStore *store, PgCachePartition *part, uint32 number)
{
	Assert(store->regions[number].draining && store->regions[number].used == 0);
	store->regions[number].draining = false;
	pgcache_pool_give(store, part, number);
}
