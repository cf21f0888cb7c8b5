/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  The tables cache_warmers and cache_warmer_runs.
 *
 * They are read and written by SPI as their owner, whose privileges no SQL of a
 * user's is executed with: nothing here calls a function or operator but
 * PostgreSQL's and the extension's own.  Who may do what is checked here.
 *
 * Locking: a change of cache_warmers locks it against other changes, so that two
 * who create one name meet.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "warm/warm_internal.h"

#define COLUMN_NAME(NAME, column, type)	#column,
static const char *const column_names[] = {
	PGCACHE_WARMER_COLUMNS(COLUMN_NAME)
};

#define COLUMN_TYPE(NAME, column, type)	type,
static const Oid column_types[] = {
	PGCACHE_WARMER_COLUMNS(COLUMN_TYPE)
};

/* ---- as the tables' owner --------------------------------------------------- */

typedef struct AsOwner
{
	Oid			user;
	int			context;
	char	   *schema;			/* quoted */
	MemoryContext caller;
} AsOwner;

Oid
pgcache_warm_table(void)
{
	Oid			schema = pgcache_space_schema();

	return OidIsValid(schema) ? get_relname_relid("cache_warmers", schema) : InvalidOid;
}

/* Raises an error if the extension is not there.  An error later undoes it. */
static void
begin_as_owner(AsOwner *as)
{
	Oid			table = pgcache_warm_table();
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" does not exist", "cache_warmers")));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);

	as->caller = CurrentMemoryContext;
	as->schema = pstrdup(quote_identifier(get_namespace_name(get_rel_namespace(table))));
	GetUserIdAndSecContext(&as->user, &as->context);
	SetUserIdAndSecContext(owner, as->context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

static void
end_as_owner(AsOwner *as)
{
	SPI_finish();
	SetUserIdAndSecContext(as->user, as->context);
	MemoryContextSwitchTo(as->caller);
}

/*
 * Executes an SQL statement.  The nth of args is $n, of that type, NULL where
 * nulls says so.
 */
static void
execute(const char *sql, int n, const Oid *types, const Datum *args,
		const bool *nulls, int expected)
{
	char	   *spi_nulls = palloc(n + 1);
	int			result;

	for (int i = 0; i < n; i++)
		spi_nulls[i] = nulls != NULL && nulls[i] ? 'n' : ' ';
	spi_nulls[n] = '\0';
	result = SPI_execute_with_args(sql, n, unconstify(Oid *, types),
								   unconstify(Datum *, args), spi_nulls, false, 0);
	if (result != expected)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(result));
}

/* A column of a row of the result, in the caller's memory. */
static Datum
take_column(const AsOwner *as, HeapTuple row, int column, bool *isnull)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;
	Form_pg_attribute attr = TupleDescAttr(desc, column);
	Datum		value = SPI_getbinval(row, desc, column + 1, isnull);
	MemoryContext old;

	if (*isnull)
		return (Datum) 0;
	old = MemoryContextSwitchTo(as->caller);
	value = attr->attlen == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(value)) :
		datumCopy(value, attr->attbyval, attr->attlen);
	MemoryContextSwitchTo(old);
	return value;
}

/* ---- cache_warmers ---------------------------------------------------------- */

static void
append_columns(StringInfo sql)
{
	for (int i = 0; i < PGCACHE_WARMER_NCOLUMNS; i++)
		appendStringInfo(sql, "%s%s", i > 0 ? ", " : "", column_names[i]);
}

static void
append_parameters(StringInfo sql)
{
	for (int i = 0; i < PGCACHE_WARMER_NCOLUMNS; i++)
		appendStringInfo(sql, "%s$%d", i > 0 ? ", " : "", i + 1);
}

static PgCacheWarmer *
take_warmer(const AsOwner *as, HeapTuple row)
{
	PgCacheWarmer *warmer = MemoryContextAllocZero(as->caller, sizeof(PgCacheWarmer));

	for (int i = 0; i < PGCACHE_WARMER_NCOLUMNS; i++)
		warmer->values[i] = take_column(as, row, i, &warmer->nulls[i]);
	return warmer;
}

List *
pgcache_warmers_read(const char *name)
{
	const Oid	type = TEXTOID;
	Datum		arg = name != NULL ? CStringGetTextDatum(name) : (Datum) 0;
	List	   *warmers = NIL;
	StringInfoData sql;
	AsOwner		as;

	begin_as_owner(&as);
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	append_columns(&sql);
	appendStringInfo(&sql, " FROM %s.cache_warmers%s", as.schema,
					 name != NULL ? " WHERE name OPERATOR(pg_catalog.=) $1" : "");
	execute(sql.data, name != NULL ? 1 : 0, &type, &arg, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		PgCacheWarmer *warmer = take_warmer(&as, SPI_tuptable->vals[i]);
		MemoryContext old = MemoryContextSwitchTo(as.caller);

		warmers = lappend(warmers, warmer);
		MemoryContextSwitchTo(old);
	}
	end_as_owner(&as);
	return warmers;
}

