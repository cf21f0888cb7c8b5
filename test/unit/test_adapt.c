/*
 * test_adapt.c
 *	  Memory that follows use between namespaces.
 */
#include "harness.h"

#include <math.h>

#define MIB		((Size) 1024 * 1024)

static uint64 asked[8];

static uint64
gets_of(uint16 space)
{
	return asked[space];
}

/* A get, and a put if it is a miss. */
static bool
use(TestStore *t, uint16 space, int n, uint32 len)
{
	const char *key = name("key", n);
	PgCacheKey	k;

	asked[space]++;
	if (look_up(t, space, key, true))
		return true;
	pgcache_store_key(t->store, &k, space, key, strlen(key));
	if (pgcache_key_is_sampled(k.hash))
		(void) pgcache_store_ghost(t->store, &k);
	put_len(t, space, key, len);
	return false;
}

static int
skewed(int n)
{
	return (int) (n * pow((random_below(1 << 30) + 1.0) / (1 << 30), 3));
}

/* Hits of namespaces 1 and 2 in equal numbers of gets; of 2 a scan if asked. */
static int64
run(TestStore *t, int gets, bool adaptive, bool scan, PgCacheAdapt *adapt, int64 *hits)
{
	static int	next = 1000000;

	hits[1] = hits[2] = 0;
	for (int i = 0; i < gets; i++)
	{
		int			which = 1 + (int) random_below(2);

		hits[which] += use(t, which, which == 2 && scan ? next++ : skewed(60000), 200);
		if (adaptive && i % 10000 == 0)
			pgcache_store_adapt(t->store, adapt, gets_of);
	}
	return hits[1] + hits[2];
}

static uint64
protected_of(TestStore *t, int space)
{
	return pg_atomic_read_u64(&t->store->shares[space].protected);
}

static void
set_protected(TestStore *t, int space, uint64 bytes, uint32 round)
{
	pg_atomic_write_u64(&t->store->shares[space].protected, bytes);
	pg_atomic_write_u32(&t->store->shared->protection, round);
}

static void
test_scan(void)
{
	TestStore	plain = make_store(4 * MIB, 2, PGCACHE_EVICTION_LRU);
	TestStore	adaptive = make_store(4 * MIB, 2, PGCACHE_EVICTION_LRU);
	PgCacheAdapt adapt = {NULL};
	uint64		start = random_state;
	int64		hits[3];
	int64		off;
	int64		on;

	off = run(&plain, 800000, false, true, NULL, hits);
	random_state = start;
	on = run(&adaptive, 800000, true, true, &adapt, hits);
	ok(on > off * 11 / 10, "what is asked for keeps its place beside a scan: %lld hits, not %lld",
	   (long long) on, (long long) off);
	ok(usage(&adaptive, 1).memory > usage(&plain, 1).memory * 3 / 2 &&
	   protected_of(&adaptive, 2) == 0 && is_sound(&adaptive),
	   "by the memory that it has: %lld bytes, not %lld",
	   (long long) usage(&adaptive, 1).memory, (long long) usage(&plain, 1).memory);
	ok(usage(&adaptive, 2).entries > 500, "the scan has some as well");

	/* Nobody asks for the first any more, and the second is now worth it. */
	for (int i = 0; i < 600000; i++)
	{
		(void) use(&adaptive, 2, skewed(60000), 200);
		if (i % 10000 == 0)
			pgcache_store_adapt(adaptive.store, &adapt, gets_of);
	}
	ok(usage(&adaptive, 1).entries < 300 && protected_of(&adaptive, 1) < MIB / 100,
	   "what is not asked for any more goes");
	pgcache_store_adapt_no_more(adaptive.store, &adapt);
	ok(protected_of(&adaptive, 1) == 0 && protected_of(&adaptive, 2) == 0 &&
	   adapt.spaces == NULL, "switched off");
	ok(is_sound(&adaptive) && is_sound(&plain), "sound");
	free_store(&plain);
	free_store(&adaptive);
}

