/*-------------------------------------------------------------------------
 *
 * latency.c
 *	  How long operations took, by database, in shared memory.
 *
 * A row for each of MAX_DATABASES databases, taken at first use; if there are more
 * databases the others share a further row.  A row is given back when its database
 * is dropped; when they are all taken, also those whose database was dropped
 * elsewhere (on a standby's primary).
 *
 * No locks: a row is taken, and given back, by a compare-and-exchange; what is in
 * it is counted by atomic additions.  So a reader may see a call less in one bucket
 * than in another; nothing is lost but what is added just while a reset sets to
 * zero.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "utils/syscache.h"

#include "shmem/shmem.h"
#include "stats/stats_internal.h"

#define MAX_DATABASES 64

/* A row's database while somebody zeroes it; no database has this OID. */
#define BUSY_ROW OID_MAX

typedef struct PgCacheSharedHistogram
{
	pg_atomic_uint64 max;
	pg_atomic_uint64 buckets[PGCACHE_HISTOGRAM_BUCKETS];
} PgCacheSharedHistogram;

typedef struct PgCacheSharedLatency
{
	pg_atomic_uint32 database;	/* InvalidOid: free; the last row's always */
	PgCacheSharedHistogram of[PGCACHE_NOPERATIONS];
} PgCacheSharedLatency;

static PgCacheSharedLatency *rows = NULL;	/* MAX_DATABASES and the shared
											 * one */

/* This database's; NULL: not looked for yet. */
static PgCacheSharedLatency *own_row = NULL;

/* ---- rows ------------------------------------------------------------------- */

static PgCacheSharedLatency *
find_row(Oid database)
{
	for (int i = 0; i < MAX_DATABASES; i++)
		if (pg_atomic_read_u32(&rows[i].database) == database)
			return &rows[i];
	return NULL;
}

/*
 * The row of a database, a new one if it has none.  Two processes that take one at
 * once take the same, because both try the rows in their order.
 */
static PgCacheSharedLatency *
take_row(Oid database)
{
	PgCacheSharedLatency *row = find_row(database);

	for (int i = 0; i < MAX_DATABASES && row == NULL; i++)
	{
		uint32		expected = InvalidOid;

		if (pg_atomic_compare_exchange_u32(&rows[i].database, &expected, database) ||
			expected == database)
			row = &rows[i];
	}
	return row != NULL ? row : &rows[MAX_DATABASES];
}

static void
zero_row(PgCacheSharedLatency *row)
{
	for (int o = 0; o < PGCACHE_NOPERATIONS; o++)
	{
		pg_atomic_write_u64(&row->of[o].max, 0);
		for (int i = 0; i < PGCACHE_HISTOGRAM_BUCKETS; i++)
			pg_atomic_write_u64(&row->of[o].buckets[i], 0);
	}
}

/* Gives back the rows of databases that are gone. */
static void
reclaim_rows(void)
{
	for (int i = 0; i < MAX_DATABASES; i++)
	{
		Oid			database = pg_atomic_read_u32(&rows[i].database);

		if (OidIsValid(database) && database != BUSY_ROW &&
			!SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database)))
			pgcache_latency_forget(database);
	}
}

static PgCacheSharedLatency *
get_own_row(void)
{
	if (own_row != NULL)
		return own_row;
	own_row = take_row(MyDatabaseId);
	if (own_row == &rows[MAX_DATABASES] && IsTransactionState())
	{
		reclaim_rows();
		own_row = take_row(MyDatabaseId);
	}
	return own_row;
}

/*
 * A row that is free must be a zero one.  Who comes second must not zero it, as it
 * may be another database's by then.
 */
void
pgcache_latency_forget(Oid database)
{
	PgCacheSharedLatency *row = find_row(database);
	uint32		expected = database;

	if (row == NULL)
		return;
	if (database == MyDatabaseId)
	{
		zero_row(row);			/* it lost the extension only */
		return;
	}
	if (!pg_atomic_compare_exchange_u32(&row->database, &expected, BUSY_ROW))
		return;
	zero_row(row);
	pg_write_barrier();
	pg_atomic_write_u32(&row->database, InvalidOid);
}

