/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  Which keys are asked for, by namespace, in shared memory.
 *
 * There are some blocks, each with two sketches of one namespace: one of the keys
 * hot of late, the weights of which an hour halves, and one of those asked for in
 * one hour by the clock.  When that is over it does not change any more until it
 * was taken, so that it never mixes hours.  A few keys that were foretold for the
 * hour are counted apart.  A namespace takes a free block, or that
 * of a namespace that is gone, at the first request recorded.  If there is none,
 * what it asks for is added up, until that is more than what is recorded in the
 * block used least: that one it takes.  That sum fades as well, and counts in the
 * total of its hot keys only: of which keys it was nobody knows.
 *
 * The time is that of the request.  A statement may have begun hours ago, when
 * others have recorded since.
 *
 * A block from before the server's start waits for its namespace, by the key that
 * names it for ever, to get a slot.
 *
 * Memory is touched only for blocks in use.
 *
 * Locks: PgCacheKeys 0 for giving blocks to namespaces; 1 + n for block n.  Those
 * who record take either only if it is free: a sample that finds it busy is left
 * in an atomic variable, and added to the weight of the next one.  0 comes before
 * the lock of the namespaces' slots, and before the blocks'.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "port/atomics.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "shmem/shmem.h"
#include "space/store_part.h"
#include "stats/stats_internal.h"

#define MAX_BLOCKS	64
#define HALF_LIFE	USECS_PER_HOUR

typedef enum PgCacheSketchKind
{
	SKETCH_HOT,
	SKETCH_HOUR,
	NSKETCHES
} PgCacheSketchKind;

/* A block's head; its sketches follow. */
typedef struct PgCacheSharedKeys
{
	PgCacheSpaceKey key;		/* whose it is; database InvalidOid: free */
	PgCacheIncarnation incarnation; /* 0: not used since the server's start */
	uint16		slot;
	TimestampTz faded;			/* until when weights were halved */
	TimestampTz hour;			/* beginning of that of SKETCH_HOUR; if that
								 * is empty, nothing */
	PgCacheForetold foretold;
	pg_atomic_uint64 missed;	/* weight of samples that found it busy */
} PgCacheSharedKeys;

/* Of a namespace slot. */
typedef struct PgCacheSharedKeyMap
{
	pg_atomic_uint32 block;		/* number plus one; 0: none */
	pg_atomic_uint32 wanting;	/* incarnation that wanted */
	pg_atomic_uint64 wanted;	/* weight of requests while it had none */
	pg_atomic_uint64 wanted_hour;	/* until which that was halved */
} PgCacheSharedKeyMap;

static char *blocks = NULL;
static PgCacheSharedKeyMap *map = NULL;
static LWLockPadded *all_locks = NULL;

#define BLOCK_HEAD	MAXALIGN(sizeof(PgCacheSharedKeys))

static int
count_blocks(void)
{
	return pgcache_tracked_keys > 0 ? Min(pgcache_max_namespaces, MAX_BLOCKS) : 0;
}

static Size
block_size(void)
{
	return CACHELINEALIGN(BLOCK_HEAD +
						  NSKETCHES * pgcache_sketch_size(pgcache_tracked_keys));
}

static inline PgCacheSharedKeys *
block_at(int n)
{
	return (PgCacheSharedKeys *) (blocks + n * block_size());
}

static inline PgCacheSketch *
sketch_of(PgCacheSharedKeys *block, PgCacheSketchKind kind)
{
	return (PgCacheSketch *) ((char *) block + BLOCK_HEAD +
							  kind * pgcache_sketch_size(pgcache_tracked_keys));
}

static inline LWLock *
lock_of(int n)
{
	return &all_locks[1 + n].lock;
}

/* The block of a namespace, or -1. */
static inline int
find_block(uint16 slot, PgCacheIncarnation incarnation)
{
	uint32		n = count_blocks() > 0 ? pg_atomic_read_u32(&map[slot].block) : 0;

	return n != 0 && block_at(n - 1)->incarnation == incarnation ? (int) n - 1 : -1;
}

/* ---- fading ------------------------------------------------------------------ */

/* By what the weights are to be multiplied now. */
static double
fading(const PgCacheSharedKeys *block, TimestampTz now, int64 *hours)
{
	*hours = (now - block->faded) / HALF_LIFE;
	return *hours > 0 ? ldexp(1, -(int) Min(*hours, 1000)) : 1;
}

