/*-------------------------------------------------------------------------
 *
 * definition.c
 *	  What a warmer may be: checks, defaults, and what its schedule means.
 *
 * Locking: none.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/plancache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/interval.h"
#include "store/store.h"
#include "warm/warm_internal.h"

#define COLUMN_NAME(NAME, column, type)	#column,
static const char *const column_names[] = {
	PGCACHE_WARMER_COLUMNS(COLUMN_NAME)
};

int
pgcache_warmer_option(const char *name)
{
	for (int i = PGCACHE_WARMER_FIRST_OPTION; i <= PGCACHE_WARMER_LAST_OPTION; i++)
		if (strcmp(name, column_names[i]) == 0)
			return i;
	return -1;
}

const char *
pgcache_warmer_option_name(PgCacheWarmerColumn option)
{
	return column_names[option];
}

static Datum
interval_of(int64 usec)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = usec;
	return IntervalPGetDatum(interval);
}

bool
pgcache_warmer_default(PgCacheWarmer *warmer, PgCacheWarmerColumn option)
{
	Datum		value = (Datum) 0;
	bool		isnull = false;

	switch (option)
	{
		case PGCACHE_WARMER_NAMESPACE:
			value = CStringGetTextDatum(PGCACHE_DEFAULT_SPACE);
			break;
		case PGCACHE_WARMER_TTL:
		case PGCACHE_WARMER_TAGS:
		case PGCACHE_WARMER_TIME_ZONE:
			isnull = true;
			break;
		case PGCACHE_WARMER_TIMEOUT:
			value = interval_of(5 * USECS_PER_MINUTE);
			break;
		case PGCACHE_WARMER_MAX_ROWS:
			value = Int64GetDatum(1000000);
			break;
		case PGCACHE_WARMER_MAX_ATTEMPTS:
			value = Int32GetDatum(3);
			break;
		case PGCACHE_WARMER_JITTER:
			value = interval_of(0);
			break;
		case PGCACHE_WARMER_ENABLED:
			value = BoolGetDatum(true);
			break;
		default:
			return false;
	}
	warmer->values[option] = value;
	warmer->nulls[option] = isnull;
	return true;
}

int64
pgcache_warmer_usec(const PgCacheWarmer *warmer, PgCacheWarmerColumn column)
{
	int64		usec;

	(void) pgcache_interval_usec(DatumGetIntervalP(warmer->values[column]), &usec);
	return usec;
}

/* ---- schedules -------------------------------------------------------------- */

#define SCHEDULE_HINT \
	"A schedule is five fields (minute, hour, day of the month, month, day of the week), an interval such as '30 s', @hourly, @daily, @weekly, @monthly, @yearly, @start or @invalidate."

/* An interval by PostgreSQL's own rules; false if it is none. */
static bool
parse_interval(const char *text, Interval **interval)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile bool good = true;

	/* The input function holds nothing that would have to be given back. */
	PG_TRY();
	{
		*interval = DatumGetIntervalP(DirectFunctionCall3(interval_in,
														  CStringGetDatum(text),
														  ObjectIdGetDatum(InvalidOid),
														  Int32GetDatum(-1)));
	}
	PG_CATCH();
	{
		int			class;

		MemoryContextSwitchTo(caller);
		class = ERRCODE_TO_CATEGORY(geterrcode());
		if (class != ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION))
			PG_RE_THROW();
		FlushErrorState();
		good = false;
	}
	PG_END_TRY();
	return good;
}

void
pgcache_warmer_schedule(const char *text, PgCacheSchedule *schedule)
{
	PgCacheScheduleError error;
	Interval   *interval;

	switch (pgcache_schedule_parse(text, schedule, &error))
	{
		case PGCACHE_SCHEDULE_GOOD:
			return;
		case PGCACHE_SCHEDULE_BAD:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid schedule \"%s\"", text),
					 errdetail("At character %d: %s.", error.place, error.message),
					 errhint(SCHEDULE_HINT)));
		case PGCACHE_SCHEDULE_OTHER:
			break;
	}
	if (!parse_interval(text, &interval))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid schedule \"%s\"", text),
				 errhint(SCHEDULE_HINT)));
	schedule->kind = PGCACHE_SCHEDULE_INTERVAL;
	if (!pgcache_interval_usec(interval, &schedule->usec))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("interval of a schedule must be greater than zero")));
}

