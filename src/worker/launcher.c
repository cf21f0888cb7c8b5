/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  One process a server: finds databases, starts their workers, keeps the
 *	  store.
 *
 * What it knows of a database is a line of its own table, which is lost when it
 * ends: whether it has the extension, and when its worker may start again.  Who
 * runs is in shared memory (shmem/workers.h), so a launcher that was started
 * again takes over the workers that still run.
 *
 * A database that it does not know, because it is new or the launcher is, is
 * looked at by a probe, one at a time.  After that it is told: by who creates the
 * extension, and by the worker that finds it gone.  On a standby nobody tells of
 * a creation, so that all without the extension are looked at from time to time,
 * and once more at the promotion.
 *
 * Times are by the cache's clock.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/settings.h"
#include "worker/worker_internal.h"

PGDLLEXPORT void pgcache_launcher_main(Datum arg);

/* A worker that ran for so long was well, and its faults are forgotten. */
#define WELL_AFTER			PGCACHE_MAX_PAUSE

/* How long to wait when there was no slot for a process. */
#define SLOT_PAUSE			(INT64CONST(10) * USECS_PER_SEC)

/* On a standby: how often to look at databases without the extension. */
#define STANDBY_PAUSE		(INT64CONST(300) * USECS_PER_SEC)

typedef enum Extension
{
	UNKNOWN,
	ABSENT,
	PRESENT
} Extension;

typedef struct Database
{
	Oid			oid;			/* the key */
	bool		listed;			/* in pg_database */
	bool		connectable;
	Extension	extension;
	bool		running;		/* its worker, when we last looked */
	bool		aside;			/* that ended for somebody else's sake */
	BackgroundWorkerHandle *handle; /* of the worker that we started, or NULL */
	TimestampTz since;			/* when that was, or when ABSENT was found */
	int			failures;		/* in succession */
	TimestampTz not_before;		/* of the next try */
} Database;

static HTAB *databases = NULL;
static bool list_stale = true;
static bool was_recovery = false;

/* The probe under way, if any. */
static BackgroundWorkerHandle *probe = NULL;
static Oid	probed = InvalidOid;

/* Of the last time when there was no slot. */
static bool complained = false;
static TimestampTz slot_not_before = 0;

/* When to begin, if the server has crashed several times. */
static TimestampTz begin_at = 0;

/* The earliest time at which something is to be done. */
static TimestampTz next_due = DT_NOEND;

static void
note_due(TimestampTz due)
{
	next_due = Min(next_due, due);
}

/* ---- which databases there are --------------------------------------------- */

static void
on_database_change(Datum arg, int cacheid, uint32 hashvalue)
{
	list_stale = true;
}

static Database *
find_or_add(Oid oid)
{
	bool		found;
	Database   *database = hash_search(databases, &oid, HASH_ENTER, &found);

	if (!found)
	{
		memset((char *) database + sizeof(Oid), 0, sizeof(Database) - sizeof(Oid));
		database->connectable = true;
		database->extension = UNKNOWN;
		database->not_before = begin_at;
	}
	return database;
}

static void
forget_handle(Database *database)
{
	if (database->handle != NULL)
		pfree(database->handle);
	database->handle = NULL;
}

/* Reads pg_database, in a transaction of its own. */
static void
list_databases(void)
{
	HASH_SEQ_STATUS status;
	Database   *database;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	list_stale = false;
	hash_seq_init(&status, databases);
	while ((database = hash_seq_search(&status)) != NULL)
		database->listed = false;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		/* A limit below -1 is of a database that was dropped half. */
		database = find_or_add(form->oid);
		database->listed = true;
		database->connectable = form->datallowconn && form->datconnlimit >= -1;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();

	hash_seq_init(&status, databases);
	while ((database = hash_seq_search(&status)) != NULL)
	{
		if (database->listed)
			continue;
		forget_handle(database);
		(void) hash_search(databases, &database->oid, HASH_REMOVE, NULL);
	}
}

