/*-------------------------------------------------------------------------
 *
 * put.c
 *	  cache_put, cache_delete, cache_touch, cache_clear.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/clock.h"
#include "shmem/debug_point.h"
#include "shmem/shmem.h"
#include "sqlapi/lookup.h"
#include "sqlapi/put.h"

PG_FUNCTION_INFO_V1(pgcache_sql_put);
PG_FUNCTION_INFO_V1(pgcache_sql_delete);
PG_FUNCTION_INFO_V1(pgcache_sql_touch);
PG_FUNCTION_INFO_V1(pgcache_sql_clear);

void
pgcache_put_begin(PgCachePut *put, FunctionCallInfo fcinfo,
				  int ttl_arg, int tags_arg, int space_arg)
{
	text	   *name = pgcache_args_text(fcinfo, space_arg, "namespace");
	int64		ttl = pgcache_args_ttl(fcinfo, ttl_arg);
	PgCacheItem *item = &put->item;
	PgCacheSpace *space;

	/*
	 * If the namespace is cleared from now on, or dropped and its slot given
	 * away, this put is dead.  So the number must be read after the look-up,
	 * which may give the namespace a slot and clear that, and before anything
	 * else changed.
	 */
	do
	{
		space = pgcache_args_space(name, PGCACHE_WRITE);
		item->seq = pgcache_store_seq(pgcache_store);
		pg_read_barrier();
	} while (unlikely(pgcache_space_seen !=
					  pg_atomic_read_u64(pgcache_space_changes)));

	put->incarnation = space->incarnation;
	put->compression = space->compression >= 0 ?
		space->compression : pgcache_compression;
	put->threshold = space->compression_threshold >= 0 ?
		space->compression_threshold : pgcache_compression_threshold;
	pgcache_ttl_rule(&put->ttl, space, ttl);

	item->key.space = space->slot;
	item->priority = space->priority;
	item->flags = 0;
	item->tags = put->tags;
	item->tags_len = 0;
	item->ntags = 0;
	if (tags_arg >= 0 && !PG_ARGISNULL(tags_arg))
		item->tags_len = pgcache_args_tags(fcinfo, tags_arg, put->tags,
										   &item->ntags);
}

void
pgcache_put_value(PgCachePut *put, Datum datum, bool isnull, Oid typid)
{
	PgCacheItem *item = &put->item;
	PgCacheValue value;

	pgcache_value_flatten(datum, isnull, typid, put->compression,
						  put->threshold, &value);
	item->flags &= ~(PGCACHE_ENTRY_NULL | PGCACHE_ENTRY_TYPED |
					 PGCACHE_ENTRY_LZ4 | PGCACHE_ENTRY_ZSTD);
	if (value.isnull)
		item->flags |= PGCACHE_ENTRY_NULL;
	if (OidIsValid(value.typid))
		item->flags |= PGCACHE_ENTRY_TYPED;
	if (value.compression == PGCACHE_COMPRESSION_LZ4)
		item->flags |= PGCACHE_ENTRY_LZ4;
	if (value.compression == PGCACHE_COMPRESSION_ZSTD)
		item->flags |= PGCACHE_ENTRY_ZSTD;
	item->typid = value.typid;
	item->fingerprint = value.fingerprint;
	item->raw_len = value.raw_len;
	item->len = value.len;
	item->value = value.isnull ? "" : value.data;
}

PgCachePutResult
pgcache_put_store(PgCachePut *put, PgCachePutMode mode, uint64 version)
{
	PgCacheItem *item = &put->item;
	PgCachePutResult result;

	item->flags &= ~(PGCACHE_ENTRY_PRIORITY | PGCACHE_ENTRY_TAGS);
	if (item->priority != 0)
		item->flags |= PGCACHE_ENTRY_PRIORITY;
	if (item->ntags > 0)
		item->flags |= PGCACHE_ENTRY_TAGS;

	pgcache_store_tune();
	PGCACHE_DEBUG_POINT("put-store");
	result = pgcache_store_put(pgcache_store, item, mode, version);
	if (result == PGCACHE_STORED)
		pgcache_count(item->key.space, put->incarnation, PGCACHE_PUTS, 1);
	else if (result == PGCACHE_DROPPED)
		pgcache_count(item->key.space, put->incarnation, PGCACHE_DROPPED_PUTS, 1);
	else if (result == PGCACHE_STALE)
		pgcache_count(item->key.space, put->incarnation, PGCACHE_STALE_PUTS, 1);
	return result;
}

