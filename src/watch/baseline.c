/*-------------------------------------------------------------------------
 *
 * baseline.c
 *	  Transactions that were prepared before the server's start.
 *
 * What they published when they were prepared went away with the shared memory.
 * They may be committed at any time, by anybody, without our noticing.  But the
 * locks that they hold came back with them, and say which relations they may have
 * changed.
 *
 * So the first backend that wants to put something lists them, once, in shared
 * memory, and then reads the next transaction id, called start.  The first backend
 * of each database that meets one which its snapshot doesn't see publishes it in
 * the stamps of the relations that it holds locks on, as it would have done
 * itself.  From then on it is a transaction as others.
 *
 * Whoever commits or rolls it back first ends it, then releases its locks, one by
 * one.  So locks say something only if it has not ended after they were read.  If
 * it has, nothing is listed or published for it, and data that were read by a
 * snapshot which doesn't see it are not stored.
 *
 * Why a snapshot can be judged by the list alone:
 *
 * - If its xmin is start or later, it sees all that was there before.
 * - If its xmax is later than start, it was taken after the list was made; then
 *	 what was prepared before the server's start and still runs for it is listed,
 *	 for such transactions only become fewer.
 * - Otherwise it may be older than the list: then each transaction that it lists as
 *	 running must be on our list, or the answer is no.  (Nothing that was prepared
 *	 before is at or after any snapshot's xmax.)
 *
 * A transaction that changed the cache itself takes a lock before it is prepared,
 * which comes back, too.  What it changed there is not known any more, so nothing
 * is put in its database until it is resolved.
 *
 * A standby knows nothing of the locks that transactions prepared on its primary
 * will have when it is promoted; it asks once it is.  What it put before that
 * depends on no table.
 *
 * Locking: PgCacheBaseline protects the list while it is made, and the flags.
 * Entries stay as they are.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/twophase.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "storage/lock.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "watch/watch_internal.h"

/* Sets our lock apart from those of pg_advisory_lock, 1 and 2. */
#define MARK_CLASS		30
#define MARK_ID1		0x70675f63
#define MARK_ID2		0x61636865

typedef struct PgCacheSharedPrepared
{
	uint64		xid;
	Oid			database;		/* InvalidOid: holds no lock in any */
	bool		marked;			/* it changed the cache */
	bool		published;
	bool		logged;
} PgCacheSharedPrepared;

typedef struct PgCacheSharedBaseline
{
	LWLock	   *lock;
	pg_atomic_uint64 start;		/* 0: the list is not yet made */
	int			n;
	PgCacheSharedPrepared old[FLEXIBLE_ARRAY_MEMBER];
} PgCacheSharedBaseline;

static PgCacheSharedBaseline *baseline = NULL;

static Size
baseline_size(void)
{
	return add_size(offsetof(PgCacheSharedBaseline, old),
					mul_size(max_prepared_xacts, sizeof(PgCacheSharedPrepared)));
}

static int
baseline_locks(void)
{
	return 1;
}

static void
init_baseline(void *memory, LWLockPadded *locks)
{
	PgCacheSharedBaseline *b = memory;

	memset(b, 0, baseline_size());
	b->lock = &locks[0].lock;
	pg_atomic_init_u64(&b->start, 0);
}

static void
attach_baseline(void *memory, LWLockPadded *locks)
{
	baseline = memory;
}

const PgCacheShmemPart pgcache_baseline_part = {
	.name = "PgCacheBaseline",
	.size = baseline_size,
	.nlocks = baseline_locks,
	.init = init_baseline,
	.attach = attach_baseline
};

static void
set_mark_tag(LOCKTAG *tag)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, MARK_ID1, MARK_ID2, MARK_CLASS);
}

static bool
is_mark(const LOCKTAG *tag)
{
	return tag->locktag_type == LOCKTAG_ADVISORY &&
		tag->locktag_field2 == MARK_ID1 && tag->locktag_field3 == MARK_ID2 &&
		tag->locktag_field4 == MARK_CLASS;
}

void
pgcache_baseline_mark(void)
{
	LOCKTAG		tag;

	set_mark_tag(&tag);
	(void) LockAcquire(&tag, ShareLock, false, false);
}

/* ---- the list -------------------------------------------------------------- */

static PgCacheSharedPrepared *
find_old(PgCacheSharedPrepared *old, int n, uint64 xid)
{
	for (int i = 0; i < n; i++)
		if (old[i].xid == xid)
			return &old[i];
	return NULL;
}

