/*-------------------------------------------------------------------------
 *
 * bulk.c
 *	  cache_get_many, cache_put_many.
 *
 * A look-up in a large cache is spent waiting for memory.  cache_get_many asks
 * for the bucket of a key, later for its entry, and later still uses it; between
 * these steps it is at work on the keys before and behind.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "utils/arrayaccess.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/compat.h"
#include "shmem/shmem.h"
#include "sqlapi/lookup.h"
#include "sqlapi/put.h"
#include "stats/stats.h"

PG_FUNCTION_INFO_V1(pgcache_sql_get_many);
PG_FUNCTION_INFO_V1(pgcache_sql_put_many);

/*
 * Keys between the steps.  One step of one key after the other, rather than a
 * step of a whole group at once: a CPU forgets what it is asked to prefetch when
 * it waits for some 20 lines already.
 */
#define DISTANCE 8
#define RING_SIZE (2 * DISTANCE)

/* Keys after which we look at the namespace again. */
#define RENEWAL 64

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
	TimestampTz statement;		/* its start */
	text	   *space_name;
	uint16		slot;
	PgCacheIncarnation incarnation;
	TextWalk	walk;
	TupleTableSlot *row;		/* the one in the buffer */
	char	   *buffer;			/* a MinimalTuple; grows */
	Size		buffer_size;
	MemoryContext scratch;		/* for values that must be converted */
	uint64		hits;			/* not yet counted */
	uint64		misses;
	bool		converted;		/* since renew_space */
	text	   *names[RING_SIZE];
	PgCacheKey	keys[RING_SIZE];
} ManyGet;

/*
 * Counts what was found, and looks at the namespace again: in the course of a
 * long array it may be dropped, or the privilege be revoked.
 */
static void
renew_space(ManyGet *get)
{
	PgCacheSpace *space;

	if (get->hits + get->misses > 0)
	{
		pgcache_count(get->slot, get->incarnation, PGCACHE_HITS, get->hits);
		pgcache_count(get->slot, get->incarnation, PGCACHE_MISSES, get->misses);
	}
	get->hits = get->misses = 0;
	get->converted = false;
	space = pgcache_args_space(get->space_name, PGCACHE_READ);
	get->slot = space->slot;
	get->incarnation = space->incarnation;
}

/* Takes the next key from the array, and asks for its bucket. */
static bool
take_key(ManyGet *get, int at)
{
	while (get->walk.next < get->walk.n)
	{
		bool		isnull;
		Datum		datum = walk_on(&get->walk, &isnull);

		if (isnull)
			continue;
		get->names[at] = DatumGetTextPP(datum);
		pgcache_args_key(&get->keys[at], get->slot, get->incarnation, get->names[at]);
		pgcache_store_prefetch_bucket(pgcache_store, &get->keys[at]);
		return true;
	}
	return false;
}

/*
 * Begins a text of len bytes at p, within a tuple that is aligned itself; gives
 * the place of its first byte.
 */
static inline char *
begin_text(char *p, Size len)
{
	if (len + VARHDRSZ_SHORT <= VARATT_SHORT_MAX)
	{
		SET_VARSIZE_SHORT(p, len + VARHDRSZ_SHORT);
		return p + VARHDRSZ_SHORT;
	}
	while (p != (char *) INTALIGN(p))
		*p++ = 0;
	SET_VARSIZE(p, len + VARHDRSZ);
	return p + VARHDRSZ;
}

/* Makes the buffer large enough for a row. */
static void
enlarge_buffer(ManyGet *get, Size size)
{
	pfree(get->buffer);
	get->buffer_size = Max(size, Min(2 * get->buffer_size, MaxAllocSize));
	get->buffer = palloc(get->buffer_size);
}

/*
 * Copies key and value of an entry found, which is a plain text, into the
 * buffer as a row, as heap_form_minimal_tuple would do: not by way of two
 * datums, as that takes half as long as all the rest.  False where the entry
 * changed.
 */
static bool
copy_row(ManyGet *get, const PgCacheKey *key, PgCacheRef *ref)
{
	const Size	header = MAXALIGN(SizeofMinimalTupleHeader);
	Size		len = ref->meta.len;
	Size		size = header + key->len + len + 2 * (VARHDRSZ + ALIGNOF_INT);
	MinimalTuple tuple;
	char	   *p;

	if (unlikely(size > get->buffer_size))
		enlarge_buffer(get, size);
	tuple = (MinimalTuple) get->buffer;
	memset(tuple, 0, header);
	p = begin_text(get->buffer + header, key->len);
	memcpy(p, key->data, key->len);
	p = begin_text(p + key->len, len);
	if (!pgcache_store_copy(pgcache_store, ref, p))
		return false;
	tuple->t_len = p + len - get->buffer;
	HeapTupleHeaderSetNatts(tuple, 2);
	tuple->t_infomask = HEAP_HASVARWIDTH;
	tuple->t_hoff = header + MINIMAL_TUPLE_OFFSET;
	return true;
}

/* Notes and counts a hit. */
static inline void
note_hit(ManyGet *get, PgCacheRef *ref)
{
	pgcache_store_hit(pgcache_store, ref, get->statement);
	get->hits++;
}

/*
 * Adds a row with a value that is NULL, or must be converted to a text, or that
 * the own transaction put.
 */
