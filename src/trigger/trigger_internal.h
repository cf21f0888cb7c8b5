/*-------------------------------------------------------------------------
 *
 * trigger_internal.h
 *	  What the files of this room share.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_TRIGGER_TRIGGER_INTERNAL_H
#define PGCACHE_TRIGGER_TRIGGER_INTERNAL_H

#include "shmem/counters.h"
#include "trigger/trigger.h"

/* ---- catalog.c ------------------------------------------------------------- */

/*
 * Splits the arguments of a trigger into the templates.  Raises 22023 if they
 * are not as they must be.
 */
extern void pgcache_watch_parse(PgCacheWatch *watch, char *const *args, int nargs);

/*
 * The watch of a trigger, also of one that this command has just made; NULL if
 * it calls another function.
 */
extern PgCacheWatch *pgcache_watch_read(Oid trigger);

/* The table on which a watch was asked for, of which it may be a clone's. */
extern Oid	pgcache_watch_root(const PgCacheWatch *watch);

/* The owner of a table; InvalidOid if there is no such table. */
extern Oid	pgcache_watch_owner(Oid relation);

/* ---- install.c ------------------------------------------------------------- */

/* The parents of a table. */
extern List *pgcache_watch_parents(Oid relation);

/* Notes a table that becomes the child of another, watched one. */
extern void pgcache_watch_note_heir(Oid relation);

/* Gives those noted the triggers that they inherit; before commit. */
extern void pgcache_watch_install_heirs(void);
extern void pgcache_watch_forget_heirs(void);

/* ---- ddl.c ----------------------------------------------------------------- */

/* Notes that all was invalidated that the table's watches can produce. */
extern void pgcache_watch_note(Oid relation);

/* ---- target.c -------------------------------------------------------------- */

/* The namespace that a watch invalidates. */
typedef struct PgCacheTarget
{
	uint16		slot;
	PgCacheIncarnation incarnation;
} PgCacheTarget;

typedef enum PgCacheTargetResult
{
	PGCACHE_TARGET_FOUND,
	PGCACHE_TARGET_MISSING,		/* there is no such namespace */
	PGCACHE_TARGET_DENIED		/* found, but the table's owner may not write
								 * to it any more */
} PgCacheTargetResult;

/* Finds it, and looks at the privileges of the table's owner. */
extern PgCacheTargetResult pgcache_watch_target(const PgCacheWatch *watch,
												Oid owner, PgCacheTarget *target);

/* Invalidates all that a watch can produce, whatever the rows are. */
extern void pgcache_watch_invalidate_all(const PgCacheWatch *watch,
										 const PgCacheTarget *target);

#endif							/* PGCACHE_TRIGGER_TRIGGER_INTERNAL_H */
