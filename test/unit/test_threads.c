/*
 * test_threads.c
 *	  Threads as backends: readers without locks against writers.
 *
 * Every value says which key it belongs to and repeats a seed, so that a torn
 * value, or one of another key, is found; likewise writers and deps.  The memory
 * is small: entries are evicted, regions move between partitions and blocks are
 * used again all the time.
 */
#include "harness.h"

#include <pthread.h>
#include <sys/mman.h>

#define NKEYS		100
#define NTHREADS	8
#define MAX_LEN		60000

static TestStore t;
static int	steps;
static int64 reads;
static int64 hits;
static pthread_mutex_t sum_mutex = PTHREAD_MUTEX_INITIALIZER;

static uint32
write_value(char *p, int key, uint32 seed, uint32 len)
{
	uint32	   *words = (uint32 *) p;

	len = Max(len & ~3U, 16);
	words[0] = key;
	words[1] = len;
	for (uint32 i = 2; i < len / 4; i++)
		words[i] = seed + i;
	return len;
}

static bool
value_is_good(const char *p, int key, uint32 len)
{
	const uint32 *words = (const uint32 *) p;

	if (len < 16 || words[0] != key || words[1] != len)
		return false;
	for (uint32 i = 3; i < len / 4; i++)
		if (words[i] != words[2] + i - 2)
			return false;
	return true;
}

/* Deps that follow from the key and the writer. */
static void
make_deps(uint32 *deps, int key, uint64 writer)
{
	for (int i = 0; i < PGCACHE_MAX_DEPS; i++)
		deps[i] = key * 1000 + writer % 1000 * 31 + i;
}

static bool
deps_are_good(const PgCacheRef *ref, int key)
{
	uint32		deps[PGCACHE_MAX_DEPS];
	int			n = ref->meta.nstamps + ref->meta.ntables;

	if ((ref->meta.flags & PGCACHE_ENTRY_WRITER) == 0)
		return ref->meta.writer == 0 && n == 0;
	make_deps(deps, key, ref->meta.writer);
	if (ref->meta.flags & PGCACHE_ENTRY_DEPS)
		return n == 1 + ref->meta.writer % PGCACHE_MAX_DEPS &&
			memcmp(deps, ref->deps, n * sizeof(uint32)) == 0;
	return n == 0;
}

/* Some entries are dead, whatever happened; others never. */
static bool
is_dead(uint64 seq, const uint32 *stamps, int nstamps)
{
	return nstamps > 0 && stamps[0] % 7 == 0;
}

static PgCacheAdmission
admit(void *arg, const PgCacheMeta *present)
{
	if (present && present->nstamps + present->ntables > PGCACHE_MAX_DEPS)
		abort();
	return random_below(4) ? PGCACHE_ADMIT : random_below(4);
}

static void
one_put(TestStore *mine, int n, const char *key, int key_len, char *value)
{
	uint32		len = random_below(3) ? random_below(300) : random_below(MAX_LEN);
	uint32		deps[PGCACHE_MAX_DEPS];
	PgCacheItem item;

	len = write_value(value, n, random_below(1 << 30), len);
	item = make_item(mine, n % 3, key, key_len, value, len);
	if (random_below(8) == 0)
	{
		item.flags |= PGCACHE_ENTRY_TTL;
		item.expires = test_now + 1000000;
	}
	if (random_below(2))
	{
		item.flags |= PGCACHE_ENTRY_WRITER;
		item.writer = 1 + random_below(1 << 30);
	}
	if ((item.flags & PGCACHE_ENTRY_WRITER) && random_below(2))
	{
		make_deps(deps, n, item.writer);
		item.flags |= PGCACHE_ENTRY_DEPS;
		item.nstamps = item.writer % 5 % (1 + item.writer % PGCACHE_MAX_DEPS);
		item.ntables = 1 + item.writer % PGCACHE_MAX_DEPS - item.nstamps;
		item.deps = deps;
	}
	if (random_below(4) == 0)
		item.admit = admit;
	pgcache_store_put(mine->store, &item, random_below(4), 1);
}

static uint64
gets_of(uint16 space)
{
	return 1000 * space;
}

