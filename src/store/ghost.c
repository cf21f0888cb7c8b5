/*-------------------------------------------------------------------------
 *
 * ghost.c
 *	  Marks that evicted and expired entries leave, so that a miss can be told:
 *	  would it have been a hit with more memory, or with a longer TTL?
 *
 * Keys with one hash in sixteen leave a mark when their entry is evicted or
 * expires; a put or delete of the key takes it away.  So marks are the ghosts of a
 * queue that goes on where memory ends (the "simulated cache" that ARC, of
 * Megiddo and Modha, FAST 2003, steers by), of a sample of the keys (as SHARDS,
 * Waldspurger et al., FAST 2015).  The distance of a mark from the queue's
 * beginning is the size of the entries that were evicted later and are still
 * away; a miss within as much as the partition holds would have been a hit with
 * twice the memory.
 *
 * Time goes in epochs, each a 64th of the partition's bytes, evicted or expired.
 * For each of the last 128 it is known what the marks made in it stand for.
 *
 * The marks of a partition are a table of rows of eight, a cache line each.  In a
 * full row the oldest gives way.
 *
 * Locking: marks are made and taken away under the partition's lock, held
 * exclusively.  Misses read them without: what they find is an estimate anyway.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

/* A mark: fingerprint of the key, size in granules, epoch, and whether it expired. */
#define FINGERPRINT_BITS	22
#define SIZE_BITS			20
#define EPOCH_BITS			21

#define FINGERPRINT(mark)	((uint32) ((mark) >> (64 - FINGERPRINT_BITS)))
#define SIZE(mark)			((uint32) ((mark) >> (EPOCH_BITS + 1)) & ((1U << SIZE_BITS) - 1))
#define EPOCH(mark)			((uint32) ((mark) >> 1) & ((1U << EPOCH_BITS) - 1))
#define HAS_EXPIRED(mark)	(((mark) & 1) != 0)

/* So many epochs are as long as what the partition holds. */
#define EPOCHS_PER_TURN		(PGCACHE_GHOST_EPOCHS / 2)

static pg_atomic_uint64 *
row_of(const PgCacheStore *store, const PgCachePartition *part, uint64 hash)
{
	return store->marks + ((Size) part->number * store->mark_sets +
						   ((uint32) hash & (store->mark_sets - 1))) * PGCACHE_MARK_WAYS;
}

/*
 * Of bits that choose neither the partition nor the row, nor the sample.  Each
 * clear of the namespace makes another one of it, so marks from before are found
 * no more, as if they were of other keys.
 */
static uint32
fingerprint_of(uint64 hash, uint64 clear_seq)
{
	uint32		fingerprint = (uint32) ((hash * UINT64CONST(0x9e3779b97f4a7c15) +
										 clear_seq * UINT64CONST(0xd1b54a32d192ed03)) >>
										(64 - FINGERPRINT_BITS));

	return fingerprint ? fingerprint : 1;	/* 0 is an unused place */
}

/* Granules that a partition holds. */
static int64
capacity_of(const PgCacheStore *store, const PgCachePartition *part)
{
	return (int64) part->nheap_regions * store->region_granules;
}

/* How many epochs ago a mark was made. */
static uint32
age_of(const PgCachePartition *part, uint64 mark)
{
	return (part->epoch - EPOCH(mark)) & ((1U << EPOCH_BITS) - 1);
}

/* Takes a mark out of the accounts. */
static void
unaccount(PgCachePartition *part, uint64 mark)
{
	if (mark != 0 && !HAS_EXPIRED(mark) && age_of(part, mark) < PGCACHE_GHOST_EPOCHS)
		part->marked[EPOCH(mark) % PGCACHE_GHOST_EPOCHS] -= SIZE(mark);
}

/* Time goes on by so many granules, of which the sample has seen a 16th. */
static void
pass_time(const PgCacheStore *store, PgCachePartition *part, uint32 size)
{
	part->epoch_filled += (int64) size * PGCACHE_GHOST_SAMPLE;
	if (part->epoch_filled * EPOCHS_PER_TURN < capacity_of(store, part))
		return;
	part->epoch_filled = 0;
	part->epoch = (part->epoch + 1) & ((1U << EPOCH_BITS) - 1);
	/* What was marked in the epoch of this place is too old to matter. */
	part->marked[part->epoch % PGCACHE_GHOST_EPOCHS] = 0;
}

static uint64
clear_seq_of(const PgCacheStore *store, uint16 space)
{
	return pg_atomic_read_u64(&store->spaces[space].clear_seq);
}

