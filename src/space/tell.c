/*-------------------------------------------------------------------------
 *
 * tell.c
 *	  Tells a database's worker that a table which it works by has changed.
 *
 * The relcache invalidation makes it read the table again, its latch makes it do
 * so at once.  The latch is set after the invalidation has been sent, which is
 * when the transaction's locks are released: later than the callbacks at commit.
 *
 * Locking: that of pgcache_workers_wake.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/resowner.h"

#include "shmem/workers.h"
#include "space/space_internal.h"

/* Whether this transaction has news for the worker. */
static bool has_news = false;

/* A subtransaction that is rolled back may have been the only one: no matter. */
static void
on_release(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level || !has_news)
		return;
	has_news = false;
	if (is_commit)
		pgcache_workers_wake(MyDatabaseId);
}

void
pgcache_space_tell_worker(Relation table)
{
	CacheInvalidateRelcache(table);
	has_news = true;
}

void
pgcache_tell_init(void)
{
	RegisterResourceReleaseCallback(on_release, NULL);
}
