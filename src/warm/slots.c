/*-------------------------------------------------------------------------
 *
 * slots.c
 *	  The runs of warmers under way, in shared memory.
 *
 * A database's worker claims a slot, then asks the postmaster for a process, which
 * finds there what it is to do and leaves there what became of it.  The worker then
 * notes that in the table and frees the slot.  A session that runs a warmer by hand
 * has a slot as well, so that nothing else runs it meanwhile.
 *
 * Locking: PgCacheWarmers, one LWLock, nothing else taken meanwhile.  What a run
 * counts is atomic.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "shmem/shmem.h"
#include "warm/warm_internal.h"

/* Half of them are for runs by hand. */
#define NSLOTS (2 * PGCACHE_MAX_WARMERS_MAX)
#define MAX_BY_HAND (NSLOTS / 2)

typedef struct PgCacheSharedRuns
{
	TimestampTz epoch;			/* when this memory was made */
	uint64		last_number;
	PgCacheRun	runs[NSLOTS];
	PgCacheRunCount counts[NSLOTS];
} PgCacheSharedRuns;

static PgCacheSharedRuns *shared = NULL;
static LWLock *lock = NULL;

static inline bool
is_active(const PgCacheRun *run)
{
	return run->state == PGCACHE_RUN_STARTING || run->state == PGCACHE_RUN_RUNNING;
}

static inline bool
is_run_of(const PgCacheRun *run, Oid database, const char *name)
{
	return is_active(run) && run->database == database && strcmp(run->name, name) == 0;
}

static int
count_runs(bool by_hand)
{
	int			n = 0;

	for (int i = 0; i < NSLOTS; i++)
		n += is_active(&shared->runs[i]) && shared->runs[i].by_hand == by_hand;
	return n;
}

/*
 * A free slot, else one with an end that the worker of another database, which may
 * be gone, has not noted: that will be noted as lost.  -1 if there is none.
 */
static int
find_slot(void)
{
	int			unnoted = -1;

	for (int i = 0; i < NSLOTS; i++)
	{
		const PgCacheRun *run = &shared->runs[i];

		if (run->state == PGCACHE_RUN_FREE)
			return i;
		if (run->state == PGCACHE_RUN_DONE && run->database != MyDatabaseId)
			unnoted = i;
	}
	return unnoted;
}

int
pgcache_runs_claim(PgCacheRun *run)
{
	int			slot;

	run->database = MyDatabaseId;
	run->pid = run->by_hand ? MyProcPid : 0;
	run->state = run->by_hand ? PGCACHE_RUN_RUNNING : PGCACHE_RUN_STARTING;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	slot = find_slot();
	if (count_runs(run->by_hand) >= (run->by_hand ? MAX_BY_HAND : pgcache_max_warmers))
		slot = PGCACHE_RUN_NO_ROOM;
	for (int i = 0; i < NSLOTS && slot != PGCACHE_RUN_IS_RUNNING; i++)
		if (is_run_of(&shared->runs[i], run->database, run->name))
			slot = PGCACHE_RUN_IS_RUNNING;
	if (slot >= 0)
	{
		run->number = ++shared->last_number;
		shared->runs[slot] = *run;
		pg_atomic_write_u64(&shared->counts[slot].rows, 0);
		pg_atomic_write_u64(&shared->counts[slot].bytes, 0);
	}
	LWLockRelease(lock);
	return slot;
}

bool
pgcache_runs_have_room(void)
{
	bool		result;

	LWLockAcquire(lock, LW_SHARED);
	result = count_runs(false) < pgcache_max_warmers && find_slot() >= 0;
	LWLockRelease(lock);
	return result;
}

int
pgcache_runs_of(Oid owner)
{
	int			n = 0;

	LWLockAcquire(lock, LW_SHARED);
	for (int i = 0; i < NSLOTS; i++)
	{
		const PgCacheRun *run = &shared->runs[i];

		n += is_active(run) && !run->by_hand && run->owner == owner;
	}
	LWLockRelease(lock);
	return n;
}

bool
pgcache_runs_has(const char *name)
{
	bool		result = false;

	LWLockAcquire(lock, LW_SHARED);
	for (int i = 0; i < NSLOTS && !result; i++)
		result = is_run_of(&shared->runs[i], MyDatabaseId, name);
	LWLockRelease(lock);
	return result;
}

