/*-------------------------------------------------------------------------
 *
 * workers.c
 *	  Which background processes of ours there are, and whom to wake.
 *
 * A slot for each process that there can be, a hold for each backend, and a few
 * reports on databases for the launcher.  All under one LWLock, for some dozens
 * of instructions and now and then a signal; a process is only signalled while
 * its slot says that it is there, so never another that has its number now.
 *
 * A process leaves in an on_shmem_exit callback that was registered before it
 * connected, which runs after it has left the array of processes: who waits for
 * it can go ahead.
 *
 * A transaction's callbacks run before its invalidations are sent.  Somebody
 * woken then would look too early, and sleep on.  So what must be done when a
 * transaction has ended is done when its resources are released, after locks.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "shmem/shmem.h"
#include "shmem/workers.h"

/* How long a hold waits for those inside, at most, and how often it asks. */
#define HOLD_WAIT_ROUNDS	20
#define HOLD_ROUND_MS		500

#define MAX_REPORTS			256

/* A server that has run for so long is not about to crash again. */
#define PEACE				(INT64CONST(300) * USECS_PER_SEC)

typedef struct PgCacheSharedWorker
{
	PgCacheWorkerKind kind;
	Oid			database;
	int			pid;			/* 0: free */
	PGPROC	   *proc;
} PgCacheSharedWorker;

typedef struct PgCacheSharedHold
{
	Oid			database;		/* InvalidOid: none */
	int			pid;
	PGPROC	   *proc;
} PgCacheSharedHold;

typedef struct PgCacheSharedReport
{
	Oid			database;		/* InvalidOid: free */
	PgCacheFinding finding;
} PgCacheSharedReport;

typedef struct PgCacheSharedWorkers
{
	LWLock	   *lock;
	ConditionVariable left;		/* somebody left */
	int			crashes;		/* set once */
	TimestampTz since;			/* likewise */
	uint64		creations;
	bool		reports_lost;
	PgCacheSharedReport reports[MAX_REPORTS];

	/* max_worker_processes slots, then MaxBackends holds */
	PgCacheSharedWorker workers[FLEXIBLE_ARRAY_MEMBER];
} PgCacheSharedWorkers;

static PgCacheSharedWorkers *shared = NULL;
static PgCacheSharedHold *holds = NULL;

static PgCacheSharedWorker *own_slot = NULL;

/* What remains to be done when the transaction has ended. */
static bool end_pending = false;
static Oid	wake_database = InvalidOid;
static bool wake_launcher = false;
static bool wake_all = false;
static bool holding = false;

/* ---- under the lock -------------------------------------------------------- */

/* The first process of the kind in the database, or NULL. */
static PgCacheSharedWorker *
find_worker(PgCacheWorkerKind kind, Oid database)
{
	for (int i = 0; i < max_worker_processes; i++)
	{
		PgCacheSharedWorker *worker = &shared->workers[i];

		if (worker->pid != 0 && worker->kind == kind &&
			worker->database == database)
			return worker;
	}
	return NULL;
}

static PgCacheSharedWorker *
find_free(void)
{
	for (int i = 0; i < max_worker_processes; i++)
		if (shared->workers[i].pid == 0)
			return &shared->workers[i];
	return NULL;
}

/* What a backend that is gone held is free. */
static bool
is_held(Oid database)
{
	if (!OidIsValid(database))
		return false;
	for (int i = 0; i < MaxBackends; i++)
		if (holds[i].database == database && holds[i].proc->pid == holds[i].pid)
			return true;
	return false;
}

static void
wake_worker(PgCacheSharedWorker *worker)
{
	if (worker != NULL)
		SetLatch(&worker->proc->procLatch);
}

/* A database has one report at most: the last that says what is there. */
static void
add_report(Oid database, PgCacheFinding finding)
{
	PgCacheSharedReport *place = NULL;

	for (int i = 0; i < MAX_REPORTS; i++)
	{
		PgCacheSharedReport *report = &shared->reports[i];

		if (report->database == database)
		{
			if (finding != PGCACHE_STEPPED_ASIDE)
				report->finding = finding;
			return;
		}
		if (place == NULL && !OidIsValid(report->database))
			place = report;
	}
	if (place == NULL)
	{
		shared->reports_lost = true;
		return;
	}
	place->database = database;
	place->finding = finding;
}

