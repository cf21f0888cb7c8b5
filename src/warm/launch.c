/*-------------------------------------------------------------------------
 *
 * launch.c
 *	  The worker's job: starts the warmers that are due, in processes of their own,
 *	  and notes what became of them.
 *
 * The worker keeps the warmers in memory and reads the table again when it is told
 * of a change.  A run's row is made when its process is asked for, and gets its end
 * when the process has left that in its slot, or the postmaster says that it is
 * gone.  Rows that an earlier worker, or life of the server, left without an end
 * get one when the worker begins.
 *
 * Locking: none of its own.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "warm/warm_internal.h"

/* Old rows are deleted that often. */
#define TRIM_INTERVAL	USECS_PER_HOUR

/* Where there is no room for a process, the next try is made after that. */
#define NO_PROCESS_PAUSE	(10 * USECS_PER_SEC)

/* What the worker knows of the table. */
static MemoryContext plans_context = NULL;
static List *plans = NIL;
static bool plans_stale = true;
static Oid	plans_table = InvalidOid;
static bool plans_look = false; /* one of them waits for invalidations */
static uint64 plans_changes = 0;	/* of namespaces, then */
static pg_tz *plans_zone = NULL;	/* log_timezone, then */

static bool beginning = false;	/* this transaction does the first look */
static bool begun = false;		/* it was done */
static TimestampTz last_now = DT_NOBEGIN;
static TimestampTz next_trim = DT_NOEND;
static TimestampTz no_process_until = DT_NOBEGIN;
static bool no_process_logged = false;

/* What this worker knows of a slot. */
typedef struct Slot
{
	BackgroundWorkerHandle *handle; /* of the process that it asked for, or
									 * NULL */
	uint64		told;			/* the plan was told of this run's end */

	/* what this transaction has written; 0: nothing */
	uint64		ended;			/* the end of that run */
	uint64		started;		/* the start of that run, */
	int64		id;				/* as that row */
} Slot;

static Slot *slots = NULL;		/* in TopMemoryContext */

/* ---- the table -------------------------------------------------------------- */

static void
on_relation_change(Datum arg, Oid relation)
{
	if (!OidIsValid(relation) || relation == plans_table)
		plans_stale = true;
}

static PgCachePlan *
find_plan(const char *name)
{
	ListCell   *lc;

	foreach(lc, plans)
	{
		PgCachePlan *plan = lfirst(lc);

		if (strcmp(plan->name, name) == 0)
			return plan;
	}
	return NULL;
}

/* Tells a process of this database to end, if it runs. */
static void
end_process(int slot, const PgCacheRun *run)
{
	if (run->by_hand || run->state == PGCACHE_RUN_DONE)
		return;
	if (slots != NULL && slots[slot].handle != NULL)
		TerminateBackgroundWorker(slots[slot].handle);
	else if (run->pid != 0)
		kill(run->pid, SIGTERM);
}

/* Ends the runs of warmers that were dropped or disabled, or are another's now. */
static void
end_unwanted(void)
{
	PgCacheRun	run;

	for (int i = 0; i < pgcache_runs_max(); i++)
	{
		const PgCachePlan *plan;

		if (!pgcache_runs_copy(i, &run))
			continue;
		plan = find_plan(run.name);
		if (plan == NULL || !plan->enabled || plan->owner != run.owner ||
			plan->created != run.created)
			end_process(i, &run);
	}
}

void
pgcache_warm_forget(void)
{
	PgCacheRun	run;

	for (int i = 0; i < pgcache_runs_max(); i++)
		if (pgcache_runs_copy(i, &run))
			end_process(i, &run);
}