/* ---- recording, reading ------------------------------------------------------ */

void
pgcache_latency_add(PgCacheOperation operation, uint64 ns, uint32 calls)
{
	PgCacheSharedHistogram *h = &get_own_row()->of[operation];
	uint64		max = pg_atomic_read_u64(&h->max);

	pg_atomic_fetch_add_u64(&h->buckets[pgcache_histogram_bucket(ns)], calls);
	while (ns > max && !pg_atomic_compare_exchange_u64(&h->max, &max, ns))
		;
}

void
pgcache_timer_end(const PgCacheTimer *timer, PgCacheOperation operation, uint32 calls)
{
	instr_time	passed;

	if (INSTR_TIME_IS_ZERO(timer->begin))
		return;
	INSTR_TIME_SET_CURRENT(passed);
	INSTR_TIME_SUBTRACT(passed, timer->begin);
	pgcache_latency_add(operation, (uint64) (INSTR_TIME_GET_DOUBLE(passed) * 1e9 + 0.5),
						calls);
}

static void
copy_histogram(PgCacheSharedHistogram *from, PgCacheHistogram *to)
{
	to->max = pg_atomic_read_u64(&from->max);
	for (int i = 0; i < PGCACHE_HISTOGRAM_BUCKETS; i++)
		to->buckets[i] = pg_atomic_read_u64(&from->buckets[i]);
}

void
pgcache_latency_read(PgCacheOperation operation, PgCacheHistogram *histogram)
{
	copy_histogram(&get_own_row()->of[operation], histogram);
}

void
pgcache_latency_reset(void)
{
	zero_row(get_own_row());
}

/* ---- for the file ------------------------------------------------------------ */

bool
pgcache_latency_save(int n, Oid *database, PgCacheHistogram *histograms)
{
	if (n > MAX_DATABASES)
		return false;
	*database = pg_atomic_read_u32(&rows[n].database);
	for (int o = 0; o < PGCACHE_NOPERATIONS; o++)
		copy_histogram(&rows[n].of[o], &histograms[o]);
	return true;
}

void
pgcache_latency_restore(Oid database, const PgCacheHistogram *histograms)
{
	PgCacheSharedLatency *row =
	OidIsValid(database) ? take_row(database) : &rows[MAX_DATABASES];

	for (int o = 0; o < PGCACHE_NOPERATIONS; o++)
	{
		pg_atomic_write_u64(&row->of[o].max, histograms[o].max);
		for (int i = 0; i < PGCACHE_HISTOGRAM_BUCKETS; i++)
			pg_atomic_write_u64(&row->of[o].buckets[i], histograms[o].buckets[i]);
	}
}

/* ---- shared memory ----------------------------------------------------------- */

static Size
latency_size(void)
{
	return mul_size(MAX_DATABASES + 1, sizeof(PgCacheSharedLatency));
}

static void
attach_latency(void *memory, LWLockPadded *locks)
{
	rows = memory;
}

static void
init_latency(void *memory, LWLockPadded *locks)
{
	attach_latency(memory, locks);
	for (int i = 0; i <= MAX_DATABASES; i++)
	{
		pg_atomic_init_u32(&rows[i].database, InvalidOid);
		for (int o = 0; o < PGCACHE_NOPERATIONS; o++)
		{
			pg_atomic_init_u64(&rows[i].of[o].max, 0);
			for (int b = 0; b < PGCACHE_HISTOGRAM_BUCKETS; b++)
				pg_atomic_init_u64(&rows[i].of[o].buckets[b], 0);
		}
	}
}

static const PgCacheShmemPart latency_part = {
	.name = "PgCacheLatency",
	.size = latency_size,
	.init = init_latency,
	.attach = attach_latency
};

void
pgcache_latency_register(void)
{
	pgcache_shmem_register(&latency_part);
}
