/*-------------------------------------------------------------------------
 *
 * counters.c
 *	  Exact event counters per namespace, without a shared line on the way.
 *
 * Shared memory holds the totals of each namespace slot, and for each backend
 * a few blocks:
 *
 *		backend 0	changes | hits.. of namespace a | hits.. of b | ...
 *		backend 1	changes | hits.. of namespace a | hits.. of c | ...
 *		...
 *		totals		of slot 0 | of slot 1 | ...
 *
 * Only its backend writes a block.  Nothing happens when a backend exits: its
 * blocks go on counting for their namespaces, and the next backend with the
 * same number takes them over as they are.
 *
 * A backend moves a block into the totals to use it for another namespace.  Its
 * change count is odd meanwhile, so that a reader, who looks at all change
 * counts before and after it adds up, takes nothing twice and misses nothing.
 * Nothing in between can raise an error or be interrupted.  A namespace slot
 * that gets a new user waits for moves under way, see new_slot.
 *
 * The 64-bit counters are read and written without atomics: they are aligned,
 * and 64-bit machines, on which alone base/hash.h compiles, do that in one go.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"

#include "base/compat.h"
#include "base/settings.h"
#include "shmem/counters.h"
#include "shmem/shmem.h"

#define BLOCKS_PER_BACKEND 8
#define MAX_READ_TRIES 100

/* Written by the owning backend only. */
typedef struct PgCacheSharedBlock
{
	PgCacheIncarnation incarnation; /* 0: not used yet */
	uint32		slot;
	uint64		n[PGCACHE_NCOUNTERS];
} PgCacheSharedBlock;

typedef struct PgCacheSharedBackend
{
	pg_atomic_uint32 changes;	/* odd while a block is moved */
	uint32		victim;			/* block that makes room next */
	char		pad[PG_CACHE_LINE_SIZE - 2 * sizeof(uint32)];
	PgCacheSharedBlock blocks[BLOCKS_PER_BACKEND];
} PgCacheSharedBackend;

/* Of a namespace slot; written by anybody. */
typedef struct PgCacheSharedTotals
{
	pg_atomic_uint32 incarnation;	/* of the slot's user; 0: never used */
	pg_atomic_uint64 n[PGCACHE_NCOUNTERS];
	pg_atomic_uint64 zero[PGCACHE_NCOUNTERS];	/* the sums at the last reset */
} PgCacheSharedTotals;

PgCacheIncarnation pgcache_counters_current = 0;
uint64	   *pgcache_counters_block = NULL;

static PgCacheSharedBackend *backends = NULL;
static PgCacheSharedTotals *totals = NULL;

/* ---- counting -------------------------------------------------------------- */

/*
 * Adds a block to its namespace's totals and gives it to another namespace.
 *
 * The barrier is a full one: either we see that the slot has a new user, or
 * the process that gives it to one sees our change count odd and waits.
 */
static void
move_block(PgCacheSharedBackend *backend, PgCacheSharedBlock *block,
		   uint16 slot, PgCacheIncarnation incarnation)
{
	PgCacheSharedTotals *t = &totals[block->slot];
	uint32		changes = pg_atomic_read_u32(&backend->changes);

	pg_atomic_write_u32(&backend->changes, changes + 1);
	pg_memory_barrier();

	if (block->incarnation != 0 &&
		block->incarnation == pg_atomic_read_u32(&t->incarnation))
	{
		for (int i = 0; i < PGCACHE_NCOUNTERS; i++)
			if (block->n[i] != 0)
				pg_atomic_fetch_add_u64(&t->n[i], block->n[i]);
	}
	memset(block->n, 0, sizeof(block->n));
	block->slot = slot;
	block->incarnation = incarnation;

	pg_write_barrier();
	pg_atomic_write_u32(&backend->changes, changes + 2);
}

void
pgcache_counters_select(uint16 slot, PgCacheIncarnation incarnation)
{
	PgCacheSharedBackend *backend = &backends[PGCACHE_MY_BACKEND];
	PgCacheSharedBlock *block = NULL;

	Assert(PGCACHE_MY_BACKEND >= 0 && PGCACHE_MY_BACKEND < MaxBackends);
	Assert(incarnation != 0);

	for (int i = 0; i < BLOCKS_PER_BACKEND && block == NULL; i++)
		if (backend->blocks[i].incarnation == incarnation)
			block = &backend->blocks[i];
	if (block == NULL)
	{
		block = &backend->blocks[backend->victim++ % BLOCKS_PER_BACKEND];
		move_block(backend, block, slot, incarnation);
	}
	pgcache_counters_current = incarnation;
	pgcache_counters_block = block->n;
}

/* ---- reading --------------------------------------------------------------- */

/* Sums up all change counts; false while some backend moves a block. */
static bool
read_changes(uint64 *sum)
{
	bool		quiet = true;

	*sum = 0;
	for (int i = 0; i < MaxBackends; i++)
	{
		uint32		changes = pg_atomic_read_u32(&backends[i].changes);

		quiet = quiet && (changes & 1) == 0;
		*sum += changes;
	}
	return quiet;
}

