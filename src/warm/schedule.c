/*-------------------------------------------------------------------------
 *
 * schedule.c
 *	  Cron expressions: parsing, and when they are next due.
 *
 * A day is looked at as a whole: does it match, and if so, which of its minutes
 * do.  Days that cannot match are left out a month at a time, so that the next
 * 29th of February is found in some dozens of steps.
 *
 * Locking: none.  Runs without a server in unit tests.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "warm/schedule.h"

#define MINUTE	60
#define HOUR	(60 * MINUTE)
#define DAY		INT64CONST(86400)

/* 29 February can be eight years away. */
#define YEARS_AHEAD 9

/* ---- parsing ---------------------------------------------------------------- */

typedef struct Field
{
	const char *name;
	int			min;
	int			max;
	const char *const *names;	/* of the values from min on, or NULL */
} Field;

static const char *const month_names[] = {
	"jan", "feb", "mar", "apr", "may", "jun",
	"jul", "aug", "sep", "oct", "nov", "dec", NULL
};

static const char *const day_names[] = {
	"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL
};

#define NFIELDS 5

static const Field fields[NFIELDS] = {
	{"minute", 0, 59, NULL},
	{"hour", 0, 23, NULL},
	{"day of the month", 1, 31, NULL},
	{"month", 1, 12, month_names},
	{"day of the week", 0, 7, day_names}
};

static const struct
{
	const char *word;
	const char *expression;		/* NULL: see kind */
	PgCacheScheduleKind kind;
}			words[] = {
	{"@hourly", "0 * * * *", PGCACHE_SCHEDULE_CRON},
	{"@daily", "0 0 * * *", PGCACHE_SCHEDULE_CRON},
	{"@midnight", "0 0 * * *", PGCACHE_SCHEDULE_CRON},
	{"@weekly", "0 0 * * 0", PGCACHE_SCHEDULE_CRON},
	{"@monthly", "0 0 1 * *", PGCACHE_SCHEDULE_CRON},
	{"@yearly", "0 0 1 1 *", PGCACHE_SCHEDULE_CRON},
	{"@annually", "0 0 1 1 *", PGCACHE_SCHEDULE_CRON},
	{"@start", NULL, PGCACHE_SCHEDULE_START},
	{"@invalidate", NULL, PGCACHE_SCHEDULE_INVALIDATE}
};

/* Where the parser is. */
typedef struct Parser
{
	const char *begin;
	const char *at;
	PgCacheScheduleError *error;
} Parser;

/* Notes what is wrong at a place; returns false. */
static bool
refuse(const Parser *parser, const char *at, const char *message, const Field *field)
{
	parser->error->place = at - parser->begin + 1;
	snprintf(parser->error->message, sizeof(parser->error->message), message,
			 field ? field->name : "", field ? field->min : 0, field ? field->max : 0);
	return false;
}

static bool
ends_value(char c)
{
	return c == '\0' || c == ',' || c == '-' || c == '/' || isspace((unsigned char) c);
}

/* A name of three letters, in either case. */
static bool
parse_name(Parser *parser, const Field *field, int *value)
{
	for (int i = 0; field->names != NULL && field->names[i] != NULL; i++)
	{
		const char *name = field->names[i];

		if (pg_tolower((unsigned char) parser->at[0]) == name[0] &&
			pg_tolower((unsigned char) parser->at[1]) == name[1] &&
			pg_tolower((unsigned char) parser->at[2]) == name[2] &&
			ends_value(parser->at[3]))
		{
			*value = field->min + i;
			parser->at += 3;
			return true;
		}
	}
	return refuse(parser, parser->at, "%s is neither a number nor a name of one", field);
}

/* Digits; false if there are none, or more than them. */
static bool
parse_digits(Parser *parser, int *value)
{
	const char *start = parser->at;

	*value = 0;
	for (; isdigit((unsigned char) *parser->at); parser->at++)
		*value = Min(*value * 10 + (*parser->at - '0'), 9999);
	return parser->at > start && ends_value(*parser->at);
}

