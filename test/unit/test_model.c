/*
 * test_model.c
 *	  Random operations on the store, each compared with a plain array.
 *
 * The array knows what every key should hold.  The store may have lost an entry
 * (evicted it), where there was need; it may never hold anything else.
 */
#include "harness.h"

#define NKEYS	4000
#define NSPACES	3

typedef struct Expected
{
	bool		present;
	uint32		seed;			/* of the value's bytes */
	uint32		len;
	TimestampTz expires;
	int64		slide;
	TimestampTz slide_cap;
	uint64		version;
	int			ntags;
	int32		priority;
} Expected;

static Expected model[NSPACES][NKEYS];
static char *buffer;

static int
make_key(char *key, int n)
{
	int			len = sprintf(key, "key:%d:", n);

	/* Some keys are long. */
	if (n % 97 == 0)
	{
		memset(key + len, 'x', 1000 - len);
		len = 1000;
	}
	return len;
}

static void
fill(char *p, uint32 len, uint32 seed)
{
	for (uint32 i = 0; i < len; i++)
		p[i] = (char) (seed + i * 31 + (i >> 8));
}

static bool
is_filled(const char *p, uint32 len, uint32 seed)
{
	for (uint32 i = 0; i < len; i++)
		if (p[i] != (char) (seed + i * 31 + (i >> 8)))
			return false;
	return true;
}

static uint32
random_len(uint32 largest)
{
	switch (random_below(20))
	{
		case 0:
			return random_below(largest);
		case 1:
		case 2:
			return random_below(20000);
		case 3:
			return 0;
		default:
			return random_below(400);
	}
}

static void
model_expire(int space, int n)
{
	Expected   *e = &model[space][n];

	if (e->present && e->expires <= test_now)
		e->present = false;
}

static int
make_tags(char *tags, int ntags)
{
	int			len = 0;

	for (int i = 0; i < ntags; i++)
	{
		int			l = 1 + (i * 7) % PGCACHE_MAX_TAG_LEN;

		tags[len] = l;
		memset(tags + len + 1, 'a' + i, l);
		len += 1 + l;
	}
	return len;
}

static void
do_put(TestStore *t, int space, int n, uint32 largest)
{
	Expected   *e = &model[space][n];
	Expected	new = {.present = true, .expires = DT_NOEND};
	char		key[1100];
	char		tags[PGCACHE_MAX_TAGS_LEN];
	PgCacheItem item;
	PgCachePutMode mode = random_below(3) ? PGCACHE_PUT_SET : random_below(4);
	uint64		version = random_below(2) ? e->version : e->version + 1000000;
	bool		wanted = true;
	PgCachePutResult result;
	PgCacheRef	ref;

	new.len = random_len(largest);
	new.seed = random_below(1 << 30);
	fill(buffer, new.len, new.seed);
	item = make_item(t, space, key, make_key(key, n), buffer, new.len);
	if (random_below(4) == 0)
	{
		new.expires = test_now + 1 + random_below(200 * 1000 * 1000);
		item.flags |= PGCACHE_ENTRY_TTL;
		if (random_below(50) == 0)
			new.expires += INT64CONST(1000000) * 100000;
		if (random_below(3) == 0)
		{
			item.flags |= PGCACHE_ENTRY_SLIDING;
			new.slide = item.slide = new.expires - test_now;
			new.slide_cap = item.slide_cap = test_now + 3 * item.slide;
		}
		item.expires = new.expires;
	}
	if (random_below(5) == 0)
	{
		new.ntags = 1 + random_below(PGCACHE_MAX_TAGS);
		item.flags |= PGCACHE_ENTRY_TAGS;
		item.ntags = new.ntags;
		item.tags = tags;
		item.tags_len = make_tags(tags, new.ntags);
	}
	if (random_below(6) == 0)
	{
		item.flags |= PGCACHE_ENTRY_PRIORITY;
		item.priority = new.priority = (int) random_below(5) - 2;
	}

	/* Learn by a look whether it was evicted. */
	model_expire(space, n);
	if (e->present && !pgcache_store_find(t->store, &item.key, &ref))
		e->present = false;
	if (mode == PGCACHE_PUT_ADD)
		wanted = !e->present;
	else if (mode == PGCACHE_PUT_REPLACE)
		wanted = e->present;
	else if (mode == PGCACHE_PUT_CAS)
		wanted = e->present && version == e->version;

	result = pgcache_store_put(t->store, &item, mode, version);
	if (result == PGCACHE_NOT_STORED && wanted &&
		(mode == PGCACHE_PUT_REPLACE || mode == PGCACHE_PUT_CAS))
	{
		/* What was to be replaced was evicted to make room for the new. */
		wanted = false;
		e->present = false;
		MUST(!pgcache_store_find(t->store, &item.key, &ref));
	}
	MUST((result != PGCACHE_NOT_STORED) == wanted);
	if (result == PGCACHE_DROPPED)
		e->present = false;
	if (result == PGCACHE_STORED)
	{
		*e = new;
		if (pgcache_store_find(t->store, &item.key, &ref))
			e->version = ref.meta.version;
		else
			e->present = false; /* a quota took it */
	}
}