static void
fade(PgCacheSharedKeys *block, TimestampTz now)
{
	int64		hours;
	double		factor = fading(block, now, &hours);

	if (hours < 0)
		block->faded = now;		/* the clock was put back */
	if (factor == 1)
		return;
	pgcache_sketch_scale(sketch_of(block, SKETCH_HOT), factor);
	block->faded += hours * HALF_LIFE;
}

/*
 * The same for what a namespace without a block wanted.  Of those who come at once
 * in a new hour one halves it.
 */
static void
fade_wanted(PgCacheSharedKeyMap *m, TimestampTz now)
{
	uint64		hour = now / HALF_LIFE;
	uint64		last = pg_atomic_read_u64(&m->wanted_hour);
	uint64		wanted;

	if (last == hour || pg_atomic_exchange_u64(&m->wanted_hour, hour) != last ||
		last > hour)
		return;
	wanted = pg_atomic_read_u64(&m->wanted);
	while (!pg_atomic_compare_exchange_u64(&m->wanted, &wanted,
										   wanted >> Min(hour - last, 63)))
		;
}

/* ---- giving blocks to namespaces ----------------------------------------------- */

static inline bool
same_space(const PgCacheSpaceKey *a, const PgCacheSpaceKey *b)
{
	return a->database == b->database && a->catalog == b->catalog && a->id == b->id;
}

/* Empties a block and gives it to a namespace. */
static void
begin_block(PgCacheSharedKeys *block, const PgCacheSpaceKey *key)
{
	block->incarnation = 0;
	block->key = *key;
	block->faded = pgcache_clock_now();
	block->hour = 0;
	memset(&block->foretold, 0, sizeof(block->foretold));
	pg_atomic_write_u64(&block->missed, 0);
	for (int kind = 0; kind < NSKETCHES; kind++)
		pgcache_sketch_init(sketch_of(block, kind), pgcache_tracked_keys);
}

static uint64
hash_in_slot(void *arg, const char *data, uint16 len)
{
	PgCacheKey	key;

	Assert(len <= PGCACHE_SKETCH_KEY_LEN);
	pgcache_store_key(pgcache_store, &key, *(uint16 *) arg, data, len);
	return key.hash;
}

/* The namespace of a block has got this slot, by which its keys are hashed. */
static void
attach_block(int n, uint16 slot, PgCacheIncarnation incarnation)
{
	PgCacheSharedKeys *block = block_at(n);

	pgcache_sketch_rehash(sketch_of(block, SKETCH_HOT), hash_in_slot, &slot);
	block->slot = slot;
	block->incarnation = incarnation;
	pg_atomic_write_u32(&map[slot].block, n + 1);
}

/* The block of a namespace that has not been used since the start, or -1. */
static int
find_saved_block(const PgCacheSpaceKey *key)
{
	for (int n = 0; n < count_blocks(); n++)
		if (block_at(n)->incarnation == 0 && same_space(&block_at(n)->key, key))
			return n;
	return -1;
}

/* A block that nobody needs, or that of least use, if that is below limit; or -1. */
static int
choose_block(double limit, TimestampTz now)
{
	double		least = limit;
	int			result = -1;

	for (int n = 0; n < count_blocks(); n++)
		if (!OidIsValid(block_at(n)->key.database))
			return n;
	for (int n = 0; n < count_blocks(); n++)
	{
		PgCacheSharedKeys *block = block_at(n);
		int64		hours;
		double		use;

		if (block->incarnation != 0 &&
			!pgcache_space_has_slot(block->slot, block->incarnation, NULL))
			return n;
		use = sketch_of(block, SKETCH_HOT)->total * fading(block, now, &hours);
		if (use < least)
		{
			least = use;
			result = n;
		}
	}
	return result;
}

