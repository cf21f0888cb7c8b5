/*
 * test_quota.c
 *	  Quotas of namespaces: how much stays, and which of it.
 */
#include "harness.h"

#define MEMORY	((Size) 16 * 1024 * 1024)

/* Which of n keys are there: the first and last, and how many. */
typedef struct Kept
{
	int			first;
	int			last;
	int			count;
} Kept;

static Kept
kept(TestStore *t, uint16 space, const char *prefix, int n)
{
	Kept		k = {-1, -1, 0};

	for (int i = 0; i < n; i++)
	{
		if (!holds(t, space, name(prefix, i)))
			continue;
		if (k.first < 0)
			k.first = i;
		k.last = i;
		k.count++;
	}
	return k;
}

static bool
is_newest(Kept k, int n)
{
	return k.last == n - 1 && k.count == n - k.first;
}

/* The oldest of all partitions goes, one for one. */
static void
test_lru_order(int partitions, bool by_bytes)
{
	TestStore	t = make_store(MEMORY, partitions, PGCACHE_EVICTION_LRU);
	const char *what = by_bytes ? "bytes" : "entries";
	int			n = 100;
	int			wrong = 0;
	int			missing = 0;

	pgcache_store_tuning(t.store)->lru_bump = 0;
	pgcache_store_set_quota(t.store, 1, 0, by_bytes ? MEMORY : 0, by_bytes ? 0 : n);
	for (int i = 0; i < n; i++)
		put_len(&t, 1, name("k", 1000 + i), 100);
	if (by_bytes)
		pgcache_store_set_quota(t.store, 1, 0, usage(&t, 1).memory, 0);
	ok(usage(&t, 1).entries == n, "%s, %d partitions: what is within is kept", what, partitions);

	for (int i = 0; i < n; i += 3)
		look_up(&t, 1, name("k", 1000 + i), true);
	/* First those that were not used, then those that were, in order. */
	for (int i = 0; i < n; i++)
	{
		int			nunused = n - (n + 2) / 3;
		int			victim = i < nunused ? i / 2 * 3 + 1 + i % 2 : (i - nunused) * 3;

		wrong += !holds(&t, 1, name("k", 1000 + victim));
		put_len(&t, 1, name("k", 2000 + i), 100);
		wrong += holds(&t, 1, name("k", 1000 + victim));
		missing += usage(&t, 1).entries != n;
	}
	ok(wrong == 0, "%s, %d partitions: the least recently used goes (%d wrong)",
	   what, partitions, wrong);
	ok(missing == 0 && usage(&t, 1).evictions == n,
	   "%s, %d partitions: one goes for one that comes", what, partitions);
	ok(is_sound(&t), "%s, %d partitions: sound", what, partitions);
	free_store(&t);
}

static void
test_priorities(void)
{
	TestStore	t = make_store(MEMORY, 4, PGCACHE_EVICTION_LRU);
	int			lost = 0;

	pgcache_store_set_quota(t.store, 1, 0, 0, 30);
	for (int i = 0; i < 10; i++)
		put_priority(&t, 1, name("high", i), 10, 5);
	for (int i = 0; i < 10; i++)
		put_priority(&t, 1, name("plain", i), 10, 0);
	for (int i = 0; i < 10; i++)
		put_priority(&t, 1, name("low", i), 10, -5);
	for (int i = 0; i < 10; i++)
		put_priority(&t, 1, name("other", i), 10, 1);
	ok(kept(&t, 1, "low", 10).count == 0 && kept(&t, 1, "plain", 10).count == 10 &&
	   kept(&t, 1, "high", 10).count == 10, "the lowest priority goes first, however new");
	for (int i = 10; i < 25; i++)
		put_priority(&t, 1, name("other", i), 10, 1);
	lost = 10 - kept(&t, 1, "high", 10).count;
	ok(kept(&t, 1, "plain", 10).count == 0 && lost == 0 &&
	   is_newest(kept(&t, 1, "other", 25), 25), "then the next, the oldest of them first");
	ok(is_sound(&t), "sound");
	free_store(&t);
}

