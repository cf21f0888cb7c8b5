/*-------------------------------------------------------------------------
 *
 * watch_table.c
 *	  cache_watch_table, cache_unwatch_table, and what is watched.
 *
 * A watch is two triggers, see trigger/trigger.h.  They are made and dropped as
 * by CREATE TRIGGER and DROP TRIGGER of the current user.
 *
 * Locking: that of these commands: ShareRowExclusiveLock on the table to watch it,
 * AccessExclusiveLock to end that.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/arrayaccess.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "shmem/shmem.h"
#include "sqlapi/args.h"
#include "trigger/trigger.h"

PG_FUNCTION_INFO_V1(pgcache_sql_watch_table);
PG_FUNCTION_INFO_V1(pgcache_sql_unwatch_table);
PG_FUNCTION_INFO_V1(pgcache_sql_watches);

/* Arguments of cache_watch_table. */
enum
{
	ARG_REL,
	ARG_KEY,
	ARG_TAGS,
	ARG_SPACE
};

/* ---- the table ------------------------------------------------------------------ */

static void
require_writable(const char *function)
{
	pgcache_shmem_require();
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot execute %s during recovery", function)));
	PreventCommandIfReadOnly(function);
	PreventCommandIfParallelMode(function);
}

static void
refuse_relation(const char *name, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("cannot watch relation \"%s\"", name),
			 errdetail("%s", detail)));
}

/* Raises unless the current role may have the relation watched. */
static void
check_relation(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	form = (Form_pg_class) GETSTRUCT(tuple);
	name = pstrdup(NameStr(form->relname));

	if (form->relkind != RELKIND_RELATION && form->relkind != RELKIND_PARTITIONED_TABLE)
		refuse_relation(name, "Only tables can be watched.");
	if (form->relpersistence == RELPERSISTENCE_TEMP)
		refuse_relation(name, "Temporary tables cannot be watched.");
	if (IsSystemClass(relid, form))
		refuse_relation(name, "System catalogs cannot be watched.");
	ReleaseSysCache(tuple);

	if (!PGCACHE_RELATION_OWNERCHECK(relid, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s", name)));
}

/*
 * Opens it under a lock that those only get who may have it watched.
 */
static Relation
open_relation(FunctionCallInfo fcinfo, LOCKMODE lockmode)
{
	Relation	rel;

	if (PG_ARGISNULL(ARG_REL))
		pgcache_args_refuse_null("rel");
	check_relation(PG_GETARG_OID(ARG_REL));
	rel = table_open(PG_GETARG_OID(ARG_REL), lockmode);
	check_relation(RelationGetRelid(rel));
	return rel;
}

/* ---- the templates ---------------------------------------------------------------- */

static void
check_column(Relation rel, const PgCachePart *part)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (column->attisdropped || strlen(NameStr(column->attname)) != part->len ||
			memcmp(NameStr(column->attname), part->text, part->len) != 0)
			continue;
		if (column->attgenerated != '\0' &&
			column->attgenerated != ATTRIBUTE_GENERATED_STORED)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot use column \"%s\" in a template",
							NameStr(column->attname)),
					 errdetail("Triggers do not see virtual generated columns.")));
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%.*s\" of relation \"%s\" does not exist",
					part->len, part->text, RelationGetRelationName(rel)),
			 errhint("Write {{ and }} for braces that do not enclose a column's name.")));
}

/* what names the template for messages. */
static void
check_template(Relation rel, const char *template, const char *what, int max_len)
{
	const char *rest = template;
	char	   *text;
	int			len;

	for (;;)
	{
		PgCachePart part = pgcache_template_next(&rest);

		if (part.kind == PGCACHE_PART_MALFORMED)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("malformed template \"%s\" for %s", template, what),
					 errdetail("There is a brace without its counterpart, or nothing between two, in \"%s\".",
							   part.text),
					 errhint("Write {column} for a column's value, and {{ and }} for braces.")));
		if (part.kind == PGCACHE_PART_END)
			break;
		if (part.kind == PGCACHE_PART_COLUMN)
			check_column(rel, &part);
	}

	text = palloc(strlen(template) + 1);

	len = pgcache_template_text(template, text);
	if (len > max_len || template[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("template for %s must stand for %d to %d bytes",
						what, 1, max_len),
				 errdetail("It has %d bytes without its columns.", len)));
	pfree(text);
}

/* The templates for tags, checked and without duplicates, as an array's literal. */
static char *
get_tags(FunctionCallInfo fcinfo, Relation rel)
{
	Datum	   *tags;
	bool	   *nulls;
	int			ntags = 0;
	int			n = 0;

	if (!PG_ARGISNULL(ARG_TAGS))
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(ARG_TAGS), TEXTOID, -1, false,
						  TYPALIGN_INT, &tags, &nulls, &ntags);
	if (ntags == 0)
		return pstrdup("{}");
	for (int i = 0; i < ntags; i++)
	{
		char	   *tag;
		bool		is_double = false;

		if (nulls[i])
			pgcache_args_refuse_null("tag");
		tag = TextDatumGetCString(tags[i]);
		check_template(rel, tag, "tag", PGCACHE_MAX_TAG_LEN);
		for (int j = 0; j < n; j++)
			is_double |= strcmp(TextDatumGetCString(tags[j]), tag) == 0;
		if (!is_double)
			tags[n++] = tags[i];
	}
	if (n > PGCACHE_MAX_TAGS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("too many tags"),
				 errdetail("A watch can have at most %d tags.", PGCACHE_MAX_TAGS)));
	return OidOutputFunctionCall(F_ARRAY_OUT,
								 PointerGetDatum(construct_array(tags, n, TEXTOID,
																 -1, false,
																 TYPALIGN_INT)));
}

