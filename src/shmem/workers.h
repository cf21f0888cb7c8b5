/*-------------------------------------------------------------------------
 *
 * workers.h
 *	  Which background processes of ours there are, and whom to wake.
 *
 * Every one of them enters itself before it connects to a database, and leaves
 * when it exits.  Whoever must have a database for himself (DROP DATABASE and
 * its like) holds it: those inside are told to end, and nobody enters.
 *
 * Locking: PgCacheWorkers, one LWLock, nothing else taken meanwhile.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_SHMEM_WORKERS_H
#define PGCACHE_SHMEM_WORKERS_H

#include "datatype/timestamp.h"

typedef enum PgCacheWorkerKind
{
	PGCACHE_LAUNCHER,			/* no database */
	PGCACHE_PROBE,
	PGCACHE_WORKER,
	PGCACHE_WARMER
} PgCacheWorkerKind;

/*
 * Enters this process, before it connects.  False if the database is held, or
 * there is such a launcher or worker already: the caller must exit.  Leaves by
 * itself at exit, when it is not connected any more.  SIGTERM must end it soon.
 */
extern bool pgcache_workers_enter(PgCacheWorkerKind kind, Oid database);

/* Whether there is one of that kind in the database. */
extern bool pgcache_workers_inside(PgCacheWorkerKind kind, Oid database);

/*
 * Set the latch of a database's worker, of the launcher, or of all of them.  If
 * there is none nothing happens.  Raise nothing, so may be called after commit.
 *
 * Transaction callbacks run before the transaction's invalidations are sent and
 * its locks released, so who is woken by one is woken again after that.
 */
extern void pgcache_workers_wake(Oid database);
extern void pgcache_workers_wake_launcher(void);
extern void pgcache_workers_wake_all(void);

/* ---- databases for oneself ------------------------------------------------- */

/*
 * Holds the database until the end of the transaction: those inside are told to
 * end, and waited for, some seconds at the most.  One for each backend.
 */
extern void pgcache_workers_hold(Oid database, uint32 wait_event);

/* Whether anybody holds it. */
extern bool pgcache_workers_held(Oid database);

/* ---- what the launcher is told of databases -------------------------------- */

typedef enum PgCacheFinding
{
	PGCACHE_FOUND,				/* the extension is there */
	PGCACHE_MISSING,			/* it is not */
	PGCACHE_STEPPED_ASIDE		/* a process of ours ended for a hold */
} PgCacheFinding;

/*
 * How often the extension was created; to be read before one looks whether it is
 * there, and given with what was found: if it was created meanwhile, "missing"
 * counts for nothing.
 */
extern uint64 pgcache_workers_creations(void);
extern void pgcache_workers_report(Oid database, PgCacheFinding finding,
								   uint64 creations);

/* It was created in this database; after commit. */
extern void pgcache_workers_report_created(Oid database);

/*
 * Takes one report; false if there is none.  *lost: there were more than could be
 * kept, and all databases must be looked at.
 */
extern bool pgcache_workers_take_report(Oid *database, PgCacheFinding *finding,
										bool *lost);

/*
 * How often the server has crashed in succession, without five minutes' peace in
 * between, and when it began anew: of that nobody but the postmaster knows.
 */
extern int	pgcache_workers_crashes(TimestampTz *since);

/* Registers the part of shared memory, and a callback. */
extern void pgcache_workers_register(void);

#endif							/* PGCACHE_SHMEM_WORKERS_H */