/* The block that a namespace has or gets, or -1; with lock 0 held. */
static int
assign_block(uint16 slot, PgCacheIncarnation incarnation, double wanted,
			 TimestampTz now)
{
	PgCacheSpaceKey key;
	bool		is_saved;
	int			n = find_block(slot, incarnation);

	if (n >= 0)
		return n;
	/* The extension may be gone, and its slots with it. */
	if (!pgcache_space_has_slot(slot, incarnation, &key) ||
		!OidIsValid(key.database))
		return -1;
	n = find_saved_block(&key);
	is_saved = n >= 0;
	if (n < 0)
		n = choose_block(wanted, now);
	if (n < 0 || !LWLockConditionalAcquire(lock_of(n), LW_EXCLUSIVE))
		return -1;
	/* A saved one is forgotten with its own lock only. */
	if (!is_saved || !same_space(&block_at(n)->key, &key))
		begin_block(block_at(n), &key);
	attach_block(n, slot, incarnation);
	LWLockRelease(lock_of(n));
	return n;
}

/*
 * Tries to find a block for a namespace that has none; -1 if it must do without:
 * then the weight is added to what it wanted.
 */
static int
take_block(uint16 slot, PgCacheIncarnation incarnation, uint32 weight)
{
	PgCacheSharedKeyMap *m = &map[slot];
	TimestampTz now = pgcache_clock_now();
	int			n = -1;

	if (pg_atomic_exchange_u32(&m->wanting, incarnation) != incarnation)
		pg_atomic_write_u64(&m->wanted, 0);
	fade_wanted(m, now);
	if (LWLockConditionalAcquire(&all_locks[0].lock, LW_EXCLUSIVE))
	{
		n = assign_block(slot, incarnation,
						 (double) pg_atomic_read_u64(&m->wanted) + weight, now);
		LWLockRelease(&all_locks[0].lock);
	}
	if (n < 0)
		pg_atomic_fetch_add_u64(&m->wanted, weight);
	return n;
}

/* ---- recording ----------------------------------------------------------------- */

static inline uint64
take_weight(pg_atomic_uint64 *weight)
{
	return pg_atomic_read_u64(weight) == 0 ? 0 : pg_atomic_exchange_u64(weight, 0);
}

/* Whether the hour goes on that is being recorded; begins one if none is. */
static bool
is_in_hour(PgCacheSharedKeys *block, TimestampTz now)
{
	if (sketch_of(block, SKETCH_HOUR)->n > 0)
		return now < block->hour + USECS_PER_HOUR;
	block->hour = now - now % USECS_PER_HOUR;
	return true;
}

/* With the lock held: who has it later has a later time, too. */
static void
record(PgCacheSharedKeys *block, const PgCacheKey *key, uint32 weight)
{
	TimestampTz now = pgcache_clock_now();
	double		sum = (double) weight + take_weight(&block->missed);

	fade(block, now);
	sketch_of(block, SKETCH_HOT)->total += take_weight(&map[key->space].wanted);
	pgcache_sketch_add(sketch_of(block, SKETCH_HOT), key->hash, key->data,
					   key->len, sum);
	if (!is_in_hour(block, now))
		return;
	pgcache_sketch_add(sketch_of(block, SKETCH_HOUR), key->hash, key->data,
					   key->len, sum);
	if (block->foretold.hour == block->hour)
		pgcache_foretold_add(&block->foretold, key->hash, sum);
}

void
pgcache_keys_record(const PgCacheKey *key, uint32 weight)
{
	PgCacheSharedKeys *block;
	int			n;

	if (count_blocks() == 0)
		return;
	n = find_block(key->space, key->incarnation);
	if (n < 0)
	{
		n = take_block(key->space, key->incarnation, weight);
		if (n < 0)
			return;
	}
	block = block_at(n);
	if (!LWLockConditionalAcquire(lock_of(n), LW_EXCLUSIVE))
	{
		pg_atomic_fetch_add_u64(&block->missed, weight);
		return;
	}
	if (block->incarnation == key->incarnation)
		record(block, key, weight);
	LWLockRelease(lock_of(n));
}

/* ---- reading ------------------------------------------------------------------- */

static int
compare_weight(const void *a, const void *b)
{
	const PgCacheHotKey *x = a;
	const PgCacheHotKey *y = b;
	int			result;

	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	result = memcmp(x->key, y->key, Min(x->len, y->len));
	return result != 0 ? result : (int) x->len - (int) y->len;
}

