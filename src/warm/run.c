/*-------------------------------------------------------------------------
 *
 * run.c
 *	  One run of a warmer, in whatever session.
 *
 * The query is executed by the present role, its rows are fetched by a cursor, some
 * megabytes at a time, and put by cache_put: the SQL function, as a user would call
 * it, since what it does lies in a room above.  All is one transaction: others see
 * all of it or nothing.
 *
 * Locking: none of its own.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "stats/stats.h"
#include "warm/warm_internal.h"

/* Bytes that are fetched at a time, about, and rows at the most. */
#define BATCH_BYTES	(4 * 1024 * 1024)
#define BATCH_ROWS	1000
#define FIRST_ROWS	50

/* Arguments of cache_put. */
#define PUT_NARGS	8

/* A run. */
typedef struct Run
{
	PgCacheRunCount *count;
	FmgrInfo	key_out;		/* unless the key is a text */
	bool		key_is_text;
	int16		value_len;		/* typlen of the values */
	FmgrInfo	put;
	MemoryContext row_context;
	const PgCacheWarmer *warmer;
} Run;

static Oid
find_put(void)
{
	Oid			types[PUT_NARGS] = {
		TEXTOID, ANYELEMENTOID, INTERVALOID, TEXTARRAYOID, TEXTOID, INT4OID,
		REGCLASSARRAYOID, TEXTOID
	};
	Oid			put = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
									  CStringGetDatum("cache_put"),
									  PointerGetDatum(buildoidvector(types, PUT_NARGS)),
									  ObjectIdGetDatum(pgcache_space_schema()));

	if (!OidIsValid(put))
		elog(ERROR, "function cache_put is missing");
	return put;
}

/* Makes cache_put see a call with values of that type. */
static void
prepare_put(Run *run, Oid value_type)
{
	Oid			put = find_put();
	List	   *args = list_make2(makeNullConst(TEXTOID, -1, InvalidOid),
								  makeNullConst(value_type, -1, InvalidOid));

	fmgr_info(put, &run->put);
	fmgr_info_set_expr((Node *) makeFuncExpr(put, VOIDOID, args, InvalidOid, InvalidOid,
											 COERCE_EXPLICIT_CALL), &run->put);
}

static void
prepare_run(Run *run, TupleDesc desc)
{
	Oid			key_type = TupleDescAttr(desc, 0)->atttypid;
	Oid			key_out;
	bool		is_varlena;

	if (desc->natts != 2)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("query of a warmer must have two columns, the key and the value"),
				 errdetail("It has %d.", desc->natts)));
	run->key_is_text = key_type == TEXTOID;
	getTypeOutputInfo(key_type, &key_out, &is_varlena);
	fmgr_info(key_out, &run->key_out);
	run->value_len = TupleDescAttr(desc, 1)->attlen;
	prepare_put(run, TupleDescAttr(desc, 1)->atttypid);
	run->row_context = AllocSetContextCreate(CurrentMemoryContext, "pg_cache warmer row",
											 ALLOCSET_DEFAULT_SIZES);
}

static Size
bytes_of(const Run *run, Datum value, bool isnull)
{
	if (isnull)
		return 0;
	if (run->value_len > 0)
		return run->value_len;
	if (run->value_len == -1)
		return toast_raw_datum_size(value) - VARHDRSZ;
	return strlen(DatumGetCString(value));
}

static inline void
set_arg(FunctionCallInfo fcinfo, int n, Datum value, bool isnull)
{
	fcinfo->args[n].value = value;
	fcinfo->args[n].isnull = isnull;
}

static void
put_row(Run *run, TupleDesc desc, HeapTuple row)
{
	LOCAL_FCINFO(fcinfo, PUT_NARGS);
	const PgCacheWarmer *warmer = run->warmer;
	MemoryContext old = MemoryContextSwitchTo(run->row_context);
	bool		isnull;
	bool		value_isnull;
	Datum		key = SPI_getbinval(row, desc, 1, &isnull);
	Datum		value = SPI_getbinval(row, desc, 2, &value_isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", "key")));
	if (!run->key_is_text)
		key = CStringGetTextDatum(OutputFunctionCall(&run->key_out, key));

	InitFunctionCallInfoData(*fcinfo, &run->put, PUT_NARGS, InvalidOid, NULL, NULL);
	set_arg(fcinfo, 0, key, false);
	set_arg(fcinfo, 1, value, value_isnull);
	set_arg(fcinfo, 2, warmer->values[PGCACHE_WARMER_TTL],
			warmer->nulls[PGCACHE_WARMER_TTL]);
	set_arg(fcinfo, 3, warmer->values[PGCACHE_WARMER_TAGS],
			warmer->nulls[PGCACHE_WARMER_TAGS]);
	set_arg(fcinfo, 4, warmer->values[PGCACHE_WARMER_NAMESPACE], false);
	set_arg(fcinfo, 5, Int32GetDatum(0), false);
	set_arg(fcinfo, 6, (Datum) 0, true);
	set_arg(fcinfo, 7, (Datum) 0, true);
	(void) FunctionCallInvoke(fcinfo);

	/* Nobody else writes them. */
	pg_atomic_write_u64(&run->count->rows, pg_atomic_read_u64(&run->count->rows) + 1);
	pg_atomic_write_u64(&run->count->bytes, pg_atomic_read_u64(&run->count->bytes) +
						toast_raw_datum_size(key) - VARHDRSZ +
						bytes_of(run, value, value_isnull));
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->row_context);
}

