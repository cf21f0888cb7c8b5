/*-------------------------------------------------------------------------
 *
 * watch.c
 *	  Start of the room: shared memory, hooks and callbacks.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "watch/watch_internal.h"

void
pgcache_watch_register(void)
{
	pgcache_shmem_register(&pgcache_baseline_part);
}

void
pgcache_watch_init(void)
{
	pgcache_ancestors_init();
	pgcache_changes_init();
	pgcache_seen_init();
	pgcache_statement_init();
	pgcache_hooks_init();
}
