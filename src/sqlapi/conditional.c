/*-------------------------------------------------------------------------
 *
 * conditional.c
 *	  cache_add, cache_replace, cache_cas, cache_incr.
 *
 * These decide by what is in the cache, for all sessions together, and act at
 * once, whatever becomes of the transaction.  So they go on as ever while
 * pg_cache.enabled is off in one of them: a lock taken by cache_add must hold
 * there as well.
 *
 * What they store has no writer: every snapshot sees it.  They publish on its
 * key first, which makes stale what transactions have read before and are about
 * to put there.
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

#include "shmem/debug_point.h"
#include "shmem/shmem.h"
#include "sqlapi/lookup.h"
#include "sqlapi/put.h"
#include "watch/watch.h"

PG_FUNCTION_INFO_V1(pgcache_sql_add);
PG_FUNCTION_INFO_V1(pgcache_sql_replace);
PG_FUNCTION_INFO_V1(pgcache_sql_cas);
PG_FUNCTION_INFO_V1(pgcache_sql_incr);

/* Text longer than this is no number. */
#define MAX_NUMBER_LEN 64

/*
 * Makes the item depend on its tags.  False where one of them changed since its
 * data were read: the entry would show what is no more.
 */
static bool
depend_on_tags(PgCachePut *put)
{
	const PgCacheBound *bound = pgcache_statement_bound();
	PgCacheItem *item = &put->item;
	const char *tag = item->tags;

	item->nstamps = 0;
	item->ntables = 0;
	item->deps = put->deps;
	item->flags &= ~PGCACHE_ENTRY_DEPS;
	for (int i = 0; i < item->ntags; i++)
	{
		PgCacheStamp stamp = pgcache_stamp_of_tag(item->key.space, tag + 1,
												  (uint8) *tag);
		PgCacheRing ring;

		pgcache_stamp_read(stamp, &ring);
		if (bound == NULL || pgcache_rule_stale(&ring, bound))
			return false;
		put->deps[item->nstamps++] = stamp;
		tag += 1 + (uint8) *tag;
	}
	if (item->nstamps > 0)
		item->flags |= PGCACHE_ENTRY_DEPS;
	return true;
}

/* What an entry was looked at by, before a put that acts at once is stored. */
typedef struct Look
{
	const PgCacheKey *key;
	uint64		number;			/* publish number before */
	bool		tested;			/* whether predicates were, */
	uint64		predicates;		/* so many of them */
} Look;

/*
 * Not if a transaction has begun to change the key since we looked, nor if there
 * are further predicates: then it begins anew, and waits for that.
 */
static PgCacheAdmission
admit_unchanged(void *arg, const PgCacheMeta *present)
{
	const Look *look = arg;

	if (pgcache_txn_changed_since(look->key, look->number) ||
		(look->tested && pgcache_predicate_count() != look->predicates))
		return PGCACHE_POSTPONE;
	return PGCACHE_ADMIT;
}

/* Looks at the entry in its latest state; whether there is one. */
static bool
look_at(Look *look, const PgCacheKey *key, PgCacheRef *ref, const char *function)
{
	CHECK_FOR_INTERRUPTS();
	look->key = key;
	look->number = pgcache_stamp_now();
	look->tested = false;
	pg_read_barrier();
	return pgcache_lookup_latest(key, ref, function);
}

/*
 * Stores what was prepared, at once and for everybody, and counts it.  What
 * transactions have read before and are to put under that key is older than it.
 * PGCACHE_NOT_STORED if the key was changed since the look.
 */
