/*-------------------------------------------------------------------------
 *
 * space.c
 *	  The backend's cache of namespaces, and how it follows changes.
 *
 * A backend remembers the namespaces that it used.  It forgets them all when
 * told that anything changed, which is rare:
 *
 * - by the change count in shared memory, which is advanced after the commit
 *	 of a transaction that changed the catalog, and when slots are freed;
 * - by the relcache invalidation that every change of the catalog sends, which
 *	 is what arrives on a standby and after COMMIT PREPARED;
 * - when the own transaction that changed the catalog is rolled back, wholly
 *	 or in part.
 *
 * An invalidation may arrive in the midst of anything, so it only sets a flag;
 * memory is freed at the beginning of the next look-up.  Roles have a count of
 * their own: privileges are found out anew when any role changed.
 *
 * Quotas that a transaction changed are handed to the store when it commits; by
 * COMMIT PREPARED and on a standby, when the namespace is next read.
 *
 * A namespace that is dropped loses its slot after commit, and so do those of
 * a dropped extension or database, which object_access_hook tells us of.  The
 * slots of a drop in a prepared transaction are reclaimed when there is no
 * other (list.c); nobody can reach them, because their keys are not used again.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "shmem/debug_point.h"
#include "shmem/shmem.h"
#include "space/space_internal.h"

PgCacheSpace *pgcache_space_last = NULL;
uint64		pgcache_space_seen = 0;

/* The namespaces that we know, as they were at change count pgcache_space_seen. */
static MemoryContext space_context = NULL;
static HTAB *spaces = NULL;
static bool spaces_stale = true;

/* What pgcache_space_last was at the end of the last transaction. */
static PgCacheSpace *parked = NULL;

/* Advanced when any role changed; 0 is what no privileges were seen at. */
static uint64 role_changes = 1;

/* What the current transaction did, for its end. */
static bool catalog_changed = false;
static bool has_provisional = false;
static List *drops = NIL;		/* of Drop, in TopTransactionContext */
static List *quotas = NIL;		/* of ChangedQuota, likewise */

typedef struct Drop
{
	PgCacheSpaceKey key;
	SubTransactionId subid;
} Drop;

typedef struct ChangedQuota
{
	PgCacheSpaceKey key;
	PgCacheQuota quota;
	int			slot;			/* to be applied to; -1: none */
} ChangedQuota;

static object_access_hook_type prev_object_access_hook = NULL;

/* ---- looking up ------------------------------------------------------------ */

void
pgcache_space_check_name(int len)
{
	if (len < 1 || len > PGCACHE_MAX_NAME_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("name of a namespace must have 1 to %d bytes, not %d",
						PGCACHE_MAX_NAME_LEN, len)));
}

void
pgcache_space_missing(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("namespace \"%s\" does not exist", name),
			 errhint("Use cache_create_namespace() to create it.")));
}

static void
forget_last(void)
{
	pgcache_space_last = NULL;
	parked = NULL;
}

/* Empties the cache if anything changed. */
static void
freshen(void)
{
	uint64		changes = pg_atomic_read_u64(pgcache_space_changes);
	HASHCTL		ctl;

	if (spaces != NULL && !spaces_stale && changes == pgcache_space_seen)
		return;

	forget_last();
	spaces = NULL;
	if (space_context == NULL)
		space_context = AllocSetContextCreate(TopMemoryContext,
											  "pg_cache namespaces",
											  ALLOCSET_SMALL_SIZES);
	MemoryContextReset(space_context);
	ctl.keysize = sizeof(((PgCacheSpace *) 0)->name);
	ctl.entrysize = sizeof(PgCacheSpaceEntry);
	ctl.hcxt = space_context;
	spaces = hash_create("pg_cache namespaces", 16, &ctl,
						 HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);

	/* The count was read before any row will be: never newer than they are. */
	pgcache_space_seen = changes;
	spaces_stale = false;
	pg_read_barrier();
}

