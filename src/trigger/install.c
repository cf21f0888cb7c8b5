/*-------------------------------------------------------------------------
 *
 * install.c
 *	  Makes the triggers of a watch, on a table and on its children.
 *
 * Partitions get clones of the row trigger from PostgreSQL itself.  A table that
 * inherits from a watched one without being its partition gets triggers of its
 * own: the present children with the watch, later ones at the end of the
 * transaction that makes them children.  They are as if made by the child's
 * owner, and are called *_inherited.
 *
 * Locking: ShareRowExclusiveLock on the tables, as by CREATE TRIGGER.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "trigger/trigger_internal.h"

/* Ends the name of a trigger that a table has because of its parent's watch. */
#define INHERITED_SUFFIX	"_inherited"

/* Tables that became children of watched ones, in TopTransactionContext. */
static List *heirs = NIL;

bool
pgcache_watch_same(const PgCacheWatch *watch, char *const *args)
{
	for (int i = 0; i < PGCACHE_WATCH_NARGS; i++)
		if (strcmp(watch->args[i], args[i]) != 0)
			return false;
	return true;
}

bool		pgcache_watch_inheriting = false;

bool
pgcache_watch_inherited(const PgCacheWatch *watch)
{
	int			len = strlen(watch->name) - strlen(INHERITED_SUFFIX);

	return len > 0 && strcmp(watch->name + len, INHERITED_SUFFIX) == 0;
}

/* ---- making them ---------------------------------------------------------------- */

/*
 * The trigger that a table has for a watch, not counting a partition's clone.
 * One that it has because of its parent is none of its own.
 */
static const PgCacheWatch *
find_trigger(List *watches, char *const *args, bool for_row, bool inherited)
{
	ListCell   *lc;

	foreach(lc, watches)
	{
		const PgCacheWatch *watch = lfirst(lc);

		if (pgcache_watch_same(watch, args) &&
			(for_row ? TRIGGER_FOR_ROW(watch->type) : TRIGGER_FOR_TRUNCATE(watch->type)) &&
			!OidIsValid(watch->parent) &&
			(inherited || !pgcache_watch_inherited(watch)))
			return watch;
	}
	return NULL;
}

/*
 * pg_cache_watch_, a hash, and what kind it is.  A partition's clone has the name
 * of its parent's trigger, so that the table must be in the hash as well.
 */
static char *
make_name(Oid relation, char *const *args, bool for_row, bool inherited)
{
	uint64		hash = relation;

	for (int i = 0; i < PGCACHE_WATCH_NARGS; i++)
		hash = hash_bytes_extended((const unsigned char *) args[i],
								   strlen(args[i]) + 1, hash);
	return psprintf("pg_cache_watch_%016llx%s%s", (unsigned long long) hash,
					for_row ? "" : "_truncate", inherited ? INHERITED_SUFFIX : "");
}

/*
 * The dependency on the extension lets DROP EXTENSION drop the trigger, which
 * depends on the function.  It is dumped with the trigger.
 */
static void
make_trigger(Oid relation, Oid function, char *const *args, bool for_row, char *name)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);
	ObjectAddress trigger;
	ObjectAddress extension;

	stmt->replace = true;
	stmt->trigname = name;
	stmt->funcname = list_make1(makeString(pstrdup(PGCACHE_WATCH_FUNCTION)));
	for (int i = 0; i < PGCACHE_WATCH_NARGS; i++)
		stmt->args = lappend(stmt->args, makeString(args[i]));
	stmt->row = for_row;
	stmt->timing = TRIGGER_TYPE_AFTER;
	stmt->events = TRIGGER_TYPE_TRUNCATE;
	if (for_row)
		stmt->events = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE;
	trigger = CreateTriggerFiringOn(stmt, "", relation, InvalidOid, InvalidOid,
									InvalidOid, function, InvalidOid, NULL, false,
									false, TRIGGER_FIRES_ALWAYS);
	CommandCounterIncrement();

	ObjectAddressSet(extension, ExtensionRelationId,
					 get_extension_oid("pg_cache", false));
	if (!list_member_oid(getAutoExtensionsOfObject(TriggerRelationId, trigger.objectId),
						 extension.objectId))
		recordDependencyOn(&trigger, &extension, DEPENDENCY_AUTO_EXTENSION);
	CommandCounterIncrement();
}

/* Makes one of a watch's two triggers, or enables it as it must be. */
static void
install_trigger(Oid relation, Oid function, char *const *args, bool for_row,
				bool inherited)
{
	const PgCacheWatch *present = find_trigger(pgcache_watch_list(relation), args,
											   for_row, inherited);

	if (present == NULL)
		make_trigger(relation, function, args, for_row,
					 make_name(relation, args, for_row, inherited));
	else if (present->enabled != TRIGGER_FIRES_ALWAYS)
		make_trigger(relation, function, args, for_row, present->name);
}

