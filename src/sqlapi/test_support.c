/*-------------------------------------------------------------------------
 *
 * test_support.c
 *	  Functions by which tests stop backends, set the clock and get broken
 *	  values.
 *
 * In test builds only; the extension's script does not define them.  A test
 * reads test/test_functions.sql for that.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef PGCACHE_TEST

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/interval.h"
#include "shmem/debug_point.h"
#include "shmem/shmem.h"
#include "shmem/workers.h"
#include "worker/pressure.h"

PG_FUNCTION_INFO_V1(pgcache_test_arm);
PG_FUNCTION_INFO_V1(pgcache_test_disarm);
PG_FUNCTION_INFO_V1(pgcache_test_reached);
PG_FUNCTION_INFO_V1(pgcache_test_set_clock);
PG_FUNCTION_INFO_V1(pgcache_test_advance_clock);
PG_FUNCTION_INFO_V1(pgcache_test_age_statement);
PG_FUNCTION_INFO_V1(pgcache_test_pressure);
PG_FUNCTION_INFO_V1(pgcache_test_raw_row);

Datum
pgcache_test_arm(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	pgcache_debug_arm(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

Datum
pgcache_test_disarm(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	pgcache_debug_disarm(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

Datum
pgcache_test_reached(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	PG_RETURN_INT32(pgcache_debug_reached(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/* An interval of zero or less puts the real clock back. */
/* An interval in microseconds; may be negative. */
static int64
usec_of(Datum interval)
{
	int64		usec;

	if (pgcache_interval_usec(DatumGetIntervalP(interval), &usec))
		return usec;
	interval = DirectFunctionCall1(interval_um, interval);
	(void) pgcache_interval_usec(DatumGetIntervalP(interval), &usec);
	return -usec;
}

Datum
pgcache_test_set_clock(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	*pgcache_clock_offset = usec_of(PG_GETARG_DATUM(0));
	pgcache_workers_wake_all();
	PG_RETURN_VOID();
}

Datum
pgcache_test_advance_clock(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	*pgcache_clock_offset += usec_of(PG_GETARG_DATUM(0));
	pgcache_workers_wake_all();
	PG_RETURN_VOID();
}

/* Makes the client's present statement one that began so much earlier. */
Datum
pgcache_test_age_statement(PG_FUNCTION_ARGS)
{
	int64		usec;

	(void) pgcache_interval_usec(PG_GETARG_INTERVAL_P(0), &usec);
	pgcache_clock_age_statement(usec);
	PG_RETURN_VOID();
}

/* Files that the launcher reads instead of its control group's; '': that again. */
Datum
pgcache_test_pressure(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	pgcache_pressure_look_at(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	pgcache_workers_wake_all();
	PG_RETURN_VOID();
}

/*
 * The first row of the table whose row type the argument has, as it lies there:
 * as a function gives it that forgets to fetch what is out of line.
 */
Datum
pgcache_test_raw_row(PG_FUNCTION_ARGS)
{
	Oid			typid = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Relation	rel = table_open(get_typ_typrelid(typid), AccessShareLock);
	TableScanDesc scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	HeapTuple	row = heap_getnext(scan, ForwardScanDirection);
	HeapTupleHeader result = palloc(row->t_len);

	memcpy(result, row->t_data, row->t_len);
	HeapTupleHeaderSetDatumLength(result, row->t_len);
	HeapTupleHeaderSetTypeId(result, typid);
	HeapTupleHeaderSetTypMod(result, -1);
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	return PointerGetDatum(result);
}

#endif							/* PGCACHE_TEST */