/* Finds the slot of a namespace as read from the catalog. */
static bool
assign_slot(PgCacheSpace *space, Oid catalog, bool uncommitted, bool full_ok)
{
	PgCacheSpaceKey key = {MyDatabaseId, catalog, space->id};
	PgCacheQuota quota = {space->min_bytes, space->max_bytes, space->max_entries};

	if (uncommitted)
		has_provisional = true;
	if (!pgcache_slots_get(&key, uncommitted, &space->slot, &space->incarnation))
	{
		pgcache_space_reclaim();
		if (!pgcache_slots_get(&key, uncommitted, &space->slot, &space->incarnation))
		{
			if (full_ok)
				return false;
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("too many namespaces are in use"),
					 errdetail("A dropped namespace counts until the transactions that used the cache before have ended."),
					 errhint("Increase \"%s\" and restart the server.",
							 "pg_cache.max_namespaces")));
		}
	}

	/* Uncommitted quotas wait for the commit. */
	if (!uncommitted)
		pgcache_slots_set_quota(space->slot, space->incarnation, &quota,
								pgcache_space_seen);
	return true;
}

/*
 * Reads a namespace into the cache.  If there is none of that name, NULL or an
 * error.
 */
static PgCacheSpaceEntry *
load(const char *name, bool missing_ok, bool *no_slot)
{
	Relation	rel = pgcache_catalog_open(AccessShareLock);
	HeapTuple	row = pgcache_catalog_find(rel, name);
	MemoryContext old;
	PgCacheSpaceEntry fresh;
	PgCacheSpaceEntry *entry;
	bool		uncommitted;

	if (row == NULL && strcmp(name, PGCACHE_DEFAULT_SPACE) != 0)
	{
		if (!missing_ok)
			pgcache_space_missing(name);
		table_close(rel, AccessShareLock);
		return NULL;
	}
	old = MemoryContextSwitchTo(space_context);
	if (row != NULL)
		pgcache_catalog_read(rel, row, &fresh);
	else
		pgcache_catalog_builtin(&fresh);
	MemoryContextSwitchTo(old);
	uncommitted = catalog_changed ||
		rel->rd_createSubid != InvalidSubTransactionId;
	if (!assign_slot(&fresh.space, RelationGetRelid(rel), uncommitted, missing_ok))
	{
		table_close(rel, AccessShareLock);
		if (fresh.readers != NULL)
			pfree(fresh.readers);
		if (fresh.writers != NULL)
			pfree(fresh.writers);
		*no_slot = true;
		return NULL;
	}
	table_close(rel, AccessShareLock);

	entry = hash_search(spaces, name, HASH_ENTER, NULL);
	*entry = fresh;
	return entry;
}

/* Finds out what the current role may do, if that is not known. */
static void
find_privileges(PgCacheSpaceEntry *entry)
{
	uint64		seen = role_changes;
	Oid			role = GetUserId();

	if (entry->privileges_seen == seen && entry->space.checked_role == role)
		return;
	entry->space.privileges = pgcache_catalog_privileges(entry, role);
	entry->space.checked_role = role;
	entry->privileges_seen = seen;
}

/*
 * The first use in a transaction, at hardly more cost than those that follow:
 * in most the namespace is the one of the transaction before.
 */
static PgCacheSpace *
unpark(const char *name, int len, int need)
{
	PgCacheSpace *space;

	pgcache_space_last = parked;
	parked = NULL;
	space = pgcache_space_use(name, len, GetUserId(), need);
	PGCACHE_DEBUG_POINT("space-lookup");
	return space;
}

/* See slots.c: first we hold, then we look at the change count. */
PgCacheSpace *
pgcache_space_lookup(const char *name, int len, int need)
{
	char		key[PGCACHE_MAX_NAME_LEN + 1] = {0};
	PgCacheSpaceEntry *entry;
	PgCacheSpace *space;
	bool		no_slot;

	pgcache_slots_hold();
	if (parked != NULL)
		return unpark(name, len, need);
	pgcache_space_check_name(len);
	memcpy(key, name, len);
	freshen();
	entry = hash_search(spaces, key, HASH_FIND, NULL);
	if (entry == NULL)
		entry = load(key, false, &no_slot);
	find_privileges(entry);

	space = &entry->space;
	if ((space->privileges & need) != need)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for namespace \"%s\"", key)));

	/* The inline part of a use must not see what is already out of date. */
	if (!spaces_stale && entry->privileges_seen == role_changes)
		pgcache_space_last = space;
	else
		pgcache_space_last = NULL;
	PGCACHE_DEBUG_POINT("space-lookup");
	return space;
}