static PgCacheWarmer *
find_own(const char *name)
{
	List	   *found = pgcache_warmers_read(name);
	PgCacheWarmer *warmer;

	if (found == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("warmer \"%s\" does not exist", name)));
	warmer = linitial(found);
	if (!has_privs_of_role(GetUserId(),
						   DatumGetObjectId(warmer->values[PGCACHE_WARMER_OWNER])))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of warmer \"%s\"", name)));
	return warmer;
}

/* Admits readers, but no other changes. */
static void
lock_table(void)
{
	Oid			table = pgcache_warm_table();

	if (OidIsValid(table))
		LockRelationOid(table, ShareRowExclusiveLock);
}

/* What others changed before we had the lock must be seen. */
PgCacheWarmer *
pgcache_warmer_get(const char *name, bool for_change)
{
	PgCacheWarmer *warmer = find_own(name);

	if (!for_change)
		return warmer;
	lock_table();
	return find_own(name);
}

/*
 * Parses and analyses the query as its owner would, and keeps the search path by
 * which it means what it does.
 */
static void
take_query(PgCacheWarmer *warmer)
{
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(DatumGetObjectId(warmer->values[PGCACHE_WARMER_OWNER]),
						   context | SECURITY_RESTRICTED_OPERATION);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	(void) pgcache_warmer_prepare(WARMER_TEXT(warmer, QUERY));
	SPI_finish();
	SetUserIdAndSecContext(user, context);
	warmer->values[PGCACHE_WARMER_SEARCH_PATH] =
		CStringGetTextDatum(GetConfigOption("search_path", false, false));
	warmer->nulls[PGCACHE_WARMER_SEARCH_PATH] = false;
}

static void
write_warmer(const PgCacheWarmer *warmer, bool is_new)
{
	StringInfoData sql;
	AsOwner		as;

	begin_as_owner(&as);
	initStringInfo(&sql);
	appendStringInfo(&sql, is_new ? "INSERT INTO %s.cache_warmers (" :
					 "UPDATE %s.cache_warmers SET (", as.schema);
	append_columns(&sql);
	appendStringInfoString(&sql, is_new ? ") VALUES (" : ") = ROW(");
	append_parameters(&sql);
	appendStringInfoString(&sql, is_new ? ")" : ") WHERE name OPERATOR(pg_catalog.=) $1");
	execute(sql.data, PGCACHE_WARMER_NCOLUMNS, column_types, warmer->values,
			warmer->nulls, is_new ? SPI_OK_INSERT : SPI_OK_UPDATE);
	end_as_owner(&as);
}

/* Who changes a warmer knows whose it is now. */
static void
take_owner_name(PgCacheWarmer *warmer)
{
	Oid			owner = DatumGetObjectId(warmer->values[PGCACHE_WARMER_OWNER]);
	char	   *name = GetUserNameFromId(owner, true);

	if (name == NULL)
		return;
	warmer->values[PGCACHE_WARMER_OWNER_NAME] = CStringGetTextDatum(name);
	warmer->nulls[PGCACHE_WARMER_OWNER_NAME] = false;
}

void
pgcache_warmer_create(PgCacheWarmer *warmer)
{
	warmer->values[PGCACHE_WARMER_OWNER] = ObjectIdGetDatum(GetUserId());
	warmer->nulls[PGCACHE_WARMER_OWNER] = false;
	take_owner_name(warmer);

	/* To be compared with the server's start, which is by the real clock. */
	warmer->values[PGCACHE_WARMER_CREATED_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	warmer->nulls[PGCACHE_WARMER_CREATED_AT] = false;
	pgcache_warmer_check(warmer, true);
	take_query(warmer);

	lock_table();
	if (pgcache_warmers_read(WARMER_TEXT(warmer, NAME)) != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("warmer \"%s\" already exists", WARMER_TEXT(warmer, NAME))));
	write_warmer(warmer, true);
}

void
pgcache_warmer_alter(PgCacheWarmer *warmer, bool with_query)
{
	/* Who has lost what a warmer needs can still have it disabled. */
	pgcache_warmer_check(warmer,
						 DatumGetBool(warmer->values[PGCACHE_WARMER_ENABLED]));
	take_owner_name(warmer);
	if (with_query)
		take_query(warmer);
	write_warmer(warmer, false);
}

void
pgcache_warmer_drop(const char *name)
{
	const Oid	type = TEXTOID;
	Datum		arg = CStringGetTextDatum(name);
	AsOwner		as;

	(void) pgcache_warmer_get(name, true);
	begin_as_owner(&as);
	execute(psprintf("DELETE FROM %s.cache_warmers WHERE name OPERATOR(pg_catalog.=) $1",
					 as.schema), 1, &type, &arg, NULL, SPI_OK_DELETE);
	end_as_owner(&as);
}

