/*-------------------------------------------------------------------------
 *
 * watch_internal.h
 *	  What the files of watch/ have of each other.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_WATCH_INTERNAL_H
#define PGCACHE_WATCH_INTERNAL_H

#include "executor/execdesc.h"
#include "storage/lock.h"

#include "shmem/shmem.h"
#include "watch/watch.h"

/* ---- locks.c --------------------------------------------------------------- */

/* Modes under which rows may be changed: RowExclusiveLock and stronger. */
#define PGCACHE_WRITE_LOCKS \
	((LOCKBIT_ON(AccessExclusiveLock + 1) - 1) & ~(LOCKBIT_ON(RowExclusiveLock) - 1))

/* Those of them that no plain INSERT, UPDATE, DELETE or COPY takes. */
#define PGCACHE_STRONG_LOCKS \
	(PGCACHE_WRITE_LOCKS & ~LOCKBIT_ON(RowExclusiveLock))

typedef struct PgCacheHeldLock
{
	Oid			relation;
	LOCKMASK	modes;
} PgCacheHeldLock;

/*
 * The relations of this database, catalogs left out, on which the own
 * transaction holds one of PGCACHE_WRITE_LOCKS; some may come twice.  The array
 * is static.  -1: too many.  Allocates nothing and raises nothing.
 */
extern int	pgcache_held_locks(const PgCacheHeldLock **locks);

/* ---- ancestors.c ----------------------------------------------------------- */

/* A relation and all that a change of its rows is a change of. */
typedef struct PgCacheFamily
{
	Oid			relation;		/* hash key: must be first */
	int			n;				/* 0: nothing can depend on it */
	const Oid  *oids;			/* the relation itself first */
	const PgCacheStamp *stamps;
} PgCacheFamily;

/*
 * The relation's family; valid until the next call.  May raise errors, and must
 * not be called with one of our locks held.
 */
extern const PgCacheFamily *pgcache_family(Oid relation);

/*
 * The same, with the ancestors that the relation had before the own transaction
 * took it from them or dropped it, in the current memory context.
 */
extern PgCacheFamily pgcache_family_past(Oid relation);
extern void pgcache_family_free(PgCacheFamily *family);

/*
 * How many messages about relations that are no catalogs this backend has
 * processed, its own included.
 */
extern uint64 pgcache_relcache_messages;

extern void pgcache_ancestors_init(void);

/* ---- changes.c ------------------------------------------------------------- */

extern void pgcache_changes_init(void);

#ifdef PGCACHE_TEST
/* Notes the tables that a top-level statement names as changed. */
extern void pgcache_changes_note_query(QueryDesc *query);
#endif

/* ---- statement.c ----------------------------------------------------------- */

extern void pgcache_statement_init(void);

/* ---- baseline.c ------------------------------------------------------------ */

extern const PgCacheShmemPart pgcache_baseline_part;

#endif							/* PGCACHE_WATCH_INTERNAL_H */
