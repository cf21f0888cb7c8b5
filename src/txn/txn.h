/*-------------------------------------------------------------------------
 *
 * txn.h
 *	  Changes of the cache that belong to a transaction.
 *
 *	  log.c			what the own transaction has changed and not committed
 *	  pending.c		changing, and what the own transaction sees of that
 *	  commit.c		its end: publishes and installs before the commit record
 *	  install.c		one change, brought into the store
 *	  visible.c		whether an entry may be served to a snapshot
 *	  depend.c		further tables for an entry that exists
 *	  lease.c		tokens that say since when data count as read
 *	  announce.c	NOTIFY
 *
 * Every function that changes something takes "now": true makes it act at once
 * and for everybody, whatever becomes of the transaction.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_TXN_TXN_H
#define PGCACHE_TXN_TXN_H

#include "miscadmin.h"

#include "space/space.h"
#include "space/store_part.h"
#include "stamp/predicate.h"
#include "stamp/stamp.h"

/* ---- reading --------------------------------------------------------------- */

/* Whether the own transaction has changes pending; the one branch of a get. */
extern bool pgcache_txn_pending;

/* What the own transaction made of a key. */
typedef enum PgCacheOwn
{
	PGCACHE_OWN_NONE,			/* nothing: look into the store */
	PGCACHE_OWN_GONE,			/* there is no entry */
	PGCACHE_OWN_PUT				/* item is what it put */
} PgCacheOwn;

/*
 * *item is valid until the transaction's next change.  A pending touch shows in
 * pgcache_txn_sees.
 */
extern PgCacheOwn pgcache_txn_own(const PgCacheKey *key, const PgCacheItem **item);

/* Calls visit for each put that is pending; visit must not change the cache. */
extern void pgcache_txn_own_puts(void (*visit) (void *arg, const PgCacheItem *item),
								 void *arg);

/*
 * Whether an entry that pgcache_store_find found is to be served: its writer is
 * seen by the active snapshot, nothing that it depends on has changed for that,
 * and the own transaction has not invalidated it.  Sets ref->meta.expires by a
 * pending touch.
 */
extern bool pgcache_txn_sees_slowly(PgCacheRef *ref);

/* What makes an entry's look-up more than the comparison of two numbers. */
#define PGCACHE_ENTRY_UNSURE	(PGCACHE_ENTRY_WRITER | PGCACHE_ENTRY_DEPS)

static inline bool
pgcache_txn_sees(PgCacheRef *ref)
{
	if (likely(!pgcache_txn_pending &&
			   ((ref->meta.flags & PGCACHE_ENTRY_UNSURE) == 0 ||
				(ref->meta.flags & (PGCACHE_ENTRY_UNSURE | PGCACHE_ENTRY_SETTLED)) ==
				(PGCACHE_ENTRY_WRITER | PGCACHE_ENTRY_SETTLED)) &&
			   pgcache_stamp_unchanged(pgcache_stamp_of_space(ref->meta.space),
									   ref->meta.seq) &&
			   pgcache_stamp_unchanged(pgcache_stamp_of_database(MyDatabaseId),
									   ref->meta.seq)))
		return true;
	return pgcache_txn_sees_slowly(ref);
}

/*
 * The same for a copied description, as scans have: without own changes.  deps:
 * as in PgCacheRef.
 */
extern bool pgcache_txn_sees_scanned(const PgCacheMeta *meta, const uint32 *deps);

/*
 * For what acts at once: finds the entry of key as the latest committed state
 * has it.  Waits for the end of a transaction that is about to commit or prepared
 * and wrote it (lock_timeout and deadlock detection apply); removes an entry that
 * is dead, so that the store holds the key for absent as well.  Raises 55000 if
 * the own transaction has an uncommitted change of the key; function names the
 * caller for the message.
 */
extern bool pgcache_txn_latest(const PgCacheKey *key, PgCacheRef *ref,
							   const char *function);

/*
 * Raises 55000 if the own transaction has an uncommitted change of the item's key
 * or tags, for those who put at once.
 */
