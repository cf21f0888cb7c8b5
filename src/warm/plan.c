/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  When a warmer is next due.
 *
 * - cron: at its times.  What was missed while the server or the worker was down,
 *	 or the warmer was still running, is not made up for.
 * - an interval: that long after the last start, the first time after the worker
 *	 came to know the warmer.
 * - @start: once, if the server was started after the warmer was created.
 * - @invalidate: when the namespace's counters of invalidations have risen, but not
 *	 sooner than a second after the last start.  Where the warmer has tags, and only
 *	 tags were invalidated, one of the warmer's must have been among them.  An
 *	 invalidation is counted when its transaction commits; it marks its tags a
 *	 moment before.  So a mark counts for a minute.
 *
 * Locking: none, this is the worker's own.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "stamp/stamp.h"
#include "store/store.h"
#include "warm/warm_internal.h"

/* Between two starts because of invalidations. */
#define DEBOUNCE	USECS_PER_SEC

/* How long a change of a tag's stamp counts. */
#define TOUCHED		USECS_PER_MINUTE

/* The pause before the second attempt; it doubles for each further one. */
#define FIRST_PAUSE	(5 * USECS_PER_SEC)
#define MAX_PAUSE	USECS_PER_HOUR

static int64
draw_jitter(const PgCachePlan *plan)
{
	return (int64) (plan->jitter * pg_prng_double(&pg_global_prng_state));
}

/* Plans the next regular start after a time. */
static void
plan_next(PgCachePlan *plan, TimestampTz after)
{
	plan->next = DT_NOEND;
	plan->reason = "schedule";
	if (plan->schedule.kind == PGCACHE_SCHEDULE_CRON)
		plan->next = pgcache_warmer_next(&plan->schedule, plan->zone, after);
	else if (plan->schedule.kind == PGCACHE_SCHEDULE_INTERVAL)
		plan->next = after + plan->schedule.usec;
	if (plan->next != DT_NOEND)
		plan->next += draw_jitter(plan);
}

/* ---- invalidations ---------------------------------------------------------- */

static void
count_invalidations(const PgCachePlan *plan, uint64 *tag, uint64 *other)
{
	uint64		sums[PGCACHE_NCOUNTERS];

	pgcache_counters_read(plan->slot, plan->incarnation, sums);
	*tag = sums[PGCACHE_INVALIDATED_TAG];
	*other = sums[PGCACHE_INVALIDATED_MANUAL] + sums[PGCACHE_INVALIDATED_PATTERN] +
		sums[PGCACHE_INVALIDATED_TABLE] + sums[PGCACHE_INVALIDATED_FILE] +
		sums[PGCACHE_INVALIDATED_ERROR];
}

/* Whether the stamp of one of the tags has changed since the last look. */
static bool
look_at_tags(PgCachePlan *plan)
{
	const char *tag = plan->tags;
	bool		changed = false;

	for (int i = 0; i < plan->ntags; i++)
	{
		PgCacheStamp stamp = pgcache_stamp_of_tag(plan->slot, tag + 1, (uint8) *tag);
		uint64		number = pg_atomic_read_u64(pgcache_stamp_last(stamp));

		changed = changed || number != plan->seen_stamps[i];
		plan->seen_stamps[i] = number;
		tag += 1 + (uint8) *tag;
	}
	return changed;
}

/* A counter that was set back to zero begins anew. */
static bool
has_risen(uint64 count, uint64 before)
{
	return count > before || (count < before && count > 0);
}

