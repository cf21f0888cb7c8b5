/*
 * adapt.c
 *	  Memory that follows use between two namespaces, without a server: hits with
 *	  pg_cache.adaptive on and off.
 *
 *		adapt [MEMORY_BYTES [GETS]]
 *
 * Is built as replay.c is by bench/run.
 */
#include "postgres.h"

#include <math.h>

#include "base/settings.h"
#include "store/store.h"

/* A round of adapting after so many gets. */
#define ROUND 20000

static TimestampTz now = INT64CONST(800000000000000);
static uint64 state;
static uint64 asked[4];

static TimestampTz
clock_now(void)
{
	return now;
}

static double
uniform(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return ((state >> 11) + 1.0) / 9007199254740993.0;
}

static uint64
gets_of(uint16 space)
{
	return asked[space];
}

typedef struct Space
{
	double		share;			/* of all gets */
	double		skew;			/* of its keys; 0: never the same again */
	int			keys;
	uint32		len;
} Space;

typedef struct Case
{
	const char *what;
	Space		spaces[2];
	Space		later[2];		/* from the middle on, if share is not 0 */
} Case;

static const Case cases[] = {
	{"hot and scan", {{0.5, 3, 100000, 300}, {0.5, 0, 0, 300}}},
	{"hot and little scan", {{0.9, 3, 100000, 300}, {0.1, 0, 0, 300}}},
	{"little hot and much scan", {{0.1, 3, 100000, 300}, {0.9, 0, 0, 300}}},
	{"small values and large scan", {{0.8, 3, 200000, 100}, {0.2, 0, 0, 4000}}},
	{"small and large values", {{0.5, 3, 200000, 100}, {0.5, 3, 50000, 3000}}},
	{"two alike", {{0.5, 3, 100000, 300}, {0.5, 3, 100000, 300}}},
	{"alike, three times as busy", {{0.75, 3, 100000, 300}, {0.25, 3, 100000, 300}}},
	{"steep and flat", {{0.5, 6, 100000, 300}, {0.5, 1.5, 100000, 300}}},
	{"hot becomes scan, and the reverse", {{0.5, 3, 100000, 300}, {0.5, 0, 0, 300}},
	{{0.5, 0, 0, 300}, {0.5, 3, 100000, 300}}},
	{"hot falls silent", {{0.5, 3, 100000, 300}, {0.5, 0, 0, 300}},
	{{0.0001, 3, 100000, 300}, {0.9999, 3, 200000, 300}}},
};

static int64
run(const Case *c, Size memory, int64 gets, bool adaptive)
{
	static char value[16384];
	PgCacheStoreConfig config = {
		.memory = memory,
		.max_spaces = 4,
		.seed = {UINT64CONST(0x9e3779b97f4a7c15), UINT64CONST(0xd1b54a32d192ed03)},
		.now = clock_now
	};
	void	   *shared = malloc(pgcache_store_size(&config));
	LWLockPadded *locks = calloc(pgcache_store_nlocks(&config), sizeof(LWLockPadded));
	PgCacheStore *store;
	PgCacheAdapt adapt = {NULL};
	int64		hits = 0;

	state = 88172645463325252;
	memset(asked, 0, sizeof(asked));
	pgcache_store_create(shared, locks, &config);
	store = pgcache_store_attach(shared, locks, &config);
	for (int64 i = 0; i < gets; i++)
	{
		const Space *spaces = i > gets / 2 && c->later[0].share > 0 ? c->later : c->spaces;
		int			which = uniform() < spaces[0].share ? 0 : 1;
		const Space *s = &spaces[which];
		int64		n = s->skew > 0 ? (int64) (s->keys * pow(uniform(), s->skew)) : 1000000 + i;
		char		key[40];
		PgCacheItem item;
		PgCacheRef	ref;

		now += 50;
		memset(&item, 0, sizeof(item));
		pgcache_store_key(store, &item.key, which, key, snprintf(key, sizeof(key), "key:%lld", (long long) n));
		asked[which]++;
		if (pgcache_store_find(store, &item.key, &ref))
		{
			pgcache_store_hit(store, &ref, now);
			hits++;
		}
		else
		{
			if (pgcache_key_is_sampled(item.key.hash))
				(void) pgcache_store_ghost(store, &item.key);
			item.value = value;
			item.len = item.raw_len = s->len;
			item.created = now;
			item.expires = DT_NOEND;
			item.seq = pgcache_store_seq(store);
			(void) pgcache_store_put(store, &item, PGCACHE_PUT_SET, 0);
		}
		if (adaptive && i % ROUND == 0)
			pgcache_store_adapt(store, &adapt, gets_of);
	}
	pgcache_store_adapt_no_more(store, &adapt);
	free(store);
	free(locks);
	free(shared);
	return hits;
}

int
main(int argc, char **argv)
{
	Size		memory = argc > 1 ? strtoull(argv[1], NULL, 10) : 8 * 1024 * 1024;
	int64		gets = argc > 2 ? atoll(argv[2]) : 3000000;

	printf("%-36s %12s %12s %10s\n", "", "hits off", "hits on", "misses");
	for (int i = 0; i < lengthof(cases); i++)
	{
		int64		off = run(&cases[i], memory, gets, false);
		int64		on = run(&cases[i], memory, gets, true);

		printf("%-36s %12lld %12lld %+9.2f%%\n", cases[i].what, (long long) off,
			   (long long) on, (double) (off - on) / (gets - off) * 100);
	}
	return 0;
}
