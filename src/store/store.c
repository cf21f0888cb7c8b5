/*-------------------------------------------------------------------------
 *
 * store.c
 *	  Making and attaching a store; its sums.
 *
 * The shared memory is, in this order: the head, the partitions, the segment
 * directories, the namespaces, their usage per partition, the region table, the
 * policy's ghosts (S3-FIFO only), the marks of what went (ghost.c), and the
 * memory proper in regions.  All but the last is outside of what the user grants by
 * pg_cache.memory; it takes about 1 % of it, with S3-FIFO up to 4 %.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/hash.h"
#include "base/settings.h"
#include "store/store_internal.h"

#define MIN_PARTITION_BYTES		((Size) 4 * 1024 * 1024)
#define REGIONS_PER_PARTITION	256
#define MIN_REGION_BYTES		((Size) 16 * 1024)
#define MAX_REGION_BYTES		((Size) 1024 * 1024)

/* Regions begin at a page, so that it can be given back whole. */
#define REGION_ALIGNMENT		4096

/* Bytes of memory for which a ghost is kept. */
#define BYTES_PER_GHOST			256

/* And for which a mark, of which one key in PGCACHE_GHOST_SAMPLE leaves one. */
#define BYTES_PER_MARK			(128 * PGCACHE_GHOST_SAMPLE)

/* Offsets of the pieces within the shared memory. */
typedef struct Layout
{
	int			nparts;
	Size		region_bytes;
	uint32		nregions;
	uint32		max_segments;
	uint32		ghost_sets;
	uint32		mark_sets;
	Size		parts;
	Size		directory;
	Size		spaces;
	Size		shares;
	Size		usage;
	Size		regions;
	Size		ghosts;
	Size		marks;
	Size		memory;
	Size		total;
} Layout;

int
pgcache_store_partitions(const PgCacheStoreConfig *config)
{
	int			n = 1;

	if (config->partitions > 0)
		return config->partitions;
	while (n < MAX_PARTITIONS && config->memory / (n * 2) >= MIN_PARTITION_BYTES)
		n *= 2;
	return n;
}

int
pgcache_store_nlocks(const PgCacheStoreConfig *config)
{
	return pgcache_store_partitions(config) + 1;
}

static Layout
layout_of(const PgCacheStoreConfig *config)
{
	Layout		l = {.nparts = pgcache_store_partitions(config)};
	Size		share = config->memory / l.nparts;
	Size		at = CACHELINEALIGN(sizeof(PgCacheSharedStore));

	l.region_bytes = MIN_REGION_BYTES;
	while (l.region_bytes < MAX_REGION_BYTES &&
		   share / (l.region_bytes * 2) >= REGIONS_PER_PARTITION)
		l.region_bytes *= 2;
	l.nregions = config->memory / l.region_bytes;

	/* An index never takes more than a partition's fair share. */
	l.max_segments = Max(share / l.region_bytes, 2);
	if (config->eviction == PGCACHE_EVICTION_S3FIFO)
		l.ghost_sets = pg_prevpower2_32(Max(share / BYTES_PER_GHOST / GHOST_WAYS, 16));

	l.mark_sets = pg_prevpower2_32(Max(share / BYTES_PER_MARK / PGCACHE_MARK_WAYS, 4));

	l.parts = at;
	at += CACHELINEALIGN(sizeof(PgCachePartition)) * l.nparts;
	l.directory = at;
	at += CACHELINEALIGN(sizeof(PgCacheOffset) * l.max_segments * l.nparts);
	l.spaces = at;
	at += CACHELINEALIGN(sizeof(PgCacheStoreSpace) * config->max_spaces);
	l.shares = at;
	at += CACHELINEALIGN(sizeof(PgCacheStoreShare) * config->max_spaces);
	l.usage = at;
	at += CACHELINEALIGN(sizeof(PgCachePartitionUsage) * config->max_spaces * l.nparts);
	l.regions = at;
	at += CACHELINEALIGN(sizeof(PgCacheRegion) * l.nregions);
	l.ghosts = at;
	at += CACHELINEALIGN(sizeof(PgCacheGhost) * GHOST_WAYS * l.ghost_sets * l.nparts);
	l.marks = at;
	at += sizeof(pg_atomic_uint64) * PGCACHE_MARK_WAYS * l.mark_sets * l.nparts;
	l.memory = at;
	at += l.region_bytes * l.nregions;
	l.total = at + PG_CACHE_LINE_SIZE + REGION_ALIGNMENT;	/* for aligning */
	return l;
}