bool
pgcache_put_delete(const PgCacheKey *key, PgCacheIncarnation incarnation)
{
	PgCacheRef	ref;

	if (!pgcache_lookup_purge(key, &ref) ||
		!pgcache_store_delete(pgcache_store, key))
		return false;
	pgcache_count(key->space, incarnation, PGCACHE_DELETES, 1);
	return true;
}

Datum
pgcache_sql_put(PG_FUNCTION_ARGS)
{
	PgCachePut	put;
	text	   *key;

	pgcache_shmem_require();
	key = pgcache_args_text(fcinfo, 0, "key");
	pgcache_args_unsupported(fcinfo, 6, "depends_on");
	pgcache_args_unsupported(fcinfo, 7, "lease");
	pgcache_put_begin(&put, fcinfo, 2, 3, 4);
	pgcache_put_key(&put, key);
	if (!PG_ARGISNULL(5) && PG_GETARG_INT32(5) != 0)
		put.item.priority = PG_GETARG_INT32(5);

	if (unlikely(!pgcache_enabled))
	{
		(void) pgcache_put_delete(&put.item.key, put.incarnation);
		PG_RETURN_VOID();
	}
	pgcache_put_value(&put, PG_GETARG_DATUM(1), PG_ARGISNULL(1),
					  pgcache_args_type(fcinfo, 1));
	pgcache_ttl_start(&put.ttl, &put.item);
	(void) pgcache_put_store(&put, PGCACHE_PUT_SET, 0);
	PG_RETURN_VOID();
}

Datum
pgcache_sql_delete(PG_FUNCTION_ARGS)
{
	PgCacheLookup lookup;
	text	   *key;

	pgcache_shmem_require();
	key = pgcache_args_text(fcinfo, 0, "key");
	pgcache_lookup_begin(&lookup, key,
						 pgcache_args_text(fcinfo, 1, "namespace"),
						 PGCACHE_WRITE);
	PG_RETURN_BOOL(pgcache_put_delete(&lookup.key, lookup.incarnation));
}

/*
 * A sliding entry never lives longer than max_ttl from its creation, so we must
 * know when that was, and the entry must still be the same when it is touched.
 */
Datum
pgcache_sql_touch(PG_FUNCTION_ARGS)
{
	text	   *key;
	text	   *name;
	int64		given;
	PgCacheSpace *space;
	PgCacheKey	where;
	PgCacheTtl	ttl;
	PgCacheRef	ref;

	pgcache_shmem_require();
	key = pgcache_args_text(fcinfo, 0, "key");
	given = pgcache_args_ttl(fcinfo, 1);
	name = pgcache_args_text(fcinfo, 2, "namespace");
	space = pgcache_args_space(name, PGCACHE_WRITE);
	pgcache_args_key(&where, space->slot, key);
	pgcache_ttl_rule(&ttl, space, given);
	pgcache_store_tune();

	while (pgcache_lookup_find(&where, &ref))
	{
		PgCacheLife life;

		pgcache_ttl_life(&ttl, ttl.usec != 0 ? pgcache_clock_now() : 0,
						 ref.meta.created, &life);
		PGCACHE_DEBUG_POINT("touch-store");
		if (pgcache_store_touch(pgcache_store, &where, ref.meta.version,
								life.expires, life.slide, life.slide_cap))
			PG_RETURN_BOOL(true);
		CHECK_FOR_INTERRUPTS();
	}
	PG_RETURN_BOOL(false);
}

/* What is live now counts as invalidated by hand. */
static void
clear_space(uint16 slot, PgCacheIncarnation incarnation)
{
	PgCacheUsage usage;

	pgcache_store_usage(pgcache_store, slot, &usage);
	pgcache_store_clear(pgcache_store, slot);
	pgcache_count(slot, incarnation, PGCACHE_INVALIDATED_MANUAL, usage.entries);
}

Datum
pgcache_sql_clear(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	if (PG_ARGISNULL(0))
	{
		PgCacheSpaceUse *spaces;
		int			n;

		pgcache_space_require_owner("cache_clear");
		spaces = pgcache_space_list(&n);
		for (int i = 0; i < n; i++)
		{
			if (spaces[i].incarnation != 0)
				clear_space(spaces[i].slot, spaces[i].incarnation);
		}
	}
	else
	{
		PgCacheSpace *space = pgcache_args_space(PG_GETARG_TEXT_PP(0),
												 PGCACHE_WRITE);

		clear_space(space->slot, space->incarnation);
	}
	PG_RETURN_VOID();
}
