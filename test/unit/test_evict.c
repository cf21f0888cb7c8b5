/*
 * test_evict.c
 *	  What goes when memory is short, and what must not.
 */
#include "harness.h"

#include <pthread.h>

#define MB	((Size) 1024 * 1024)

static int
count_kept(TestStore *t, uint16 space, const char *prefix, int n)
{
	int			count = 0;

	for (int i = 0; i < n; i++)
		count += holds(t, space, name(prefix, i));
	return count;
}

/* ---- touch -------------------------------------------------------------------- */

/* The key of the entry that the policy would take next. */
static PgCacheKey
oldest_key(TestStore *t, char *text)
{
	PgCacheClass *class = &t->store->parts[0].classes[0];
	PgCacheOffset offset = class->queue[QUEUE_SMALL].tail;
	const PgCacheEntry *entry;
	PgCacheKey	key;

	if (offset == 0)
		offset = class->queue[QUEUE_MAIN].tail;
	entry = at(t->store, offset);
	memcpy(text, entry->key, entry->key_len);
	pgcache_store_key(t->store, &key, 0, text, entry->key_len);
	return key;
}

/* A touch in a full cache must not evict the very entry. */
static void
test_touch_oldest(const char *policy, int eviction, bool with_ttl)
{
	TestStore	t = make_store(MB, 1, eviction);
	int			lost = 0;
	int			n = 0;

	while (usage(&t, 0).evictions == 0)
	{
		if (with_ttl)
			put_ttl(&t, 0, name("k", n++), 200, 3600);
		else
			put_len(&t, 0, name("k", n++), 200);
	}
	for (int i = 0; i < 200; i++)
	{
		char		text[64];
		PgCacheKey	key = oldest_key(&t, text);
		PgCacheRef	ref;
		TimestampTz expires = test_now + 7200 * USECS_PER_SEC;

		if (!pgcache_store_touch(t.store, &key, 0, expires, 0, 0) ||
			!pgcache_store_find(t.store, &key, &ref) || ref.meta.expires != expires)
			lost++;
		put_len(&t, 0, name("new", i), 200);
	}
	ok(lost == 0, "%s: touch of the oldest entry %s TTL keeps it (%d lost)", policy,
	   with_ttl ? "with" : "without", lost);
	ok(is_sound(&t), "%s: sound", policy);
	free_store(&t);
}

/* ---- order ----------------------------------------------------------------------- */

static void
test_priorities(const char *policy, int eviction)
{
	TestStore	t = make_store(2 * MB, 1, eviction);
	int			n = 1000;

	for (int i = 0; i < n; i++)
	{
		put_priority(&t, 0, name("high", i), 200, 1);
		put_priority(&t, 0, name("plain", i), 200, 0);
		put_priority(&t, 0, name("low", i), 200, -1);
	}
	MUST(usage(&t, 0).evictions == 0);
	while (usage(&t, 0).evictions < n / 2)
		put_priority(&t, 1, name("filler", random_below(1000000)), 200, 2);
	ok(count_kept(&t, 0, "low", n) == n - usage(&t, 0).evictions,
	   "%s: the lowest priority goes", policy);
	while (usage(&t, 0).evictions < n + n / 2)
		put_priority(&t, 1, name("filler", random_below(1000000)), 200, 2);
	ok(count_kept(&t, 0, "high", n) == n && count_kept(&t, 0, "plain", n) < n,
	   "%s: then the next, and the highest stays", policy);
	ok(is_sound(&t), "%s: sound", policy);
	free_store(&t);
}

