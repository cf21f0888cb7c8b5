/*-------------------------------------------------------------------------
 *
 * visible.c
 *	  Whether an entry may be served to a snapshot.
 *
 * In this order: the own transaction's changes; the writer, as a tuple's xmin,
 * or the asof of its data, which must not be later than the snapshot; then what
 * was published for namespace, database, tags and tables since the entry was
 * stored (stamp/rules.c has the rules and why they are right); last, that the own
 * transaction did not itself write to one of the tables.
 *
 * Hints spare the next reader the look into the commit log, or, once every
 * snapshot sees the writer, all of the second step.
 *
 * Locking: none; hints take the partition's lock if it is free.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/compat.h"
#include "shmem/debug_point.h"
#include "stamp/broken.h"
#include "txn/txn_internal.h"
#include "watch/watch.h"

/* ---- the commit log ------------------------------------------------------------ */

/*
 * The transaction is not running for some snapshot of ours, so its state is
 * final.  Of one that is older than the commit log nothing is known.
 */
bool
pgcache_xid_did_commit(uint64 xid)
{
	TransactionId id = (TransactionId) xid;
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());
	bool		committed;

	if (next - xid > PG_INT32_MAX)
		return false;
	LWLockAcquire(XactTruncationLock, LW_SHARED);
	committed = !TransactionIdPrecedes(id, PGCACHE_OLDEST_CLOG_XID) &&
		TransactionIdDidCommit(id);
	LWLockRelease(XactTruncationLock);
	return committed;
}

/* ---- the writer ---------------------------------------------------------------- */

/* Sets the hint that all snapshots see the writer, if that is so. */
static void
try_settle(PgCacheRef *ref, uint64 xid, uint16 hints)
{
	if (xid < pgcache_finished_below() &&
		GlobalVisCheckRemovableFullXid(NULL, FullTransactionIdFromU64(xid)))
		hints |= PGCACHE_ENTRY_SETTLED;
	if (hints != 0 && ref->key != NULL)
		pgcache_store_hint(pgcache_store, ref->key, ref->meta.version, hints,
						   false);
}

/* An entry that was put on a standby, and ends with its promotion. */
static bool
is_of_standby(const PgCacheMeta *meta)
{
	return (meta->flags & PGCACHE_ENTRY_WRITER) != 0 && meta->writer == 0;
}

/*
 * Whether a snapshot sees an entry's writer.  *aborted: nobody ever will.
 */
static bool
sees_writer(const PgCacheMeta *meta, const PgCacheSnap *snap, bool *aborted)
{
	*aborted = false;
	if (unlikely(is_of_standby(meta)))
	{
		*aborted = !RecoveryInProgress();
		return !*aborted;
	}
	if ((meta->flags & PGCACHE_ENTRY_WRITER) == 0 ||
		(meta->flags & PGCACHE_ENTRY_SETTLED))
		return true;
	if (meta->flags & PGCACHE_ENTRY_ASOF)
		return PGCACHE_BROKEN(noasof) || snap->asof >= meta->writer;
	if (meta->writer == snap->own || !pgcache_snap_sees(snap, meta->writer))
		return false;
	if ((meta->flags & PGCACHE_ENTRY_COMMITTED) == 0 &&
		!pgcache_xid_did_commit(meta->writer))
	{
		*aborted = true;
		return false;
	}
	return true;
}

static void
hint_writer(PgCacheRef *ref)
{
	const PgCacheMeta *meta = &ref->meta;

	if ((meta->flags & PGCACHE_ENTRY_WRITER) == 0 ||
		(meta->flags & PGCACHE_ENTRY_SETTLED) || is_of_standby(meta))
		return;
	if (meta->flags & PGCACHE_ENTRY_ASOF)
		try_settle(ref, meta->writer >> PGCACHE_ASOF_BITS, 0);
	else
		try_settle(ref, meta->writer,
				   (meta->flags & PGCACHE_ENTRY_COMMITTED) ? 0 :
				   PGCACHE_ENTRY_COMMITTED);
}