/* Another namespace has used up its share of classes. */
static void
test_many_priorities(void)
{
	TestStore	t = make_store(MEMORY, 1, PGCACHE_EVICTION_LRU);

	for (int i = 0; i < 300; i++)
		put_priority(&t, 0, name("p", i), 1, 1000 + i);
	pgcache_store_set_quota(t.store, 1, 0, 0, 10);
	for (int i = 0; i < 1000; i++)
		put_len(&t, 1, name("q", i), 1);
	ok(usage(&t, 1).entries == 10 && is_newest(kept(&t, 1, "q", 1000), 1000),
	   "a quota holds although another namespace has many priorities");
	ok(usage(&t, 0).entries == 300, "and takes nothing of that");

	pgcache_store_set_quota(t.store, 2, 0, 0, 100);
	for (int i = 0; i < 300; i++)
		put_priority(&t, 2, name("p", i), 1, 1000 + i);
	for (int i = 0; i < 500; i++)
		put_len(&t, 3, name("a", i), 1);
	for (int i = 0; i < 100; i++)
		put_len(&t, 2, name("b", i), 1);
	ok(usage(&t, 2).entries == 100, "a quota holds for many priorities of its own");
	ok(usage(&t, 3).entries == 500 && usage(&t, 3).evictions == 0,
	   "and takes nothing of a namespace without quotas");
	ok(is_sound(&t), "sound");
	free_store(&t);
}

/* The table of classes has no room for all namespaces that have quotas. */
static void
test_many_namespaces(int partitions)
{
	PgCacheStoreConfig config = make_config(MEMORY, partitions, PGCACHE_EVICTION_LRU);
	int			nspaces = MAX_CLASSES + 50;
	int			wrong = 0;
	TestStore	t;

	config.max_spaces = nspaces;
	t = make_store_of(config);
	for (int space = 1; space < nspaces; space++)
		pgcache_store_set_quota(t.store, space, 0, 0, 5);
	for (int i = 0; i < 20; i++)
		for (int space = 1; space < nspaces; space++)
		{
			put_priority(&t, space, name("k", i), 1, i % 3);
			wrong += usage(&t, space).entries != Min(i + 1, 5);
		}
	ok(wrong == 0, "more namespaces with quotas than classes, %d partitions: all hold (%d wrong)",
	   partitions, wrong);
	for (int space = 1; space < nspaces; space += 2)
		pgcache_store_set_quota(t.store, space, 0, 0, 0);
	for (int i = 20; i < 30; i++)
		for (int space = 1; space < nspaces; space++)
			put_len(&t, space, name("k", i), 1);
	for (int space = 1; space < nspaces; space++)
		wrong += usage(&t, space).entries != (space % 2 ? 15 : 5);
	ok(wrong == 0, "and half of them when the others have none any more");
	ok(is_sound(&t), "sound");
	free_store(&t);
}

/* One large entry over the quota must not take many small ones along. */
static void
test_overshoot(int partitions)
{
	TestStore	t = make_store(64 * 1024 * 1024, partitions, PGCACHE_EVICTION_LRU);
	int64		memory;

	for (int i = 0; i < 20; i++)
		put_len(&t, 1, name("big", i), 1024 * 1024);
	for (int i = 0; i < 10000; i++)
		put_len(&t, 1, name("small", i), 100);
	memory = usage(&t, 1).memory;
	pgcache_store_set_quota(t.store, 1, 0, memory, 0);
	put_len(&t, 1, "extra", 300000);
	ok(usage(&t, 1).memory <= memory && usage(&t, 1).memory > memory * 9 / 10,
	   "%d partitions: a large entry over the quota of bytes evicts no more than it must",
	   partitions);
	ok(kept(&t, 1, "small", 10000).count == 10000 && holds(&t, 1, "extra"),
	   "%d partitions: and the oldest only", partitions);
	ok(put_len(&t, 1, "larger", memory) == PGCACHE_DROPPED && !holds(&t, 1, "larger") &&
	   usage(&t, 1).memory > memory * 9 / 10,
	   "%d partitions: what is larger than the quota is dropped at once", partitions);
	ok(is_sound(&t), "%d partitions: sound", partitions);
	free_store(&t);
}