/* How many rows to fetch next, by the size of those before. */
static uint64
next_batch(const Run *run)
{
	uint64		rows = pg_atomic_read_u64(&run->count->rows);
	uint64		bytes = pg_atomic_read_u64(&run->count->bytes);

	if (rows == 0)
		return FIRST_ROWS;
	return Max(Min(BATCH_BYTES / (bytes / rows + 1), BATCH_ROWS), 1);
}

/* Puts all rows, or max_rows of them; whether there were more. */
static bool
put_rows(Run *run, Portal portal, uint64 max_rows)
{
	for (;;)
	{
		uint64		n;

		SPI_cursor_fetch(portal, true, next_batch(run));
		n = SPI_processed;
		for (uint64 i = 0; i < n; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (pg_atomic_read_u64(&run->count->rows) == max_rows)
				return true;
			put_row(run, SPI_tuptable->tupdesc, SPI_tuptable->vals[i]);
		}
		SPI_freetuptable(SPI_tuptable);
		if (n == 0)
			return false;
	}
}

/* Adds to an error in what it was raised. */
static void
add_context(void *arg)
{
	errcontext("warmer \"%s\"", (const char *) arg);
}

/*
 * Makes names mean what they did when the query was written: tables of the session's
 * own come last.
 */
static void
set_search_path(const PgCacheWarmer *warmer)
{
	char	   *path = WARMER_TEXT(warmer, SEARCH_PATH);

	if (strstr(path, "pg_temp") == NULL)
		path = psprintf("%s%spg_temp", path, path[0] != '\0' ? ", " : "");
	(void) set_config_option("search_path", path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
pgcache_warm_execute(const PgCacheWarmer *warmer, PgCacheRunCount *count, bool *capped)
{
	ErrorContextCallback callback = {
		error_context_stack, add_context, WARMER_TEXT(warmer, NAME)
	};
	Run			run = {.count = count,.warmer = warmer};
	int			nest;
	SPIPlanPtr	plan;
	Portal		portal;
	PgCacheTimer timer;

	pgcache_timer_begin(&timer);
	error_context_stack = &callback;
	nest = NewGUCNestLevel();
	set_search_path(warmer);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	plan = pgcache_warmer_prepare(WARMER_TEXT(warmer, QUERY));

	/* Read-only, so that all is read by the snapshot that is active. */
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	prepare_run(&run, portal->tupDesc);
	*capped = put_rows(&run, portal, DatumGetInt64(warmer->values[PGCACHE_WARMER_MAX_ROWS]));
	SPI_cursor_close(portal);
	SPI_finish();
	AtEOXact_GUC(false, nest);
	error_context_stack = callback.previous;
	pgcache_timer_end(&timer, PGCACHE_OPERATION_WARM, 1);
}

const char *
pgcache_warm_cap_note(const PgCacheWarmer *warmer)
{
	return psprintf("stopped at max_rows, " INT64_FORMAT,
					DatumGetInt64(warmer->values[PGCACHE_WARMER_MAX_ROWS]));
}

/* ---- by hand ---------------------------------------------------------------- */

typedef struct Claim
{
	int			slot;
	uint64		number;
} Claim;

static void
release_claim(int code, Datum arg)
{
	const Claim *claim = (const Claim *) DatumGetPointer(arg);

	pgcache_runs_free(claim->slot, claim->number);
}

/*
 * As REFRESH MATERIALIZED VIEW does: the query may be somebody else's, and is
 * executed with his privileges and none of the caller's.
 */
static void
run_as_owner(const PgCacheWarmer *warmer, PgCacheRun *run, int slot)
{
	PgCacheRunCount *count = pgcache_runs_count(slot);
	Oid			user;
	int			context;
	int			nest = NewGUCNestLevel();
	bool		capped;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(run->owner, context | SECURITY_RESTRICTED_OPERATION);
	pgcache_warm_execute(warmer, count, &capped);
	AtEOXact_GUC(false, nest);
	SetUserIdAndSecContext(user, context);

	if (capped)
		strlcpy(run->note, pgcache_warm_cap_note(warmer), sizeof(run->note));
	run->rows = pg_atomic_read_u64(&count->rows);
	run->bytes = pg_atomic_read_u64(&count->bytes);
	run->ended = pgcache_clock_now();
	pgcache_warm_log_end(run);
}

int64
pgcache_warmer_run_now(const PgCacheWarmer *warmer)
{
	PgCacheRun	run = {.by_hand = true,.attempt = 1,.reason = "manual"};
	const char *fault = pgcache_warmer_owner_fault(warmer);
	Claim		claim;

	strlcpy(run.name, WARMER_TEXT(warmer, NAME), sizeof(run.name));
	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("warmer \"%s\" cannot be run", run.name),
				 errdetail_internal("It is not known whom it belongs to: %s.", fault),
				 errhint("Use cache_alter_warmer() if it is still the same role, else cache_drop_warmer().")));
	run.owner = DatumGetObjectId(warmer->values[PGCACHE_WARMER_OWNER]);
	run.started = pgcache_clock_now();
	claim.slot = pgcache_runs_claim(&run);
	claim.number = run.number;
	if (claim.slot == PGCACHE_RUN_IS_RUNNING)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("warmer \"%s\" is running already", run.name),
				 errhint("The view cache_warmer_progress shows the runs under way.")));
	if (claim.slot < 0)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many warmers are running")));

	PG_ENSURE_ERROR_CLEANUP(release_claim, PointerGetDatum(&claim));
	{
		run_as_owner(warmer, &run, claim.slot);
	}
	PG_END_ENSURE_ERROR_CLEANUP(release_claim, PointerGetDatum(&claim));
	release_claim(0, PointerGetDatum(&claim));
	return run.rows;
}
