/*-------------------------------------------------------------------------
 *
 * interval.h
 *	  Intervals as numbers of microseconds.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_BASE_INTERVAL_H
#define PGCACHE_BASE_INTERVAL_H

#include "datatype/timestamp.h"

/* Longest time that an interval is taken for: 1,000 years. */
#define PGCACHE_INTERVAL_MAX_USEC	(INT64CONST(1000) * 366 * USECS_PER_DAY)

/*
 * Sets *usec to the length of interval, with months of 30 days and days of 24
 * hours as the server's interval comparison has them, and to
 * PGCACHE_INTERVAL_MAX_USEC where it is longer (infinity included).  False, and
 * *usec 0, unless the interval is greater than zero.
 */
extern bool pgcache_interval_usec(const Interval *interval, int64 *usec);

#endif							/* PGCACHE_BASE_INTERVAL_H */