/* Quotas come, shrink and go while there are entries. */
static void
test_changes(int eviction)
{
	TestStore	t = make_store(MEMORY, 1, eviction);
	const char *policy = eviction == PGCACHE_EVICTION_LRU ? "lru" : "s3fifo";
	int64		memory;

	for (int i = 0; i < 500; i++)
	{
		put_priority(&t, 1, name("k", i), 100, i < 250 ? 0 : 1);
		put_len(&t, 2, name("other", i), 100);
	}
	pgcache_store_set_quota(t.store, 1, 0, 0, 400);
	ok(is_newest(kept(&t, 1, "k", 500), 500) && usage(&t, 1).entries == 400,
	   "%s: a quota set later leaves the newest", policy);
	pgcache_store_set_quota(t.store, 1, 0, 0, 50);
	ok(is_newest(kept(&t, 1, "k", 500), 500) && usage(&t, 1).entries == 50,
	   "%s: and so does one that shrinks", policy);
	memory = usage(&t, 1).memory;
	pgcache_store_set_quota(t.store, 1, 0, memory / 2, 50);
	ok(usage(&t, 1).memory <= memory / 2 && usage(&t, 1).entries >= 24,
	   "%s: and one of bytes beside it", policy);
	ok(usage(&t, 2).entries == 500 && usage(&t, 2).evictions == 0,
	   "%s: another namespace is left alone", policy);
	ok(is_sound(&t), "%s: sound", policy);

	pgcache_store_set_quota(t.store, 1, 0, 0, 0);
	for (int i = 0; i < 500; i++)
		put_len(&t, 1, name("new", i), 100);
	ok(kept(&t, 1, "new", 500).count == 500, "%s: without quotas it grows", policy);
	pgcache_store_set_quota(t.store, 1, 0, 0, 1);
	ok(usage(&t, 1).entries == 1, "%s: down to one entry", policy);
	pgcache_store_clear(t.store, 1);
	ok(put_len(&t, 1, "after", 1) == PGCACHE_STORED && usage(&t, 1).entries == 1,
	   "%s: what was cleared does not count", policy);
	ok(is_sound(&t), "%s: sound", policy);
	free_store(&t);
}

/* Far over the quota with many partitions: it holds, by shares. */
static void
test_shrink_far(void)
{
	TestStore	t = make_store(MEMORY, 4, PGCACHE_EVICTION_LRU);
	Kept		k;

	for (int i = 0; i < 4000; i++)
		put_len(&t, 1, name("k", i), 100);
	pgcache_store_set_quota(t.store, 1, 0, 0, 1000);
	k = kept(&t, 1, "k", 4000);
	ok(k.count <= 1000 && k.count > 900, "far over the quota: as much goes as must (%d left)",
	   k.count);
	ok(k.first > 2000, "and the oldest in about that order (%d is the oldest left)", k.first);
	ok(is_sound(&t), "sound");
	free_store(&t);
}

/* Expired entries go before live ones. */
static void
test_expired_first(void)
{
	TestStore	t = make_store(MEMORY, 4, PGCACHE_EVICTION_LRU);

	pgcache_store_set_quota(t.store, 1, 0, 0, 100);
	for (int i = 0; i < 50; i++)
		put_len(&t, 1, name("live", i), 10);
	for (int i = 0; i < 50; i++)
		put_ttl(&t, 1, name("short", i), 10, 5);
	test_now += 6 * USECS_PER_SEC;
	for (int i = 0; i < 50; i++)
		put_len(&t, 1, name("new", i), 10);
	ok(kept(&t, 1, "live", 50).count == 50 && kept(&t, 1, "new", 50).count == 50 &&
	   usage(&t, 1).evictions == 0, "expired entries make room within a quota first");
	ok(is_sound(&t), "sound");
	free_store(&t);
}

/* More memory would keep none of what a quota takes: no mark is left of it. */
static void
test_no_marks(void)
{
	TestStore	t = make_store(MEMORY, 4, PGCACHE_EVICTION_LRU);
	int			marks = 0;
	int			sampled = 0;

	pgcache_store_set_quota(t.store, 1, 0, 0, 20);
	for (int i = 0; i < 1000; i++)
		put_len(&t, 1, name("key", i), 100);
	for (int i = 0; i < 1000; i++)
	{
		PgCacheKey	k;
		const char *key = name("key", i);

		pgcache_store_key(t.store, &k, 1, key, strlen(key));
		if (!pgcache_key_is_sampled(k.hash) || holds(&t, 1, key))
			continue;
		sampled++;
		marks += pgcache_store_ghost(t.store, &k) != PGCACHE_GHOST_NONE;
	}
	ok(usage(&t, 1).evictions == 980 && sampled > 10 && marks == 0,
	   "what a quota evicts leaves no mark: %d of %d", marks, sampled);
	ok(is_sound(&t), "sound");
	free_store(&t);
}

int
main(void)
{
	test_lru_order(1, false);
	test_lru_order(8, false);
	test_lru_order(1, true);
	test_lru_order(8, true);
	test_priorities();
	test_many_priorities();
	test_many_namespaces(1);
	test_many_namespaces(4);
	test_overshoot(1);
	test_overshoot(8);
	test_changes(PGCACHE_EVICTION_LRU);
	test_changes(PGCACHE_EVICTION_S3FIFO);
	test_shrink_far();
	test_expired_first();
	test_no_marks();
	return done_testing();
}
