/*-------------------------------------------------------------------------
 *
 * floor.c
 *	  What the benchmark compares with: the least that a function of some kind
 *	  can cost in this server.
 *
 * The empty functions do nothing but return a constant.  The lock-free table is
 * the least that a cache in shared memory can do for a hit: hash the key, read
 * the line of one bucket, compare the key, copy the value, and see by a version
 * that nobody changed it meanwhile.  It knows no expiry, no eviction, no
 * privileges, no statistics; it neither frees nor grows a value; one session
 * only may add keys.
 *
 *	bucket: 64 bytes                         arena
 *	+-------+-------+---     +-------+       +--------------------------+----
 *	| slot  | slot  | ... 8  | slot  | ----> | version, lengths, key,   | ...
 *	+-------+-------+---     +-------+       | value                    |
 *	slot: 16 bits of hash, 48 of offset      +--------------------------+----
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(floor_empty);
PG_FUNCTION_INFO_V1(floor_empty_put);
PG_FUNCTION_INFO_V1(floor_empty_many);
PG_FUNCTION_INFO_V1(floor_get);
PG_FUNCTION_INFO_V1(floor_put);
PG_FUNCTION_INFO_V1(floor_touch);
PG_FUNCTION_INFO_V1(floor_value);
PG_FUNCTION_INFO_V1(floor_cpu_time);
PG_FUNCTION_INFO_V1(floor_mark);

/* Room for a million entries of 100 bytes and for the larger values. */
#define BUCKETS			(1 << 18)
#define BUCKET_SLOTS	8
#define ARENA_SIZE		((Size) 512 * 1024 * 1024)

#define MAX_SIZE		(64 * 1024)
#define OFFSET_BITS		48
#define OFFSET_MASK		((UINT64CONST(1) << OFFSET_BITS) - 1)

typedef struct Entry
{
	pg_atomic_uint32 version;	/* odd while the value is being written */
	uint32		value_len;
	uint32		key_len;
	char		data[FLEXIBLE_ARRAY_MEMBER];	/* key, then value */
} Entry;

/* A slot is 0 until it is used, and never changes after that. */
typedef struct Bucket
{
	pg_atomic_uint64 slots[BUCKET_SLOTS];
} Bucket;

typedef struct Table
{
	Size		used;			/* of the arena */
	Bucket	   *buckets;
	char	   *arena;
} Table;

static Table *table = NULL;
static char constant[MAX_SIZE];

static shmem_request_hook_type next_shmem_request_hook = NULL;
static shmem_startup_hook_type next_shmem_startup_hook = NULL;

void		_PG_init(void);

static void
request_memory(void)
{
	if (next_shmem_request_hook)
		next_shmem_request_hook();
	RequestAddinShmemSpace(PG_CACHE_LINE_SIZE + sizeof(Table) +
						   BUCKETS * sizeof(Bucket) + ARENA_SIZE);
}