static void
read_plans(void)
{
	MemoryContext fresh = AllocSetContextCreate(TopMemoryContext, "pg_cache warmers",
												ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(fresh);
	ListCell   *lc;
	List	   *list;

	/* What changes from now on is news again. */
	plans_stale = false;
	plans_table = pgcache_warm_table();
	plans_changes = pg_atomic_read_u64(pgcache_space_changes);
	plans_zone = log_timezone;
	PG_TRY();
	{
		list = pgcache_plans_read(plans);
	}
	PG_CATCH();
	{
		plans_stale = true;
		MemoryContextSwitchTo(caller);
		MemoryContextDelete(fresh);
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	if (plans_context != NULL)
		MemoryContextDelete(plans_context);
	plans_context = fresh;
	plans = list;
	plans_look = false;
	foreach(lc, plans)
	{
		const PgCachePlan *plan = lfirst(lc);

		plans_look = plans_look || plan->schedule.kind == PGCACHE_SCHEDULE_INVALIDATE;
	}
	end_unwanted();
}

/* ---- ends ------------------------------------------------------------------- */

/* Notes that a process is gone that has not told so itself; whether it is. */
static bool
check_process(int slot, const PgCacheRun *run)
{
	PgCacheRun	end = {.failed = true};
	pid_t		pid;

	if (slots[slot].handle == NULL || run->state == PGCACHE_RUN_DONE ||
		GetBackgroundWorkerPid(slots[slot].handle, &pid) != BGWH_STOPPED)
		return false;
	strlcpy(end.sqlstate, "58000", sizeof(end.sqlstate));
	strlcpy(end.error, "the process ended before it began", sizeof(end.error));
	pgcache_runs_end(slot, run->number, &end);
	return true;
}

/* Whether the start or the end of a run of this database is not in the table. */
static bool
has_news(void)
{
	PgCacheRun	run;

	for (int i = 0; i < pgcache_runs_max(); i++)
	{
		if (!pgcache_runs_copy(i, &run) || run.by_hand)
			continue;
		if (run.state == PGCACHE_RUN_DONE || run.id == 0 || check_process(i, &run))
			return true;
	}
	return false;
}

/* Tells the plans which runs have ended, once. */
static void
tell_ends(TimestampTz now)
{
	PgCacheRun	run;

	for (int i = 0; i < pgcache_runs_max(); i++)
	{
		PgCachePlan *plan;

		if (!pgcache_runs_copy(i, &run) || run.state != PGCACHE_RUN_DONE ||
			slots[i].told == run.number)
			continue;
		slots[i].told = run.number;
		if (slots[i].handle != NULL)
			pfree(slots[i].handle);
		slots[i].handle = NULL;
		plan = find_plan(run.name);
		if (plan != NULL && plan->created == run.created)
			pgcache_plan_ended(plan, &run, now);
	}
}

/*
 * Writes to the table which runs have begun or ended.  A run that has ended before
 * its start was written gets its row now.
 */
static void
write_news(void)
{
	PgCacheRun	run;

	for (int i = 0; i < pgcache_runs_max(); i++)
	{
		if (!pgcache_runs_copy(i, &run) || run.by_hand)
			continue;
		if (run.state == PGCACHE_RUN_DONE)
		{
			/* It has ended since; its plan must be told first. */
			if (slots[i].told != run.number)
				continue;
			pgcache_warm_log_end(&run);
			slots[i].ended = run.number;
		}
		else if (run.id == 0)
		{
			slots[i].id = pgcache_warm_log_start(&run);
			slots[i].started = run.number;
		}
	}
}

/* What was written counts: a slot is free when the table has the end of its run. */
static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	begun = begun || (beginning && event == XACT_EVENT_COMMIT);
	beginning = false;
	for (int i = 0; i < pgcache_runs_max(); i++)
	{
		if (slots[i].started != 0 && event == XACT_EVENT_COMMIT)
			pgcache_runs_set_id(i, slots[i].started, slots[i].id);
		if (slots[i].ended != 0 && event == XACT_EVENT_COMMIT)
			pgcache_runs_free(i, slots[i].ended);
		slots[i].started = slots[i].ended = 0;
	}
}

/*
 * The worker's first look: what another worker asked for and has not begun is not
 * wanted any more; what has begun goes on, and will be noted.
 */
static void
take_over(void)
{
	int64	   *running = palloc(pgcache_runs_max() * sizeof(int64));
	int			n = 0;
	PgCacheRun	run;

	for (int i = 0; i < pgcache_runs_max(); i++)
	{
		if (!pgcache_runs_copy(i, &run) || run.by_hand)
			continue;
		if (run.state == PGCACHE_RUN_STARTING)
			pgcache_runs_free(i, run.number);
		else
			running[n++] = run.id;
	}
	pgcache_warm_log_close(running, n);
	pgcache_warm_log_trim();
	next_trim = pgcache_clock_now() + TRIM_INTERVAL;
	pfree(running);
}

/* ---- starts ----------------------------------------------------------------- */

static bool
register_process(const PgCacheRun *run, int slot)
{
	BackgroundWorker worker;
	MemoryContext caller;
	bool		registered;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = Int32GetDatum(slot);
	strlcpy(worker.bgw_type, "pg_cache warmer", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "pg_cache warmer %s", run->name);
	strlcpy(worker.bgw_library_name, "pg_cache", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "pgcache_warmer_main", sizeof(worker.bgw_function_name));
	memcpy(worker.bgw_extra, &run->number, sizeof(run->number));

	caller = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &slots[slot].handle);
	MemoryContextSwitchTo(caller);
	return registered;
}

/* There is no free slot of max_worker_processes: one line in the log, and later. */
static void
put_off(TimestampTz now)
{
	no_process_until = now + NO_PROCESS_PAUSE;
	if (!no_process_logged)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker can be started for a warmer"),
				 errdetail("It will be tried again."),
				 errhint("You might need to increase \"%s\".", "max_worker_processes")));
	no_process_logged = true;
}

