/*-------------------------------------------------------------------------
 *
 * commit.c
 *	  The end of a transaction: its changes reach the store.
 *
 * With an xid, in the PRE_COMMIT (or PRE_PREPARE) callback, in this order:
 *
 *	 1. what may fail: puts are tested for what needs memory, an xid is assigned
 *		if more than puts is pending, a transaction to be prepared is marked;
 *	 2. the xid is published in the stamps of all that changes;
 *	 3. the publish number is read, which all entries will bear;
 *	 4. deletes are done, entries installed with the xid as their writer.
 *
 * All of that happens before the commit record, and what others must see before
 * the transaction becomes visible to them; who doesn't see the xid can't use the
 * entries, who does finds the publishes.  COMMIT only sets hints and gives memory
 * free, ABORT removes what was installed.  After PREPARE nobody comes back: the
 * entries' readers find out what became of the xid.
 *
 * A transaction without xid that only put has changed nothing that anybody must
 * see, so it installs at COMMIT, tagged with the asof of its data.  Nothing may
 * fail there: what needs memory was done at PRE_COMMIT.
 *
 * On a standby there are no xids.  Changes take effect at PRE_COMMIT, for
 * everybody at once.
 *
 * The callback is registered after that of the namespaces, so it runs before
 * that lets their slots go; and before that of watch/, which runs before it.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "shmem/debug_point.h"
#include "stamp/broken.h"
#include "txn/txn_internal.h"
#include "watch/watch.h"

/* As whom the transaction changed the store; for COMMIT and ABORT. */
static PgCacheActor actor;

/* Whether its changes are in the store, but for what COMMIT does. */
static bool installed = false;

#define foreach_op(op) \
	for (dlist_node *node_ = dlist_is_empty(&pgcache_log.ops) ? NULL : \
		 dlist_head_node(&pgcache_log.ops); \
		 node_ != NULL && ((op) = pgcache_op_at(node_), true); \
		 node_ = dlist_has_next(&pgcache_log.ops, node_) ? \
		 dlist_next_node(&pgcache_log.ops, node_) : NULL)

/* Whether the change counts: no later one of its key. */
static bool
counts(const PgCacheOp *op)
{
	return !OP_IS_OF_KEY(op) || pgcache_op_is_last(op);
}

/*
 * Leaves out changes in slots that were freed, as those of a namespace created
 * by a subtransaction that was rolled back.  Whoever gets such a slot clears it,
 * so what we put there with a publish number read before is dead.
 */
static void
leave_out_freed(void)
{
	PgCacheOp  *op;
	PgCacheIncarnation checked = 0;
	bool		has = false;

	foreach_op(op)
	{
		if (op->incarnation != checked)
			has = pgcache_space_has_slot(op->slot, op->incarnation, NULL);
		checked = op->incarnation;
		op->is_gone = !has;
	}
}

/* A delete that a put has superseded is a change of the key all the same. */
static bool
only_puts(void)
{
	PgCacheOp  *op;

	if (pgcache_log.unslotted != 0)
		return false;
	foreach_op(op)
	{
		if (op->kind != OP_PUT && op->kind != OP_TOUCH && op->kind != OP_FORGOTTEN)
			return false;
	}
	return true;
}

/* Step 1. */
static void
prepare_ops(void)
{
	PgCacheOp  *op;

	leave_out_freed();
	foreach_op(op)
	{
		if (counts(op))
			pgcache_op_prepare(op);
	}
	if (TransactionIdIsValid(TransactionXmin))
		pgcache_note_finished(pgcache_full_xid(TransactionXmin));
}

/* Step 2. */
static void
publish_ops(int kind)
{
	PgCacheOp  *op;

	PGCACHE_DEBUG_POINT("txn-before-publish");
	if (pgcache_log.unslotted != 0)
		pgcache_unslotted_publish(pgcache_log.unslotted_since, &actor, kind);
	foreach_op(op)
	{
		if (counts(op) && !op->is_gone)
			pgcache_op_publish(op, &actor, kind);
	}
	PGCACHE_DEBUG_POINT("txn-after-publish");
}

/* Deletes from the store what patterns and the like match. */
static void
delete_matching(void)
{
	PgCacheOp **ops;
	dlist_iter	iter;
	int			n = 0;

	dlist_foreach(iter, &pgcache_log.wide)
		n += pgcache_op_of_kind(iter.cur)->kind == OP_MATCH;
	if (n == 0)
		return;
	ops = palloc(n * sizeof(PgCacheOp *));
	n = 0;
	dlist_foreach(iter, &pgcache_log.wide)
	{
		PgCacheOp  *op = pgcache_op_of_kind(iter.cur);

		if (op->kind == OP_MATCH && !op->is_gone)
			ops[n++] = op;
	}
	pgcache_ops_delete_matching(ops, n);
	pfree(ops);
}

/* Steps 3 and 4. */
static void
install_ops(uint64 seq)
{
	PgCacheOp  *op;

	delete_matching();
	foreach_op(op)
	{
		if (op->is_gone || !counts(op))
			continue;
		if (op->kind == OP_PUT || op->kind == OP_DELETE)
			pgcache_op_install(op, &actor, seq);
	}
	installed = true;
}