/* The entries of a sketch that is our copy, in their order. */
static PgCacheHotKey *
list_keys(const PgCacheSketch *sketch, double factor, int *n)
{
	PgCacheHotKey *keys = palloc(Max(sketch->n, 1) * sizeof(PgCacheHotKey));

	for (uint32 i = 0; i < sketch->n; i++)
	{
		const PgCacheSketchEntry *e = &sketch->entries[i];

		keys[i].hash = e->hash;
		keys[i].weight = e->weight * factor;
		keys[i].error = e->error * factor;
		keys[i].len = Min(e->len, PGCACHE_SKETCH_KEY_LEN);
		keys[i].truncated = e->len > PGCACHE_SKETCH_KEY_LEN;
		memcpy(keys[i].key, e->key, keys[i].len);
	}
	qsort(keys, sketch->n, sizeof(PgCacheHotKey), compare_weight);
	*n = sketch->n;
	return keys;
}

static void
describe_hour(const PgCacheSharedKeys *block, PgCacheKeyHour *result)
{
	result->begin = block->hour;
	if (block->foretold.hour != block->hour)
		return;
	result->foretold = block->foretold.n;
	result->asked = pgcache_foretold_asked(&block->foretold, &result->asked_weight);
}

/*
 * Copies a sketch of block b, if that is still of that incarnation, or with 0 of
 * that key, under the lock; and lists the copy.
 */
static void
read_keys(int b, PgCacheIncarnation incarnation, const PgCacheSpaceKey *key,
		  PgCacheSketchKind kind, PgCacheKeyHour *result)
{
	Size		size = pgcache_sketch_size(Max(pgcache_tracked_keys, 1));
	PgCacheSketch *copy = palloc_extended(size, MCXT_ALLOC_HUGE);
	int64		hours;
	double		factor = 1;

	memset(result, 0, sizeof(*result));
	copy->n = 0;
	copy->total = 0;
	if (b >= 0)
	{
		PgCacheSharedKeys *block = block_at(b);

		LWLockAcquire(lock_of(b), LW_SHARED);
		if (block->incarnation == incarnation &&
			(incarnation != 0 || same_space(&block->key, key)))
		{
			memcpy(copy, sketch_of(block, kind), size);
			if (kind == SKETCH_HOT)
				factor = fading(block, pgcache_clock_now(), &hours);
			else
				describe_hour(block, result);
		}
		LWLockRelease(lock_of(b));
	}
	result->keys = list_keys(copy, factor, &result->n);
	result->total = copy->total * factor;
	pfree(copy);
}

PgCacheHotKey *
pgcache_keys_hot(const PgCacheSpaceUse *space, int *n)
{
	PgCacheIncarnation incarnation = space->incarnation;
	int			b = incarnation != 0 ? find_block(space->slot, incarnation) : -1;
	PgCacheKeyHour result;

	if (b < 0)
	{
		incarnation = 0;
		b = find_saved_block(&space->key);
	}
	read_keys(b, incarnation, &space->key, SKETCH_HOT, &result);
	*n = result.n;
	return result.keys;
}

void
pgcache_keys_hour(uint16 slot, PgCacheIncarnation incarnation,
				  PgCacheKeyHour *hour)
{
	read_keys(find_block(slot, incarnation), incarnation, NULL, SKETCH_HOUR, hour);
}

/* Locks the block of a namespace; NULL if it has none. */
static PgCacheSharedKeys *
lock_block(uint16 slot, PgCacheIncarnation incarnation, int *n)
{
	*n = find_block(slot, incarnation);
	if (*n < 0)
		return NULL;
	LWLockAcquire(lock_of(*n), LW_EXCLUSIVE);
	if (block_at(*n)->incarnation == incarnation)
		return block_at(*n);
	LWLockRelease(lock_of(*n));
	return NULL;
}

void
pgcache_keys_foretell(uint16 slot, PgCacheIncarnation incarnation,
					  TimestampTz hour, const uint64 *hashes, int n)
{
	int			b;
	PgCacheSharedKeys *block = lock_block(slot, incarnation, &b);

	if (block == NULL)
		return;
	if (block->foretold.hour != hour || block->foretold.n == 0)
		pgcache_foretold_set(&block->foretold, hour, hashes, n);
	LWLockRelease(lock_of(b));
}

