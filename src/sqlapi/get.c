/*-------------------------------------------------------------------------
 *
 * get.c
 *	  cache_get, cache_get_as, cache_exists, cache_expires_at.
 *
 * While pg_cache.enabled is off these see no entry at all, except for
 * cache_expires_at, which is a look at the cache and not a use of it.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/clock.h"
#include "shmem/debug_point.h"
#include "shmem/shmem.h"
#include "sqlapi/lookup.h"
#include "stats/stats.h"

PG_FUNCTION_INFO_V1(pgcache_sql_get);
PG_FUNCTION_INFO_V1(pgcache_sql_get_as);
PG_FUNCTION_INFO_V1(pgcache_sql_exists);
PG_FUNCTION_INFO_V1(pgcache_sql_expires_at);

/* Notes and counts a hit. */
static void
note_hit(const PgCacheLookup *lookup, PgCacheFound *found)
{
	if (found->own == NULL)
		pgcache_lookup_hit(lookup, &found->ref, pgcache_clock_statement());
	else
		pgcache_lookup_count(lookup, PGCACHE_HITS, 1);
}

/*
 * The rare rest of cache_get: NULL, another type, compressed, or the own
 * transaction has changed something.  Out of line, so that the common path needs
 * few registers.
 */
static pg_noinline Datum
get_slowly(FunctionCallInfo fcinfo, const PgCacheLookup *lookup)
{
	PgCacheFound found;
	PgCacheValue value;
	text	   *result = NULL;

	if (!pgcache_lookup_value(&lookup->key, &found, &value) ||
		!(value.isnull || pgcache_value_to_text(&value, &result)))
	{
		pgcache_lookup_miss(lookup);
		PG_RETURN_NULL();
	}
	note_hit(lookup, &found);
	if (value.isnull)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}

/*
 * The hot path.  Whatever is added here is paid by every hit; the bench counts
 * its instructions.
 */
static pg_attribute_always_inline Datum
get_text(FunctionCallInfo fcinfo, PgCacheLookup *lookup)
{
	PgCacheRef	ref;

	pgcache_shmem_require();
	pgcache_lookup_begin(lookup, PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1),
						 PGCACHE_READ);
	while (likely(pgcache_enabled))
	{
		text	   *result;

		if (unlikely(pgcache_txn_pending))
			return get_slowly(fcinfo, lookup);
		if (!pgcache_store_find(pgcache_store, &lookup->key, &ref) ||
			!pgcache_txn_sees(&ref))
			break;
		if (unlikely(ref.meta.flags & PGCACHE_NOT_PLAIN))
			return get_slowly(fcinfo, lookup);
		result = palloc(VARHDRSZ + ref.meta.len);
		SET_VARSIZE(result, VARHDRSZ + ref.meta.len);
		PGCACHE_DEBUG_POINT("get-copy");
		if (likely(pgcache_store_copy(pgcache_store, &ref, VARDATA(result))))
		{
			pgcache_lookup_hit(lookup, &ref, pgcache_clock_statement());
			PG_RETURN_TEXT_P(result);
		}
		pfree(result);
		CHECK_FOR_INTERRUPTS();
	}
	pgcache_lookup_miss(lookup);
	PG_RETURN_NULL();
}

/* The same, timed, and with its key recorded. */
static pg_noinline Datum
get_sampled(FunctionCallInfo fcinfo)
{
	PgCacheLookup lookup;
	PgCacheSample sample;
	Datum		result;

	pgcache_shmem_require();
	pgcache_sample_begin(&sample);
	result = get_text(fcinfo, &lookup);
	pgcache_sample_end(&sample, &lookup.key);
	return result;
}

Datum
pgcache_sql_get(PG_FUNCTION_ARGS)
{
	PgCacheLookup lookup;

	if (pgcache_sample_due())
		return get_sampled(fcinfo);
	return get_text(fcinfo, &lookup);
}

/* The base argument is there for its type only. */
static Datum
get_datum(FunctionCallInfo fcinfo, PgCacheLookup *lookup)
{
	PgCacheFound found;
	PgCacheValue value;
	Datum		result = (Datum) 0;

	pgcache_lookup_begin(lookup, PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(2),
						 PGCACHE_READ);
	if (!pgcache_enabled ||
		!pgcache_lookup_value(&lookup->key, &found, &value) ||
		!(value.isnull ||
		  pgcache_value_to_datum(&value, pgcache_args_type(fcinfo, 1), &result)))
	{
		pgcache_lookup_miss(lookup);
		PG_RETURN_NULL();
	}
	note_hit(lookup, &found);
	if (value.isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

Datum
pgcache_sql_get_as(PG_FUNCTION_ARGS)
{
	PgCacheLookup lookup;
	PgCacheSample sample;
	Datum		result;

	pgcache_shmem_require();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	if (likely(!pgcache_sample_due()))
		return get_datum(fcinfo, &lookup);
	pgcache_sample_begin(&sample);
	result = get_datum(fcinfo, &lookup);
	pgcache_sample_end(&sample, &lookup.key);
	return result;
}

Datum
pgcache_sql_exists(PG_FUNCTION_ARGS)
{
	PgCacheLookup lookup;
	PgCacheFound found;

	pgcache_shmem_require();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_BOOL(false);
	pgcache_lookup_begin(&lookup, PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1),
						 PGCACHE_READ);
	PG_RETURN_BOOL(pgcache_enabled &&
				   pgcache_lookup_find(&lookup.key, &found));
}

Datum
pgcache_sql_expires_at(PG_FUNCTION_ARGS)
{
	PgCacheLookup lookup;
	PgCacheFound found;

	pgcache_shmem_require();
	pgcache_lookup_begin(&lookup, PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1),
						 PGCACHE_READ);
	if (!pgcache_lookup_find(&lookup.key, &found))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(found.ref.meta.expires);
}
