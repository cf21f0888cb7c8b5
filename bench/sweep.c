/*
 * sweep.c
 *	  What the upkeep of the store costs, without a server.
 *
 *		sweep [ENTRIES]
 *
 * Fills a store with a million entries with TTLs, and measures the passes of a
 * sweep: when nothing can have expired, when a second has come in which some
 * may have, and when many have; and the longest hold of a lock.  Then puts into a
 * full store, with and without eviction ahead of need.  Is built as replay.c is
 * by bench/run.
 */
#include "postgres.h"

#include <time.h>

#include "base/settings.h"
#include "store/store.h"

static TimestampTz now = INT64CONST(800000000000000);

static TimestampTz
clock_now(void)
{
	return now;
}

/* Of this process: what others use of the CPU does not count. */
static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void
put(PgCacheStore *store, int64 n, uint32 len, int64 ttl)
{
	static char value[16384];
	char		key[32];
	PgCacheItem item;

	memset(&item, 0, sizeof(item));
	pgcache_store_key(store, &item.key, 1, key,
					  snprintf(key, sizeof(key), "key:%lld", (long long) n));
	item.value = value;
	item.len = item.raw_len = len;
	item.created = now;
	item.expires = DT_NOEND;
	item.seq = pgcache_store_seq(store);
	if (ttl > 0)
	{
		item.flags |= PGCACHE_ENTRY_TTL;
		item.expires = now + ttl * USECS_PER_SEC;
	}
	(void) pgcache_store_put(store, &item, PGCACHE_PUT_SET, 0);
}

/* One pass over all partitions. */
static void
sweep(PgCacheStore *store, int nparts, const char *what)
{
	double		start = seconds();
	double		longest = 0;
	int64		removed = 0;
	double		ms;

	for (int i = 0; i < nparts; i++)
	{
		PgCacheSweep s;
		bool		more = true;

		pgcache_store_sweep_begin(store, &s, i);
		while (more)
		{
			double		begun = seconds();

			more = pgcache_store_sweep_step(store, &s);
			longest = Max(longest, seconds() - begun);
		}
		removed += s.removed;
	}
	ms = (seconds() - start) * 1e3;
	printf("%-40s %9.3f ms, longest hold %7.1f us, %lld removed\n", what, ms,
		   longest * 1e6, (long long) removed);
}

static PgCacheStore *
make(PgCacheStoreConfig *config)
{
	void	   *memory = malloc(pgcache_store_size(config));
	LWLockPadded *locks = calloc(pgcache_store_nlocks(config), sizeof(LWLockPadded));

	pgcache_store_create(memory, locks, config);
	return pgcache_store_attach(memory, locks, config);
}

/* Puts into a full store; a pass of the upkeep after so many of them, if any. */
static void
put_many(PgCacheStoreConfig *config, int every, uint32 len, uint32 spread)
{
	PgCacheStore *store = make(config);
	int			nparts = pgcache_store_partitions(config);
	int64		n = 3 * (int64) config->memory / (len + 100);
	uint64		before,
				at_need,
				ahead;
	double		in_upkeep = 0;
	double		start;
	uint32		state = 1;

	for (int64 i = 0; i < n; i++)
		put(store, i, len + (spread ? (state = state * 1103515245 + 12345) % spread : 0), 0);
	pgcache_store_evicted(store, &before, &ahead);
	start = seconds();
	for (int64 i = n; i < 2 * n; i++)
	{
		put(store, i, len + (spread ? (state = state * 1103515245 + 12345) % spread : 0), 0);
		if (every > 0 && i % every == 0)
		{
			double		begun = seconds();

			for (int p = 0; p < nparts; p++)
				while (pgcache_store_evict_ahead(store, p))
					;
			in_upkeep += seconds() - begun;
		}
	}
	pgcache_store_evicted(store, &at_need, &ahead);
	printf("puts of %u to %u bytes, upkeep every %6d: %6.0f ns a put, %.4f evicted at need and %.4f ahead a put\n",
		   len, len + spread, every, (seconds() - start - in_upkeep) / n * 1e9,
		   (double) (at_need - before) / n, (double) ahead / n);
}

int
main(int argc, char **argv)
{
	int64		entries = argc > 1 ? atoll(argv[1]) : 1000000;
	PgCacheStoreConfig config = {
		.memory = Max((Size) entries * 400, (Size) 1024 * 1024),
		.max_spaces = 256,
		.seed = {UINT64CONST(0x9e3779b97f4a7c15), UINT64CONST(0xd1b54a32d192ed03)},
		.now = clock_now
	};
	PgCacheStore *store = make(&config);
	int			nparts = pgcache_store_partitions(&config);

	printf("%lld entries, %d partitions\n", (long long) entries, nparts);
	for (int64 i = 0; i < entries; i++)
		put(store, i, 200, 100 + i % 10 * 100);
	for (int i = 0; i < 3; i++)
		sweep(store, nparts, "nothing can have expired");
	now += 50 * USECS_PER_SEC;
	sweep(store, nparts, "nothing can have expired, a minute later");
	for (int i = 0; i < 2; i++)
	{
		for (int n = 0; n < (i == 0 ? 500 : 1000); n++)
			put(store, entries + n, 200, 1);
		now += USECS_PER_SEC;
		sweep(store, nparts, "all looked at, some have expired");
	}
	now += 50 * USECS_PER_SEC;
	sweep(store, nparts, "a tenth has expired");
	pgcache_store_clear(store, 2);
	sweep(store, nparts, "another namespace was cleared");
	now += 1000 * USECS_PER_SEC;
	sweep(store, nparts, "all have expired");

	config.memory = 64 * 1024 * 1024;
	put_many(&config, 0, 200, 0);
	put_many(&config, 100, 200, 0);
	put_many(&config, 1000, 200, 0);
	put_many(&config, 0, 100, 2000);
	put_many(&config, 100, 100, 2000);
	put_many(&config, 1000, 100, 2000);
	return 0;
}
