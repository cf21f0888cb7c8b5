/*-------------------------------------------------------------------------
 *
 * entry.c
 *	  cache_entry and the view cache_entries: entries without their values.
 *
 * Neither counts as an access.  Both show what is there whether or not
 * pg_cache.enabled is on.  cache_entry shows what cache_get would find, so also
 * what the own transaction has put; cache_entries shows what is in the cache and
 * the snapshot sees, without the own transaction's changes.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "shmem/shmem.h"
#include "sqlapi/lookup.h"

PG_FUNCTION_INFO_V1(pgcache_sql_entry);
PG_FUNCTION_INFO_V1(pgcache_sql_entries);

#define ENTRY_COLUMNS 12

static Datum
tags_array(const char *tags, const PgCacheMeta *meta)
{
	Datum		elements[PGCACHE_MAX_TAGS];

	for (int i = 0; i < meta->ntags; i++)
	{
		elements[i] = PointerGetDatum(cstring_to_text_with_len(tags + 1,
															   (uint8) *tags));
		tags += 1 + (uint8) *tags;
	}
	return PointerGetDatum(construct_array(elements, meta->ntags, TEXTOID, -1,
										   false, TYPALIGN_INT));
}

static void
add_row(ReturnSetInfo *rsinfo, Datum space, const char *key,
		const PgCacheMeta *meta, const char *tags)
{
	Datum		values[ENTRY_COLUMNS];
	bool		nulls[ENTRY_COLUMNS] = {false};
	PgCacheValue value;
	int			i = 0;

	pgcache_lookup_describe(meta, NULL, &value);
	values[i++] = space;
	values[i++] = PointerGetDatum(cstring_to_text_with_len(key, meta->key_len));
	nulls[i] = value.isnull;
	values[i++] = ObjectIdGetDatum(pgcache_value_type(&value));
	values[i++] = Int64GetDatum(meta->raw_len);
	values[i++] = Int64GetDatum(meta->len);
	nulls[i] = meta->version == 0;
	values[i++] = Int64GetDatum((int64) meta->version);
	values[i++] = TimestampTzGetDatum(meta->created);
	values[i++] = TimestampTzGetDatum(meta->expires);
	values[i++] = TimestampTzGetDatum(meta->accessed);
	values[i++] = Int64GetDatum((int64) meta->hits);
	values[i++] = tags_array(tags, meta);
	values[i++] = Int32GetDatum(meta->priority);
	Assert(i == ENTRY_COLUMNS);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
pgcache_sql_entry(PG_FUNCTION_ARGS)
{
	PgCacheLookup lookup;
	PgCacheFound found;
	char	   *tags;

	pgcache_shmem_require();
	pgcache_lookup_begin(&lookup, PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1),
						 PGCACHE_READ);
	InitMaterializedSRF(fcinfo, 0);
	if (pgcache_lookup_tags(&lookup.key, &found, &tags))
	{
		if (found.own == NULL)
			found.ref.meta.hits = pgcache_store_hits(&found.ref);
		add_row((ReturnSetInfo *) fcinfo->resultinfo, PG_GETARG_DATUM(1),
				lookup.key.data, &found.ref.meta, tags);
	}
	return (Datum) 0;
}

/* ---- all entries ------------------------------------------------------------ */

/*
 * Names of the namespaces that the caller may read, or for a monitor of all, by
 * slot; 0: not to be shown.
 */
static Datum *
visible_names(void)
{
	bool		monitor = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	Datum	   *names = palloc0(pgcache_max_namespaces * sizeof(Datum));
	int			n;
	PgCacheSpaceUse *spaces = pgcache_space_list(&n);

	for (int i = 0; i < n; i++)
	{
		if (spaces[i].incarnation != 0 && (monitor || spaces[i].readable))
			names[spaces[i].slot] = CStringGetTextDatum(spaces[i].name);
	}
	pfree(spaces);
	return names;
}

static void
add_partition(ReturnSetInfo *rsinfo, const Datum *names, int partition)
{
	Size		used;
	char	   *buf = pgcache_store_scan_partition(partition, &used);
	MemoryContext row = AllocSetContextCreate(CurrentMemoryContext,
											  "cache_entries",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(row);

	for (char *p = buf; p < buf + used; p += ((PgCacheScanned *) p)->size)
	{
		PgCacheScanned *entry = (PgCacheScanned *) p;
		const char *key = p + sizeof(PgCacheScanned);

		CHECK_FOR_INTERRUPTS();
		if (names[entry->meta.space] == (Datum) 0 ||
			!pgcache_txn_sees_scanned(&entry->meta, entry->deps))
			continue;
		add_row(rsinfo, names[entry->meta.space], key, &entry->meta,
				key + entry->meta.key_len);
		MemoryContextReset(row);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(row);
	pfree(buf);
}

Datum
pgcache_sql_entries(PG_FUNCTION_ARGS)
{
	Datum	   *names;
	int			npartitions;

	pgcache_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	names = visible_names();
	npartitions = pgcache_store_part_count();
	for (int i = 0; i < npartitions; i++)
		add_partition((ReturnSetInfo *) fcinfo->resultinfo, names, i);
	return (Datum) 0;
}
