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

static inline TestStore
make_store(Size bytes, int partitions, int eviction)
{
	TestStore	t;

	memset(&t, 0, sizeof(t));
	t.config.memory = bytes;
	t.config.partitions = partitions;
	t.config.eviction = eviction;
	t.config.max_spaces = 8;
	t.config.seed[0] = UINT64CONST(0x9e3779b97f4a7c15);
	t.config.seed[1] = UINT64CONST(0xd1b54a32d192ed03);
	t.config.now = test_clock;
	t.memory = malloc(pgcache_store_size(&t.config));
	/* What was there before must not matter. */
	memset(t.memory, 0xA5, pgcache_store_size(&t.config));
	t.locks = calloc(pgcache_store_nlocks(&t.config), sizeof(LWLockPadded));
	pgcache_store_create(t.memory, t.locks, &t.config);
	t.store = pgcache_store_attach(t.memory, t.locks, &t.config);
	return t;
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