static bool
parse_value(Parser *parser, const Field *field, int *value)
{
	const char *start = parser->at;

	if (ends_value(*start) || *start == '*')
		return refuse(parser, start, "%s expected, from %d to %d", field);
	if (!isdigit((unsigned char) *start))
		return parse_name(parser, field, value);
	if (!parse_digits(parser, value))
		return refuse(parser, start, "%s is not a number", field);
	if (*value < field->min || *value > field->max)
		return refuse(parser, start, "%s must be from %d to %d", field);
	return true;
}

/* What may follow a / . */
static bool
parse_step(Parser *parser, const Field *field, int *step)
{
	const char *start = parser->at;

	if (!parse_digits(parser, step) || *step == 0)
		return refuse(parser, start, "step of %s must be a number of at least 1", field);
	if (*parser->at == '-' || *parser->at == '/')
		return refuse(parser, parser->at, "unexpected character in %s", field);
	return true;
}

static bool
parse_range(Parser *parser, const Field *field, int *first, int *last)
{
	const char *start = parser->at;

	if (!parse_value(parser, field, first))
		return false;
	*last = *parser->at == '/' ? field->max : *first;
	if (*parser->at != '-')
		return true;
	parser->at++;
	if (!parse_value(parser, field, last))
		return false;
	if (*last < *first)
		return refuse(parser, start, "range of %s ends before it begins", field);
	if (*parser->at == '-')
		return refuse(parser, parser->at, "unexpected character in %s", field);
	return true;
}

/* One of the parts between commas: *, a value or a range, and maybe a step. */
static bool
parse_part(Parser *parser, const Field *field, uint64 *set)
{
	int			first = field->min;
	int			last = field->max;
	int			step = 1;

	if (*parser->at == '*')
	{
		parser->at++;
		if (!ends_value(*parser->at) || *parser->at == '-')
			return refuse(parser, parser->at, "unexpected character after * in %s", field);
	}
	else if (!parse_range(parser, field, &first, &last))
		return false;
	if (*parser->at == '/')
	{
		parser->at++;
		if (!parse_step(parser, field, &step))
			return false;
	}
	for (int value = first; value <= last; value += step)
		*set |= UINT64CONST(1) << value;
	return true;
}

/* A field, up to the blank behind it; *all: it begins with *. */
static bool
parse_field(Parser *parser, const Field *field, uint64 *set, bool *all)
{
	*set = 0;
	*all = *parser->at == '*';
	for (;;)
	{
		if (!parse_part(parser, field, set))
			return false;
		if (*parser->at != ',')
			break;
		parser->at++;
	}
	return true;
}

static void
skip_blanks(Parser *parser)
{
	while (isspace((unsigned char) *parser->at))
		parser->at++;
}

static bool
parse_cron(Parser *parser, PgCacheSchedule *schedule)
{
	uint64		sets[NFIELDS];
	bool		all[NFIELDS];

	for (int i = 0; i < NFIELDS; i++)
	{
		skip_blanks(parser);
		if (*parser->at == '\0')
			return refuse(parser, parser->at, "%s is missing", &fields[i]);
		if (!parse_field(parser, &fields[i], &sets[i], &all[i]))
			return false;
	}
	skip_blanks(parser);
	if (*parser->at != '\0')
		return refuse(parser, parser->at, "more than five fields", NULL);

	schedule->kind = PGCACHE_SCHEDULE_CRON;
	schedule->minutes = sets[0];
	schedule->hours = (uint32) sets[1];
	schedule->days = (uint32) sets[2];
	schedule->months = (uint16) sets[3];
	/* 7 is Sunday as well. */
	schedule->weekdays = (uint8) ((sets[4] | sets[4] >> 7) & 0x7f);
	schedule->every_hour = schedule->hours == (1 << 24) - 1;
	schedule->either_day = !all[2] && !all[4];
	return true;
}

/*
 * Whether the text is meant as five fields: it has a *, or five of which the
 * first three have no letters.
 */
