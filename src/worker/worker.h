/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The background processes: launcher, probes, a worker for each database.
 *
 *	  launcher.c	finds databases, starts their workers, keeps the store
 *	  probe.c		looks whether a database has the extension
 *	  database.c	a database's worker: the loop over its jobs
 *	  jobs.c		the table of jobs
 *	  record.c		jobs: the history, alerts
 *	  step_aside.c	DROP DATABASE and its like
 *	  upkeep.c		what the launcher does to the store
 *	  pressure.c	a lower limit while memory is short; psi.c reads Linux's files
 *
 * doc/workers.md says why it is divided like that.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_WORKER_WORKER_H
#define PGCACHE_WORKER_WORKER_H

#include "datatype/timestamp.h"

/*
 * What a database's worker does from time to time.  A job that raises an error
 * is logged and left alone for a while.
 */
typedef struct PgCacheJob
{
	const char *name;			/* in log lines and pg_stat_activity.query */
	bool		on_standby;		/* whether it also runs in recovery */

	/*
	 * When it is due next, by the cache's clock; DT_NOEND: not before
	 * something changes.  Asked at each wake-up, outside of transactions: no
	 * catalogs, nothing slow.  A job that must read its tables first is due
	 * at once (DT_NOBEGIN).
	 */
	TimestampTz (*due) (void);

	/* Does it: in a transaction, with a snapshot, connected to SPI. */
	void		(*run) (void);
} PgCacheJob;

extern const PgCacheJob pgcache_jobs[];
extern const int pgcache_njobs;

/*
 * For jobs: calls a function in the extension's schema, with one argument if that
 * is given, and selects columns of its one row, "f": SPI has them.  False if there is
 * no extension.
 */
extern bool pgcache_worker_call(const char *columns, const char *function,
								const TimestampTz *arg);

/* Registers the launcher and the hooks; called by _PG_init. */
extern void pgcache_worker_init(void);

/* ---- upkeep.c -------------------------------------------------------------- */

/*
 * One round of the store's upkeep, called by the launcher each
 * pg_cache.worker_interval, on a standby too.  Serves interrupts between bounded
 * steps.
 */
extern void pgcache_upkeep(void);

/*
 * Milliseconds until the next round is due: pg_cache.worker_interval, or fewer
 * while puts outrun what is evicted ahead of them.
 */
extern int	pgcache_upkeep_delay(void);

#endif							/* PGCACHE_WORKER_WORKER_H */
