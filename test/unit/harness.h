/*
 * harness.h
 *	  What unit tests of the store share: a store in plain memory, a clock, a
 *	  random generator that can be repeated, and TAP output.
 */
#ifndef TEST_UNIT_HARNESS_H
#define TEST_UNIT_HARNESS_H

#include "postgres.h"

#include "base/settings.h"
#include "store/store_internal.h"

static int	tests_run = 0;
static int	tests_failed = 0;

static inline bool
ok(bool good, const char *format,...)
{
	va_list		args;

	tests_run++;
	if (!good)
		tests_failed++;
	printf("%sok %d - ", good ? "" : "not ", tests_run);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	return good;
}

static inline int
done_testing(void)
{
	printf("1..%d\n", tests_run);
	return tests_failed > 0;
}

/* A test that cannot go on. */
#define MUST(condition) \
	do { \
		if (!(condition)) \
		{ \
			printf("not ok %d - %s:%d: %s\n1..%d\n", tests_run + 1, \
				   __FILE__, __LINE__, #condition, tests_run + 1); \
			exit(1); \
		} \
	} while (0)

static TimestampTz test_now = INT64CONST(800000000000000);

static TimestampTz
test_clock(void)
{
	return test_now;
}

static __thread uint64 random_state = 88172645463325252;

static inline uint32
random_below(uint32 n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32) ((random_state >> 16) % n);
}

typedef struct TestStore
{
	PgCacheStoreConfig config;
	void	   *memory;
	LWLockPadded *locks;
	PgCacheStore *store;
} TestStore;

static inline PgCacheStoreConfig
make_config(Size bytes, int partitions, int eviction)
{
	PgCacheStoreConfig config = {
		.memory = bytes,
		.partitions = partitions,
		.eviction = eviction,
		.max_spaces = 8,
		.seed = {UINT64CONST(0x9e3779b97f4a7c15), UINT64CONST(0xd1b54a32d192ed03)},
		.now = test_clock
	};

	return config;
}

/* Formats a store's memory anew; what was there before must not matter. */
static inline void
format_store(TestStore *t)
{
	memset(t->memory, 0xA5, pgcache_store_size(&t->config));
	memset(t->locks, 0, pgcache_store_nlocks(&t->config) * sizeof(LWLockPadded));
	pgcache_store_create(t->memory, t->locks, &t->config);
}

static inline TestStore
make_store_of(PgCacheStoreConfig config)
{
	TestStore	t = {.config = config};

	t.memory = malloc(pgcache_store_size(&t.config));
	t.locks = malloc(pgcache_store_nlocks(&t.config) * sizeof(LWLockPadded));
	format_store(&t);
	t.store = pgcache_store_attach(t.memory, t.locks, &t.config);
	return t;
}

static inline TestStore
make_store(Size bytes, int partitions, int eviction)
{
	return make_store_of(make_config(bytes, partitions, eviction));
}

static inline void
free_store(TestStore *t)
{
	free(t->store);
	free(t->locks);
	free(t->memory);
}

static inline void
print_fault(void *arg, const char *message)
{
	printf("# fault: %s\n", message);
}

static inline bool
is_sound(TestStore *t)
{
	return pgcache_store_check(t->store, print_fault, NULL) == 0;
}

/* A plain item; the caller changes what it wants otherwise. */
static inline PgCacheItem
make_item(TestStore *t, uint16 space, const char *key, int key_len,
		  const char *value, uint32 len)
{
	PgCacheItem item;

	memset(&item, 0, sizeof(item));
	pgcache_store_key(t->store, &item.key, space, key, key_len);
	item.value = value;
	item.len = len;
	item.raw_len = len;
	item.created = test_now;
	item.expires = DT_NOEND;
	item.seq = pgcache_store_seq(t->store);
	return item;
}

/* "PREFIX N", good until the thread's next call but seven. */
static inline const char *
name(const char *prefix, int n)
{
	static __thread char names[8][64];
	static __thread int next;
	char	   *result = names[next++ % 8];

	snprintf(result, sizeof(names[0]), "%s %d", prefix, n);
	return result;
}

