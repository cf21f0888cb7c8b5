/*-------------------------------------------------------------------------
 *
 * bulk.c
 *	  cache_get_many, cache_put_many.
 *
 * A look-up in a large cache is spent waiting for memory.  cache_get_many asks
 * for the buckets and entries of a group of keys before it uses the first of
 * them, so that the waits overlap.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/arrayaccess.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/compat.h"
#include "shmem/shmem.h"
#include "sqlapi/lookup.h"
#include "sqlapi/put.h"

PG_FUNCTION_INFO_V1(pgcache_sql_get_many);
PG_FUNCTION_INFO_V1(pgcache_sql_put_many);

/* Keys looked up together; more gain nothing, as CPUs wait for 10 to 16 lines. */
#define GROUP_SIZE 16

/* Flags of values whose bytes are not those of a text. */
#define CONVERTED (PGCACHE_ENTRY_TYPED | PGCACHE_ENTRY_LZ4 | PGCACHE_ENTRY_ZSTD)

/* An array of text, walked through in place. */
typedef struct TextWalk
{
	array_iter	it;
	int			n;
	int			next;
} TextWalk;

static void
begin_walk(TextWalk *walk, AnyArrayType *array)
{
	walk->n = ArrayGetNItems(AARR_NDIM(array), AARR_DIMS(array));
	walk->next = 0;
	array_iter_setup(&walk->it, array);
}

static inline Datum
walk_on(TextWalk *walk, bool *isnull)
{
	return array_iter_next(&walk->it, isnull, walk->next++, -1, false,
						   TYPALIGN_INT);
}

/* ---- cache_get_many --------------------------------------------------------- */

typedef struct ManyGet
{
	ReturnSetInfo *rsinfo;
	uint16		slot;
	PgCacheIncarnation incarnation;
	MemoryContext scratch;		/* for values that must be converted */
	text	   *buffer;			/* for a value; grows */
	Size		buffer_size;
	int			nkeys;			/* in the group */
	text	   *names[GROUP_SIZE];
	PgCacheKey	keys[GROUP_SIZE];
} ManyGet;

/* Takes the next keys from the array, and has them fetched into CPU caches. */
static void
fill_group(ManyGet *get, TextWalk *walk)
{
	get->nkeys = 0;
	while (get->nkeys < GROUP_SIZE && walk->next < walk->n)
	{
		bool		isnull;
		Datum		datum = walk_on(walk, &isnull);

		if (isnull)
			continue;
		get->names[get->nkeys] = DatumGetTextPP(datum);
		pgcache_args_key(&get->keys[get->nkeys], get->slot,
						 get->names[get->nkeys]);
		pgcache_store_prefetch_bucket(pgcache_store, &get->keys[get->nkeys]);
		get->nkeys++;
	}
	for (int i = 0; i < get->nkeys; i++)
		pgcache_store_prefetch_entry(pgcache_store, &get->keys[i]);
}

/* Finds an entry with a plain text, which is then in the buffer, or a NULL. */
static bool
find_plain(ManyGet *get, const PgCacheKey *key, PgCacheRef *ref)
{
	while (pgcache_store_find(pgcache_store, key, ref))
	{
		Size		size = VARHDRSZ + (Size) ref->meta.len;

		if (ref->meta.flags & CONVERTED)
			return true;
		if (size > get->buffer_size)
		{
			get->buffer_size = Max(size, Min(2 * get->buffer_size, MaxAllocSize));
			pfree(get->buffer);
			get->buffer = palloc(get->buffer_size);
		}
		if (pgcache_store_copy(pgcache_store, ref, VARDATA(get->buffer)))
		{
			SET_VARSIZE(get->buffer, size);
			return true;
		}
		CHECK_FOR_INTERRUPTS();
	}
	return false;
}

/* Gives the value of a key as a text; false for a miss. */
static bool
get_text(ManyGet *get, const PgCacheKey *key, PgCacheRef *ref, text **result,
		 bool *isnull)
{
	PgCacheValue value;
	MemoryContext caller;
	bool		found;

	if (!find_plain(get, key, ref))
		return false;
	*result = get->buffer;
	*isnull = (ref->meta.flags & PGCACHE_ENTRY_NULL) != 0;
	if (likely((ref->meta.flags & CONVERTED) == 0))
		return true;

	MemoryContextReset(get->scratch);
	caller = MemoryContextSwitchTo(get->scratch);
	found = pgcache_lookup_value(key, ref, &value);
	*isnull = found && value.isnull;
	if (found && !value.isnull)
		found = pgcache_value_to_text(&value, result);
	MemoryContextSwitchTo(caller);
	return found;
}

/* Adds the hits of the group to the result, and counts. */
static void
emit_group(ManyGet *get)
{
	TimestampTz statement = pgcache_clock_statement();
	int			hits = 0;

	for (int i = 0; i < get->nkeys; i++)
	{
		PgCacheRef	ref;
		text	   *value;
		Datum		values[2];
		bool		nulls[2] = {false, false};

		if (!pgcache_enabled ||
			!get_text(get, &get->keys[i], &ref, &value, &nulls[1]))
			continue;
		values[0] = PointerGetDatum(get->names[i]);
		values[1] = PointerGetDatum(value);
		tuplestore_putvalues(get->rsinfo->setResult, get->rsinfo->setDesc,
							 values, nulls);
		pgcache_store_hit(pgcache_store, &ref, statement);
		hits++;
	}
	pgcache_count(get->slot, get->incarnation, PGCACHE_HITS, hits);
	pgcache_count(get->slot, get->incarnation, PGCACHE_MISSES, get->nkeys - hits);
}

