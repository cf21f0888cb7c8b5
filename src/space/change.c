/*-------------------------------------------------------------------------
 *
 * change.c
 *	  Changes the table cache_namespaces on behalf of the current role.
 *
 * Nobody but the table's owner may write to it by SQL; the functions here check
 * the privileges that the contract gives to creators and owners of namespaces.
 *
 * A change takes a lock on the table that admits readers but no other changes
 * until the transaction ends.  So a change always starts from a committed row,
 * two creators of one name meet, and the sum of all min_bytes holds.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "common/int.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/interval.h"
#include "space/space_internal.h"

/* Admits readers (AccessShareLock) but no writer, including ourselves. */
#define CHANGE_LOCK ShareRowExclusiveLock

/* A row being changed. */
typedef struct Row
{
	Relation	rel;
	HeapTuple	old;			/* NULL: the row is new */
	Datum		values[PGCACHE_SPACE_NCOLUMNS];
	bool		nulls[PGCACHE_SPACE_NCOLUMNS];
} Row;

/* ---- options --------------------------------------------------------------- */

#define OPTION_NAME(NAME, column)	#column,
static const char *const option_names[] = {
	PGCACHE_SPACE_OPTIONS(OPTION_NAME)
};

int
pgcache_space_option(const char *name)
{
	for (int i = 0; i < PGCACHE_NOPTIONS; i++)
		if (strcmp(name, option_names[i]) == 0)
			return i;
	return -1;
}

static void
check_interval(int option, Datum value)
{
	int64		usec;

	if (!pgcache_interval_usec(DatumGetIntervalP(value), &usec))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be greater than zero", option_names[option])));
}

static void
check_not_negative(int option, int64 value)
{
	if (value < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be greater than or equal to zero",
						option_names[option])));
}

static void
check_compression(Datum value)
{
	char	   *name = TextDatumGetCString(value);

	for (int i = 0; pgcache_compression_options[i].name != NULL; i++)
		if (strcmp(name, pgcache_compression_options[i].name) == 0)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid compression method \"%s\"", name),
			 errhint("Available methods are \"none\", \"lz4\" and \"zstd\".")));
}

/* Raises 22023 for an invalid value, 0A000 for an option not yet built. */
static void
check_option(int option, Datum value)
{
	switch ((PgCacheSpaceOption) option)
	{
		case PGCACHE_OPTION_DEFAULT_TTL:
		case PGCACHE_OPTION_MAX_TTL:
			check_interval(option, value);
			break;
		case PGCACHE_OPTION_TTL_JITTER:
			if (!(DatumGetFloat8(value) >= 0 && DatumGetFloat8(value) <= 1))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("ttl_jitter must be between 0 and 1")));
			break;
		case PGCACHE_OPTION_MIN_BYTES:
		case PGCACHE_OPTION_MAX_BYTES:
		case PGCACHE_OPTION_MAX_ENTRIES:
			check_not_negative(option, DatumGetInt64(value));
			break;
		case PGCACHE_OPTION_COMPRESSION:
			check_compression(value);
			break;
		case PGCACHE_OPTION_COMPRESSION_THRESHOLD:
			check_not_negative(option, DatumGetInt32(value));
			break;
		case PGCACHE_OPTION_SLIDING:
		case PGCACHE_OPTION_PRIORITY:
		case PGCACHE_OPTION_TRANSACTIONAL:
			break;
		case PGCACHE_OPTION_LOADER:
		case PGCACHE_OPTION_WRITE_MODE:
		case PGCACHE_OPTION_BACKING:
		case PGCACHE_NOPTIONS:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s is not supported in this version of pg_cache",
							option_names[option])));
	}
}

static void
check_change(const PgCacheSpaceChange *change)
{
	for (int i = 0; i < PGCACHE_NOPTIONS; i++)
	{
		if (!change->given[i])
			continue;
		if (change->reset[i])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s cannot be both set and reset", option_names[i])));
		check_option(i, change->values[i]);
	}

	/* What one namespace is sure of is missing everywhere else. */
	if (change->given[PGCACHE_OPTION_MIN_BYTES] &&
		DatumGetInt64(change->values[PGCACHE_OPTION_MIN_BYTES]) > 0 &&
		!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set min_bytes"),
				 errdetail("Only superusers may reserve memory for a namespace.")));
}

/* ---- quotas ---------------------------------------------------------------- */