static void
start_memory(void)
{
	bool		found;
	char	   *memory;

	if (next_shmem_startup_hook)
		next_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	memory = ShmemInitStruct("pg_cache bench floor",
							 PG_CACHE_LINE_SIZE + sizeof(Table) +
							 BUCKETS * sizeof(Bucket) + ARENA_SIZE, &found);
	table = (Table *) memory;
	if (!found)
	{
		/* Fresh shared memory is zero, and so are empty slots. */
		table->used = sizeof(uint64);
		table->buckets = (Bucket *) CACHELINEALIGN(memory + sizeof(Table));
		table->arena = (char *) (table->buckets + BUCKETS);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
_PG_init(void)
{
	memset(constant, 'c', sizeof(constant));
	if (!process_shared_preload_libraries_in_progress)
		return;
	next_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	next_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_memory;
}

static inline text *
make_text(const char *data, Size len)
{
	text	   *result = palloc(VARHDRSZ + len);

	SET_VARSIZE(result, VARHDRSZ + len);
	memcpy(VARDATA(result), data, len);
	return result;
}

/* ---- empty functions -------------------------------------------------------- */

/* A constant text of the length asked for. */
Datum
floor_empty(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(make_text(constant, PG_GETARG_INT32(1)));
}

Datum
floor_empty_put(PG_FUNCTION_ARGS)
{
	PG_RETURN_VOID();
}

/* Each key with a constant text: what PostgreSQL takes for returning rows. */
Datum
floor_empty_many(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ArrayIterator it = array_create_iterator(PG_GETARG_ARRAYTYPE_P(0), 0, NULL);
	Datum		values[2];
	bool		nulls[2] = {false, false};

	InitMaterializedSRF(fcinfo, 0);
	values[1] = PointerGetDatum(make_text(constant, PG_GETARG_INT32(1)));
	while (array_iterate(it, &values[0], &nulls[0]))
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	array_free_iterator(it);
	return (Datum) 0;
}

/* ---- the lock-free table ---------------------------------------------------- */

static inline uint64
mix(uint64 a, uint64 b)
{
	unsigned __int128 product = (unsigned __int128) a * b;

	return (uint64) product ^ (uint64) (product >> 64);
}

static inline uint64
load(const char *p)
{
	uint64		word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* Two words a round; the last of them may have been in the round before. */
static inline uint64
hash_key(const char *key, uint32 len)
{
	uint64		hash = UINT64CONST(0x9e3779b97f4a7c15) ^ len;
	uint64		a = 0;
	uint64		b = 0;

	for (; len > 2 * sizeof(uint64); len -= 2 * sizeof(uint64))
	{
		hash = mix(load(key) ^ UINT64CONST(0xa0761d6478bd642f),
				   load(key + sizeof(uint64)) ^ hash);
		key += 2 * sizeof(uint64);
	}
	if (len >= sizeof(uint64))
	{
		a = load(key);
		b = load(key + len - sizeof(uint64));
	}
	else if (len >= sizeof(uint32))
	{
		uint32		first;
		uint32		last;

		memcpy(&first, key, sizeof(first));
		memcpy(&last, key + len - sizeof(last), sizeof(last));
		a = first;
		b = last;
	}
	else
	{
		for (uint32 i = 0; i < len; i++)
			a = a << 8 | (unsigned char) key[i];
	}
	return mix(hash ^ a ^ UINT64CONST(0xe7037ed1a0b428db),
			   hash ^ b ^ UINT64CONST(0x8ebc6af09c88c6e3));
}

/* The entry of a key; else NULL, and *free is the slot for it. */
static inline Entry *
find_entry(const char *key, uint32 len, uint64 hash, pg_atomic_uint64 **free)
{
	for (uint64 b = hash;; b++)
	{
		Bucket	   *bucket = &table->buckets[b % BUCKETS];

		for (int i = 0; i < BUCKET_SLOTS; i++)
		{
			uint64		slot = pg_atomic_read_u64(&bucket->slots[i]);
			Entry	   *entry = (Entry *) (table->arena + (slot & OFFSET_MASK));

			if (slot == 0)
			{
				*free = &bucket->slots[i];
				return NULL;
			}
			if (slot >> OFFSET_BITS == hash >> OFFSET_BITS &&
				entry->key_len == len && memcmp(entry->data, key, len) == 0)
				return entry;
		}
	}
}

static void
require_table(void)
{
	if (table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the floor must be loaded via \"shared_preload_libraries\"")));
}

Datum
floor_get(PG_FUNCTION_ARGS)
{
	text	   *name = PG_GETARG_TEXT_PP(0);
	const char *key = VARDATA_ANY(name);
	uint32		len = VARSIZE_ANY_EXHDR(name);
	pg_atomic_uint64 *free;
	Entry	   *entry;

	require_table();
	entry = find_entry(key, len, hash_key(key, len), &free);
	if (entry == NULL)
		PG_RETURN_NULL();
	for (;;)
	{
		uint32		version = pg_atomic_read_u32(&entry->version);
		text	   *result;

		pg_read_barrier();
		if (likely((version & 1) == 0))
		{
			result = make_text(entry->data + len, entry->value_len);
			pg_read_barrier();
			if (likely(pg_atomic_read_u32(&entry->version) == version))
				PG_RETURN_TEXT_P(result);
			pfree(result);
		}
		pg_spin_delay();
	}
}

/* Waits for other writers of the entry; its version is odd afterwards. */
static uint32
lock_entry(Entry *entry)
{
	for (;;)
	{
		uint32		version = pg_atomic_read_u32(&entry->version);

		if ((version & 1) == 0 &&
			pg_atomic_compare_exchange_u32(&entry->version, &version, version + 1))
			return version + 1;
		pg_spin_delay();
	}
}

static Entry *
add_entry(const char *key, uint32 len, uint64 hash, uint32 value_len,
		  pg_atomic_uint64 *slot)
{
	Size		size = MAXALIGN(offsetof(Entry, data) + len + value_len);
	Entry	   *entry = (Entry *) (table->arena + table->used);

	if (size > ARENA_SIZE - table->used)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("the floor's arena is full")));
	pg_atomic_init_u32(&entry->version, 0);
	entry->key_len = len;
	entry->value_len = value_len;
	memcpy(entry->data, key, len);
	pg_write_barrier();
	pg_atomic_write_u64(slot, (hash >> OFFSET_BITS << OFFSET_BITS) | table->used);
	table->used += size;
	return entry;
}

