/*-------------------------------------------------------------------------
 *
 * space_internal.h
 *	  What the files of this room share.
 *
 *	  slots.c		shared memory: which namespace has which slot
 *	  departed.c	shared memory: what was counted, but not under a slot
 *	  tally.c		what was counted, wherever it is kept
 *	  catalog.c		reads the table cache_namespaces
 *	  space.c		the backend's cache of namespaces; follows changes
 *	  change.c		changes the table
 *	  list.c		namespaces with a slot; slots that nobody needs
 *	  tell.c		tells the database's worker what has changed
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_SPACE_SPACE_INTERNAL_H
#define PGCACHE_SPACE_SPACE_INTERNAL_H

#include "access/htup.h"
#include "storage/lockdefs.h"

#include "base/compat.h"
#include "space/space.h"

/* ---- slots.c --------------------------------------------------------------- */

typedef struct PgCacheQuota
{
	int64		min_bytes;
	int64		max_bytes;
	int64		max_entries;
} PgCacheQuota;

/* A copy of a slot. */
typedef struct PgCacheSlotUse
{
	PgCacheSpaceKey key;
	uint16		slot;
	PgCacheIncarnation incarnation;
	bool		is_current;		/* not one whose namespace is gone */
} PgCacheSlotUse;

/*
 * Holds every slot that this backend knows or comes to know, and lets all of
 * them go at the end of the transaction.  Whoever holds may believe what it
 * cached if it finds the change count unmoved afterwards.
 */
extern void pgcache_slots_hold(void);
extern void pgcache_slots_release(void);

/*
 * Gives the namespace's slot, a new one if it has none yet; false where the
 * table is full.  A new slot is provisional if asked: it is freed by
 * pgcache_slots_free_provisional unless pgcache_slots_settle comes first, or
 * another backend that asks for it.
 */
extern bool pgcache_slots_get(const PgCacheSpaceKey *key, bool provisional,
							  uint16 *slot, PgCacheIncarnation *incarnation);

/*
 * Hands a namespace's quotas to the store.  version is the change count from
 * before the catalog was read; what was read later is not overwritten.
 */
extern void pgcache_slots_set_quota(uint16 slot, PgCacheIncarnation incarnation,
									const PgCacheQuota *quota, uint64 version);

/*
 * The same in two steps, the first of which is quick: gives the slot for the
 * second one, or -1 if that is not needed.  Neither can fail.
 */
extern int	pgcache_slots_note_quota(const PgCacheSpaceKey *key,
									 const PgCacheQuota *quota, uint64 version);
extern void pgcache_slots_apply_quota(int slot);

/* Sum of the min_bytes of all namespaces of other databases. */
extern int64 pgcache_slots_reserved_elsewhere(void);

/* Copies all slots in use; uses has room for pgcache_max_namespaces. */
extern int	pgcache_slots_copy(PgCacheSlotUse *uses);

/*
 * Free a namespace's slot (catalog InvalidOid: all slots of the database, and
 * its statistics), or one slot if it still is that incarnation.  Their entries
 * are gone.  Freeing the slot of a namespace that still exists is safe: its
 * users look it up again and find an empty one.  They allocate nothing and
 * cannot fail.
 */
extern void pgcache_slots_free(const PgCacheSpaceKey *key);
extern void pgcache_slots_free_one(uint16 slot, PgCacheIncarnation incarnation);

/*
 * Frees the namespace's slot (NULL: all slots) if provisional and this
 * backend's; whether there was one.  The caller must forget it, because others
 * get it at once.
 */
extern bool pgcache_slots_free_provisional(const PgCacheSpaceKey *key);

/* Makes this backend's provisional slots lasting ones. */
extern void pgcache_slots_settle(void);

extern void pgcache_slots_register(void);

/*
 * For what is counted: the lock, and a slot, true if it ever was used.  To be called
 * with the lock held, or when there is nobody else.
 */
extern LWLock *pgcache_slots_lock(void);
extern bool pgcache_slots_counted(int slot, PgCacheSlotUse *use);

/* ---- tally.c --------------------------------------------------------------- */

/* Adds what was counted under a slot for its present or last namespace. */
extern void pgcache_tally_add_slot(uint16 slot, PgCacheIncarnation incarnation,
								   PgCacheTally *tally);

/* ---- departed.c ------------------------------------------------------------ */

/* For all of these slots.c's lock must be held: shared for get, else exclusively. */

/* Adds to what was counted for a database's namespaces that are gone. */
extern void pgcache_departed_add(Oid database, const PgCacheTally *tally);

/*
 * Adds to a tally what was counted for a database, but for what is under slots; or
 * for a namespace before the last start of the server.
 */
extern void pgcache_departed_get(Oid database, PgCacheTally *tally);
extern void pgcache_departed_get_saved(const PgCacheSpaceKey *key, PgCacheTally *tally);

