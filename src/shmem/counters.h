/*-------------------------------------------------------------------------
 *
 * counters.h
 *	  Exact event counters per namespace, without a shared line on the way.
 *
 * Each backend counts in a slot of its own, which nobody else writes: a few
 * blocks, one for each namespace that it used of late.  A block that must make
 * room for another namespace is added to its namespace's totals.  A reader adds
 * totals and blocks; a change count tells it when an owner was just moving one
 * into the other.
 *
 * Namespaces are named by their slot number in shared memory and by the slot's
 * incarnation, so that what was counted for a dropped namespace is never
 * credited to the next user of its slot.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_SHMEM_COUNTERS_H
#define PGCACHE_SHMEM_COUNTERS_H

/*
 * COUNTER(NAME, column): in the order of the array.  What the store does by
 * itself (evictions, expirations) is counted there, under its locks.
 */
#define PGCACHE_COUNTERS(COUNTER) \
	COUNTER(HITS, hits) \
	COUNTER(MISSES, misses) \
	COUNTER(PUTS, puts) \
	COUNTER(STALE_PUTS, stale_puts) \
	COUNTER(DROPPED_PUTS, dropped_puts) \
	COUNTER(DELETES, deletes) \
	COUNTER(INVALIDATED_MANUAL, invalidations_manual) \
	COUNTER(INVALIDATED_TAG, invalidations_tag) \
	COUNTER(INVALIDATED_PATTERN, invalidations_pattern) \
	COUNTER(INVALIDATED_TABLE, invalidations_table) \
	COUNTER(INVALIDATED_FILE, invalidations_file) \
	COUNTER(INVALIDATED_ERROR, invalidations_error) \
	COUNTER(LOADS, loads) \
	COUNTER(LOAD_ERRORS, load_errors) \
	COUNTER(WAITS, waits) \
	COUNTER(GHOST_HITS, ghost_hits) \
	COUNTER(EXPIRED_MISSES, expired_misses)

#define PGCACHE_COUNTER_ENUM(NAME, column)	PGCACHE_##NAME,
typedef enum PgCacheCounter
{
	PGCACHE_COUNTERS(PGCACHE_COUNTER_ENUM)
	PGCACHE_NCOUNTERS
} PgCacheCounter;

/* Incarnation of a namespace slot; 0 is never used. */
typedef uint32 PgCacheIncarnation;

/* The block last used by this backend; see pgcache_count. */
extern PgCacheIncarnation pgcache_counters_current;
extern uint64 *pgcache_counters_block;

/*
 * Makes the block of that namespace the current one.  No errors, no locks, no
 * allocation.
 */
extern void pgcache_counters_select(uint16 slot, PgCacheIncarnation incarnation);

/* Counts n events of a namespace. */
static inline void
pgcache_count(uint16 slot, PgCacheIncarnation incarnation,
			  PgCacheCounter counter, uint64 n)
{
	if (unlikely(incarnation != pgcache_counters_current))
		pgcache_counters_select(slot, incarnation);
	pgcache_counters_block[counter] += n;
}

/* The sums of a namespace since the last reset. */
extern void pgcache_counters_read(uint16 slot, PgCacheIncarnation incarnation,
								  uint64 sums[PGCACHE_NCOUNTERS]);

/* Makes the present sums of a namespace the new zero. */
extern void pgcache_counters_reset(uint16 slot, PgCacheIncarnation incarnation);

/*
 * A slot was given to a new namespace: its totals start from zero, and what
 * was counted under its earlier incarnations counts no more.
 */
extern void pgcache_counters_new_slot(uint16 slot, PgCacheIncarnation incarnation);

/* Registers the part of shared memory. */
extern void pgcache_counters_register(void);

#endif							/* PGCACHE_SHMEM_COUNTERS_H */
