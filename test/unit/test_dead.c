/*
 * test_dead.c
 *	  Entries that nobody will be served: cleared up to a number, or dead by what
 *	  they depend on.  They go before live ones, and looking for them costs little.
 */
#include "harness.h"

#define MB		((Size) 1024 * 1024)
#define NSTAMPS	8

/* Numbers of the last publishes; an entry of an older or the same seq is dead. */
static uint64 stamps[NSTAMPS];
static int64 asked;				/* how often is_dead was called */
static bool out_of_range;

static bool
is_dead(uint64 seq, const uint32 *numbers, int nstamps)
{
	asked++;
	for (int i = 0; i < nstamps; i++)
	{
		if (numbers[i] >= NSTAMPS)
			out_of_range = true;
		else if (stamps[numbers[i]] >= seq)
			return true;
	}
	return false;
}

static TestStore
make_asking(Size bytes, int partitions, int eviction)
{
	PgCacheStoreConfig config = make_config(bytes, partitions, eviction);

	config.is_dead = is_dead;
	memset(stamps, 0, sizeof(stamps));
	asked = 0;
	out_of_range = false;
	return make_store_of(config);
}

static PgCachePutResult
put_dep(TestStore *t, uint16 space, const char *key, uint32 len, uint32 stamp)
{
	PgCacheItem item = item_of(t, space, key, len);

	item.flags |= PGCACHE_ENTRY_DEPS | PGCACHE_ENTRY_WRITER;
	item.writer = 1000;
	item.nstamps = 1;
	item.deps = &stamp;
	return put_item(t, &item);
}

static void
kill_stamp(TestStore *t, int stamp)
{
	stamps[stamp] = pgcache_store_publish(t->store);
	pgcache_store_note_dead(t->store);
}

static int
count_kept(TestStore *t, uint16 space, const char *prefix, int n)
{
	int			count = 0;

	for (int i = 0; i < n; i++)
		count += holds(t, space, name(prefix, i));
	return count;
}

/* ---- numbers ------------------------------------------------------------------- */

static void
test_numbers(void)
{
	TestStore	t = make_store(MB, 1, PGCACHE_EVICTION_LRU);
	uint64		first = pgcache_store_seq(t.store);
	uint64		taken = pgcache_store_publish(t.store);

	ok(first > 0 && taken == first, "the first publish number is not 0 (%llu)",
	   (unsigned long long) taken);
	ok(pgcache_store_seq(t.store) == first + 1 && pgcache_store_publish(t.store) == first + 1,
	   "who takes a number takes the present one");
	pgcache_store_clear(t.store, 0);
	ok(pgcache_store_seq(t.store) == first + 3, "a clear takes one, too");
	free_store(&t);
}

/* ---- clear_to -------------------------------------------------------------------- */

static void
test_clear_to(bool newer)
{
	TestStore	t = make_store(4 * MB, 2, PGCACHE_EVICTION_LRU);
	int			n = 1000;
	int64		swept;
	uint64		number;
	PgCacheItem late;

	for (int i = 0; i < n; i++)
	{
		put_len(&t, 1, name("old", i), 100);
		put_len(&t, 2, name("other", i), 100);
	}
	late = item_of(&t, 1, "late", 100);
	number = pgcache_store_publish(t.store);
	for (int i = 0; newer && i < n; i++)
		put_len(&t, 1, name("new", i), 100);
	pgcache_store_clear_to(t.store, 1, number);
	ok(count_kept(&t, 1, "old", n) == 0, "what was read before the number is gone");
	ok(put_item(&t, &late) == PGCACHE_STALE, "and what comes late is stale");
	if (newer)
		ok(count_kept(&t, 1, "new", n) == n, "what was read after it is there");
	else
		ok(usage(&t, 1).entries == 0 && usage(&t, 1).memory == 0,
		   "what was cleared does not count");
	ok(count_kept(&t, 2, "other", n) == n, "another namespace is left alone");
	ok(is_sound(&t), "sound");
	pgcache_store_clear_to(t.store, 1, number - 1);
	ok(count_kept(&t, 1, "old", n) == 0, "a lower number changes nothing");

	swept = sweep_all(&t);
	ok(swept == n, "a sweep removes what is dead (%lld)", (long long) swept);
	ok(usage(&t, 1).entries == (newer ? n : 0) && usage(&t, 2).entries == n &&
	   usage(&t, 1).evictions == 0, "and nothing else");
	ok(sweep_all(&t) == 0 && is_sound(&t), "sound");

	number = pgcache_store_publish(t.store);
	put_len(&t, 1, "last", 100);
	pgcache_store_clear_to(t.store, 1, number);
	pgcache_store_clear(t.store, 1);
	ok(count_kept(&t, 1, "new", n) == 0 && !holds(&t, 1, "last"), "cleared as a whole");
	ok(usage(&t, 1).entries == 0 && usage(&t, 1).memory == 0, "it counts for nothing");
	ok(sweep_all(&t) == (newer ? n : 0) + 1 && is_sound(&t), "and is swept");
	free_store(&t);
}

