/*-------------------------------------------------------------------------
 *
 * sketch.h
 *	  The most frequent keys of a stream, in memory that does not grow.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_STATS_SKETCH_H
#define PGCACHE_STATS_SKETCH_H

/* Bytes of a key that are kept; of longer ones the hash tells them apart. */
#define PGCACHE_SKETCH_KEY_LEN	94

typedef struct PgCacheSketchEntry
{
	uint64		hash;
	double		weight;
	double		error;
	uint32		next;			/* in the hash chain: number plus one, or 0 */
	uint32		heap_pos;
	uint16		len;			/* of the whole key */
	char		key[PGCACHE_SKETCH_KEY_LEN];
} PgCacheSketchEntry;

/* All in one piece, without pointers, so it may be copied. */
typedef struct PgCacheSketch
{
	uint32		capacity;
	uint32		nheads;			/* of hash chains; a power of two */
	uint32		n;				/* entries in use */
	uint32		unused;
	double		total;			/* weight of all that was added */
	PgCacheSketchEntry entries[FLEXIBLE_ARRAY_MEMBER];
	/* uint32 heap[capacity], uint32 heads[nheads] */
} PgCacheSketch;

/* Bytes of a sketch of so many entries, at least 1. */
extern Size pgcache_sketch_size(int capacity);

/* Makes it an empty one. */
extern void pgcache_sketch_init(PgCacheSketch *sketch, int capacity);

/*
 * Adds a key of len bytes.  The hash is of all of it; equal keys have equal ones.
 */
extern void pgcache_sketch_add(PgCacheSketch *sketch, uint64 hash,
							   const char *key, uint16 len, double weight);

/*
 * Enters a key with its weight and error as they were in another sketch; total is
 * the caller's.  False if there is no room, or it is there.
 */
extern bool pgcache_sketch_restore(PgCacheSketch *sketch, uint64 hash,
								   const char *key, uint16 len,
								   double weight, double error);

/*
 * Gives all keys new hashes, because the one that makes them has changed.  Keys
 * that are not there in full must not be there at all.
 */
extern void pgcache_sketch_rehash(PgCacheSketch *sketch,
								  uint64 (*hash) (void *arg, const char *key, uint16 len),
								  void *arg);

/* Multiplies all weights. */
extern void pgcache_sketch_scale(PgCacheSketch *sketch, double factor);

/* Whether its structure is sound; of a copy. */
extern bool pgcache_sketch_check(const PgCacheSketch *sketch);

#endif							/* PGCACHE_STATS_SKETCH_H */
