/*-------------------------------------------------------------------------
 *
 * process.c
 *	  What the launcher, the probes and the workers have in common.
 *
 * SIGTERM is served between the works, and within them where PostgreSQL serves
 * interrupts, so that nobody who wants a database for himself waits for long.
 * The launcher then exits with status 1, by which the postmaster starts it again;
 * the others exit with 0, as the launcher starts them.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/settings.h"
#include "worker/worker_internal.h"

/* In the order of PgCacheWorkerKind; who builds warmers describes them. */
static const struct
{
	const char *type;
	const char *function;
	const char *wait_event;
}			kinds[] = {
	{"pg_cache launcher", "pgcache_launcher_main", "PgCacheLauncherMain"},
	{"pg_cache probe", "pgcache_probe_main", "PgCacheProbeMain"},
	{"pg_cache worker", "pgcache_worker_main", "PgCacheWorkerMain"}
};

static PgCacheWorkerKind own_kind;

void
pgcache_process_describe(BackgroundWorker *process, PgCacheWorkerKind kind)
{
	memset(process, 0, sizeof(*process));
	process->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	process->bgw_start_time = BgWorkerStart_ConsistentState;
	process->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(process->bgw_name, kinds[kind].type, BGW_MAXLEN);
	strlcpy(process->bgw_type, kinds[kind].type, BGW_MAXLEN);
	strlcpy(process->bgw_library_name, "pg_cache", sizeof(process->bgw_library_name));
	strlcpy(process->bgw_function_name, kinds[kind].function,
			sizeof(process->bgw_function_name));
}

/* Whatever the database or its roles say; PG 17 and later have more of them. */
static void
set_option(const char *name, const char *value)
{
	if (GetConfigOption(name, true, false) != NULL)
		SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

void
pgcache_process_begin(PgCacheWorkerKind kind, Oid database)
{
	own_kind = kind;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);

	/*
	 * It runs no query that could be cancelled, and begins anew after an
	 * error.
	 */
	if (kind == PGCACHE_LAUNCHER)
		pqsignal(SIGINT, SIG_IGN);

	if (!pgcache_workers_enter(kind, database))
		proc_exit(kind == PGCACHE_LAUNCHER ? 1 : 0);
	BackgroundWorkerUnblockSignals();
	if (OidIsValid(database))
		BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	else
		BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	set_option("role", "none");
	set_option("exit_on_error", "off");
	set_option("application_name", kinds[kind].type);
	set_option("search_path", "pg_catalog, pg_temp");
	set_option("default_transaction_isolation", "read committed");
	set_option("default_transaction_read_only", "off");
	set_option("default_transaction_deferrable", "off");
	set_option("statement_timeout", "0");
	set_option("transaction_timeout", "0");
	set_option("idle_in_transaction_session_timeout", "0");

	/* Jobs are small, and nobody waits for them. */
	set_option("synchronous_commit", "local");
	set_option("jit", "off");
	set_option("max_parallel_workers_per_gather", "0");

	/*
	 * DROP EXTENSION may wait for us while we wait for it.  We give up before
	 * the other session looks for a deadlock, which is after 1 s by default.
	 */
	set_option("lock_timeout", "900ms");
	set_option("deadlock_timeout", "100ms");
	ereport(DEBUG1, (errmsg_internal("%s started", kinds[kind].type)));
}

void
pgcache_process_interrupts(void)
{
	if (ProcDiePending)
	{
		/* A message serves interrupts, too, which would be a FATAL one. */
		HOLD_INTERRUPTS();
		ereport(DEBUG1, (errmsg_internal("%s ends", kinds[own_kind].type)));
		proc_exit(own_kind == PGCACHE_LAUNCHER ? 1 : 0);
	}
	/* Nothing is running that could be cancelled. */
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	/* Who is far behind with messages is asked to tell the next as well. */
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();
	AcceptInvalidationMessages();
}

void
pgcache_process_sleep(TimestampTz until)
{
	static uint32 wait_event = 0;
	TimestampTz now = pgcache_clock_now();
	long		ms = pgcache_worker_interval;

	if (until <= now)
		ms = 0;
	else if (until - now < (int64) ms * 1000)
		ms = (long) ((until - now + 999) / 1000);

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 pgcache_wait_event(&wait_event, kinds[own_kind].wait_event));
	ResetLatch(MyLatch);
}

bool
pgcache_process_paused(void)
{
#ifdef PGCACHE_TEST
	return pgcache_worker_interval == PGCACHE_INTERVAL_MAX_S * 1000;
#else
	return false;
#endif
}

TimestampTz
pgcache_process_pause(TimestampTz now, int failures)
{
	int64		pause = PGCACHE_MAX_PAUSE;

	if (failures <= 9)
		pause = Min(pause, USECS_PER_SEC << (failures - 1));
	return now + pause;
}

TimestampTz
pgcache_process_clamp(TimestampTz due, TimestampTz now, int64 most)
{
	return Min(due, now + most);
}