Size
pgcache_store_size(const PgCacheStoreConfig *config)
{
	return layout_of(config).total;
}

/* Fills a handle's addresses. */
static void
address(PgCacheStore *store, void *memory, LWLockPadded *locks,
		const PgCacheStoreConfig *config)
{
	Layout		l = layout_of(config);
	char	   *start = (char *) CACHELINEALIGN(memory);

	memset(store, 0, sizeof(*store));
	store->tuning.memory_limit = config->memory;
	store->tuning.lru_bump = PGCACHE_LRU_BUMP_DEFAULT;
	store->shared = (PgCacheSharedStore *) start;
	store->parts = (PgCachePartition *) (start + l.parts);
	store->directory = (PgCacheOffset *) (start + l.directory);
	store->spaces = (PgCacheStoreSpace *) (start + l.spaces);
	store->shares = (PgCacheStoreShare *) (start + l.shares);
	store->usage = (PgCachePartitionUsage *) (start + l.usage);
	store->regions = (PgCacheRegion *) (start + l.regions);
	if (l.ghost_sets > 0)
		store->ghosts = (PgCacheGhost *) (start + l.ghosts);
	store->ghost_sets = l.ghost_sets;
	store->marks = (pg_atomic_uint64 *) (start + l.marks);
	store->mark_sets = l.mark_sets;
	store->locks = locks;
	store->now = config->now;
	store->is_dead = config->is_dead;
	store->policy = config->eviction == PGCACHE_EVICTION_S3FIFO ?
		&pgcache_policy_s3fifo : &pgcache_policy_lru;

	store->shift = MIN_GRANULE_SHIFT;
	while ((config->memory >> store->shift) >= PG_UINT32_MAX - PG_CACHE_LINE_SIZE)
		store->shift++;
	Assert((1 << store->shift) <= BUCKET_BYTES);
	/* Offset 0 is not used, so the base lies before the memory. */
	store->base = (char *) TYPEALIGN(REGION_ALIGNMENT, start + l.memory) - PG_CACHE_LINE_SIZE;
	store->nparts = l.nparts;
	store->part_bits = pg_ceil_log2_32(l.nparts);
	store->max_segments = l.max_segments;
	store->max_spaces = config->max_spaces;
	store->nregions = l.nregions;
	store->region_bytes = l.region_bytes;
	store->region_granules = l.region_bytes >> store->shift;
	store->region_shift = pg_ceil_log2_32(store->region_granules);
	store->seg_shift = pg_ceil_log2_32(l.region_bytes / BUCKET_BYTES);
	store->end = region_start(store, l.nregions);
}

void
pgcache_store_create(void *memory, LWLockPadded *locks,
					 const PgCacheStoreConfig *config)
{
	PgCacheStore store;
	Layout		l = layout_of(config);

	address(&store, memory, locks, config);
	/* The memory proper is left alone: the system maps it when it is used. */
	memset(store.shared, 0, l.memory);
	memcpy(store.shared->seed, config->seed, sizeof(config->seed));
	store.shared->epoch = config->now();
	store.shared->epoch -= store.shared->epoch % USECS_PER_SEC;
	/* 0 is no number. */
	pg_atomic_init_u64(&store.shared->seq, 1);
	pg_atomic_init_u64(&store.shared->clears, 0);
	pg_atomic_init_u64(&store.shared->deaths, 0);
	pg_atomic_init_u32(&store.shared->protection, 0);
	store.shared->pool.free = NO_REGION;
	store.shared->pool.oldest = NO_REGION;
	store.shared->pool.hollow = NO_REGION;
	pg_atomic_init_u32(&store.shared->pool.in_use, 0);

	for (int i = 0; i < config->max_spaces; i++)
	{
		pg_atomic_init_u64(&store.spaces[i].clear_seq, 0);
		pg_atomic_init_u32(&store.spaces[i].clock, 0);
		pg_atomic_init_u64(&store.shares[i].ghost_hits, 0);
		pg_atomic_init_u64(&store.shares[i].protected, 0);
		pg_atomic_init_u32(&store.shares[i].users, 0);
	}
	for (int i = 0; i < store.nparts; i++)
	{
		PgCachePartition *part = &store.parts[i];

		part->number = i;
		part->nclasses = 1;
		part->classes[0].space = -1;
		part->heap_regions = NO_REGION;
		part->overflow_regions = NO_REGION;
		part->next_expiry = DT_NOEND;
		part->round_next = DT_NOEND;
		pgcache_index_create(&store, part);
	}
}

