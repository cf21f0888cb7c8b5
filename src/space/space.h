/*-------------------------------------------------------------------------
 *
 * space.h
 *	  Namespaces: what the catalog says of them, as a backend sees it.
 *
 * The catalog table cache_namespaces is the truth.  A backend reads a
 * namespace's row at first use and keeps it, with the privileges of the
 * current role, until it is told of a change: by the relcache invalidation
 * that every change of the table sends, and by a change count in shared memory
 * that a committing changer advances.  Shared memory maps each namespace in
 * use, named by (database, catalog table's OID, namespace's id), to a slot
 * number, under which the store accounts for it.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_SPACE_SPACE_H
#define PGCACHE_SPACE_SPACE_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "utils/inval.h"
#include "utils/relcache.h"

#include "base/settings.h"
#include "shmem/counters.h"

#define PGCACHE_DEFAULT_SPACE		"default"
#define PGCACHE_DEFAULT_SPACE_ID	1
#define PGCACHE_MAX_NAME_LEN		63	/* bytes of a namespace's name */

/* Privileges, as bits. */
#define PGCACHE_READ	0x01
#define PGCACHE_WRITE	0x02

/* Names a namespace in the whole server, and for ever. */
typedef struct PgCacheSpaceKey
{
	Oid			database;
	Oid			catalog;		/* table cache_namespaces of the database */
	int32		id;				/* in the catalog */
} PgCacheSpaceKey;

typedef struct PgCacheSpace
{
	char		name[PGCACHE_MAX_NAME_LEN + 1];
	int			name_len;
	int32		id;				/* in the catalog */
	uint16		slot;			/* in shared memory and in the store */
	PgCacheIncarnation incarnation; /* of the slot */
	Oid			owner;

	/* Privileges that checked_role holds; see pgcache_space_use. */
	Oid			checked_role;
	int			privileges;

	/* Options, with the server's settings not yet mixed in. */
	int64		default_ttl;	/* microseconds; 0: the server's */
	int64		max_ttl;		/* microseconds; 0: none of its own */
	double		ttl_jitter;		/* 0 to 1 */
	bool		sliding;
	int64		min_bytes;		/* 0: none */
	int64		max_bytes;		/* 0: none */
	int64		max_entries;	/* 0: none */
	int32		priority;		/* of puts that give 0 */
	int			compression;	/* a PgCacheCompression, or -1: the setting */
	int			compression_threshold;	/* -1: the setting */
	int			transactional;	/* 0, 1, or -1: the setting */
} PgCacheSpace;

/*
 * The namespace of that name, which the current role may use for need (bits).
 * The result is valid until the next call of this function.  Errors: 22023 for
 * a name of 0 or over 63 bytes, 42704 with a hint for an unknown namespace,
 * 42501 without the privilege, 53400 when there is no free slot.
 */
extern PgCacheSpace *pgcache_space_lookup(const char *name, int len, int need);

/*
 * The same for what acts without a user's privileges: NULL if there is no such
 * namespace, or the extension is about to be dropped; or if it has no slot and no
 * slot is free: *no_slot.
 */
extern PgCacheSpace *pgcache_space_find(const char *name, int len, bool *no_slot);

/*
 * The publish number when the slot was given to its namespace, and the next
 * transaction id after that.  Without a lock, so only for who holds the slot.
 */
extern void pgcache_space_slot_born(uint16 slot, uint64 *number, uint64 *next_xid);

/*
 * The last incarnation that any slot was given, and the slots that this database's
 * namespaces were given since one; slots has room for pgcache_max_namespaces.
 */
extern PgCacheIncarnation pgcache_space_last_incarnation(void);
extern int	pgcache_space_slots_since(PgCacheIncarnation incarnation, uint16 *slots);

/*
 * Whether the current role may read the namespace of that name; false if there is
 * none.  Takes no slot for it.
 */
extern bool pgcache_space_may_read(const char *name, int len);

/* The privileges (bits) that a role has. */
extern int	pgcache_space_privileges_of(const PgCacheSpace *space, Oid role);

/*
 * The namespace used last, for the inline part below: NULL until the first use
 * in each transaction, so that the backend holds its slot from then on.
 */
extern PgCacheSpace *pgcache_space_last;
extern uint64 pgcache_space_seen;
extern pg_atomic_uint64 *pgcache_space_changes;

/* As pgcache_space_lookup, at the cost of a comparison for the one used last. */
static inline PgCacheSpace *
pgcache_space_use(const char *name, int len, Oid role, int need)
{
	PgCacheSpace *space = pgcache_space_last;

	if (likely(space != NULL &&
			   space->name_len == len &&
			   memcmp(space->name, name, len) == 0 &&
			   space->checked_role == role &&
			   (space->privileges & need) == need &&
			   pgcache_space_seen == pg_atomic_read_u64(pgcache_space_changes)))
		return space;
	return pgcache_space_lookup(name, len, need);
}

/*
 * Whether the slot is still that namespace's: not if it was made for a
 * transaction's own namespace, part of which was rolled back.  *key, unless NULL:
 * whose it is.
 */
extern bool pgcache_space_has_slot(uint16 slot, PgCacheIncarnation incarnation,
								   PgCacheSpaceKey *key);

/*
 * The namespace with that slot, if this backend remembers it, else NULL; and
 * whether PUBLIC may read it.  Valid as the result of pgcache_space_lookup.
 */
extern const PgCacheSpace *pgcache_space_remembered(uint16 slot,
													PgCacheIncarnation incarnation,
													bool *is_public);

/* A namespace, as the statistics views list them. */
typedef struct PgCacheSpaceUse
{
	uint16		slot;
	PgCacheIncarnation incarnation; /* 0: not in use, has no slot */
	PgCacheSpaceKey key;
	char		name[PGCACHE_MAX_NAME_LEN + 1];
	bool		readable;		/* by the current role */
	bool		writable;		/* likewise */
	int			transactional;	/* as in PgCacheSpace */
} PgCacheSpaceUse;

