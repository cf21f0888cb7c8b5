/*-------------------------------------------------------------------------
 *
 * stats_internal.h
 *	  What the files of this room share.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_STATS_STATS_INTERNAL_H
#define PGCACHE_STATS_STATS_INTERNAL_H

#include "stats/stats.h"

/* ---- latency.c -------------------------------------------------------------- */

/* Of a database that lost the extension, or is gone.  After commit: cannot fail. */
extern void pgcache_latency_forget(Oid database);

/*
 * Row number n, from 0 on: its database, InvalidOid if it is shared or free, and its
 * histograms by operation; false after the last.  And back, at server start.
 */
extern bool pgcache_latency_save(int n, Oid *database, PgCacheHistogram *histograms);
extern void pgcache_latency_restore(Oid database, const PgCacheHistogram *histograms);

extern void pgcache_latency_register(void);

/* ---- keys.c ----------------------------------------------------------------- */

/* Of a namespace, or with catalog InvalidOid of a database.  Likewise. */
extern void pgcache_keys_forget(const PgCacheSpaceKey *key);

/*
 * Of block number n, from 0 on: whose it is, its sketch of hot keys, and until when
 * that has faded; false after the last.  key->database is InvalidOid if it is free.
 * When nobody records any more.
 */
extern bool pgcache_keys_save(int n, PgCacheSpaceKey *key, const PgCacheSketch **sketch,
							  TimestampTz *faded);

/*
 * A free block for a namespace, at server start; NULL if there is none.  The caller
 * fills the sketch, with keys of which no two have the same hash.
 */
extern PgCacheSketch *pgcache_keys_restore(const PgCacheSpaceKey *key, TimestampTz faded);

extern void pgcache_keys_register(void);

#endif							/* PGCACHE_STATS_STATS_INTERNAL_H */
