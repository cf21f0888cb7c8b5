/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  Reads the table cache_namespaces.
 *
 * The table is in the extension's schema.  It is read with a catalog snapshot,
 * as the system's own catalogs are: what was committed last and what the own
 * transaction did, whatever the isolation level.
 *
 * Nothing here checks the reader's privileges on the table.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/interval.h"
#include "space/space_internal.h"

/* Valid while table is; see pgcache_catalog_forget. */
static PgCacheCatalog catalog_cache = {InvalidOid};

/* ---- where it is ----------------------------------------------------------- */

/* Fills in schema and owner from pg_extension; false if it is not there. */
static bool
find_extension(PgCacheCatalog *catalog)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("pg_cache"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_extension form = (Form_pg_extension) GETSTRUCT(tuple);

		catalog->schema = form->extnamespace;
		catalog->owner = form->extowner;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return HeapTupleIsValid(tuple);
}

PgCacheCatalog
pgcache_catalog_locate(void)
{
	PgCacheCatalog catalog;

	if (OidIsValid(catalog_cache.table))
		return catalog_cache;

	if (!find_extension(&catalog))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" does not exist", "pg_cache"),
				 errhint("Run CREATE EXTENSION pg_cache in this database.")));
	catalog.table = get_relname_relid("cache_namespaces", catalog.schema);
	catalog.name_index = get_relname_relid("cache_namespaces_name_key",
										   catalog.schema);
	if (!OidIsValid(catalog.table) || !OidIsValid(catalog.name_index))
		elog(ERROR, "table or index of namespaces is missing");
	catalog_cache = catalog;
	return catalog;
}

Oid
pgcache_space_schema(void)
{
	return pgcache_catalog_exists() ? pgcache_catalog_locate().schema : InvalidOid;
}

bool
pgcache_catalog_exists(void)
{
	PgCacheCatalog catalog;

	if (OidIsValid(catalog_cache.table) &&
		SearchSysCacheExists1(RELOID, ObjectIdGetDatum(catalog_cache.table)))
		return true;
	pgcache_catalog_forget(InvalidOid);
	return find_extension(&catalog) &&
		OidIsValid(get_relname_relid("cache_namespaces", catalog.schema)) &&
		OidIsValid(get_relname_relid("cache_namespaces_name_key", catalog.schema));
}

bool
pgcache_catalog_forget(Oid relation)
{
	if (OidIsValid(relation) && relation != catalog_cache.table)
		return false;
	catalog_cache.table = InvalidOid;
	return true;
}

/*
 * Taking the lock may bring the news that the extension was dropped, and maybe
 * created again, since we remembered where the table is.
 */
Relation
pgcache_catalog_open(LOCKMODE lockmode)
{
	Relation	rel = try_table_open(pgcache_catalog_locate().table, lockmode);

	if (rel == NULL)
	{
		pgcache_catalog_forget(InvalidOid);
		rel = table_open(pgcache_catalog_locate().table, lockmode);
	}
	return rel;
}

/* ---- rows ------------------------------------------------------------------ */

HeapTuple
pgcache_catalog_find(Relation catalog, const char *name)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;

	/* The column's collation is "C" whatever the database's is. */
	ScanKeyEntryInitialize(&key, 0, PGCACHE_SPACE_NAME + 1,
						   BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID,
						   F_TEXTEQ, CStringGetTextDatum(name));
	scan = systable_beginscan(catalog, pgcache_catalog_locate().name_index, true,
							  NULL, 1, &key);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
		row = heap_copytuple(row);
	systable_endscan(scan);
	return row;
}

void
pgcache_catalog_walk(Relation catalog,
					 void (*visit) (Relation catalog, HeapTuple row, void *arg),
					 void *arg)
{
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	row;

	while (HeapTupleIsValid(row = systable_getnext(scan)))
		visit(catalog, row, arg);
	systable_endscan(scan);
}

/*
 * Raises unless the table has this version's columns.  Others may have been
 * added and dropped again: they stay in the description.
 */