PgCacheStore *
pgcache_store_attach(void *memory, LWLockPadded *locks,
					 const PgCacheStoreConfig *config)
{
	PgCacheStore *store = malloc(sizeof(PgCacheStore));

	if (store == NULL)
		elog(FATAL, "out of memory");
	address(store, memory, locks, config);
	return store;
}

PgCacheStoreTuning *
pgcache_store_tuning(PgCacheStore *store)
{
	return &store->tuning;
}

void
pgcache_store_key(const PgCacheStore *store, PgCacheKey *key, uint16 space,
				  const char *data, Size len)
{
	key->data = data;
	key->len = (uint16) len;
	key->space = space;
	key->incarnation = 0;
	key->hash = pgcache_hash(data, len, space, store->shared->seed);
}

uint64
pgcache_store_seq(PgCacheStore *store)
{
	return pg_atomic_read_u64(&store->shared->seq);
}

uint64
pgcache_store_publish(PgCacheStore *store)
{
	return pg_atomic_fetch_add_u64(&store->shared->seq, 1);
}

void
pgcache_store_note_dead(PgCacheStore *store)
{
	pg_atomic_fetch_add_u64(&store->shared->deaths, 1);
}

void
pgcache_store_usage(PgCacheStore *store, uint16 space, PgCacheUsage *usage)
{
	uint64		clear_seq = pg_atomic_read_u64(&store->spaces[space].clear_seq);

	memset(usage, 0, sizeof(*usage));
	for (int i = 0; i < store->nparts; i++)
	{
		PgCachePartitionUsage *u = usage_of(store, space, &store->parts[i]);

		usage->evictions += u->evictions;
		usage->background_evictions += u->background_evictions;
		usage->expirations += u->expirations;
		if (u->clear_seq != clear_seq && u->newest < clear_seq)
			continue;			/* all of them are dead */
		usage->entries += u->entries;
		usage->key_bytes += u->key_bytes;
		usage->bytes += u->bytes;
		usage->stored_bytes += u->stored_bytes;
		usage->memory += u->memory;
	}
}

void
pgcache_store_reset_usage(PgCacheStore *store, uint16 space)
{
	for (int i = 0; i < store->nparts; i++)
	{
		PgCachePartition *part = &store->parts[i];
		PgCachePartitionUsage *u = usage_of(store, space, part);

		LWLockAcquire(lock_of(store, part), LW_EXCLUSIVE);
		u->evictions = 0;
		u->background_evictions = 0;
		u->expirations = 0;
		LWLockRelease(lock_of(store, part));
	}
}

void
pgcache_store_memory(PgCacheStore *store, PgCacheMemory *memory)
{
	memset(memory, 0, sizeof(*memory));
	for (int i = 0; i < store->nparts; i++)
	{
		PgCachePartition *part = &store->parts[i];

		memory->index += (int64) part->nindex_regions * store->region_bytes;
		memory->used += part->heap.used << store->shift;
		memory->buckets += (int64) BUCKET_BYTES *
			(TABLE_BUCKETS(pg_atomic_read_u64(&part->table)) + part->overflow_used);
	}
	memory->used += memory->index;
	for (int i = 0; i < store->max_spaces; i++)
	{
		PgCacheUsage usage;

		pgcache_store_usage(store, i, &usage);
		memory->live += usage.memory;
		memory->entries += usage.entries;
		memory->key_bytes += usage.key_bytes;
		memory->stored_bytes += usage.stored_bytes;
	}
}
