/*-------------------------------------------------------------------------
 *
 * file_catalog.c
 *	  The table cache_file_watches.
 *
 * It is read with a catalog snapshot, as the table of namespaces is.
 *
 * Locking: who changes it takes a lock that admits readers but no other changes,
 * until the transaction ends.  The worker does not wait for that lock.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "trigger/file.h"
#include "trigger/trigger.h"

/* Admits readers (AccessShareLock) but no writer, including ourselves. */
#define CHANGE_LOCK ShareRowExclusiveLock

/* Columns of the table. */
enum
{
	COLUMN_PATH,
	COLUMN_SPACE,
	COLUMN_TAGS,
	COLUMN_OWNER,
	COLUMN_CONDITION,
	COLUMN_MTIME,
	COLUMN_SIZE,
	COLUMN_INODE,
	NCOLUMNS
};

/* By PgCacheFileCondition. */
static const char *const condition_names[] = {"present", "absent", "unreadable"};

/* ---- the table --------------------------------------------------------------- */

Oid
pgcache_file_table(void)
{
	Oid			schema = pgcache_space_schema();

	return OidIsValid(schema) ? get_relname_relid("cache_file_watches", schema) : InvalidOid;
}

/*
 * Raises unless the table has this version's columns.  Others may have been added
 * and dropped again: they stay in the description.
 */
static void
check_columns(Relation table)
{
	TupleDesc	desc = RelationGetDescr(table);
	int			n = 0;

	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attisdropped == (i < NCOLUMNS))
			n++;
	if (desc->natts < NCOLUMNS || n > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" does not have the columns that this version of pg_cache expects",
						RelationGetRelationName(table)),
				 errhint("Run ALTER EXTENSION pg_cache UPDATE, or drop the columns that were added.")));
}

static Relation
open_table(LOCKMODE lockmode)
{
	Oid			oid = pgcache_file_table();
	Relation	table;

	if (!OidIsValid(oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" does not exist", "cache_file_watches"),
				 errhint("Run ALTER EXTENSION pg_cache UPDATE.")));
	table = table_open(oid, lockmode);
	check_columns(table);
	return table;
}

/* A row of the table, split into as many columns as the table has. */
typedef struct Row
{
	HeapTuple	tuple;			/* NULL: it is new */
	Datum	   *values;
	bool	   *nulls;
} Row;

static Row
make_row(Relation table, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(table);
	Row			row = {tuple};

	row.values = palloc0(desc->natts * sizeof(Datum));
	row.nulls = palloc(desc->natts * sizeof(bool));
	memset(row.nulls, true, desc->natts * sizeof(bool));
	if (tuple != NULL)
		heap_deform_tuple(tuple, desc, row.values, row.nulls);
	return row;
}

static void
write_row(Relation table, const Row *row)
{
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(table), row->values, row->nulls);

	if (row->tuple == NULL)
		CatalogTupleInsert(table, tuple);
	else
		CatalogTupleUpdate(table, &row->tuple->t_self, tuple);
}

/* ---- reading ----------------------------------------------------------------- */

static PgCacheFileState
read_state(const Row *row)
{
	PgCacheFileState state = {PGCACHE_FILE_UNREADABLE};
	char	   *name = TextDatumGetCString(row->values[COLUMN_CONDITION]);

	for (int i = 0; i < lengthof(condition_names); i++)
		if (strcmp(name, condition_names[i]) == 0)
			state.condition = i;
	if (!row->nulls[COLUMN_MTIME])
		state.mtime = DatumGetTimestampTz(row->values[COLUMN_MTIME]);
	if (!row->nulls[COLUMN_SIZE])
		state.size = DatumGetInt64(row->values[COLUMN_SIZE]);
	if (!row->nulls[COLUMN_INODE])
		state.inode = DatumGetInt64(row->values[COLUMN_INODE]);
	return state;
}

/* What the table's owner wrote himself may be no tag. */
static void
read_tags(PgCacheFileWatch *watch, Datum array)
{
	Datum	   *tags;
	bool	   *nulls;
	int			n;
	char	   *end;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  &tags, &nulls, &n);
	watch->tags = end = palloc(PGCACHE_MAX_TAGS_LEN);
	watch->ntags = 0;
	for (int i = 0; i < n && watch->ntags < PGCACHE_MAX_TAGS; i++)
	{
		text	   *tag = nulls[i] ? NULL : DatumGetTextPP(tags[i]);
		int			len = nulls[i] ? 0 : VARSIZE_ANY_EXHDR(tag);

		if (len < 1 || len > PGCACHE_MAX_TAG_LEN)
			continue;
		*end = (char) len;
		memcpy(end + 1, VARDATA_ANY(tag), len);
		end += 1 + len;
		watch->ntags++;
	}
	watch->tags_len = end - watch->tags;
}

