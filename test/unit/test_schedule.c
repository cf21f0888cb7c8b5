/*
 * test_schedule.c
 *	  Schedules of warmers: what is refused, and when they are due.
 */
#include "harness.h"

#include "warm/schedule.h"

#define AT(year, month, day, hour, minute) \
	(days_from_civil(year, month, day) * INT64CONST(86400) + (hour) * 3600 + (minute) * 60)

static int64
days_from_civil(int y, int m, int d)
{
	int64		n = 0;

	for (int year = 1970; year < y; year++)
		n += (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 366 : 365;
	for (int month = 1; month < m; month++)
		n += month == 2 ? 28 + ((y % 4 == 0 && y % 100 != 0) || y % 400 == 0) :
			month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
	return n + d - 1;
}

/* ---- zones ------------------------------------------------------------------ */

static int
year_of(int64 at)
{
	int			year = 1970;

	while (AT(year + 1, 1, 1, 0, 0) <= at)
		year++;
	return year;
}

/* The nth Sunday of a month, from 1; 0 is the last. */
static int
sunday(int year, int month, int n)
{
	int			last = month == 2 ? 28 : month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
	int			first = (int) (7 - (days_from_civil(year, month, 1) + 4) % 7) % 7 + 1;

	if (n > 0)
		return first + 7 * (n - 1);
	while (first + 7 <= last)
		first += 7;
	return first;
}

static int
utc(void *zone, int64 at)
{
	return 0;
}

/* The last Sundays of March and October, 01:00 UTC. */
static int
berlin(void *zone, int64 at)
{
	int			year = year_of(at);

	return at >= AT(year, 3, sunday(year, 3, 0), 1, 0) &&
		at < AT(year, 10, sunday(year, 10, 0), 1, 0) ? 7200 : 3600;
}

/* The second Sunday of March, first of November, 02:00 local time. */
static int
new_york(void *zone, int64 at)
{
	int			year = year_of(at);

	return at >= AT(year, 3, sunday(year, 3, 2), 7, 0) &&
		at < AT(year, 11, sunday(year, 11, 1), 6, 0) ? -4 * 3600 : -5 * 3600;
}

static int
kathmandu(void *zone, int64 at)
{
	return 5 * 3600 + 45 * 60;
}

/* Samoa had no 30 December 2011. */
static int
apia(void *zone, int64 at)
{
	return at >= AT(2011, 12, 30, 10, 0) ? 14 * 3600 : -10 * 3600;
}

/* Clocks of half an hour more in summer, at 02:00 local time. */
static int
lord_howe(void *zone, int64 at)
{
	int			year = year_of(at);

	return at >= AT(year, 4, sunday(year, 4, 1), 0, 0) - 9 * 3600 &&
		at < AT(year, 10, sunday(year, 10, 1), 0, 0) - 8 * 3600 - 1800 ? 10 * 3600 + 1800 : 11 * 3600;
}

/* ---- checks ----------------------------------------------------------------- */

static void
bad(const char *text, int place, const char *message)
{
	PgCacheSchedule schedule;
	PgCacheScheduleError error = {0};
	PgCacheScheduleParse result = pgcache_schedule_parse(text, &schedule, &error);

	ok(result == PGCACHE_SCHEDULE_BAD && error.place == place &&
	   strcmp(error.message, message) == 0,
	   "\"%s\": at %d, %s (got %d, %s)", text, place, message, error.place, error.message);
}

static void
other(const char *text)
{
	PgCacheSchedule schedule;
	PgCacheScheduleError error;

	ok(pgcache_schedule_parse(text, &schedule, &error) == PGCACHE_SCHEDULE_OTHER,
	   "\"%s\" may be an interval", text);
}

static void
word(const char *text, PgCacheScheduleKind kind)
{
	PgCacheSchedule schedule;
	PgCacheScheduleError error;

	ok(pgcache_schedule_parse(text, &schedule, &error) == PGCACHE_SCHEDULE_GOOD &&
	   schedule.kind == kind, "\"%s\" is of kind %d", text, kind);
}

static const char *
show(int64 at)
{
	static char buf[4][32];
	static int	next;
	char	   *result = buf[next++ % 4];
	int			year;

	if (at == PGCACHE_SCHEDULE_NEVER)
		return "never";
	year = year_of(at);
	snprintf(result, 32, "%d + %lldd %02lld:%02lld:%02lld", year,
			 (long long) ((at - AT(year, 1, 1, 0, 0)) / 86400), (long long) (at % 86400 / 3600),
			 (long long) (at % 3600 / 60), (long long) (at % 60));
	return result;
}

/* Checks that a schedule is due at n times, one after the other. */
static void
due(const char *text, PgCacheZone zone, int64 after, int n,...)
{
	PgCacheSchedule schedule;
	PgCacheScheduleError error;
	va_list		args;

	MUST(pgcache_schedule_parse(text, &schedule, &error) == PGCACHE_SCHEDULE_GOOD);
	va_start(args, n);
	for (int i = 0; i < n; i++)
	{
		int64		expected = va_arg(args, int64);
		int64		at = pgcache_schedule_next(&schedule, after, zone, NULL);

		ok(at == expected, "\"%s\" number %d after %s: %s (got %s)", text, i + 1,
		   show(after), show(expected), show(at));
		if (at == PGCACHE_SCHEDULE_NEVER)
			break;
		after = at;
	}
	va_end(args);
}

/*
 * Compares with the obvious way, minute by minute, in a zone without changes.
 */
static bool
matches(const PgCacheSchedule *s, int64 local)
{
	int			year = year_of(local);
	int64		day = local / 86400;
	int			month = 1;
	int			dom;
	bool		by_month;
	bool		by_week;

	while (month < 12 && days_from_civil(year, month + 1, 1) <= day)
		month++;
	dom = (int) (day - days_from_civil(year, month, 1)) + 1;
	by_month = (s->days >> dom) & 1;
	by_week = (s->weekdays >> ((day + 4) % 7)) & 1;
	return ((s->minutes >> (local % 3600 / 60)) & 1) && ((s->hours >> (local % 86400 / 3600)) & 1) &&
		((s->months >> month) & 1) &&
		(s->either_day ? by_month || by_week : by_month && by_week);
}

static void
compare(void)
{
	int			wrong = 0;
	int			compared = 0;

	for (int i = 0; i < 300; i++)
	{
		char		text[128];
		char		days[16];
		char		weekdays[16];
		PgCacheSchedule schedule;
		PgCacheScheduleError error;
		int64		after = AT(2023, 12, 1, 0, 0) + random_below(200 * 86400);
		int64		expected;

		snprintf(days, sizeof(days), random_below(2) ? "*" : "%d", 1 + random_below(31));
		snprintf(weekdays, sizeof(weekdays), random_below(2) ? "*" : "%d-%d", random_below(4), 4 + random_below(4));
		snprintf(text, sizeof(text), "%d-%d/%d */%d %s %s %s", random_below(30), 30 + random_below(30),
				 1 + random_below(30), 1 + random_below(12), days,
				 random_below(2) ? "*" : "feb,mar,6-8", weekdays);
		MUST(pgcache_schedule_parse(text, &schedule, &error) == PGCACHE_SCHEDULE_GOOD);
		expected = after / 60 * 60 + 60;
		while (!matches(&schedule, expected) && expected < after + 100 * INT64CONST(86400))
			expected += 60;
		if (!matches(&schedule, expected))
			continue;
		compared++;
		if (pgcache_schedule_next(&schedule, after, utc, NULL) != expected)
		{
			printf("# %s after %s\n", text, show(after));
			wrong++;
		}
	}
	ok(wrong == 0 && compared > 200, "%d schedules as by the obvious way, %d otherwise",
	   compared, wrong);
}

/* ---- tests ------------------------------------------------------------------ */

static void
test_parse(void)
{
	bad("60 * * * *", 1, "minute must be from 0 to 59");
	bad("* 24 * * *", 3, "hour must be from 0 to 23");
	bad("* * 0 * *", 5, "day of the month must be from 1 to 31");
	bad("* * 32 * *", 5, "day of the month must be from 1 to 31");
	bad("* * * 13 *", 7, "month must be from 1 to 12");
	bad("* * * * 8", 9, "day of the week must be from 0 to 7");
	bad("* * * *", 8, "day of the week is missing");
	bad("*", 2, "hour is missing");
	bad("* * * * * *", 11, "more than five fields");
	bad("*/0 * * * *", 3, "step of minute must be a number of at least 1");
	bad("*/ * * * *", 3, "step of minute must be a number of at least 1");
	bad("*/x * * * *", 3, "step of minute must be a number of at least 1");
	bad("5- * * * *", 3, "minute expected, from 0 to 59");
	bad("9-5 * * * *", 1, "range of minute ends before it begins");
	bad("1,,2 * * * *", 3, "minute expected, from 0 to 59");
	bad("1,2, * * * *", 5, "minute expected, from 0 to 59");
	bad("1-2-3 * * * *", 4, "unexpected character in minute");
	bad("** * * * *", 2, "unexpected character after * in minute");
	bad("*-3 * * * *", 2, "unexpected character after * in minute");
	bad("-1 * * * *", 1, "minute expected, from 0 to 59");
	bad("* * * foo *", 7, "month is neither a number nor a name of one");
	bad("* * * monday *", 7, "month is neither a number nor a name of one");
	bad("* * * * monday", 9, "day of the week is neither a number nor a name of one");
	bad("mon * * * *", 1, "minute is neither a number nor a name of one");
	bad("1x * * * *", 1, "minute is not a number");
	bad("99999999999999999999 * * * *", 1, "minute must be from 0 to 59");
	bad("@reboot", 1, "there is no such word");
	bad("@", 1, "there is no such word");
	bad("@starts", 1, "there is no such word");
	bad("0 25 * * *", 3, "hour must be from 0 to 23");
	bad("0 25 1 1 1", 3, "hour must be from 0 to 23");
	other("30 s");
	other("1 day 2 hours 3");
	other("1 hour 30 min");
	other("");
	other("nonsense");
	other("1 2 3 4");
	word("@start", PGCACHE_SCHEDULE_START);
	word(" @START ", PGCACHE_SCHEDULE_START);
	word("@invalidate", PGCACHE_SCHEDULE_INVALIDATE);
	word("@daily", PGCACHE_SCHEDULE_CRON);
	word("  0  0\t1 1 *  ", PGCACHE_SCHEDULE_CRON);
	word("0 0 1 1 7", PGCACHE_SCHEDULE_CRON);
}

static void
test_plain(void)
{
	int64		start = AT(2024, 1, 31, 12, 34);

	due("* * * * *", utc, start, 2, AT(2024, 1, 31, 12, 35), AT(2024, 1, 31, 12, 36));
	due("* * * * *", utc, start + 59, 1, AT(2024, 1, 31, 12, 35));
	due("*/15 * * * *", utc, start, 3, AT(2024, 1, 31, 12, 45), AT(2024, 1, 31, 13, 0), AT(2024, 1, 31, 13, 15));
	due("5/20 * * * *", utc, start, 3, AT(2024, 1, 31, 12, 45), AT(2024, 1, 31, 13, 5), AT(2024, 1, 31, 13, 25));
	due("0 9-17/4 * * *", utc, start, 3, AT(2024, 1, 31, 13, 0), AT(2024, 1, 31, 17, 0), AT(2024, 2, 1, 9, 0));
	due("@hourly", utc, start, 1, AT(2024, 1, 31, 13, 0));
	due("@daily", utc, start, 2, AT(2024, 2, 1, 0, 0), AT(2024, 2, 2, 0, 0));
	due("@weekly", utc, start, 2, AT(2024, 2, 4, 0, 0), AT(2024, 2, 11, 0, 0));
	due("@monthly", utc, start, 2, AT(2024, 2, 1, 0, 0), AT(2024, 3, 1, 0, 0));
	due("@yearly", utc, start, 2, AT(2025, 1, 1, 0, 0), AT(2026, 1, 1, 0, 0));
	due("0 0 31 * *", utc, start, 2, AT(2024, 3, 31, 0, 0), AT(2024, 5, 31, 0, 0));
	due("0 0 29 2 *", utc, start, 2, AT(2024, 2, 29, 0, 0), AT(2028, 2, 29, 0, 0));
	due("0 0 29 2 *", utc, AT(2096, 3, 1, 0, 0), 1, AT(2104, 2, 29, 0, 0));
	due("0 0 30 2 *", utc, start, 1, PGCACHE_SCHEDULE_NEVER);
	due("0 0 31 4,6,9,11 *", utc, start, 1, PGCACHE_SCHEDULE_NEVER);
	due("0 12 * * mon-fri", utc, AT(2024, 2, 2, 12, 0), 2, AT(2024, 2, 5, 12, 0), AT(2024, 2, 6, 12, 0));
	due("0 12 * * 7", utc, start, 1, AT(2024, 2, 4, 12, 0));
	due("0 12 * * 0", utc, start, 1, AT(2024, 2, 4, 12, 0));
	due("0 12 * * 6-7", utc, start, 3, AT(2024, 2, 3, 12, 0), AT(2024, 2, 4, 12, 0), AT(2024, 2, 10, 12, 0));
	due("0 0 * JAN,Dec *", utc, start, 2, AT(2024, 12, 1, 0, 0), AT(2024, 12, 2, 0, 0));
	/* one of the two is enough */
	due("0 0 13 * fri", utc, start, 4, AT(2024, 2, 2, 0, 0), AT(2024, 2, 9, 0, 0), AT(2024, 2, 13, 0, 0), AT(2024, 2, 16, 0, 0));
	/* but not if one of them begins with a star */
	due("0 0 */2 * fri", utc, start, 2, AT(2024, 2, 9, 0, 0), AT(2024, 2, 23, 0, 0));
	due("59 23 31 12 *", utc, start, 1, AT(2024, 12, 31, 23, 59));
	due("0 0 * * *", kathmandu, start, 1, AT(2024, 1, 31, 18, 15));
	due("0 0 * * *", new_york, start, 1, AT(2024, 2, 1, 5, 0));
	/* before 1970 */
	due("0 0 * * *", utc, -1, 1, AT(1970, 1, 1, 0, 0));
}

static void
test_berlin(void)
{
	/* 31 March 2024, 02:00 becomes 03:00; 27 October 2024, 03:00 becomes 02:00. */
	due("30 2 * * *", berlin, AT(2024, 3, 30, 0, 0), 3, AT(2024, 3, 30, 1, 30), AT(2024, 3, 31, 1, 0), AT(2024, 4, 1, 0, 30));
	due("0 2 * * *", berlin, AT(2024, 3, 30, 2, 0), 2, AT(2024, 3, 31, 1, 0), AT(2024, 4, 1, 0, 0));
	due("0,30 2,3 * * *", berlin, AT(2024, 3, 31, 0, 0), 3, AT(2024, 3, 31, 1, 0), AT(2024, 3, 31, 1, 30), AT(2024, 4, 1, 0, 0));
	due("*/20 * * * *", berlin, AT(2024, 3, 31, 0, 30), 4, AT(2024, 3, 31, 0, 40), AT(2024, 3, 31, 1, 0), AT(2024, 3, 31, 1, 20), AT(2024, 3, 31, 1, 40));
	due("30 2 * * *", berlin, AT(2024, 10, 26, 12, 0), 2, AT(2024, 10, 27, 0, 30), AT(2024, 10, 28, 1, 30));
	due("30 1-3 * * *", berlin, AT(2024, 10, 26, 22, 0), 4, AT(2024, 10, 26, 23, 30), AT(2024, 10, 27, 0, 30), AT(2024, 10, 27, 2, 30), AT(2024, 10, 28, 0, 30));
	due("0 3 * * *", berlin, AT(2024, 10, 26, 12, 0), 2, AT(2024, 10, 27, 2, 0), AT(2024, 10, 28, 2, 0));
	due("*/30 * * * *", berlin, AT(2024, 10, 26, 23, 45), 6, AT(2024, 10, 27, 0, 0), AT(2024, 10, 27, 0, 30), AT(2024, 10, 27, 1, 0), AT(2024, 10, 27, 1, 30), AT(2024, 10, 27, 2, 0), AT(2024, 10, 27, 2, 30));
	due("0 0 * * *", berlin, AT(2024, 3, 30, 12, 0), 3, AT(2024, 3, 30, 23, 0), AT(2024, 3, 31, 22, 0), AT(2024, 4, 1, 22, 0));
	/* asked in the second of the two hours */
	due("30 2 * * *", berlin, AT(2024, 10, 27, 1, 15), 1, AT(2024, 10, 28, 1, 30));
	due("0 0 29 2 *", berlin, AT(2024, 3, 1, 0, 0), 1, AT(2028, 2, 28, 23, 0));
}

static void
test_new_york(void)
{
	/* 10 March 2024, 02:00 becomes 03:00; 3 November 2024, 02:00 becomes 01:00. */
	due("15 2 * * sun", new_york, AT(2024, 3, 9, 12, 0), 2, AT(2024, 3, 10, 7, 0), AT(2024, 3, 17, 6, 15));
	due("30 1 * * *", new_york, AT(2024, 11, 2, 12, 0), 2, AT(2024, 11, 3, 5, 30), AT(2024, 11, 4, 6, 30));
	due("0 * * * *", new_york, AT(2024, 11, 3, 4, 30), 4, AT(2024, 11, 3, 5, 0), AT(2024, 11, 3, 6, 0), AT(2024, 11, 3, 7, 0), AT(2024, 11, 3, 8, 0));
	due("0 * * * *", new_york, AT(2024, 3, 10, 5, 30), 3, AT(2024, 3, 10, 6, 0), AT(2024, 3, 10, 7, 0), AT(2024, 3, 10, 8, 0));
	due("0 2 10 3 *", new_york, AT(2024, 1, 1, 0, 0), 2, AT(2024, 3, 10, 7, 0), AT(2025, 3, 10, 6, 0));
}

static void
test_odd_zones(void)
{
	due("0 12 * * *", apia, AT(2011, 12, 29, 0, 0), 3, AT(2011, 12, 29, 22, 0), AT(2011, 12, 30, 10, 0), AT(2011, 12, 30, 22, 0));
	due("45 1 * * *", lord_howe, AT(2024, 4, 5, 20, 0), 2, AT(2024, 4, 6, 14, 45), AT(2024, 4, 7, 15, 15));
	due("10 2 * * *", lord_howe, AT(2024, 10, 5, 0, 0), 2, AT(2024, 10, 5, 15, 30), AT(2024, 10, 6, 15, 10));
}

int
main(void)
{
	test_parse();
	test_plain();
	test_berlin();
	test_new_york();
	test_odd_zones();
	compare();
	return done_testing();
}