static PgCachePutResult
store_now(PgCachePut *put, Look *look, PgCachePutMode mode, uint64 version)
{
	PgCacheItem *item = &put->item;
	PgCachePutResult result;

	item->admit = admit_unchanged;
	item->admit_arg = look;
	pgcache_store_tune();
	pgcache_txn_mark_standby(item, pgcache_statement_bound());
	(void) pgcache_stamp_publish(pgcache_stamp_of_key(item->key.hash), 0,
								 PGCACHE_PUBLISH_IMMEDIATE);
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

/* As store_now, but not what was cleared, or a tag or predicate invalidated. */
static PgCachePutResult
store_fresh(PgCachePut *put, Look *look, PgCachePutMode mode, uint64 version)
{
	const PgCacheItem *item = &put->item;
	const PgCacheBound *bound = pgcache_statement_bound();

	if (!depend_on_tags(put) || bound == NULL ||
		pgcache_txn_is_cleared(item->key.space, bound, false) ||
		!pgcache_baseline_allows(&bound->snap) ||
		pgcache_predicate_stale(item->key.space, item->key.data,
								item->key.len, item->tags, item->ntags,
								bound, &look->predicates))
	{
		pgcache_count(item->key.space, put->incarnation, PGCACHE_STALE_PUTS, 1);
		return PGCACHE_STALE;
	}
	look->tested = true;
	return store_now(put, look, mode, version);
}

/* Whether an entry, found or not, lets a put of that mode go on. */
static bool
mode_allows(PgCachePutMode mode, uint64 version, bool found, const PgCacheRef *ref)
{
	switch (mode)
	{
		case PGCACHE_PUT_SET:
			break;
		case PGCACHE_PUT_ADD:
			return !found;
		case PGCACHE_PUT_REPLACE:
			return found;
		case PGCACHE_PUT_CAS:
			return found && ref->meta.version == version;
	}
	return true;
}

/*
 * Puts the value argument, which ttl, tags and namespace follow; whether it was
 * stored.  It was not if there was no room for it, or the namespace was cleared
 * or one of the tags invalidated meanwhile, although the entry that it should
 * replace is gone then.
 */
static bool
put_if(FunctionCallInfo fcinfo, int value_arg, PgCachePutMode mode,
	   uint64 version, const char *function)
{
	PgCachePut	put;
	Look		look;
	PgCacheRef	ref;
	PgCachePutResult result;
	text	   *key = pgcache_args_text(fcinfo, 0, "key");

	pgcache_put_begin(&put, fcinfo, value_arg + 1, value_arg + 2,
					  value_arg + 3);
	pgcache_put_key(&put, key);
	pgcache_put_value(&put, PG_GETARG_DATUM(value_arg),
					  PG_ARGISNULL(value_arg),
					  pgcache_args_type(fcinfo, value_arg));
	pgcache_ttl_start(&put.ttl, &put.item);

	/* Until what the store says is what we found. */
	do
	{
		bool		found = look_at(&look, &put.item.key, &ref, function);

		if (!mode_allows(mode, version, found, &ref))
			return false;
		pgcache_txn_refuse_own(&put.item, function);
		result = store_fresh(&put, &look, mode, version);
		if (result == PGCACHE_STALE && found)
			(void) pgcache_store_delete_version(pgcache_store, &put.item.key,
												ref.meta.version);
	} while (result == PGCACHE_NOT_STORED);
	return result == PGCACHE_STORED;
}

Datum
pgcache_sql_add(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	PG_RETURN_BOOL(put_if(fcinfo, 1, PGCACHE_PUT_ADD, 0, "cache_add"));
}

Datum
pgcache_sql_replace(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	PG_RETURN_BOOL(put_if(fcinfo, 1, PGCACHE_PUT_REPLACE, 0, "cache_replace"));
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
	PG_RETURN_BOOL(put_if(fcinfo, 2, PGCACHE_PUT_CAS, (uint64) version,
						  "cache_cas"));
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

/* Whether nothing was published for an entry since it was stored. */
static bool
is_unchanged(const PgCacheRef *ref)
{
	const PgCacheMeta *meta = &ref->meta;

	for (int i = 0; i < meta->nstamps; i++)
		if (!pgcache_stamp_unchanged(ref->deps[i], meta->seq))
			return false;
	return pgcache_stamp_unchanged(pgcache_stamp_of_space(meta->space), meta->seq) &&
		pgcache_stamp_unchanged(pgcache_stamp_of_database(MyDatabaseId), meta->seq);
}

/*
 * Takes over all but the value from the entry to be replaced; false if the
 * entry changed meanwhile.  The time of creation too: how long a sliding entry
 * may live is counted from there.  And what it depends on, with the number from
 * which on changes of that count: some may be of transactions still running.
 */
static bool
keep_description(PgCachePut *put, PgCacheRef *ref)
{
	const uint16 kept = PGCACHE_ENTRY_TTL | PGCACHE_ENTRY_SLIDING |
	PGCACHE_ENTRY_DEPS;
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
	if (!is_unchanged(ref))
		item->seq = meta->seq;
	item->nstamps = meta->nstamps;
	item->ntables = meta->ntables;
	item->deps = put->deps;
	memcpy(put->deps, ref->deps, (meta->nstamps + meta->ntables) * sizeof(uint32));
	return meta->ntags == 0 ||
		pgcache_store_copy_tags(pgcache_store, ref, put->tags);
}

/*
 * Begins a put of a number; gives the number to which delta is to be added, and
 * the version of the entry that has it, 0 if there is none.
 */
static int64
begin_count(PgCachePut *put, Look *look, FunctionCallInfo fcinfo, text *key,
			uint64 *version)
{
	PgCacheRef	ref;
	PgCacheValue value;
	int64		number;

	do
	{
		pgcache_put_begin(put, fcinfo, 3, -1, 4);
		pgcache_put_key(put, key);
		if (!look_at(look, &put->item.key, &ref, "cache_incr"))
		{
			*version = 0;
			put->item.nstamps = 0;
			put->item.ntables = 0;
			pgcache_ttl_start(&put->ttl, &put->item);
			return PG_GETARG_INT64(2);
		}
	} while (!pgcache_lookup_copy(&ref, &value) ||
			 !keep_description(put, &ref) ||
			 !value_to_number(&put->item.key, &value, &number));

	*version = ref.meta.version;
	return number;
}

Datum
pgcache_sql_incr(PG_FUNCTION_ARGS)
{
	PgCachePut	put;
	Look		look;
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
		int64		number = begin_count(&put, &look, fcinfo, key, &version);

		if (pg_add_s64_overflow(number, PG_GETARG_INT64(1), &result))
			refuse_overflow();
		pgcache_put_value(&put, Int64GetDatum(result), false, INT8OID);
		mode = version == 0 ? PGCACHE_PUT_ADD : PGCACHE_PUT_CAS;
	} while (store_now(&put, &look, mode, version) == PGCACHE_NOT_STORED);
	PG_RETURN_INT64(result);
}
