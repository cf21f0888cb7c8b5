/*
 * fuzz_store.c
 *	  The store under operations that a fuzzer chooses, beside a plain model.
 *
 * The first byte says how the store is made; then four bytes an operation: what,
 * of which key, and two for the length or whatever else it needs.  The model
 * knows what every key should hold; the store may have evicted it, but must
 * never hold anything else.  The memory is a few regions, so that they are
 * emptied, taken from the other partition and put to other uses all the time.
 * Keys are short, and equal inputs always have equal outcomes.
 */
#include "harness.h"

#define NKEYS		256
#define NSPACES		3
#define MAX_LEN		40000

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Expected
{
	bool		present;
	uint8		seed;			/* of the value's bytes */
	uint32		len;
	TimestampTz expires;
} Expected;

static TestStore stores[2][2];	/* by partitions and eviction */
static TestStore t;				/* one of them */
static Expected model[NKEYS];

static void
fail(void *arg, const char *message)
{
	fprintf(stderr, "%s\n", message);
	abort();
}

/* Key n is one of namespace n % NSPACES. */
static PgCacheKey
key_of(int n)
{
	static char text[4];
	PgCacheKey	key;

	pgcache_store_key(t.store, &key, n % NSPACES, text, sprintf(text, "%d", n));
	return key;
}

/* What the model says of a key now. */
static Expected *
expected(int n)
{
	if (model[n].expires <= test_now)
		model[n].present = false;
	return &model[n];
}

static void
put(int n, uint32 arg, PgCachePutMode mode)
{
	static char value[MAX_LEN];
	Expected   *e = expected(n);
	Expected	new = {.present = true,.seed = arg,.expires = DT_NOEND};
	PgCacheKey	key = key_of(n);
	PgCacheRef	ref;
	PgCacheItem item;
	PgCachePutResult result;

	/* Most are small. */
	new.len = (arg & 7) ? (arg >> 3) % 400 : (arg >> 3) * 5 % MAX_LEN;
	memset(value, new.seed, new.len);
	item = make_item(&t, key.space, key.data, key.len, value, new.len);
	if (arg & 0x0100)
	{
		item.flags |= PGCACHE_ENTRY_TTL;
		item.expires = new.expires = test_now + (1 + arg % 100) * USECS_PER_SEC;
	}
	if (arg & 0x0200)
	{
		item.flags |= PGCACHE_ENTRY_PRIORITY;
		item.priority = 1 + (arg >> 10) % 12;
	}
	if (e->present && !pgcache_store_find(t.store, &item.key, &ref))
		e->present = false;		/* evicted */
	result = pgcache_store_put(t.store, &item, mode, 0);
	if (mode == PGCACHE_PUT_SET && result == PGCACHE_NOT_STORED)
		fail(NULL, "a plain put was not stored");
	if (mode == PGCACHE_PUT_ADD && (result == PGCACHE_NOT_STORED) != e->present)
		fail(NULL, "adding went by something else than is there");
	if (mode == PGCACHE_PUT_REPLACE && result != PGCACHE_NOT_STORED && !e->present)
		fail(NULL, "what is not there was replaced");
	if (result == PGCACHE_STORED)
		*e = new;
	else if (result != PGCACHE_NOT_STORED || mode == PGCACHE_PUT_REPLACE)
		e->present = false;
}

static void
get(int n)
{
	Expected   *e = expected(n);
	PgCacheKey	key = key_of(n);
	PgCacheRef	ref;
	char	   *value = read_value(&t, key.space, key.data, key.len, &ref);

	if (value == NULL)
		return;
	if (!e->present)
		fail(NULL, "the store has what is gone");
	if (ref.meta.len != e->len || ref.meta.expires != e->expires)
		fail(NULL, "an entry is not what was put");
	for (uint32 i = 0; i < e->len; i++)
		if (value[i] != (char) e->seed)
			fail(NULL, "a value is not what was put");
	free(value);
}