/* ---- coming and going ------------------------------------------------------ */

static void
leave(int code, Datum arg)
{
	if (own_slot == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (is_held(own_slot->database))
		add_report(own_slot->database, PGCACHE_STEPPED_ASIDE);
	if (own_slot->kind != PGCACHE_LAUNCHER)
		wake_worker(find_worker(PGCACHE_LAUNCHER, InvalidOid));
	own_slot->pid = 0;
	LWLockRelease(shared->lock);
	own_slot = NULL;
	ConditionVariableBroadcast(&shared->left);
}

bool
pgcache_workers_enter(PgCacheWorkerKind kind, Oid database)
{
	PgCacheSharedWorker *slot = NULL;
	bool		held;

	if (own_slot != NULL)
		elog(ERROR, "process has entered already");
	on_shmem_exit(leave, (Datum) 0);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	held = is_held(database);
	if (held)
		add_report(database, PGCACHE_STEPPED_ASIDE);
	else if ((kind != PGCACHE_LAUNCHER && kind != PGCACHE_WORKER) ||
			 find_worker(kind, database) == NULL)
		slot = find_free();
	if (slot != NULL)
	{
		slot->kind = kind;
		slot->database = database;
		slot->pid = MyProcPid;
		slot->proc = MyProc;
	}
	LWLockRelease(shared->lock);
	own_slot = slot;
	return slot != NULL;
}

bool
pgcache_workers_inside(PgCacheWorkerKind kind, Oid database)
{
	bool		found;

	LWLockAcquire(shared->lock, LW_SHARED);
	found = find_worker(kind, database) != NULL;
	LWLockRelease(shared->lock);
	return found;
}

/* ---- waking ---------------------------------------------------------------- */

void
pgcache_workers_wake(Oid database)
{
	if (!pgcache_shmem_ready)
		return;
	LWLockAcquire(shared->lock, LW_SHARED);
	wake_worker(find_worker(PGCACHE_WORKER, database));
	LWLockRelease(shared->lock);
	wake_database = database;
	end_pending = true;
}

void
pgcache_workers_wake_launcher(void)
{
	if (!pgcache_shmem_ready)
		return;
	LWLockAcquire(shared->lock, LW_SHARED);
	wake_worker(find_worker(PGCACHE_LAUNCHER, InvalidOid));
	LWLockRelease(shared->lock);
	wake_launcher = true;
	end_pending = true;
}

void
pgcache_workers_wake_all(void)
{
	if (!pgcache_shmem_ready)
		return;
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < max_worker_processes; i++)
		if (shared->workers[i].pid != 0)
			wake_worker(&shared->workers[i]);
	LWLockRelease(shared->lock);
	wake_all = true;
	end_pending = true;
}

/* Does what is pending; must not fail. */
static void
finish_transaction(void)
{
	if (holding)
	{
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		holds[PGCACHE_MY_BACKEND].database = InvalidOid;
		LWLockRelease(shared->lock);
		wake_launcher = true;
	}
	if (wake_all)
		pgcache_workers_wake_all();
	else
	{
		if (OidIsValid(wake_database))
			pgcache_workers_wake(wake_database);
		if (wake_launcher)
			pgcache_workers_wake_launcher();
	}
	holding = false;
	wake_all = false;
	wake_database = InvalidOid;
	wake_launcher = false;
	end_pending = false;
}

static void
on_release(ResourceReleasePhase phase, bool is_commit, bool is_top, void *arg)
{
	if (unlikely(end_pending) && is_top && phase == RESOURCE_RELEASE_AFTER_LOCKS)
		finish_transaction();
}

/* ---- databases for oneself ------------------------------------------------- */

/* Tells those inside to end; how many there are. */
static int
tell_to_end(Oid database)
{
	int			n = 0;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < max_worker_processes; i++)
	{
		PgCacheSharedWorker *worker = &shared->workers[i];

		if (worker->pid == 0 || worker->database != database)
			continue;
		(void) kill(worker->pid, SIGTERM);
		n++;
	}
	LWLockRelease(shared->lock);
	return n;
}