extern void pgcache_txn_refuse_own(const PgCacheItem *item, const char *function);

/*
 * Whether the namespace with that slot was cleared, or everything, since the data
 * were read; with_tables: or DDL of any table.  Raises nothing.
 */
extern bool pgcache_txn_is_cleared(uint16 slot, const PgCacheBound *bound,
								   bool with_tables);

/*
 * Whether a transaction has begun to change the key since a publish number, which
 * pgcache_txn_latest has not waited for then.  Allocates nothing, raises nothing.
 */
extern bool pgcache_txn_changed_since(const PgCacheKey *key, uint64 number);

/* ---- changing -------------------------------------------------------------- */

/*
 * Puts an item, all of which but seq, writer and deps is set.  bound: since when
 * its data count as read, valid until the transaction's end; NULL is the present
 * statement.  tables: what it depends on besides its tags.  Counts the put when
 * it is done.
 */
extern void pgcache_txn_put(const PgCacheItem *item, PgCacheIncarnation incarnation,
							const PgCacheBound *bound,
							const Oid *tables, int ntables, bool now);

/* cause: the counter, PGCACHE_DELETES for one by hand. */
extern void pgcache_txn_delete(const PgCacheKey *key,
							   PgCacheIncarnation incarnation,
							   PgCacheCounter cause, bool now);

/*
 * Gives the entry that ref describes, found in the store or one's own, a new
 * life.
 */
extern void pgcache_txn_touch(const PgCacheKey *key, PgCacheIncarnation incarnation,
							  uint64 version, TimestampTz expires,
							  int64 slide, TimestampTz slide_cap, bool now);

extern void pgcache_txn_clear(uint16 slot, PgCacheIncarnation incarnation, bool now);

/* Tags as the store has them: for each a length byte, then its name. */
extern void pgcache_txn_invalidate_tags(uint16 slot, PgCacheIncarnation incarnation,
										const char *tags, int ntags,
										PgCacheCounter cause, bool now);

/*
 * For what goes to all namespaces of the database: reaches puts in those that have
 * no slot yet.  since: pgcache_space_last_incarnation() before it was looked which
 * have one.
 */
extern void pgcache_txn_invalidate_unslotted(PgCacheIncarnation since, bool now);

/*
 * Invalidates all that matches (see stamp/predicate.h); cause is the counter.
 * What the store has is deleted when the transaction commits.
 */
extern void pgcache_txn_invalidate_matching(uint16 slot, PgCacheIncarnation incarnation,
											PgCachePredicateKind kind,
											const char *text, int len,
											PgCacheCounter cause, bool now);

/*
 * Adds tables to what the entry of key depends on.  False, and the entry gone, if
 * one of them may have changed since its data were read; false if there is none.
 */
extern bool pgcache_txn_depend(const PgCacheKey *key, PgCacheIncarnation incarnation,
							   const Oid *tables, int ntables);

/* Tells pg_cache.notify's listeners that a watched table changed; if it is on. */
extern void pgcache_txn_announce_table(Oid relation);

/*
 * To be called for an item that is stored at once and not by pgcache_txn_put: on a
 * standby, or if its data were read on one, it becomes an entry that ends with the
 * promotion, since nothing invalidates it when the primary's tables change.
 */
extern void pgcache_txn_mark_standby(PgCacheItem *item, const PgCacheBound *bound);

/* ---- leases ---------------------------------------------------------------- */

/* A token for key; palloc'd. */
extern char *pgcache_lease_make(const PgCacheKey *key);

/*
 * What the token says, for a put of key; pgcache_bound_never if it is of before
 * the server's start, so that the put is stale.  Raises 22023 for one of another
 * key or that is none.
 */
extern const PgCacheBound *pgcache_lease_read(const char *token, int len,
											  const PgCacheKey *key);

/* A bound that nothing satisfies. */
extern const PgCacheBound pgcache_bound_never;

extern void pgcache_txn_init(void);

#endif							/* PGCACHE_TXN_TXN_H */