/* Leaves out those that have ended since their locks were read. */
static int
leave_out_ended(PgCacheSharedPrepared *old, int n)
{
	int			left = 0;

	for (int i = 0; i < n; i++)
		if (TransactionIdIsInProgress((TransactionId) old[i].xid))
			old[left++] = old[i];
	return left;
}

/* Every transaction that is prepared holds a lock on its own id at least. */
static int
list_old(PgCacheSharedPrepared *old)
{
	LockData   *data = GetLockStatusData();
	int			n = 0;

	for (int i = 0; i < data->nelements; i++)
	{
		const LockInstanceData *lock = &data->locks[i];
		TransactionId xid = PGCACHE_LOCK_RESTORED_XID(lock);
		PgCacheSharedPrepared *prepared;

		if (!TransactionIdIsNormal(xid))
			continue;
		prepared = find_old(old, n, pgcache_full_xid(xid));
		if (prepared == NULL)
		{
			if (n == max_prepared_xacts)
				elog(ERROR, "too many prepared transactions");
			prepared = &old[n++];
			prepared->xid = pgcache_full_xid(xid);
		}
		if (lock->locktag.locktag_type == LOCKTAG_RELATION ||
			lock->locktag.locktag_type == LOCKTAG_OBJECT ||
			is_mark(&lock->locktag))
			if (lock->locktag.locktag_field1 != InvalidOid)
				prepared->database = lock->locktag.locktag_field1;
		if (is_mark(&lock->locktag))
			prepared->marked = true;
	}
	return leave_out_ended(old, n);
}

/* Makes the list unless somebody has; gives start. */
static uint64
make_list(void)
{
	PgCacheSharedPrepared *old = palloc0(Max(max_prepared_xacts, 1) * sizeof(*old));
	int			n = list_old(old);
	uint64		start = U64FromFullTransactionId(ReadNextFullTransactionId());

	LWLockAcquire(baseline->lock, LW_EXCLUSIVE);
	if (pg_atomic_read_u64(&baseline->start) == 0)
	{
		memcpy(baseline->old, old, n * sizeof(*old));
		baseline->n = n;
		pg_write_barrier();
		pg_atomic_write_u64(&baseline->start, start);
	}
	start = pg_atomic_read_u64(&baseline->start);
	LWLockRelease(baseline->lock);
	pfree(old);
	return start;
}

/* ---- publishing in their place --------------------------------------------- */

/*
 * Publishes a transaction of this database that had not ended when the locks were
 * read.  What it may have done to a relation is known by the lock alone.
 */
static void
publish_old(const PgCacheSharedPrepared *prepared, const LockData *data)
{
	List	   *strict = NIL,
			   *plain = NIL;
	ListCell   *cell;

	for (int i = 0; i < data->nelements; i++)
	{
		const LockInstanceData *lock = &data->locks[i];
		TransactionId xid = PGCACHE_LOCK_RESTORED_XID(lock);
		const PgCacheFamily *family;
		List	  **list;

		if (!TransactionIdIsNormal(xid) || pgcache_full_xid(xid) != prepared->xid ||
			lock->locktag.locktag_type != LOCKTAG_RELATION ||
			lock->locktag.locktag_field1 != MyDatabaseId ||
			lock->locktag.locktag_field2 < FirstNormalObjectId ||
			(lock->holdMask & PGCACHE_WRITE_LOCKS) == 0)
			continue;
		list = (lock->holdMask & PGCACHE_STRONG_LOCKS) != 0 ? &strict : &plain;
		family = pgcache_family_past(lock->locktag.locktag_field2);
		for (int j = 0; j < family->n; j++)
			*list = list_append_unique_oid(*list, family->stamps[j]);
	}
	foreach(cell, strict)
	{
		(void) pgcache_stamp_publish(lfirst_oid(cell), prepared->xid,
									 PGCACHE_PUBLISH_PREPARED);
	}
	foreach(cell, list_difference_oid(plain, strict))
	{
		(void) pgcache_stamp_publish(lfirst_oid(cell), prepared->xid,
									 PGCACHE_PUBLISH_XID);
	}
}

/* All that are listed for this database and have not ended. */
static void
publish_all_old(void)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_cache prepared transactions",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(scratch);
	const LockData *data = GetLockStatusData();

	pgcache_families_past_forget();
	for (int i = 0; i < baseline->n; i++)
	{
		PgCacheSharedPrepared *prepared = &baseline->old[i];

		if (prepared->database != MyDatabaseId || prepared->published ||
			!TransactionIdIsInProgress((TransactionId) prepared->xid))
			continue;
		publish_old(prepared, data);
		LWLockAcquire(baseline->lock, LW_EXCLUSIVE);
		prepared->published = true;
		LWLockRelease(baseline->lock);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
}

