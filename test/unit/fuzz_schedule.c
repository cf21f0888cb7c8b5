/*
 * fuzz_schedule.c
 *	  Any text as a schedule: it is refused with a place within it, or next due at
 *	  times that ascend.
 */
#include "postgres.h"

#include "warm/schedule.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOUR 3600
#define DAYS(n) ((n) * INT64CONST(86400))

static int	shift;

/* A zone whose clocks are put forward or back by some time every half year. */
static int
zone(void *arg, int64 at)
{
	return ((at / DAYS(180)) % 2 == 0) ? 0 : shift;
}

static void
must(bool condition)
{
	if (!condition)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PgCacheSchedule schedule;
	PgCacheScheduleError error;
	char		text[200];
	int64		at;

	if (size < 3)
		return 0;
	at = DAYS(data[0] * 64 + data[1] % 64) + data[2] * 337;
	shift = (data[2] % 9 - 4) * HOUR / 2;
	size = Min(size - 3, sizeof(text) - 1);
	memcpy(text, data + 3, size);
	text[size] = '\0';

	switch (pgcache_schedule_parse(text, &schedule, &error))
	{
		case PGCACHE_SCHEDULE_BAD:
			must(error.place >= 1 && error.place <= strlen(text) + 1);
			must(strlen(error.message) > 0);
			return 0;
		case PGCACHE_SCHEDULE_OTHER:
			return 0;
		case PGCACHE_SCHEDULE_GOOD:
			break;
	}
	if (schedule.kind != PGCACHE_SCHEDULE_CRON)
		return 0;
	must(schedule.minutes != 0 && schedule.hours != 0 && schedule.days != 0 &&
		 schedule.months != 0 && schedule.weekdays != 0);
	for (int i = 0; i < 5; i++)
	{
		int64		next = pgcache_schedule_next(&schedule, at, zone, NULL);

		must(next > at);
		if (next == PGCACHE_SCHEDULE_NEVER)
			return 0;
		at = next;
	}
	return 0;
}
