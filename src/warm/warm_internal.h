/*-------------------------------------------------------------------------
 *
 * warm_internal.h
 *	  What the files of this room share.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_WARM_WARM_INTERNAL_H
#define PGCACHE_WARM_WARM_INTERNAL_H

#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "pgtime.h"
#include "port/atomics.h"
#include "utils/builtins.h"

#include "space/space.h"
#include "warm/schedule.h"
#include "warm/warm.h"

/* A text column that is not NULL, palloc'd. */
#define WARMER_TEXT(warmer, NAME) \
	TextDatumGetCString((warmer)->values[PGCACHE_WARMER_##NAME])

/* ---- definition.c ----------------------------------------------------------- */

/*
 * Raises an error unless all of a definition is right: 22023 for what is out of
 * range; with_owner: also 42501 for an owner who may not log in, 42704 and 42501 for
 * the namespace, which he must be allowed to write to.  The query is not looked at.
 */
extern void pgcache_warmer_check(const PgCacheWarmer *warmer, bool with_owner);

/*
 * Parses and analyses a query, by the current role and search path, connected to
 * SPI.  42601 unless it is one SELECT or VALUES that changes nothing itself, 42804
 * unless it has two columns.
 */
extern SPIPlanPtr pgcache_warmer_prepare(const char *query);

/* What a schedule says; 22023. */
extern void pgcache_warmer_schedule(const char *text, PgCacheSchedule *schedule);

/* A time zone by name, NULL: log_timezone; 22023. */
extern pg_tz *pgcache_warmer_zone(const char *name);

/* When a cron schedule is next due after a time; DT_NOEND: never. */
extern TimestampTz pgcache_warmer_next(const PgCacheSchedule *schedule, pg_tz *zone,
									   TimestampTz after);

/*
 * NULL if the owner is the role that he was when the warmer was last changed, else
 * what became of it: who has its number now may be somebody else.
 */
extern const char *pgcache_warmer_owner_fault(const PgCacheWarmer *warmer);

/* Microseconds of an interval column; 0 for one of zero. */
extern int64 pgcache_warmer_usec(const PgCacheWarmer *warmer, PgCacheWarmerColumn column);

/* ---- catalog.c -------------------------------------------------------------- */

/* The tables; InvalidOid if the extension is not there. */
extern Oid	pgcache_warm_table(void);

/*
 * All warmers, or if name is not NULL the one of that name; of PgCacheWarmer,
 * palloc'd.  Whatever the current role may see.
 */
extern List *pgcache_warmers_read(const char *name);

/*
 * A run's row: its beginning gives its number.  Its end is told by that, and by its
 * time, since numbers begin anew when the extension does; if there is no such row it
 * is made.
 */
struct PgCacheRun;
extern int64 pgcache_warm_log_start(const struct PgCacheRun *run);
extern void pgcache_warm_log_end(const struct PgCacheRun *run);

/* Ends the rows that have no end, but for those of these runs. */
extern void pgcache_warm_log_close(const int64 *running, int n);

/* Deletes rows that are too old or too many. */
extern void pgcache_warm_log_trim(void);

/* The last run of a warmer in this life of the server, those by hand apart. */
typedef struct PgCacheWarmPast
{
	char	   *name;
	TimestampTz last_start;
	TimestampTz last_end;		/* DT_NOEND: it is running */
	int			attempt;
	bool		again;			/* it failed, and may be tried again */
	bool		at_start;		/* one was for the server's start */
} PgCacheWarmPast;

extern List *pgcache_warm_log_past(void);

/* ---- slots.c ---------------------------------------------------------------- */

#define PGCACHE_RUN_ERROR_LEN	512

typedef enum PgCacheRunState
{
	PGCACHE_RUN_FREE,
	PGCACHE_RUN_STARTING,		/* a process was asked for */
	PGCACHE_RUN_RUNNING,
	PGCACHE_RUN_DONE			/* not yet noted in the table */
} PgCacheRunState;

/* A run, as it is kept in shared memory. */
typedef struct PgCacheRun
{
	PgCacheRunState state;
	bool		by_hand;		/* in a session, not in a process of ours */
	uint64		number;			/* of this use of the slot */
	Oid			database;
	Oid			owner;
	char		name[64];
	int			pid;
	int			attempt;
	char		reason[16];
	TimestampTz created;		/* the warmer */
	TimestampTz started;
	int64		id;				/* of its row; 0: none */

	/* when it is done */
	TimestampTz ended;
	int64		rows;
	int64		bytes;
	bool		failed;
	bool		unwanted;		/* it was cancelled: no further attempt */
	char		sqlstate[6];
	char		error[PGCACHE_RUN_ERROR_LEN];
	char		note[80];
} PgCacheRun;

/* What the run counts as it goes; anybody may read it. */
typedef struct PgCacheRunCount
{
	pg_atomic_uint64 rows;
	pg_atomic_uint64 bytes;
} PgCacheRunCount;

#define PGCACHE_RUN_NO_ROOM		(-1)
#define PGCACHE_RUN_IS_RUNNING	(-2)

/*
 * Claims a slot for a run that begins, of which name, owner, attempt, started and
 * by_hand are set; the rest is set here.  Gives the slot, or one of the above.
 */
extern int	pgcache_runs_claim(PgCacheRun *run);

/* Whether one more process may be started. */
extern bool pgcache_runs_have_room(void);

/* Whether that warmer of this database is running. */
extern bool pgcache_runs_has(const char *name);

/* How many processes run warmers of that owner, in all databases. */
extern int	pgcache_runs_of(Oid owner);

/* Sets the number of a run's row. */
extern void pgcache_runs_set_id(int slot, uint64 number, int64 id);

/* Its process begins: copies what it is to do.  False if it is not wanted any more. */
extern bool pgcache_runs_begin(int slot, uint64 number, PgCacheRun *run);

/*
 * Its end: takes failed, unwanted, sqlstate, error and note from run.  Does nothing
 * if the slot is not that run's any more, or it was told to be done before.
 */
extern void pgcache_runs_end(int slot, uint64 number, const PgCacheRun *run);

extern void pgcache_runs_free(int slot, uint64 number);

/* Copies a slot; false if it is not one of this database's. */
extern bool pgcache_runs_copy(int slot, PgCacheRun *run);
extern int	pgcache_runs_max(void);

extern PgCacheRunCount *pgcache_runs_count(int slot);

/* When the shared memory was made: each start of the server has another. */
extern TimestampTz pgcache_runs_epoch(void);

/* ---- run.c ------------------------------------------------------------------ */

/*
 * Executes the query and puts its rows, as the current role, in the current
 * transaction, with a snapshot.  *capped: it stopped at max_rows.
 */
extern void pgcache_warm_execute(const PgCacheWarmer *warmer, PgCacheRunCount *count,
								 bool *capped);

/* For a run's row. */
extern const char *pgcache_warm_cap_note(const PgCacheWarmer *warmer);

/* ---- plan.c ----------------------------------------------------------------- */

/* A warmer as the worker knows it. */
typedef struct PgCachePlan
{
	char	   *name;
	char	   *definition;		/* what its times depend on, as a text */
	char	   *fault;			/* why it is left out, or NULL */
	TimestampTz created;
	Oid			owner;
	bool		enabled;
	int			max_attempts;
	int64		jitter;
	PgCacheSchedule schedule;
	pg_tz	   *zone;

	TimestampTz next;			/* the next regular start; DT_NOEND: none */
	const char *reason;			/* of that */
	TimestampTz retry;			/* DT_NOEND: none */
	int			attempts;		/* made so far, if it is to be tried again */
	TimestampTz last_start;		/* DT_NOBEGIN: none */

	/* INVALIDATE: what is looked at, and what was seen there */
	char	   *space;
	char	   *tags;			/* each after a length byte */
	int			ntags;
	bool		has_slot;
	uint16		slot;
	PgCacheIncarnation incarnation;
	uint64		seen_tag;
	uint64		seen_other;
	uint64		seen_stamps[16];
	TimestampTz touched;		/* one of the stamps changed of late */
} PgCachePlan;

/*
 * Reads the warmers anew into the current memory context.  What was planned for
 * those in old that have not changed stays.
 */
extern List *pgcache_plans_read(List *old);

/* When it is next to be started, if it isn't running. */
extern TimestampTz pgcache_plan_due(PgCachePlan *plan, TimestampTz now);

/* Looks whether what it waits for has happened, when that is no time. */
extern void pgcache_plan_look(PgCachePlan *plan, TimestampTz now);

/* Whether what is due is another attempt, and no regular start. */
extern bool pgcache_plan_is_retry(const PgCachePlan *plan, TimestampTz now);

/* Plans the next after one was started; after one ended. */
extern void pgcache_plan_started(PgCachePlan *plan, bool retry, TimestampTz now);
extern void pgcache_plan_ended(PgCachePlan *plan, const PgCacheRun *run, TimestampTz now);

#endif							/* PGCACHE_WARM_WARM_INTERNAL_H */
