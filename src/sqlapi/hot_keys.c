/*-------------------------------------------------------------------------
 *
 * hot_keys.c
 *	  What the views cache_hot_keys and cache_big_keys are made of.
 *
 * Both give some keys of each namespace that the caller may read, or for a
 * monitor of all.  Neither counts as an access.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "lib/binaryheap.h"
#include "mb/pg_wchar.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "shmem/shmem.h"
#include "sqlapi/lookup.h"
#include "stats/stats.h"

PG_FUNCTION_INFO_V1(pgcache_sql_hot_keys);
PG_FUNCTION_INFO_V1(pgcache_sql_big_keys);

#define TOP 100					/* keys of each namespace */
#define HOT_COLUMNS 7
#define BIG_COLUMNS 7

/* The namespaces that are to be shown; n of them. */
static PgCacheSpaceUse *
list_visible(int *n)
{
	bool		monitor = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	int			nall;
	PgCacheSpaceUse *spaces = pgcache_space_list(&nall);

	*n = 0;
	for (int i = 0; i < nall; i++)
		if (monitor || spaces[i].readable)
			spaces[(*n)++] = spaces[i];
	return spaces;
}

/* ---- hot keys ---------------------------------------------------------------- */

/* Looks for the entry of a key that is known in full; its size, or -1. */
static int64
find_entry(const PgCacheSpaceUse *space, const PgCacheHotKey *hot)
{
	PgCacheKey	key;
	PgCacheFound found;

	if (space->incarnation == 0)
		return -1;
	pgcache_store_key(pgcache_store, &key, space->slot, hot->key, hot->len);
	key.incarnation = space->incarnation;
	return pgcache_lookup_find(&key, &found) ? (int64) found.ref.meta.len : -1;
}

