/*-------------------------------------------------------------------------
 *
 * seen.c
 *	  Whether what the session has read knows what its transaction changed.
 *
 * The own changes of a table count as seen by a put that depends on it, which is
 * right if its data were read after them.  It is not in three cases.
 *
 * - The data were read by a snapshot taken before the command that made the
 *	 changes.  A query doesn't see what it changes itself (UPDATE ... RETURNING, WITH,
 *	 a DEFAULT in COPY), nor what functions in it change.  So the last command that
 *	 may have changed rows is kept, and compared with the active snapshot.
 * - The same, but a function called with the data puts them, and has a newer
 *	 snapshot.  Nobody knows where its arguments are from.  So nothing counts as
 *	 seen while a query that changes rows is running.  Its AFTER triggers come when
 *	 it is through.
 * - The data show changes that were rolled back since, within the same statement:
 *	 by an EXCEPTION block, or a ROLLBACK in a procedure.  So until the next statement
 *	 begins, what was locked for changes then is remembered.
 *
 * Arguments of functions called by a query that changes nothing itself are as in
 * a program that reads, changes and puts: that is the user's order.
 *
 * Locking: none of our own while anything is called.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/proc.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "watch/watch_internal.h"

/* More relations than this are taken for all. */
#define MAX_UNDONE	64

int			pgcache_changes_running = 0;

/* The last command that may have changed rows. */
static LocalTransactionId changed_lxid = InvalidLocalTransactionId;
static CommandId changed_cid = InvalidCommandId;

/* Relations that may have changes which the statement has rolled back. */
static PgCacheHeldLock undone[MAX_UNDONE];
static int	nundone = 0;
static bool all_undone = false;

/* ---- by which snapshot ----------------------------------------------------- */

/* Ids of commands only rise, also when a subtransaction is rolled back. */
void
pgcache_seen_command(CommandId cid)
{
	LocalTransactionId lxid = PGCACHE_PROC_LXID(MyProc);

	changed_cid = changed_lxid == lxid ? Max(changed_cid, cid) : cid;
	changed_lxid = lxid;
}

bool
pgcache_statement_sees_own_changes(void)
{
	if (!ActiveSnapshotSet())
		return true;
	return pgcache_changes_running == 0 &&
		(changed_lxid != PGCACHE_PROC_LXID(MyProc) ||
		 GetActiveSnapshot()->curcid > changed_cid);
}

/* ---- what was rolled back -------------------------------------------------- */

void
pgcache_seen_begin_statement(void)
{
	nundone = 0;
	all_undone = false;
}

static void
add_undone(const PgCacheHeldLock *lock)
{
	for (int i = 0; i < nundone; i++)
		if (undone[i].relation == lock->relation)
		{
			undone[i].modes |= lock->modes;
			return;
		}
	if (nundone == MAX_UNDONE)
		all_undone = true;
	else
		undone[nundone++] = *lock;
}

/*
 * What the transaction, or a part of it, has locked goes for changed by that.
 * Locks are released after the callbacks for that end.  Fails never.
 */
static void
note_undone(void)
{
	const PgCacheHeldLock *locks;
	int			n;

	if (!TransactionIdIsValid(GetCurrentTransactionIdIfAny()))
		return;
	n = pgcache_held_locks(&locks);
	if (n < 0)
		all_undone = true;
	for (int i = 0; i < n && !all_undone; i++)
		add_undone(&locks[i]);
}

bool
pgcache_seen_undone(const Oid *tables, int n)
{
	if (likely(nundone == 0 && !all_undone) || n == 0 || !ActiveSnapshotSet())
		return false;
	for (int i = 0; i < nundone && !all_undone; i++)
		if (pgcache_change_concerns(undone[i].relation, undone[i].modes, tables, n))
			return true;
	return all_undone;
}

static void
on_xact_event(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		note_undone();
}

static void
on_subxact_event(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		note_undone();
}

void
pgcache_seen_init(void)
{
	RegisterXactCallback(on_xact_event, NULL);
	RegisterSubXactCallback(on_subxact_event, NULL);
}
