/*-------------------------------------------------------------------------
 *
 * database.c
 *	  A database's worker: the loop over its jobs.
 *
 * Each job has a transaction of its own.  What goes wrong in one is logged, and
 * the job left alone for a while that doubles; the others go on.  Between the
 * jobs there is no transaction.
 *
 * The worker ends when the extension is gone, for which it looks when it was told
 * of a change of the extension's first table.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "shmem/debug_point.h"
#include "space/space.h"
#include "warm/warm.h"
#include "worker/worker_internal.h"

PGDLLEXPORT void pgcache_worker_main(Datum database);

/* Between two rounds of a job that is due again at once. */
#define SHORTEST_PAUSE	(INT64CONST(10) * 1000)

/* How often a job may find a lock taken before that is logged. */
#define QUIET_FAILURES	5

typedef struct JobState
{
	int			failures;		/* in succession */
	TimestampTz not_before;
} JobState;

static JobState *states = NULL;
static uint64 jobs_run = 0;
static char *database_name = NULL;

/* The extension's first table, and whether it must be looked for. */
static Oid	first_table = InvalidOid;
static bool look = true;

/* ---- is the extension there ------------------------------------------------- */

static void
on_relation_change(Datum arg, Oid relation)
{
	if (!OidIsValid(relation) || relation == first_table)
		look = true;
}

/* Asks the catalog itself: what is remembered of it may be older. */
static bool
has_extension(void)
{
	uint64		creations = pgcache_workers_creations();
	bool		found;

	look = false;
	StartTransactionCommand();
	found = OidIsValid(get_extension_oid("pg_cache", true));
	first_table = found ? get_relname_relid("cache_namespaces",
											pgcache_space_schema()) : InvalidOid;
	if (database_name == NULL)
	{
		char	   *name = get_database_name(MyDatabaseId);

		database_name = MemoryContextStrdup(TopMemoryContext, name ? name : "");
	}
	CommitTransactionCommand();
	if (!found)
		pgcache_workers_report(MyDatabaseId, PGCACHE_MISSING, creations);
	return found;
}

/* ---- jobs ------------------------------------------------------------------- */

uint64
pgcache_worker_jobs_run(void)
{
	return jobs_run;
}

bool
pgcache_worker_call(const char *columns, const char *function, const TimestampTz *arg)
{
	Oid			schema = pgcache_space_schema();
	Oid			type = TIMESTAMPTZOID;
	Datum		value = arg ? TimestampTzGetDatum(*arg) : (Datum) 0;
	char	   *sql;

	/* Dropped since we looked. */
	if (!OidIsValid(schema))
		return false;
	sql = psprintf("SELECT %s FROM %s.%s(%s) AS f", columns,
				   quote_identifier(get_namespace_name(schema)),
				   quote_identifier(function), arg ? "$1" : "");
	if (SPI_execute_with_args(sql, arg ? 1 : 0, &type, &value, NULL, false,
							  0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not execute \"%s\"", sql);
	return true;
}

static void
job_context(void *name)
{
	errcontext("job \"%s\" of the pg_cache worker in database \"%s\"",
			   (const char *) name, database_name);
}

static void
begin_job(const PgCacheJob *job)
{
	SetCurrentStatementStartTimestamp();
	debug_query_string = job->name;
	pgstat_report_activity(STATE_RUNNING, job->name);
	StartTransactionCommand();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end_job(void)
{
	PopActiveSnapshot();
	SPI_finish();
	CommitTransactionCommand();
}

/*
 * Logs, and ends the transaction.  That somebody else has a lock is worth a line
 * only if it goes on for long.
 */
static void
fail_job(int failures)
{
	int			code = geterrcode();
	bool		yielded = code == ERRCODE_LOCK_NOT_AVAILABLE ||
	code == ERRCODE_T_R_DEADLOCK_DETECTED;

	HOLD_INTERRUPTS();
	disable_all_timeouts(false);
	QueryCancelPending = false;
	if (!yielded || failures >= QUIET_FAILURES)
		EmitErrorReport();
	MemoryContextSwitchTo(TopMemoryContext);
	AbortCurrentTransaction();
	FlushErrorState();
	RESUME_INTERRUPTS();
}

/* False if it failed. */
static bool
run_job(const PgCacheJob *job, const JobState *state)
{
	ErrorContextCallback context;
	volatile bool done = false;

	jobs_run++;

	context.callback = job_context;
	context.arg = unconstify(char *, job->name);
	context.previous = error_context_stack;
	error_context_stack = &context;
	PG_TRY();
	{
		begin_job(job);
		PGCACHE_DEBUG_POINT("worker-job");
		job->run();
		end_job();
		done = true;
	}
	PG_CATCH();
	{
		fail_job(state->failures);
	}
	PG_END_TRY();
	error_context_stack = context.previous;
	MemoryContextSwitchTo(TopMemoryContext);

	debug_query_string = NULL;
	(void) pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	return done;
}

/* If the clock is set back, a job does not wait for longer than it was meant to. */
static TimestampTz
next_of(int i, TimestampTz now)
{
	JobState   *state = &states[i];
	int64		longest = state->failures > 0 ? PGCACHE_MAX_PAUSE : SHORTEST_PAUSE;

	state->not_before = pgcache_process_clamp(state->not_before, now, longest);
	return Max(pgcache_jobs[i].due(), state->not_before);
}

/* Each job that is due, once; when to come again. */
static TimestampTz
run_jobs(void)
{
	bool		recovery = RecoveryInProgress();
	TimestampTz next = DT_NOEND;

	for (int i = 0; i < pgcache_njobs; i++)
	{
		const PgCacheJob *job = &pgcache_jobs[i];
		JobState   *state = &states[i];
		TimestampTz now = pgcache_clock_now();
		TimestampTz due;

		if (recovery && !job->on_standby)
			continue;
		due = next_of(i, now);
		if (due <= now)
		{
			if (run_job(job, state))
			{
				state->failures = 0;
				state->not_before = pgcache_clock_now() + SHORTEST_PAUSE;
			}
			else
			{
				state->failures++;
				state->not_before = pgcache_process_pause(pgcache_clock_now(),
														  state->failures);
			}
			pgcache_process_interrupts();
			if (look)
				return DT_NOBEGIN;
			due = next_of(i, now);
		}
		next = Min(next, due);
	}
	return next;
}

void
pgcache_worker_main(Datum database)
{
	pgcache_process_begin(PGCACHE_WORKER, DatumGetObjectId(database));
	pgcache_space_on_relcache(on_relation_change);
	states = MemoryContextAllocZero(TopMemoryContext,
									pgcache_njobs * sizeof(JobState) + 1);
	MemoryContextSwitchTo(TopMemoryContext);

	for (;;)
	{
		pgcache_process_interrupts();
		if (look && !has_extension())
		{
			ereport(DEBUG1, (errmsg_internal("pg_cache worker ends: no extension")));
			pgcache_warm_forget();
			proc_exit(0);
		}
		pgcache_process_sleep(pgcache_process_paused() ? DT_NOEND : run_jobs());
	}
}
