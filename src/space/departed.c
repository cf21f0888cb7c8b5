/*-------------------------------------------------------------------------
 *
 * departed.c
 *	  What was counted for namespaces elsewhere than under their slots.
 *
 * For namespaces that are gone: a row for each database of which a slot was given
 * to another namespace.  There are as many as slots; if they are not enough, the
 * database that has waited longest for another departure loses its row.
 *
 * From before the last start of the server: a row for each namespace that was
 * counted for then.  It stays until the namespace is dropped; what is counted since
 * is added to it on reading.
 *
 * Lock: that of slots.c, held by the callers.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "shmem/shmem.h"
#include "space/space_internal.h"

typedef struct PgCacheSharedDeparted
{
	PgCacheSpaceKey key;		/* database InvalidOid: not in use; catalog
								 * InvalidOid: of namespaces that are gone */
	uint64		added;			/* the larger, the later */
	TimestampTz reset;			/* last reset; DT_NOBEGIN: none */
	PgCacheTally tally;
} PgCacheSharedDeparted;

typedef struct PgCacheSharedDepartures
{
	TimestampTz start;			/* since when is counted, resets aside */
	PgCacheSharedDeparted rows[FLEXIBLE_ARRAY_MEMBER];	/* both kinds */
} PgCacheSharedDepartures;

static PgCacheSharedDepartures *shared = NULL;
static PgCacheSharedDeparted *gone = NULL;
static PgCacheSharedDeparted *saved = NULL;

/* ---- namespaces that are gone -------------------------------------------------- */

static PgCacheSharedDeparted *
find_gone(Oid database)
{
	for (int i = 0; i < pgcache_max_namespaces; i++)
		if (gone[i].key.database == database)
			return &gone[i];
	return NULL;
}

/* The row that was not added to for longest; one not in use before all. */
static PgCacheSharedDeparted *
oldest_gone(uint64 *last)
{
	PgCacheSharedDeparted *oldest = &gone[0];

	*last = 0;
	for (int i = 0; i < pgcache_max_namespaces; i++)
	{
		if (gone[i].added < oldest->added)
			oldest = &gone[i];
		*last = Max(*last, gone[i].added);
	}
	return oldest;
}

/* The database's row, a new one if it has none. */
static PgCacheSharedDeparted *
take_gone(Oid database)
{
	PgCacheSharedDeparted *row = find_gone(database);
	uint64		last;
	PgCacheSharedDeparted *oldest = oldest_gone(&last);

	if (row == NULL)
	{
		row = oldest;
		memset(row, 0, sizeof(*row));
		row->key.database = database;
		row->reset = DT_NOBEGIN;
	}
	row->added = last + 1;
	return row;
}

void
pgcache_tally_add(PgCacheTally *sum, const PgCacheTally *tally)
{
	for (int i = 0; i < PGCACHE_NCOUNTERS; i++)
		sum->counters[i] += tally->counters[i];
	sum->evictions += tally->evictions;
	sum->background_evictions += tally->background_evictions;
	sum->expirations += tally->expirations;
}

void
pgcache_departed_add(Oid database, const PgCacheTally *tally)
{
	pgcache_tally_add(&take_gone(database)->tally, tally);
}

/* ---- from before the start ----------------------------------------------------- */

static PgCacheSharedDeparted *
find_saved(const PgCacheSpaceKey *key)
{
	for (int i = 0; i < pgcache_max_namespaces; i++)
		if (saved[i].key.database == key->database &&
			saved[i].key.catalog == key->catalog && saved[i].key.id == key->id)
			return &saved[i];
	return NULL;
}

void
pgcache_departed_get_saved(const PgCacheSpaceKey *key, PgCacheTally *tally)
{
	const PgCacheSharedDeparted *row = find_saved(key);

	if (row != NULL)
		pgcache_tally_add(tally, &row->tally);
}

void
pgcache_departed_drop(const PgCacheSpaceKey *key)
{
	PgCacheSharedDeparted *row = find_saved(key);

	if (row == NULL)
		return;
	pgcache_departed_add(key->database, &row->tally);
	memset(row, 0, sizeof(*row));
}

void
pgcache_departed_forget_saved(const PgCacheSpaceKey *key)
{
	PgCacheSharedDeparted *row = find_saved(key);

	if (row != NULL)
		memset(row, 0, sizeof(*row));
}

/* ---- a database's -------------------------------------------------------------- */

void
pgcache_departed_get(Oid database, PgCacheTally *tally)
{
	const PgCacheSharedDeparted *row = find_gone(database);

	if (row != NULL)
		pgcache_tally_add(tally, &row->tally);
	for (int i = 0; i < pgcache_max_namespaces; i++)
		if (saved[i].key.database == database)
			pgcache_tally_add(tally, &saved[i].tally);
}

void
pgcache_departed_forget(Oid database)
{
	PgCacheSharedDeparted *row = find_gone(database);

	if (row != NULL)
		memset(row, 0, sizeof(*row));
	for (int i = 0; i < pgcache_max_namespaces; i++)
		if (saved[i].key.database == database)
			memset(&saved[i], 0, sizeof(saved[i]));
}

void
pgcache_departed_set_reset(Oid database, TimestampTz now)
{
	take_gone(database)->reset = now;
}

TimestampTz
pgcache_departed_reset_time(Oid database)
{
	const PgCacheSharedDeparted *row = find_gone(database);

	return row != NULL && row->reset != DT_NOBEGIN ? row->reset : shared->start;
}

/* ---- for the file -------------------------------------------------------------- */

int
pgcache_departed_save(PgCacheSavedTally *rows)
{
	int			n = 0;

	for (int i = 0; i < 2 * pgcache_max_namespaces; i++)
	{
		if (!OidIsValid(shared->rows[i].key.database))
			continue;
		rows[n].key = shared->rows[i].key;
		rows[n].reset = shared->rows[i].reset;
		rows[n].tally = shared->rows[i].tally;
		n++;
	}
	return n;
}

void
pgcache_departed_restore(const PgCacheSavedTally *row)
{
	static const PgCacheSpaceKey none = {0};
	PgCacheSharedDeparted *to = NULL;

	if (OidIsValid(row->key.catalog))
		to = find_saved(&none);
	if (to != NULL)
		to->key = row->key;
	else
	{
		to = take_gone(row->key.database);
		if (!OidIsValid(row->key.catalog))
			to->reset = row->reset;
	}
	pgcache_tally_add(&to->tally, &row->tally);
}

TimestampTz *
pgcache_departed_start(void)
{
	return &shared->start;
}

/* ---- shared memory --------------------------------------------------------- */

static Size
departed_size(void)
{
	return add_size(offsetof(PgCacheSharedDepartures, rows),
					mul_size(2 * pgcache_max_namespaces,
							 sizeof(PgCacheSharedDeparted)));
}

static void
attach_departed(void *memory, LWLockPadded *locks)
{
	shared = memory;
	gone = shared->rows;
	saved = shared->rows + pgcache_max_namespaces;
}

static void
init_departed(void *memory, LWLockPadded *locks)
{
	memset(memory, 0, departed_size());
	attach_departed(memory, locks);
	shared->start = GetCurrentTimestamp();
}

static const PgCacheShmemPart departed_part = {
	.name = "PgCacheDeparted",
	.size = departed_size,
	.init = init_departed,
	.attach = attach_departed
};

void
pgcache_departed_register(void)
{
	pgcache_shmem_register(&departed_part);
}