/*
 * Dead entries of a namespace that has live ones, too, go before these when room
 * is needed, and do not count as evicted.
 */
static void
test_clear_to_makes_room(const char *policy, int eviction)
{
	TestStore	t = make_store(2 * MB, 1, eviction);
	int			n = 0;
	int			live = 0;
	uint64		number;

	while (usage(&t, 1).evictions == 0)
		put_len(&t, 1, name("k", n++), 200);
	/* Half of them anew; the number is older than these. */
	number = pgcache_store_publish(t.store);
	for (int i = 0; i < n; i += 2)
		put_len(&t, 1, name("k", i), 200);
	MUST(usage(&t, 1).evictions < 10);
	pgcache_store_clear_to(t.store, 1, number);
	pgcache_store_reset_usage(t.store, 1);
	for (int i = 0; i < n; i += 2)
		live += holds(&t, 1, name("k", i));
	for (int i = 0; i < n / 3; i++)
		put_len(&t, 2, name("new", i), 200);
	for (int i = 0; i < n; i += 2)
		live -= holds(&t, 1, name("k", i));
	ok(live == 0 && count_kept(&t, 2, "new", n / 3) == n / 3 && usage(&t, 1).evictions == 0,
	   "%s: puts remove what was cleared, nothing live (%d)", policy, live);
	ok(is_sound(&t), "%s: sound", policy);
	free_store(&t);
}

/* What a quota takes of the dead was not evicted: nobody had it any more. */
static void
test_clear_to_under_quota(void)
{
	TestStore	t = make_store(4 * MB, 1, PGCACHE_EVICTION_LRU);
	int			n = 500;
	uint64		number;

	for (int i = 0; i < n; i++)
		put_len(&t, 1, name("old", i), 100);
	number = pgcache_store_publish(t.store);
	for (int i = 0; i < n; i++)
		put_len(&t, 1, name("new", i), 100);
	pgcache_store_clear_to(t.store, 1, number);
	pgcache_store_set_quota(t.store, 1, 0, 0, n);
	ok(count_kept(&t, 1, "new", n) == n && usage(&t, 1).entries == n,
	   "a quota takes what was cleared first");
	ok(usage(&t, 1).evictions == 0, "which does not count as evicted");
	put_len(&t, 1, "another", 100);
	ok(usage(&t, 1).entries == n && usage(&t, 1).evictions == 1 && is_sound(&t),
	   "what is live does");
	free_store(&t);
}

/* ---- is_dead ----------------------------------------------------------------------- */

/* A full cache, half of which depends on a stamp. */
static void
test_before_live(const char *policy, int eviction)
{
	TestStore	t = make_asking(2 * MB, 1, eviction);
	int			n = 0;
	int64		entries;

	while (usage(&t, 0).evictions == 0)
	{
		put_dep(&t, 0, name("doomed", n), 200, 1);
		put_dep(&t, 0, name("safe", n), 200, 2);
		put_len(&t, 0, name("plain", n), 200);
		n++;
	}
	n--;						/* the last ones: as it comes */
	MUST(asked == 0);
	pgcache_store_reset_usage(t.store, 0);
	/* What was evicted already was the oldest, of number 0. */
	MUST(count_kept(&t, 0, "doomed", n) + count_kept(&t, 0, "safe", n) +
		 count_kept(&t, 0, "plain", n) >= 3 * n - 3);
	entries = usage(&t, 0).entries;

	kill_stamp(&t, 1);
	ok(usage(&t, 0).entries == entries, "%s: the dead are counted until they go", policy);
	for (int i = 0; i < n * 3 / 4; i++)
		put_dep(&t, 1, name("new", i), 200, 1);
	ok(count_kept(&t, 0, "safe", n) + count_kept(&t, 0, "plain", n) >= 2 * n - 3 &&
	   usage(&t, 0).evictions == 0,
	   "%s: what is dead makes room first (%d and %d of %d live ones are left)", policy,
	   count_kept(&t, 0, "safe", n), count_kept(&t, 0, "plain", n), n);
	ok(count_kept(&t, 1, "new", n * 3 / 4) == n * 3 / 4,
	   "%s: entries that came after the change stay", policy);
	ok(is_sound(&t), "%s: sound", policy);

	sweep_all(&t);
	ok(count_kept(&t, 0, "doomed", n) == 0 &&
	   usage(&t, 0).entries == count_kept(&t, 0, "safe", n + 1) + count_kept(&t, 0, "plain", n + 1),
	   "%s: a sweep removes the rest, and the accounts agree", policy);
	ok(usage(&t, 0).evictions == 0 && usage(&t, 0).expirations == 0,
	   "%s: neither evicted nor expired", policy);
	ok(!out_of_range && is_sound(&t), "%s: sound", policy);
	free_store(&t);
}