/*
 * The namespace's name.  The caller must be allowed to write to it, and so must
 * the table's owner, with whose rights the watch will act.
 */
static char *
get_space(FunctionCallInfo fcinfo, Relation rel)
{
	text	   *arg = pgcache_args_text(fcinfo, ARG_SPACE, "namespace");
	Oid			owner = rel->rd_rel->relowner;
	PgCacheSpace *space = pgcache_space_lookup(VARDATA_ANY(arg),
											   VARSIZE_ANY_EXHDR(arg),
											   PGCACHE_WRITE);

	if ((pgcache_space_privileges_of(space, owner) & PGCACHE_WRITE) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for namespace \"%s\"", space->name),
				 errdetail("The owner of table \"%s\", role \"%s\", may not write to it.",
						   RelationGetRelationName(rel),
						   GetUserNameFromId(owner, true))));
	return pstrdup(space->name);
}

static void
get_args(FunctionCallInfo fcinfo, Relation rel, char *args[PGCACHE_WATCH_NARGS])
{
	args[PGCACHE_WATCH_SPACE] = get_space(fcinfo, rel);
	args[PGCACHE_WATCH_KEY] = pstrdup("");
	if (!PG_ARGISNULL(ARG_KEY))
	{
		args[PGCACHE_WATCH_KEY] = text_to_cstring(PG_GETARG_TEXT_PP(ARG_KEY));
		check_template(rel, args[PGCACHE_WATCH_KEY], "key", PGCACHE_MAX_KEY_LEN);
	}
	args[PGCACHE_WATCH_TAGS] = get_tags(fcinfo, rel);
}

Datum
pgcache_sql_watch_table(PG_FUNCTION_ARGS)
{
	Relation	rel;
	char	   *args[PGCACHE_WATCH_NARGS];
	char	   *schema;
	Oid			function;

	require_writable("cache_watch_table()");
	rel = open_relation(fcinfo, ShareRowExclusiveLock);
	get_args(fcinfo, rel, args);

	schema = get_namespace_name(get_func_namespace(fcinfo->flinfo->fn_oid));
	function = LookupFuncName(list_make2(makeString(schema),
										 makeString(pstrdup(PGCACHE_WATCH_FUNCTION))),
							  0, NULL, false);
	pgcache_watch_install(RelationGetRelid(rel), function, args);
	table_close(rel, NoLock);
	PG_RETURN_VOID();
}

/* ---- dropping ----------------------------------------------------------------------- */

static void
drop_trigger(const PgCacheWatch *watch)
{
	ObjectAddress address;

	ObjectAddressSet(address, TriggerRelationId, watch->trigger);
	performDeletion(&address, DROP_RESTRICT, 0);
}

/* Drops what a child has because of a watch that no ancestor has any more. */
static void
unwatch_child(Oid relid)
{
	ListCell   *lc;

	foreach(lc, pgcache_watch_list(relid))
	{
		const PgCacheWatch *watch = lfirst(lc);

		if (pgcache_watch_inherited(watch) &&
			!pgcache_watch_above(relid, watch->args))
			drop_trigger(watch);
	}
}

Datum
pgcache_sql_unwatch_table(PG_FUNCTION_ARGS)
{
	Relation	rel;
	List	   *watches;
	List	   *children;
	ListCell   *lc;
	int			n = 0;

	require_writable("cache_unwatch_table()");
	rel = open_relation(fcinfo, AccessExclusiveLock);
	watches = pgcache_watch_list(RelationGetRelid(rel));
	children = pgcache_watch_children(RelationGetRelid(rel), AccessExclusiveLock);
	foreach(lc, watches)
		n += OidIsValid(((PgCacheWatch *) lfirst(lc))->parent) ? 0 : 1;
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" is not watched", RelationGetRelationName(rel)),
				 watches == NIL ? 0 :
				 errdetail("It is a partition of a table that is watched.")));
	table_close(rel, NoLock);

	foreach(lc, watches)
	{
		if (!OidIsValid(((PgCacheWatch *) lfirst(lc))->parent))
			drop_trigger(lfirst(lc));
	}
	foreach(lc, children)
		unwatch_child(lfirst_oid(lc));
	PG_RETURN_VOID();
}

/* ---- listing ------------------------------------------------------------------------- */

/* The view's rows; partitions' clones are their parents' watches. */
Datum
pgcache_sql_watches(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	pgcache_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, pgcache_watch_list(InvalidOid))
	{
		const PgCacheWatch *watch = lfirst(lc);
		Datum		values[4] = {0};
		bool		nulls[4] = {false};

		if (OidIsValid(watch->parent) || !TRIGGER_FOR_ROW(watch->type))
			continue;
		values[ARG_REL] = ObjectIdGetDatum(watch->relation);
		nulls[ARG_KEY] = watch->key == NULL;
		if (watch->key != NULL)
			values[ARG_KEY] = CStringGetTextDatum(watch->key);
		nulls[ARG_TAGS] = watch->ntags == 0;
		if (watch->ntags > 0)
			values[ARG_TAGS] = OidInputFunctionCall(F_ARRAY_IN,
													watch->args[PGCACHE_WATCH_TAGS],
													TEXTOID, -1);
		values[ARG_SPACE] = CStringGetTextDatum(watch->space);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
