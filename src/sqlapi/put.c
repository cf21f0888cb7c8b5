/*-------------------------------------------------------------------------
 *
 * put.c
 *	  cache_put, cache_delete, cache_touch, cache_clear.
 *
 * These are changes of the transaction, which the room txn keeps until its end;
 * with pg_cache.transactional off it does them at once.
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
#include "stats/stats.h"

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
	put->now = pgcache_args_now(space->transactional);
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
	item->admit = NULL;
	item->admit_arg = NULL;
	item->stored_version = NULL;
}

void
pgcache_put_value(PgCachePut *put, Datum datum, bool isnull, Oid typid)
{
	PgCacheItem *item = &put->item;
	PgCacheValue value;

	pgcache_value_flatten(datum, isnull, typid, put->compression,
						  put->threshold, &value);
	item->flags &= ~(PGCACHE_ENTRY_NULL | PGCACHE_ENTRY_TYPED |
					 PGCACHE_ENTRY_LZ4 | PGCACHE_ENTRY_ZSTD |
					 PGCACHE_ENTRY_PRIORITY | PGCACHE_ENTRY_TAGS);
	if (item->priority != 0)
		item->flags |= PGCACHE_ENTRY_PRIORITY;
	if (item->ntags > 0)
		item->flags |= PGCACHE_ENTRY_TAGS;
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

/* Since when the data count as read, by the argument; NULL: as ever. */
static const PgCacheBound *
get_lease(FunctionCallInfo fcinfo, int argno, const PgCacheKey *key)
{
	text	   *token;

	if (PG_ARGISNULL(argno))
		return NULL;
	token = PG_GETARG_TEXT_PP(argno);
	return pgcache_lease_read(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), key);
}

static void
put_entry(FunctionCallInfo fcinfo)
{
	PgCachePut	put;
	Oid			tables[PGCACHE_MAX_TABLES];
	int			ntables = 0;
	const PgCacheBound *bound;
	text	   *key;

	key = pgcache_args_text(fcinfo, 0, "key");
	if (!PG_ARGISNULL(6))
		ntables = pgcache_args_tables(fcinfo, 6, tables);
	pgcache_put_begin(&put, fcinfo, 2, 3, 4);
	pgcache_put_key(&put, key);
	if (!PG_ARGISNULL(5) && PG_GETARG_INT32(5) != 0)
		put.item.priority = PG_GETARG_INT32(5);
	bound = get_lease(fcinfo, 7, &put.item.key);

	if (unlikely(!pgcache_enabled))
	{
		pgcache_txn_delete(&put.item.key, put.incarnation, PGCACHE_DELETES, put.now);
		return;
	}
	pgcache_put_value(&put, PG_GETARG_DATUM(1), PG_ARGISNULL(1),
					  pgcache_args_type(fcinfo, 1));
	pgcache_ttl_start(&put.ttl, &put.item);
	pgcache_txn_put(&put.item, put.incarnation, bound, tables, ntables, put.now);
}

Datum
pgcache_sql_put(PG_FUNCTION_ARGS)
{
	PgCacheTimer timer;

	pgcache_shmem_require();
	pgcache_timer_begin(&timer);
	put_entry(fcinfo);
	pgcache_timer_end(&timer, PGCACHE_OPERATION_PUT, 1);
	PG_RETURN_VOID();
}

/* An entry that the caller does not see must go as well. */
Datum
pgcache_sql_delete(PG_FUNCTION_ARGS)
{
	PgCacheSpace *space;
	PgCacheIncarnation incarnation;
	PgCacheKey	where;
	PgCacheFound found;
	text	   *key;
	text	   *name;
	bool		now;
	bool		result;

	pgcache_shmem_require();
	key = pgcache_args_text(fcinfo, 0, "key");
	name = pgcache_args_text(fcinfo, 1, "namespace");
	space = pgcache_args_space(name, PGCACHE_WRITE);
	pgcache_args_key(&where, space->slot, space->incarnation, key);
	incarnation = space->incarnation;
	now = pgcache_args_now(space->transactional);

	result = pgcache_lookup_find(&where, &found);
	PGCACHE_DEBUG_POINT("delete-store");
	pgcache_txn_delete(&where, incarnation, PGCACHE_DELETES, now);
	PG_RETURN_BOOL(result);
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
	PgCacheIncarnation incarnation;
	PgCacheKey	where;
	PgCacheTtl	ttl;
	PgCacheLife life;
	PgCacheFound found;
	bool		now;

	pgcache_shmem_require();
	key = pgcache_args_text(fcinfo, 0, "key");
	given = pgcache_args_ttl(fcinfo, 1);
	name = pgcache_args_text(fcinfo, 2, "namespace");
	space = pgcache_args_space(name, PGCACHE_WRITE);
	pgcache_args_key(&where, space->slot, space->incarnation, key);
	incarnation = space->incarnation;
	now = pgcache_args_now(space->transactional);
	pgcache_ttl_rule(&ttl, space, given);
	pgcache_store_tune();

	if (!pgcache_lookup_find(&where, &found))
		PG_RETURN_BOOL(false);
	pgcache_ttl_life(&ttl, ttl.usec != 0 ? pgcache_clock_now() : 0,
					 found.ref.meta.created, &life);
	PGCACHE_DEBUG_POINT("touch-store");
	pgcache_txn_touch(&where, incarnation, found.ref.meta.version,
					  life.expires, life.slide, life.slide_cap, now);
	PG_RETURN_BOOL(true);
}

Datum
pgcache_sql_clear(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	if (PG_ARGISNULL(0))
	{
		PgCacheSpaceUse *spaces;
		PgCacheIncarnation since;
		int			n;

		pgcache_space_require_owner("cache_clear");
		since = pgcache_space_last_incarnation();
		spaces = pgcache_space_list(&n);
		for (int i = 0; i < n; i++)
		{
			if (spaces[i].incarnation != 0)
				pgcache_txn_clear(spaces[i].slot, spaces[i].incarnation,
								  pgcache_args_now(spaces[i].transactional));
		}
		/* Also those that are created meanwhile. */
		pgcache_txn_invalidate_unslotted(since, pgcache_args_now(-1));
		pfree(spaces);
	}
	else
	{
		PgCacheSpace *space = pgcache_args_space(PG_GETARG_TEXT_PP(0),
												 PGCACHE_WRITE);

		pgcache_txn_clear(space->slot, space->incarnation,
						  pgcache_args_now(space->transactional));
	}
	PG_RETURN_VOID();
}
