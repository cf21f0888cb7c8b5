/*-------------------------------------------------------------------------
 *
 * store_part.c
 *	  The server's one store: its shared memory and its settings.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "shmem/shmem.h"
#include "space/store_part.h"

PgCacheStore *pgcache_store = NULL;
PgCacheStoreTuning *pgcache_tuning = NULL;
bool		(*pgcache_store_is_dead) (uint64 seq, const uint32 *stamps, int nstamps) = NULL;

/* The configuration that the settings ask for; the seed is drawn by init. */
static PgCacheStoreConfig
configuration(void)
{
	PgCacheStoreConfig config = {
		.memory = pgcache_memory_bytes(),
		.max_spaces = pgcache_max_namespaces,
		.eviction = pgcache_eviction,
		.now = pgcache_clock_now,
		.is_dead = pgcache_store_is_dead
	};

	return config;
}

static Size
store_size(void)
{
	PgCacheStoreConfig config = configuration();

	return pgcache_store_size(&config);
}

static int
store_nlocks(void)
{
	PgCacheStoreConfig config = configuration();

	return pgcache_store_nlocks(&config);
}

static void
store_init(void *memory, LWLockPadded *locks)
{
	PgCacheStoreConfig config = configuration();

	if (!pg_strong_random(config.seed, sizeof(config.seed)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random hash seed")));
	pgcache_store_create(memory, locks, &config);
}

static void
store_attach(void *memory, LWLockPadded *locks)
{
	PgCacheStoreConfig config = configuration();

	pgcache_store = pgcache_store_attach(memory, locks, &config);
	pgcache_tuning = pgcache_store_tuning(pgcache_store);
	pgcache_store_tune();
}

static const PgCacheShmemPart store_part = {
	.name = "PgCachePartition",
	.size = store_size,
	.nlocks = store_nlocks,
	.init = store_init,
	.attach = store_attach
};

void
pgcache_store_part_register(void)
{
	pgcache_shmem_register(&store_part);
}

int
pgcache_store_part_count(void)
{
	PgCacheStoreConfig config = configuration();

	return pgcache_store_partitions(&config);
}

/*
 * The memory grows until the entries fit: nothing can be allocated while the
 * partition stands still.
 */
char *
pgcache_store_scan_partition(int partition, Size *used)
{
	Size		size = 64 * 1024;

	for (;;)
	{
		char	   *buf = MemoryContextAllocHuge(CurrentMemoryContext, size);

		*used = pgcache_store_scan(pgcache_store, partition, buf, size);
		if (*used <= size)
			return buf;
		size = *used + *used / 8;
		pfree(buf);
		CHECK_FOR_INTERRUPTS();
	}
}