Datum
floor_put(PG_FUNCTION_ARGS)
{
	text	   *name = PG_GETARG_TEXT_PP(0);
	text	   *value = PG_GETARG_TEXT_PP(1);
	const char *key = VARDATA_ANY(name);
	uint32		len = VARSIZE_ANY_EXHDR(name);
	uint32		value_len = VARSIZE_ANY_EXHDR(value);
	uint64		hash = hash_key(key, len);
	pg_atomic_uint64 *free;
	Entry	   *entry;
	uint32		version;

	require_table();
	entry = find_entry(key, len, hash, &free);
	if (entry == NULL)
		entry = add_entry(key, len, hash, value_len, free);
	if (entry->value_len != value_len)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the floor cannot change the size of a value")));
	version = lock_entry(entry);
	memcpy(entry->data + len, VARDATA_ANY(value), value_len);
	pg_write_barrier();
	pg_atomic_write_u32(&entry->version, version + 1);
	PG_RETURN_VOID();
}

/* ---- helpers ---------------------------------------------------------------- */

/*
 * Makes use of a value as a query would: an untouched TOASTed value is never
 * fetched.
 */
Datum
floor_touch(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	Size		len = VARSIZE_ANY_EXHDR(value);
	const unsigned char *data = (unsigned char *) VARDATA_ANY(value);
	int32		result = len > 0 ? data[0] + data[len - 1] : 0;

	PG_FREE_IF_COPY(value, 0);
	PG_RETURN_INT32(result);
}

/* The i-th of the texts of a length: random letters, which do not compress. */
Datum
floor_value(PG_FUNCTION_ARGS)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint64		state = (PG_GETARG_INT32(0) + UINT64CONST(1)) *
		UINT64CONST(0x9e3779b97f4a7c15);
	int32		len = PG_GETARG_INT32(1);
	text	   *result = palloc(VARHDRSZ + len);

	SET_VARSIZE(result, VARHDRSZ + len);
	for (int32 i = 0; i < len; i++)
	{
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		VARDATA(result)[i] = letters[state >> 58];
	}
	PG_RETURN_TEXT_P(result);
}

/*
 * Nanoseconds that this process has had a CPU.  Unlike elapsed time it leaves
 * out what others on the machine do in between, though not that they empty the
 * caches.  Nothing that is measured here waits.
 */
Datum
floor_cpu_time(PG_FUNCTION_ARGS)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	PG_RETURN_INT64((int64) now.tv_sec * 1000000000 + now.tv_nsec);
}

/* callgrind begins a new count whenever this is called; see bench/callgrind. */
Datum
floor_mark(PG_FUNCTION_ARGS)
{
	PG_RETURN_VOID();
}
