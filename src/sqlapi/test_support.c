/*-------------------------------------------------------------------------
 *
 * test_support.c
 *	  Functions by which tests stop backends and set the clock.
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

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/interval.h"
#include "shmem/debug_point.h"
#include "shmem/shmem.h"

PG_FUNCTION_INFO_V1(pgcache_test_arm);
PG_FUNCTION_INFO_V1(pgcache_test_disarm);
PG_FUNCTION_INFO_V1(pgcache_test_reached);
PG_FUNCTION_INFO_V1(pgcache_test_set_clock);
PG_FUNCTION_INFO_V1(pgcache_test_advance_clock);

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
Datum
pgcache_test_set_clock(PG_FUNCTION_ARGS)
{
	int64		usec;

	pgcache_shmem_require();
	(void) pgcache_interval_usec(PG_GETARG_INTERVAL_P(0), &usec);
	*pgcache_clock_offset = usec;
	PG_RETURN_VOID();
}

Datum
pgcache_test_advance_clock(PG_FUNCTION_ARGS)
{
	int64		usec;

	pgcache_shmem_require();
	(void) pgcache_interval_usec(PG_GETARG_INTERVAL_P(0), &usec);
	*pgcache_clock_offset += usec;
	PG_RETURN_VOID();
}

#endif							/* PGCACHE_TEST */