/* All, or those without the extension, are to be looked at. */
static void
look_again(bool all)
{
	HASH_SEQ_STATUS status;
	Database   *database;

	hash_seq_init(&status, databases);
	while ((database = hash_seq_search(&status)) != NULL)
		if (all || database->extension == ABSENT)
			database->extension = UNKNOWN;
}

static void
take_reports(TimestampTz now)
{
	Oid			oid;
	PgCacheFinding finding;
	bool		lost;

	while (pgcache_workers_take_report(&oid, &finding, &lost))
	{
		Database   *database = find_or_add(oid);

		if (lost)
			look_again(true);

		/* Of a database that is gone, or so new that it is not listed. */
		if (!database->listed)
			list_stale = true;
		if (finding == PGCACHE_STEPPED_ASIDE)
			database->aside = true;
		else
		{
			database->extension = finding == PGCACHE_FOUND ? PRESENT : ABSENT;
			database->since = now;
		}
		database->failures = 0;
		database->not_before = now;
	}
}

/* ---- starting --------------------------------------------------------------- */

/* Complains once when there is no slot; false then, or while that is so. */
static bool
start(PgCacheWorkerKind kind, Oid oid, TimestampTz now,
	  BackgroundWorkerHandle **handle)
{
	BackgroundWorker process;
	MemoryContext old;
	bool		started;

	slot_not_before = pgcache_process_clamp(slot_not_before, now, SLOT_PAUSE);
	if (now < slot_not_before)
	{
		note_due(slot_not_before);
		return false;
	}

	pgcache_process_describe(&process, kind);
	process.bgw_main_arg = ObjectIdGetDatum(oid);
	process.bgw_notify_pid = MyProcPid;
	old = MemoryContextSwitchTo(TopMemoryContext);
	started = RegisterDynamicBackgroundWorker(&process, handle);
	MemoryContextSwitchTo(old);
	if (started)
	{
		complained = false;
		return true;
	}

	*handle = NULL;
	if (!complained)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no free background worker slot for a %s", process.bgw_type),
				 errdetail("It will be tried again until there is one."),
				 errhint("Increase \"%s\" and restart the server.",
						 "max_worker_processes")));
	complained = true;
	slot_not_before = now + SLOT_PAUSE;
	note_due(slot_not_before);
	return false;
}

static bool
is_alive(BackgroundWorkerHandle *handle)
{
	pid_t		pid;

	return handle != NULL && GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED;
}

/* Whether the database's next process may start now. */
static bool
may_start(Database *database, TimestampTz now)
{
	if (!database->listed || !database->connectable ||
		pgcache_workers_held(database->oid))
		return false;
	database->not_before = pgcache_process_clamp(database->not_before, now,
												 PGCACHE_MAX_PAUSE);
	if (now >= database->not_before)
		return true;
	note_due(database->not_before);
	return false;
}

/* A process of the database ended and did not say why. */
static void
note_end(Database *database, TimestampTz now)
{
	if (database->aside)
	{
		database->aside = false;
		return;
	}
	if (database->running && now - database->since >= WELL_AFTER)
		database->failures = 0;
	database->failures++;
	database->not_before = pgcache_process_pause(now, database->failures);
}

/* Looks at the unknown databases, one by one; whether a probe is under way. */
static void
tend_probes(TimestampTz now)
{
	HASH_SEQ_STATUS status;
	Database   *database;

	if (probe != NULL)
	{
		if (is_alive(probe) || pgcache_workers_inside(PGCACHE_PROBE, probed))
			return;
		pfree(probe);
		probe = NULL;
		database = hash_search(databases, &probed, HASH_FIND, NULL);
		if (database != NULL && database->extension == UNKNOWN)
			note_end(database, now);
	}

	hash_seq_init(&status, databases);
	while ((database = hash_seq_search(&status)) != NULL)
	{
		if (database->extension != UNKNOWN || !may_start(database, now))
			continue;
		hash_seq_term(&status);
		database->aside = false;
		probed = database->oid;
		(void) start(PGCACHE_PROBE, probed, now, &probe);
		return;
	}
}