static void
test_min_bytes(int64 min_bytes)
{
	TestStore	t = make_store(4 * MB, 2, PGCACHE_EVICTION_LRU);
	int			n = 1000;
	int			left;

	pgcache_store_set_quota(t.store, 1, min_bytes, 0, 0);
	for (int i = 0; i < n; i++)
		put_len(&t, 1, name("mine", i), 500);
	for (int i = 0; i < 20 * n; i++)
	{
		test_now += USECS_PER_SEC;
		put_len(&t, 2, name("k", i), 500);
	}
	left = count_kept(&t, 1, "mine", n);
	if (min_bytes > MB)
		ok(left == n, "what min_bytes shields stays");
	else if (min_bytes > 0)
		ok(left > 0 && usage(&t, 1).memory <= min_bytes &&
		   usage(&t, 1).memory > min_bytes - 2000,
		   "of more than min_bytes that much stays (%lld of %lld)",
		   (long long) usage(&t, 1).memory, (long long) min_bytes);
	else
		ok(left == 0, "without min_bytes nothing does");

	/* It is no quota upwards. */
	for (int i = 0; i < 20 * n; i++)
	{
		test_now += USECS_PER_SEC;
		MUST(put_len(&t, 1, name("new", i), 500) == PGCACHE_STORED);
	}
	ok(usage(&t, 1).memory > 3 * MB, "and it may grow");
	ok(is_sound(&t), "sound");
	free_store(&t);
}

static void
test_dead_first(const char *what, bool expire)
{
	TestStore	t = make_store(4 * MB, 2, PGCACHE_EVICTION_LRU);
	int			n = 0;

	/* The live ones are the oldest. */
	for (; n < 5000; n++)
		put_len(&t, 1, name("live", n), 200);
	for (int i = 0; usage(&t, 1).evictions + usage(&t, 2).evictions == 0; i++)
		put_ttl(&t, 2, name("short", i), 200, 10);
	pgcache_store_reset_usage(t.store, 1);
	if (expire)
		test_now += 11 * USECS_PER_SEC;
	else
		pgcache_store_clear(t.store, 2);
	for (int i = 0; i < 4000; i++)
	{
		test_now += USECS_PER_SEC / 100;
		put_len(&t, 3, name("new", i), 200);
	}
	ok(usage(&t, 1).evictions == 0 && usage(&t, 3).entries == 4000,
	   "%s entries go before live ones (%lld went)", what, (long long) usage(&t, 1).evictions);
	ok(is_sound(&t), "%s: sound", what);
	free_store(&t);
}

/* ---- limits ---------------------------------------------------------------------- */

static void
test_limit(const char *policy, int eviction)
{
	TestStore	t = make_store(16 * MB, 4, eviction);
	PgCacheMemory memory;
	int			dropped = 0;
	int			n = 0;

	for (; n < 30000; n++)
		dropped += put_len(&t, 0, name("k", n), 800) != PGCACHE_STORED;
	pgcache_store_memory(t.store, &memory);
	ok(memory.used > 15 * MB, "%s: all of the memory is used", policy);
	pgcache_store_tuning(t.store)->memory_limit = 4 * MB;
	for (int i = 0; i < 2000; i++)
		dropped += put_len(&t, 0, name("k", n++), 800) != PGCACHE_STORED;
	pgcache_store_memory(t.store, &memory);
	ok(memory.used <= 4 * MB && memory.used > 3 * MB,
	   "%s: a lower limit is kept to (%lld)", policy, (long long) memory.used);
	ok(is_sound(&t), "%s: sound", policy);
	pgcache_store_tuning(t.store)->memory_limit = 8 * MB;
	for (int i = 0; i < 15000; i++)
		dropped += put_len(&t, 0, name("k", n++), 800) != PGCACHE_STORED;
	pgcache_store_memory(t.store, &memory);
	ok(memory.used <= 8 * MB && memory.used > 7 * MB,
	   "%s: and a raised one is used (%lld)", policy, (long long) memory.used);
	ok(dropped == 0, "%s: nothing is dropped", policy);
	ok(is_sound(&t), "%s: sound", policy);
	free_store(&t);
}