static void
add_hot_key(ReturnSetInfo *rsinfo, const PgCacheSpaceUse *space,
			const PgCacheHotKey *hot)
{
	Datum		values[HOT_COLUMNS];
	bool		nulls[HOT_COLUMNS] = {false};
	int			len = hot->truncated ?
	pg_mbcliplen(hot->key, hot->len, hot->len) : hot->len;
	int64		bytes = hot->truncated ? -1 : find_entry(space, hot);
	int			i = 0;

	values[i++] = CStringGetTextDatum(space->name);
	values[i++] = PointerGetDatum(cstring_to_text_with_len(hot->key, len));
	values[i++] = Int64GetDatum((int64) rint(hot->weight));
	values[i++] = Int64GetDatum((int64) rint(hot->error));
	nulls[i] = bytes < 0;
	values[i++] = Int64GetDatum(bytes);
	nulls[i] = hot->truncated;
	values[i++] = BoolGetDatum(bytes >= 0);
	values[i++] = BoolGetDatum(hot->truncated);
	Assert(i == HOT_COLUMNS);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
pgcache_sql_hot_keys(PG_FUNCTION_ARGS)
{
	PgCacheSpaceUse *spaces;
	int			n;

	pgcache_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	spaces = list_visible(&n);
	for (int s = 0; s < n; s++)
	{
		PgCacheHotKey *keys;
		int			nkeys;

		keys = pgcache_keys_hot(&spaces[s], &nkeys);
		for (int i = 0; i < Min(nkeys, TOP) && rint(keys[i].weight) > 0; i++)
		{
			CHECK_FOR_INTERRUPTS();
			add_hot_key((ReturnSetInfo *) fcinfo->resultinfo, &spaces[s], &keys[i]);
		}
		pfree(keys);
	}
	return (Datum) 0;
}

/* ---- big keys ---------------------------------------------------------------- */

typedef struct BigKey
{
	PgCacheMeta meta;
	char		key[FLEXIBLE_ARRAY_MEMBER];
} BigKey;

/* Positive if a is larger than b; of equal size the first by its bytes is larger. */
static int
compare_size(const BigKey *a, const BigKey *b)
{
	int			result;

	if (a->meta.len != b->meta.len)
		return a->meta.len > b->meta.len ? 1 : -1;
	result = memcmp(b->key, a->key, Min(a->meta.key_len, b->meta.key_len));
	return result != 0 ? result : (int) b->meta.key_len - (int) a->meta.key_len;
}

/* For a heap with the smallest on top. */
static int
compare_heap(Datum a, Datum b, void *arg)
{
	return -compare_size((const BigKey *) DatumGetPointer(a),
						 (const BigKey *) DatumGetPointer(b));
}

/* Keeps an entry if it is among the TOP largest of its namespace. */
static void
consider(binaryheap *heap, const PgCacheMeta *meta, const char *key)
{
	bool		is_full = heap->bh_size == TOP;
	BigKey	   *big;

	if (is_full &&
		meta->len < ((BigKey *) DatumGetPointer(binaryheap_first(heap)))->meta.len)
		return;
	big = palloc(offsetof(BigKey, key) + meta->key_len);
	big->meta = *meta;
	memcpy(big->key, key, meta->key_len);
	if (!is_full)
		binaryheap_add(heap, PointerGetDatum(big));
	else if (compare_size(big, (BigKey *) DatumGetPointer(binaryheap_first(heap))) > 0)
	{
		pfree(DatumGetPointer(binaryheap_first(heap)));
		binaryheap_replace_first(heap, PointerGetDatum(big));
	}
	else
		pfree(big);
}

/* heaps is by slot; NULL: not to be shown. */
static void
consider_partition(binaryheap **heaps, int partition)
{
	Size		used;
	char	   *buf = pgcache_store_scan_partition(partition, &used);

	for (char *p = buf; p < buf + used; p += ((PgCacheScanned *) p)->size)
	{
		PgCacheScanned *entry = (PgCacheScanned *) p;
		binaryheap *heap = heaps[entry->meta.space];

		CHECK_FOR_INTERRUPTS();
		if (heap != NULL && pgcache_txn_sees_scanned(&entry->meta, entry->deps))
			consider(heap, &entry->meta, p + sizeof(PgCacheScanned));
	}
	pfree(buf);
}

static void
add_big_key(ReturnSetInfo *rsinfo, const PgCacheSpaceUse *space, const BigKey *big)
{
	Datum		values[BIG_COLUMNS];
	bool		nulls[BIG_COLUMNS] = {false};
	int			i = 0;

	values[i++] = CStringGetTextDatum(space->name);
	values[i++] = PointerGetDatum(cstring_to_text_with_len(big->key,
														   big->meta.key_len));
	values[i++] = Int64GetDatum(big->meta.raw_len);
	values[i++] = Int64GetDatum(big->meta.len);
	values[i++] = Int64GetDatum((int64) big->meta.hits);
	values[i++] = TimestampTzGetDatum(big->meta.accessed);
	values[i++] = TimestampTzGetDatum(big->meta.expires);
	Assert(i == BIG_COLUMNS);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Adds what is in a heap, the largest first. */
static void
add_heap(ReturnSetInfo *rsinfo, const PgCacheSpaceUse *space, binaryheap *heap)
{
	BigKey	   *sorted[TOP];
	int			n = 0;

	while (!binaryheap_empty(heap))
		sorted[n++] = (BigKey *) DatumGetPointer(binaryheap_remove_first(heap));
	while (n > 0)
		add_big_key(rsinfo, space, sorted[--n]);
}

Datum
pgcache_sql_big_keys(PG_FUNCTION_ARGS)
{
	PgCacheSpaceUse *spaces;
	int			n;
	int			npartitions;
	binaryheap **heaps;

	pgcache_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	spaces = list_visible(&n);
	heaps = palloc0(pgcache_max_namespaces * sizeof(binaryheap *));
	for (int s = 0; s < n; s++)
		if (spaces[s].incarnation != 0)
			heaps[spaces[s].slot] = binaryheap_allocate(TOP, compare_heap, NULL);

	npartitions = pgcache_store_part_count();
	for (int i = 0; i < npartitions; i++)
		consider_partition(heaps, i);

	for (int s = 0; s < n; s++)
		if (spaces[s].incarnation != 0)
			add_heap((ReturnSetInfo *) fcinfo->resultinfo, &spaces[s],
					 heaps[spaces[s].slot]);
	return (Datum) 0;
}