static void
tend_worker(Database *database, TimestampTz now)
{
	bool		inside = pgcache_workers_inside(PGCACHE_WORKER, database->oid);
	bool		running = inside || is_alive(database->handle);

	if (inside && database->extension == UNKNOWN)
		database->extension = PRESENT;	/* of a launcher before us */
	if (database->running && !running)
	{
		forget_handle(database);
		note_end(database, now);
	}
	if (running && !database->running)
		database->since = now;
	database->running = running;
	if (running || database->extension != PRESENT || !may_start(database, now))
		return;

	database->aside = false;
	if (start(PGCACHE_WORKER, database->oid, now, &database->handle))
	{
		database->running = true;
		database->since = now;
	}
}

/* ---- the loop --------------------------------------------------------------- */

/* After a crash at once, after more of them in succession not: it may be us. */
static TimestampTz
find_begin(void)
{
	TimestampTz since;
	int			crashes = pgcache_workers_crashes(&since);

	return crashes > 1 ? pgcache_process_pause(since, crashes - 1) : since;
}

static void
keep_store(TimestampTz now)
{
	static TimestampTz next_upkeep = 0;
	int64		interval = (int64) pgcache_worker_interval * 1000;

	next_upkeep = pgcache_process_clamp(next_upkeep, now, interval);
	if (now >= next_upkeep && now >= begin_at)
	{
		if (!pgcache_process_paused())
			pgcache_upkeep();
		next_upkeep = now + (TimestampTz) pgcache_upkeep_delay() * 1000;
	}
	note_due(Max(next_upkeep, begin_at));
}

/* What a standby is not told. */
static void
tend_standby(TimestampTz now)
{
	bool		recovery = RecoveryInProgress();
	HASH_SEQ_STATUS status;
	Database   *database;

	if (was_recovery && !recovery)
	{
		look_again(false);
		pgcache_workers_wake_all();
	}
	was_recovery = recovery;
	if (!recovery)
		return;

	hash_seq_init(&status, databases);
	while ((database = hash_seq_search(&status)) != NULL)
	{
		if (database->extension != ABSENT)
			continue;
		if (now - database->since >= STANDBY_PAUSE)
			database->extension = UNKNOWN;
		else
			note_due(database->since + STANDBY_PAUSE);
	}
}

static void
tend_databases(TimestampTz now)
{
	HASH_SEQ_STATUS status;
	Database   *database;

	if (list_stale)
		list_databases();
	take_reports(now);
	tend_standby(now);
	hash_seq_init(&status, databases);
	while ((database = hash_seq_search(&status)) != NULL)
		tend_worker(database, now);
	tend_probes(now);
}

void
pgcache_launcher_main(Datum arg)
{
	HASHCTL		ctl;

	pgcache_process_begin(PGCACHE_LAUNCHER, InvalidOid);
	CacheRegisterSyscacheCallback(DATABASEOID, on_database_change, (Datum) 0);
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(Database);
	databases = hash_create("pg_cache databases", 32, &ctl, HASH_ELEM | HASH_BLOBS);

	begin_at = find_begin();

	for (;;)
	{
		TimestampTz now;

		pgcache_process_interrupts();
		now = pgcache_clock_now();
		begin_at = pgcache_process_clamp(begin_at, now, PGCACHE_MAX_PAUSE);
		next_due = DT_NOEND;
		tend_databases(now);
		keep_store(now);
		if (!list_stale)
			pgcache_process_sleep(next_due);
	}
}

void
pgcache_worker_init(void)
{
	BackgroundWorker launcher;

	pgcache_events_init();
	pgcache_step_aside_init();

	/* An upgrade wants to be alone in all databases. */
	if (IsBinaryUpgrade)
		return;
	pgcache_process_describe(&launcher, PGCACHE_LAUNCHER);
	launcher.bgw_restart_time = 1;
	RegisterBackgroundWorker(&launcher);
}
