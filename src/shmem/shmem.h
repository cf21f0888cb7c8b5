/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  Our shared memory: parts that rooms register, and our lock tranches.
 *
 * A room that needs shared memory registers a part from _PG_init.  The server
 * asks for the sizes before it creates the segment (shmem_request_hook), then
 * every process is given the addresses (shmem_startup_hook); the first of them
 * initialises the contents.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_SHMEM_SHMEM_H
#define PGCACHE_SHMEM_SHMEM_H

#include "storage/lwlock.h"

#include "base/compat.h"

typedef struct PgCacheShmemPart
{
	const char *name;			/* of the segment's piece, and of its tranche */
	Size		(*size) (void); /* bytes */
	int			(*nlocks) (void);	/* LWLocks of its own, or NULL for none */
	/* memory is uninitialised; called once per server start */
	void		(*init) (void *memory, LWLockPadded *locks);
	/* called in every process that has shared memory, after init */
	void		(*attach) (void *memory, LWLockPadded *locks);
	/* unless NULL, called once per server start, after all parts' attach */
	void		(*start) (void);
} PgCacheShmemPart;

/* For nlocks of a part with a single one. */
extern int	pgcache_shmem_one_lock(void);

/* Adds a part; the struct must stay valid.  Only while preloading. */
extern void pgcache_shmem_register(const PgCacheShmemPart *part);

/* Installs the hooks; called once by _PG_init, after the parts registered. */
extern void pgcache_shmem_init(void);

/* Whether shared memory is there, that is, whether we were preloaded. */
extern bool pgcache_shmem_ready;

/*
 * Raises 55000 unless the library was preloaded.  Every SQL function calls it
 * first.
 */
pg_noreturn extern void pgcache_shmem_not_ready(void);

static inline void
pgcache_shmem_require(void)
{
	if (unlikely(!pgcache_shmem_ready))
		pgcache_shmem_not_ready();
}

#endif							/* PGCACHE_SHMEM_SHMEM_H */
