/*-------------------------------------------------------------------------
 *
 * warmer.c
 *	  The process that runs one warmer once.
 *
 * It is connected as the warmer's owner, so that whatever the query does, RESET
 * ROLE included, is done with the owner's privileges.  What became of the run it
 * leaves in its slot, in any case: also when it is not allowed to connect or is
 * told to end, by a callback at its exit.
 *
 * Locking: none of its own.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "libpq/pqsignal.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "shmem/workers.h"
#include "warm/warm_internal.h"

PGDLLEXPORT void pgcache_warmer_main(Datum arg);

/* The run, and what is to be told of its end. */
static int	own_slot;
static PgCacheRun own;

/* ---- the end ---------------------------------------------------------------- */

static void
note_error(int sqlstate, const char *message)
{
	own.failed = true;
	strlcpy(own.sqlstate, unpack_sql_state(sqlstate), sizeof(own.sqlstate));
	own.error[0] = '\0';
	if (message != NULL)
	{
		int			len = pg_mbcliplen(message, strlen(message), sizeof(own.error) - 1);

		memcpy(own.error, message, len);
		own.error[len] = '\0';
	}
}

/*
 * Keeps what a FATAL error says, after which nothing of ours runs but the exit.  Is
 * called for each report, whether it is logged or not.  Who has to step aside for a
 * DROP DATABASE or the like comes back.
 */
static void
on_report(void *arg)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
	ErrorData  *error = CopyErrorData();

	if (error->elevel >= FATAL)
	{
		note_error(error->sqlerrcode, error->message);
		own.unwanted = error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN &&
			!pgcache_workers_held(own.database);
	}
	FreeErrorData(error);
	MemoryContextSwitchTo(caller);
}

/* All workers: one of another database may have waited for room. */
static void
on_exit_process(int code, Datum arg)
{
	pgcache_runs_end(own_slot, own.number, &own);
	pgcache_workers_wake_all();
}

/* ---- the run ---------------------------------------------------------------- */

static void
begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end_transaction(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* In a transaction of its own, since the query's is to begin with the query. */
static PgCacheWarmer *
read_definition(void)
{
	List	   *found;
	PgCacheWarmer *warmer = NULL;
	MemoryContext caller = CurrentMemoryContext;

	begin_transaction();
	MemoryContextSwitchTo(caller);
	if (OidIsValid(pgcache_warm_table()))
	{
		found = pgcache_warmers_read(own.name);
		if (found != NIL)
			warmer = linitial(found);
	}
	if (warmer != NULL &&
		(DatumGetObjectId(warmer->values[PGCACHE_WARMER_OWNER]) != own.owner ||
		 pgcache_warmer_owner_fault(warmer) != NULL))
		warmer = NULL;
	end_transaction();
	MemoryContextSwitchTo(caller);
	if (warmer == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("warmer \"%s\" was dropped or has another owner", own.name)));
	return warmer;
}

static void
run_query(const PgCacheWarmer *warmer)
{
	int64		timeout = pgcache_warmer_usec(warmer, PGCACHE_WARMER_TIMEOUT) / 1000;
	bool		capped;
	char	   *query = WARMER_TEXT(warmer, QUERY);

	debug_query_string = query;
	begin_transaction();
	pgstat_report_activity(STATE_RUNNING, query);
	enable_timeout_after(STATEMENT_TIMEOUT, (int) Max(Min(timeout, INT_MAX), 1));
	pgcache_warm_execute(warmer, pgcache_runs_count(own_slot), &capped);
	disable_timeout(STATEMENT_TIMEOUT, false);
	if (capped)
		strlcpy(own.note, pgcache_warm_cap_note(warmer), sizeof(own.note));
	end_transaction();
	pgstat_report_activity(STATE_IDLE, NULL);
	pgstat_report_stat(true);
}

/* Runs it; an error ends the run and is logged, but is no fault of the process. */
static void
run(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pg_cache warmer",
												  ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		run_query(read_definition());
	}
	PG_CATCH();
	{
		ErrorData  *error;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		note_error(error->sqlerrcode, error->message);

		/* By somebody, and not by the timeout. */
		own.unwanted = error->sqlerrcode == ERRCODE_QUERY_CANCELED &&
			get_timeout_active(STATEMENT_TIMEOUT);
		disable_all_timeouts(false);
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
}

void
pgcache_warmer_main(Datum arg)
{
	ErrorContextCallback report = {0};
	uint64		number;

	own_slot = DatumGetInt32(arg);
	memcpy(&number, MyBgworkerEntry->bgw_extra, sizeof(number));
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	if (!pgcache_runs_begin(own_slot, number, &own))
		proc_exit(0);
	before_shmem_exit(on_exit_process, (Datum) 0);
	note_error(ERRCODE_ADMIN_SHUTDOWN, "the process ended before the run did");
	if (!pgcache_workers_enter(PGCACHE_WARMER, own.database))
	{
		note_error(ERRCODE_OBJECT_IN_USE, "the database is being dropped, moved or copied");
		proc_exit(0);
	}
	report.callback = on_report;
	report.previous = error_context_stack;
	error_context_stack = &report;
	BackgroundWorkerInitializeConnectionByOid(own.database, own.owner, 0);
	SetConfigOption("application_name", psprintf("pg_cache warmer %s", own.name),
					PGC_USERSET, PGC_S_SESSION);

	own.failed = false;
	own.sqlstate[0] = own.error[0] = '\0';
	run();
	proc_exit(0);
}