/* One turn over the index for one change, then no more. */
static void
test_one_turn(void)
{
	TestStore	t = make_asking(2 * MB, 1, PGCACHE_EVICTION_LRU);
	PgCachePartition *part = &t.store->parts[0];
	int64		evictions;
	int64		most = 0;
	int64		n = 0;
	int			calls = 0;

	while (usage(&t, 0).evictions == 0)
		put_dep(&t, 0, name("k", n++), 200, 1);
	ok(asked == 0, "nobody is asked before anything changed");

	kill_stamp(&t, 2);			/* of nothing that is here */
	do
	{
		int64		before = asked;

		evictions = usage(&t, 0).evictions;
		put_dep(&t, 0, name("k", n++), 200, 1);
		most = Max(most, (asked - before) / Max(usage(&t, 0).evictions - evictions, 1));
		calls++;
	} while (part->dead_left > 0 && calls < 10000);
	ok(part->dead_left == 0, "a turn ends, after %d puts", calls);
	ok(most <= MOST_DEAD_LOOKS * 10, "none looks at more buckets than it should (%lld entries)",
	   (long long) most);
	ok(asked > usage(&t, 0).entries / 2 && asked < 2 * usage(&t, 0).entries,
	   "each entry was asked for about once (%lld for %lld)", (long long) asked,
	   (long long) usage(&t, 0).entries);
	asked = 0;
	for (int i = 0; i < 1000; i++)
		put_dep(&t, 0, name("k", n++), 200, 1);
	ok(asked == 0, "then nobody is asked");
	ok(usage(&t, 0).evictions >= 1000 && is_sound(&t), "sound");
	free_store(&t);
}

/* Changes all the time that kill nothing cost every put but little. */
static void
test_vain(void)
{
	TestStore	t = make_asking(2 * MB, 1, PGCACHE_EVICTION_LRU);
	int			n = 0;
	int64		evictions;
	int64		per_eviction;

	while (usage(&t, 0).evictions < 1000)
		put_dep(&t, 0, name("k", n++), 200, 1);
	for (int i = 0; i < 100; i++)
	{
		kill_stamp(&t, 2);
		put_dep(&t, 0, name("k", n++), 200, 1);
	}
	asked = 0;
	evictions = usage(&t, 0).evictions;
	for (int i = 0; i < 1000; i++)
	{
		kill_stamp(&t, 2);
		put_dep(&t, 0, name("k", n++), 200, 1);
	}
	per_eviction = asked / (usage(&t, 0).evictions - evictions);
	ok(per_eviction > 0 && per_eviction <= LEAST_DEAD_LOOKS * 10,
	   "looks that find nothing become short (%lld entries each)", (long long) per_eviction);

	/* And long again where they find something. */
	kill_stamp(&t, 1);
	evictions = usage(&t, 0).evictions;
	for (int i = 0; i < 1000; i++)
		put_dep(&t, 0, name("new", i), 200, 1);
	ok(usage(&t, 0).evictions == evictions && count_kept(&t, 0, "new", 1000) == 1000,
	   "what dies then goes first all the same");
	ok(is_sound(&t), "sound");
	free_store(&t);
}

