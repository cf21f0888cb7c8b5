/*-------------------------------------------------------------------------
 *
 * debug_point.c
 *	  Named places in the code where a test can stop a backend.
 *
 * Shared memory lists the armed points.  Arming also takes, for the session, an
 * exclusive advisory lock made from the name; a backend that comes to a
 * PGCACHE_DEBUG_POINT of an armed name takes and releases that lock in share
 * mode.  A backend at a PGCACHE_DEBUG_SPIN looks into the list every
 * millisecond until its point is gone; it cannot be cancelled there, because
 * it may hold an LWLock.
 *
 * With jitter, points of both kinds take a random time, armed or not: for the
 * torture test, which so comes through windows of some instructions often.
 *
 * The offset of the test clock (base/clock.h) lies here, too, and the tally of
 * the torture test (tally.h).
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef PGCACHE_TEST

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "storage/spin.h"

#include "base/clock.h"
#include "shmem/debug_point.h"
#include "shmem/shmem.h"
#include "shmem/tally.h"

#define MAX_POINTS 16
#define MAX_POINT_NAME 64

/* Sets our advisory locks apart from those of pg_advisory_lock, 1 and 2. */
#define POINT_LOCK_CLASS 29

typedef struct PgCacheSharedPoint
{
	char		name[MAX_POINT_NAME];	/* empty: not in use */
	int			armer;			/* process ID; passes its own points */
	int			reached;		/* process ID of the first to spin here */
} PgCacheSharedPoint;

typedef struct PgCacheSharedDebug
{
	int64		clock_offset;	/* microseconds */
	pg_atomic_uint64 jitter;	/* permille << 32 | most microseconds; 0: off */
	slock_t		mutex;			/* protects points */
	PgCacheSharedPoint points[MAX_POINTS];
	PgCacheSharedTally tally;
} PgCacheSharedDebug;

static PgCacheSharedDebug *debug = NULL;

/*
 * The armed point of that name, or NULL, for "" one that is not in use; the
 * mutex must be held.
 */
static PgCacheSharedPoint *
find_point(const char *name)
{
	for (int i = 0; i < MAX_POINTS; i++)
		if (strcmp(debug->points[i].name, name) == 0)
			return &debug->points[i];
	return NULL;
}

/*
 * Whether a backend that reaches the point must stay; notes that it was there
 * if it is about to spin.
 */
static bool
must_stay(const char *name, bool spin)
{
	PgCacheSharedPoint *point;
	bool		stay;

	SpinLockAcquire(&debug->mutex);
	point = find_point(name);
	stay = point != NULL && point->armer != MyProcPid;
	if (stay && spin && point->reached == 0)
		point->reached = MyProcPid;
	SpinLockRelease(&debug->mutex);
	return stay;
}

/* Points hold in all databases, so the lock names none. */
static void
set_point_tag(LOCKTAG *tag, const char *name)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) name,
										   strlen(name), 0);

	SET_LOCKTAG_ADVISORY(*tag, InvalidOid, (uint32) (hash >> 32), (uint32) hash,
						 POINT_LOCK_CLASS);
}

/* Of our own, not to change what random() gives. */
static uint32
next_random(void)
{
	static uint64 state = 0;

	if (state == 0)
		state = hash_bytes_uint32_extended((uint32) MyProcPid, 0) | 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32) (state >> 16);
}

static inline void
jitter(void)
{
	uint64		setting = pg_atomic_read_u64(&debug->jitter);

	if (setting != 0 && next_random() % 1000 < (uint32) (setting >> 32))
		pg_usleep((long) (next_random() % ((uint32) setting + 1)));
}

void
pgcache_debug_jitter(int permille, int max_us)
{
	pg_atomic_write_u64(&debug->jitter,
						permille > 0 ? (uint64) permille << 32 | (uint32) max_us : 0);
}

/*
 * A session lock, since it needs no transaction; nothing can raise while held.
 * Whatever lock_timeout is, who comes here stays.
 */