static void
touch(int n, uint32 arg)
{
	Expected   *e = expected(n);
	PgCacheKey	key = key_of(n);
	TimestampTz expires = (arg & 1) ? DT_NOEND :
	test_now + (1 + (arg >> 1)) * USECS_PER_SEC;

	if (!pgcache_store_touch(t.store, &key, 0, expires, 0, 0))
		return;
	if (!e->present)
		fail(NULL, "what is gone was touched");
	e->expires = expires;
}

static void
delete(int n)
{
	Expected   *e = expected(n);
	PgCacheKey	key = key_of(n);

	if (pgcache_store_delete(t.store, &key) && !e->present)
		fail(NULL, "what is gone was deleted");
	e->present = false;
}

static void
clear(int space)
{
	pgcache_store_clear(t.store, space);
	for (int n = space; n < NKEYS; n += NSPACES)
		model[n].present = false;
}

static void
evacuate(int number)
{
	PgCachePartition *part = &t.store->parts[number];

	LWLockAcquire(lock_of(t.store, part), LW_EXCLUSIVE);
	(void) pgcache_evacuate_region(t.store, part);
	LWLockRelease(lock_of(t.store, part));
}

/* Quotas of any kind; must hold at once. */
static void
set_quota(int space, uint32 arg)
{
	int64		min_bytes = (arg & 1) ? arg : 0;
	int64		max_bytes = (arg & 2) ? 1000 + arg : 0;
	int64		max_entries = (arg & 4) ? 1 + (arg >> 3) % 100 : 0;

	pgcache_store_set_quota(t.store, space, min_bytes, max_bytes, max_entries);
	if ((max_bytes > 0 && usage(&t, space).memory > max_bytes) ||
		(max_entries > 0 && usage(&t, space).entries > max_entries))
		fail(NULL, "a quota does not hold");
}

static void
operate(uint8 what, int n, uint32 arg)
{
	switch (what % 16)
	{
		case 0:
		case 1:
		case 2:
		case 3:
			put(n, arg, PGCACHE_PUT_SET);
			break;
		case 4:
			put(n, arg, PGCACHE_PUT_ADD);
			break;
		case 5:
			put(n, arg, PGCACHE_PUT_REPLACE);
			break;
		case 6:
		case 7:
			get(n);
			break;
		case 8:
			touch(n, arg);
			break;
		case 9:
			delete(n);
			break;
		case 10:
			clear(n % NSPACES);
			break;
		case 11:
			(void) pgcache_store_sweep(t.store, n % t.store->nparts);
			break;
		case 12:
			pgcache_store_tuning(t.store)->memory_limit = (Size) arg * 8;
			break;
		case 13:
			test_now += (arg & 1) ? arg : arg * USECS_PER_SEC;
			break;
		case 14:
			evacuate(n % t.store->nparts);
			break;
		default:
			set_quota(n % NSPACES, arg);
			break;
	}
}

/* An empty store. */
static TestStore *
choose_store(int partitions, int eviction)
{
	TestStore  *chosen = &stores[partitions][eviction];

	if (chosen->store == NULL)
		*chosen = make_store(256 * 1024, 1 + partitions,
							 eviction ? PGCACHE_EVICTION_S3FIFO : PGCACHE_EVICTION_LRU);
	else
		format_store(chosen);
	return chosen;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	test_now = INT64CONST(800000000000000);
	memset(model, 0, sizeof(model));
	t = *choose_store(data[0] & 1, (data[0] & 2) != 0);
	pgcache_store_tuning(t.store)->memory_limit = t.config.memory;
	pgcache_store_tuning(t.store)->lru_bump = (data[0] & 4) ? 0 : 10;
	for (size_t i = 1; i + 3 < size; i += 4)
		operate(data[i], data[i + 1], data[i + 2] | (uint32) data[i + 3] << 8);
	for (int n = 0; n < NKEYS; n++)
		get(n);
	pgcache_store_check(t.store, fail, NULL);
	return 0;
}
