/*-------------------------------------------------------------------------
 *
 * ancestors.c
 *	  The relations that a change of one counts for.
 *
 * Rows inserted into a partition are rows of the partitioned table, and rows of
 * a child are rows of its parents, all levels up.  Writers lock the leaf alone,
 * or the parent in a mode that says nothing, so a change of a relation is
 * published in the stamps of all its ancestors as well.  Then whoever depends on
 * a parent need not know its descendants, which may not even exist yet.
 *
 * A cache in this backend's memory spares the look-ups in pg_class and
 * pg_inherits.  A relcache message for any relation in it, as itself or as
 * ancestor, makes all of it void, and so does one for all relations.  A change of
 * pg_inherits comes with such a message: attaching and detaching one for both,
 * INHERIT and NO INHERIT one for the child, whose columns' counts of parents
 * change.  The callback may come at any time, also while the cache is used or
 * filled, and only leaves a note.
 *
 * What a relation's family was before the own transaction's DDL is in a second
 * cache, which any such message makes void.  Who publishes doesn't use what is in it:
 * the messages of the last command have not been processed then.
 *
 * Whether a message came that the cache needs is not a question: the transaction
 * holds a lock on the relation, and got the messages of those before it with that.
 * Ancestors further up may get new ancestors meanwhile, if they are attached by
 * plain inheritance while descendants of theirs are being changed; partitions
 * can't, since attaching locks all their descendants.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "space/space.h"
#include "watch/watch_internal.h"

/* With more relations than this it starts anew. */
#define MAX_FAMILIES	4096

/* How often a build is repeated because a message came in between. */
#define MAX_TRIES		5

uint64		pgcache_relcache_messages = 0;

static MemoryContext context = NULL;
static HTAB *families = NULL;	/* PgCacheFamily by relation */
static HTAB *members = NULL;	/* every Oid in a family */

/* Families used of late, by the low bits of the relation: ten times as fast. */
#define NRECENT			256
static const PgCacheFamily *recent[NRECENT];
static bool outdated = false;

/* Families of the past, as of a number of messages. */
static MemoryContext past_context = NULL;
static HTAB *past = NULL;
static uint64 past_messages = 0;

static void
on_relcache_message(Datum arg, Oid relation)
{
	if (relation != InvalidOid && relation < FirstNormalObjectId)
		return;
	pgcache_relcache_messages++;
	if (!outdated && members != NULL)
		outdated = relation == InvalidOid ||
			hash_search(members, &relation, HASH_FIND, NULL) != NULL;
}

/* Makes the cache empty.  If that fails half-way it is tried again. */
static void
start_anew(void)
{
	HASHCTL		of_families = {
		.keysize = sizeof(Oid),
		.entrysize = sizeof(PgCacheFamily)
	};
	HASHCTL		of_members = {
		.keysize = sizeof(Oid),
		.entrysize = sizeof(Oid)
	};

	families = NULL;
	members = NULL;
	memset(recent, 0, sizeof(recent));
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "pg_cache families",
										ALLOCSET_SMALL_SIZES);
	MemoryContextReset(context);
	of_families.hcxt = of_members.hcxt = context;
	members = hash_create("pg_cache members", 64, &of_members,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	families = hash_create("pg_cache families", 64, &of_families,
						   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	outdated = false;
}

/*
 * Whether something can depend on rows of the relation that others see.  What
 * is not in the catalog was dropped by the own transaction: yes.
 */
static bool
is_watched(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Form_pg_class form;
	bool		watched;

	if (!HeapTupleIsValid(tuple))
		return true;
	form = (Form_pg_class) GETSTRUCT(tuple);
	watched = form->relpersistence != RELPERSISTENCE_TEMP &&
		(form->relkind == RELKIND_RELATION ||
		 form->relkind == RELKIND_PARTITIONED_TABLE ||
		 form->relkind == RELKIND_MATVIEW ||
		 form->relkind == RELKIND_FOREIGN_TABLE ||
		 form->relkind == RELKIND_VIEW);
	ReleaseSysCache(tuple);
	return watched;
}

/* Appends the parents of a relation to the list, unless they are there. */
static List *
append_parents(List *list, Relation inherits, Oid relation, Snapshot snapshot)
{
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relation));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true,
							  snapshot, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
		list = list_append_unique_oid(list,
									  ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	return list;
}