const PgCacheSpace *
pgcache_space_remembered(uint16 slot, PgCacheIncarnation incarnation,
						 bool *is_public)
{
	HASH_SEQ_STATUS status;
	PgCacheSpaceEntry *entry;

	if (spaces == NULL || spaces_stale)
		return NULL;
	hash_seq_init(&status, spaces);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->space.slot != slot || entry->space.incarnation != incarnation)
			continue;
		hash_seq_term(&status);
		*is_public = false;
		for (int i = 0; i < entry->nreaders; i++)
			*is_public = *is_public || !OidIsValid(entry->readers[i]);
		return &entry->space;
	}
	return NULL;
}

PgCacheSpace *
pgcache_space_find(const char *name, int len, bool *no_slot)
{
	char		key[PGCACHE_MAX_NAME_LEN + 1] = {0};
	PgCacheSpaceEntry *entry;

	*no_slot = false;
	if (len < 1 || len > PGCACHE_MAX_NAME_LEN)
		return NULL;
	pgcache_slots_hold();
	memcpy(key, name, len);
	freshen();
	entry = hash_search(spaces, key, HASH_FIND, NULL);
	if (entry == NULL && pgcache_catalog_exists())
		entry = load(key, true, no_slot);
	return entry != NULL ? &entry->space : NULL;
}

bool
pgcache_space_may_read(const char *name, int len)
{
	char		key[PGCACHE_MAX_NAME_LEN + 1] = {0};
	PgCacheSpaceEntry *entry;

	if (len < 1 || len > PGCACHE_MAX_NAME_LEN)
		return false;
	pgcache_slots_hold();
	memcpy(key, name, len);
	freshen();
	entry = hash_search(spaces, key, HASH_FIND, NULL);
	if (entry == NULL)
		return pgcache_catalog_may_read(key);
	find_privileges(entry);
	return (entry->space.privileges & PGCACHE_READ) != 0;
}

int
pgcache_space_privileges_of(const PgCacheSpace *space, Oid role)
{
	return pgcache_catalog_privileges((const PgCacheSpaceEntry *) space, role);
}

void
pgcache_space_require_owner(const char *function)
{
	if (!PGCACHE_DATABASE_OWNERCHECK(MyDatabaseId, GetUserId()) &&
		!has_privs_of_role(GetUserId(), pgcache_catalog_locate().owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s", function),
				 errdetail("Only superusers and the owners of the database and of the extension may call it this way.")));
}

/* ---- following changes ----------------------------------------------------- */

static void
forget_spaces(void)
{
	spaces_stale = true;
	forget_last();
}

static void
on_relation_change(Datum arg, Oid relation)
{
	if (pgcache_catalog_forget(relation))
		forget_spaces();
}

static void
on_role_change(Datum arg, int cacheid, uint32 hashvalue)
{
	role_changes++;
	forget_last();
}

void
pgcache_space_changed(Relation catalog)
{
	CacheInvalidateRelcache(catalog);
	catalog_changed = true;
	forget_spaces();
}

void
pgcache_space_free_at_commit(const PgCacheSpaceKey *key)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Drop	   *drop = palloc(sizeof(Drop));

	/* What nobody else ever saw need not wait. */
	if (has_provisional && pgcache_slots_free_provisional(key))
		forget_spaces();

	drop->key = *key;
	drop->subid = GetCurrentSubTransactionId();
	drops = lappend(drops, drop);
	MemoryContextSwitchTo(old);
}

/* ---- the end of a transaction ---------------------------------------------- */

static void
collect_quota(Relation catalog, HeapTuple row, void *arg)
{
	PgCacheSpaceEntry entry;
	ChangedQuota *changed;

	if (!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(row->t_data)))
		return;
	pgcache_catalog_read(catalog, row, &entry);
	changed = palloc0(sizeof(ChangedQuota));
	changed->key.database = MyDatabaseId;
	changed->key.catalog = RelationGetRelid(catalog);
	changed->key.id = entry.space.id;
	changed->quota.min_bytes = entry.space.min_bytes;
	changed->quota.max_bytes = entry.space.max_bytes;
	changed->quota.max_entries = entry.space.max_entries;
	quotas = lappend(quotas, changed);
}

/*
 * Lists the quotas in the rows that the transaction wrote, as long as it can
 * read and fail.  It may also have dropped the extension.
 */
