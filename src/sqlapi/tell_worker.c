/*-------------------------------------------------------------------------
 *
 * tell_worker.c
 *	  cache_tell_worker(): trigger on the tables that a worker works by.
 *
 * So that pg_restore's COPY and what the tables' owner does to them directly are
 * heeded as what our functions do.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"

#include "shmem/shmem.h"
#include "sqlapi/args.h"

PG_FUNCTION_INFO_V1(pgcache_sql_tell_worker);

/* Loaded by pg_restore into a server that does not preload us, there is no worker. */
Datum
pgcache_sql_tell_worker(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = pgcache_args_trigger(fcinfo);

	if (pgcache_shmem_ready)
		pgcache_space_tell_worker(trigger->tg_relation);
	return PointerGetDatum(NULL);
}
