/*-------------------------------------------------------------------------
 *
 * stamp.h
 *	  Stamps: which transactions changed what, in shared memory.
 *
 * Every object that entries depend on (key, tag, relation, namespace, database)
 * has a stamp, found by its hash or, for namespaces, by its slot.  A stamp is a
 * ring of the last transactions that changed the object, on two cache lines.
 * Two objects may share a stamp: that only makes for misses.
 *
 *	  table.c		the table of stamps, and the DDL epoch
 *	  snapshot.c	the server's snapshots and transaction ids, as the rules want
 *	  rules.c		the rules
 *	  predicate.c	invalidations by pattern
 *	  broken.c		breaks the rules, in test builds
 *
 * Locking: a writer marks the stamp busy by an atomic change of its version, for
 * some dozens of instructions, in which nothing can be interrupted; readers copy
 * and compare versions, and write nothing.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_STAMP_STAMP_H
#define PGCACHE_STAMP_STAMP_H

#include "port/atomics.h"
#include "utils/snapshot.h"

#include "stamp/rules.h"

/* The place of a stamp in the table. */
typedef uint32 PgCacheStamp;

/*
 * A stamp in shared memory.  Who makes the version odd may change the rest, then
 * makes it even again.  The ring's first number is also read without a look at
 * the version; it never falls.
 */
typedef struct PgCacheSharedStamp
{
	pg_atomic_uint64 version;
	PgCacheRing ring;
} PgCacheSharedStamp;

/*
 * The table: first stamps of databases, by a hash of their OIDs; then one for
 * each slot of a namespace; then those of keys, tags and relations.
 */
extern PgCacheSharedStamp *pgcache_stamp_table;

#define PGCACHE_DATABASE_STAMP_BITS	6
#define PGCACHE_DATABASE_STAMPS		(1 << PGCACHE_DATABASE_STAMP_BITS)

static inline PgCacheStamp
pgcache_stamp_of_space(uint16 slot)
{
	return 2 * PGCACHE_DATABASE_STAMPS + slot;
}

static inline PgCacheStamp
pgcache_stamp_of_database(Oid database)
{
	return (uint32) (database * 0x9e3779b1U) >> (32 - PGCACHE_DATABASE_STAMP_BITS);
}

/* Of a database's namespaces that have no slot; for what goes to all of them. */
static inline PgCacheStamp
pgcache_stamp_of_unslotted(Oid database)
{
	return PGCACHE_DATABASE_STAMPS + pgcache_stamp_of_database(database);
}

/* By the store's hash of the key. */
extern PgCacheStamp pgcache_stamp_of_key(uint64 hash);
extern PgCacheStamp pgcache_stamp_of_tag(uint16 slot, const char *tag, int len);
extern PgCacheStamp pgcache_stamp_of_relation(Oid database, Oid relation);

/*
 * The present publish number.  It is the store's (pgcache_store_seq): a number
 * read before a stamp is read covers all publishes below it.
 */
extern uint64 pgcache_stamp_now(void);

/*
 * Publishes a change by writer, of one of the kinds in rules.h (IMMEDIATE: writer
 * is ignored), and returns its number.  Full barrier.  Never fails while interrupts
 * are held off, as with an LWLock; else an error of reading the commit log is
 * possible.
 */
extern uint64 pgcache_stamp_publish(PgCacheStamp stamp, uint64 writer, int kind);

/* Notes a put without xid in a key's stamp.  Full barrier. */
extern void pgcache_stamp_note_asof(PgCacheStamp stamp, uint64 asof);

/* Copies a stamp. */
extern void pgcache_stamp_read(PgCacheStamp stamp, PgCacheRing *ring);

/* The number of the stamp's last publish, without a copy; for the hot path. */
static inline pg_atomic_uint64 *
pgcache_stamp_last(PgCacheStamp stamp)
{
	return (pg_atomic_uint64 *) &pgcache_stamp_table[stamp].ring.at[0].number;
}

/* Whether nothing was published in the stamp from number seq on. */
static inline bool
pgcache_stamp_unchanged(PgCacheStamp stamp, uint64 seq)
{
	return pg_atomic_read_u64(pgcache_stamp_last(stamp)) < seq;
}

/*
 * Whether nothing was ever done to the stamp, by anybody whose publish number is
 * lower than one that was read before: a publisher marks the stamp before he takes
 * his.
 */
static inline bool
pgcache_stamp_is_untouched(PgCacheStamp stamp)
{
	return pg_atomic_read_u64(&pgcache_stamp_table[stamp].version) == 0;
}

/* ---- DDL ------------------------------------------------------------------- */

/*
 * A strict publisher calls begin before it publishes, and end after it has sent
 * its invalidation messages or was rolled back.
 */
extern void pgcache_ddl_begin(PgCacheStamp stamp);
extern void pgcache_ddl_end(PgCacheStamp stamp);

/*
 * The same for strict publishers that were prepared: nobody tells when COMMIT
 * PREPARED has sent their messages, but their locks go after that.  Called before
 * data are stored; may raise errors.
 */
extern void pgcache_ddl_resolve(PgCacheStamp stamp);

/* The epoch: how many ends there were. */
extern uint32 pgcache_ddl_epoch(void);

/* ---- what is known of transactions ------------------------------------------ */

/*
 * All transactions below this number are known to have finished; a lower bound,
 * advanced by pgcache_note_finished.
 */
extern uint64 pgcache_finished_below(void);
extern void pgcache_note_finished(uint64 xmin);

/*
 * Whether that transaction has finished for sure.  Takes ProcArrayLock and may
 * read the commit log, so it does not look while interrupts are held off, as by
 * an LWLock: false.
 */
extern bool pgcache_xid_finished(uint64 xid);

/* The id after that of the latest transaction that has finished. */
extern uint64 pgcache_latest_completed(void);

/*
 * A snapshot in the form that the rules want.  xip points into the snapshot.
 * False for one that is not of MVCC kind, and for NULL.  Notes what it says of
 * finished transactions.
 */
extern bool pgcache_snap_from(Snapshot snapshot, PgCacheSnap *snap);

/* Number of transactions that run for a snapshot of MVCC kind, but its own. */
extern uint32 pgcache_snap_running(Snapshot snapshot);

/*
 * Its asof only, at little cost; 0 if not MVCC.  May be too low, so it is for
 * serving and not for storing.
 */
extern uint64 pgcache_snap_asof(Snapshot snapshot);

/* Copies a bound, with its xip, into palloc'd memory. */
extern PgCacheBound *pgcache_bound_copy(const PgCacheBound *bound);

/* A 32-bit id of our time (within 2^31 of the present) as a full one. */
extern uint64 pgcache_full_xid(TransactionId xid);

/* Registers the part of shared memory. */
extern void pgcache_stamp_register(void);

#endif							/* PGCACHE_STAMP_STAMP_H */
