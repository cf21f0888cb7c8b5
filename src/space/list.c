/*-------------------------------------------------------------------------
 *
 * list.c
 *	  Namespaces with their slots, and slots whose namespace is gone.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "miscadmin.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "space/space_internal.h"

/* The slots of this database's namespaces, by id, and what was found out. */
typedef struct Walk
{
	PgCacheSlotUse *slots;
	int			nslots;
	bool	   *exists;			/* by slot: there is a row, or it is "default" */
	Oid			catalog;
	PgCacheSpaceUse *result;	/* NULL: only exists is wanted */
	int			nresult;
	int			max_result;
	bool		default_seen;
} Walk;

static int
compare_id(const void *a, const void *b)
{
	int32		x = ((const PgCacheSlotUse *) a)->key.id;
	int32		y = ((const PgCacheSlotUse *) b)->key.id;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Notes that a namespace exists, and lists it. */
static void
add_namespace(Walk *walk, const PgCacheSpaceEntry *entry)
{
	PgCacheSlotUse key = {.key.id = entry->space.id};
	PgCacheSlotUse *found = bsearch(&key, walk->slots, walk->nslots,
									sizeof(PgCacheSlotUse), compare_id);
	PgCacheSpaceUse *use;
	int			privileges;

	if (entry->space.id == PGCACHE_DEFAULT_SPACE_ID)
		walk->default_seen = true;
	if (found != NULL)
		walk->exists[found - walk->slots] = true;
	if (walk->result == NULL)
		return;
	if (walk->nresult == walk->max_result)
	{
		walk->max_result *= 2;
		walk->result = repalloc(walk->result,
								walk->max_result * sizeof(PgCacheSpaceUse));
	}
	use = &walk->result[walk->nresult++];
	use->slot = found != NULL ? found->slot : 0;
	use->incarnation = found != NULL ? found->incarnation : 0;
	use->key.database = MyDatabaseId;
	use->key.catalog = walk->catalog;
	use->key.id = entry->space.id;
	strlcpy(use->name, entry->space.name, sizeof(use->name));
	privileges = pgcache_catalog_privileges(entry, GetUserId());
	use->readable = (privileges & PGCACHE_READ) != 0;
	use->writable = (privileges & PGCACHE_WRITE) != 0;
	use->transactional = entry->space.transactional;
}

static void
visit_row(Relation catalog, HeapTuple row, void *arg)
{
	PgCacheSpaceEntry entry;

	pgcache_catalog_read(catalog, row, &entry);
	add_namespace(arg, &entry);
}

/* The built-in "default" exists where it has no row. */
static void
add_builtin(Walk *walk)
{
	PgCacheSpaceEntry entry;

	if (walk->default_seen)
		return;
	pgcache_catalog_builtin(&entry);
	add_namespace(walk, &entry);
}

/*
 * Matches the slots of this database with its catalog.  Of all, an array of
 * nall slots in use, the others are left where they are, after those.
 */
static void
match_slots(Walk *walk, PgCacheSlotUse *all, int nall, bool list)
{
	Relation	rel = pgcache_catalog_open(AccessShareLock);

	memset(walk, 0, sizeof(*walk));
	walk->slots = all;
	walk->catalog = RelationGetRelid(rel);
	for (int i = 0; i < nall; i++)
	{
		if (all[i].key.database == MyDatabaseId &&
			all[i].key.catalog == RelationGetRelid(rel))
		{
			PgCacheSlotUse own = all[i];

			all[i] = all[walk->nslots];
			all[walk->nslots++] = own;
		}
	}
	qsort(walk->slots, walk->nslots, sizeof(PgCacheSlotUse), compare_id);
	walk->exists = palloc0(Max(walk->nslots, 1) * sizeof(bool));
	if (list)
	{
		walk->max_result = walk->nslots + 1;
		walk->result = palloc(walk->max_result * sizeof(PgCacheSpaceUse));
	}
	pgcache_catalog_walk(rel, visit_row, walk);
	add_builtin(walk);
	table_close(rel, AccessShareLock);
}

PgCacheSpaceUse *
pgcache_space_list(int *n)
{
	PgCacheSlotUse *all = palloc(pgcache_max_namespaces * sizeof(PgCacheSlotUse));
	int			nall = pgcache_slots_copy(all);
	Walk		walk;

	match_slots(&walk, all, nall, true);
	*n = walk.nresult;
	return walk.result;
}

/*
 * Of the own database's slots, those are superfluous that have no row: dropped
 * by a prepared transaction or directly from the table, looked up while the
 * drop committed, or replayed by a standby.  One that belongs to a transaction
 * still running goes as well, and will be allocated again.
 */
void
pgcache_space_reclaim(void)
{
	PgCacheSlotUse *all = palloc(pgcache_max_namespaces * sizeof(PgCacheSlotUse));
	int			nall = pgcache_slots_copy(all);
	Walk		walk;

	match_slots(&walk, all, nall, false);
	for (int i = 0; i < nall; i++)
	{
		bool		gone;

		if (i < walk.nslots)
			gone = !walk.exists[i];
		else if (all[i].key.database == MyDatabaseId)
			gone = true;		/* an earlier extension's */
		else
			gone = !SearchSysCacheExists1(DATABASEOID,
										  ObjectIdGetDatum(all[i].key.database));
		if (gone)
			pgcache_slots_free_one(all[i].slot, all[i].incarnation);
	}
	pfree(all);
}

int
pgcache_space_count_slots(void)
{
	PgCacheSlotUse *all = palloc(pgcache_max_namespaces * sizeof(PgCacheSlotUse));
	int			n = pgcache_slots_copy(all);

	pfree(all);
	return n;
}
