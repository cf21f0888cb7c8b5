/*-------------------------------------------------------------------------
 *
 * clock.c
 *	  The time, from a clock that tests can set forward.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/timestamp.h"

#include "base/clock.h"

#ifdef PGCACHE_TEST
int64	   *pgcache_clock_offset = NULL;

static inline TimestampTz
shifted(TimestampTz t)
{
	return pgcache_clock_offset ? t + *pgcache_clock_offset : t;
}
#else
#define shifted(t) (t)
#endif

TimestampTz
pgcache_clock_now(void)
{
	return shifted(GetCurrentTimestamp());
}

TimestampTz
pgcache_clock_statement(void)
{
	return shifted(GetCurrentStatementStartTimestamp());
}