/* An option of a row as a number, 0 if NULL. */
static int64
number_of(const Datum *values, const bool *nulls, PgCacheSpaceOption option)
{
	int			column = PGCACHE_SPACE_FIRST_OPTION + option;

	return nulls[column] ? 0 : DatumGetInt64(values[column]);
}

static void
add_min_bytes(Relation catalog, HeapTuple row, void *arg)
{
	Datum		values[PGCACHE_SPACE_NCOLUMNS];
	bool		nulls[PGCACHE_SPACE_NCOLUMNS];
	int64	   *sum = arg;

	pgcache_catalog_deform(catalog, row, values, nulls);
	if (pg_add_s64_overflow(*sum, number_of(values, nulls, PGCACHE_OPTION_MIN_BYTES), sum))
		*sum = PG_INT64_MAX;
}

static void
check_quotas(const Row *row, const PgCacheSpaceChange *change)
{
	int64		min_bytes = number_of(row->values, row->nulls, PGCACHE_OPTION_MIN_BYTES);
	int64		max_bytes = number_of(row->values, row->nulls, PGCACHE_OPTION_MAX_BYTES);

	if (max_bytes > 0 && min_bytes > max_bytes)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("min_bytes must not be greater than max_bytes"),
				 errdetail("They would be %lld and %lld.",
						   (long long) min_bytes, (long long) max_bytes)));

	if (min_bytes > 0 && change->given[PGCACHE_OPTION_MIN_BYTES])
	{
		int64		limit = pgcache_memory_bytes() / 2;
		int64		sum = pgcache_slots_reserved_elsewhere();

		pgcache_catalog_walk(row->rel, add_min_bytes, &sum);
		if (sum >= limit)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the namespaces' min_bytes must together stay below half of \"%s\"",
							"pg_cache.memory"),
					 errdetail("Their sum would be %lld bytes; half of the memory is %lld.",
							   (long long) sum, (long long) limit)));
	}
}

/* ---- rows ------------------------------------------------------------------ */

/* A row for a new namespace of the current role. */
static void
new_row(Row *row, const char *name, int32 id, Oid owner)
{
	row->old = NULL;
	memset(row->nulls, true, sizeof(row->nulls));
	memset(row->nulls, false, PGCACHE_SPACE_FIRST_OPTION * sizeof(bool));
	row->values[PGCACHE_SPACE_ID] = Int32GetDatum(id);
	row->values[PGCACHE_SPACE_NAME] = CStringGetTextDatum(name);
	row->values[PGCACHE_SPACE_OWNER] = ObjectIdGetDatum(owner);
	row->values[PGCACHE_SPACE_READERS] =
		row->values[PGCACHE_SPACE_WRITERS] =
		PointerGetDatum(construct_empty_array(REGROLEOID));
}

static Datum
make_roles(Oid *roles, int n)
{
	Datum	   *elems = palloc(Max(n, 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		elems[i] = ObjectIdGetDatum(roles[i]);
	return PointerGetDatum(construct_array(elems, n, REGROLEOID, sizeof(Oid),
										   true, TYPALIGN_INT));
}

/*
 * Opens the catalog and gives the row of a namespace that the current role
 * owns; for "default" that has none, what it would be.
 */
static void
open_row(Row *row, const char *name)
{
	row->rel = pgcache_catalog_open(CHANGE_LOCK);
	row->old = pgcache_catalog_find(row->rel, name);
	if (row->old != NULL)
		pgcache_catalog_deform(row->rel, row->old, row->values, row->nulls);
	else if (strcmp(name, PGCACHE_DEFAULT_SPACE) == 0)
	{
		Oid			everybody = InvalidOid;

		new_row(row, name, PGCACHE_DEFAULT_SPACE_ID, pgcache_catalog_locate().owner);
		row->values[PGCACHE_SPACE_READERS] = make_roles(&everybody, 1);
		row->values[PGCACHE_SPACE_WRITERS] = make_roles(&everybody, 1);
	}
	else
		pgcache_space_missing(name);

	if (!has_privs_of_role(GetUserId(),
						   DatumGetObjectId(row->values[PGCACHE_SPACE_OWNER])))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of namespace \"%s\"", name)));
}

/* Makes the change visible to ourselves and closes the catalog. */
static void
close_catalog(Relation rel)
{
	pgcache_space_changed(rel);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

/* Takes roles that were dropped out of an array column. */
static void
forget_dropped(Row *row, int column)
{
	int			n;
	Oid		   *roles = pgcache_catalog_roles(row->values[column], &n);
	int			nleft = 0;

	for (int i = 0; i < n; i++)
		if (roles[i] == InvalidOid ||
			SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(roles[i])))
			roles[nleft++] = roles[i];
	row->values[column] = make_roles(roles, nleft);
}

