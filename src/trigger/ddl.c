/*-------------------------------------------------------------------------
 *
 * ddl.c
 *	  Changes of watched tables that fire no row trigger.
 *
 * They invalidate all that the table's watches can produce:
 *
 * - TRUNCATE, by the watch's second trigger; where only the first one is, as in
 *	 a partition, we hear of it by object_access_hook;
 * - changes of the table's definition and of its place among partitions and
 *	 children, and whatever becomes of the triggers themselves (made, disabled,
 *	 enabled, dropped), by the same hook;
 * - what else rewrites a table or takes it out of reach: before commit, by the
 *	 invalidation messages that such commands leave.
 *
 * The hook acts at once, so that what the transaction puts afterwards stays.  It
 * notes the table, and a noted one is left alone before commit.
 *
 * Locking: who changes a definition holds a lock on the table.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "shmem/shmem.h"
#include "trigger/trigger_internal.h"
#include "txn/txn.h"
#include "watch/watch.h"

/* A table of which all was invalidated in this transaction. */
typedef struct Note
{
	Oid			relation;
	int			level;			/* of the subtransaction */
} Note;

static List *notes = NIL;		/* in TopTransactionContext */

/* Relations with messages, while they are collected. */
static List *changed = NIL;

static object_access_hook_type prev_object_access_hook = NULL;

/* ---- notes -------------------------------------------------------------------- */

static bool
is_noted(Oid relation)
{
	ListCell   *lc;

	foreach(lc, notes)
		if (((Note *) lfirst(lc))->relation == relation)
		return true;
	return false;
}

void
pgcache_watch_note(Oid relation)
{
	MemoryContext old;
	Note	   *added;

	if (is_noted(relation))
		return;
	old = MemoryContextSwitchTo(TopTransactionContext);
	added = palloc(sizeof(Note));
	added->relation = relation;
	added->level = GetCurrentTransactionNestLevel();
	notes = lappend(notes, added);
	MemoryContextSwitchTo(old);
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId subid,
					  SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	ListCell   *lc;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach(lc, notes)
	{
		Note	   *noted = lfirst(lc);

		if (noted->level < level)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			noted->level = level - 1;
		else
			notes = foreach_delete_current(notes, lc);
	}
}

/* ---- invalidating ------------------------------------------------------------- */

static void
invalidate(const PgCacheWatch *watch)
{
	Oid			owner = pgcache_watch_owner(watch->relation);
	PgCacheTarget target;

	if (!OidIsValid(owner))
		return;
	pgcache_watch_note(watch->relation);
	pgcache_txn_announce_table(pgcache_watch_root(watch));
	if ((watch->key != NULL || watch->ntags > 0) &&
		pgcache_watch_target(watch, owner, &target) != PGCACHE_TARGET_MISSING)
		pgcache_watch_invalidate_all(watch, &target);
}

/* Whether a table can have watches; quick for most that have none. */
static bool
may_be_watched(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	bool		result = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		result = form->relhastriggers &&
			(form->relkind == RELKIND_RELATION ||
			 form->relkind == RELKIND_PARTITIONED_TABLE);
		ReleaseSysCache(tuple);
	}
	return result;
}

/* Whether a TRUNCATE fires a trigger of its own for the watch. */
static bool
sees_truncate(List *watches, const PgCacheWatch *watch)
{
	ListCell   *lc;

	foreach(lc, watches)
	{
		const PgCacheWatch *other = lfirst(lc);

		if (TRIGGER_FOR_TRUNCATE(other->type) &&
			other->enabled == TRIGGER_FIRES_ALWAYS &&
			pgcache_watch_same(other, watch->args))
			return true;
	}
	return false;
}

static void
on_relation(Oid relation, bool truncate)
{
	List	   *watches;
	ListCell   *lc;

	if (!may_be_watched(relation))
		return;
	watches = pgcache_watch_list(relation);
	foreach(lc, watches)
	{
		const PgCacheWatch *watch = lfirst(lc);

		if (TRIGGER_FOR_ROW(watch->type) &&
			!(truncate && sees_truncate(watches, watch)))
			invalidate(watch);
	}
	list_free(watches);
}

/* The relation is, was or will be a child of others. */
static void
on_ancestors(Oid relation)
{
	List	   *parents = pgcache_watch_parents(relation);
	ListCell   *lc;

	check_stack_depth();
	foreach(lc, parents)
	{
		on_relation(lfirst_oid(lc), false);
		on_ancestors(lfirst_oid(lc));
	}
	list_free(parents);
}

/* ---- as it is done ------------------------------------------------------------ */

