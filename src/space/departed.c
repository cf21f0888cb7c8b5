/*-------------------------------------------------------------------------
 *
 * departed.c
 *	  What was counted for namespaces that are gone, by database.
 *
 * A row for each database of which a slot was given to another namespace.  There
 * are as many as slots; if they are not enough, the database that has waited
 * longest for another departure loses its row.
 *
 * Lock: that of slots.c, which is the only caller.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shmem/shmem.h"
#include "space/space_internal.h"
#include "space/store_part.h"

typedef struct PgCacheSharedDeparted
{
	Oid			database;		/* InvalidOid: not in use */
	uint64		added;			/* the larger, the later */
	PgCacheTally tally;
} PgCacheSharedDeparted;

static PgCacheSharedDeparted *rows = NULL;

static PgCacheSharedDeparted *
find_row(Oid database)
{
	for (int i = 0; i < pgcache_max_namespaces; i++)
		if (rows[i].database == database)
			return &rows[i];
	return NULL;
}

/* The row that was not added to for longest; one not in use before all. */
static PgCacheSharedDeparted *
oldest_row(uint64 *last)
{
	PgCacheSharedDeparted *oldest = &rows[0];

	*last = 0;
	for (int i = 0; i < pgcache_max_namespaces; i++)
	{
		if (rows[i].added < oldest->added)
			oldest = &rows[i];
		*last = Max(*last, rows[i].added);
	}
	return oldest;
}

static void
add_tally(PgCacheTally *sum, const PgCacheTally *tally)
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
	PgCacheSharedDeparted *row = find_row(database);
	uint64		last;
	PgCacheSharedDeparted *oldest = oldest_row(&last);

	if (row == NULL)
	{
		row = oldest;
		memset(row, 0, sizeof(*row));
		row->database = database;
	}
	row->added = last + 1;
	add_tally(&row->tally, tally);
}

void
pgcache_departed_get(Oid database, PgCacheTally *tally)
{
	const PgCacheSharedDeparted *row = find_row(database);

	if (row != NULL)
		add_tally(tally, &row->tally);
}

void
pgcache_departed_usage(uint16 slot, PgCacheTally *tally)
{
	PgCacheUsage usage;

	pgcache_store_usage(pgcache_store, slot, &usage);
	tally->evictions += usage.evictions;
	tally->background_evictions += usage.background_evictions;
	tally->expirations += usage.expirations;
}

void
pgcache_departed_forget(Oid database)
{
	PgCacheSharedDeparted *row = find_row(database);

	if (row != NULL)
		memset(row, 0, sizeof(*row));
}

/* ---- shared memory --------------------------------------------------------- */

static Size
departed_size(void)
{
	return mul_size(pgcache_max_namespaces, sizeof(PgCacheSharedDeparted));
}

static void
init_departed(void *memory, LWLockPadded *locks)
{
	memset(memory, 0, departed_size());
}

static void
attach_departed(void *memory, LWLockPadded *locks)
{
	rows = memory;
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
