/*
 * test_ghost.c
 *	  What a miss was: estimates by the marks of what was evicted or expired,
 *	  against stores of twice the size.
 */
#include "harness.h"

#include <math.h>

#define MIB		((Size) 1024 * 1024)
#define NKEYS	200000
#define GETS	1200000
#define WARM	400000

static PgCacheGhostKind
ghost(TestStore *t, uint16 space, const char *key)
{
	PgCacheKey	k;

	pgcache_store_key(t->store, &k, space, key, strlen(key));
	return pgcache_store_ghost(t->store, &k);
}

static bool
is_sampled(TestStore *t, uint16 space, const char *key)
{
	PgCacheKey	k;

	pgcache_store_key(t->store, &k, space, key, strlen(key));
	return pgcache_key_is_sampled(k.hash);
}

/* A key of a trace: mostly few of them, with a long tail; sometimes a scan. */
static int
next_key(int i, double skew)
{
	double		u = (random_below(1 << 30) + 1.0) / (1 << 30);

	if (i % 5 == 0)
		return NKEYS + i;
	return (int) (NKEYS * pow(u, skew));
}

static TestStore
make_exact(Size bytes, int eviction)
{
	TestStore	t = make_store(bytes, 4, eviction);

	pgcache_store_tuning(t.store)->lru_bump = 0;
	return t;
}

static void
test_estimate(int eviction, double skew, uint32 len, const char *what, double most)
{
	TestStore	one = make_exact(8 * MIB, eviction);
	TestStore	two = make_exact(16 * MIB, eviction);
	int64		hits_one = 0;
	int64		hits_two = 0;
	int64		estimate = 0;
	int64		gain;
	double		off;

	for (int i = 0; i < GETS; i++)
	{
		int			n = next_key(i, skew);
		const char *key = name("key", n);
		bool		hit = look_up(&one, 1, key, true);
		uint32		size = len + (uint32) (n * UINT64CONST(2654435761) >> 7) % len;

		if (i >= WARM)
		{
			hits_one += hit;
			if (!hit && is_sampled(&one, 1, key) && ghost(&one, 1, key) == PGCACHE_GHOST_EVICTED)
				estimate += PGCACHE_GHOST_SAMPLE;
		}
		if (!hit)
			put_len(&one, 1, key, size);
		hit = look_up(&two, 1, key, true);
		if (i >= WARM)
			hits_two += hit;
		if (!hit)
			put_len(&two, 1, key, size);
	}
	gain = hits_two - hits_one;
	off = (double) (estimate - gain) / gain;
	ok(gain > GETS / 50 && fabs(off) < most,
	   "%s: %lld hits more with twice the memory, %lld estimated (%+.1f %%)", what,
	   (long long) gain, (long long) estimate, off * 100);
	ok(is_sound(&one) && is_sound(&two), "%s: sound", what);
	free_store(&one);
	free_store(&two);
}

static void
test_marks(void)
{
	TestStore	t = make_store(8 * MIB, 2, PGCACHE_EVICTION_LRU);
	int			marked = 0;
	int			evicted = 0;
	int			others = 0;
	int			forgotten = 0;
	int			last = 0;
	PgCacheStoreSpace spaces[8];

	while (usage(&t, 1).evictions < 10000)
		put_len(&t, 1, name("key", last++), 200);
	MUST(t.store->max_spaces == lengthof(spaces));
	memcpy(spaces, t.store->spaces, sizeof(spaces));
	for (int i = 0; i < last; i++)
	{
		const char *key = name("key", i);

		if (!is_sampled(&t, 1, key))
			continue;
		if (holds(&t, 1, key))
			others += ghost(&t, 1, key) != PGCACHE_GHOST_NONE;
		else
		{
			evicted++;
			marked += ghost(&t, 1, key) == PGCACHE_GHOST_EVICTED;
		}
	}
	ok(evicted > 400 && marked > evicted * 95 / 100, "what was evicted left a mark: %d of %d keys",
	   marked, evicted);
	ok(others == 0, "what is there has none");
	ok(memcmp(spaces, t.store->spaces, sizeof(spaces)) == 0 &&
	   pg_atomic_read_u64(&t.store->shares[1].ghost_hits) == (uint64) marked,
	   "finding marks writes nothing to what each hit reads");
	for (int i = 0; i < 5000; i++)
	{
		const char *key = name("key", i);

		if (is_sampled(&t, 1, key) && !holds(&t, 1, key))
		{
			put_len(&t, 1, key, 200);
			forgotten += ghost(&t, 1, key) == PGCACHE_GHOST_NONE;
			delete_key(&t, 1, key);
			others += ghost(&t, 1, key) != PGCACHE_GHOST_NONE;
		}
	}
	ok(forgotten > 100 && others == 0, "a put takes it away, and a delete leaves none");
	ok(is_sound(&t), "sound");
	free_store(&t);
}

