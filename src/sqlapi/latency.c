/*-------------------------------------------------------------------------
 *
 * latency.c
 *	  What the view cache_latency is made of.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "shmem/shmem.h"
#include "stats/stats.h"

PG_FUNCTION_INFO_V1(pgcache_sql_latency);

#define LATENCY_COLUMNS 6

#define OPERATION_NAME(NAME, name)	#name,
static const char *const operation_names[] = {
	PGCACHE_OPERATIONS(OPERATION_NAME)
};

/* A row for each operation; one that never happened has no times. */
Datum
pgcache_sql_latency(PG_FUNCTION_ARGS)
{
	static const double shares[] = {0.5, 0.95, 0.99};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	pgcache_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	for (int o = 0; o < PGCACHE_NOPERATIONS; o++)
	{
		Datum		values[LATENCY_COLUMNS];
		bool		nulls[LATENCY_COLUMNS] = {false};
		PgCacheHistogram h;
		uint64		calls;
		int			i = 0;

		pgcache_latency_read(o, &h);
		calls = pgcache_histogram_calls(&h);
		values[i++] = CStringGetTextDatum(operation_names[o]);
		values[i++] = Int64GetDatum((int64) calls);
		for (int s = 0; s < lengthof(shares); s++)
		{
			nulls[i] = calls == 0;
			values[i++] = Float8GetDatum(pgcache_histogram_percentile(&h, shares[s]) /
										 1000);
		}
		nulls[i] = calls == 0;
		values[i++] = Float8GetDatum((double) h.max / 1000);
		Assert(i == LATENCY_COLUMNS);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
