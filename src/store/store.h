/*-------------------------------------------------------------------------
 *
 * store.h
 *	  The store: entries by key in shared memory, with TTL and eviction.
 *
 * A library that knows nothing of SQL, transactions or catalogs.  It needs
 * LWLocks and atomics and nothing else of the server, so that unit tests drive
 * it without one.  README.md beside this file draws the layout.
 *
 * Reading takes no lock: pgcache_store_find copies an entry's header and
 * checks afterwards that nothing moved; pgcache_store_copy does the same with
 * the value, into memory that the caller allocated in between.  Writing takes
 * the partition's lock, and nothing is allocated or raised under it.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_STORE_STORE_H
#define PGCACHE_STORE_STORE_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/lwlock.h"

#define PGCACHE_MAX_KEY_LEN		1024
#define PGCACHE_MAX_TAGS		16
#define PGCACHE_MAX_TAG_LEN		63

/* Bytes of the longest list of tags: a length byte before each. */
#define PGCACHE_MAX_TAGS_LEN	(PGCACHE_MAX_TAGS * (PGCACHE_MAX_TAG_LEN + 1))

typedef struct PgCacheStore PgCacheStore;

/* How a store is made.  All processes must agree. */
typedef struct PgCacheStoreConfig
{
	Size		memory;			/* bytes for entries and index */
	int			max_spaces;		/* namespaces that can be told apart */
	int			eviction;		/* a PgCacheEviction */
	int			partitions;		/* a power of two, or 0: chosen by memory */
	uint64		seed[2];		/* of the hash */
	TimestampTz (*now) (void);	/* the clock, read for entries with a TTL only */

	/*
	 * Whether an entry with DEPS will never be served again; NULL: nobody
	 * knows.  Called under a partition's lock: must not allocate, raise
	 * errors or take locks.
	 */
	bool		(*is_dead) (uint64 seq, const uint32 *stamps, int nstamps);
} PgCacheStoreConfig;

/*
 * What may change while the store runs; each process passes its own view.
 */
typedef struct PgCacheStoreTuning
{
	Size		memory_limit;	/* bytes of memory that may be used */
	int			lru_bump;		/* percent of the queue, 0: exact LRU */
} PgCacheStoreTuning;

/* Number of partitions, that is of LWLocks less one, for a configuration. */
extern int	pgcache_store_partitions(const PgCacheStoreConfig *config);
extern int	pgcache_store_nlocks(const PgCacheStoreConfig *config);

/* Bytes of shared memory. */
extern Size pgcache_store_size(const PgCacheStoreConfig *config);

/* Formats the memory. */
extern void pgcache_store_create(void *memory, LWLockPadded *locks,
								 const PgCacheStoreConfig *config);

/*
 * A handle on a formatted store, from malloc, for the life of the process.
 */
extern PgCacheStore *pgcache_store_attach(void *memory, LWLockPadded *locks,
										  const PgCacheStoreConfig *config);

extern PgCacheStoreTuning *pgcache_store_tuning(PgCacheStore *store);

/* ---- keys ---------------------------------------------------------------- */

typedef struct PgCacheKey
{
	uint64		hash;
	const char *data;
	uint16		len;			/* 1 to PGCACHE_MAX_KEY_LEN */
	uint16		space;			/* below max_spaces */
	uint32		incarnation;	/* of the namespace's slot; the caller's,
								 * which the store does not look at */
} PgCacheKey;

extern void pgcache_store_key(const PgCacheStore *store, PgCacheKey *key,
							  uint16 space, const char *data, Size len);

/* ---- reading --------------------------------------------------------------- */

/* What an entry's value is; the store does not look into it. */
#define PGCACHE_ENTRY_NULL		0x0001	/* a cached NULL */
#define PGCACHE_ENTRY_TYPED		0x0002	/* not text: has typid and fingerprint */
#define PGCACHE_ENTRY_LZ4		0x0004	/* compressed: has raw_len */
#define PGCACHE_ENTRY_ZSTD		0x0008	/* compressed: has raw_len */
#define PGCACHE_ENTRY_TTL		0x0010	/* has expires */
#define PGCACHE_ENTRY_SLIDING	0x0020	/* has slide and slide_cap (and
										 * expires) */
