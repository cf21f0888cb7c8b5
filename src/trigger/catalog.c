/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  Watches as pg_trigger has them.
 *
 * Locking: who lists a relation's watches to change them holds a lock on the
 * relation.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "trigger/trigger_internal.h"

/* Whether a function is ours, whatever it is called and wherever it is. */
static bool
is_ours(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		result = false;
	bool		isnull;
	Datum		symbol;

	if (!HeapTupleIsValid(tuple))
		return false;
	if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId)
	{
		symbol = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
		result = !isnull &&
			strcmp(TextDatumGetCString(symbol), PGCACHE_WATCH_SYMBOL) == 0;
	}
	ReleaseSysCache(tuple);
	return result;
}

static void
check_template(const char *template)
{
	if (pgcache_template_columns(template) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("malformed template \"%s\"", template)));
}

void
pgcache_watch_parse(PgCacheWatch *watch, char *const *args, int nargs)
{
	Datum		array;
	Datum	   *tags;
	bool	   *nulls;
	int			ntags;

	if (nargs != PGCACHE_WATCH_NARGS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger function %s() must have %d arguments",
						PGCACHE_WATCH_FUNCTION, PGCACHE_WATCH_NARGS),
				 errhint("Use cache_watch_table() to create such triggers.")));
	for (int i = 0; i < nargs; i++)
		watch->args[i] = args[i];
	watch->key = args[PGCACHE_WATCH_KEY][0] != '\0' ? args[PGCACHE_WATCH_KEY] : NULL;
	watch->space = args[PGCACHE_WATCH_SPACE];
	if (watch->key != NULL)
		check_template(watch->key);

	array = OidInputFunctionCall(F_ARRAY_IN, args[PGCACHE_WATCH_TAGS], TEXTOID, -1);
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  &tags, &nulls, &ntags);
	if (ntags > PGCACHE_MAX_TAGS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("too many tags"),
				 errdetail("A watch can have at most %d tags.", PGCACHE_MAX_TAGS)));
	watch->ntags = 0;
	for (int i = 0; i < ntags; i++)
	{
		char	   *tag;

		if (nulls[i])
			continue;
		tag = TextDatumGetCString(tags[i]);
		check_template(tag);
		watch->tags[watch->ntags++] = tag;
	}
}

/* The arguments as they are in the row: each with a zero byte behind it. */
static char **
split_args(Datum packed, int nargs)
{
	bytea	   *bytes = DatumGetByteaPCopy(packed);
	char	   *p = VARDATA(bytes);
	char	   *end = p + VARSIZE(bytes) - VARHDRSZ;
	char	  **args = palloc(Max(nargs, 1) * sizeof(char *));

	for (int i = 0; i < nargs; i++)
	{
		if (p >= end)
			elog(ERROR, "arguments of a trigger are missing");
		args[i] = p;
		p += strlen(p) + 1;
	}
	return args;
}

static PgCacheWatch *
read_row(Relation catalog, HeapTuple row)
{
	Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(row);
	PgCacheWatch *watch;
	bool		isnull;
	Datum		args;

	if (!is_ours(form->tgfoid))
		return NULL;
	watch = palloc0(sizeof(PgCacheWatch));
	watch->trigger = form->oid;
	watch->relation = form->tgrelid;
	watch->parent = form->tgparentid;
	watch->function = form->tgfoid;
	watch->name = pstrdup(NameStr(form->tgname));
	watch->type = form->tgtype;
	watch->enabled = form->tgenabled;
	args = heap_getattr(row, Anum_pg_trigger_tgargs, RelationGetDescr(catalog),
						&isnull);
	Assert(!isnull);
	pgcache_watch_parse(watch, split_args(args, form->tgnargs), form->tgnargs);
	return watch;
}

/*
 * What the present command did must be seen: by SnapshotSelf.
 */
PgCacheWatch *
pgcache_watch_read(Oid trigger)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;
	PgCacheWatch *watch = NULL;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(catalog, TriggerOidIndexId, true, SnapshotSelf, 1, &key);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
		watch = read_row(catalog, row);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return watch;
}

List *
pgcache_watch_list(Oid relation)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;
	List	   *watches = NIL;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relation));
	scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, NULL,
							  OidIsValid(relation) ? 1 : 0, &key);
	while (HeapTupleIsValid(row = systable_getnext(scan)))
	{
		PgCacheWatch *watch = read_row(catalog, row);

		if (watch != NULL)
			watches = lappend(watches, watch);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return watches;
}

Oid
pgcache_watch_root(const PgCacheWatch *watch)
{
	while (OidIsValid(watch->parent))
	{
		const PgCacheWatch *parent = pgcache_watch_read(watch->parent);

		if (parent == NULL)
			break;
		watch = parent;
	}
	return watch->relation;
}

Oid
pgcache_watch_owner(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}