static void
check_columns(Relation catalog)
{
	TupleDesc	desc = RelationGetDescr(catalog);
	int			ours = 0;
	int			others = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		if (i < PGCACHE_SPACE_NCOLUMNS)
			ours++;
		else
			others++;
	}
	if (ours != PGCACHE_SPACE_NCOLUMNS || others != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" does not have the columns that this version of pg_cache expects",
						RelationGetRelationName(catalog)),
				 errdetail("It has %d columns instead of %d.",
						   ours + others, PGCACHE_SPACE_NCOLUMNS),
				 errhint("Run ALTER EXTENSION pg_cache UPDATE, or drop the columns that were added.")));
}

void
pgcache_catalog_deform(Relation catalog, HeapTuple row,
					   Datum *values, bool *nulls)
{
	check_columns(catalog);
	for (int i = 0; i < PGCACHE_SPACE_NCOLUMNS; i++)
		values[i] = heap_getattr(row, i + 1, RelationGetDescr(catalog), &nulls[i]);
}

HeapTuple
pgcache_catalog_form(Relation catalog, const Datum *values, const bool *nulls)
{
	TupleDesc	desc = RelationGetDescr(catalog);
	Datum	   *all_values = palloc0(desc->natts * sizeof(Datum));
	bool	   *all_nulls = palloc(desc->natts * sizeof(bool));

	check_columns(catalog);
	memset(all_nulls, true, desc->natts * sizeof(bool));
	memcpy(all_values, values, PGCACHE_SPACE_NCOLUMNS * sizeof(Datum));
	memcpy(all_nulls, nulls, PGCACHE_SPACE_NCOLUMNS * sizeof(bool));
	return heap_form_tuple(desc, all_values, all_nulls);
}

Oid *
pgcache_catalog_roles(Datum array, int *n)
{
	Datum	   *elems;
	bool	   *nulls;
	int			nelems;
	Oid		   *roles;

	deconstruct_array(DatumGetArrayTypeP(array), REGROLEOID, sizeof(Oid), true,
					  TYPALIGN_INT, &elems, &nulls, &nelems);
	roles = palloc(Max(nelems, 1) * sizeof(Oid));
	*n = 0;
	for (int i = 0; i < nelems; i++)
		if (!nulls[i])
			roles[(*n)++] = DatumGetObjectId(elems[i]);
	return roles;
}

/* ---- a row as a namespace -------------------------------------------------- */

/* An interval option in microseconds, 0 if NULL. */
static int64
interval_option(Datum value, bool isnull)
{
	int64		usec = 0;

	if (!isnull)
		(void) pgcache_interval_usec(DatumGetIntervalP(value), &usec);
	return usec;
}

/* The number of a compression method, -1 if NULL. */
static int
compression_option(Datum value, bool isnull)
{
	char	   *name;

	if (isnull)
		return -1;
	name = TextDatumGetCString(value);
	for (int i = 0; pgcache_compression_options[i].name != NULL; i++)
		if (strcmp(name, pgcache_compression_options[i].name) == 0)
			return pgcache_compression_options[i].val;
	return -1;
}

