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

/* A statement, by its true beginning, and how much older it pretends to be. */
static TimestampTz aged_statement = 0;
static int64 statement_age = 0;

static inline TimestampTz
shifted(TimestampTz t)
{
	return pgcache_clock_offset ? t + *pgcache_clock_offset : t;
}

static inline TimestampTz
aged(TimestampTz statement)
{
	return statement == aged_statement ? statement - statement_age : statement;
}

void
pgcache_clock_age_statement(int64 usec)
{
	aged_statement = GetCurrentStatementStartTimestamp();
	statement_age = usec;
}
#else
#define shifted(t) (t)
#define aged(t) (t)
#endif

TimestampTz
pgcache_clock_now(void)
{
	return shifted(GetCurrentTimestamp());
}

TimestampTz
pgcache_clock_statement(void)
{
	return shifted(aged(GetCurrentStatementStartTimestamp()));
}
