/*-------------------------------------------------------------------------
 *
 * conditional.c
 *	  cache_add, cache_replace, cache_cas, cache_incr.
 *
 * These decide by what is in the cache, for all sessions together, so they go
 * on as ever while pg_cache.enabled is off in one of them: a lock taken by
 * cache_add must hold there as well.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "shmem/shmem.h"
#include "sqlapi/lookup.h"
#include "sqlapi/put.h"

PG_FUNCTION_INFO_V1(pgcache_sql_add);
PG_FUNCTION_INFO_V1(pgcache_sql_replace);
PG_FUNCTION_INFO_V1(pgcache_sql_cas);
PG_FUNCTION_INFO_V1(pgcache_sql_incr);

/* Text longer than this is no number. */
#define MAX_NUMBER_LEN 64

/*
 * Puts the value argument, which ttl, tags and namespace follow; whether it was
 * stored.  It was not if there was no room for it or the namespace was cleared
 * meanwhile, although the entry that it should replace is gone then.
 */
static bool
put_if(FunctionCallInfo fcinfo, int value_arg, PgCachePutMode mode,
	   uint64 version)
{
	PgCachePut	put;
	PgCacheRef	ref;
	text	   *key = pgcache_args_text(fcinfo, 0, "key");

	pgcache_put_begin(&put, fcinfo, value_arg + 1, value_arg + 2,
					  value_arg + 3);
	pgcache_put_key(&put, key);
	pgcache_put_value(&put, PG_GETARG_DATUM(value_arg),
					  PG_ARGISNULL(value_arg),
					  pgcache_args_type(fcinfo, value_arg));
	pgcache_ttl_start(&put.ttl, &put.item);

	(void) pgcache_lookup_purge(&put.item.key, &ref);
	return pgcache_put_store(&put, mode, version) == PGCACHE_STORED;
}

Datum
pgcache_sql_add(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	PG_RETURN_BOOL(put_if(fcinfo, 1, PGCACHE_PUT_ADD, 0));
}

Datum
pgcache_sql_replace(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	PG_RETURN_BOOL(put_if(fcinfo, 1, PGCACHE_PUT_REPLACE, 0));
}

/*
 * No entry has the version NULL, which is what a query for the version of an
 * absent entry gives; nor one that is not positive.
 */
Datum
pgcache_sql_cas(PG_FUNCTION_ARGS)
{
	int64		version = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1);

	pgcache_shmem_require();
	PG_RETURN_BOOL(put_if(fcinfo, 2, PGCACHE_PUT_CAS, (uint64) version));
}

/* ---- counting -------------------------------------------------------------- */

static void
refuse_number(const PgCacheKey *key)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("cannot increment entry \"%.*s\"", key->len, key->data),
			 errdetail("Its value is not an integer.")));
}

static void
refuse_overflow(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("bigint out of range")));
}

/*
 * The number in a text.  Not the server's own parser, whose errors quote the
 * text: the caller need not be allowed to read it.
 */
static int64
text_to_number(const PgCacheKey *key, const PgCacheValue *value)
{
	char		buf[MAX_NUMBER_LEN + 1];
	char	   *end;
	long long	number;

	if (value->raw_len > MAX_NUMBER_LEN)
		refuse_number(key);
	memcpy(buf, pgcache_value_raw(value), value->raw_len);
	buf[value->raw_len] = '\0';

	errno = 0;
	number = strtoll(buf, &end, 10);
	if (end == buf)
		refuse_number(key);
	while (isspace((unsigned char) *end))
		end++;
	if (end != buf + value->raw_len)
		refuse_number(key);
	if (errno == ERANGE)
		refuse_overflow();
	return number;
}

/* The number that a numeric is, which may have a scale but no fraction. */
static int64
whole_number(const PgCacheKey *key, Datum datum)
{
	Numeric		numeric = DatumGetNumeric(datum);
	Datum		number;

	if (numeric_is_nan(numeric) || numeric_is_inf(numeric))
		refuse_number(key);
	number = DirectFunctionCall1(numeric_int8, datum);
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, datum,
										  DirectFunctionCall1(int8_numeric, number))))
		refuse_number(key);
	return DatumGetInt64(number);
}