/*
 * A watch acts with the rights of the table's owner, so that nobody else may
 * make one by CREATE TRIGGER.  Partitions' clones come with their parents'.
 */
static void
check_creator(const PgCacheWatch *watch)
{
	PgCacheTarget target;

	if (!OidIsValid(watch->parent) &&
		!PGCACHE_RELATION_OWNERCHECK(watch->relation, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s",
						get_rel_name(watch->relation)),
				 errdetail("Only a table's owner may have its changes invalidate cached values.")));

	/* A dump must be restored, and a child gets what its parent has. */
	if (!OidIsValid(watch->parent) && !superuser() &&
		!pgcache_watch_inheriting &&
		pgcache_watch_target(watch, pgcache_watch_owner(watch->relation),
							 &target) == PGCACHE_TARGET_DENIED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for namespace \"%s\"", watch->space),
				 errdetail("The table's owner may not write to it.")));
}

static void
on_trigger(ObjectAccessType access, Oid trigger)
{
	const PgCacheWatch *watch = pgcache_watch_read(trigger);

	if (watch == NULL)
		return;
	if (access == OAT_POST_CREATE)
		check_creator(watch);
	if (TRIGGER_FOR_ROW(watch->type))
		invalidate(watch);
}

/* A table becomes another's child, or is it no more. */
static void
on_inheritance(Oid child, Oid parent)
{
	on_relation(parent, false);
	on_ancestors(parent);
	if (get_rel_relkind(parent) == RELKIND_RELATION)
		pgcache_watch_note_heir(child);
}

static void
handle_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
			  void *arg)
{
	if (class_id == TriggerRelationId)
		on_trigger(access, object_id);
	else if (class_id == InheritsRelationId && access == OAT_POST_ALTER)
		on_inheritance(object_id, ((ObjectAccessPostAlter *) arg)->auxiliary_id);
	else if (class_id != RelationRelationId)
		return;
	else if (access == OAT_TRUNCATE)
		on_relation(object_id, true);
	else if (access == OAT_POST_ALTER || sub_id != 0)
		on_relation(object_id, false);
	else if (access == OAT_DROP && get_rel_relkind(object_id) != RELKIND_INDEX)
		on_ancestors(object_id);
}

static void
on_object_access(ObjectAccessType access, Oid class_id, Oid object_id,
				 int sub_id, void *arg)
{
	if (prev_object_access_hook)
		prev_object_access_hook(access, class_id, object_id, sub_id, arg);
	if (!pgcache_shmem_ready || !OidIsValid(MyDatabaseId))
		return;
	switch (access)
	{
		case OAT_POST_CREATE:
		case OAT_POST_ALTER:
		case OAT_DROP:
		case OAT_TRUNCATE:
			handle_access(access, class_id, object_id, sub_id, arg);
			break;
		case OAT_NAMESPACE_SEARCH:
		case OAT_FUNCTION_EXECUTE:
			break;
	}
}

/* ---- before commit ------------------------------------------------------------ */

static void
collect_changed(Oid relation)
{
	changed = lappend_oid(changed, relation);
}

/*
 * Whether the transaction may have changed what the table shows.  DETACH ...
 * CONCURRENTLY takes a weaker lock on the parent.
 */
static bool
is_reshaped(Oid relation)
{
	Relation	rel = try_relation_open(relation, AccessShareLock);
	bool		result;

	if (rel == NULL)
		return false;
	result = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ||
		rel->rd_rel->relhassubclass ||
		CheckRelationLockedByMe(rel, AccessExclusiveLock, true);
	relation_close(rel, NoLock);
	return result;
}

/*
 * The transaction's changes of the cache are still to be published: we were
 * registered after that.
 */
static void
invalidate_changed(void)
{
	ListCell   *lc;

	pgcache_watch_install_heirs();
	changed = NIL;
	pgcache_watch_changed_definitions(collect_changed);
	foreach(lc, changed)
	{
		Oid			relation = lfirst_oid(lc);

		if (may_be_watched(relation) && !is_noted(relation) && is_reshaped(relation))
			on_relation(relation, false);
	}
	changed = NIL;
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (pgcache_shmem_ready && OidIsValid(MyDatabaseId) && !RecoveryInProgress())
				invalidate_changed();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			notes = NIL;
			changed = NIL;
			pgcache_watch_forget_heirs();
			break;
		default:
			break;
	}
}

void
pgcache_trigger_init(void)
{
	RegisterXactCallback(on_transaction_end, NULL);
	RegisterSubXactCallback(on_subtransaction_end, NULL);
	prev_object_access_hook = object_access_hook;
	object_access_hook = on_object_access;
}
