/*-------------------------------------------------------------------------
 *
 * pg_cache.c
 *	  Module start: settings, shared memory, hooks.
 *
 * src/README.md is the map of the rooms.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "base/settings.h"
#include "shmem/counters.h"
#include "shmem/debug_point.h"
#include "shmem/shmem.h"
#include "shmem/workers.h"
#include "space/space.h"
#include "space/store_part.h"
#include "stamp/predicate.h"
#include "stamp/stamp.h"
#include "stats/stats.h"
#include "trigger/trigger.h"
#include "txn/txn.h"
#include "value/value.h"
#include "watch/watch.h"
#include "warm/warm.h"
#include "worker/pressure.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	/*
	 * Without shared memory there is nothing to do; every function says so
	 * when it is called.
	 */
	if (!process_shared_preload_libraries_in_progress)
		return;

	pgcache_settings_init();
	pgcache_counters_register();
	pgcache_store_part_register();
	pgcache_space_register();
	pgcache_stamp_register();
	pgcache_predicate_register();
	pgcache_watch_register();
	pgcache_warm_register();
	pgcache_workers_register();
	pgcache_pressure_register();
	pgcache_stats_register();
#ifdef PGCACHE_TEST
	pgcache_debug_register();
#endif
	pgcache_shmem_init();
	pgcache_value_init();
	pgcache_space_init();

	/*
	 * Callbacks registered later run earlier.  At the end of a transaction:
	 * triggers add to its changes; the tables that it changed are published;
	 * then its changes are published and stored; last, namespaces let go.
	 */
	pgcache_txn_init();
	pgcache_watch_init();
	pgcache_trigger_init();
	pgcache_worker_init();
}