List *
pgcache_file_list(void)
{
	Relation	table = open_table(AccessShareLock);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *watches = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		PgCacheFileWatch *watch = palloc0(sizeof(PgCacheFileWatch));
		Row			row = make_row(table, tuple);

		watch->path = TextDatumGetCString(row.values[COLUMN_PATH]);
		strlcpy(watch->space, TextDatumGetCString(row.values[COLUMN_SPACE]),
				sizeof(watch->space));
		watch->owner = DatumGetObjectId(row.values[COLUMN_OWNER]);
		read_tags(watch, row.values[COLUMN_TAGS]);
		watch->seen = read_state(&row);
		watches = lappend(watches, watch);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return watches;
}

/* ---- writing ----------------------------------------------------------------- */

static void
write_state(Row *row, const PgCacheFileState *state)
{
	bool		unknown = state->condition != PGCACHE_FILE_PRESENT;

	row->values[COLUMN_CONDITION] = CStringGetTextDatum(condition_names[state->condition]);
	row->values[COLUMN_MTIME] = TimestampTzGetDatum(state->mtime);
	row->values[COLUMN_SIZE] = Int64GetDatum(state->size);
	row->values[COLUMN_INODE] = Int64GetDatum(state->inode);
	row->nulls[COLUMN_CONDITION] = false;
	row->nulls[COLUMN_MTIME] = row->nulls[COLUMN_SIZE] = row->nulls[COLUMN_INODE] = unknown;
}

static void
write_tags(Row *row, Datum tags)
{
	row->values[COLUMN_TAGS] = tags;
	row->values[COLUMN_OWNER] = ObjectIdGetDatum(GetUserId());
	row->nulls[COLUMN_TAGS] = row->nulls[COLUMN_OWNER] = false;
}

/* In any namespace if space is NULL. */
static bool
is_named(const Row *row, const char *path, const char *space)
{
	return strcmp(TextDatumGetCString(row->values[COLUMN_PATH]), path) == 0 &&
		(space == NULL ||
		 strcmp(TextDatumGetCString(row->values[COLUMN_SPACE]), space) == 0);
}

static const PgCacheFileWatch *
find_watch(List *watches, const Row *row)
{
	ListCell   *lc;

	foreach(lc, watches)
	{
		const PgCacheFileWatch *watch = lfirst(lc);

		if (is_named(row, watch->path, watch->space))
			return watch;
	}
	return NULL;
}

bool
pgcache_file_save(List *watches)
{
	Oid			oid = pgcache_file_table();
	Relation	table;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(oid) || !ConditionalLockRelationOid(oid, CHANGE_LOCK))
		return false;
	table = open_table(NoLock);
	scan = systable_beginscan(table, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Row			row = make_row(table, tuple);
		const PgCacheFileWatch *watch = find_watch(watches, &row);

		if (watch == NULL)
			continue;
		write_state(&row, &watch->seen);
		write_row(table, &row);
	}
	systable_endscan(scan);
	table_close(table, NoLock);
	return true;
}

char *
pgcache_file_role(Oid role)
{
	char	   *name = GetUserNameFromId(role, true);

	return name != NULL ? name : psprintf("%u", role);
}

static void
require_owner(const Row *row)
{
	Oid			owner = DatumGetObjectId(row->values[COLUMN_OWNER]);

	if (!has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of the watch of file \"%s\"",
						TextDatumGetCString(row->values[COLUMN_PATH])),
				 errdetail("Role \"%s\" watches it in namespace \"%s\".",
						   pgcache_file_role(owner),
						   TextDatumGetCString(row->values[COLUMN_SPACE]))));
}

static void
insert(Relation table, const char *path, const char *space, Datum tags)
{
	Row			row = make_row(table, NULL);
	int			error;
	PgCacheFileState state = pgcache_file_look(path, &error);

	row.values[COLUMN_PATH] = CStringGetTextDatum(path);
	row.values[COLUMN_SPACE] = CStringGetTextDatum(space);
	row.nulls[COLUMN_PATH] = row.nulls[COLUMN_SPACE] = false;
	write_tags(&row, tags);
	write_state(&row, &state);
	write_row(table, &row);
}

/*
 * What was last seen stays as it is if the watch exists, so that no change is
 * missed that the worker has not yet noticed.
 */
void
pgcache_file_add(const char *path, const char *space, Datum tags)
{
	Relation	table = open_table(CHANGE_LOCK);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	bool		is_new = true;

	while (is_new && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Row			row = make_row(table, tuple);

		if (!is_named(&row, path, space))
			continue;
		require_owner(&row);
		write_tags(&row, tags);
		write_row(table, &row);
		is_new = false;
	}
	systable_endscan(scan);
	if (is_new)
		insert(table, path, space, tags);
	pgcache_space_tell_worker(table);
	table_close(table, NoLock);
	CommandCounterIncrement();
}

void
pgcache_file_remove(const char *path)
{
	Relation	table = open_table(CHANGE_LOCK);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	bool		found = false;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Row			row = make_row(table, tuple);

		if (!is_named(&row, path, NULL))
			continue;
		require_owner(&row);
		CatalogTupleDelete(table, &tuple->t_self);
		found = true;
	}
	systable_endscan(scan);
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("file \"%s\" is not watched", path)));
	pgcache_space_tell_worker(table);
	table_close(table, NoLock);
	CommandCounterIncrement();
}
