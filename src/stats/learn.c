/*-------------------------------------------------------------------------
 *
 * learn.c
 *	  When the worker learns from an hour that is over.
 *
 * What it does then is cache_learn(), in SQL.  It is due at the end of each clock
 * hour, and when a worker starts, for an hour that ended while there was none.
 *
 * No locks: all of this is the worker's own.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/clock.h"
#include "stats/stats.h"

static TimestampTz asked_in = 0;	/* the hour in which this was last asked */
static TimestampTz done_in = 0; /* the hour before which nothing is left */

/* Also when the clock was put back. */
TimestampTz
pgcache_learn_due(void)
{
	TimestampTz now = pgcache_clock_now();

	if (pgcache_tracked_keys == 0)
		return DT_NOEND;
	asked_in = now - now % USECS_PER_HOUR;
	return asked_in == done_in ? done_in + USECS_PER_HOUR : DT_NOBEGIN;
}

void
pgcache_learn_done(void)
{
	done_in = asked_in;
}