/* Reads a key; returns whether the store had it. */
static bool
do_get(TestStore *t, int space, int n)
{
	Expected   *e = &model[space][n];
	char		key[1100];
	int			key_len = make_key(key, n);
	PgCacheRef	ref;
	char	   *value;

	model_expire(space, n);
	value = read_value(t, space, key, key_len, &ref);
	if (value == NULL)
		return false;
	MUST(e->present);
	MUST(ref.meta.len == e->len && ref.meta.version == e->version);
	MUST(ref.meta.expires == e->expires && ref.meta.priority == e->priority);
	MUST(ref.meta.ntags == e->ntags);
	MUST(is_filled(value, e->len, e->seed));
	if (e->ntags > 0)
	{
		char		tags[PGCACHE_MAX_TAGS_LEN];
		char		expected[PGCACHE_MAX_TAGS_LEN];
		int			len = make_tags(expected, e->ntags);

		MUST(ref.meta.tags_len == len);
		if (pgcache_store_copy_tags(t->store, &ref, tags))
			MUST(memcmp(tags, expected, len) == 0);
	}
	if (e->slide > 0)
		e->expires = Min(test_now + e->slide, e->slide_cap);
	free(value);
	return true;
}

static void
do_touch(TestStore *t, int space, int n)
{
	Expected   *e = &model[space][n];
	char		key[1100];
	PgCacheKey	k;
	TimestampTz expires = random_below(2) ? DT_NOEND :
		test_now + 1 + random_below(100 * 1000 * 1000);
	int64		slide = expires != DT_NOEND && random_below(2) ? 1000000 : 0;
	TimestampTz cap = slide ? expires + 10000000 : 0;

	pgcache_store_key(t->store, &k, space, key, make_key(key, n));
	model_expire(space, n);
	if (pgcache_store_touch(t->store, &k, 0, expires, slide, cap))
	{
		MUST(e->present);
		e->expires = expires;
		e->slide = slide;
		e->slide_cap = cap;
	}
}

static void
do_delete(TestStore *t, int space, int n)
{
	char		key[1100];
	PgCacheKey	k;

	pgcache_store_key(t->store, &k, space, key, make_key(key, n));
	model_expire(space, n);
	if (pgcache_store_delete(t->store, &k))
		MUST(model[space][n].present);
	model[space][n].present = false;
}

static void
do_clear(TestStore *t, int space)
{
	pgcache_store_clear(t->store, space);
	for (int n = 0; n < NKEYS; n++)
		model[space][n].present = false;
}