void
pgcache_plan_look(PgCachePlan *plan, TimestampTz now)
{
	uint64		tag;
	uint64		other;
	bool		rose;

	if (plan->schedule.kind != PGCACHE_SCHEDULE_INVALIDATE || !plan->has_slot)
		return;
	if (look_at_tags(plan))
		plan->touched = now;
	count_invalidations(plan, &tag, &other);
	rose = has_risen(other, plan->seen_other) ||
		(has_risen(tag, plan->seen_tag) &&
		 (plan->ntags == 0 || now - plan->touched < TOUCHED));
	plan->seen_tag = tag;
	plan->seen_other = other;
	if (rose && plan->next == DT_NOEND)
	{
		plan->next = now;
		if (plan->last_start != DT_NOBEGIN)
			plan->next = Max(now, plan->last_start + DEBOUNCE);
		plan->next += draw_jitter(plan);
		plan->reason = "invalidation";
	}
}

/* Begins to look at the namespace, if it is there. */
static void
begin_looking(PgCachePlan *plan)
{
	bool		no_slot;
	PgCacheSpace *space = pgcache_space_find(plan->space, strlen(plan->space), &no_slot);

	plan->has_slot = space != NULL;
	if (space == NULL)
		return;
	plan->slot = space->slot;
	plan->incarnation = space->incarnation;
	(void) look_at_tags(plan);
	count_invalidations(plan, &plan->seen_tag, &plan->seen_other);
	plan->touched = pgcache_clock_now() - TOUCHED;
}

/* ---- starts and ends -------------------------------------------------------- */

TimestampTz
pgcache_plan_due(PgCachePlan *plan, TimestampTz now)
{
	pgcache_plan_look(plan, now);
	return plan->enabled ? Min(plan->next, plan->retry) : DT_NOEND;
}

bool
pgcache_plan_is_retry(const PgCachePlan *plan, TimestampTz now)
{
	return plan->retry <= now && plan->next > now;
}

/* Another attempt leaves the regular start where it was. */
void
pgcache_plan_started(PgCachePlan *plan, bool retry, TimestampTz now)
{
	if (!retry)
	{
		plan->attempts = 0;
		plan_next(plan, now);
	}
	plan->retry = DT_NOEND;
	plan->attempts++;
	plan->last_start = now;
}

/* Plans another attempt, if that was not the last. */
static void
plan_retry(PgCachePlan *plan, TimestampTz after)
{
	if (plan->attempts > 0 && plan->attempts < plan->max_attempts)
		plan->retry = after + (plan->attempts <= 10 ?
							   Min(FIRST_PAUSE << (plan->attempts - 1), MAX_PAUSE) : MAX_PAUSE);
	else
		plan->attempts = 0;
}

void
pgcache_plan_ended(PgCachePlan *plan, const PgCacheRun *run, TimestampTz now)
{
	/* Times that came while it ran. */
	if (plan->schedule.kind == PGCACHE_SCHEDULE_CRON && plan->next <= now)
		plan_next(plan, now);

	/* Another worker may have started it, and the table not know of that yet. */
	plan->attempts = run->attempt;
	plan->retry = DT_NOEND;
	if (run->failed && !run->unwanted)
		plan_retry(plan, now);
	else
		plan->attempts = 0;
}

/* ---- reading ---------------------------------------------------------------- */

static void
take_tags(PgCachePlan *plan, const PgCacheWarmer *warmer)
{
	Datum	   *tags;
	bool	   *nulls;
	char	   *end;
	int			n;

	if (warmer->nulls[PGCACHE_WARMER_TAGS])
		return;
	deconstruct_array(DatumGetArrayTypeP(warmer->values[PGCACHE_WARMER_TAGS]),
					  TEXTOID, -1, false, TYPALIGN_INT, &tags, &nulls, &n);
	end = plan->tags = palloc(Max(n, 1) * (PGCACHE_MAX_TAG_LEN + 1));
	for (int i = 0; i < n && plan->ntags < lengthof(plan->seen_stamps); i++)
	{
		int			len = nulls[i] ? 0 : VARSIZE_ANY_EXHDR(DatumGetTextPP(tags[i]));

		if (len < 1 || len > PGCACHE_MAX_TAG_LEN)
			continue;
		*end++ = (char) len;
		memcpy(end, VARDATA_ANY(DatumGetTextPP(tags[i])), len);
		end += len;
		plan->ntags++;
	}
}