/*
 * All namespaces of the current database, palloc'd; dropped ones are left out.
 */
extern PgCacheSpaceUse *pgcache_space_list(int *n);

/* How many slots are in use, of all databases. */
extern int	pgcache_space_count_slots(void);

/* How often a slot's present or last namespace was asked. */
extern uint64 pgcache_space_gets(uint16 slot);

/* What was counted for all namespaces of a database, also those dropped since. */
typedef struct PgCacheTally
{
	uint64		counters[PGCACHE_NCOUNTERS];
	int64		evictions;
	int64		background_evictions;	/* of these */
	int64		expirations;
} PgCacheTally;

/*
 * Gives the current database's, or sets it back to zero; when that was done last,
 * or else the server was started for the first time, or after a crash.
 */
extern void pgcache_space_tally(PgCacheTally *tally);
extern void pgcache_space_reset_tally(void);
extern TimestampTz pgcache_space_reset_time(void);

/* What was counted for one namespace. */
extern void pgcache_space_counts(const PgCacheSpaceUse *space, PgCacheTally *tally);

/*
 * All that was counted in the server, palloc'd, when nobody counts any more; and
 * back, when nobody counts yet.
 */
typedef struct PgCacheSavedTally
{
	PgCacheSpaceKey key;		/* catalog InvalidOid: of namespaces of the
								 * database that are gone */
	TimestampTz reset;			/* of the database; DT_NOBEGIN: none */
	PgCacheTally tally;
} PgCacheSavedTally;

extern PgCacheSavedTally *pgcache_space_save(int *n, TimestampTz *start);
extern void pgcache_space_restore(const PgCacheSavedTally *rows, int n,
								  TimestampTz start);

/*
 * Called when a namespace was dropped; with catalog InvalidOid, when a database was
 * or has lost the extension.  After commit: must not fail.  Set by _PG_init.
 */
extern void (*pgcache_space_on_forget) (const PgCacheSpaceKey *key);

/*
 * Raises 42501 unless the current role owns the database or the extension, or
 * is a superuser.
 */
extern void pgcache_space_require_owner(const char *function);

/* The extension's schema; InvalidOid if this database does not have it. */
extern Oid	pgcache_space_schema(void);

/* ---- changes --------------------------------------------------------------- */

/*
 * OPTION(NAME, column): the options of a namespace, in the order of the
 * catalog's columns and of the SQL functions' arguments.
 */
#define PGCACHE_SPACE_OPTIONS(OPTION) \
	OPTION(DEFAULT_TTL, default_ttl) \
	OPTION(MAX_TTL, max_ttl) \
	OPTION(TTL_JITTER, ttl_jitter) \
	OPTION(SLIDING, sliding) \
	OPTION(MIN_BYTES, min_bytes) \
	OPTION(MAX_BYTES, max_bytes) \
	OPTION(MAX_ENTRIES, max_entries) \
	OPTION(PRIORITY, priority) \
	OPTION(COMPRESSION, compression) \
	OPTION(COMPRESSION_THRESHOLD, compression_threshold) \
	OPTION(TRANSACTIONAL, transactional) \
	OPTION(LOADER, loader) \
	OPTION(WRITE_MODE, write_mode) \
	OPTION(BACKING, backing)

#define PGCACHE_OPTION_ENUM(NAME, column)	PGCACHE_OPTION_##NAME,
typedef enum PgCacheSpaceOption
{
	PGCACHE_SPACE_OPTIONS(PGCACHE_OPTION_ENUM)
	PGCACHE_NOPTIONS
} PgCacheSpaceOption;

/* What becomes of each option: a new value, the default, or neither. */
typedef struct PgCacheSpaceChange
{
	Datum		values[PGCACHE_NOPTIONS];	/* of the SQL arguments' types */
	bool		given[PGCACHE_NOPTIONS];
	bool		reset[PGCACHE_NOPTIONS];
} PgCacheSpaceChange;

/* The option of that name, or -1. */
extern int	pgcache_space_option(const char *name);

/*
 * Change the catalog, on behalf of the current role.  Others see the change
 * from commit on.  Errors: 22023 for an invalid name or option, 42501, 42704
 * for an unknown namespace, 42710 for one that exists; 2BP01 for dropping
 * "default".
 */
extern void pgcache_space_create(const char *name, const PgCacheSpaceChange *change);
extern void pgcache_space_alter(const char *name, const PgCacheSpaceChange *change);
extern void pgcache_space_drop(const char *name);

/* Gives a role, or PUBLIC (InvalidOid), one of the privileges, or takes it. */
extern void pgcache_space_grant(const char *name, Oid role, int privilege);
extern void pgcache_space_revoke(const char *name, Oid role, int privilege);

/*
 * To be called whenever rows of the catalog table were changed: makes the
 * change take effect, here at once and in other backends at commit.
 */
extern void pgcache_space_changed(Relation catalog);

/*
 * To be called whenever rows of a table were changed by which the database's worker
 * works: it reads the table again, at once when the transaction commits; after
 * COMMIT PREPARED and on a standby when it next looks.
 */
extern void pgcache_space_tell_worker(Relation table);

/*
 * CacheRegisterRelcacheCallback, with argument 0, for all of us together: a process
 * has room for but ten, which others need too.
 */
extern void pgcache_space_on_relcache(RelcacheCallbackFunction callback);

/* Registers shared memory, hooks and callbacks; called by _PG_init. */
extern void pgcache_space_register(void);
extern void pgcache_space_init(void);

#endif							/* PGCACHE_SPACE_SPACE_H */
