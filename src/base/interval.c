/*-------------------------------------------------------------------------
 *
 * interval.c
 *	  Intervals as numbers of microseconds.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/interval.h"

bool
pgcache_interval_usec(const Interval *interval, int64 *usec)
{
	/* 2^31 months and as many days are some 6e21 us, beyond 64 bits. */
	__int128	days = (__int128) interval->month * DAYS_PER_MONTH + interval->day;
	__int128	sum = days * USECS_PER_DAY + interval->time;

	*usec = 0;
	if (sum <= 0)
		return false;
	*usec = (int64) Min(sum, (__int128) PGCACHE_INTERVAL_MAX_USEC);
	return true;
}