#define PGCACHE_ENTRY_PRIORITY	0x0040	/* has a priority other than 0 */
#define PGCACHE_ENTRY_TAGS		0x0080	/* has tags */
#define PGCACHE_ENTRY_DEPS		0x0400	/* has deps: numbers of stamps, and
										 * tables */
#define PGCACHE_ENTRY_WRITER	0x0800	/* has a writer */
#define PGCACHE_ENTRY_ASOF		0x1000	/* which is not a transaction but an
										 * asof */
#define PGCACHE_ENTRY_COMMITTED 0x2000	/* hint: the writer has committed */
#define PGCACHE_ENTRY_SETTLED	0x4000	/* hint: every snapshot sees the
										 * writer */
#define PGCACHE_ENTRY_EXACT		0x8000	/* the asof is that of the very
										 * snapshot that the data were read by */

/* Flags that are set on an entry that is linked. */
#define PGCACHE_ENTRY_HINTS		(PGCACHE_ENTRY_COMMITTED | PGCACHE_ENTRY_SETTLED)

/*
 * What an entry depends on: numbers of stamps, those of its tags first, then
 * those of its tables; after them the tables themselves.
 */
#define PGCACHE_MAX_TABLES		16
#define PGCACHE_MAX_STAMPS		(PGCACHE_MAX_TAGS + PGCACHE_MAX_TABLES)
#define PGCACHE_MAX_DEPS		(PGCACHE_MAX_STAMPS + PGCACHE_MAX_TABLES)

/* An entry's description, in memory of the caller's own. */
typedef struct PgCacheMeta
{
	uint64		version;		/* differs between all entries a key ever had */
	TimestampTz created;		/* to the millisecond */
	TimestampTz accessed;		/* to a second and to an eighth of its age */
	TimestampTz expires;		/* DT_NOEND without TTL */
	int64		slide;			/* microseconds; SLIDING only */
	TimestampTz slide_cap;		/* SLIDING only */
	uint64		seq;			/* publish number when the value was read */
	uint64		hits;			/* exact to 127, then an estimate; scans only */
	uint32		len;			/* bytes of the value as stored */
	uint32		raw_len;		/* bytes before compression */
	Oid			typid;			/* InvalidOid unless TYPED */
	uint32		fingerprint;
	int32		priority;
	uint16		flags;			/* PGCACHE_ENTRY_* */
	uint16		key_len;
	uint16		space;
	uint16		tags_len;
	uint8		ntags;
	uint8		nstamps;		/* deps: first so many stamps, */
	uint8		ntables;		/* then so many tables; DEPS only */
	uint64		writer;			/* 0 without WRITER */
} PgCacheMeta;

/* A found entry: its description, and where it was for pgcache_store_copy. */
typedef struct PgCacheRef
{
	PgCacheMeta meta;
	const PgCacheKey *key;
	struct PgCachePartition *part;
	struct PgCacheBucket *bucket;	/* first of its chain */
	struct PgCacheBucket *holder;	/* the one that holds the slot */
	int			slot;
	uint32		bucket_version; /* of *bucket when the entry was found */
	uint32		table_version;
	uint32		location;
	uint32		stamp;
	uint32		tags_offset;	/* from the entry's start */
	uint32		value_offset;
	uint32		inline_len;		/* bytes of the value that lie there */
	uint32		chain;			/* where it goes on */
	uint8		class;
	TimestampTz now;			/* if the clock was read */
	uint32		deps[PGCACHE_MAX_DEPS]; /* meta says how many are set */
} PgCacheRef;

/*
 * Finds the live entry of key; false where there is none.  An expired entry is
 * removed on the way if its lock is free.  key must stay valid as long as ref
 * is used.
 */