/* ---- what it depends on ----------------------------------------------------------- */

static bool
stamp_serves(PgCacheStamp stamp, const PgCacheSnap *snap, uint64 seq)
{
	PgCacheRing ring;

	if (likely(pgcache_stamp_unchanged(stamp, seq)))
		return true;
	pgcache_stamp_read(stamp, &ring);
	return pgcache_rule_serve(&ring, snap, seq);
}

/*
 * The namespace was cleared for us.  If that is final, tell the store, which
 * then gives the memory free: nobody may have done so after COMMIT PREPARED.
 */
static void
reclaim_space(const PgCacheMeta *meta)
{
	PgCacheRing ring;

	pgcache_stamp_read(pgcache_stamp_of_space(meta->space), &ring);
	if (ring.evicted >= meta->seq)
		pgcache_store_clear_to(pgcache_store, meta->space, ring.evicted);
	else if (pgcache_rule_dead(&ring, meta->seq, pgcache_finished_below()))
		pgcache_store_clear_to(pgcache_store, meta->space, meta->seq);
}

static bool
stamp_is_dead(PgCacheStamp stamp, uint64 seq, uint64 finished)
{
	PgCacheRing ring;

	if (likely(pgcache_stamp_unchanged(stamp, seq)))
		return false;
	pgcache_stamp_read(stamp, &ring);
	return pgcache_rule_dead(&ring, seq, finished);
}

/* *failed is the number of the stamp that speaks against it, or -1. */
static bool
deps_serve(const PgCacheMeta *meta, const uint32 *deps, const PgCacheSnap *snap,
		   int *failed)
{
	*failed = -1;
	if (!stamp_serves(pgcache_stamp_of_space(meta->space), snap, meta->seq))
	{
		reclaim_space(meta);
		return false;
	}
	if (!stamp_serves(pgcache_stamp_of_database(MyDatabaseId), snap, meta->seq))
		return false;
	for (int i = 0; i < meta->nstamps; i++)
	{
		if (!stamp_serves(deps[i], snap, meta->seq))
		{
			*failed = i;
			return false;
		}
	}
	return true;
}

/* A hit on what depends on tables would take no predicate locks. */
static bool
isolation_allows(const PgCacheMeta *meta)
{
	return meta->ntables == 0 || !IsolationIsSerializable();
}

/*
 * Removes an entry that a tag's or table's change has ended for everybody.  Of a
 * table only now it is known that there was one, so it is counted.
 */
static void
remove_dead(const PgCacheRef *ref, int failed)
{
	const PgCacheMeta *meta = &ref->meta;

	if (failed >= 0 &&
		stamp_is_dead(ref->deps[failed], meta->seq, pgcache_finished_below()) &&
		pgcache_store_delete_version(pgcache_store, ref->key, meta->version) &&
		failed >= meta->nstamps - meta->ntables)
		pgcache_count(ref->key->space, ref->key->incarnation,
					  PGCACHE_INVALIDATED_TABLE, 1);
}

/* ---- all together ------------------------------------------------------------------ */

static bool
take_snapshot(PgCacheSnap *snap)
{
	Snapshot	snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() :
	GetTransactionSnapshot();

	return pgcache_snap_from(snapshot, snap);
}

/* Sets the expiry that a pending touch gives; false if it has passed. */
static bool
apply_own_touch(PgCacheRef *ref)
{
	PgCacheOp  *op = pgcache_log_find(ref->key);

	if (op == NULL || op->kind != OP_TOUCH || op->version != ref->meta.version)
		return true;
	ref->meta.flags &= ~(PGCACHE_ENTRY_TTL | PGCACHE_ENTRY_SLIDING);
	ref->meta.flags |= op->item.flags & (PGCACHE_ENTRY_TTL | PGCACHE_ENTRY_SLIDING);
	ref->meta.expires = op->item.expires;
	ref->meta.slide = op->item.slide;
	ref->meta.slide_cap = op->item.slide_cap;
	return ref->meta.expires == DT_NOEND ||
		ref->meta.expires > pgcache_clock_now();
}