/* ---- telling --------------------------------------------------------------- */

/*
 * The name that the transaction was prepared with, palloc'd; NULL if it is gone.
 * The server's list is to be had from a function for SQL alone.
 */
static char *
name_of(TransactionId xid)
{
	LOCAL_FCINFO(fcinfo, 0);
	FmgrInfo	function;
	ReturnSetInfo result = {.type = T_ReturnSetInfo};
	char	   *name = NULL;

	fmgr_info(F_PG_PREPARED_XACT, &function);
	result.econtext = CreateStandaloneExprContext();
	result.allowedModes = SFRM_ValuePerCall;
	result.returnMode = SFRM_ValuePerCall;
	InitFunctionCallInfoData(*fcinfo, &function, 0, InvalidOid, NULL, (Node *) &result);
	for (;;)
	{
		Datum		row;
		bool		null;

		fcinfo->isnull = false;
		row = FunctionCallInvoke(fcinfo);
		if (result.isDone != ExprMultipleResult)
			break;
		if (name == NULL &&
			DatumGetTransactionId(GetAttributeByNum(DatumGetHeapTupleHeader(row),
													1, &null)) == xid)
			name = TextDatumGetCString(GetAttributeByNum(DatumGetHeapTupleHeader(row),
														 2, &null));
	}
	FreeExprContext(result.econtext, true);
	return name;
}

/* Says once a server start which transaction keeps the cache empty. */
static void
tell(PgCacheSharedPrepared *prepared)
{
	bool		first;
	char	   *name;

	if (prepared->logged)
		return;
	LWLockAcquire(baseline->lock, LW_EXCLUSIVE);
	first = !prepared->logged;
	prepared->logged = true;
	LWLockRelease(baseline->lock);
	if (!first)
		return;
	name = name_of((TransactionId) prepared->xid);
	if (name == NULL)
		return;
	ereport(LOG,
			(errmsg("prepared transaction \"%s\" changed the cache before the server was restarted",
					name),
			 errdetail("Nothing is cached in database \"%s\" until it is committed or rolled back.",
					   get_database_name(MyDatabaseId))));
}

/* ---- asking ---------------------------------------------------------------- */

/* Whether all that the snapshot takes for running is on the list. */
static bool
knows_all_running(const PgCacheSnap *snap, uint64 start)
{
	for (uint32 i = 0; i < snap->xcnt; i++)
	{
		uint64		xid = pgcache_full_xid(snap->xip[i]);

		if (xid < start && find_old(baseline->old, baseline->n, xid) == NULL)
			return false;
	}
	return true;
}

/*
 * Whether all of this database that the snapshot doesn't see are published.  One
 * that never will be has ended, so later snapshots see it.
 */
static bool
all_published(const PgCacheSnap *snap)
{
	for (int i = 0; i < baseline->n; i++)
	{
		PgCacheSharedPrepared *prepared = &baseline->old[i];

		if (prepared->database == MyDatabaseId && !prepared->published &&
			!pgcache_snap_sees(snap, prepared->xid))
			return false;
	}

	/* Who finds the mark finds what was published before. */
	pg_read_barrier();
	return true;
}

static bool
allows_slowly(const PgCacheSnap *snap, uint64 start)
{
	if (snap->xmax <= start && !knows_all_running(snap, start))
		return false;
	for (int i = 0; i < baseline->n; i++)
	{
		PgCacheSharedPrepared *prepared = &baseline->old[i];

		if (prepared->database == MyDatabaseId && prepared->marked &&
			!pgcache_snap_sees(snap, prepared->xid))
		{
			tell(prepared);
			return false;
		}
	}
	if (all_published(snap))
		return true;
	publish_all_old();
	return all_published(snap);
}

bool
pgcache_baseline_allows(const PgCacheSnap *snap)
{
	static uint64 start = 0;

	if (unlikely(start == 0))
	{
		start = pg_atomic_read_u64(&baseline->start);
		if (start == 0)
		{
			if (RecoveryInProgress())
				return true;
			start = make_list();
		}
		pg_read_barrier();
	}
	return likely(snap->xmin >= start) || allows_slowly(snap, start);
}
