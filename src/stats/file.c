/*-------------------------------------------------------------------------
 *
 * file.c
 *	  What is recorded survives a clean restart.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "stats/stats_internal.h"

void
pgcache_stats_register(void)
{
	pgcache_latency_register();
	pgcache_keys_register();
}
