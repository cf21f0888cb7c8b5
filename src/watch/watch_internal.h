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
 * took it from them or dropped it.
 */
extern const PgCacheFamily *pgcache_family_past(Oid relation);

/* Before it is asked for publishing. */
extern void pgcache_families_past_forget(void);

/*
 * How many messages about relations that are no catalogs this backend has
 * processed, its own included.
 */
extern uint64 pgcache_relcache_messages;

extern void pgcache_ancestors_init(void);

/* ---- changes.c ------------------------------------------------------------- */

/*
 * Whether a change of the relation, with these locks held, is one of a table in
 * the list or of a descendant.
 */
extern bool pgcache_change_concerns(Oid relation, LOCKMASK modes,
									const Oid *tables, int n);

extern void pgcache_changes_init(void);

#ifdef PGCACHE_TEST
/* Notes the tables that a top-level statement names as changed. */
extern void pgcache_changes_note_query(QueryDesc *query);
#endif

/* ---- statement.c ----------------------------------------------------------- */

/*
 * What hooks.c tells of: a query is started; a query or utility statement is to be
 * run, true if at depth 0; it is run now, and that at depth 0 has ended; something
 * is to be planned.
 */
extern void pgcache_statement_start_query(QueryDesc *query);
extern bool pgcache_statement_enter_query(QueryDesc *query);
extern bool pgcache_statement_enter_utility(PlannedStmt *pstmt);
extern void pgcache_statement_run(void);
extern void pgcache_statement_leave(void);
extern void pgcache_statement_plan(void);

extern void pgcache_statement_init(void);

/* ---- hooks.c --------------------------------------------------------------- */

extern void pgcache_hooks_init(void);

/* ---- seen.c ---------------------------------------------------------------- */

/* A statement begins at depth 0. */
extern void pgcache_seen_begin_statement(void);

/* A command that may change rows begins. */
extern void pgcache_seen_command(CommandId cid);

/* How many such queries are running, their AFTER triggers not counted. */
extern int	pgcache_changes_running;

static inline bool
pgcache_changes_rows(const QueryDesc *query)
{
	return query->operation != CMD_SELECT || query->plannedstmt->hasModifyingCTE;
}

/*
 * Whether the statement has rolled back changes of a table in the list, or of a
 * descendant, which what it read before may show.
 */
extern bool pgcache_seen_undone(const Oid *tables, int n);

extern void pgcache_seen_init(void);

/* ---- baseline.c ------------------------------------------------------------ */

extern const PgCacheShmemPart pgcache_baseline_part;

#endif							/* PGCACHE_WATCH_INTERNAL_H */