static void
prepare_changes(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Relation	rel;

	quotas = NIL;
	if (catalog_changed && OidIsValid(get_extension_oid("pg_cache", true)))
	{
		CommandCounterIncrement();
		rel = pgcache_catalog_open(AccessShareLock);
		pgcache_catalog_walk(rel, collect_quota, NULL);
		table_close(rel, AccessShareLock);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Frees, notes the quotas, advances the change count, then tells the store the
 * quotas, which takes long where many entries must go.  Must not fail.
 *
 * The quotas have the change count that is about to be: whoever read an older
 * row read a lower count before it, since ours were visible before this.  The
 * next changer waits for our lock on the catalog, which goes after this.
 */
static void
apply_changes(void)
{
	uint64		version = pg_atomic_read_u64(pgcache_space_changes) + 1;
	ListCell   *lc;

	foreach(lc, drops)
		pgcache_slots_free(&((Drop *) lfirst(lc))->key);
	if (has_provisional)
		pgcache_slots_settle();
	foreach(lc, quotas)
	{
		ChangedQuota *changed = lfirst(lc);

		changed->slot = pgcache_slots_note_quota(&changed->key, &changed->quota,
												 version);
	}
	if (catalog_changed)
		pg_atomic_fetch_add_u64(pgcache_space_changes, 1);
	foreach(lc, quotas)
	{
		ChangedQuota *changed = lfirst(lc);

		if (changed->slot >= 0)
			pgcache_slots_apply_quota(changed->slot);
	}
}

/* Forgets what others will not see; must not fail. */
static void
undo_changes(void)
{
	if (has_provisional)
		(void) pgcache_slots_free_provisional(NULL);
	if (has_provisional || catalog_changed)
		forget_spaces();
}

/* Lets all slots go; the next use must hold them anew. */
static void
end_use(void)
{
	if (pgcache_space_last != NULL)
		parked = pgcache_space_last;
	pgcache_space_last = NULL;
	pgcache_slots_release();
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			prepare_changes();
			return;
		case XACT_EVENT_COMMIT:
			apply_changes();
			break;
		case XACT_EVENT_ABORT:
			undo_changes();
			break;
		case XACT_EVENT_PREPARE:
			if (has_provisional)
				pgcache_slots_settle();
			if (catalog_changed)
				forget_spaces();
			break;
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			break;
		default:
			return;
	}
	end_use();
	catalog_changed = false;
	has_provisional = false;
	drops = NIL;
	quotas = NIL;
}

/*
 * Which namespace was looked up in which subtransaction is not recorded: when
 * one is rolled back, all provisional slots are freed, which costs no more
 * than their entries.
 */
static void
on_subtransaction_end(SubXactEvent event, SubTransactionId subid,
					  SubTransactionId parent, void *arg)
{
	ListCell   *lc;

	if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		foreach(lc, drops)
		{
			Drop	   *drop = lfirst(lc);

			if (drop->subid == subid)
				drop->subid = parent;
		}
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		foreach(lc, drops)
		{
			if (((Drop *) lfirst(lc))->subid == subid)
				drops = foreach_delete_current(drops, lc);
		}
		undo_changes();
	}
}

/*
 * The extension's table is gone when its drop is announced, so its namespaces
 * are told by the database alone, which has the extension but once.
 */
static void
on_object_access(ObjectAccessType access, Oid class_id, Oid object_id,
				 int sub_id, void *arg)
{
	PgCacheSpaceKey key = {InvalidOid, InvalidOid, 0};

	if (prev_object_access_hook)
		prev_object_access_hook(access, class_id, object_id, sub_id, arg);
	if (access != OAT_DROP || !pgcache_shmem_ready)
		return;

	if (class_id == DatabaseRelationId)
		key.database = object_id;
	else if (class_id == ExtensionRelationId)
	{
		char	   *name = get_extension_name(object_id);

		if (name != NULL && strcmp(name, "pg_cache") == 0)
			key.database = MyDatabaseId;
	}
	if (OidIsValid(key.database))
		pgcache_space_free_at_commit(&key);
}

void
pgcache_space_register(void)
{
	pgcache_slots_register();
	pgcache_departed_register();
}

void
pgcache_space_init(void)
{
	RegisterXactCallback(on_transaction_end, NULL);
	RegisterSubXactCallback(on_subtransaction_end, NULL);
	pgcache_space_on_relcache(on_relation_change);
	CacheRegisterSyscacheCallback(AUTHOID, on_role_change, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_role_change, (Datum) 0);
	/* The owner of a database is in the role pg_database_owner. */
	CacheRegisterSyscacheCallback(DATABASEOID, on_role_change, (Datum) 0);
	prev_object_access_hook = object_access_hook;
	object_access_hook = on_object_access;
	pgcache_tell_init();
}
