/*-------------------------------------------------------------------------
 *
 * stats.c
 *	  What the views cache_stats and cache_stats_namespaces are made of, and
 *	  cache_reset_stats, which sets back what else is recorded as well.
 *
 * The functions give what was counted, in the order of PGCACHE_COUNTERS; the
 * views give it an order, and add totals and ratios.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "shmem/counters.h"
#include "shmem/shmem.h"
#include "space/space.h"
#include "space/store_part.h"
#include "stats/stats.h"

PG_FUNCTION_INFO_V1(pgcache_sql_stats);
PG_FUNCTION_INFO_V1(pgcache_sql_stats_namespaces);
PG_FUNCTION_INFO_V1(pgcache_sql_reset_stats);

/* Columns that both functions begin with: counters, then usage. */
#define USAGE_COLUMNS	7
#define COMMON_COLUMNS	(PGCACHE_NCOUNTERS + USAGE_COLUMNS)

/* Further columns of either. */
#define SERVER_COLUMNS	7
#define SPACE_COLUMNS	3

typedef struct Statistics
{
	uint64		counters[PGCACHE_NCOUNTERS];
	PgCacheUsage usage;
} Statistics;

/* Adds what a namespace has now. */
static void
add_usage(Statistics *sum, const PgCacheSpaceUse *space)
{
	PgCacheUsage usage;

	if (space->incarnation == 0)
		return;
	pgcache_store_usage(pgcache_store, space->slot, &usage);
	sum->usage.entries += usage.entries;
	sum->usage.key_bytes += usage.key_bytes;
	sum->usage.bytes += usage.bytes;
	sum->usage.stored_bytes += usage.stored_bytes;
	sum->usage.memory += usage.memory;
}

/* Sets what was counted. */
static void
set_counts(Statistics *sum, const PgCacheTally *tally)
{
	memcpy(sum->counters, tally->counters, sizeof(sum->counters));
	sum->usage.evictions = tally->evictions;
	sum->usage.background_evictions = tally->background_evictions;
	sum->usage.expirations = tally->expirations;
}

/* Fills the common columns. */
static void
fill_columns(const Statistics *sum, Datum *values)
{
	for (int i = 0; i < PGCACHE_NCOUNTERS; i++)
		*values++ = Int64GetDatum((int64) sum->counters[i]);
	*values++ = Int64GetDatum(sum->usage.evictions);
	*values++ = Int64GetDatum(sum->usage.background_evictions);
	*values++ = Int64GetDatum(sum->usage.expirations);
	*values++ = Int64GetDatum(sum->usage.entries);
	*values++ = Int64GetDatum(sum->usage.key_bytes);
	*values++ = Int64GetDatum(sum->usage.bytes);
	*values++ = Int64GetDatum(sum->usage.stored_bytes);
}

/*
 * All of this database's namespaces together, and the memory of the server.
 * What happened in namespaces dropped since counts as well.
 */
Datum
pgcache_sql_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[COMMON_COLUMNS + SERVER_COLUMNS];
	bool		nulls[COMMON_COLUMNS + SERVER_COLUMNS] = {false};
	Statistics	sum = {{0}};
	PgCacheTally tally;
	PgCacheMemory memory;
	PgCacheSpaceUse *spaces;
	int			n;
	int			i = COMMON_COLUMNS;

	pgcache_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	spaces = pgcache_space_list(&n);
	for (int s = 0; s < n; s++)
		add_usage(&sum, &spaces[s]);
	pgcache_space_tally(&tally);
	set_counts(&sum, &tally);
	pgcache_store_memory(pgcache_store, &memory);

	fill_columns(&sum, values);
	values[i++] = Int64GetDatum(memory.used);
	values[i++] = Int64GetDatum((int64) pgcache_memory_limit_bytes());
	values[i++] = Int64GetDatum(memory.index);
	values[i++] = Int64GetDatum(Max(memory.used - memory.index - memory.live, 0));
	values[i++] = Int64GetDatum(memory.entries);
	values[i++] = Int64GetDatum(memory.live + memory.buckets -
								memory.key_bytes - memory.stored_bytes);
	values[i++] = TimestampTzGetDatum(pgcache_space_reset_time());
	Assert(i == lengthof(values));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}

/*
 * A row for each namespace that the caller may read, or for a monitor all.  The
 * memory used is the namespace's, the limit is the one for all.
 */
Datum
pgcache_sql_stats_namespaces(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	PgCacheSpaceUse *spaces;
	bool		monitor;
	int			n;

	pgcache_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	monitor = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	spaces = pgcache_space_list(&n);
	for (int s = 0; s < n; s++)
	{
		Datum		values[COMMON_COLUMNS + SPACE_COLUMNS];
		bool		nulls[COMMON_COLUMNS + SPACE_COLUMNS] = {false};
		Statistics	sum = {{0}};
		PgCacheTally tally;
		int			i = COMMON_COLUMNS;

		if (!monitor && !spaces[s].readable)
			continue;
		add_usage(&sum, &spaces[s]);
		pgcache_space_counts(&spaces[s], &tally);
		set_counts(&sum, &tally);
		fill_columns(&sum, values);
		values[i++] = CStringGetTextDatum(spaces[s].name);
		values[i++] = Int64GetDatum(sum.usage.memory);
		values[i++] = Int64GetDatum((int64) pgcache_memory_limit_bytes());
		Assert(i == lengthof(values));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

Datum
pgcache_sql_reset_stats(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	pgcache_space_reset_tally();
	pgcache_latency_reset();
	pgcache_keys_reset();
	PG_RETURN_VOID();
}
