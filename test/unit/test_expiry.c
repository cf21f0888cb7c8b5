/*
 * test_expiry.c
 *	  What has expired goes, however far ahead that was and whatever the clock
 *	  did meanwhile.
 */
#include "harness.h"

#define SECOND	USECS_PER_SEC
#define HOUR	3600
#define DAY		(24 * HOUR)

#define NKEYS	3000

static void
wait_seconds(int64 seconds)
{
	test_now += seconds * SECOND;
}

/* What writers bound a sweep by. */
#define ENOUGH	16
#define LOOKS	256

static uint32 most_looks;		/* of any sweep_some */
static int64 most_removed;

/* One sweep as writers do it. */
static int64
sweep_some(TestStore *t)
{
	PgCachePartition *part = &t->store->parts[0];
	uint32		from = part->expiry_hand;
	int64		removed;

	LWLockAcquire(lock_of(t->store, part), LW_EXCLUSIVE);
	removed = pgcache_expiry_sweep(t->store, part, test_now, ENOUGH, LOOKS, false);
	LWLockRelease(lock_of(t->store, part));
	if (part->expiry_hand > from)
		most_looks = Max(most_looks, part->expiry_hand - from);
	else if (part->expiry_hand == 0 && from > 0)
		most_looks = Max(most_looks, count_buckets(t) - from);
	most_removed = Max(most_removed, removed);
	return removed;
}

/* An entry may be created long before it is put; its expiry is near. */
static void
test_created_long_ago(void)
{
	TestStore	t = make_store(4 * 1024 * 1024, 1, PGCACHE_EVICTION_LRU);
	PgCacheItem item;

	wait_seconds(50000);
	/* A round now, so that the next look at what is far away is not due. */
	put_ttl(&t, 0, "short", 1, 1);
	wait_seconds(2);
	sweep_all(&t);

	item = item_of(&t, 0, "old", 1);
	item.flags |= PGCACHE_ENTRY_TTL;
	item.created = test_now - 40000 * SECOND;
	item.expires = test_now + 60 * SECOND;
	put_item(&t, &item);
	wait_seconds(61);
	ok(sweep_all(&t) == 1, "an entry created long before it was put is swept");
	ok(is_sound(&t), "sound");
	free_store(&t);
}

/* The clock is a day ahead for a while. */
static void
test_clock_set_back(void)
{
	TestStore	t = make_store(4 * 1024 * 1024, 1, PGCACHE_EVICTION_LRU);
	TimestampTz right;
	int			left = 0;

	wait_seconds(50000);
	right = test_now;
	wait_seconds(DAY);
	put_ttl(&t, 0, "wrong", 1, 1);
	wait_seconds(2);
	sweep_all(&t);
	test_now = right;

	put_ttl(&t, 0, "far", 1, 10 * HOUR);
	/* Entries that live for half a minute keep rounds going. */
	for (int n = 0; n < 11 * 60; n++)
	{
		wait_seconds(60);
		put_ttl(&t, 0, name("near", n), 1, 30);
		sweep_all(&t);
		left += n >= 10 * 60 && usage(&t, 0).entries > 1;
	}
	ok(left == 0, "a far entry is swept in time after the clock was set back");
	ok(is_sound(&t), "sound");
	free_store(&t);
}

/* Sweeps at the very moment and just before it, with no sweep in between. */
static void
test_far(void)
{
	static const int64 ahead[] = {1, 31999, 32000, 32001, 32767, 32768, 40000,
	65532, 65533, 65534, 97533, 131066, 131067, 1000000, 400 * DAY};
	int			early = 0;
	int			late = 0;

	for (int i = 0; i < lengthof(ahead); i++)
	{
		for (int keep = 0; keep < 2; keep++)
		{
			TestStore	t = make_store(4 * 1024 * 1024, 1, PGCACHE_EVICTION_LRU);

			put_ttl(&t, 0, "far", 1, ahead[i]);
			if (keep)
				put_ttl(&t, 0, "farther", 1, ahead[i] + 10);
			test_now += ahead[i] * SECOND - 1;
			early += sweep_all(&t);
			test_now += 1;
			late += sweep_all(&t) != 1;
			free_store(&t);
		}
	}
	ok(early == 0, "nothing is swept before it has expired (%d)", early);
	ok(late == 0, "everything is swept when it has (%d)", late);
}

static TimestampTz expires[NKEYS];

/* How many should be left after a sweep. */
static int64
forget_expired(void)
{
	int64		live = 0;

	for (int n = 0; n < NKEYS; n++)
	{
		if (expires[n] <= test_now)
			expires[n] = 0;
		live += expires[n] != 0;
	}
	return live;
}

/*
 * Random expiries, the clock jumping about: every sweep removes all that has
 * expired and nothing else.
 */