extern bool pgcache_store_find(PgCacheStore *store, const PgCacheKey *key,
							   PgCacheRef *ref);

/*
 * Copies the found value, ref->meta.len bytes, to dst.  False where the entry
 * was changed meanwhile: the caller frees dst and calls find again.
 */
extern bool pgcache_store_copy(PgCacheStore *store, PgCacheRef *ref, char *dst);

/*
 * As pgcache_store_copy for the tags, ref->meta.tags_len bytes: for each a byte
 * with its length, then its name.
 */
extern bool pgcache_store_copy_tags(PgCacheStore *store, PgCacheRef *ref, char *dst);

/* How often the found entry was hit: exact to 127, then an estimate. */
extern uint64 pgcache_store_hits(const PgCacheRef *ref);

/*
 * Notes that the found entry was used: for eviction, hits, last access, and the
 * expiry of a sliding one.  statement is the caller's statement start.
 */
extern void pgcache_store_hit(PgCacheStore *store, PgCacheRef *ref,
							  TimestampTz statement);

/* What a miss was, as far as marks of evicted and expired entries tell. */
typedef enum PgCacheGhostKind
{
	PGCACHE_GHOST_NONE,
	PGCACHE_GHOST_EVICTED,		/* a hit, had there been twice the memory */
	PGCACHE_GHOST_EXPIRED		/* a hit, perhaps, had the TTL been longer */
} PgCacheGhostKind;

/* One key in so many leaves marks, and may be asked for; it stands for as many. */
#define PGCACHE_GHOST_SAMPLE	16

static inline bool
pgcache_key_is_sampled(uint64 hash)
{
	return ((hash >> 32) & (PGCACHE_GHOST_SAMPLE - 1)) == 0;
}

/* Takes no lock. */
extern PgCacheGhostKind pgcache_store_ghost(PgCacheStore *store, const PgCacheKey *key);

/*
 * Begins to bring a key's bucket, then its entry, into the CPU's cache; for
 * many keys: all of the first, then all of the second, then find each.
 */
extern void pgcache_store_prefetch_bucket(PgCacheStore *store, const PgCacheKey *key);
extern void pgcache_store_prefetch_entry(PgCacheStore *store, const PgCacheKey *key);

/* ---- writing --------------------------------------------------------------- */

/* What the item's owner says when the item is about to be linked. */
typedef enum PgCacheAdmission
{
	PGCACHE_ADMIT,
	PGCACHE_REFUSE,				/* PGCACHE_STALE; what it would replace goes */
	PGCACHE_YIELD,				/* PGCACHE_STALE; what is there stays */
	PGCACHE_POSTPONE			/* PGCACHE_NOT_STORED; nothing changes */
} PgCacheAdmission;

/*
 * Asks it, under the partition's lock: must not allocate, raise errors, or take
 * locks.  Asked once in each hold of the lock, so in that in which the item is
 * linked, too; between answer and link only evictions happen to the partition.
 * present describes the live entry of the key, NULL if there is none.
 */
typedef PgCacheAdmission (*PgCacheAdmit) (void *arg, const PgCacheMeta *present);

/* What is to be stored; everything prepared by the caller. */
typedef struct PgCacheItem
{
	PgCacheKey	key;
	uint16		flags;			/* PGCACHE_ENTRY_* */
	uint8		ntags;
	uint16		tags_len;
	const char *tags;			/* each: a length byte, then the name */
	const char *value;
	uint32		len;
	uint32		raw_len;
	Oid			typid;
	uint32		fingerprint;
	int32		priority;
	TimestampTz created;
	TimestampTz expires;
	int64		slide;
	TimestampTz slide_cap;
	uint64		seq;			/* pgcache_store_seq() before the data were
								 * read, or were found to be still good */
	uint64		writer;			/* WRITER only */
	const uint32 *deps;			/* DEPS only: nstamps, then ntables numbers */
	uint8		nstamps;
	uint8		ntables;
	PgCacheAdmit admit;			/* NULL: always admitted */
	void	   *admit_arg;
	uint64	   *stored_version; /* unless NULL, set to the new entry's version
								 * if it was stored */
} PgCacheItem;

