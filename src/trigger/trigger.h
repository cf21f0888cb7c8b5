/*-------------------------------------------------------------------------
 *
 * trigger.h
 *	  Watched tables: whose changes invalidate keys and tags.
 *
 * A watch is a row trigger and a TRUNCATE trigger on the table, which both call
 * cache_watch_trigger() with three arguments: the template of a key, an array of
 * templates of tags as its literal, and the namespace.  There is no other record
 * of it, so watches are dumped, restored, cloned for partitions and dropped with
 * their tables.
 *
 *	  template.c	templates
 *	  catalog.c		watches as pg_trigger has them
 *	  target.c		what a watch may invalidate; all that it can produce
 *	  install.c		makes the triggers, also on children
 *	  trigger.c		the trigger function
 *	  ddl.c			changes that fire no row trigger
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_TRIGGER_TRIGGER_H
#define PGCACHE_TRIGGER_TRIGGER_H

#include "nodes/pg_list.h"
#include "storage/lockdefs.h"

#include "store/store.h"
#include "trigger/template.h"

#define PGCACHE_WATCH_FUNCTION	"cache_watch_trigger"	/* in SQL */
#define PGCACHE_WATCH_SYMBOL	"pgcache_sql_watch_trigger" /* in C */

/* Arguments of the triggers; an empty key is none. */
enum
{
	PGCACHE_WATCH_KEY,
	PGCACHE_WATCH_TAGS,
	PGCACHE_WATCH_SPACE,
	PGCACHE_WATCH_NARGS
};

/* A trigger that makes a watch. */
typedef struct PgCacheWatch
{
	Oid			trigger;
	Oid			relation;
	Oid			parent;			/* trigger of which it is the clone */
	Oid			function;		/* that it calls */
	char	   *name;
	int16		type;			/* as pg_trigger.tgtype */
	char		enabled;		/* as pg_trigger.tgenabled */
	char	   *args[PGCACHE_WATCH_NARGS];
	const char *key;			/* template; NULL: none */
	const char *tags[PGCACHE_MAX_TAGS]; /* templates */
	int			ntags;
	const char *space;			/* name of the namespace */
} PgCacheWatch;

/* The watches' triggers on a relation, or all (InvalidOid), palloc'd. */
extern List *pgcache_watch_list(Oid relation);

/* Whether a watch has these arguments. */
extern bool pgcache_watch_same(const PgCacheWatch *watch, char *const *args);

/* Whether a table has it because of its parent. */
extern bool pgcache_watch_inherited(const PgCacheWatch *watch);

/* Whether one of those is just being made. */
extern bool pgcache_watch_inheriting;

/* Whether one of a table's ancestors has a watch with these arguments itself. */
extern bool pgcache_watch_above(Oid relation, char *const *args);

/*
 * The tables that inherit from one without being its partitions, at whatever
 * distance, locked.
 */
extern List *pgcache_watch_children(Oid relation, LOCKMODE lockmode);

/*
 * Gives a table, and its children, the triggers that they don't have yet;
 * function is cache_watch_trigger().
 */
extern void pgcache_watch_install(Oid relation, Oid function, char *const *args);

/* Installs hooks and callbacks; to be called after pgcache_txn_init. */
extern void pgcache_trigger_init(void);

#endif							/* PGCACHE_TRIGGER_TRIGGER_H */
