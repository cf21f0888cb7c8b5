/*-------------------------------------------------------------------------
 *
 * warm.h
 *	  Warmers: queries whose rows are put into the cache on a schedule.
 *
 *	  schedule.c	cron expressions, intervals; runs without a server in unit tests
 *	  catalog.c		the table cache_warmers
 *	  run.c			one run, in whatever session
 *	  launch.c		the worker's job: which are due, and what became of the others
 *	  warmer.c		the process that runs one
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_WARM_WARM_H
#define PGCACHE_WARM_WARM_H

#include "datatype/timestamp.h"

/* The job of a database's worker; see PgCacheJob. */
extern TimestampTz pgcache_warm_due(void);
extern void pgcache_warm_run(void);

/* Registers shared memory; called by _PG_init. */
extern void pgcache_warm_register(void);

#endif							/* PGCACHE_WARM_WARM_H */