static bool
looks_like_cron(const char *expression)
{
	int			nfields = 0;
	bool		in_field = false;

	if (strchr(expression, '*') != NULL)
		return true;
	for (const char *p = expression; *p != '\0'; p++)
	{
		bool		blank = isspace((unsigned char) *p);

		if (!blank && !in_field)
			nfields++;
		in_field = !blank;
		if (nfields <= 3 && !blank && strchr("0123456789,-/", *p) == NULL)
			return false;
	}
	return nfields == NFIELDS;
}

PgCacheScheduleParse
pgcache_schedule_parse(const char *expression, PgCacheSchedule *schedule,
					   PgCacheScheduleError *error)
{
	Parser		parser = {expression, expression, error};
	int			len;

	memset(schedule, 0, sizeof(*schedule));
	skip_blanks(&parser);
	len = strlen(parser.at);
	while (len > 0 && isspace((unsigned char) parser.at[len - 1]))
		len--;
	if (*parser.at != '@')
	{
		if (!looks_like_cron(parser.at))
			return PGCACHE_SCHEDULE_OTHER;
		return parse_cron(&parser, schedule) ? PGCACHE_SCHEDULE_GOOD : PGCACHE_SCHEDULE_BAD;
	}
	for (int i = 0; i < lengthof(words); i++)
	{
		if (strlen(words[i].word) != len || pg_strncasecmp(parser.at, words[i].word, len) != 0)
			continue;
		schedule->kind = words[i].kind;
		if (words[i].expression != NULL)
		{
			Parser		inner = {words[i].expression, words[i].expression, error};

			(void) parse_cron(&inner, schedule);
		}
		return PGCACHE_SCHEDULE_GOOD;
	}
	refuse(&parser, parser.at, "there is no such word", NULL);
	return PGCACHE_SCHEDULE_BAD;
}

/* ---- days ------------------------------------------------------------------- */

/* A day of the Gregorian calendar. */
typedef struct Date
{
	int64		number;			/* since 1970-01-01, a Thursday */
	int			year;
	int			month;			/* 1 to 12 */
	int			day;			/* 1 to 31 */
} Date;

static int
days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/*
 * By the usual trick: years begin in March, so that the leap day is their last,
 * and are counted in cycles of 400.
 */
static Date
date_of(int64 number)
{
	int64		n = number + 719468;	/* since 0000-03-01 */
	int64		cycle = (n >= 0 ? n : n - 146096) / 146097;
	int			in_cycle = (int) (n - cycle * 146097);
	int			year = (in_cycle - in_cycle / 1460 + in_cycle / 36524 - in_cycle / 146096) / 365;
	int			in_year = in_cycle - (365 * year + year / 4 - year / 100);
	int			month = (5 * in_year + 2) / 153;
	Date		date;

	date.number = number;
	date.day = in_year - (153 * month + 2) / 5 + 1;
	date.month = month < 10 ? month + 3 : month - 9;
	date.year = (int) (year + cycle * 400) + (date.month <= 2);
	return date;
}

static bool
day_matches(const PgCacheSchedule *schedule, const Date *date)
{
	int			weekday = (int) (((date->number + 4) % 7 + 7) % 7);
	bool		by_month = (schedule->days & (1U << date->day)) != 0;
	bool		by_week = (schedule->weekdays & (1U << weekday)) != 0;

	if ((schedule->months & (1U << date->month)) == 0)
		return false;
	return schedule->either_day ? by_month || by_week : by_month && by_week;
}

/* ---- local time ------------------------------------------------------------- */

typedef struct Zone
{
	PgCacheZone offset;
	void	   *zone;
} Zone;

static int64
offset_at(const Zone *zone, int64 at)
{
	return zone->offset(zone->zone, at);
}

/*
 * The time in (low, high] at which the offset changes, of which there is but one:
 * the first with the offset that high has.
 */