typedef enum PgCachePutMode
{
	PGCACHE_PUT_SET,			/* whatever is there */
	PGCACHE_PUT_ADD,			/* only where no live entry is */
	PGCACHE_PUT_REPLACE,		/* only where a live entry is */
	PGCACHE_PUT_CAS				/* only over the entry of that version */
} PgCachePutMode;

typedef enum PgCachePutResult
{
	PGCACHE_STORED,
	PGCACHE_NOT_STORED,			/* the mode's condition did not hold, or
								 * POSTPONE */
	PGCACHE_DROPPED,			/* no room; what it would replace is gone */
	PGCACHE_STALE				/* cleared since the value was read, or not
								 * admitted; likewise but for YIELD */
} PgCachePutResult;

/*
 * Stores an item.  Never fails for lack of room while something can be
 * evicted.  Takes the partition's lock, for a large value several times.
 */
extern PgCachePutResult pgcache_store_put(PgCacheStore *store,
										  const PgCacheItem *item,
										  PgCachePutMode mode, uint64 version);

/* Removes the entry of key; true where it was live. */
extern bool pgcache_store_delete(PgCacheStore *store, const PgCacheKey *key);

/* As pgcache_store_delete, but only an entry of that version. */
extern bool pgcache_store_delete_version(PgCacheStore *store,
										 const PgCacheKey *key, uint64 version);

/*
 * Gives the live entry of key a new expiry (DT_NOEND: none) and, where slide
 * is not 0, sliding; true where there is one.  version 0: whichever is there.
 */
extern bool pgcache_store_touch(PgCacheStore *store, const PgCacheKey *key,
								uint64 version, TimestampTz expires,
								int64 slide, TimestampTz slide_cap);

/*
 * Sets hints (PGCACHE_ENTRY_HINTS) on the entry of key if it is of that version;
 * not if its lock is busy and wait is false.
 */
extern void pgcache_store_hint(PgCacheStore *store, const PgCacheKey *key,
							   uint64 version, uint16 hints, bool wait);

/* ---- namespaces ------------------------------------------------------------ */

/* The present publish number; an item's data must be read after it. */
extern uint64 pgcache_store_seq(PgCacheStore *store);

/* Takes a publish number, the one before the new present one; a full barrier. */
extern uint64 pgcache_store_publish(PgCacheStore *store);

/* All entries of the namespace are dead from now on; takes no partition's lock. */
extern void pgcache_store_clear(PgCacheStore *store, uint16 space);

/*
 * The same for those whose seq is not higher than a publish number.  Usage may
 * count them, where newer ones are about, until they are found.
 */
extern void pgcache_store_clear_to(PgCacheStore *store, uint16 space, uint64 number);

/*
 * Entries may have died otherwise (see config.is_dead), of what was published
 * before: partitions look for them, some buckets at a time and each bucket once,
 * before they next evict what is live.
 */
extern void pgcache_store_note_dead(PgCacheStore *store);

/*
 * Sets the namespace's quotas (bytes of memory, entries; 0: none).  Takes each
 * partition's lock in turn if something changes.
 */
extern void pgcache_store_set_quota(PgCacheStore *store, uint16 space,
									int64 min_bytes, int64 max_bytes,
									int64 max_entries);

typedef struct PgCacheUsage
{
	int64		entries;		/* live, or expired and not yet found so */
	int64		key_bytes;
	int64		bytes;			/* of values before compression */
	int64		stored_bytes;	/* of values as stored */
	int64		memory;			/* of their blocks, all overhead but the index */
	int64		evictions;
	int64		background_evictions;	/* of these: see
										 * pgcache_store_evict_ahead */
	int64		expirations;
} PgCacheUsage;