/* Counts puts that only the own transaction saw. */
static void
count_superseded(const PgCacheOp *op)
{
	uint64		n = op->nsuperseded;

	if (op->kind == OP_PUT && !op->shares_value && !counts(op))
		n++;
	if (n > 0)
		pgcache_count(op->slot, op->incarnation, PGCACHE_PUTS, n);
}

/* What is left for after the commit: nothing that others must see. */
static void
finish_ops(void)
{
	PgCacheOp  *op;

	foreach_op(op)
	{
		if (op->is_gone)
			continue;
		count_superseded(op);
		if (!counts(op))
			continue;
		if (!OP_IS_OF_KEY(op) || op->kind == OP_TOUCH)
			pgcache_op_install(op, &actor, 0);
		else if (op->kind == OP_PUT && op->stored != 0 && actor.xid != 0)
			pgcache_store_hint(pgcache_store, &op->item.key, op->stored,
							   PGCACHE_ENTRY_COMMITTED, false);
		else if (op->kind == OP_PUT && op->stored != 0)
			pgcache_statement_note_asof(pgcache_stamp_of_key(op->item.key.hash), op->asof);
		pgcache_op_count(op);
	}
}

/* ---- the callbacks ----------------------------------------------------------- */

static void
close_log(void)
{
	pgcache_announce_send();
	prepare_ops();
	pgcache_log_closed = true;
}

static void
pre_commit_on_standby(void)
{
	PgCacheOp  *op;

	memset(&actor, 0, sizeof(actor));
	actor.now = true;
	close_log();
	publish_ops(PGCACHE_PUBLISH_IMMEDIATE);
	install_ops(pgcache_stamp_now());
	foreach_op(op)
	{
		if (op->is_gone || !counts(op))
			continue;
		if (!OP_IS_OF_KEY(op) || op->kind == OP_TOUCH)
			pgcache_op_install(op, &actor, 0);
		pgcache_op_count(op);
	}
	pgcache_log_reset();
}

static void
pre_commit(void)
{
	if (RecoveryInProgress())
	{
		pre_commit_on_standby();
		return;
	}
	memset(&actor, 0, sizeof(actor));
	close_log();
	if (!only_puts())
		(void) GetTopTransactionId();
	actor.xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	if (actor.xid == 0 || PGCACHE_BROKEN(late))
		return;
	publish_ops(PGCACHE_PUBLISH_XID);
	install_ops(pgcache_stamp_now());
	PGCACHE_DEBUG_POINT("txn-after-install");
}

/*
 * A touch can't wait for the end of a prepared transaction; a delete is on the
 * safe side.
 */
static void
pre_prepare(void)
{
	PgCacheOp  *op;

	memset(&actor, 0, sizeof(actor));
	foreach_op(op)
	{
		if (op->kind == OP_TOUCH)
			op->kind = OP_DELETE;
	}
	prepare_ops();
	pgcache_log_closed = true;
	pgcache_baseline_mark();
	actor.xid = U64FromFullTransactionId(GetTopFullTransactionId());
	publish_ops(PGCACHE_PUBLISH_XID);
	install_ops(pgcache_stamp_now());
}

/* What happens later is not told to anybody. */
static void
count_prepared(void)
{
	PgCacheOp  *op;

	foreach_op(op)
	{
		if (op->is_gone)
			continue;
		count_superseded(op);
		if (counts(op))
			pgcache_op_count(op);
	}
}

/* Must not fail. */
static void
commit(void)
{
	actor.final = true;
	if (!installed)
	{
		/* Entries with an xid are late only if a test wants them so. */
		if (actor.xid != 0)
			publish_ops(PGCACHE_PUBLISH_XID);
		install_ops(pgcache_stamp_now());
	}
	finish_ops();
}

/* Must not fail. */
static void
rollback(void)
{
	PgCacheOp  *op;

	if (!pgcache_log_closed)
		return;
	foreach_op(op)
	{
		if (op->kind == OP_PUT && op->stored != 0)
			(void) pgcache_store_delete_version(pgcache_store, &op->item.key,
												op->stored);
	}
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (pgcache_txn_pending)
				pre_commit();
			else
				pgcache_announce_send();
			pgcache_log_closed = true;
			return;
		case XACT_EVENT_PRE_PREPARE:
			if (pgcache_txn_pending)
				pre_prepare();
			pgcache_log_closed = true;
			return;
		case XACT_EVENT_COMMIT:
			if (pgcache_txn_pending)
				commit();
			break;
		case XACT_EVENT_ABORT:
			if (pgcache_txn_pending)
				rollback();
			break;
		case XACT_EVENT_PREPARE:
			if (pgcache_txn_pending)
				count_prepared();
			break;
		default:
			return;
	}
	installed = false;
	memset(&actor, 0, sizeof(actor));
	pgcache_log_reset();
	pgcache_announce_reset();
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId subid,
					  SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		pgcache_log_commit_sub(GetCurrentTransactionNestLevel());
		pgcache_announce_commit_sub(GetCurrentTransactionNestLevel());
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		pgcache_log_abort_sub(GetCurrentTransactionNestLevel());
		pgcache_announce_abort_sub(GetCurrentTransactionNestLevel());
	}
}

void
pgcache_txn_init(void)
{
	pgcache_visible_init();
	RegisterXactCallback(on_transaction_end, NULL);
	RegisterSubXactCallback(on_subtransaction_end, NULL);
}
