/*-------------------------------------------------------------------------
 *
 * warmers.c
 *	  cache_create_warmer and the other functions for warmers.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "shmem/shmem.h"
#include "sqlapi/args.h"
#include "warm/warm.h"

PG_FUNCTION_INFO_V1(pgcache_sql_create_warmer);
PG_FUNCTION_INFO_V1(pgcache_sql_alter_warmer);
PG_FUNCTION_INFO_V1(pgcache_sql_drop_warmer);
PG_FUNCTION_INFO_V1(pgcache_sql_run_warmer);
PG_FUNCTION_INFO_V1(pgcache_sql_warmer_progress);

/* Arguments of create and alter: the name, the options, for alter the reset. */
#define ARG_RESET (PGCACHE_WARMER_LAST_OPTION + 1)

static char *
get_name(FunctionCallInfo fcinfo)
{
	return text_to_cstring(pgcache_args_text(fcinfo, 0, "warmer"));
}

/* Takes the options that are given; whether the query is one of them. */
static bool
take_options(FunctionCallInfo fcinfo, PgCacheWarmer *warmer)
{
	for (int i = PGCACHE_WARMER_FIRST_OPTION; i <= PGCACHE_WARMER_LAST_OPTION; i++)
	{
		if (PG_ARGISNULL(i))
			continue;
		warmer->values[i] = PG_GETARG_DATUM(i);
		warmer->nulls[i] = false;
	}
	return !PG_ARGISNULL(PGCACHE_WARMER_QUERY);
}

/* Sets the options that are named in the array to their defaults. */
static void
reset_options(FunctionCallInfo fcinfo, PgCacheWarmer *warmer)
{
	int		   *options;
	int			n = pgcache_args_options(fcinfo, ARG_RESET, pgcache_warmer_option,
										 "warmer", &options);

	for (int i = 0; i < n; i++)
	{
		const char *name = pgcache_warmer_option_name(options[i]);
		int			option = options[i];

		if (!PG_ARGISNULL(option))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s cannot be both set and reset", name)));
		if (!pgcache_warmer_default(warmer, option))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s has no default", name)));
	}
}

Datum
pgcache_sql_create_warmer(PG_FUNCTION_ARGS)
{
	PgCacheWarmer warmer;

	pgcache_args_require_writable("cache_create_warmer()");
	memset(&warmer, 0, sizeof(warmer));
	warmer.values[PGCACHE_WARMER_NAME] = PointerGetDatum(pgcache_args_text(fcinfo, 0, "warmer"));
	(void) pgcache_args_text(fcinfo, PGCACHE_WARMER_QUERY, "query");
	(void) pgcache_args_text(fcinfo, PGCACHE_WARMER_SCHEDULE, "schedule");
	(void) pgcache_args_text(fcinfo, PGCACHE_WARMER_NAMESPACE, "namespace");
	for (int i = PGCACHE_WARMER_FIRST_OPTION; i <= PGCACHE_WARMER_LAST_OPTION; i++)
		(void) pgcache_warmer_default(&warmer, i);
	(void) take_options(fcinfo, &warmer);
	pgcache_warmer_create(&warmer);
	PG_RETURN_VOID();
}

Datum
pgcache_sql_alter_warmer(PG_FUNCTION_ARGS)
{
	PgCacheWarmer *warmer;
	bool		with_query;

	pgcache_args_require_writable("cache_alter_warmer()");
	warmer = pgcache_warmer_get(get_name(fcinfo), true);
	reset_options(fcinfo, warmer);
	with_query = take_options(fcinfo, warmer);
	pgcache_warmer_alter(warmer, with_query);
	PG_RETURN_VOID();
}

Datum
pgcache_sql_drop_warmer(PG_FUNCTION_ARGS)
{
	pgcache_args_require_writable("cache_drop_warmer()");
	pgcache_warmer_drop(get_name(fcinfo));
	PG_RETURN_VOID();
}

Datum
pgcache_sql_run_warmer(PG_FUNCTION_ARGS)
{
	pgcache_args_require_writable("cache_run_warmer()");
	PG_RETURN_INT64(pgcache_warmer_run_now(pgcache_warmer_get(get_name(fcinfo), false)));
}

/* The runs of warmers whose owner the caller is a member of. */
Datum
pgcache_sql_warmer_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		all;
	PgCacheWarmerProgress *runs;
	int			n;

	pgcache_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	all = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	runs = pgcache_warmer_progress(&n);
	for (int i = 0; i < n; i++)
	{
		const PgCacheWarmerProgress *run = &runs[i];
		Datum		values[6] = {
			CStringGetTextDatum(run->name), Int32GetDatum(run->pid),
			TimestampTzGetDatum(run->started_at), Int32GetDatum(run->attempt),
			Int64GetDatum(run->rows), Int64GetDatum(run->bytes)
		};
		bool		nulls[6] = {false, run->pid == 0};

		if (all || has_privs_of_role(GetUserId(), run->owner))
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
