/*-------------------------------------------------------------------------
 *
 * check.c
 *	  cache_check: the faults found in shared memory.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "shmem/shmem.h"
#include "space/store_part.h"

PG_FUNCTION_INFO_V1(pgcache_sql_check);

/* Called with no lock held. */
static void
add_fault(void *arg, const char *fault)
{
	ReturnSetInfo *rsinfo = arg;
	Datum		value = CStringGetTextDatum(fault);
	bool		isnull = false;

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
}

/* Superusers only, even where EXECUTE was granted: it takes every lock. */
Datum
pgcache_sql_check(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to check the cache")));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	pgcache_store_check(pgcache_store, add_fault, fcinfo->resultinfo);
	return (Datum) 0;
}