/* Starts a warmer; false if no more can be started now. */
static bool
start(PgCachePlan *plan, TimestampTz now)
{
	PgCacheRun	run = {0};
	bool		again = pgcache_plan_is_retry(plan, now);
	int			slot;

	strlcpy(run.name, plan->name, sizeof(run.name));
	strlcpy(run.reason, again ? "retry" : plan->reason, sizeof(run.reason));
	run.owner = plan->owner;
	run.created = plan->created;
	run.started = now;
	run.attempt = again ? plan->attempts + 1 : 1;
	slot = pgcache_runs_claim(&run);
	if (slot == PGCACHE_RUN_IS_RUNNING)
		return true;
	if (slot < 0)
		return false;
	if (!register_process(&run, slot))
	{
		pgcache_runs_free(slot, run.number);
		put_off(now);
		return false;
	}
	no_process_logged = false;
	pgcache_plan_started(plan, again, now);
	return true;
}

/*
 * The warmer to be started next, or NULL: of those that are due and not running, one
 * whose owner has the fewest running, and that is due for longest.
 */
static PgCachePlan *
find_due(TimestampTz now)
{
	PgCachePlan *result = NULL;
	TimestampTz earliest = DT_NOEND;
	int			fewest = INT_MAX;
	ListCell   *lc;

	foreach(lc, plans)
	{
		PgCachePlan *plan = lfirst(lc);
		TimestampTz due = pgcache_plan_due(plan, now);
		int			running;

		if (due > now || pgcache_runs_has(plan->name))
			continue;
		running = pgcache_runs_of(plan->owner);
		if (running > fewest || (running == fewest && due >= earliest))
			continue;
		result = plan;
		earliest = due;
		fewest = running;
	}
	return result;
}

/* Each owner, and of his warmers each, has its turn. */
static void
start_due(TimestampTz now)
{
	for (int i = 0; i < PGCACHE_MAX_WARMERS_MAX; i++)
	{
		PgCachePlan *plan = find_due(now);

		if (plan == NULL || !start(plan, now))
			return;
	}
}

/* ---- the job ---------------------------------------------------------------- */

static void
begin(void)
{
	if (slots == NULL)
	{
		slots = MemoryContextAllocZero(TopMemoryContext, pgcache_runs_max() * sizeof(Slot));
		RegisterXactCallback(on_transaction_end, NULL);
		pgcache_space_on_relcache(on_relation_change);
	}
}

/* When the first of the warmers is due that isn't running. */
static TimestampTz
first_due(TimestampTz now)
{
	TimestampTz result = DT_NOEND;
	ListCell   *lc;

	foreach(lc, plans)
	{
		PgCachePlan *plan = lfirst(lc);
		TimestampTz due = pgcache_plan_due(plan, now);

		if (due < result && !pgcache_runs_has(plan->name))
			result = due;
	}
	if (result <= now && !pgcache_runs_have_room())
		return DT_NOEND;		/* whoever makes room wakes us */
	return Max(result, no_process_until);
}

TimestampTz
pgcache_warm_due(void)
{
	TimestampTz now = pgcache_clock_now();

	begin();

	/*
	 * Namespaces came or went; or the clock was put back, so that plans are
	 * void.
	 */
	if (plans_look && plans_changes != pg_atomic_read_u64(pgcache_space_changes))
		plans_stale = true;
	if (plans_zone != log_timezone)
		plans_stale = true;
	if (now < last_now - USECS_PER_MINUTE)
	{
		plans = NIL;
		plans_stale = true;
		no_process_until = DT_NOBEGIN;
		if (next_trim != DT_NOEND)
			next_trim = Min(next_trim, now + TRIM_INTERVAL);
	}
	last_now = now;
	if (plans_stale || !begun || has_news())
		return DT_NOBEGIN;
	return Min(first_due(now), plans != NIL ? next_trim : DT_NOEND);
}

void
pgcache_warm_run(void)
{
	TimestampTz now = pgcache_clock_now();

	begin();
	if (!OidIsValid(pgcache_warm_table()))
	{
		plans = NIL;
		plans_stale = false;
		plans_zone = log_timezone;
		return;
	}
	if (!begun)
	{
		/* Alone: what it does to shared memory must not hit what we start. */
		take_over();
		beginning = true;
		return;
	}
	if (plans_stale)
		read_plans();

	/* First what does not need the table: somebody may have locked that. */
	tell_ends(now);
	if (now >= no_process_until)
		start_due(now);
	write_news();
	if (now >= next_trim)
	{
		pgcache_warm_log_trim();
		next_trim = now + TRIM_INTERVAL;
	}
}