void
pgcache_workers_hold(Oid database, uint32 wait_event)
{
	PgCacheSharedHold *own = &holds[PGCACHE_MY_BACKEND];

	holding = true;
	end_pending = true;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	own->database = database;
	own->pid = MyProcPid;
	own->proc = MyProc;
	LWLockRelease(shared->lock);

	ConditionVariablePrepareToSleep(&shared->left);
	for (int i = 0; i < HOLD_WAIT_ROUNDS && tell_to_end(database) > 0; i++)
	{
		/* Others may leave meanwhile; those inside are told anew each round. */
		(void) ConditionVariableTimedSleep(&shared->left, HOLD_ROUND_MS, wait_event);
	}
	ConditionVariableCancelSleep();
}

bool
pgcache_workers_held(Oid database)
{
	bool		held;

	LWLockAcquire(shared->lock, LW_SHARED);
	held = is_held(database);
	LWLockRelease(shared->lock);
	return held;
}

/* ---- reports --------------------------------------------------------------- */

uint64
pgcache_workers_creations(void)
{
	uint64		creations;

	LWLockAcquire(shared->lock, LW_SHARED);
	creations = shared->creations;
	LWLockRelease(shared->lock);
	return creations;
}

void
pgcache_workers_report(Oid database, PgCacheFinding finding, uint64 creations)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (finding != PGCACHE_MISSING || creations == shared->creations)
		add_report(database, finding);
	LWLockRelease(shared->lock);
	pgcache_workers_wake_launcher();
}

void
pgcache_workers_report_created(Oid database)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->creations++;
	add_report(database, PGCACHE_FOUND);
	LWLockRelease(shared->lock);
	pgcache_workers_wake_launcher();
}

bool
pgcache_workers_take_report(Oid *database, PgCacheFinding *finding, bool *lost)
{
	bool		found = false;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	*lost = shared->reports_lost;
	shared->reports_lost = false;
	for (int i = 0; i < MAX_REPORTS && !found; i++)
	{
		PgCacheSharedReport *report = &shared->reports[i];

		if (!OidIsValid(report->database))
			continue;
		*database = report->database;
		*finding = report->finding;
		report->database = InvalidOid;
		found = true;
	}
	LWLockRelease(shared->lock);
	return found;
}

/* ---- shared memory --------------------------------------------------------- */

static Size
holds_offset(void)
{
	return MAXALIGN(add_size(offsetof(PgCacheSharedWorkers, workers),
							 mul_size(max_worker_processes,
									  sizeof(PgCacheSharedWorker))));
}

static Size
workers_size(void)
{
	return add_size(holds_offset(), mul_size(MaxBackends, sizeof(PgCacheSharedHold)));
}

int
pgcache_workers_crashes(TimestampTz *since)
{
	*since = shared->since;
	return shared->crashes;
}

/* In the postmaster, whose own memory outlives a crash. */
static int
count_crashes(void)
{
	static TimestampTz last_init = 0;
	static int	crashes = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (last_init == 0 || now - last_init >= PEACE)
		crashes = 0;
	if (last_init != 0)
		crashes++;
	last_init = now;
	return crashes;
}

static void
init_workers(void *memory, LWLockPadded *locks)
{
	PgCacheSharedWorkers *workers = memory;

	memset(memory, 0, workers_size());
	workers->lock = &locks[0].lock;
	workers->crashes = count_crashes();
	workers->since = GetCurrentTimestamp();
	ConditionVariableInit(&workers->left);
}

static void
attach_workers(void *memory, LWLockPadded *locks)
{
	shared = memory;
	holds = (PgCacheSharedHold *) ((char *) memory + holds_offset());
}

static const PgCacheShmemPart workers_part = {
	.name = "PgCacheWorkers",
	.size = workers_size,
	.nlocks = pgcache_shmem_one_lock,
	.init = init_workers,
	.attach = attach_workers
};

void
pgcache_workers_register(void)
{
	pgcache_shmem_register(&workers_part);
	RegisterResourceReleaseCallback(on_release, NULL);
}
