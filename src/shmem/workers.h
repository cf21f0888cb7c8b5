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

typedef enum PgCacheWorkerKind
{
	PGCACHE_LAUNCHER,			/* no database */
	PGCACHE_PROBE,
	PGCACHE_WORKER,
	PGCACHE_WARMER
}			PgCacheWorkerKind;

/*
 * Enters this process.  False if the database is held, or there is such a
 * launcher or worker already: the caller must exit.  Leaves by itself at exit.
 */
extern bool pgcache_workers_enter(PgCacheWorkerKind kind, Oid database);

/*
 * Set the latch of a database's worker, of the launcher, or of all of them.  If
 * there is none nothing happens.  Raise nothing, so may be called after commit.
 */
extern void pgcache_workers_wake(Oid database);
extern void pgcache_workers_wake_launcher(void);
extern void pgcache_workers_wake_all(void);

/* Registers the part of shared memory. */
extern void pgcache_workers_register(void);

#endif							/* PGCACHE_SHMEM_WORKERS_H */
