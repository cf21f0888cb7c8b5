/*-------------------------------------------------------------------------
 *
 * worker_internal.h
 *	  What the background processes share among themselves.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_WORKER_WORKER_INTERNAL_H
#define PGCACHE_WORKER_WORKER_INTERNAL_H

#include "postmaster/bgworker.h"

#include "shmem/workers.h"
#include "worker/worker.h"

/* What failed is left alone for 1 s, 2 s, 4 s and so on, at most for this. */
#define PGCACHE_MAX_PAUSE	(INT64CONST(300) * USECS_PER_SEC)

/* ---- process.c ------------------------------------------------------------- */

/* Fills in what the launcher, probes and workers have in common. */
extern void pgcache_process_describe(BackgroundWorker *process, PgCacheWorkerKind kind);

/*
 * The begin of such a process: enters and connects, with search_path set, or
 * exits if there is no place for it.
 */
extern void pgcache_process_begin(PgCacheWorkerKind kind, Oid database);

/*
 * Between its works: exits if told to, reads the configuration anew, takes note
 * of what others changed.
 */
extern void pgcache_process_interrupts(void);

/*
 * Sleeps until then by the cache's clock, until woken, or for
 * pg_cache.worker_interval, whichever comes first.
 */
extern void pgcache_process_sleep(TimestampTz until);

/*
 * Test builds: with the longest pg_cache.worker_interval nothing is done but
 * starting and ending, so that tests that do it all by hand are by themselves.
 */
extern bool pgcache_process_paused(void);

/* When to try again what failed so many times in succession. */
extern TimestampTz pgcache_process_pause(TimestampTz now, int failures);

/* A due time that the clock was set back before is not waited for. */
extern TimestampTz pgcache_process_clamp(TimestampTz due, TimestampTz now, int64 most);

/* ---- database.c ------------------------------------------------------------ */

/* How many runs of jobs this worker has begun. */
extern uint64 pgcache_worker_jobs_run(void);

/* ---- record.c: jobs, see PgCacheJob ------------------------------------------ */

extern TimestampTz pgcache_history_due(void);
extern void pgcache_history_run(void);
extern TimestampTz pgcache_alerts_due(void);
extern void pgcache_alerts_run(void);

/* ---- events.c and step_aside.c --------------------------------------------- */

extern void pgcache_events_init(void);
extern void pgcache_step_aside_init(void);

#endif							/* PGCACHE_WORKER_WORKER_INTERNAL_H */