static bool
emit_slowly(ManyGet *get, int at)
{
	MemoryContext caller;
	PgCacheFound entry;
	PgCacheValue value;
	text	   *result = NULL;
	bool		found;

	MemoryContextReset(get->scratch);
	caller = MemoryContextSwitchTo(get->scratch);
	get->converted = true;
	found = pgcache_lookup_value(&get->keys[at], &entry, &value) &&
		(value.isnull || pgcache_value_to_text(&value, &result));
	MemoryContextSwitchTo(caller);
	if (found)
	{
		Datum		values[2] = {PointerGetDatum(get->names[at]), PointerGetDatum(result)};
		bool		nulls[2] = {false, value.isnull};

		tuplestore_putvalues(get->rsinfo->setResult, get->rsinfo->setDesc,
							 values, nulls);
		if (entry.own == NULL)
			note_hit(get, &entry.ref);
		else
			get->hits++;
	}
	return found;
}

/* Adds a row to the result if the key has a value; whether it has. */
static bool
emit_key(ManyGet *get, int at)
{
	const PgCacheKey *key = &get->keys[at];
	PgCacheRef	ref;

	/* The slot may be another namespace's by now. */
	if (!pgcache_enabled || key->incarnation != get->incarnation)
		return false;
	if (unlikely(pgcache_txn_pending))
		return emit_slowly(get, at);
	while (pgcache_store_find(pgcache_store, key, &ref) &&
		   pgcache_txn_sees(&ref))
	{
		if (unlikely(ref.meta.flags & PGCACHE_NOT_PLAIN))
			return emit_slowly(get, at);
		if (likely(copy_row(get, key, &ref)))
		{
			ExecStoreMinimalTuple((MinimalTuple) get->buffer, get->row, false);
			tuplestore_puttupleslot(get->rsinfo->setResult, get->row);
			note_hit(get, &ref);
			return true;
		}
		CHECK_FOR_INTERRUPTS();
	}
	return false;
}

static void
begin_get(ManyGet *get, FunctionCallInfo fcinfo)
{
	get->statement = pgcache_clock_statement();
	get->space_name = PG_GETARG_TEXT_PP(1);
	begin_walk(&get->walk, PG_GETARG_ANY_ARRAY_P(0));
	InitMaterializedSRF(fcinfo, 0);
	get->rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	get->row = MakeSingleTupleTableSlot(get->rsinfo->setDesc, &TTSOpsMinimalTuple);
	get->buffer_size = 1024;
	get->buffer = palloc(get->buffer_size);
	get->scratch = AllocSetContextCreate(CurrentMemoryContext,
										 "cache_get_many",
										 ALLOCSET_DEFAULT_SIZES);
	get->hits = get->misses = 0;
	get->converted = false;
	get->slot = 0;
	get->incarnation = 0;
	pgcache_store_tune();
}

/* A key that was taken before renew_space may be of the namespace before. */
static void
note_miss(ManyGet *get, const PgCacheKey *key)
{
	if (likely(key->incarnation == get->incarnation))
		get->misses++;
	else
		pgcache_count(key->space, key->incarnation, PGCACHE_MISSES, 1);
	if (unlikely(pgcache_key_is_sampled(key->hash)))
		pgcache_lookup_ghost(key, key->incarnation);
}

/*
 * The key that is taken as number i has slot i % RING_SIZE until it is used,
 * just before number i + RING_SIZE is taken.
 */
Datum
pgcache_sql_get_many(PG_FUNCTION_ARGS)
{
	uint64		ntaken = 0;
	ManyGet		get;
	PgCacheTimer timer;

	pgcache_shmem_require();
	pgcache_timer_begin(&timer);
	begin_get(&get, fcinfo);
	for (uint64 i = 0; i < ntaken + RING_SIZE; i++)
	{
		/* A conversion may run user code. */
		if (i % RENEWAL == 0 || get.converted)
		{
			CHECK_FOR_INTERRUPTS();
			renew_space(&get);
		}
		if (i >= RING_SIZE)
		{
			if (!emit_key(&get, i % RING_SIZE))
				note_miss(&get, &get.keys[i % RING_SIZE]);
			if (pgcache_sample_due())
				pgcache_sample_key(&get.keys[i % RING_SIZE]);
		}
		if (take_key(&get, i % RING_SIZE))
			ntaken++;
		if (i >= DISTANCE && i - DISTANCE < ntaken)
			pgcache_store_prefetch_entry(pgcache_store,
										 &get.keys[(i - DISTANCE) % RING_SIZE]);
	}
	renew_space(&get);
	ExecDropSingleTupleTableSlot(get.row);
	pgcache_timer_end(&timer, PGCACHE_OPERATION_GET_MANY, 1);
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
take_pairs(const PgCachePut *put, AnyArrayType *keys, AnyArrayType *vals, int *n)
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
		pgcache_args_key(&pairs[i].key, put->item.key.space, put->incarnation,
						 DatumGetTextPP(key));
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
		pgcache_txn_put(&put->item, put->incarnation, NULL, NULL, 0, put->now);
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
	PgCacheTimer timer;

	pgcache_shmem_require();
	pgcache_timer_begin(&timer);
	if (PG_ARGISNULL(0))
		pgcache_args_refuse_null("array of keys");
	if (PG_ARGISNULL(1))
		pgcache_args_refuse_null("array of values");
	pgcache_put_begin(&put, fcinfo, 2, 3, 4);
	pairs = take_pairs(&put, PG_GETARG_ANY_ARRAY_P(0), PG_GETARG_ANY_ARRAY_P(1),
					   &n);
	nkeys = mark_last(pairs, n);
	if (pgcache_enabled)
		store_pairs(&put, pairs, n);
	else
	{
		nkeys = 0;
		for (int i = 0; i < n; i++)
			pgcache_txn_delete(&pairs[i].key, put.incarnation,
							   PGCACHE_DELETES, put.now);
	}
	pfree(pairs);
	pgcache_timer_end(&timer, PGCACHE_OPERATION_PUT_MANY, 1);
	PG_RETURN_INT64(nkeys);
}
