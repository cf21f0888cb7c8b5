/*-------------------------------------------------------------------------
 *
 * file.h
 *	  Watched files: whose changes invalidate tags.
 *
 *	  file_catalog.c	the table cache_file_watches
 *	  file.c			the worker's job: looks at the files
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_TRIGGER_FILE_H
#define PGCACHE_TRIGGER_FILE_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

#include "space/space.h"

/* ---- the table ------------------------------------------------------------- */

/* What a file was like when it was looked at. */
typedef enum PgCacheFileCondition
{
	PGCACHE_FILE_PRESENT,
	PGCACHE_FILE_ABSENT,
	PGCACHE_FILE_UNREADABLE		/* what it is like cannot be known */
} PgCacheFileCondition;

typedef struct PgCacheFileState
{
	PgCacheFileCondition condition;

	/* Zero unless present: */
	TimestampTz mtime;
	int64		size;
	int64		inode;
} PgCacheFileState;

/* A watch; named by path and namespace. */
typedef struct PgCacheFileWatch
{
	char	   *path;			/* absolute, canonical */
	char		space[PGCACHE_MAX_NAME_LEN + 1];
	Oid			owner;			/* who asked for it */
	int			ntags;
	int			tags_len;
	char	   *tags;			/* as the store has them */
	PgCacheFileState seen;		/* what has been acted upon */
} PgCacheFileWatch;

/* The table's OID; InvalidOid if this database does not have the extension. */
extern Oid	pgcache_file_table(void);

/* All watches, palloc'd. */
extern List *pgcache_file_list(void);

/*
 * For watches as the list has them: writes what has been seen to the table.
 * False, and nothing done, if somebody is just changing the table.
 */
extern bool pgcache_file_save(List *watches);

/*
 * Adds a watch of the current role, or gives one that exists other tags (array
 * of text) and makes it the current role's.  Raises 42501 if it is of a role
 * whose privileges the current role does not have.
 */
extern void pgcache_file_add(const char *path, const char *space, Datum tags);

/* A role's name, or its number if it no longer exists. */
extern char *pgcache_file_role(Oid role);

/*
 * Removes all watches of a path.  Raises 42704 if there is none, 42501 as above.
 */
extern void pgcache_file_remove(const char *path);

/* ---- files ----------------------------------------------------------------- */

/* Looks at a file; *error is errno if its state cannot be known. */
extern PgCacheFileState pgcache_file_look(const char *path, int *error);

/* ---- the job of a database's worker; see PgCacheJob -------------------------- */

extern TimestampTz pgcache_file_due(void);
extern void pgcache_file_run(void);

#endif							/* PGCACHE_TRIGGER_FILE_H */