pg_tz *
pgcache_warmer_zone(const char *name)
{
	pg_tz	   *zone;

	if (name == NULL)
		return log_timezone;
	zone = strlen(name) <= TZ_STRLEN_MAX ? pg_tzset(name) : NULL;
	if (zone == NULL || !pg_tz_acceptable(zone))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", name)));
	return zone;
}

/* Seconds from 1970 to PostgreSQL's epoch. */
#define EPOCH_SHIFT \
	((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY)

static int
zone_offset(void *zone, int64 at)
{
	pg_time_t	t = (pg_time_t) at;
	struct pg_tm *tm = pg_localtime(&t, zone);

	return tm != NULL ? (int) tm->tm_gmtoff : 0;
}

TimestampTz
pgcache_warmer_next(const PgCacheSchedule *schedule, pg_tz *zone, TimestampTz after)
{
	int64		seconds = after / USECS_PER_SEC - (after % USECS_PER_SEC < 0 ? 1 : 0);
	int64		at = pgcache_schedule_next(schedule, seconds + EPOCH_SHIFT, zone_offset, zone);

	return at == PGCACHE_SCHEDULE_NEVER ? DT_NOEND : (at - EPOCH_SHIFT) * USECS_PER_SEC;
}

static void
check_schedule(const PgCacheWarmer *warmer)
{
	char	   *expression = WARMER_TEXT(warmer, SCHEDULE);
	bool		has_zone = !warmer->nulls[PGCACHE_WARMER_TIME_ZONE];
	pg_tz	   *zone = pgcache_warmer_zone(has_zone ? WARMER_TEXT(warmer, TIME_ZONE) : NULL);
	PgCacheSchedule schedule;

	pgcache_warmer_schedule(expression, &schedule);
	if (schedule.kind == PGCACHE_SCHEDULE_CRON &&
		pgcache_warmer_next(&schedule, zone, pgcache_clock_now()) == DT_NOEND)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schedule \"%s\" is never due", expression)));
}

/* ---- the rest --------------------------------------------------------------- */

static void
check_name(const PgCacheWarmer *warmer)
{
	int			len = strlen(WARMER_TEXT(warmer, NAME));

	if (len < 1 || len > PGCACHE_MAX_NAME_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("name of a warmer must have 1 to %d bytes, not %d",
						PGCACHE_MAX_NAME_LEN, len)));
}

static void
check_positive(const PgCacheWarmer *warmer, PgCacheWarmerColumn column)
{
	bool		good;
	int64		usec;

	if (column == PGCACHE_WARMER_MAX_ROWS)
		good = DatumGetInt64(warmer->values[column]) > 0;
	else if (column == PGCACHE_WARMER_MAX_ATTEMPTS)
		good = DatumGetInt32(warmer->values[column]) > 0;
	else
		good = warmer->nulls[column] ||
			pgcache_interval_usec(DatumGetIntervalP(warmer->values[column]), &usec);
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be greater than zero", column_names[column])));
}

/* Who holds a process for ever keeps others from theirs. */
static void
check_timeout(const PgCacheWarmer *warmer)
{
	check_positive(warmer, PGCACHE_WARMER_TIMEOUT);
	if (pgcache_warmer_usec(warmer, PGCACHE_WARMER_TIMEOUT) > USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must not be longer than a day")));
}

static void
check_jitter(const PgCacheWarmer *warmer)
{
	Interval   *jitter = DatumGetIntervalP(warmer->values[PGCACHE_WARMER_JITTER]);
	Interval	zero = {0};

	if (DatumGetBool(DirectFunctionCall2(interval_lt, IntervalPGetDatum(jitter),
										 IntervalPGetDatum(&zero))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("jitter must be greater than or equal to zero")));
}

static void
check_tags(const PgCacheWarmer *warmer)
{
	Datum	   *tags;
	bool	   *nulls;
	int			n;

	if (warmer->nulls[PGCACHE_WARMER_TAGS])
		return;
	deconstruct_array(DatumGetArrayTypeP(warmer->values[PGCACHE_WARMER_TAGS]),
					  TEXTOID, -1, false, TYPALIGN_INT, &tags, &nulls, &n);
	if (n > PGCACHE_MAX_TAGS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("too many tags"),
				 errdetail("An entry can have at most %d tags.", PGCACHE_MAX_TAGS)));
	for (int i = 0; i < n; i++)
	{
		int			len = nulls[i] ? 0 : VARSIZE_ANY_EXHDR(DatumGetTextPP(tags[i]));

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not be null", "tag")));
		if (len < 1 || len > PGCACHE_MAX_TAG_LEN)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("length of tag must be between %d and %d bytes",
							1, PGCACHE_MAX_TAG_LEN),
					 errdetail("The tag has %d bytes.", len)));
	}
}