/* The relation and its ancestors, in the current memory context. */
static List *
list_family(Oid relation, Snapshot snapshot)
{
	Relation	inherits;
	List	   *list;

	if (!is_watched(relation))
		return NIL;
	list = list_make1_oid(relation);
	inherits = table_open(InheritsRelationId, AccessShareLock);
	for (int i = 0; i < list_length(list); i++)
		list = append_parents(list, inherits, list_nth_oid(list, i), snapshot);
	table_close(inherits, AccessShareLock);
	return list;
}

/* The list as a family, allocated in the current memory context. */
static PgCacheFamily
make_family(Oid relation, const List *list)
{
	int			n = list_length(list);
	Oid		   *oids = palloc(Max(n, 1) * sizeof(Oid));
	PgCacheStamp *stamps = palloc(Max(n, 1) * sizeof(PgCacheStamp));
	PgCacheFamily family = {relation, n, oids, stamps};

	for (int i = 0; i < n; i++)
	{
		oids[i] = list_nth_oid(list, i);
		stamps[i] = pgcache_stamp_of_relation(MyDatabaseId, oids[i]);
	}
	return family;
}

/*
 * Enters the relation.  The members come before the catalogs are read, as far as
 * they are known, so that no message is missed.
 */
static const PgCacheFamily *
enter_family(Oid relation)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *list;
	PgCacheFamily family;
	PgCacheFamily *entry;

	(void) hash_search(members, &relation, HASH_ENTER, NULL);
	list = list_family(relation, NULL);
	MemoryContextSwitchTo(context);
	family = make_family(relation, list);
	MemoryContextSwitchTo(caller);
	list_free(list);
	for (int i = 1; i < family.n; i++)
		(void) hash_search(members, &family.oids[i], HASH_ENTER, NULL);
	entry = hash_search(families, &relation, HASH_ENTER, NULL);
	*entry = family;
	return entry;
}

const PgCacheFamily *
pgcache_family(Oid relation)
{
	const PgCacheFamily *family;

	if (unlikely(families == NULL || outdated))
		start_anew();
	family = recent[relation % NRECENT];
	if (likely(family != NULL && family->relation == relation))
		return family;
	family = hash_search(families, &relation, HASH_FIND, NULL);
	if (family != NULL)
	{
		recent[relation % NRECENT] = family;
		return family;
	}

	if (hash_get_num_entries(families) >= MAX_FAMILIES)
		start_anew();
	for (int tries = 0; tries < MAX_TRIES; tries++)
	{
		uint64		messages = pgcache_relcache_messages;

		family = enter_family(relation);
		if (messages == pgcache_relcache_messages)
			break;

		/* It may be of an ancestor that was not known yet: build again. */
		outdated = true;
		if (tries < MAX_TRIES - 1)
			start_anew();
	}
	return family;
}

static void
start_past_anew(void)
{
	HASHCTL		of_past = {
		.keysize = sizeof(Oid),
		.entrysize = sizeof(PgCacheFamily)
	};

	past = NULL;
	if (past_context == NULL)
		past_context = AllocSetContextCreate(TopMemoryContext, "pg_cache past families",
											 ALLOCSET_SMALL_SIZES);
	MemoryContextReset(past_context);
	of_past.hcxt = past_context;
	past = hash_create("pg_cache past families", 64, &of_past,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	past_messages = pgcache_relcache_messages;
}

void
pgcache_families_past_forget(void)
{
	past_messages = PG_UINT64_MAX;
}

/*
 * Rows of pg_inherits that the own transaction deleted, or anybody before, are
 * still there for SnapshotAny.  A message that comes meanwhile makes the cache
 * void for the next call.
 */
const PgCacheFamily *
pgcache_family_past(Oid relation)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *list;
	PgCacheFamily family;
	PgCacheFamily *entry;

	if (past == NULL || past_messages != pgcache_relcache_messages ||
		hash_get_num_entries(past) >= MAX_FAMILIES)
		start_past_anew();
	entry = hash_search(past, &relation, HASH_FIND, NULL);
	if (entry != NULL)
		return entry;
	list = list_family(relation, SnapshotAny);
	MemoryContextSwitchTo(past_context);
	family = make_family(relation, list);
	MemoryContextSwitchTo(caller);
	list_free(list);
	entry = hash_search(past, &relation, HASH_ENTER, NULL);
	*entry = family;
	return entry;
}

void
pgcache_ancestors_init(void)
{
	pgcache_space_on_relcache(on_relcache_message);
}