/*
 * The usual entry that is not settled or has tags, without taking the snapshot
 * apart: not later than that, and nothing was published in any of its stamps.
 */
static bool
is_surely_seen(PgCacheRef *ref)
{
	const PgCacheMeta *meta = &ref->meta;
	bool		settled = (meta->flags & PGCACHE_ENTRY_WRITER) == 0 ||
	(meta->flags & PGCACHE_ENTRY_SETTLED) != 0;

	if (!settled &&
		((meta->flags & PGCACHE_ENTRY_ASOF) == 0 || !ActiveSnapshotSet() ||
		 pgcache_snap_asof(GetActiveSnapshot()) < meta->writer))
		return false;
	if (meta->ntables > 0 ||
		!pgcache_stamp_unchanged(pgcache_stamp_of_space(meta->space), meta->seq) ||
		!pgcache_stamp_unchanged(pgcache_stamp_of_database(MyDatabaseId), meta->seq))
		return false;
	for (int i = 0; i < meta->nstamps; i++)
	{
		if (!pgcache_stamp_unchanged(ref->deps[i], meta->seq))
			return false;
	}
	if (!settled)
		try_settle(ref, meta->writer >> PGCACHE_ASOF_BITS, 0);
	return true;
}

bool
pgcache_txn_sees_slowly(PgCacheRef *ref)
{
	PgCacheSnap snap;
	bool		aborted;
	int			failed;

	if (likely(!pgcache_txn_pending) && is_surely_seen(ref))
		return true;
	PGCACHE_DEBUG_SPIN("txn-sees");
	if (pgcache_txn_pending &&
		(pgcache_log_hits(ref->key, ref) || !apply_own_touch(ref)))
		return false;
	if (!take_snapshot(&snap))
		return false;
	if (!sees_writer(&ref->meta, &snap, &aborted))
	{
		if (aborted)
			(void) pgcache_store_delete_version(pgcache_store, ref->key,
												ref->meta.version);
		return false;
	}
	if (!deps_serve(&ref->meta, ref->deps, &snap, &failed))
	{
		remove_dead(ref, failed);
		return false;
	}
	if (!isolation_allows(&ref->meta))
		return false;
	if (ref->meta.ntables > 0 && !PGCACHE_BROKEN(noown) &&
		TransactionIdIsValid(GetTopTransactionIdIfAny()) &&
		pgcache_watch_wrote((const Oid *) (ref->deps + ref->meta.nstamps),
							ref->meta.ntables))
		return false;
	hint_writer(ref);
	return true;
}

bool
pgcache_txn_sees_scanned(const PgCacheMeta *meta, const uint32 *deps)
{
	PgCacheSnap snap;
	bool		aborted;
	int			failed;

	return take_snapshot(&snap) &&
		sees_writer(meta, &snap, &aborted) &&
		deps_serve(meta, deps, &snap, &failed) && isolation_allows(meta);
}

/* ---- the latest state ----------------------------------------------------------------- */

/* For the store: whether nobody will be served an entry any more. */
static bool
entry_is_dead(uint64 seq, const uint32 *stamps, int nstamps)
{
	uint64		finished = pgcache_finished_below();

	for (int i = 0; i < nstamps; i++)
	{
		if (stamp_is_dead(stamps[i], seq, finished))
			return true;
	}
	return false;
}

void
pgcache_visible_init(void)
{
	pgcache_store_is_dead = entry_is_dead;
}

/* Whether an entry is good for those who come now, whatever our snapshot. */
static bool
is_good_now(const PgCacheRef *ref)
{
	PgCacheSnap snap;
	int			failed;

	return pgcache_snap_from(GetLatestSnapshot(), &snap) &&
		deps_serve(&ref->meta, ref->deps, &snap, &failed);
}