extern void pgcache_store_usage(PgCacheStore *store, uint16 space, PgCacheUsage *usage);

/* Sets what is counted back to zero; takes each partition's lock. */
extern void pgcache_store_reset_usage(PgCacheStore *store, uint16 space);

/* A slot's next user starts from zero. */
extern void pgcache_store_forget_space(PgCacheStore *store, uint16 space);

typedef struct PgCacheMemory
{
	int64		used;			/* blocks in use, and the index's regions */
	int64		index;			/* of these, the index's regions */
	int64		live;			/* blocks of live entries */
	int64		buckets;		/* the index's buckets in use */
	int64		entries;		/* live ones, with their */
	int64		key_bytes;
	int64		stored_bytes;
} PgCacheMemory;

extern void pgcache_store_memory(PgCacheStore *store, PgCacheMemory *memory);

/* ---- upkeep ----------------------------------------------------------------- */

/*
 * What a background process does from time to time.  Nothing depends on its being
 * done: puts make room for themselves.  Each function holds a lock for a bounded
 * number of steps, and returns whether there is more to do, so that the caller
 * can serve interrupts in between.
 */

/* A sweep over one partition; the caller looks at removed. */
typedef struct PgCacheSweep
{
	int			partition;
	TimestampTz now;
	int64		removed;		/* entries, so far */
	int			vain;			/* holds in which there were none, of late */
} PgCacheSweep;

/* Removes expired and dead entries of one partition. */
extern void pgcache_store_sweep_begin(PgCacheStore *store, PgCacheSweep *sweep,
									  int partition);
extern bool pgcache_store_sweep_step(PgCacheStore *store, PgCacheSweep *sweep);

/*
 * While hardly a region is free, evicts from a partition until puts there find
 * holes: about 1 % of it.
 */
extern bool pgcache_store_evict_ahead(PgCacheStore *store, int partition);

/*
 * How many entries were ever evicted for want of room, by those who needed it, and
 * ahead of need.
 */
extern void pgcache_store_evicted(PgCacheStore *store, uint64 *at_need, uint64 *ahead);

/* While more memory is in use than the limit allows, gives a region back. */
extern bool pgcache_store_shrink(PgCacheStore *store);

/*
 * Lets memory follow use between namespaces without quotas, one step; adapt is the
 * caller's, all zero at first.  gets tells how often a namespace was ever asked.
 */
typedef struct PgCacheAdapt
{
	struct PgCacheAdaptSpace *spaces;	/* from malloc */
} PgCacheAdapt;

extern void pgcache_store_adapt(PgCacheStore *store, PgCacheAdapt *adapt,
								uint64 (*gets) (uint16 space));

/* All namespaces are alike again, whoever adapted; nothing to do if they are. */
extern void pgcache_store_adapt_no_more(PgCacheStore *store, PgCacheAdapt *adapt);

/*
 * Gives the memory of a region that has been free for some seconds back to
 * the operating system, where that can be done.  True if there may be another.
 */
extern bool pgcache_store_release(PgCacheStore *store);

/* ---- scanning --------------------------------------------------------------- */

/*
 * Copies the descriptions and keys of all live entries of a partition into buf:
 * for each a PgCacheScanned, then its key, then its tags, the whole rounded up
 * to 8 bytes.  Returns the bytes needed; if that is more than size, buf is not
 * complete and the caller tries again with a larger one.
 */
typedef struct PgCacheScanned
{
	PgCacheMeta meta;
	uint32		size;			/* of the whole record */
	uint32		deps[PGCACHE_MAX_DEPS];
} PgCacheScanned;

extern Size pgcache_store_scan(PgCacheStore *store, int partition,
							   char *buf, Size size);

/*
 * Verifies every structure.  Calls report, with no lock held, for each fault;
 * returns the number of faults.
 */
extern int	pgcache_store_check(PgCacheStore *store,
								void (*report) (void *arg, const char *fault),
								void *arg);

#endif							/* PGCACHE_STORE_STORE_H */