/* Some of what the launcher does; only one of the threads adapts. */
static void
keep_up(TestStore *mine, PgCacheAdapt *adapt)
{
	int			partition = random_below(mine->store->nparts);

	switch (random_below(5))
	{
		case 0:
			sweep_partition(mine->store, partition);
			break;
		case 1:
			for (int i = 0; i < 100 && pgcache_store_evict_ahead(mine->store, partition); i++)
				;
			break;
		case 2:
			pgcache_store_tuning(mine->store)->memory_limit =
				(512 + random_below(600)) * 1024;
			for (int i = 0; i < 100 && pgcache_store_shrink(mine->store); i++)
				;
			break;
		case 3:
			for (int i = 0; i < 100 && pgcache_store_release(mine->store); i++)
				;
			break;
		default:
			if (adapt)
			{
				pgcache_store_adapt(mine->store, adapt, gets_of);
				pg_atomic_write_u64(&mine->store->shares[random_below(3)].protected,
									random_below(400 * 1024));
				pg_atomic_fetch_add_u32(&mine->store->shared->protection, 1);
				test_now += random_below(2) * 6 * USECS_PER_SEC;
			}
	}
}

static void *
work(void *arg)
{
	TestStore	mine = t;
	PgCacheAdapt adapt = {NULL};
	char	   *value = malloc(MAX_LEN + 4);
	int64		my_reads = 0;
	int64		my_hits = 0;

	mine.store = pgcache_store_attach(t.memory, t.locks, &t.config);
	random_state = 88172645463325252 + (uintptr_t) arg * 7919;
	for (int i = 0; i < steps; i++)
	{
		int			n = random_below(NKEYS);
		char		key[32];
		int			key_len = sprintf(key, "key %d", n);
		PgCacheKey	k;

		pgcache_store_key(mine.store, &k, n % 3, key, key_len);
		switch (random_below(16))
		{
			case 0:
			case 1:
			case 2:
				one_put(&mine, n, key, key_len, value);
				break;
			case 3:
				pgcache_store_delete(mine.store, &k);
				break;
			case 4:
				pgcache_store_touch(mine.store, &k, 0,
									random_below(2) ? DT_NOEND : test_now + 5000000,
									random_below(2) ? 1000000 : 0, test_now + 9000000);
				break;
			case 5:
				if (random_below(100) == 0)
					pgcache_store_clear(mine.store, n % 3);
				else if (random_below(10) == 0)
					pgcache_store_clear_to(mine.store, n % 3,
										   pgcache_store_publish(mine.store) - random_below(3));
				else if (random_below(4) == 0)
					pgcache_store_note_dead(mine.store);
				break;
			case 6:
				if (random_below(100) == 0)
					keep_up(&mine, arg == (void *) 1 ? &adapt : NULL);
				else
					(void) pgcache_store_ghost(mine.store, &k);
				break;
			default:
				{
					PgCacheRef	ref;
					char	   *found = read_value(&mine, n % 3, key, key_len, &ref);

					my_reads++;
					if (found)
					{
						my_hits++;
						MUST(value_is_good(found, n, ref.meta.len));
						MUST(deps_are_good(&ref, n));
						if (random_below(8) == 0)
							pgcache_store_hint(mine.store, &k, ref.meta.version,
											   PGCACHE_ENTRY_COMMITTED, random_below(2));
						free(found);
					}
				}
		}
	}
	pthread_mutex_lock(&sum_mutex);
	reads += my_reads;
	hits += my_hits;
	pthread_mutex_unlock(&sum_mutex);
	free(adapt.spaces);
	free(mine.store);
	free(value);
	return NULL;
}

static void
run(const char *name, int partitions, int eviction)
{
	pthread_t	threads[NTHREADS];

	PgCacheStoreConfig config = make_config(1024 * 1024, partitions, eviction);

	config.is_dead = is_dead;
	/* Shared, so that memory can be given back. */
	t = make_store_of(config);
	free(t.store);
	free(t.memory);
	t.memory = mmap(NULL, pgcache_store_size(&config), PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(t.memory != MAP_FAILED);
	pgcache_store_create(t.memory, t.locks, &t.config);
	t.store = pgcache_store_attach(t.memory, t.locks, &t.config);
	reads = hits = 0;
	for (uintptr_t i = 0; i < NTHREADS; i++)
		MUST(pthread_create(&threads[i], NULL, work, (void *) (i + 1)) == 0);
	for (int i = 0; i < NTHREADS; i++)
		pthread_join(threads[i], NULL);
	ok(is_sound(&t), "%s: sound after %lld reads, %lld of them hits, none torn",
	   name, (long long) reads, (long long) hits);
	ok(hits > 0, "%s: there were hits", name);
	munmap(t.memory, pgcache_store_size(&config));
	free(t.locks);
	free(t.store);
}

int
main(int argc, char **argv)
{
	steps = 40000 * (argc > 1 ? atoi(argv[1]) : 1);
	run("lru, one partition", 1, PGCACHE_EVICTION_LRU);
	run("lru, four partitions", 4, PGCACHE_EVICTION_LRU);
	run("s3fifo, two partitions", 2, PGCACHE_EVICTION_S3FIFO);
	return done_testing();
}