static char *
definition_of(const PgCacheWarmer *warmer)
{
	bool		has_tags = !warmer->nulls[PGCACHE_WARMER_TAGS];
	bool		has_zone = !warmer->nulls[PGCACHE_WARMER_TIME_ZONE];
	Oid			output;
	bool		is_varlena;

	getTypeOutputInfo(TEXTARRAYOID, &output, &is_varlena);
	return psprintf("%s\n%s\n%s\n%s\n" INT64_FORMAT "\n%d\n" INT64_FORMAT,
					WARMER_TEXT(warmer, SCHEDULE),
					has_zone ? WARMER_TEXT(warmer, TIME_ZONE) : pg_get_timezone_name(log_timezone),
					WARMER_TEXT(warmer, NAMESPACE),
					has_tags ? OidOutputFunctionCall(output, warmer->values[PGCACHE_WARMER_TAGS]) : "",
					pgcache_warmer_usec(warmer, PGCACHE_WARMER_JITTER),
					DatumGetBool(warmer->values[PGCACHE_WARMER_ENABLED]),
					DatumGetTimestampTz(warmer->values[PGCACHE_WARMER_CREATED_AT]));
}

/* What was planned before stays as it was. */
static bool
keep_plan(PgCachePlan *plan, List *old)
{
	ListCell   *lc;

	foreach(lc, old)
	{
		const PgCachePlan *before = lfirst(lc);

		if (strcmp(before->name, plan->name) != 0 || before->fault != NULL ||
			strcmp(before->definition, plan->definition) != 0)
			continue;
		plan->next = before->next;
		plan->reason = before->reason;
		plan->retry = before->retry;
		plan->attempts = before->attempts;
		plan->last_start = before->last_start;
		if (before->has_slot && plan->has_slot && before->incarnation == plan->incarnation)
		{
			plan->seen_tag = before->seen_tag;
			plan->seen_other = before->seen_other;
			memcpy(plan->seen_stamps, before->seen_stamps, sizeof(plan->seen_stamps));
			plan->touched = before->touched;
		}
		return true;
	}
	return false;
}

/* Whether this worker knows the warmer, as it is now or as it was before. */
static bool
is_known(const PgCachePlan *plan, List *old)
{
	ListCell   *lc;

	foreach(lc, old)
	{
		const PgCachePlan *before = lfirst(lc);

		if (before->created == plan->created && strcmp(before->name, plan->name) == 0)
			return true;
	}
	return false;
}

/*
 * Takes up what another worker left: the last start, and an attempt that is to
 * follow, or may when the run that is under way fails.  If we know the warmer, it
 * was altered, which ends its attempts.  The clock may have been put back since.
 */
static void
take_past(PgCachePlan *plan, const PgCacheWarmPast *past, TimestampTz now, List *old)
{
	plan->last_start = Min(past->last_start, now);
	if (past->last_end == DT_NOEND)
		plan->attempts = past->attempt;
	else if (past->again && !is_known(plan, old))
	{
		plan->attempts = past->attempt;
		plan_retry(plan, Min(past->last_end, now));
	}
}

/* Plans the first start that this worker knows of. */
static void
begin_plan(PgCachePlan *plan, const PgCacheWarmer *warmer, List *old, List *past)
{
	TimestampTz now = pgcache_clock_now();
	bool		at_start = false;
	ListCell   *lc;

	foreach(lc, past)
	{
		const PgCacheWarmPast *p = lfirst(lc);

		/* Runs of before it was created are those of another of its name. */
		if (strcmp(p->name, plan->name) != 0 || p->last_start < plan->created)
			continue;
		take_past(plan, p, now, old);
		at_start = p->at_start;
	}
	if (plan->schedule.kind == PGCACHE_SCHEDULE_INTERVAL && plan->last_start != DT_NOBEGIN)
		plan_next(plan, plan->last_start);
	else
		plan_next(plan, now);
	if (plan->schedule.kind == PGCACHE_SCHEDULE_START && !at_start &&
		plan->created < pgcache_runs_epoch())
	{
		plan->next = now + draw_jitter(plan);
		plan->reason = "start";
	}
}