void
pgcache_keys_forget_hour(uint16 slot, PgCacheIncarnation incarnation,
						 TimestampTz hour)
{
	int			b;
	PgCacheSharedKeys *block = lock_block(slot, incarnation, &b);

	if (block == NULL)
		return;
	if (block->hour == hour)
		pgcache_sketch_init(sketch_of(block, SKETCH_HOUR), pgcache_tracked_keys);
	LWLockRelease(lock_of(b));
}

/* ---- forgetting ---------------------------------------------------------------- */

void
pgcache_keys_reset(void)
{
	int			nspaces;
	PgCacheSpaceUse *spaces = pgcache_space_list(&nspaces);

	for (int s = 0; s < nspaces && count_blocks() > 0; s++)
		if (spaces[s].incarnation != 0)
			pg_atomic_write_u64(&map[spaces[s].slot].wanted, 0);
	for (int n = 0; n < count_blocks(); n++)
	{
		PgCacheSharedKeys *block = block_at(n);

		LWLockAcquire(lock_of(n), LW_EXCLUSIVE);
		if (block->key.database == MyDatabaseId)
		{
			pgcache_sketch_init(sketch_of(block, SKETCH_HOT), pgcache_tracked_keys);
			block->faded = pgcache_clock_now();
			pg_atomic_write_u64(&block->missed, 0);
		}
		LWLockRelease(lock_of(n));
	}
}

void
pgcache_keys_forget(const PgCacheSpaceKey *key)
{
	for (int n = 0; n < count_blocks(); n++)
	{
		PgCacheSharedKeys *block = block_at(n);

		LWLockAcquire(lock_of(n), LW_EXCLUSIVE);
		if (block->key.database == key->database &&
			(!OidIsValid(key->catalog) || same_space(&block->key, key)))
		{
			block->incarnation = 0;
			block->key.database = InvalidOid;
			for (int kind = 0; kind < NSKETCHES; kind++)
				pgcache_sketch_init(sketch_of(block, kind), pgcache_tracked_keys);
		}
		LWLockRelease(lock_of(n));
	}
}

/* ---- for the file -------------------------------------------------------------- */

bool
pgcache_keys_save(int n, PgCacheSpaceKey *key, const PgCacheSketch **sketch,
				  TimestampTz *faded)
{
	PgCacheSharedKeys *block;

	if (n >= count_blocks())
		return false;
	block = block_at(n);
	*key = block->key;
	*sketch = sketch_of(block, SKETCH_HOT);
	*faded = block->faded;
	return true;
}

PgCacheSketch *
pgcache_keys_restore(const PgCacheSpaceKey *key, TimestampTz faded)
{
	for (int n = 0; n < count_blocks(); n++)
	{
		if (OidIsValid(block_at(n)->key.database))
			continue;
		begin_block(block_at(n), key);
		block_at(n)->faded = faded;
		return sketch_of(block_at(n), SKETCH_HOT);
	}
	return NULL;
}

/* ---- shared memory ------------------------------------------------------------- */

static Size
map_size(void)
{
	return CACHELINEALIGN(mul_size(pgcache_max_namespaces, sizeof(PgCacheSharedKeyMap)));
}

static Size
keys_size(void)
{
	return add_size(map_size(), mul_size(count_blocks(), block_size()));
}

static int
keys_nlocks(void)
{
	return 1 + count_blocks();
}

static void
attach_keys(void *memory, LWLockPadded *locks)
{
	map = memory;
	blocks = (char *) memory + map_size();
	all_locks = locks;
}

static void
init_keys(void *memory, LWLockPadded *locks)
{
	attach_keys(memory, locks);
	for (int i = 0; i < pgcache_max_namespaces; i++)
	{
		pg_atomic_init_u32(&map[i].block, 0);
		pg_atomic_init_u32(&map[i].wanting, 0);
		pg_atomic_init_u64(&map[i].wanted, 0);
		pg_atomic_init_u64(&map[i].wanted_hour, 0);
	}
	for (int n = 0; n < count_blocks(); n++)
	{
		memset(block_at(n), 0, sizeof(PgCacheSharedKeys));
		pg_atomic_init_u64(&block_at(n)->missed, 0);
	}
}

static const PgCacheShmemPart keys_part = {
	.name = "PgCacheKeys",
	.size = keys_size,
	.nlocks = keys_nlocks,
	.init = init_keys,
	.attach = attach_keys
};

void
pgcache_keys_register(void)
{
	pgcache_shmem_register(&keys_part);
}