static void
install_one(Oid relation, Oid function, char *const *args, bool inherited)
{
	pgcache_watch_inheriting = inherited;
	PG_TRY();
	{
		install_trigger(relation, function, args, true, inherited);
		install_trigger(relation, function, args, false, inherited);
	}
	PG_FINALLY();
	{
		pgcache_watch_inheriting = false;
	}
	PG_END_TRY();
}

List *
pgcache_watch_children(Oid relation, LOCKMODE lockmode)
{
	List	   *children = NIL;
	ListCell   *lc;

	if (get_rel_relkind(relation) != RELKIND_RELATION || !has_subclass(relation))
		return NIL;
	foreach(lc, find_all_inheritors(relation, lockmode, NULL))
	{
		Oid			child = lfirst_oid(lc);

		/* What others are, foreign or temporary, cannot be watched. */
		if (child != relation && get_rel_relkind(child) == RELKIND_RELATION &&
			get_rel_persistence(child) != RELPERSISTENCE_TEMP)
			children = lappend_oid(children, child);
	}
	return children;
}

void
pgcache_watch_install(Oid relation, Oid function, char *const *args)
{
	ListCell   *lc;

	install_one(relation, function, args, false);
	foreach(lc, pgcache_watch_children(relation, ShareRowExclusiveLock))
		install_one(lfirst_oid(lc), function, args, true);
}

/* ---- children that come later ----------------------------------------------------- */

List *
pgcache_watch_parents(Oid relation)
{
	Relation	catalog = table_open(InheritsRelationId, AccessShareLock);
	List	   *parents = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relation));
	scan = systable_beginscan(catalog, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(row = systable_getnext(scan)))
		parents = lappend_oid(parents, ((Form_pg_inherits) GETSTRUCT(row))->inhparent);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return parents;
}

bool
pgcache_watch_above(Oid relation, char *const *args)
{
	ListCell   *lc;
	ListCell   *lc2;

	check_stack_depth();
	foreach(lc, pgcache_watch_parents(relation))
	{
		foreach(lc2, pgcache_watch_list(lfirst_oid(lc)))
		{
			const PgCacheWatch *watch = lfirst(lc2);

			if (pgcache_watch_same(watch, args) && !pgcache_watch_inherited(watch))
				return true;
		}
		if (pgcache_watch_above(lfirst_oid(lc), args))
			return true;
	}
	return false;
}

void
pgcache_watch_note_heir(Oid relation)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	heirs = list_append_unique_oid(heirs, relation);
	MemoryContextSwitchTo(old);
}

void
pgcache_watch_forget_heirs(void)
{
	heirs = NIL;
}

/* As the owner of the table, whoever may have made it a child. */
static void
install_as_owner(Oid relation, const PgCacheWatch *watch)
{
	Oid			owner = pgcache_watch_owner(relation);
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE);
	install_one(relation, watch->function, watch->args, true);
	SetUserIdAndSecContext(user, context);
}

/* Gives a table and its children the watches of its ancestors. */
static void
inherit_from(Oid heir, Oid ancestor)
{
	ListCell   *lc;
	ListCell   *lc2;

	check_stack_depth();
	foreach(lc, pgcache_watch_list(ancestor))
	{
		const PgCacheWatch *watch = lfirst(lc);

		if (!TRIGGER_FOR_ROW(watch->type) || OidIsValid(watch->parent))
			continue;
		install_as_owner(heir, watch);
		foreach(lc2, pgcache_watch_children(heir, ShareRowExclusiveLock))
			install_as_owner(lfirst_oid(lc2), watch);
	}
	foreach(lc, pgcache_watch_parents(ancestor))
		inherit_from(heir, lfirst_oid(lc));
}

/*
 * Some may have been dropped, or be children no more, or never have become it
 * because a subtransaction was rolled back.
 */
void
pgcache_watch_install_heirs(void)
{
	ListCell   *lc;
	ListCell   *lc2;

	if (heirs == NIL)
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(lc, heirs)
	{
		Oid			heir = lfirst_oid(lc);

		if (get_rel_relkind(heir) != RELKIND_RELATION ||
			get_rel_persistence(heir) == RELPERSISTENCE_TEMP)
			continue;
		foreach(lc2, pgcache_watch_parents(heir))
			inherit_from(heir, lfirst_oid(lc2));
	}
	PopActiveSnapshot();
	heirs = NIL;
}