Datum
pgcache_sql_get_many(PG_FUNCTION_ARGS)
{
	ManyGet		get;
	TextWalk	walk;
	text	   *name;

	pgcache_shmem_require();
	name = PG_GETARG_TEXT_PP(1);
	(void) pgcache_args_space(name, PGCACHE_READ);
	InitMaterializedSRF(fcinfo, 0);
	get.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	get.scratch = AllocSetContextCreate(CurrentMemoryContext,
										"cache_get_many",
										ALLOCSET_DEFAULT_SIZES);
	get.buffer_size = 1024;
	get.buffer = palloc(get.buffer_size);

	begin_walk(&walk, PG_GETARG_ANY_ARRAY_P(0));
	while (walk.next < walk.n)
	{
		PgCacheSpace *space;

		/* Anew for each group: it may be dropped while we are at it. */
		CHECK_FOR_INTERRUPTS();
		space = pgcache_args_space(name, PGCACHE_READ);
		get.slot = space->slot;
		get.incarnation = space->incarnation;
		fill_group(&get, &walk);
		emit_group(&get);
	}
	return (Datum) 0;
}

/* ---- cache_put_many --------------------------------------------------------- */

typedef struct Pair
{
	PgCacheKey	key;
	Datum		value;
	bool		isnull;
	bool		last;			/* no later pair has this key */
} Pair;

/* A set of keys, each by the number of the last pair that has it. */
typedef struct KeySetEntry
{
	uint32		pair;
	char		status;
} KeySetEntry;

static inline bool
same_key(const PgCacheKey *a, const PgCacheKey *b)
{
	return a->hash == b->hash && a->len == b->len &&
		memcmp(a->data, b->data, a->len) == 0;
}

#define KEY_OF(set, pair)	(&((Pair *) (set)->private_data)[pair].key)

#define SH_PREFIX keyset
#define SH_ELEMENT_TYPE KeySetEntry
#define SH_KEY_TYPE uint32
#define SH_KEY pair
#define SH_HASH_KEY(set, pair) ((uint32) KEY_OF(set, pair)->hash)
#define SH_EQUAL(set, a, b) same_key(KEY_OF(set, a), KEY_OF(set, b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static Pair *
take_pairs(AnyArrayType *keys, AnyArrayType *vals, uint16 slot, int *n)
{
	TextWalk	key_walk;
	TextWalk	val_walk;
	Pair	   *pairs;

	begin_walk(&key_walk, keys);
	begin_walk(&val_walk, vals);
	if (key_walk.n != val_walk.n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("arrays of keys and of values must have the same length"),
				 errdetail("There are %d keys and %d values.",
						   key_walk.n, val_walk.n)));

	*n = key_walk.n;
	pairs = MemoryContextAllocHuge(CurrentMemoryContext, *n * sizeof(Pair));
	for (int i = 0; i < *n; i++)
	{
		PgCacheValue ignored;
		bool		isnull;
		Datum		key = walk_on(&key_walk, &isnull);

		if (isnull)
			pgcache_args_refuse_null("key");
		pgcache_args_key(&pairs[i].key, slot, DatumGetTextPP(key));
		pairs[i].value = walk_on(&val_walk, &pairs[i].isnull);

		/* for its errors */
		pgcache_value_flatten(pairs[i].value, pairs[i].isnull, TEXTOID,
							  PGCACHE_COMPRESSION_NONE, 0, &ignored);
		CHECK_FOR_INTERRUPTS();
	}
	return pairs;
}

/* Marks the last pair of each key; returns the number of keys. */
static int
mark_last(Pair *pairs, int n)
{
	keyset_hash *set = keyset_create(CurrentMemoryContext, n, pairs);
	int			nkeys;

	for (int i = 0; i < n; i++)
	{
		bool		found;
		KeySetEntry *entry = keyset_insert(set, i, &found);

		if (found)
			pairs[entry->pair].last = false;
		entry->pair = i;
		pairs[i].last = true;
	}
	nkeys = set->members;
	keyset_destroy(set);
	return nkeys;
}

static void
store_pairs(PgCachePut *put, const Pair *pairs, int n)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch = AllocSetContextCreate(caller, "cache_put_many",
												  ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(scratch);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!pairs[i].last)
			continue;
		put->item.key = pairs[i].key;
		pgcache_put_value(put, pairs[i].value, pairs[i].isnull, TEXTOID);
		pgcache_ttl_start(&put->ttl, &put->item);
		(void) pgcache_put_store(put, PGCACHE_PUT_SET, 0);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
}

/*
 * All pairs are looked at before the first is stored, so that an error leaves
 * the cache as it was.
 */
Datum
pgcache_sql_put_many(PG_FUNCTION_ARGS)
{
	PgCachePut	put;
	Pair	   *pairs;
	int			n;
	int			nkeys;

	pgcache_shmem_require();
	if (PG_ARGISNULL(0))
		pgcache_args_refuse_null("array of keys");
	if (PG_ARGISNULL(1))
		pgcache_args_refuse_null("array of values");
	pgcache_put_begin(&put, fcinfo, 2, 3, 4);
	pairs = take_pairs(PG_GETARG_ANY_ARRAY_P(0), PG_GETARG_ANY_ARRAY_P(1),
					   put.item.key.space, &n);
	nkeys = mark_last(pairs, n);
	if (pgcache_enabled)
		store_pairs(&put, pairs, n);
	else
	{
		nkeys = 0;
		for (int i = 0; i < n; i++)
			(void) pgcache_put_delete(&pairs[i].key, put.incarnation);
	}
	pfree(pairs);
	PG_RETURN_INT64(nkeys);
}
