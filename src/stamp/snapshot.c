/*-------------------------------------------------------------------------
 *
 * snapshot.c
 *	  The server's snapshots and transaction ids, in the form that rules want.
 *
 * Ids in snapshots have 32 bits.  They are widened by the latest id that has
 * completed, which the server keeps in 64 bits and from which nothing in a
 * living snapshot is 2^31 away.  That number is read without ProcArrayLock: an
 * aligned word, which never falls.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/twophase.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/procarray.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "stamp/stamp.h"

StaticAssertDecl(sizeof(FullTransactionId) == sizeof(uint64),
				 "full transaction ids are read as one word");

/*
 * A snapshot's xmax is what this was when it was taken.  So one whose xmax is
 * higher than what we read here was taken after we read it.
 */
uint64
pgcache_latest_completed(void)
{
	FullTransactionId id;

	id.value = *(volatile uint64 *) &TransamVariables->latestCompletedXid.value;
	FullTransactionIdAdvance(&id);
	return id.value;
}

static inline uint64
widen(TransactionId xid, uint64 near)
{
	if (!TransactionIdIsNormal(xid))
		return xid;
	return near + (int32) (xid - (uint32) near);
}

uint64
pgcache_full_xid(TransactionId xid)
{
	return widen(xid, pgcache_latest_completed());
}

bool
pgcache_xid_finished(uint64 xid)
{
	if (InterruptHoldoffCount > 0 || CritSectionCount > 0 || RecoveryInProgress())
		return false;
	return !TransactionIdIsInProgress((TransactionId) xid);
}

static inline uint32
listed_in(Snapshot snapshot)
{
	return snapshot->takenDuringRecovery ? snapshot->subxcnt : snapshot->xcnt;
}

/* How many different ids there are, none of which is 0. */
static uint32
count_distinct(const TransactionId *xip, uint32 n)
{
	static TransactionId *seen = NULL;
	static uint32 nslots = 0;
	uint32		used = pg_nextpower2_32(2 * n);
	uint32		distinct = 0;

	if (nslots < used)
	{
		uint32		most = Max(used, pg_nextpower2_32(2 * GetMaxSnapshotXidCount()));
		TransactionId *larger = MemoryContextAlloc(TopMemoryContext,
												   most * sizeof(TransactionId));

		if (seen != NULL)
			pfree(seen);
		seen = larger;
		nslots = most;
	}
	memset(seen, 0, used * sizeof(TransactionId));
	for (uint32 i = 0; i < n; i++)
	{
		uint32		slot = xip[i] & (used - 1);

		while (seen[slot] != InvalidTransactionId && seen[slot] != xip[i])
			slot = (slot + 1) & (used - 1);
		distinct += seen[slot] == InvalidTransactionId;
		seen[slot] = xip[i];
	}
	return distinct;
}

/*
 * A transaction that is just being prepared stands in the list twice, for as long
 * as it waits for a synchronous standby.
 */
uint32
pgcache_snap_running(Snapshot snapshot)
{
	uint32		listed = listed_in(snapshot);

	if (listed < 2 || max_prepared_xacts == 0 || snapshot->takenDuringRecovery)
		return listed;
	return count_distinct(snapshot->xip, listed);
}

/*
 * A snapshot does not list the transaction that took it.  If that had an id
 * below xmax it was running and counts; an id that it got later is not below.
 */
static inline uint64
asof_of(uint32 running, uint64 xmax, uint64 own)
{
	return pgcache_asof(xmax, running + (own != 0 && own < xmax));
}

static inline uint64
own_xid(void)
{
	return U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
}

bool
pgcache_snap_from(Snapshot snapshot, PgCacheSnap *snap)
{
	uint64		near;

	if (snapshot == NULL || snapshot->snapshot_type != SNAPSHOT_MVCC)
		return false;
	near = pgcache_latest_completed();
	snap->xmin = widen(snapshot->xmin, near);
	snap->xmax = widen(snapshot->xmax, near);
	snap->own = own_xid();
	snap->asof = asof_of(pgcache_snap_running(snapshot), snap->xmax, snap->own);

	/* During recovery all that is running stands among the subtransactions. */
	snap->xip = snapshot->takenDuringRecovery ? snapshot->subxip : snapshot->xip;
	snap->xcnt = listed_in(snapshot);
	pgcache_note_finished(snap->xmin);
	return true;
}

/* The last xmax is kept widened, for as long as the transaction lasts. */
uint64
pgcache_snap_asof(Snapshot snapshot)
{
	static TransactionId last_xmax = InvalidTransactionId;
	static LocalTransactionId last_lxid = InvalidLocalTransactionId;
	static uint64 last_full = 0;

	if (snapshot == NULL || snapshot->snapshot_type != SNAPSHOT_MVCC)
		return 0;
	if (snapshot->xmax != last_xmax || PGCACHE_PROC_LXID(MyProc) != last_lxid)
	{
		last_full = pgcache_full_xid(snapshot->xmax);
		last_xmax = snapshot->xmax;
		last_lxid = PGCACHE_PROC_LXID(MyProc);
	}
	return asof_of(listed_in(snapshot), last_full, own_xid());
}

PgCacheBound *
pgcache_bound_copy(const PgCacheBound *bound)
{
	Size		bytes = bound->snap.xcnt * sizeof(TransactionId);
	PgCacheBound *copy = palloc(sizeof(*copy) + bytes);

	*copy = *bound;
	if (bytes > 0)
		memcpy(copy + 1, bound->snap.xip, bytes);
	copy->snap.xip = (const TransactionId *) (copy + 1);
	copy->backend = PGCACHE_MY_BACKEND + 1;
	copy->recovery = bound->recovery || RecoveryInProgress();
	return copy;
}