/*
 * Nothing tells us that a role is dropped, and its OID may one day be another's,
 * so those left over go with the next change.
 */
static void
write_row(Row *row)
{
	HeapTuple	tuple;

	forget_dropped(row, PGCACHE_SPACE_READERS);
	forget_dropped(row, PGCACHE_SPACE_WRITERS);
	tuple = pgcache_catalog_form(row->rel, row->values, row->nulls);

	if (row->old == NULL)
		CatalogTupleInsert(row->rel, tuple);
	else
		CatalogTupleUpdate(row->rel, &row->old->t_self, tuple);
	CommandCounterIncrement();
}

static void
apply_options(Row *row, const PgCacheSpaceChange *change)
{
	for (int i = 0; i < PGCACHE_NOPTIONS; i++)
	{
		int			column = PGCACHE_SPACE_FIRST_OPTION + i;

		if (change->given[i])
		{
			row->values[column] = change->values[i];
			row->nulls[column] = false;
		}
		else if (change->reset[i])
			row->nulls[column] = true;
	}
}

/* ---- the changes ----------------------------------------------------------- */

void
pgcache_space_create(const char *name, const PgCacheSpaceChange *change)
{
	PgCacheCatalog catalog = pgcache_catalog_locate();
	Oid			sequence;
	Row			row;

	pgcache_space_check_name(strlen(name));
	check_change(change);
	if (PGCACHE_SCHEMA_ACLCHECK(catalog.schema, GetUserId(), ACL_CREATE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to create namespace \"%s\"", name),
				 errdetail("The privilege CREATE on schema \"%s\" is required.",
						   get_namespace_name(catalog.schema))));

	row.rel = pgcache_catalog_open(CHANGE_LOCK);
	if (strcmp(name, PGCACHE_DEFAULT_SPACE) == 0 ||
		pgcache_catalog_find(row.rel, name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("namespace \"%s\" already exists", name)));

	sequence = get_relname_relid("cache_namespaces_id_seq", catalog.schema);
	new_row(&row, name, (int32) nextval_internal(sequence, false), GetUserId());
	apply_options(&row, change);
	write_row(&row);
	check_quotas(&row, change);
	close_catalog(row.rel);
}

void
pgcache_space_alter(const char *name, const PgCacheSpaceChange *change)
{
	Row			row;

	pgcache_space_check_name(strlen(name));
	check_change(change);
	open_row(&row, name);
	apply_options(&row, change);
	write_row(&row);
	check_quotas(&row, change);
	close_catalog(row.rel);
}

void
pgcache_space_drop(const char *name)
{
	PgCacheSpaceKey key = {MyDatabaseId};
	Row			row;

	pgcache_space_check_name(strlen(name));
	open_row(&row, name);
	if (strcmp(name, PGCACHE_DEFAULT_SPACE) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop namespace \"%s\" because it is required by pg_cache",
						name)));

	key.catalog = RelationGetRelid(row.rel);
	key.id = DatumGetInt32(row.values[PGCACHE_SPACE_ID]);
	CatalogTupleDelete(row.rel, &row.old->t_self);
	pgcache_space_free_at_commit(&key);
	close_catalog(row.rel);
}

/* Adds a role to, or removes it from, the column of a privilege. */
static void
change_grant(const char *name, Oid role, int privilege, bool grant)
{
	int			column;
	Row			row;
	Oid		   *roles;
	Oid		   *changed;
	int			nroles;
	int			n = 0;

	column = privilege == PGCACHE_READ ? PGCACHE_SPACE_READERS : PGCACHE_SPACE_WRITERS;
	pgcache_space_check_name(strlen(name));
	open_row(&row, name);
	roles = pgcache_catalog_roles(row.values[column], &nroles);
	changed = palloc((nroles + 1) * sizeof(Oid));
	for (int i = 0; i < nroles; i++)
		if (roles[i] != role)
			changed[n++] = roles[i];
	if (grant)
		changed[n++] = role;

	row.values[column] = make_roles(changed, n);
	write_row(&row);
	close_catalog(row.rel);
}

void
pgcache_space_grant(const char *name, Oid role, int privilege)
{
	change_grant(name, role, privilege, true);
}

void
pgcache_space_revoke(const char *name, Oid role, int privilege)
{
	change_grant(name, role, privilege, false);
}
