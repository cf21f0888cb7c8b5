/*-------------------------------------------------------------------------
 *
 * watch.h
 *	  What the own transaction changed, and by what snapshot it read.
 *
 *	  locks.c		relations on which it holds a lock that allows changes
 *	  changes.c		publishes them before commit; own writes
 *	  ancestors.c	the relations that a change of one counts for
 *	  statement.c	the snapshot of the outermost statement running
 *	  seen.c		whether what is read knows the own changes
 *	  hooks.c		tell these two what is running
 *	  baseline.c	transactions from before the server's start
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_WATCH_WATCH_H
#define PGCACHE_WATCH_WATCH_H

#include "stamp/stamp.h"

/* ---- statement.c ----------------------------------------------------------- */

/*
 * Since when data that the session has now count as read: the snapshot of the
 * outermost statement running.  Lives until the end of the transaction; the
 * same pointer for the same statement.  NULL if there is no MVCC snapshot.
 */
extern const PgCacheBound *pgcache_statement_bound(void);

/*
 * To be called when a transaction without an xid commits, for each put that it
 * stored, with the put's asof: a CALL or DO may go on in the next transaction.
 * Can't fail.
 */
extern void pgcache_statement_note_asof(PgCacheStamp stamp, uint64 asof);

/* ---- seen.c ---------------------------------------------------------------- */

/*
 * Whether data that the session has now were read knowing all that the own
 * transaction has changed up to now; true where there is no active snapshot, as
 * at commit.
 */
extern bool pgcache_statement_sees_own_changes(void);

/* ---- changes.c ------------------------------------------------------------- */

/*
 * Whether the own transaction may have changed one of the tables, or a
 * descendant of one (holds RowExclusiveLock or stronger on it).
 */
extern bool pgcache_watch_wrote(const Oid *tables, int n);

/*
 * A number that changes with every change that the own transaction makes to the
 * tables or their descendants; 0 where it made none.  False where that can't be
 * known (it wrote, and track_counts is off).
 */
extern bool pgcache_watch_count_changes(const Oid *tables, int n, uint64 *number);

/*
 * The same for a put: also false where the data may have been read without seeing
 * what the number counts, or seeing what was rolled back since.
 */
extern bool pgcache_watch_own_changes(const Oid *tables, int n, uint64 *number);

/*
 * Calls visit, before commit, for each relation of this database that has a
 * relcache message among the transaction's invalidation messages.
 */
extern void pgcache_watch_changed_definitions(void (*visit) (Oid relation));

/* ---- baseline.c ------------------------------------------------------------ */

/*
 * Whether data read by the snapshot may be stored as far as transactions go
 * that were prepared before the server's start, and changed tables or cache.
 */
extern bool pgcache_baseline_allows(const PgCacheSnap *snap);

/*
 * Marks the transaction, which is about to be prepared, as one that changes the
 * cache: takes a lock that survives a restart.  May raise errors.
 */
extern void pgcache_baseline_mark(void);

/* ---- all ------------------------------------------------------------------- */

extern void pgcache_watch_register(void);	/* shared memory */
extern void pgcache_watch_init(void);	/* hooks and callbacks */

#endif							/* PGCACHE_WATCH_WATCH_H */