static int64
find_change(const Zone *zone, int64 low, int64 high)
{
	int64		late = offset_at(zone, high);

	while (high - low > 1)
	{
		int64		middle = low + (high - low) / 2;

		if (offset_at(zone, middle) == late)
			high = middle;
		else
			low = middle;
	}
	return high;
}

/*
 * The time at which local clocks show what a clock in UTC shows at local: the
 * first of two, or right after the gap.  No zone changes twice within two days.
 */
static int64
from_local(const Zone *zone, int64 local)
{
	int64		before = offset_at(zone, local - DAY);
	int64		after = offset_at(zone, local + DAY);

	if (offset_at(zone, local - before) == before)
		return local - before;
	if (offset_at(zone, local - after) == after)
		return local - after;
	return find_change(zone, local - DAY, local + DAY);
}

/* ---- the next time ---------------------------------------------------------- */

static bool
minute_matches(const PgCacheSchedule *schedule, int64 of_day)
{
	int			hour = (int) (of_day / HOUR);
	int			minute = (int) (of_day % HOUR / MINUTE);

	return (schedule->hours & (1U << hour)) != 0 &&
		(schedule->minutes & (UINT64CONST(1) << minute)) != 0;
}

/*
 * Local times that come a second time on that day, for schedules of every hour:
 * the first of these that is due after a time.
 */
static int64
next_repeated(const PgCacheSchedule *schedule, int64 day, int64 after, const Zone *zone)
{
	int64		low = from_local(zone, day * DAY);
	int64		high = from_local(zone, (day + 1) * DAY);
	int64		shift = offset_at(zone, low) - offset_at(zone, high);
	int64		change;

	if (shift <= 0)
		return PGCACHE_SCHEDULE_NEVER;
	change = find_change(zone, low, high);
	for (int64 at = change; at < change + shift; at += MINUTE)
	{
		int64		of_day = at + offset_at(zone, at) - day * DAY;

		if (at > after && of_day >= 0 && of_day < DAY && minute_matches(schedule, of_day))
			return at;
	}
	return PGCACHE_SCHEDULE_NEVER;
}

/* The first time after a time on a day that matches. */
static int64
next_on_day(const PgCacheSchedule *schedule, int64 day, int64 after, const Zone *zone)
{
	int64		result = PGCACHE_SCHEDULE_NEVER;

	for (int hour = 0; hour < 24; hour++)
	{
		int64		last = day * DAY + hour * HOUR + 59 * MINUTE;

		if ((schedule->hours & (1U << hour)) == 0 || from_local(zone, last) <= after)
			continue;
		for (int minute = 0; minute < 60 && result == PGCACHE_SCHEDULE_NEVER; minute++)
		{
			int64		at;

			if ((schedule->minutes & (UINT64CONST(1) << minute)) == 0)
				continue;
			at = from_local(zone, day * DAY + hour * HOUR + minute * MINUTE);
			if (at > after)
				result = at;
		}
		if (result != PGCACHE_SCHEDULE_NEVER)
			break;
	}
	if (schedule->every_hour)
		result = Min(result, next_repeated(schedule, day, after, zone));
	return result;
}

int64
pgcache_schedule_next(const PgCacheSchedule *schedule, int64 after,
					  PgCacheZone offset, void *zone)
{
	Zone		z = {offset, zone};
	int64		local = after + offset_at(&z, after);
	int64		day = (local >= 0 ? local : local - DAY + 1) / DAY;
	int64		last = day + YEARS_AHEAD * 366;

	/* Clocks that were put back may have left the day that is theirs now. */
	day--;
	while (day <= last)
	{
		Date		date = date_of(day);
		int64		at;

		if ((schedule->months & (1U << date.month)) == 0)
		{
			day += days_in_month(date.year, date.month) - date.day + 1;
			continue;
		}
		if (day_matches(schedule, &date))
		{
			at = next_on_day(schedule, day, after, &z);
			if (at != PGCACHE_SCHEDULE_NEVER)
				return at;
		}
		day++;
	}
	return PGCACHE_SCHEDULE_NEVER;
}