static void
add_up(uint16 slot, PgCacheIncarnation incarnation, uint64 sums[PGCACHE_NCOUNTERS])
{
	for (int i = 0; i < PGCACHE_NCOUNTERS; i++)
		sums[i] = pg_atomic_read_u64(&totals[slot].n[i]);

	for (int b = 0; b < MaxBackends; b++)
	{
		volatile PgCacheSharedBlock *blocks = backends[b].blocks;

		for (int k = 0; k < BLOCKS_PER_BACKEND; k++)
			if (blocks[k].incarnation == incarnation)
				for (int i = 0; i < PGCACHE_NCOUNTERS; i++)
					sums[i] += blocks[k].n[i];
	}
}

/*
 * The sums since the slot's user came.  After many tries in vain they may be
 * off by what was being moved.
 */
static void
read_sums(uint16 slot, PgCacheIncarnation incarnation, uint64 sums[PGCACHE_NCOUNTERS])
{
	for (int tries = 0; tries < MAX_READ_TRIES; tries++)
	{
		uint64		before,
					after;
		bool		quiet = read_changes(&before);

		pg_read_barrier();
		add_up(slot, incarnation, sums);
		pg_read_barrier();
		if (quiet && read_changes(&after) && before == after)
			break;
	}
	if (pg_atomic_read_u32(&totals[slot].incarnation) != incarnation)
		memset(sums, 0, sizeof(uint64) * PGCACHE_NCOUNTERS);
}

void
pgcache_counters_read(uint16 slot, PgCacheIncarnation incarnation,
					  uint64 sums[PGCACHE_NCOUNTERS])
{
	uint64		zero[PGCACHE_NCOUNTERS];

	/* The zero first: the sums are never below one that was set before. */
	for (int i = 0; i < PGCACHE_NCOUNTERS; i++)
		zero[i] = pg_atomic_read_u64(&totals[slot].zero[i]);
	pg_read_barrier();
	read_sums(slot, incarnation, sums);
	for (int i = 0; i < PGCACHE_NCOUNTERS; i++)
		sums[i] = sums[i] > zero[i] ? sums[i] - zero[i] : 0;
}

void
pgcache_counters_reset(uint16 slot, PgCacheIncarnation incarnation)
{
	uint64		sums[PGCACHE_NCOUNTERS];

	read_sums(slot, incarnation, sums);
	for (int i = 0; i < PGCACHE_NCOUNTERS; i++)
		pg_atomic_write_u64(&totals[slot].zero[i], sums[i]);
}

/*
 * A backend that checked the slot's incarnation just before we set it may still
 * be adding to the totals: we let it finish, a microsecond unless it was
 * descheduled, before we zero them.
 */
void
pgcache_counters_new_slot(uint16 slot, PgCacheIncarnation incarnation)
{
	PgCacheSharedTotals *t = &totals[slot];

	pg_atomic_write_u32(&t->incarnation, incarnation);
	pg_memory_barrier();
	for (int i = 0; i < MaxBackends; i++)
	{
		uint32		changes = pg_atomic_read_u32(&backends[i].changes);

		while ((changes & 1) != 0 &&
			   changes == pg_atomic_read_u32(&backends[i].changes))
			pg_usleep(10);
	}
	for (int i = 0; i < PGCACHE_NCOUNTERS; i++)
	{
		pg_atomic_write_u64(&t->n[i], 0);
		pg_atomic_write_u64(&t->zero[i], 0);
	}
}

/* ---- shared memory --------------------------------------------------------- */

static Size
backends_size(void)
{
	return mul_size(MaxBackends, sizeof(PgCacheSharedBackend));
}

static Size
counters_size(void)
{
	return add_size(backends_size(),
					mul_size(pgcache_max_namespaces, sizeof(PgCacheSharedTotals)));
}

static void
attach_counters(void *memory, LWLockPadded *locks)
{
	backends = memory;
	totals = (PgCacheSharedTotals *) ((char *) memory + backends_size());
}

static void
init_counters(void *memory, LWLockPadded *locks)
{
	attach_counters(memory, locks);
	memset(backends, 0, backends_size());
	for (int i = 0; i < MaxBackends; i++)
		pg_atomic_init_u32(&backends[i].changes, 0);
	for (int i = 0; i < pgcache_max_namespaces; i++)
	{
		pg_atomic_init_u32(&totals[i].incarnation, 0);
		for (int c = 0; c < PGCACHE_NCOUNTERS; c++)
		{
			pg_atomic_init_u64(&totals[i].n[c], 0);
			pg_atomic_init_u64(&totals[i].zero[c], 0);
		}
	}
}

static const PgCacheShmemPart counters_part = {
	.name = "PgCacheCounters",
	.size = counters_size,
	.init = init_counters,
	.attach = attach_counters
};

void
pgcache_counters_register(void)
{
	pgcache_shmem_register(&counters_part);
}