/* What was evicted before a clear would have been no hit with any memory. */
static void
test_clear(void)
{
	TestStore	t = make_store(8 * MIB, 2, PGCACHE_EVICTION_LRU);
	int			before[3] = {0};
	int			after[3] = {0};
	int			next[3] = {0};
	int			again = 0;
	int			of = 0;

	while (usage(&t, 1).evictions < 5000)
		for (int space = 1; space <= 2; space++)
			put_len(&t, space, name("key", next[space]++), 200);
	for (int space = 1; space <= 2; space++)
		for (int i = 0; i < next[space]; i++)
			before[space] += is_sampled(&t, space, name("key", i)) &&
				ghost(&t, space, name("key", i)) == PGCACHE_GHOST_EVICTED;
	pgcache_store_clear(t.store, 1);
	for (int space = 1; space <= 2; space++)
		for (int i = 0; i < next[space]; i++)
			after[space] += is_sampled(&t, space, name("key", i)) &&
				ghost(&t, space, name("key", i)) != PGCACHE_GHOST_NONE;
	ok(before[1] > 200 && after[1] == 0, "a clear makes marks count no more: %d before, %d after",
	   before[1], after[1]);
	ok(before[2] > 200 && after[2] == before[2], "others' stay");

	/* What came later leaves marks again. */
	next[0] = next[1];
	while (usage(&t, 1).evictions < 15000)
		put_len(&t, 1, name("key", next[1]++), 200);
	for (int i = next[0]; i < next[1]; i++)
	{
		const char *key = name("key", i);

		if (!is_sampled(&t, 1, key) || holds(&t, 1, key))
			continue;
		of++;
		again += ghost(&t, 1, key) == PGCACHE_GHOST_EVICTED;
	}
	ok(of > 200 && again > of * 95 / 100, "and new ones are made: %d of %d keys", again, of);
	ok(is_sound(&t), "sound");
	free_store(&t);
}

static void
test_expired(void)
{
	TestStore	t = make_store(8 * MIB, 2, PGCACHE_EVICTION_LRU);
	int			sampled = 0;
	int			right = 0;

	for (int i = 0; i < 10000; i++)
		put_ttl(&t, 1, name("key", i), 100, 10);
	test_now += 11 * USECS_PER_SEC;
	for (int i = 0; i < 10000; i++)
	{
		const char *key = name("key", i);

		if (i == 5000)
			sweep_all(&t);
		if (!is_sampled(&t, 1, key))
			continue;
		sampled++;
		right += !look_up(&t, 1, key, true) && ghost(&t, 1, key) == PGCACHE_GHOST_EXPIRED;
	}
	ok(sampled > 500 && right > sampled * 95 / 100,
	   "expired ones are known as such, found or swept: %d of %d", right, sampled);
	ok(is_sound(&t), "sound");
	free_store(&t);
}

int
main(void)
{
	test_marks();
	test_clear();
	test_expired();
	test_estimate(PGCACHE_EVICTION_LRU, 3, 100, "lru, small values", 0.08);
	test_estimate(PGCACHE_EVICTION_LRU, 2, 600, "lru, larger values", 0.08);
	test_estimate(PGCACHE_EVICTION_LRU, 5, 200, "lru, few hot ones", 0.08);
	/* Ghosts are those of a queue, which S3-FIFO is not. */
	test_estimate(PGCACHE_EVICTION_S3FIFO, 3, 100, "s3fifo", 0.50);
	return done_testing();
}