static void
test_alike(void)
{
	TestStore	t = make_store(4 * MIB, 2, PGCACHE_EVICTION_LRU);
	PgCacheAdapt adapt = {NULL};
	int64		hits[3];

	(void) run(&t, 400000, true, false, &adapt, hits);
	ok(protected_of(&t, 1) == 0 && protected_of(&t, 2) == 0, "of two alike none is preferred");
	pgcache_store_adapt_no_more(t.store, &adapt);
	free_store(&t);
}

/* Whoever has quotas has them, and no more. */
static void
test_quota(void)
{
	TestStore	t = make_store(4 * MIB, 2, PGCACHE_EVICTION_LRU);
	PgCacheAdapt adapt = {NULL};
	int64		hits[3];

	pgcache_store_set_quota(t.store, 1, 0, MIB, 0);
	(void) run(&t, 400000, true, true, &adapt, hits);
	ok(protected_of(&t, 1) == 0 && usage(&t, 1).memory <= (int64) MIB && is_sound(&t),
	   "a namespace with quotas has no part in it");
	pgcache_store_adapt_no_more(t.store, &adapt);
	free_store(&t);
}

/* The oldest of what is not protected goes first, then the next, and so on. */
static void
test_order(void)
{
	TestStore	t = make_store(1 * MIB, 1, PGCACHE_EVICTION_LRU);
	int			last = 0;
	int			first = 0;
	bool		in_order = true;

	pgcache_store_tuning(t.store)->lru_bump = 0;
	for (int i = 0; i < 1000; i++)
		put_len(&t, 1, name("key", i), 200);
	pg_atomic_write_u64(&t.store->shares[1].protected, 2 * MIB);
	pg_atomic_write_u32(&t.store->shared->protection, 1);
	while (usage(&t, 2).evictions == 0)
		put_len(&t, 2, name("key", last++), 200);
	for (int i = 0; i < 5000; i++)
	{
		put_len(&t, 2, name("key", last++), 200);
		while (!holds(&t, 2, name("key", first)))
			first++;
		in_order = in_order && last - first == usage(&t, 2).entries;
	}
	/* A search that is given up takes what the policy names. */
	ok(usage(&t, 1).entries >= 998, "what is protected stays");
	ok(in_order && is_sound(&t), "and the others go in order");
	/* Some of it is protected: so much stays, the newest. */
	pg_atomic_write_u64(&t.store->shares[1].protected, usage(&t, 1).memory / 2);
	pg_atomic_write_u32(&t.store->shared->protection, 2);
	for (int i = 0; i < 10000; i++)
		put_len(&t, 2, name("key", last++), 200);
	ok(usage(&t, 1).entries >= 498 && usage(&t, 1).entries <= 502 && holds(&t, 1, name("key", 999)) &&
	   holds(&t, 1, name("key", 510)) && !holds(&t, 1, name("key", 490)) && is_sound(&t),
	   "half of it: the newer half stays (%lld)", (long long) usage(&t, 1).entries);
	pgcache_store_forget_space(t.store, 1);
	ok(protected_of(&t, 1) == 0, "a slot's next user begins without");
	free_store(&t);
}

/* Not more is protected than there is room for, beside namespaces with quotas. */
static void
test_room(void)
{
	TestStore	t = make_store(4 * MIB, 2, PGCACHE_EVICTION_LRU);
	PgCacheAdapt adapt = {NULL};
	int64		room;

	pgcache_store_set_quota(t.store, 3, 5 * MIB / 2, 5 * MIB / 2, 0);
	for (int i = 0; i < 30000; i++)
		put_len(&t, 3, name("key", i), 200);
	for (int i = 0; i < 30000; i++)
		put_len(&t, 1 + i % 2, name("key", i), 200);
	room = usage(&t, 1).memory + usage(&t, 2).memory;
	set_protected(&t, 1, MIB, 1);
	set_protected(&t, 2, 2 * MIB, 1);
	pgcache_store_adapt(t.store, &adapt, gets_of);
	ok(protected_of(&t, 1) + protected_of(&t, 2) < room / 10 * 9 &&
	   protected_of(&t, 1) > room / 5 && protected_of(&t, 2) > protected_of(&t, 1) * 3 / 2,
	   "of %lld bytes, %llu and %llu are protected", (long long) room,
	   (unsigned long long) protected_of(&t, 1), (unsigned long long) protected_of(&t, 2));
	pgcache_store_adapt_no_more(t.store, &adapt);
	free_store(&t);
}