static void
check_namespace(const PgCacheWarmer *warmer)
{
	Oid			owner = DatumGetObjectId(warmer->values[PGCACHE_WARMER_OWNER]);
	char	   *name = WARMER_TEXT(warmer, NAMESPACE);
	PgCacheSpace *space = pgcache_space_lookup(name, strlen(name), 0);

	if ((pgcache_space_privileges_of(space, owner) & PGCACHE_WRITE) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for namespace \"%s\"", name),
				 errdetail("The owner of a warmer must have the privilege \"write\" on its namespace.")));
}

const char *
pgcache_warmer_owner_fault(const PgCacheWarmer *warmer)
{
	Oid			owner = DatumGetObjectId(warmer->values[PGCACHE_WARMER_OWNER]);
	char	   *name = GetUserNameFromId(owner, true);

	if (name == NULL)
		return psprintf("role \"%s\", which owns it, was dropped",
						WARMER_TEXT(warmer, OWNER_NAME));
	if (strcmp(name, WARMER_TEXT(warmer, OWNER_NAME)) != 0)
		return psprintf("role \"%s\", which owns it, is now called \"%s\", or is another",
						WARMER_TEXT(warmer, OWNER_NAME), name);
	return NULL;
}

static void
check_owner(const PgCacheWarmer *warmer)
{
	Oid			owner = DatumGetObjectId(warmer->values[PGCACHE_WARMER_OWNER]);
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(owner));
	Form_pg_authid role;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role with OID %u does not exist", owner)));
	role = (Form_pg_authid) GETSTRUCT(tuple);
	if (!role->rolcanlogin)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" cannot own a warmer because it may not log in",
						NameStr(role->rolname)),
				 errdetail("A warmer runs in a process that is connected as its owner."),
				 errhint("Give the role the attribute LOGIN, or create the warmer as another role.")));
	ReleaseSysCache(tuple);
}

void
pgcache_warmer_check(const PgCacheWarmer *warmer, bool with_owner)
{
	check_name(warmer);
	if (with_owner)
		check_owner(warmer);
	check_schedule(warmer);
	check_positive(warmer, PGCACHE_WARMER_TTL);
	check_timeout(warmer);
	check_positive(warmer, PGCACHE_WARMER_MAX_ROWS);
	check_positive(warmer, PGCACHE_WARMER_MAX_ATTEMPTS);
	check_jitter(warmer);
	check_tags(warmer);
	if (with_owner)
		check_namespace(warmer);
}

/* ---- queries ---------------------------------------------------------------- */

/* Whether a statement only reads, but for what functions do that it calls. */
static bool
only_reads(const CachedPlanSource *source)
{
	const Query *query;

	if (list_length(source->query_list) != 1)
		return false;
	query = linitial_node(Query, source->query_list);
	return query->commandType == CMD_SELECT && !query->hasModifyingCTE &&
		query->rowMarks == NIL;
}

SPIPlanPtr
pgcache_warmer_prepare(const char *query)
{
	SPIPlanPtr	plan = SPI_prepare(query, 0, NULL);
	List	   *sources;
	CachedPlanSource *source;

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	sources = SPI_plan_get_plan_sources(plan);
	if (list_length(sources) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("query of a warmer must be one statement")));
	source = linitial(sources);
	if (!only_reads(source))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("query of a warmer must be a SELECT or VALUES that changes and locks nothing")));
	if (source->resultDesc == NULL || source->resultDesc->natts != 2)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("query of a warmer must have two columns, the key and the value"),
				 errdetail("It has %d.", source->resultDesc ? source->resultDesc->natts : 0)));
	return plan;
}