/* ---- cache_warmer_runs ------------------------------------------------------ */

int64
pgcache_warm_log_start(const PgCacheRun *run)
{
	const Oid	types[] = {TEXTOID, REGROLEOID, TIMESTAMPTZOID, INT4OID, TEXTOID, TIMESTAMPTZOID};
	Datum		args[] = {
		CStringGetTextDatum(run->name), ObjectIdGetDatum(run->owner),
		TimestampTzGetDatum(run->started), Int32GetDatum(run->attempt),
		CStringGetTextDatum(run->reason), TimestampTzGetDatum(pgcache_runs_epoch())
	};
	AsOwner		as;
	bool		isnull;
	int64		id;

	begin_as_owner(&as);
	execute(psprintf("SELECT %s.cache_warmer_run_start($1, $2, $3, $4, $5, $6)", as.schema),
			lengthof(types), types, args, NULL, SPI_OK_SELECT);
	id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	end_as_owner(&as);
	return id;
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text[0] == '\0';

	return *isnull ? (Datum) 0 : CStringGetTextDatum(text);
}

void
pgcache_warm_log_end(const PgCacheRun *run)
{
	const Oid	types[] = {
		INT8OID, TEXTOID, REGROLEOID, TIMESTAMPTZOID, INT4OID, TEXTOID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, INT8OID, INT8OID, TEXTOID, TEXTOID, TEXTOID, BOOLOID
	};
	bool		nulls[lengthof(types)] = {0};
	Datum		args[lengthof(types)] = {
		Int64GetDatum(run->id), CStringGetTextDatum(run->name),
		ObjectIdGetDatum(run->owner), TimestampTzGetDatum(run->started),
		Int32GetDatum(run->attempt), CStringGetTextDatum(run->reason),
		TimestampTzGetDatum(pgcache_runs_epoch()), TimestampTzGetDatum(run->ended),
		Int64GetDatum(run->rows), Int64GetDatum(run->bytes)
	};
	AsOwner		as;

	args[10] = text_or_null(run->failed ? run->sqlstate : "", &nulls[10]);
	args[11] = text_or_null(run->failed ? run->error : "", &nulls[11]);
	args[12] = text_or_null(run->note, &nulls[12]);
	args[13] = BoolGetDatum(run->failed && !run->unwanted);
	begin_as_owner(&as);
	execute(psprintf("SELECT %s.cache_warmer_run_end($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
					 as.schema),
			lengthof(types), types, args, nulls, SPI_OK_SELECT);
	end_as_owner(&as);
}

void
pgcache_warm_log_close(const int64 *running, int n)
{
	const Oid	type = INT8ARRAYOID;
	Datum	   *ids = palloc(Max(n, 1) * sizeof(Datum));
	Datum		arg;
	AsOwner		as;

	for (int i = 0; i < n; i++)
		ids[i] = Int64GetDatum(running[i]);
	arg = PointerGetDatum(construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
										  TYPALIGN_DOUBLE));
	begin_as_owner(&as);
	execute(psprintf("SELECT %s.cache_warmer_runs_close($1)", as.schema),
			1, &type, &arg, NULL, SPI_OK_SELECT);
	end_as_owner(&as);
}

void
pgcache_warm_log_trim(void)
{
	AsOwner		as;

	begin_as_owner(&as);
	execute(psprintf("SELECT %s.cache_warmer_runs_trim()", as.schema),
			0, NULL, NULL, NULL, SPI_OK_SELECT);
	end_as_owner(&as);
}

List *
pgcache_warm_log_past(void)
{
	const Oid	type = TIMESTAMPTZOID;
	Datum		arg = TimestampTzGetDatum(pgcache_runs_epoch());
	List	   *result = NIL;
	AsOwner		as;

	begin_as_owner(&as);
	execute(psprintf("SELECT name, last_start, last_end, attempt, again, at_start FROM %s.cache_warmer_runs_past($1)",
					 as.schema), 1, &type, &arg, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		PgCacheWarmPast *past = MemoryContextAlloc(as.caller, sizeof(PgCacheWarmPast));
		HeapTuple	row = SPI_tuptable->vals[i];
		bool		isnull;
		MemoryContext old = MemoryContextSwitchTo(as.caller);

		past->name = TextDatumGetCString(take_column(&as, row, 0, &isnull));
		past->last_start = DatumGetTimestampTz(take_column(&as, row, 1, &isnull));
		past->last_end = DatumGetTimestampTz(take_column(&as, row, 2, &isnull));
		if (isnull)
			past->last_end = DT_NOEND;
		past->attempt = DatumGetInt32(take_column(&as, row, 3, &isnull));
		past->again = DatumGetBool(take_column(&as, row, 4, &isnull));
		past->at_start = DatumGetBool(take_column(&as, row, 5, &isnull));
		result = lappend(result, past);
		MemoryContextSwitchTo(old);
	}
	end_as_owner(&as);
	return result;
}