/* A namespace is gone: moves the latter to the former.  Forgets a database's. */
extern void pgcache_departed_drop(const PgCacheSpaceKey *key);
extern void pgcache_departed_forget(Oid database);
extern void pgcache_departed_forget_saved(const PgCacheSpaceKey *key);

/* When a database's counts began: the last reset, else the server's start. */
extern void pgcache_departed_set_reset(Oid database, TimestampTz now);
extern TimestampTz pgcache_departed_reset_time(Oid database);
extern TimestampTz *pgcache_departed_start(void);

/* Copies all rows, at most 2 * pgcache_max_namespaces; and one back. */
extern int	pgcache_departed_save(PgCacheSavedTally *rows);
extern void pgcache_departed_restore(const PgCacheSavedTally *row);

extern void pgcache_tally_add(PgCacheTally *sum, const PgCacheTally *tally);

extern void pgcache_departed_register(void);

/* ---- catalog.c ------------------------------------------------------------- */

/* Columns of cache_namespaces; the options begin at FIRST_OPTION. */
enum
{
	PGCACHE_SPACE_ID,
	PGCACHE_SPACE_NAME,
	PGCACHE_SPACE_OWNER,
	PGCACHE_SPACE_READERS,
	PGCACHE_SPACE_WRITERS,
	PGCACHE_SPACE_FIRST_OPTION,
	PGCACHE_SPACE_NCOLUMNS = PGCACHE_SPACE_FIRST_OPTION + PGCACHE_NOPTIONS
};

/* Where the catalog is in this database. */
typedef struct PgCacheCatalog
{
	Oid			schema;			/* of the extension */
	Oid			owner;			/* of the extension */
	Oid			table;			/* cache_namespaces */
	Oid			name_index;		/* on its name */
} PgCacheCatalog;

/* A namespace as the catalog has it, without slot. */
typedef struct PgCacheSpaceEntry
{
	PgCacheSpace space;			/* begins with the name, the hash key */
	Oid		   *readers;		/* InvalidOid: PUBLIC */
	int			nreaders;
	Oid		   *writers;
	int			nwriters;
	uint64		privileges_seen;	/* space.c's count of role changes */
} PgCacheSpaceEntry;

/* Raises 42704 where the database does not have the extension. */
extern PgCacheCatalog pgcache_catalog_locate(void);

/* Whether the catalog is there, and not just being dropped. */
extern bool pgcache_catalog_exists(void);

/* Forgets it if relation is the catalog, or InvalidOid; true if so. */
extern bool pgcache_catalog_forget(Oid relation);

/* Opens the catalog, wherever it is now. */
extern Relation pgcache_catalog_open(LOCKMODE lockmode);

/* A copy of the namespace's row, or NULL. */
extern HeapTuple pgcache_catalog_find(Relation catalog, const char *name);

/* Splits a row into columns; raises if the table is not of this version. */
extern void pgcache_catalog_deform(Relation catalog, HeapTuple row,
								   Datum *values, bool *nulls);

/* The reverse, a new row; raises likewise. */
extern HeapTuple pgcache_catalog_form(Relation catalog, const Datum *values,
									  const bool *nulls);

/*
 * Fills entry but for slot and privileges from a row, or with the built-in
 * "default".  Allocates in the current context.
 */
extern void pgcache_catalog_read(Relation catalog, HeapTuple row,
								 PgCacheSpaceEntry *entry);
extern void pgcache_catalog_builtin(PgCacheSpaceEntry *entry);

/* The privileges that role has, by the entry's owner, readers and writers. */
extern int	pgcache_catalog_privileges(const PgCacheSpaceEntry *entry, Oid role);

/* Whether there is a namespace of that name that the current role may read. */
extern bool pgcache_catalog_may_read(const char *name);

/* Calls visit for each row. */
extern void pgcache_catalog_walk(Relation catalog,
								 void (*visit) (Relation catalog, HeapTuple row, void *arg),
								 void *arg);

/* The role OIDs in an array column, palloc'd. */
extern Oid *pgcache_catalog_roles(Datum array, int *n);

/* ---- space.c --------------------------------------------------------------- */

/* Raises 22023 unless a name has 1 to 63 bytes. */
extern void pgcache_space_check_name(int len);

/* Raises 42704. */
pg_noreturn extern void pgcache_space_missing(const char *name);

/* At commit, frees the slot of the namespace (see pgcache_slots_free). */
extern void pgcache_space_free_at_commit(const PgCacheSpaceKey *key);

/* ---- list.c ---------------------------------------------------------------- */

/* Frees slots of namespaces and databases that no longer exist. */
extern void pgcache_space_reclaim(void);

/* ---- tell.c ---------------------------------------------------------------- */

extern void pgcache_tell_init(void);

#endif							/* PGCACHE_SPACE_SPACE_INTERNAL_H */