/* A value that cannot fit is dropped before anything is evicted for it. */
static void
test_too_large(void)
{
	TestStore	t = make_store(64 * MB, 16, PGCACHE_EVICTION_LRU);
	PgCacheMemory before;
	PgCacheMemory after;

	pgcache_store_tuning(t.store)->memory_limit = 8 * MB;
	put_len(&t, 0, "large", 100);
	for (int i = 0; i < 20000; i++)
		put_len(&t, 0, name("k", i), 800);
	put_len(&t, 0, "large", 100);
	pgcache_store_memory(t.store, &before);
	ok(put_len(&t, 0, "large", 16 * MB) == PGCACHE_DROPPED,
	   "a value larger than the limit is dropped");
	ok(!holds(&t, 0, "large"), "and with it what it would have replaced");
	pgcache_store_memory(t.store, &after);
	ok(after.entries == before.entries - 1, "but nothing else (%lld entries of %lld)",
	   (long long) after.entries, (long long) before.entries);
	ok(is_sound(&t), "sound");
	free_store(&t);
}

/* ---- large values at the same time ------------------------------------------------ */

typedef struct Writers
{
	TestStore	t;
	pthread_barrier_t barrier;
	uint32		len;
	bool		same_key;
	int			rounds;
	pg_atomic_uint32 next;
	pg_atomic_uint32 dropped;
} Writers;

static void *
write_large(void *arg)
{
	Writers    *w = arg;
	TestStore	mine = w->t;
	int			number = pg_atomic_fetch_add_u32(&w->next, 1);

	mine.store = pgcache_store_attach(mine.memory, mine.locks, &mine.config);
	for (int i = 0; i < w->rounds; i++)
	{
		const char *key = w->same_key ? "same" : name("large", number * 1000 + i);

		pthread_barrier_wait(&w->barrier);
		if (put_len(&mine, 0, key, w->len) != PGCACHE_STORED)
			pg_atomic_fetch_add_u32(&w->dropped, 1);
	}
	free(mine.store);
	return NULL;
}

/*
 * Values under construction hold regions that cannot be emptied, perhaps all of
 * a partition's; yet each gets its room, since together they fit.
 */
static void
test_large_together(int nthreads, uint32 len, bool same_key)
{
	Writers		w = {.t = make_store(64 * MB, 16, PGCACHE_EVICTION_LRU)};
	pthread_t	threads[4];
	const char *keys = same_key ? "one key" : "keys of their own";

	w.len = len;
	w.same_key = same_key;
	w.rounds = 12;
	pg_atomic_init_u32(&w.next, 0);
	pg_atomic_init_u32(&w.dropped, 0);
	for (int i = 0; i < 60000; i++)
		put_len(&w.t, 0, name("small", i), 900);
	MUST(pthread_barrier_init(&w.barrier, NULL, nthreads) == 0);
	for (int i = 0; i < nthreads; i++)
		MUST(pthread_create(&threads[i], NULL, write_large, &w) == 0);
	for (int i = 0; i < nthreads; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&w.barrier);
	ok(pg_atomic_read_u32(&w.dropped) == 0,
	   "%d large values at a time, %s: all are stored (%u dropped)", nthreads, keys,
	   pg_atomic_read_u32(&w.dropped));
	ok(is_sound(&w.t), "%d large values at a time, %s: sound", nthreads, keys);
	free_store(&w.t);
}

int
main(void)
{
	test_touch_oldest("lru", PGCACHE_EVICTION_LRU, true);
	test_touch_oldest("lru", PGCACHE_EVICTION_LRU, false);
	test_touch_oldest("s3fifo", PGCACHE_EVICTION_S3FIFO, true);
	test_touch_oldest("s3fifo", PGCACHE_EVICTION_S3FIFO, false);
	test_priorities("lru", PGCACHE_EVICTION_LRU);
	test_priorities("s3fifo", PGCACHE_EVICTION_S3FIFO);
	test_min_bytes(2 * MB);
	test_min_bytes(300000);
	test_min_bytes(0);
	test_dead_first("expired", true);
	test_dead_first("cleared", false);
	test_limit("lru", PGCACHE_EVICTION_LRU);
	test_limit("s3fifo", PGCACHE_EVICTION_S3FIFO);
	test_too_large();
	test_large_together(2, 16 * MB, false);
	test_large_together(2, 16 * MB, true);
	test_large_together(4, 8 * MB, false);
	test_large_together(4, 8 * MB, true);
	return done_testing();
}