static void
step(TestStore *t, uint32 largest)
{
	int			space = random_below(NSPACES);
	/* Skewed: low numbers are popular. */
	int			n = random_below(1 + random_below(NKEYS));

	switch (random_below(20))
	{
		case 0:
		case 1:
			do_delete(t, space, n);
			break;
		case 2:
			do_touch(t, space, n);
			break;
		case 3:
		case 4:
		case 5:
		case 6:
		case 7:
		case 8:
			do_put(t, space, n, largest);
			break;
		default:
			do_get(t, space, n);
			break;
	}
	if (random_below(20) == 0)
		test_now += random_below(1000 * 1000);
	if (random_below(50000) == 0)
		test_now += INT64CONST(1000000) * random_below(200000);
	if (random_below(20000) == 0)
		do_clear(t, space);
	if (random_below(20000) == 0)
		sweep_partition(t->store, random_below(t->store->nparts));
	if (random_below(5000) == 0)
		(void) pgcache_store_evict_ahead(t->store, random_below(t->store->nparts));
	if (random_below(20000) == 0)
	{
		for (int i = 0; i < 10 && pgcache_store_shrink(t->store); i++)
			;
		for (int i = 0; i < 10 && pgcache_store_release(t->store); i++)
			;
	}
}

static void
run(const char *name, Size memory, int partitions, int eviction,
	uint32 largest, int steps, bool quotas, bool limits)
{
	TestStore	t = make_store(memory, partitions, eviction);
	bool		sound = true;

	memset(model, 0, sizeof(model));
	for (int i = 0; i < steps && sound; i++)
	{
		step(&t, largest);
		if (quotas && random_below(10000) == 0)
			pgcache_store_set_quota(t.store, random_below(NSPACES),
									random_below(2) ? random_below(memory / 4) : 0,
									random_below(2) ? 1000 + random_below(memory) : 0,
									random_below(2) ? 1 + random_below(2000) : 0);
		if (limits && random_below(5000) == 0)
			pgcache_store_tuning(t.store)->memory_limit = random_below(memory * 2);
		if (i % (steps / 50) == 0)
			sound = is_sound(&t);
	}
	sound = sound && is_sound(&t);
	ok(sound, "%s: %d operations, sound at every look", name, steps);
	free_store(&t);
}

/* With memory to spare nothing may be lost. */
static void
run_roomy(int eviction)
{
	TestStore	t = make_store(256 * 1024 * 1024, 4, eviction);
	int			lost = 0;
	PgCacheUsage usage;
	int64		present = 0;
	int64		entries = 0;

	memset(model, 0, sizeof(model));
	for (int i = 0; i < 200000; i++)
		step(&t, 10000);
	for (int space = 0; space < NSPACES; space++)
	{
		for (int n = 0; n < NKEYS; n++)
		{
			model_expire(space, n);
			if (model[space][n].present && !do_get(&t, space, n))
				lost++;
			present += model[space][n].present;
		}
	}
	for (int i = 0; i < t.store->nparts; i++)
		sweep_partition(t.store, i);
	for (int space = 0; space < NSPACES; space++)
	{
		pgcache_store_usage(t.store, space, &usage);
		entries += usage.entries;
	}
	ok(lost == 0, "nothing is lost while there is room (%d)", lost);
	ok(entries == present, "accounts agree with the model: %lld entries, %lld expected",
	   (long long) entries, (long long) present);
	ok(is_sound(&t), "sound");
	free_store(&t);
}

int
main(int argc, char **argv)
{
	int			scale = argc > 1 ? atoi(argv[1]) : 1;

	buffer = malloc(4 * 1024 * 1024);
	run_roomy(PGCACHE_EVICTION_LRU);
	run("lru, one partition, tight", 1024 * 1024, 1, PGCACHE_EVICTION_LRU,
		200000, 400000 * scale, false, false);
	run("lru, eight partitions, tight", 4 * 1024 * 1024, 8, PGCACHE_EVICTION_LRU,
		1000000, 400000 * scale, false, false);
	run("s3fifo, four partitions, tight", 2 * 1024 * 1024, 4, PGCACHE_EVICTION_S3FIFO,
		300000, 400000 * scale, false, false);
	run("lru with quotas and changing limits", 4 * 1024 * 1024, 4, PGCACHE_EVICTION_LRU,
		500000, 400000 * scale, true, true);
	run("s3fifo with quotas and changing limits", 4 * 1024 * 1024, 4,
		PGCACHE_EVICTION_S3FIFO, 500000, 400000 * scale, true, true);
	free(buffer);
	return done_testing();
}