void
pgcache_debug_point(const char *name)
{
	LOCKTAG		tag;
	int			lock_timeout = LockTimeout;

	if (debug == NULL)
		return;
	jitter();
	if (!must_stay(name, false))
		return;
	set_point_tag(&tag, name);
	LockTimeout = 0;
	PG_TRY();
	{
		(void) LockAcquire(&tag, ShareLock, true, false);
	}
	PG_FINALLY();
	{
		LockTimeout = lock_timeout;
	}
	PG_END_TRY();
	(void) LockRelease(&tag, ShareLock, true);
}

void
pgcache_debug_spin(const char *name)
{
	if (debug == NULL)
		return;
	jitter();
	while (must_stay(name, true) && PostmasterIsAlive())
		pg_usleep(1000L);
}

/* What a session armed goes with it, as its locks do. */
static void
disarm_own(int code, Datum arg)
{
	SpinLockAcquire(&debug->mutex);
	for (int i = 0; i < MAX_POINTS; i++)
		if (debug->points[i].armer == MyProcPid)
			debug->points[i].name[0] = '\0';
	SpinLockRelease(&debug->mutex);
}

void
pgcache_debug_arm(const char *name)
{
	static bool registered = false;
	LOCKTAG		tag;
	PgCacheSharedPoint *point;
	bool		armed;

	if (name[0] == '\0' || strlen(name) >= MAX_POINT_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("name of a debug point must have 1 to %d bytes",
						MAX_POINT_NAME - 1)));

	if (!registered)
		before_shmem_exit(disarm_own, (Datum) 0);
	registered = true;

	/* The lock first, so that nobody passes between the two. */
	set_point_tag(&tag, name);
	(void) LockAcquire(&tag, ExclusiveLock, true, false);

	SpinLockAcquire(&debug->mutex);
	armed = find_point(name) != NULL;
	point = armed ? NULL : find_point("");
	if (point)
	{
		strlcpy(point->name, name, MAX_POINT_NAME);
		point->armer = MyProcPid;
		point->reached = 0;
	}
	SpinLockRelease(&debug->mutex);

	if (point == NULL)
	{
		(void) LockRelease(&tag, ExclusiveLock, true);
		if (armed)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("debug point \"%s\" is already armed", name)));
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many debug points are armed")));
	}
}

void
pgcache_debug_disarm(const char *name)
{
	LOCKTAG		tag;
	PgCacheSharedPoint *point;
	bool		own;

	SpinLockAcquire(&debug->mutex);
	point = find_point(name);
	own = point != NULL && point->armer == MyProcPid;
	if (point)
		point->name[0] = '\0';
	SpinLockRelease(&debug->mutex);

	if (own)
	{
		set_point_tag(&tag, name);
		(void) LockRelease(&tag, ExclusiveLock, true);
	}
}

int
pgcache_debug_reached(const char *name)
{
	PgCacheSharedPoint *point;
	int			pid;

	SpinLockAcquire(&debug->mutex);
	point = find_point(name);
	pid = point ? point->reached : 0;
	SpinLockRelease(&debug->mutex);
	return pid;
}

/* ---- shared memory --------------------------------------------------------- */

static Size
debug_size(void)
{
	return sizeof(PgCacheSharedDebug);
}

static void
init_debug(void *memory, LWLockPadded *locks)
{
	PgCacheSharedDebug *shared = memory;

	memset(shared, 0, sizeof(*shared));
	SpinLockInit(&shared->mutex);
	pg_atomic_init_u64(&shared->jitter, 0);
	pgcache_tally_init(&shared->tally);
}

static void
attach_debug(void *memory, LWLockPadded *locks)
{
	debug = memory;
	pgcache_clock_offset = &debug->clock_offset;
	pgcache_tally = &debug->tally;
}

static const PgCacheShmemPart debug_part = {
	.name = "PgCacheDebug",
	.size = debug_size,
	.init = init_debug,
	.attach = attach_debug
};

void
pgcache_debug_register(void)
{
	pgcache_shmem_register(&debug_part);
}

#endif							/* PGCACHE_TEST */
