/*-------------------------------------------------------------------------
 *
 * stats.h
 *	  What is recorded besides the counters: latency, and which keys are hot.
 *
 *	  sample.c		which gets are looked at
 *	  latency.c		histograms of each database, in shared memory
 *	  histogram.c	one histogram; runs without a server in unit tests
 *	  sketch.c		space-saving tables; runs without a server in unit tests
 *	  keys.c		the sketches of each namespace, in shared memory
 *	  foretold.c	keys that were foretold for an hour
 *	  learn.c		when an hour is over, and when it was learned
 *	  file.c		what survives a clean restart
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_STATS_STATS_H
#define PGCACHE_STATS_STATS_H

#include "datatype/timestamp.h"
#include "portability/instr_time.h"

#include "base/settings.h"
#include "space/space.h"
#include "stats/foretold.h"
#include "stats/histogram.h"
#include "stats/sketch.h"
#include "store/store.h"

/* ---- latency.c -------------------------------------------------------------- */

/* OPERATION(NAME, name) */
#define PGCACHE_OPERATIONS(OPERATION) \
	OPERATION(GET, get) \
	OPERATION(GET_MANY, get_many) \
	OPERATION(PUT, put) \
	OPERATION(PUT_MANY, put_many) \
	OPERATION(WARM, warm)

#define PGCACHE_OPERATION_ENUM(NAME, name)	PGCACHE_OPERATION_##NAME,
typedef enum PgCacheOperation
{
	PGCACHE_OPERATIONS(PGCACHE_OPERATION_ENUM)
	PGCACHE_NOPERATIONS
} PgCacheOperation;

/*
 * Records that so many calls in this database took ns nanoseconds each.  Raises
 * nothing, takes no lock.
 */
extern void pgcache_latency_add(PgCacheOperation operation, uint64 ns, uint32 calls);

/* Times something, if pg_cache.track_latency is on at its beginning. */
typedef struct PgCacheTimer
{
	instr_time	begin;			/* zero: not timed */
} PgCacheTimer;

static inline void
pgcache_timer_begin(PgCacheTimer *timer)
{
	if (pgcache_track_latency)
		INSTR_TIME_SET_CURRENT(timer->begin);
	else
		INSTR_TIME_SET_ZERO(timer->begin);
}

extern void pgcache_timer_end(const PgCacheTimer *timer, PgCacheOperation operation,
							  uint32 calls);

/* A copy of what was recorded for the current database. */
extern void pgcache_latency_read(PgCacheOperation operation, PgCacheHistogram *histogram);

/* Of the current database. */
extern void pgcache_latency_reset(void);

/* ---- sample.c --------------------------------------------------------------- */

/*
 * A get begins by this; true: it is to be sampled.  One in some is, between 1 and
 * 256 so that there are about 1,000 a second, and counts for all of them.
 */
static inline bool
pgcache_sample_due(void)
{
	return unlikely(--pgcache_sample_countdown == 0);
}

typedef struct PgCacheSample
{
	PgCacheTimer timer;
	uint32		weight;			/* gets that it counts for */
} PgCacheSample;

/* Around what is sampled; key is the one asked for. */
extern void pgcache_sample_begin(PgCacheSample *sample);
extern void pgcache_sample_end(const PgCacheSample *sample, const PgCacheKey *key);

/* Samples one of many keys, which are not timed one by one. */
extern void pgcache_sample_key(const PgCacheKey *key);

/* ---- keys.c ----------------------------------------------------------------- */

typedef struct PgCacheHotKey
{
	uint64		hash;
	double		weight;			/* requests, estimated, at most so many */
	double		error;			/* by which that may be too high */
	uint16		len;			/* bytes in key */
	bool		truncated;		/* the key is longer; only its hash is exact */
	char		key[PGCACHE_SKETCH_KEY_LEN];
} PgCacheHotKey;

/* Records so many requests for a key; takes a lock only if it is free. */
extern void pgcache_keys_record(const PgCacheKey *key, uint32 weight);

/*
 * The keys asked for of late, those that weigh most first, palloc'd: an hour
 * halves a weight.
 */
extern PgCacheHotKey *pgcache_keys_hot(const PgCacheSpaceUse *space, int *n);

/* An hour by the clock. */
typedef struct PgCacheKeyHour
{
	TimestampTz begin;
	double		total;			/* requests, for all keys */
	int			n;
	PgCacheHotKey *keys;		/* most frequent first, palloc'd */
	int			foretold;		/* keys */
	int			asked;			/* so many of these were asked for, */
	double		asked_weight;	/* so often together */
} PgCacheKeyHour;

/*
 * The keys asked for in the hour of which the namespace's hourly sketch is.  If
 * that hour is over, the answer stays the same until it is forgotten; then another
 * hour begins with the next request.
 */
extern void pgcache_keys_hour(uint16 slot, PgCacheIncarnation incarnation,
							  PgCacheKeyHour *hour);

/*
 * Foretells keys, by their hashes, for the hour that begins then; has no effect if
 * some were foretold for it already, or nothing is recorded of the namespace.
 * After commit: cannot fail.
 */
extern void pgcache_keys_foretell(uint16 slot, PgCacheIncarnation incarnation,
								  TimestampTz hour, const uint64 *hashes, int n);

/* Forgets the hour that begins then.  After commit: cannot fail. */
extern void pgcache_keys_forget_hour(uint16 slot, PgCacheIncarnation incarnation,
									 TimestampTz hour);

/* Forgets the hot keys, not those of the hour, of the current database. */
extern void pgcache_keys_reset(void);

/* ---- learn.c ---------------------------------------------------------------- */

/*
 * When the worker is to learn from the hour that is over; and that it has, if the
 * transaction commits.
 */
extern TimestampTz pgcache_learn_due(void);
extern void pgcache_learn_done(void);

/*
 * If the transaction commits, forgets an hour of a namespace, or foretells keys for
 * one, n of them and PGCACHE_MAX_FORETOLD at the most.
 */
extern void pgcache_learn_forget(uint16 slot, PgCacheIncarnation incarnation,
								 TimestampTz hour);
extern void pgcache_learn_foretell(uint16 slot, PgCacheIncarnation incarnation,
								   TimestampTz hour, const uint64 *hashes, int n);

/* Whether the transaction is to forget it. */
extern bool pgcache_learn_forgets(uint16 slot, PgCacheIncarnation incarnation,
								  TimestampTz hour);

/* Registers shared memory and callbacks; called by _PG_init, after the store's. */
extern void pgcache_stats_register(void);

#endif							/* PGCACHE_STATS_STATS_H */