/*
 * The number that a value is; false where its type was altered or dropped since
 * the value was found.
 */
static bool
value_to_number(const PgCacheKey *key, const PgCacheValue *value, int64 *number)
{
	Oid			base = pgcache_value_base_type(value);
	Datum		datum = (Datum) 0;

	if (!OidIsValid(base))
		return false;
	if (value->isnull)
		refuse_number(key);
	if (base == TEXTOID)
	{
		*number = text_to_number(key, value);
		return true;
	}
	if (base != INT8OID && base != INT4OID && base != INT2OID &&
		base != NUMERICOID)
		refuse_number(key);
	if (!pgcache_value_to_datum(value, base, &datum))
		return false;

	if (base == INT8OID)
		*number = DatumGetInt64(datum);
	else if (base == INT4OID)
		*number = DatumGetInt32(datum);
	else if (base == INT2OID)
		*number = DatumGetInt16(datum);
	else
		*number = whole_number(key, datum);
	return true;
}

/*
 * Takes over all but the value from the entry to be replaced; false if the
 * entry changed meanwhile.  The time of creation too: how long a sliding entry
 * may live is counted from there.
 */
static bool
keep_description(PgCachePut *put, PgCacheRef *ref)
{
	const uint16 kept = PGCACHE_ENTRY_TTL | PGCACHE_ENTRY_SLIDING;
	const PgCacheMeta *meta = &ref->meta;
	PgCacheItem *item = &put->item;

	item->flags = meta->flags & kept;
	item->created = meta->created;
	item->expires = meta->expires;
	item->slide = meta->slide;
	item->slide_cap = meta->slide_cap;
	item->priority = meta->priority;
	item->ntags = meta->ntags;
	item->tags_len = meta->tags_len;
	return meta->ntags == 0 ||
		pgcache_store_copy_tags(pgcache_store, ref, put->tags);
}

/*
 * Begins a put of a number; gives the number to which delta is to be added, and
 * the version of the entry that has it, 0 if there is none.
 */
static int64
begin_count(PgCachePut *put, FunctionCallInfo fcinfo, text *key,
			uint64 *version)
{
	PgCacheRef	ref;
	PgCacheValue value;
	int64		number;

	do
	{
		CHECK_FOR_INTERRUPTS();
		pgcache_put_begin(put, fcinfo, 3, -1, 4);
		pgcache_put_key(put, key);
		if (!pgcache_lookup_purge(&put->item.key, &ref) ||
			!pgcache_lookup_value(&put->item.key, &ref, &value))
		{
			*version = 0;
			pgcache_ttl_start(&put->ttl, &put->item);
			return PG_GETARG_INT64(2);
		}
	} while (!keep_description(put, &ref) ||
			 !value_to_number(&put->item.key, &value, &number));

	*version = ref.meta.version;
	return number;
}

Datum
pgcache_sql_incr(PG_FUNCTION_ARGS)
{
	PgCachePut	put;
	PgCachePutMode mode;
	text	   *key;
	uint64		version;
	int64		result;

	pgcache_shmem_require();
	key = pgcache_args_text(fcinfo, 0, "key");
	if (PG_ARGISNULL(1))
		pgcache_args_refuse_null("delta");
	if (PG_ARGISNULL(2))
		pgcache_args_refuse_null("initial");

	do
	{
		int64		number = begin_count(&put, fcinfo, key, &version);

		if (pg_add_s64_overflow(number, PG_GETARG_INT64(1), &result))
			refuse_overflow();
		pgcache_put_value(&put, Int64GetDatum(result), false, INT8OID);
		mode = version == 0 ? PGCACHE_PUT_ADD : PGCACHE_PUT_CAS;
	} while (pgcache_put_store(&put, mode, version) == PGCACHE_NOT_STORED);
	PG_RETURN_INT64(result);
}