/* An item of len bytes, all zero, whose key is a string. */
static inline PgCacheItem
item_of(TestStore *t, uint16 space, const char *key, uint32 len)
{
	static char zeros[32 * 1024 * 1024];

	Assert(len <= sizeof(zeros));
	return make_item(t, space, key, strlen(key), zeros, len);
}

static inline PgCachePutResult
put_item(TestStore *t, const PgCacheItem *item)
{
	return pgcache_store_put(t->store, item, PGCACHE_PUT_SET, 0);
}

static inline PgCachePutResult
put_len(TestStore *t, uint16 space, const char *key, uint32 len)
{
	PgCacheItem item = item_of(t, space, key, len);

	return put_item(t, &item);
}

static inline PgCachePutResult
put_priority(TestStore *t, uint16 space, const char *key, uint32 len, int32 priority)
{
	PgCacheItem item = item_of(t, space, key, len);

	if (priority != 0)
		item.flags |= PGCACHE_ENTRY_PRIORITY;
	item.priority = priority;
	return put_item(t, &item);
}

/* Stores an entry that expires after so many seconds. */
static inline PgCachePutResult
put_ttl(TestStore *t, uint16 space, const char *key, uint32 len, int64 seconds)
{
	PgCacheItem item = item_of(t, space, key, len);

	item.flags |= PGCACHE_ENTRY_TTL;
	item.expires = test_now + seconds * USECS_PER_SEC;
	return put_item(t, &item);
}

/* Whether a key has an entry; it counts as used if hit says so. */
static inline bool
look_up(TestStore *t, uint16 space, const char *key, bool hit)
{
	PgCacheKey	k;
	PgCacheRef	ref;

	pgcache_store_key(t->store, &k, space, key, strlen(key));
	if (!pgcache_store_find(t->store, &k, &ref))
		return false;
	if (hit)
		pgcache_store_hit(t->store, &ref, test_now);
	return true;
}

static inline bool
holds(TestStore *t, uint16 space, const char *key)
{
	return look_up(t, space, key, false);
}

static inline bool
delete_key(TestStore *t, uint16 space, const char *key)
{
	PgCacheKey	k;

	pgcache_store_key(t->store, &k, space, key, strlen(key));
	return pgcache_store_delete(t->store, &k);
}

static inline PgCacheUsage
usage(TestStore *t, uint16 space)
{
	PgCacheUsage u;

	pgcache_store_usage(t->store, space, &u);
	return u;
}

/* Buckets of a store's first partition. */
static inline uint32
count_buckets(TestStore *t)
{
	return TABLE_BUCKETS(pg_atomic_read_u64(&t->store->parts[0].table));
}

static inline int64
sweep_partition(PgCacheStore *store, int partition)
{
	PgCacheSweep sweep;

	pgcache_store_sweep_begin(store, &sweep, partition);
	while (pgcache_store_sweep_step(store, &sweep))
		;
	return sweep.removed;
}

static inline int64
sweep_all(TestStore *t)
{
	int64		removed = 0;

	for (int i = 0; i < t->store->nparts; i++)
		removed += sweep_partition(t->store, i);
	return removed;
}

/*
 * The value of a key in malloc'd memory, or NULL; *ref tells of it, until the
 * next call.
 */
static inline char *
read_value(TestStore *t, uint16 space, const char *key, int key_len, PgCacheRef *ref)
{
	static __thread PgCacheKey k;

	pgcache_store_key(t->store, &k, space, key, key_len);
	for (;;)
	{
		char	   *value;

		if (!pgcache_store_find(t->store, &k, ref))
			return NULL;
		value = malloc(ref->meta.len + 1);
		if (pgcache_store_copy(t->store, ref, value))
		{
			pgcache_store_hit(t->store, ref, test_now);
			return value;
		}
		free(value);
	}
}

#endif							/* TEST_UNIT_HARNESS_H */