/* Entries without deps: a change is nothing to look for. */
static void
test_without_deps(void)
{
	TestStore	t = make_asking(2 * MB, 1, PGCACHE_EVICTION_LRU);
	TestStore	deaf = make_store(2 * MB, 1, PGCACHE_EVICTION_LRU);
	int			n = 0;

	while (usage(&t, 0).evictions < 100)
	{
		put_len(&t, 0, name("k", n++), 200);
		kill_stamp(&t, 1);
	}
	ok(asked == 0 && t.store->parts[0].dead_left == 0,
	   "where nothing depends on anything nothing is looked for");

	put_dep(&deaf, 0, "k", 200, 1);
	stamps[1] = pgcache_store_publish(deaf.store);
	pgcache_store_note_dead(deaf.store);
	ok(sweep_all(&deaf) == 0 && holds(&deaf, 0, "k"),
	   "nor where nobody can say what is dead");
	ok(is_sound(&t) && is_sound(&deaf), "sound");
	free_store(&t);
	free_store(&deaf);
}

/* Buckets split and merge in the midst of a turn. */
static void
test_moving(bool growing)
{
	TestStore	t = make_asking(16 * MB, 1, PGCACHE_EVICTION_LRU);
	PgCachePartition *part = &t.store->parts[0];
	int			n = 20000;
	int64		removed = 0;

	for (int i = 0; i < n; i++)
	{
		put_dep(&t, 0, name("k", i), 1, i % 10 == 0 ? 1 : 2);
		if (growing && i % 16 == 0)
			put_len(&t, 1, name("more", i), 1);
	}
	kill_stamp(&t, 1);
	LWLockAcquire(lock_of(t.store, part), LW_EXCLUSIVE);
	pgcache_heed_deaths(t.store, part);
	LWLockRelease(lock_of(t.store, part));
	for (int i = 0; i < n; i++)
	{
		if (growing)
			put_len(&t, 1, name("grow", i), 1);
		else if (i % 10 != 0 && i % 10 != 1)
			delete_key(&t, 0, name("k", i));
		if (i % 10 == 0)
		{
			LWLockAcquire(lock_of(t.store, part), LW_EXCLUSIVE);
			removed += pgcache_dead_sweep(t.store, part, 4);
			LWLockRelease(lock_of(t.store, part));
		}
	}
	MUST(part->deaths == pg_atomic_read_u64(&t.store->shared->deaths));
	MUST(removed < n / 10 || part->dead_left > 0);
	removed += sweep_all(&t);
	ok(removed == n / 10, "%s: none is overlooked (%lld of %d)",
	   growing ? "growing" : "shrinking", (long long) removed, n / 10);
	ok(usage(&t, 0).entries == (growing ? n - n / 10 : n / 10), "and none too much removed");
	ok(part->dead_left == 0 && part->ndead == 0 && is_sound(&t), "sound");
	free_store(&t);
}

/* The worker's sweep, in all partitions, with expired and cleared ones about. */
static void
test_sweep(void)
{
	TestStore	t = make_asking(8 * MB, 4, PGCACHE_EVICTION_S3FIFO);
	int			n = 3000;

	for (int i = 0; i < n; i++)
	{
		put_dep(&t, 0, name("k", i), 50, i % NSTAMPS);
		put_ttl(&t, 1, name("k", i), 50, 10);
		put_len(&t, 2, name("k", i), 50);
	}
	kill_stamp(&t, 3);
	kill_stamp(&t, 5);
	pgcache_store_clear(t.store, 2);
	test_now += 11 * USECS_PER_SEC;
	ok(sweep_all(&t) == n / 4 + n + n, "all kinds are swept");
	ok(usage(&t, 0).entries == n - n / 4 && usage(&t, 1).entries == 0 &&
	   usage(&t, 2).entries == 0 && usage(&t, 1).expirations == n &&
	   usage(&t, 0).expirations == 0, "and counted for what they are");
	ok(sweep_all(&t) == 0, "once");
	pgcache_store_note_dead(t.store);
	ok(sweep_all(&t) == 0 && count_kept(&t, 0, "k", n) == n - n / 4 && is_sound(&t), "sound");
	free_store(&t);
}

int
main(void)
{
	test_numbers();
	test_clear_to(false);
	test_clear_to(true);
	test_clear_to_makes_room("lru", PGCACHE_EVICTION_LRU);
	test_clear_to_makes_room("s3fifo", PGCACHE_EVICTION_S3FIFO);
	test_clear_to_under_quota();
	test_before_live("lru", PGCACHE_EVICTION_LRU);
	test_before_live("s3fifo", PGCACHE_EVICTION_S3FIFO);
	test_one_turn();
	test_vain();
	test_without_deps();
	test_moving(true);
	test_moving(false);
	test_sweep();
	return done_testing();
}