static PgCachePlan *
read_plan(const PgCacheWarmer *warmer, List *old, List *past)
{
	PgCachePlan *plan = palloc0(sizeof(PgCachePlan));
	bool		has_zone = !warmer->nulls[PGCACHE_WARMER_TIME_ZONE];

	plan->name = WARMER_TEXT(warmer, NAME);
	plan->definition = definition_of(warmer);
	plan->created = DatumGetTimestampTz(warmer->values[PGCACHE_WARMER_CREATED_AT]);
	plan->owner = DatumGetObjectId(warmer->values[PGCACHE_WARMER_OWNER]);
	plan->enabled = DatumGetBool(warmer->values[PGCACHE_WARMER_ENABLED]);
	plan->max_attempts = DatumGetInt32(warmer->values[PGCACHE_WARMER_MAX_ATTEMPTS]);
	plan->jitter = pgcache_warmer_usec(warmer, PGCACHE_WARMER_JITTER);
	plan->space = WARMER_TEXT(warmer, NAMESPACE);
	take_tags(plan, warmer);
	plan->retry = DT_NOEND;
	plan->last_start = DT_NOBEGIN;
	pgcache_warmer_schedule(WARMER_TEXT(warmer, SCHEDULE), &plan->schedule);
	plan->zone = pgcache_warmer_zone(has_zone ? WARMER_TEXT(warmer, TIME_ZONE) : NULL);
	if (plan->schedule.kind == PGCACHE_SCHEDULE_INVALIDATE && plan->enabled)
		begin_looking(plan);
	if (!keep_plan(plan, old))
		begin_plan(plan, warmer, old, past);
	return plan;
}

/* One that is never due. */
static PgCachePlan *
no_plan(const PgCacheWarmer *warmer, const char *fault, List *old)
{
	PgCachePlan *plan = palloc0(sizeof(PgCachePlan));
	ListCell   *lc;

	plan->name = WARMER_TEXT(warmer, NAME);
	plan->definition = pstrdup("");
	plan->fault = pstrdup(fault);
	plan->next = plan->retry = DT_NOEND;
	foreach(lc, old)
	{
		const PgCachePlan *before = lfirst(lc);

		if (strcmp(before->name, plan->name) == 0 && before->fault != NULL &&
			strcmp(before->fault, fault) == 0)
			return plan;
	}
	ereport(LOG,
			(errmsg("warmer \"%s\" is left out: %s", plan->name, fault)));
	return plan;
}

/*
 * A row that was written to the table directly may hold anything, a zone may be
 * gone from the machine, the owner from the server: such a warmer is left out, with
 * a line in the log.
 */
static PgCachePlan *
try_read_plan(const PgCacheWarmer *warmer, List *old, List *past)
{
	MemoryContext caller = CurrentMemoryContext;
	const char *fault = pgcache_warmer_owner_fault(warmer);
	PgCachePlan *volatile plan = NULL;

	if (fault != NULL)
		return no_plan(warmer, fault, old);
	PG_TRY();
	{
		plan = read_plan(warmer, old, past);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		if (geterrcode() != ERRCODE_INVALID_PARAMETER_VALUE)
			PG_RE_THROW();
		error = CopyErrorData();
		FlushErrorState();
		plan = no_plan(warmer, error->message, old);
	}
	PG_END_TRY();
	return plan;
}

List *
pgcache_plans_read(List *old)
{
	List	   *warmers = pgcache_warmers_read(NULL);
	List	   *past = warmers != NIL ? pgcache_warm_log_past() : NIL;
	List	   *plans = NIL;
	ListCell   *lc;

	foreach(lc, warmers)
		plans = lappend(plans, try_read_plan(lfirst(lc), old, past));
	return plans;
}
