/*
 * test_large.c
 *	  Values larger than a partition's share of the memory.
 */
#include "harness.h"

#define MEMORY		((Size) 64 * 1024 * 1024)
#define PARTITIONS	16
#define NSMALL		80000

static char *big;

static void
fill(char *p, Size len, uint32 seed)
{
	for (Size i = 0; i < len; i++)
		p[i] = (char) (seed + i * 131 + (i >> 11));
}

static PgCachePutResult
put(TestStore *t, const char *key, const char *value, uint32 len)
{
	PgCacheItem item = make_item(t, 0, key, strlen(key), value, len);

	return pgcache_store_put(t->store, &item, PGCACHE_PUT_SET, 0);
}

static bool
has(TestStore *t, const char *key, const char *value, uint32 len)
{
	PgCacheRef	ref;
	char	   *found = read_value(t, 0, key, strlen(key), &ref);
	bool		same = found && ref.meta.len == len && memcmp(found, value, len) == 0;

	free(found);
	return same;
}

static int
put_small(TestStore *t)
{
	int			stored = 0;

	for (int i = 0; i < NSMALL; i++)
	{
		char		key[32];
		char		value[900];

		sprintf(key, "small %d", i);
		memset(value, i, sizeof(value));
		stored += put(t, key, value, sizeof(value)) == PGCACHE_STORED;
	}
	return stored;
}

static void
run(const char *name, int eviction)
{
	TestStore	t = make_store(MEMORY, PARTITIONS, eviction);
	Size		quarter = MEMORY / 4;
	PgCacheMemory before;
	PgCacheMemory after;
	int			n = 0;

	ok(put(&t, "empty", "", 0) == PGCACHE_STORED && has(&t, "empty", "", 0),
	   "%s: a value of no bytes", name);
	ok(put_small(&t) == NSMALL, "%s: small values are never dropped", name);
	pgcache_store_memory(t.store, &before);
	ok(before.used > MEMORY * 9 / 10, "%s: they fill the memory", name);

	fill(big, quarter, 1);
	ok(put(&t, "large", big, quarter) == PGCACHE_STORED,
	   "%s: a quarter of the memory is stored in a full cache", name);
	ok(has(&t, "large", big, quarter), "%s: and read back", name);
	ok(is_sound(&t), "%s: sound", name);
	pgcache_store_memory(t.store, &after);
	ok(after.entries > before.entries * 2 / 3,
	   "%s: most of the others are still there (%lld of %lld)", name,
	   (long long) after.entries, (long long) before.entries);

	for (int i = 0; i < 12; i++)
	{
		char		key[32];

		sprintf(key, "large %d", i);
		fill(big, quarter, i);
		n += put(&t, key, big, quarter) == PGCACHE_STORED && has(&t, key, big, quarter);
	}
	ok(n == 12, "%s: twelve more, one after the other (%d)", name, n);
	n = 0;
	for (int i = 0; i < 12; i++)
	{
		fill(big, quarter, 100 + i);
		n += put(&t, "large 11", big, quarter) == PGCACHE_STORED &&
			has(&t, "large 11", big, quarter);
	}
	ok(n == 12, "%s: and one key replaced twelve times (%d)", name, n);
	ok(is_sound(&t), "%s: sound", name);

	ok(put_small(&t) == NSMALL, "%s: small values come in again", name);
	pgcache_store_memory(t.store, &after);
	ok(after.entries > before.entries * 9 / 10,
	   "%s: and all partitions have their share (%lld entries, %lld before)", name,
	   (long long) after.entries, (long long) before.entries);
	ok(is_sound(&t), "%s: sound", name);

	fill(big, 3 * quarter, 7);
	ok(put(&t, "huge", big, 3 * quarter) == PGCACHE_STORED &&
	   has(&t, "huge", big, 3 * quarter),
	   "%s: three quarters of the memory are stored", name);
	ok(put_small(&t) == NSMALL, "%s: and make room for small values", name);

	pgcache_store_tuning(t.store)->memory_limit = MEMORY / 8;
	ok(put(&t, "huge", big, MEMORY / 8 / 4 * 3) == PGCACHE_STORED &&
	   has(&t, "huge", big, MEMORY / 8 / 4 * 3),
	   "%s: and of a limit that was just lowered", name);
	put_small(&t);
	pgcache_store_memory(t.store, &after);
	ok(after.used <= MEMORY / 8, "%s: a lower limit is kept to", name);
	ok(put(&t, "too large", big, quarter) == PGCACHE_DROPPED,
	   "%s: what cannot fit is dropped", name);
	ok(is_sound(&t), "%s: sound", name);
	free_store(&t);
}

int
main(int argc, char **argv)
{
	big = malloc(MEMORY);
	run("lru", PGCACHE_EVICTION_LRU);
	run("s3fifo", PGCACHE_EVICTION_S3FIFO);
	free(big);
	return done_testing();
}
