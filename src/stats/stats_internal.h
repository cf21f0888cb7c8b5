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

/* Likewise. */
extern void pgcache_keys_forget(Oid database);

/*
 * Of block number n, from 0 on: whose it is and its sketch of hot keys; false after
 * the last.  *incarnation is 0 if it is free.  When nobody records any more.
 */
extern bool pgcache_keys_save(int n, uint16 *slot, PgCacheIncarnation *incarnation,
							  const PgCacheSketch **sketch, TimestampTz *faded);

/*
 * A free block for a namespace, at server start; NULL if there is none.  The caller
 * fills the sketch.
 */
extern PgCacheSketch *pgcache_keys_restore(uint16 slot, PgCacheIncarnation incarnation,
										   Oid database, TimestampTz faded);

extern void pgcache_keys_register(void);

/* ---- file.c ------------------------------------------------------------------ */

extern void pgcache_file_register(void);

#endif							/* PGCACHE_STATS_STATS_INTERNAL_H */
