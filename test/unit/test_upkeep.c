/*
 * test_upkeep.c
 *	  What a background process does to the store: bounded sweeps, eviction
 *	  ahead of need, giving memory back.
 */
#include "harness.h"

#include <sys/mman.h>
#include <unistd.h>

#define MIB		((Size) 1024 * 1024)

static uint32
in_use(TestStore *t)
{
	return pg_atomic_read_u32(&t->store->shared->pool.in_use);
}

/* A round of evicting ahead; how many entries went. */
static int64
evict_ahead(TestStore *t)
{
	uint64		at_need;
	uint64		before;
	uint64		after;

	pgcache_store_evicted(t->store, &at_need, &before);
	for (int i = 0; i < t->store->nparts; i++)
		while (pgcache_store_evict_ahead(t->store, i))
			;
	pgcache_store_evicted(t->store, &at_need, &after);
	return after - before;
}

static uint64
evicted_at_need(TestStore *t)
{
	uint64		at_need;
	uint64		ahead;

	pgcache_store_evicted(t->store, &at_need, &ahead);
	return at_need;
}

static void
test_steps(void)
{
	TestStore	t = make_store(16 * MIB, 1, PGCACHE_EVICTION_LRU);
	PgCacheSweep sweep;
	int64		most = 0;
	int			steps = 0;
	int64		before;

	pgcache_store_sweep_begin(t.store, &sweep, 0);
	ok(!pgcache_store_sweep_step(t.store, &sweep) && sweep.removed == 0,
	   "an empty partition needs no sweep");
	for (int i = 0; i < 20000; i++)
		put_ttl(&t, 0, name("key", i), 100, i % 2 ? 10 : 1000);
	test_now += 5 * USECS_PER_SEC;
	pgcache_store_sweep_begin(t.store, &sweep, 0);
	ok(!pgcache_store_sweep_step(t.store, &sweep) && sweep.removed == 0,
	   "nor does one in which nothing has expired");
	test_now += 5 * USECS_PER_SEC;
	pgcache_store_sweep_begin(t.store, &sweep, 0);
	do
	{
		before = sweep.removed;
		steps++;
		if (!pgcache_store_sweep_step(t.store, &sweep))
			break;
		most = Max(most, sweep.removed - before);
	} while (steps < 100000);
	ok(sweep.removed == 10000 && most <= 80 && steps < 1000 && is_sound(&t),
	   "expired entries go, %lld at the most in one hold, in %d holds", (long long) most, steps);
	ok(sweep_all(&t) == 0 && usage(&t, 0).entries == 10000, "and nothing else");

	for (int i = 0; i < 20000; i++)
		put_len(&t, 1, name("key", i), 100);
	pgcache_store_clear(t.store, 1);
	ok(sweep_all(&t) == 20000 && t.store->parts[0].nentries == 10000 && is_sound(&t),
	   "cleared ones as well");
	pgcache_store_clear(t.store, 0);
	for (int i = 0; i < 200; i++)
		sweep_all(&t);
	ok(count_buckets(&t) < 200, "and the index shrinks, to %u buckets", count_buckets(&t));
	free_store(&t);
}

static void
put_next(TestStore *t, int *n)
{
	put_len(t, 1, name("key", *n), 200 + *n % 50);
	(*n)++;
}

static void
test_ahead(int eviction, const char *what)
{
	TestStore	t = make_store(16 * MIB, 4, eviction);
	int			n = 0;
	int64		evicted;
	int64		kept;
	uint64		at_need;
	PgCacheUsage before;

	while (evicted_at_need(&t) == 0)
	{
		put_next(&t, &n);
		if (n % 1000 == 0 && !pgcache_pool_is_exhausted(t.store) &&
			in_use(&t) + 20 < pgcache_pool_limit(t.store) && evict_ahead(&t) > 0)
			break;
	}
	ok(evicted_at_need(&t) > 0 && usage(&t, 1).background_evictions == 0,
	   "%s: nothing goes ahead of need while regions are free", what);
	for (int i = 0; i < 20000; i++)
		put_next(&t, &n);
	kept = usage(&t, 1).entries;
	evicted = evict_ahead(&t);
	ok(evicted > kept / 500 && evicted < kept / 40 && is_sound(&t),
	   "%s: once there are none, a little goes: %lld of %lld entries", what,
	   (long long) evicted, (long long) kept);
	ok(usage(&t, 1).background_evictions == evicted, "%s: which is counted apart", what);
	ok(evict_ahead(&t) == 0, "%s: and no more", what);

	at_need = evicted_at_need(&t);
	before = usage(&t, 1);
	for (int i = 0; i < 20000; i++)
	{
		put_next(&t, &n);
		if (i % 100 == 0)
			evict_ahead(&t);
	}
	at_need = evicted_at_need(&t) - at_need;
	evicted = usage(&t, 1).evictions - before.evictions;
	ok(at_need * 50 < evicted, "%s: puts then find room: %lld of %lld evictions were theirs",
	   what, (long long) at_need, (long long) evicted);
	ok(usage(&t, 1).background_evictions - before.background_evictions == evicted - at_need,
	   "%s: the rest are the upkeep's", what);
	pgcache_store_reset_usage(t.store, 1);
	ok(usage(&t, 1).background_evictions == 0 && is_sound(&t), "%s: set back to zero", what);
	free_store(&t);
}