/* Where all is protected it is not looked at again for each that goes. */
static void
test_all(void)
{
	TestStore	t = make_store(1 * MIB, 1, PGCACHE_EVICTION_LRU);
	PgCachePartition *part = &t.store->parts[0];
	int			next = 0;
	int			looks = 0;

	pgcache_store_tuning(t.store)->lru_bump = 0;
	while (usage(&t, 1).evictions == 0)
		put_len(&t, 1, name("key", next++), 200);
	set_protected(&t, 1, 100 * MIB, 7);
	for (int i = 0; i < 100; i++)
		put_len(&t, 1, name("key", next++), 200);
	ok(part->cursor == 0 && part->cursor_round == 7, "a search that finds nothing ends");
	for (int i = 0; i < 100; i++)
	{
		put_len(&t, 1, name("key", next++), 200);
		looks += part->cursor != 0;
	}
	ok(looks == 0 && holds(&t, 1, name("key", next - (int) usage(&t, 1).entries)),
	   "the oldest of all goes then, without another search");
	set_protected(&t, 1, usage(&t, 1).memory, 8);
	for (int i = 0; i < 1000; i++)
		put_len(&t, 2, name("key", i), 200);
	ok(usage(&t, 2).entries < 50 && is_sound(&t), "until the next round");
	free_store(&t);
}

/* What was noticed of a slot's namespace does not count for the next one. */
static void
test_next_user(void)
{
	TestStore	t = make_store(4 * MIB, 2, PGCACHE_EVICTION_LRU);
	PgCacheAdapt adapt = {NULL};
	int64		hits[3];

	(void) run(&t, 200000, true, true, &adapt, hits);
	MUST(protected_of(&t, 1) > 0);
	pgcache_store_forget_space(t.store, 1);
	pgcache_store_adapt(t.store, &adapt, gets_of);
	ok(protected_of(&t, 1) == 0, "a slot's next user begins without a past");
	pgcache_store_adapt_no_more(t.store, &adapt);
	free_store(&t);
}

/* One that nobody asks any more, after many years in which it was not protected. */
static void
test_unasked(void)
{
	TestStore	t = make_store(4 * MIB, 2, PGCACHE_EVICTION_LRU);
	PgCacheAdapt adapt = {NULL};
	int64		hits[3];
	int			rounds = 0;

	asked[1] = UINT64CONST(1) << 50;
	for (int i = 0; i < 100 && protected_of(&t, 1) == 0; i++)
		(void) run(&t, 10000, true, true, &adapt, hits);
	MUST(protected_of(&t, 1) > 0);
	while (protected_of(&t, 1) > 0 && rounds++ < 1000)
		pgcache_store_adapt(t.store, &adapt, gets_of);
	ok(rounds < 60, "that nobody asks is noticed, in %d rounds", rounds);
	pgcache_store_adapt_no_more(t.store, &adapt);
	free_store(&t);
}

/* A process that knows nothing of what another one protected. */
static void
test_restart(void)
{
	TestStore	t = make_store(1 * MIB, 1, PGCACHE_EVICTION_LRU);
	PgCacheAdapt adapt = {NULL};

	set_protected(&t, 1, MIB / 2, 3);
	asked[1] = UINT64CONST(1) << 50;
	for (int i = 0; i < 60; i++)
		pgcache_store_adapt(t.store, &adapt, gets_of);
	ok(protected_of(&t, 1) == 0, "what another process protected and nobody asks for");

	set_protected(&t, 1, MIB / 2, 3);
	free(adapt.spaces);
	adapt.spaces = NULL;
	pgcache_store_adapt_no_more(t.store, &adapt);
	ok(protected_of(&t, 1) == 0 && pg_atomic_read_u32(&t.store->shared->protection) == 0,
	   "switched off by another process");
	free_store(&t);
}

int
main(void)
{
	test_room();
	test_all();
	test_next_user();
	test_unasked();
	test_restart();
	test_order();
	test_scan();
	test_alike();
	test_quota();
	return done_testing();
}
