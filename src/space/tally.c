/*-------------------------------------------------------------------------
 *
 * tally.c
 *	  What was counted for namespaces and databases, wherever it is kept.
 *
 * What is counted for a namespace is under its slot, and stays there when it is
 * dropped until another has the slot.  The rest is in departed.c.
 *
 * Lock: that of slots.c, so that counts which move to the departed ones are neither
 * missed nor seen twice.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "space/space_internal.h"
#include "space/store_part.h"

void
pgcache_tally_add_slot(uint16 slot, PgCacheIncarnation incarnation,
					   PgCacheTally *tally)
{
	PgCacheTally own = {{0}};
	PgCacheUsage usage;

	pgcache_counters_read(slot, incarnation, own.counters);
	pgcache_store_usage(pgcache_store, slot, &usage);
	own.evictions = usage.evictions;
	own.background_evictions = usage.background_evictions;
	own.expirations = usage.expirations;
	pgcache_tally_add(tally, &own);
}

void
pgcache_space_tally(PgCacheTally *tally)
{
	PgCacheSlotUse use;

	memset(tally, 0, sizeof(*tally));
	LWLockAcquire(pgcache_slots_lock(), LW_SHARED);
	pgcache_departed_get(MyDatabaseId, tally);
	for (int i = 0; i < pgcache_max_namespaces; i++)
		if (pgcache_slots_counted(i, &use) && use.key.database == MyDatabaseId)
			pgcache_tally_add_slot(i, use.incarnation, tally);
	LWLockRelease(pgcache_slots_lock());
}

void
pgcache_space_counts(const PgCacheSpaceUse *space, PgCacheTally *tally)
{
	PgCacheSlotUse use;

	memset(tally, 0, sizeof(*tally));
	LWLockAcquire(pgcache_slots_lock(), LW_SHARED);
	pgcache_departed_get_saved(&space->key, tally);
	if (space->incarnation != 0 && pgcache_slots_counted(space->slot, &use) &&
		use.incarnation == space->incarnation)
		pgcache_tally_add_slot(space->slot, use.incarnation, tally);
	LWLockRelease(pgcache_slots_lock());
}

void
pgcache_space_reset_tally(void)
{
	TimestampTz now = pgcache_clock_now();
	PgCacheSlotUse use;

	LWLockAcquire(pgcache_slots_lock(), LW_EXCLUSIVE);
	for (int i = 0; i < pgcache_max_namespaces; i++)
	{
		if (!pgcache_slots_counted(i, &use) || use.key.database != MyDatabaseId)
			continue;
		pgcache_counters_reset(i, use.incarnation);
		pgcache_store_reset_usage(pgcache_store, i);
	}
	pgcache_departed_forget(MyDatabaseId);
	pgcache_departed_set_reset(MyDatabaseId, now);
	LWLockRelease(pgcache_slots_lock());
}

TimestampTz
pgcache_space_reset_time(void)
{
	TimestampTz result;

	LWLockAcquire(pgcache_slots_lock(), LW_SHARED);
	result = pgcache_departed_reset_time(MyDatabaseId);
	LWLockRelease(pgcache_slots_lock());
	return result;
}

/* ---- for the file -------------------------------------------------------------- */

PgCacheSavedTally *
pgcache_space_save(int *n, TimestampTz *start)
{
	PgCacheSavedTally *rows = palloc0(3 * pgcache_max_namespaces *
									  sizeof(PgCacheSavedTally));

	*start = *pgcache_departed_start();
	*n = 0;
	for (int i = 0; i < pgcache_max_namespaces; i++)
	{
		PgCacheSavedTally *row = &rows[*n];
		PgCacheSlotUse use;

		if (!pgcache_slots_counted(i, &use) || !OidIsValid(use.key.database))
			continue;
		row->key = use.key;
		row->reset = DT_NOBEGIN;
		pgcache_tally_add_slot(i, use.incarnation, &row->tally);
		if (use.is_current)
		{
			pgcache_departed_get_saved(&use.key, &row->tally);
			pgcache_departed_forget_saved(&use.key);
			(*n)++;
		}
		else
		{
			pgcache_departed_add(use.key.database, &row->tally);
			memset(row, 0, sizeof(*row));
		}
	}
	*n += pgcache_departed_save(rows + *n);
	return rows;
}

void
pgcache_space_restore(const PgCacheSavedTally *rows, int n, TimestampTz start)
{
	*pgcache_departed_start() = start;

	/*
	 * Those of databases first: a namespace may need one, if there are fewer
	 * rows.
	 */
	for (int i = 0; i < n; i++)
		if (!OidIsValid(rows[i].key.catalog))
			pgcache_departed_restore(&rows[i]);
	for (int i = 0; i < n; i++)
		if (OidIsValid(rows[i].key.catalog))
			pgcache_departed_restore(&rows[i]);
}
