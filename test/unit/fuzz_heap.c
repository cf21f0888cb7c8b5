/*
 * fuzz_heap.c
 *	  The heap under operations that a fuzzer chooses.
 *
 * Two bytes an operation: allocate so much (perhaps content with less), free
 * the n-th block, or evacuate nothing but check.  Blocks are filled with their
 * number and looked at before they are freed, so that overlapping ones show.
 */
#include "harness.h"

#define MAX_BLOCKS 512

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fail(void *arg, const char *message)
{
	fprintf(stderr, "%s\n", message);
	abort();
}

/* The bytes of a block but its word. */
static void
mark(PgCacheStore *store, PgCacheOffset block, int n)
{
	char	   *p = at(store, block);

	memset(p + sizeof(uint32), n,
		   ((Size) BLOCK_SIZE(*(uint32 *) p) << store->shift) - sizeof(uint32));
}

static void
verify(PgCacheStore *store, PgCacheOffset block, int n)
{
	char	   *p = at(store, block);
	Size		bytes = (Size) BLOCK_SIZE(*(uint32 *) p) << store->shift;

	for (Size i = sizeof(uint32); i < bytes; i++)
		if (p[i] != (char) n)
			fail(NULL, "a block was overwritten");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	TestStore	t = make_store(128 * 1024, 1, PGCACHE_EVICTION_LRU);
	PgCachePartition *part = &t.store->parts[0];
	PgCacheOffset blocks[MAX_BLOCKS] = {0};

	for (size_t i = 0; i + 1 < size; i += 2)
	{
		int			n = data[i] | ((data[i + 1] & 1) << 8);
		int			what = data[i + 1] >> 1;

		if (blocks[n] != 0)
		{
			verify(t.store, blocks[n], n);
			pgcache_heap_free(t.store, part, blocks[n]);
			blocks[n] = 0;
		}
		else
		{
			/* sizes from 16 bytes to 8 KiB, denser below */
			Size		bytes = 16 + (Size) what * what / 2;
			uint32		want = to_granules(t.store, Min(bytes, MAX_BLOCK_BYTES));
			uint32		least = (what & 1) ? Min(want, 8) : want;

			blocks[n] = pgcache_heap_alloc(t.store, part, want, least);
			if (blocks[n] == 0 && pgcache_heap_grow(t.store, part))
				blocks[n] = pgcache_heap_alloc(t.store, part, want, least);
			if (blocks[n] != 0)
			{
				if (BLOCK_SIZE(*(uint32 *) at(t.store, blocks[n])) < least)
					fail(NULL, "a block is smaller than asked for");
				mark(t.store, blocks[n], n);
			}
		}
	}
	pgcache_store_check(t.store, fail, NULL);
	for (int n = 0; n < MAX_BLOCKS; n++)
	{
		if (blocks[n] == 0)
			continue;
		verify(t.store, blocks[n], n);
		pgcache_heap_free(t.store, part, blocks[n]);
	}
	pgcache_store_check(t.store, fail, NULL);
	if (part->heap.used != 0 || part->nheap_regions > 1)
		fail(NULL, "memory was lost");
	free_store(&t);
	return 0;
}
