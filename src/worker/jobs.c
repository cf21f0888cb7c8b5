/*-------------------------------------------------------------------------
 *
 * jobs.c
 *	  The table of what a database's worker does.
 *
 * In the order in which they run when several are due.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "stats/stats.h"
#include "trigger/file.h"
#include "warm/warm.h"
#include "worker/worker_internal.h"

static void
run_learning(void)
{
	(void) pgcache_worker_call("f", "cache_learn", NULL);
	pgcache_learn_done();
}

const PgCacheJob pgcache_jobs[] = {
	{"watched files", true, pgcache_file_due, pgcache_file_run},
	{"warmers", false, pgcache_warm_due, pgcache_warm_run},
	{"learning", false, pgcache_learn_due, run_learning},
	{"history", false, pgcache_history_due, pgcache_history_run},
	{"alerts", false, pgcache_alerts_due, pgcache_alerts_run}
};
const int	pgcache_njobs = lengthof(pgcache_jobs);
