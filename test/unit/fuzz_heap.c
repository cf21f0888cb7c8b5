/*
 * fuzz_heap.c
 *	  The heap under operations that a fuzzer chooses.
 *
 * Two bytes an operation.  The first, with a bit of the second, says which
 * block; if there is none of that number, the rest of the second says how large
 * it shall be, and whether less will do; if there is one, whether it is freed,
 * retired (kept for the next of its size), settled, or the heap freed of what it
 * keeps.  Blocks are filled with their number and looked at before they go, so
 * that overlapping ones show.  Draining needs entries: see fuzz_store.c.
 */
#include "harness.h"

#define MAX_BLOCKS 512

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static TestStore t;
static PgCachePartition *part;
static PgCacheOffset blocks[MAX_BLOCKS];

static void
fail(void *arg, const char *message)
{
	fprintf(stderr, "%s\n", message);
	abort();
}

static uint32 *
word_of(PgCacheOffset block)
{
	return at(t.store, block);
}

static Size
bytes_of(PgCacheOffset block)
{
	return (Size) BLOCK_SIZE(*word_of(block)) << t.store->shift;
}

/* All of a block but its word. */
static void
mark(int n)
{
	memset(word_of(blocks[n]) + 1, n, bytes_of(blocks[n]) - sizeof(uint32));
}

static void
verify(int n)
{
	const char *p = at(t.store, blocks[n]);
	Size		bytes = bytes_of(blocks[n]);

	for (Size i = sizeof(uint32); i < bytes; i++)
		if (p[i] != (char) n)
			fail(NULL, "a block was overwritten");
}

static void
allocate(int n, int what)
{
	/* sizes from 16 bytes to 8 KiB, denser below */
	Size		bytes = 16 + (Size) what * what / 2;
	uint32		want = to_granules(t.store, Min(bytes, MAX_BLOCK_BYTES));
	uint32		least = (what & 1) ? Min(want, 8) : want;

	blocks[n] = pgcache_heap_alloc(t.store, part, want, least);
	if (blocks[n] == 0 && pgcache_heap_grow(t.store, part))
		blocks[n] = pgcache_heap_alloc(t.store, part, want, least);
	if (blocks[n] == 0)
		return;
	if (BLOCK_SIZE(*word_of(blocks[n])) < least)
		fail(NULL, "a block is smaller than asked for");
	if (BLOCK_KIND(*word_of(blocks[n])) != BLOCK_BUSY)
		fail(NULL, "a new block is not marked busy");
	mark(n);
}

static void
change(int n, int what)
{
	bool		busy = BLOCK_KIND(*word_of(blocks[n])) == BLOCK_BUSY;

	verify(n);
	switch (what % 4)
	{
		case 0:
			if (busy)
				pgcache_heap_settle(t.store, blocks[n], BLOCK_EXTENT);
			return;
		case 1:
			(void) pgcache_heap_free_spare(t.store, part);
			return;
		case 2:
			if (busy)
				pgcache_heap_settle(t.store, blocks[n], BLOCK_EXTENT);
			pgcache_heap_retire(t.store, part, blocks[n]);
			break;
		default:
			pgcache_heap_free(t.store, part, blocks[n]);
			break;
	}
	blocks[n] = 0;
}

/* The blocks are no entries', so only what concerns the heap may be wrong. */
static void
report(void *arg, const char *message)
{
	if (strstr(message, "the index reaches") == NULL)
		fail(arg, message);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (t.store == NULL)
		t = make_store(128 * 1024, 1, PGCACHE_EVICTION_LRU);
	else
		format_store(&t);
	part = &t.store->parts[0];
	memset(blocks, 0, sizeof(blocks));
	for (size_t i = 0; i + 1 < size; i += 2)
	{
		int			n = data[i] | ((data[i + 1] & 1) << 8);
		int			what = data[i + 1] >> 1;

		if (blocks[n] != 0)
			change(n, what);
		else
			allocate(n, what);
	}
	pgcache_store_check(t.store, report, NULL);
	for (int n = 0; n < MAX_BLOCKS; n++)
	{
		if (blocks[n] == 0)
			continue;
		verify(n);
		pgcache_heap_free(t.store, part, blocks[n]);
	}
	(void) pgcache_heap_free_spare(t.store, part);
	pgcache_store_check(t.store, fail, NULL);
	if (part->heap.used != 0 || part->nheap_regions > 1)
		fail(NULL, "memory was lost");
	return 0;
}
