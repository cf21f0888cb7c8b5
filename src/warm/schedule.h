/*-------------------------------------------------------------------------
 *
 * schedule.h
 *	  When a warmer runs: cron expressions, and the words that stand for one.
 *
 * Times are seconds since 1970-01-01 00:00 UTC.  A time zone is a function that
 * gives its offset, so that this runs without a server in unit tests.
 *
 * Locking: none.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_WARM_SCHEDULE_H
#define PGCACHE_WARM_SCHEDULE_H

typedef enum PgCacheScheduleKind
{
	PGCACHE_SCHEDULE_CRON,
	PGCACHE_SCHEDULE_INTERVAL,	/* every usec after the last start */
	PGCACHE_SCHEDULE_START,		/* once after each start of the server */
	PGCACHE_SCHEDULE_INVALIDATE /* after an entry was invalidated */
} PgCacheScheduleKind;

typedef struct PgCacheSchedule
{
	PgCacheScheduleKind kind;
	int64		usec;			/* INTERVAL */

	/* CRON: sets of values, as bits */
	uint64		minutes;
	uint32		hours;
	uint32		days;			/* of the month, from 1 */
	uint16		months;			/* from 1 */
	uint8		weekdays;		/* Sunday is 0 */
	bool		every_hour;		/* all hours are in the set */
	bool		either_day;		/* days and weekdays were both restricted: one
								 * of them is enough */
} PgCacheSchedule;

/* Why a schedule is refused. */
typedef struct PgCacheScheduleError
{
	int			place;			/* of the first byte that is wrong, from 1 */
	char		message[160];
} PgCacheScheduleError;

typedef enum PgCacheScheduleParse
{
	PGCACHE_SCHEDULE_GOOD,
	PGCACHE_SCHEDULE_BAD,		/* see the error */
	PGCACHE_SCHEDULE_OTHER		/* maybe an interval, which others parse */
} PgCacheScheduleParse;

/* Parses all but intervals. */
extern PgCacheScheduleParse pgcache_schedule_parse(const char *expression,
												   PgCacheSchedule *schedule,
												   PgCacheScheduleError *error);

/* Seconds that local time is ahead of UTC at a time. */
typedef int (*PgCacheZone) (void *zone, int64 at);

/* What pgcache_schedule_next gives if there is no such time. */
#define PGCACHE_SCHEDULE_NEVER	PG_INT64_MAX

/*
 * The first time after a time that a cron schedule is due.  A local time that is
 * skipped when clocks are put forward is due right after the gap.  One that comes
 * twice is due the first time; if the schedule is for every hour, both times.
 */
extern int64 pgcache_schedule_next(const PgCacheSchedule *schedule, int64 after,
								   PgCacheZone offset, void *zone);

#endif							/* PGCACHE_WARM_SCHEDULE_H */