static void
read_options(PgCacheSpace *space, const Datum *values, const bool *nulls)
{
#define OPTION(NAME, get, if_null) \
	(nulls[PGCACHE_OPTION_##NAME] ? (if_null) : get(values[PGCACHE_OPTION_##NAME]))
#define CONVERTED(NAME, convert) \
	convert(values[PGCACHE_OPTION_##NAME], nulls[PGCACHE_OPTION_##NAME])

	space->default_ttl = CONVERTED(DEFAULT_TTL, interval_option);
	space->max_ttl = CONVERTED(MAX_TTL, interval_option);
	space->ttl_jitter = OPTION(TTL_JITTER, DatumGetFloat8, 0);
	space->sliding = OPTION(SLIDING, DatumGetBool, false);
	space->min_bytes = OPTION(MIN_BYTES, DatumGetInt64, 0);
	space->max_bytes = OPTION(MAX_BYTES, DatumGetInt64, 0);
	space->max_entries = OPTION(MAX_ENTRIES, DatumGetInt64, 0);
	space->priority = OPTION(PRIORITY, DatumGetInt32, 0);
	space->compression = CONVERTED(COMPRESSION, compression_option);
	space->compression_threshold = OPTION(COMPRESSION_THRESHOLD, DatumGetInt32, -1);
	space->transactional = OPTION(TRANSACTIONAL, DatumGetBool, -1);

#undef OPTION
#undef CONVERTED
}

void
pgcache_catalog_read(Relation catalog, HeapTuple row, PgCacheSpaceEntry *entry)
{
	Datum		values[PGCACHE_SPACE_NCOLUMNS];
	bool		nulls[PGCACHE_SPACE_NCOLUMNS];
	char	   *name;

	pgcache_catalog_deform(catalog, row, values, nulls);
	memset(entry, 0, sizeof(*entry));
	name = TextDatumGetCString(values[PGCACHE_SPACE_NAME]);
	strlcpy(entry->space.name, name, sizeof(entry->space.name));
	entry->space.name_len = strlen(entry->space.name);
	entry->space.id = DatumGetInt32(values[PGCACHE_SPACE_ID]);
	entry->space.owner = DatumGetObjectId(values[PGCACHE_SPACE_OWNER]);
	entry->readers = pgcache_catalog_roles(values[PGCACHE_SPACE_READERS],
										   &entry->nreaders);
	entry->writers = pgcache_catalog_roles(values[PGCACHE_SPACE_WRITERS],
										   &entry->nwriters);
	read_options(&entry->space, values + PGCACHE_SPACE_FIRST_OPTION,
				 nulls + PGCACHE_SPACE_FIRST_OPTION);
}

/* Owned by the extension's owner and open to PUBLIC. */
void
pgcache_catalog_builtin(PgCacheSpaceEntry *entry)
{
	static const Datum values[PGCACHE_NOPTIONS] = {0};
	bool		nulls[PGCACHE_NOPTIONS];

	memset(entry, 0, sizeof(*entry));
	strcpy(entry->space.name, PGCACHE_DEFAULT_SPACE);
	entry->space.name_len = strlen(PGCACHE_DEFAULT_SPACE);
	entry->space.id = PGCACHE_DEFAULT_SPACE_ID;
	entry->space.owner = pgcache_catalog_locate().owner;
	entry->readers = palloc0(sizeof(Oid));
	entry->nreaders = 1;
	entry->writers = palloc0(sizeof(Oid));
	entry->nwriters = 1;
	memset(nulls, true, sizeof(nulls));
	read_options(&entry->space, values, nulls);
}

static bool
is_granted(const Oid *roles, int n, Oid role)
{
	for (int i = 0; i < n; i++)
		if (roles[i] == InvalidOid || has_privs_of_role(role, roles[i]))
			return true;
	return false;
}

int
pgcache_catalog_privileges(const PgCacheSpaceEntry *entry, Oid role)
{
	/* True for superusers. */
	if (has_privs_of_role(role, entry->space.owner))
		return PGCACHE_READ | PGCACHE_WRITE;
	return (is_granted(entry->readers, entry->nreaders, role) ? PGCACHE_READ : 0) |
		(is_granted(entry->writers, entry->nwriters, role) ? PGCACHE_WRITE : 0);
}

bool
pgcache_catalog_may_read(const char *name)
{
	Relation	rel = pgcache_catalog_open(AccessShareLock);
	HeapTuple	row = pgcache_catalog_find(rel, name);
	bool		readable = false;
	PgCacheSpaceEntry entry;

	if (row != NULL)
		pgcache_catalog_read(rel, row, &entry);
	else if (strcmp(name, PGCACHE_DEFAULT_SPACE) == 0)
		pgcache_catalog_builtin(&entry);
	else
		entry.readers = NULL;
	if (entry.readers != NULL)
		readable = (pgcache_catalog_privileges(&entry, GetUserId()) & PGCACHE_READ) != 0;
	table_close(rel, AccessShareLock);
	return readable;
}