/* Where what goes leaves small holes only, not everything goes. */
static void
test_sizes(void)
{
	TestStore	t = make_store(16 * MIB, 2, PGCACHE_EVICTION_LRU);
	PgCacheMemory memory;

	for (int i = 0; i < 300000; i++)
	{
		put_len(&t, 1, name("key", i), i % 100 == 0 ? 8000 : 20);
		if (i % 1000 == 0)
			evict_ahead(&t);
	}
	for (int i = 0; i < 100; i++)
		evict_ahead(&t);
	pgcache_store_memory(t.store, &memory);
	ok(memory.used > (int64) (16 * MIB) / 100 * 88 && usage(&t, 1).background_evictions > 1000 &&
	   is_sound(&t), "values of two sizes: %lld bytes stay in use, %lld evicted ahead",
	   (long long) memory.used, (long long) usage(&t, 1).background_evictions);
	free_store(&t);
}

/* Namespaces' quotas are kept to, whoever evicts. */
static void
test_shields(void)
{
	TestStore	t = make_store(8 * MIB, 2, PGCACHE_EVICTION_LRU);
	int64		entries;

	pgcache_store_set_quota(t.store, 1, 3 * MIB, 0, 0);
	for (int i = 0; i < 5000; i++)
		put_len(&t, 1, name("shielded", i), 200);
	entries = usage(&t, 1).entries;
	for (int i = 0; i < 60000; i++)
	{
		put_len(&t, 2, name("other", i), 200);
		if (i % 100 == 0)
			evict_ahead(&t);
	}
	ok(usage(&t, 1).entries == entries && usage(&t, 1).evictions == 0 &&
	   usage(&t, 2).background_evictions > 10000 && is_sound(&t),
	   "what min_bytes shields does not go ahead of need either");
	free_store(&t);
}

static void
test_shrink(void)
{
	TestStore	t = make_store(32 * MIB, 4, PGCACHE_EVICTION_LRU);
	PgCacheMemory memory;
	int			steps = 0;

	for (int i = 0; i < 150000; i++)
		put_len(&t, 1, name("key", i), 200);
	MUST(in_use(&t) == pgcache_pool_limit(t.store));
	ok(!pgcache_store_shrink(t.store), "nothing to give back");
	pgcache_store_tuning(t.store)->memory_limit = 8 * MIB;
	while (pgcache_store_shrink(t.store))
		steps++;
	pgcache_store_memory(t.store, &memory);
	ok(in_use(&t) <= pgcache_pool_limit(t.store) && memory.used <= (int64) (8 * MIB) &&
	   memory.used > (int64) (7 * MIB) && is_sound(&t),
	   "a lower limit is kept to without a put, in %d steps", steps);
	ok(holds(&t, 1, name("key", 149999)) && !holds(&t, 1, name("key", 100000)),
	   "by what was used last");
	free_store(&t);
}

/* Bytes of a store's memory that the system has behind it. */
static Size
resident(TestStore *t)
{
	Size		page = sysconf(_SC_PAGESIZE);
	char	   *start = t->store->base + PG_CACHE_LINE_SIZE;
	Size		n = (Size) t->store->nregions * t->store->region_bytes / page;
	unsigned char *map = malloc(n);
	Size		pages = 0;

	MUST((uintptr_t) start % page == 0 && mincore(start, n * page, map) == 0);
	for (Size i = 0; i < n; i++)
		pages += map[i] & 1;
	free(map);
	return pages * page;
}

static void
release_all(TestStore *t)
{
	while (pgcache_store_release(t->store))
		;
}

static void
test_release(void)
{
	TestStore	t = {.config = make_config(32 * MIB, 4, PGCACHE_EVICTION_LRU)};
	Size		size = pgcache_store_size(&t.config);
	Size		full;

	t.memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(t.memory != MAP_FAILED);
	t.locks = calloc(pgcache_store_nlocks(&t.config), sizeof(LWLockPadded));
	pgcache_store_create(t.memory, t.locks, &t.config);
	t.store = pgcache_store_attach(t.memory, t.locks, &t.config);
	ok(resident(&t) < 1 * MIB, "memory is there when it is used");
	release_all(&t);
	for (int i = 0; i < 150000; i++)
		put_len(&t, 1, name("key", i), 200);
	full = resident(&t);
	MUST(full > 31 * MIB);

	pgcache_store_tuning(t.store)->memory_limit = 8 * MIB;
	while (pgcache_store_shrink(t.store))
		;
	release_all(&t);
	ok(resident(&t) == full, "what was just given back is kept");
	test_now += 9 * USECS_PER_SEC;
	release_all(&t);
	ok(resident(&t) == full, "for some seconds");
	test_now += 2 * USECS_PER_SEC;
	release_all(&t);
#ifdef MADV_REMOVE
	ok(resident(&t) <= 9 * MIB && is_sound(&t), "then the system has it: %zu bytes are left", resident(&t));
#endif
	pgcache_store_tuning(t.store)->memory_limit = 32 * MIB;
	for (int i = 0; i < 150000; i++)
		put_len(&t, 2, name("other", i), 200);
	ok(in_use(&t) == pgcache_pool_limit(t.store) && holds(&t, 2, name("other", 149999)) &&
	   resident(&t) > 31 * MIB && is_sound(&t), "and gives it again");
	full = resident(&t);
	test_now += 100 * USECS_PER_SEC;
	release_all(&t);
	ok(resident(&t) == full && is_sound(&t), "nothing is taken that is in use");
	munmap(t.memory, size);
	free(t.locks);
	free(t.store);
}

int
main(void)
{
	test_steps();
	test_ahead(PGCACHE_EVICTION_LRU, "lru");
	test_ahead(PGCACHE_EVICTION_S3FIFO, "s3fifo");
	test_sizes();
	test_shields();
	test_shrink();
	test_release();
	return done_testing();
}