/* A transaction in the ring that is still running, or prepared; or invalid. */
static TransactionId
running_writer(const PgCacheRing *ring)
{
	uint64		own = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());

	for (int i = 0; i < PGCACHE_RING_SIZE && ring->at[i].number != 0; i++)
	{
		const PgCachePublish *p = &ring->at[i];

		if (p->kind != PGCACHE_PUBLISH_IMMEDIATE && p->writer != own &&
			p->writer >= pgcache_finished_below() &&
			TransactionIdIsInProgress((TransactionId) p->writer))
			return (TransactionId) p->writer;
	}
	return InvalidTransactionId;
}

/*
 * Waits for those who are about to change the key or its namespace, but not for
 * any that fell out of the ring.
 */
static void
wait_for_writers(const PgCacheKey *key)
{
	PgCacheStamp stamps[] = {
		pgcache_stamp_of_key(key->hash),
		pgcache_stamp_of_space(key->space),
		pgcache_stamp_of_database(MyDatabaseId)
	};

	for (int i = 0; i < lengthof(stamps); i++)
	{
		TransactionId xid;
		PgCacheRing ring;

		do
		{
			pgcache_stamp_read(stamps[i], &ring);
			xid = running_writer(&ring);
			if (TransactionIdIsValid(xid))
				XactLockTableWait(xid, NULL, NULL, XLTW_None);
		} while (TransactionIdIsValid(xid));
	}

	for (;;)
	{
		uint64		own = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
		uint64		xid = pgcache_predicate_running(key->space, key->data,
													key->len, own);

		if (xid == 0)
			break;
		XactLockTableWait((TransactionId) xid, NULL, NULL, XLTW_None);
	}
}

bool
pgcache_txn_changed_since(const PgCacheKey *key, uint64 number)
{
	PgCacheRing ring;

	pgcache_stamp_read(pgcache_stamp_of_key(key->hash), &ring);
	for (int i = 0; i < PGCACHE_RING_SIZE && ring.at[i].number >= number; i++)
	{
		if (ring.at[i].kind != PGCACHE_PUBLISH_IMMEDIATE)
			return true;
	}
	return ring.evicted >= number;
}

void
pgcache_refuse_own(const PgCacheKey *key, const char *function)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s cannot be used on key \"%.*s\"", function, key->len, key->data),
			 errdetail("The current transaction has an uncommitted change of it, and %s takes effect at once.",
					   function),
			 errhint("Commit the transaction first.")));
}

bool
pgcache_txn_latest(const PgCacheKey *key, PgCacheRef *ref, const char *function)
{
	if (pgcache_txn_pending &&
		(pgcache_log_find(key) != NULL || pgcache_log_hits_key(key)))
		pgcache_refuse_own(key, function);

	if (!RecoveryInProgress())
		wait_for_writers(key);
	while (pgcache_store_find(pgcache_store, key, ref))
	{
		const PgCacheMeta *meta = &ref->meta;
		bool		good = true;

		CHECK_FOR_INTERRUPTS();
		if (pgcache_txn_pending && pgcache_log_hits(key, ref))
			pgcache_refuse_own(key, function);
		if (is_of_standby(meta))
			good = RecoveryInProgress();
		else if ((meta->flags & PGCACHE_ENTRY_WRITER) &&
				 (meta->flags & (PGCACHE_ENTRY_ASOF | PGCACHE_ENTRY_HINTS)) == 0)
		{
			TransactionId xid = (TransactionId) meta->writer;

			if (TransactionIdIsInProgress(xid))
			{
				XactLockTableWait(xid, NULL, NULL, XLTW_None);
				continue;
			}
			good = pgcache_xid_did_commit(meta->writer);
		}
		if (good && is_good_now(ref))
			return true;
		if (pgcache_store_delete_version(pgcache_store, key, meta->version))
			break;
	}
	return false;
}