void
pgcache_runs_set_id(int slot, uint64 number, int64 id)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (shared->runs[slot].number == number)
		shared->runs[slot].id = id;
	LWLockRelease(lock);
}

bool
pgcache_runs_begin(int slot, uint64 number, PgCacheRun *run)
{
	PgCacheRun *own = &shared->runs[slot];
	bool		wanted;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	wanted = own->number == number && own->state == PGCACHE_RUN_STARTING;
	if (wanted)
	{
		own->state = PGCACHE_RUN_RUNNING;
		own->pid = MyProcPid;
		*run = *own;
	}
	LWLockRelease(lock);
	return wanted;
}

void
pgcache_runs_end(int slot, uint64 number, const PgCacheRun *run)
{
	TimestampTz now = pgcache_clock_now();
	PgCacheRun *own = &shared->runs[slot];

	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (own->number == number && is_active(own))
	{
		own->state = PGCACHE_RUN_DONE;
		own->ended = now;
		own->rows = pg_atomic_read_u64(&shared->counts[slot].rows);
		own->bytes = pg_atomic_read_u64(&shared->counts[slot].bytes);
		own->failed = run->failed;
		own->unwanted = run->unwanted;
		memcpy(own->sqlstate, run->sqlstate, sizeof(own->sqlstate));
		memcpy(own->error, run->error, sizeof(own->error));
		memcpy(own->note, run->note, sizeof(own->note));
	}
	LWLockRelease(lock);
}

void
pgcache_runs_free(int slot, uint64 number)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (shared->runs[slot].number == number)
		shared->runs[slot].state = PGCACHE_RUN_FREE;
	LWLockRelease(lock);
}

bool
pgcache_runs_copy(int slot, PgCacheRun *run)
{
	bool		ours;

	LWLockAcquire(lock, LW_SHARED);
	ours = shared->runs[slot].state != PGCACHE_RUN_FREE &&
		shared->runs[slot].database == MyDatabaseId;
	if (ours)
		*run = shared->runs[slot];
	LWLockRelease(lock);
	return ours;
}

int
pgcache_runs_max(void)
{
	return NSLOTS;
}

PgCacheRunCount *
pgcache_runs_count(int slot)
{
	return &shared->counts[slot];
}

TimestampTz
pgcache_runs_epoch(void)
{
	return shared->epoch;
}

PgCacheWarmerProgress *
pgcache_warmer_progress(int *n)
{
	PgCacheWarmerProgress *result = palloc(NSLOTS * sizeof(PgCacheWarmerProgress));
	PgCacheRun	run;

	*n = 0;
	for (int i = 0; i < NSLOTS; i++)
	{
		PgCacheWarmerProgress *row = &result[*n];

		if (!pgcache_runs_copy(i, &run) || !is_active(&run))
			continue;
		strlcpy(row->name, run.name, sizeof(row->name));
		row->owner = run.owner;
		row->pid = run.pid;
		row->started_at = run.started;
		row->attempt = run.attempt;
		row->rows = pg_atomic_read_u64(&shared->counts[i].rows);
		row->bytes = pg_atomic_read_u64(&shared->counts[i].bytes);
		(*n)++;
	}
	return result;
}

/* ---- shared memory ---------------------------------------------------------- */

static Size
shared_size(void)
{
	return sizeof(PgCacheSharedRuns);
}

static void
init_shared(void *memory, LWLockPadded *locks)
{
	PgCacheSharedRuns *runs = memory;

	memset(runs, 0, sizeof(*runs));
	runs->epoch = GetCurrentTimestamp();
	for (int i = 0; i < NSLOTS; i++)
	{
		pg_atomic_init_u64(&runs->counts[i].rows, 0);
		pg_atomic_init_u64(&runs->counts[i].bytes, 0);
	}
}

static void
attach_shared(void *memory, LWLockPadded *locks)
{
	shared = memory;
	lock = &locks[0].lock;
}

static const PgCacheShmemPart part = {
	.name = "PgCacheWarmers",
	.size = shared_size,
	.nlocks = pgcache_shmem_one_lock,
	.init = init_shared,
	.attach = attach_shared
};

void
pgcache_warm_register(void)
{
	pgcache_shmem_register(&part);
}