static void
test_random_clock(const char *what, bool back, int steps)
{
	TestStore	t = make_store(4 * 1024 * 1024, 2, PGCACHE_EVICTION_LRU);
	TimestampTz start = test_now;
	int			wrong = 0;
	int64		live;

	memset(expires, 0, sizeof(expires));
	for (int i = 0; i < steps; i++)
	{
		for (int j = random_below(100); j > 0; j--)
		{
			int			n = random_below(NKEYS);
			int64		ahead = 1 + random_below(random_below(2) ? 100 : 200000);

			MUST(put_ttl(&t, 0, name("k", n), 1, ahead) == PGCACHE_STORED);
			expires[n] = test_now + ahead * SECOND;
		}
		switch (random_below(8))
		{
			case 0:
				wait_seconds(random_below(100000));
				break;
			case 1:
				if (back)
					test_now -= Min(random_below(100000) * SECOND, test_now - start);
				break;
			default:
				test_now += random_below(5000) * INT64CONST(1000003);
				break;
		}
		if (random_below(3) == 0)
			continue;
		sweep_all(&t);
		live = forget_expired();
		wrong += usage(&t, 0).entries != live;
	}
	ok(wrong == 0, "%s: each of the sweeps leaves what is live and no more (%d of %d do not)",
	   what, wrong, steps);
	ok(is_sound(&t), "%s: sound", what);
	free_store(&t);
}

/* Writers sweep a little at a time, and yet all of it goes. */
static void
test_rounds(void)
{
	TestStore	t = make_store(8 * 1024 * 1024, 1, PGCACHE_EVICTION_LRU);
	PgCachePartition *part = &t.store->parts[0];
	int			n = 30000;
	int64		removed = 0;
	int			calls = 0;
	int			limit;

	for (int i = 0; i < n; i++)
		put_ttl(&t, 0, name("k", i), 1, i % 2 ? 10 : 100000);
	wait_seconds(11);
	limit = count_buckets(&t) / LOOKS + n / ENOUGH + 2;
	for (; usage(&t, 0).entries > n / 2 && calls <= limit; calls++)
		removed += sweep_some(&t);
	ok(removed == n / 2 && usage(&t, 0).entries == n / 2,
	   "all that has expired is removed in %d sweeps (%lld)", calls, (long long) removed);
	/* To the end of the round: nothing more to do in this second. */
	while (part->expiry_hand != 0)
		MUST(sweep_some(&t) == 0);
	put_ttl(&t, 0, "next", 1, 0);
	sweep_some(&t);
	ok(part->expiry_hand == 0, "writers begin no second round in a second");
	wait_seconds(1);
	for (int i = 0; i <= count_buckets(&t) / LOOKS; i++)
		removed += sweep_some(&t);
	ok(removed == n / 2 + 1, "but in the next one");
	ok(most_looks <= LOOKS && most_looks > ENOUGH && most_removed < ENOUGH + 64,
	   "none looks at more buckets (%u) or removes much more (%lld) than it should",
	   most_looks, (long long) most_removed);
	ok(is_sound(&t), "sound");
	free_store(&t);
}

/* Puts into a full cache find the expired entries by themselves. */
static void
test_by_puts(void)
{
	TestStore	t = make_store(2 * 1024 * 1024, 1, PGCACHE_EVICTION_LRU);
	int			n = 0;

	while (usage(&t, 0).evictions == 0)
	{
		put_ttl(&t, 0, name("k", n), 100, n % 2 ? 10 : 100000);
		n++;
	}
	wait_seconds(11);
	for (int i = 0; i < n / 8; i++)
	{
		test_now += 1000;
		put_len(&t, 1, name("new", i), 100);
	}
	ok(usage(&t, 0).evictions <= 2 && usage(&t, 1).evictions == 0,
	   "puts remove what has expired before anything else");
	ok(is_sound(&t), "sound");
	free_store(&t);
}

/* The table shrinks in the middle of a round. */
static void
test_shrinking(void)
{
	TestStore	t = make_store(8 * 1024 * 1024, 1, PGCACHE_EVICTION_LRU);
	int			n = 30000;

	for (int i = 0; i < n; i++)
		put_ttl(&t, 0, name("k", i), 1, 10 + i % 7);
	for (int i = 0; i < n; i++)
	{
		if (i % 16 != 0)
			delete_key(&t, 0, name("k", i));
		if (i % 1000 == 0)
			wait_seconds(1);
		if (i % 10 == 0)
			sweep_some(&t);
	}
	ok(sweep_all(&t) >= 0 && usage(&t, 0).entries == 0,
	   "nothing is overlooked when buckets merge during a round");
	ok(is_sound(&t), "sound");
	free_store(&t);
}

int
main(void)
{
	test_created_long_ago();
	test_clock_set_back();
	test_far();
	test_random_clock("clock forwards", false, 3000);
	test_random_clock("clock forwards and back", true, 3000);
	test_rounds();
	test_by_puts();
	test_shrinking();
	return done_testing();
}
