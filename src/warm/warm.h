/*-------------------------------------------------------------------------
 *
 * warm.h
 *	  Warmers: queries whose rows are put into the cache on a schedule.
 *
 *	  schedule.c	cron expressions; runs without a server in unit tests
 *	  definition.c	what a warmer may be
 *	  catalog.c		the tables cache_warmers and cache_warmer_runs
 *	  slots.c		shared memory: the runs under way
 *	  run.c			one run, in whatever session
 *	  plan.c		when a warmer is next due
 *	  launch.c		the worker's job: starts what is due, notes what became of it
 *	  warmer.c		the process that runs one
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_WARM_WARM_H
#define PGCACHE_WARM_WARM_H

#include "catalog/pg_type_d.h"
#include "datatype/timestamp.h"

/* The job of a database's worker; see PgCacheJob. */
extern TimestampTz pgcache_warm_due(void);
extern void pgcache_warm_run(void);

/* The extension is gone from this database: ends the runs there. */
extern void pgcache_warm_forget(void);

/* Registers shared memory; called by _PG_init. */
extern void pgcache_warm_register(void);

/* ---- definitions ------------------------------------------------------------ */

/*
 * COLUMN(NAME, column, type): of cache_warmers, in their order.  Those from QUERY
 * to ENABLED are the arguments of cache_create_warmer, after the name.
 */
#define PGCACHE_WARMER_COLUMNS(COLUMN) \
	COLUMN(NAME, name, TEXTOID) \
	COLUMN(QUERY, query, TEXTOID) \
	COLUMN(SCHEDULE, schedule, TEXTOID) \
	COLUMN(NAMESPACE, namespace, TEXTOID) \
	COLUMN(TTL, ttl, INTERVALOID) \
	COLUMN(TAGS, tags, TEXTARRAYOID) \
	COLUMN(TIMEOUT, timeout, INTERVALOID) \
	COLUMN(MAX_ROWS, max_rows, INT8OID) \
	COLUMN(MAX_ATTEMPTS, max_attempts, INT4OID) \
	COLUMN(JITTER, jitter, INTERVALOID) \
	COLUMN(TIME_ZONE, time_zone, TEXTOID) \
	COLUMN(ENABLED, enabled, BOOLOID) \
	COLUMN(OWNER, owner, REGROLEOID) \
	COLUMN(OWNER_NAME, owner_name, TEXTOID) \
	COLUMN(SEARCH_PATH, search_path, TEXTOID) \
	COLUMN(CREATED_AT, created_at, TIMESTAMPTZOID)

#define PGCACHE_WARMER_ENUM(NAME, column, type)	PGCACHE_WARMER_##NAME,
typedef enum PgCacheWarmerColumn
{
	PGCACHE_WARMER_COLUMNS(PGCACHE_WARMER_ENUM)
	PGCACHE_WARMER_NCOLUMNS
} PgCacheWarmerColumn;

#define PGCACHE_WARMER_FIRST_OPTION	PGCACHE_WARMER_QUERY
#define PGCACHE_WARMER_LAST_OPTION	PGCACHE_WARMER_ENABLED

/* A warmer, as a row of the table. */
typedef struct PgCacheWarmer
{
	Datum		values[PGCACHE_WARMER_NCOLUMNS];
	bool		nulls[PGCACHE_WARMER_NCOLUMNS];
} PgCacheWarmer;

/* The option of that name, or -1; and the name of one. */
extern int	pgcache_warmer_option(const char *name);
extern const char *pgcache_warmer_option_name(PgCacheWarmerColumn option);

/* Sets an option to its default; false for one that has none. */
extern bool pgcache_warmer_default(PgCacheWarmer *warmer, PgCacheWarmerColumn option);

/*
 * The warmer of that name, palloc'd; 42704 if there is none, 42501 unless the
 * current role is a member of its owner.  for_change: nobody else changes it until
 * the transaction's end.
 */
extern PgCacheWarmer *pgcache_warmer_get(const char *name, bool for_change);

/*
 * Creates a warmer of the current role.  owner, search path and creation time are
 * filled in here.  Errors: 42710 for a name that is taken; for what is not right
 * with the definition see definition.c.
 */
extern void pgcache_warmer_create(PgCacheWarmer *warmer);

/*
 * Changes one that pgcache_warmer_get gave for that, and drops one.  with_query: the query
 * is another, and means what it does by the present search path.
 */
extern void pgcache_warmer_alter(PgCacheWarmer *warmer, bool with_query);
extern void pgcache_warmer_drop(const char *name);

/* ---- runs ------------------------------------------------------------------- */

/*
 * Runs one in this session and transaction, as its owner; returns the number of
 * rows.  55006 if it is running.
 */
extern int64 pgcache_warmer_run_now(const PgCacheWarmer *warmer);

/* A run under way. */
typedef struct PgCacheWarmerProgress
{
	char		name[64];
	Oid			owner;
	int			pid;			/* 0: not yet started */
	TimestampTz started_at;
	int			attempt;
	int64		rows;
	int64		bytes;
} PgCacheWarmerProgress;

/* Those of this database, palloc'd. */
extern PgCacheWarmerProgress *pgcache_warmer_progress(int *n);

#endif							/* PGCACHE_WARM_WARM_H */