/* Takes the mark of that fingerprint, if there is one, out of a row. */
static void
remove_mark(PgCachePartition *part, pg_atomic_uint64 *row, uint32 fingerprint)
{
	for (int i = 0; i < PGCACHE_MARK_WAYS; i++)
	{
		uint64		mark = pg_atomic_read_u64(&row[i]);

		if (FINGERPRINT(mark) != fingerprint)
			continue;
		unaccount(part, mark);
		pg_atomic_write_u64(&row[i], 0);
		return;
	}
}

void
pgcache_ghost_forget(PgCacheStore *store, PgCachePartition *part,
					 uint16 space, uint64 hash)
{
	remove_mark(part, row_of(store, part, hash),
				fingerprint_of(hash, clear_seq_of(store, space)));
}

/* The place of a row for a new mark: an unused one, else that of the oldest. */
static pg_atomic_uint64 *
place_in(const PgCachePartition *part, pg_atomic_uint64 *row)
{
	pg_atomic_uint64 *oldest = row;

	for (int i = 0; i < PGCACHE_MARK_WAYS; i++)
	{
		if (pg_atomic_read_u64(&row[i]) == 0)
			return &row[i];
		if (age_of(part, pg_atomic_read_u64(&row[i])) >
			age_of(part, pg_atomic_read_u64(oldest)))
			oldest = &row[i];
	}
	return oldest;
}

void
pgcache_ghost_mark(PgCacheStore *store, PgCachePartition *part,
				   const PgCacheEntry *entry, uint64 hash, bool expired)
{
	pg_atomic_uint64 *row = row_of(store, part, hash);
	uint64		clear_seq = clear_seq_of(store, entry->space);
	uint32		fingerprint = fingerprint_of(hash, clear_seq);
	pg_atomic_uint64 *place;
	uint32		size;

	/* What nobody would have been served is not missed for lack of memory. */
	if (entry->seq < clear_seq)
		return;
	size = Min(entry_granules(store, entry), (1U << SIZE_BITS) - 1);
	remove_mark(part, row, fingerprint);
	pass_time(store, part, size);
	place = place_in(part, row);
	unaccount(part, pg_atomic_read_u64(place));
	pg_atomic_write_u64(place,
						(uint64) fingerprint << (64 - FINGERPRINT_BITS) |
						(uint64) size << (EPOCH_BITS + 1) |
						(uint64) part->epoch << 1 | (expired ? 1 : 0));
	if (!expired)
		part->marked[part->epoch % PGCACHE_GHOST_EPOCHS] += size;
}

/* Whether a mark lies within as much as the partition holds. */
static bool
is_near(const PgCacheStore *store, const PgCachePartition *part, uint64 mark)
{
	uint32		age = age_of(part, mark);
	int64		granules;

	if (age >= PGCACHE_GHOST_EPOCHS)
		return false;
	granules = part->marked[EPOCH(mark) % PGCACHE_GHOST_EPOCHS] / 2;
	for (uint32 i = 0; i < age; i++)
		granules += part->marked[(part->epoch - i) % PGCACHE_GHOST_EPOCHS];
	return granules * PGCACHE_GHOST_SAMPLE <= capacity_of(store, part);
}

PgCacheGhostKind
pgcache_store_ghost(PgCacheStore *store, const PgCacheKey *key)
{
	PgCachePartition *part = partition_of(store, key->hash);
	pg_atomic_uint64 *row = row_of(store, part, key->hash);
	uint32		fingerprint = fingerprint_of(key->hash, clear_seq_of(store, key->space));

	for (int i = 0; i < PGCACHE_MARK_WAYS; i++)
	{
		uint64		mark = pg_atomic_read_u64(&row[i]);

		if (FINGERPRINT(mark) != fingerprint)
			continue;
		if (HAS_EXPIRED(mark))
			return PGCACHE_GHOST_EXPIRED;
		if (!is_near(store, part, mark))
			return PGCACHE_GHOST_NONE;
		pg_atomic_fetch_add_u64(&store->shares[key->space].ghost_hits, 1);
		return PGCACHE_GHOST_EVICTED;
	}
	return PGCACHE_GHOST_NONE;
}

bool
pgcache_ghosts_are_sound(const PgCacheStore *store, const PgCachePartition *part)
{
	int64		marked[PGCACHE_GHOST_EPOCHS] = {0};
	Size		n = (Size) store->mark_sets * PGCACHE_MARK_WAYS;

	for (Size i = 0; i < n; i++)
	{
		uint64		mark = pg_atomic_read_u64(&store->marks[part->number * n + i]);

		if (mark != 0 && !HAS_EXPIRED(mark) && age_of(part, mark) < PGCACHE_GHOST_EPOCHS)
			marked[EPOCH(mark) % PGCACHE_GHOST_EPOCHS] += SIZE(mark);
	}
	return memcmp(marked, part->marked, sizeof(marked)) == 0;
}
