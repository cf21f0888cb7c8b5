/*-------------------------------------------------------------------------
 *
 * tell.c
 *	  Who wants to know that a table has changed, and telling a database's worker.
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

/* ---- messages ------------------------------------------------------------------ */

#define MAX_CALLBACKS	8

static RelcacheCallbackFunction callbacks[MAX_CALLBACKS];
static int	ncallbacks = 0;

static void
call_all(Datum arg, Oid relation)
{
	for (int i = 0; i < ncallbacks; i++)
		callbacks[i] (arg, relation);
}

void
pgcache_space_on_relcache(RelcacheCallbackFunction callback)
{
	if (ncallbacks == MAX_CALLBACKS)
		elog(ERROR, "too many callbacks");
	if (ncallbacks == 0)
		CacheRegisterRelcacheCallback(call_all, (Datum) 0);
	callbacks[ncallbacks++] = callback;
}

/* ---- telling the worker ---------------------------------------------------------- */

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
