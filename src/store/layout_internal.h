/*-------------------------------------------------------------------------
 *
 * layout_internal.h
 *	  Layout of the store in shared memory, for the files of this room.
 *
 * README.md beside this file draws it.
 *
 * Locking: everything of a partition (heap, index, queues, usage, its regions)
 * is changed under its LWLock, held exclusively.  Without any lock, readers
 * look at table, the directory, buckets and blocks, and check versions
 * afterwards (read.c).  The pool of free regions has a lock of its own, taken
 * last; nobody holds two partitions' locks.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_STORE_LAYOUT_INTERNAL_H
#define PGCACHE_STORE_LAYOUT_INTERNAL_H

#include "port/pg_bitutils.h"

#include "store/store.h"

/*
 * A place in the memory, in granules from its base; 0 is nowhere.  A granule
 * is 8 bytes, or more where the memory is larger than 32 GiB.
 */
typedef uint32 PgCacheOffset;

#define MIN_GRANULE_SHIFT	3

#define MAX_PARTITIONS		128

/* ---- blocks: heap.c ------------------------------------------------------- */

/*
 * The first word of every block: its size in granules, what it is, and whether
 * it and the block before it in memory are free.
 */
#define BLOCK_SIZE_MASK		0x000FFFFFU
#define BLOCK_FREE			0x00100000U
#define BLOCK_PREV_FREE		0x00200000U
#define BLOCK_KIND_MASK		0x03000000U
#define BLOCK_ENTRY			0x00000000U
#define BLOCK_EXTENT		0x01000000U
#define BLOCK_BUSY			0x02000000U /* being built, linked nowhere yet */
#define BLOCK_END			0x03000000U /* a region's end, of no size */

#define BLOCK_SIZE(word)	((word) & BLOCK_SIZE_MASK)
#define BLOCK_KIND(word)	((word) & BLOCK_KIND_MASK)

/* The smallest block: word, two links, and the size again at the end. */
#define MIN_BLOCK_BYTES		16

/* Blocks of values are not larger than this, nor cut below the second. */
#define MAX_BLOCK_BYTES		8192
#define MIN_CUT_BYTES		1024

typedef struct FreeBlock
{
	uint32		block;
	PgCacheOffset next;
	PgCacheOffset prev;
	/* the last word of the block repeats its size */
} FreeBlock;

/*
 * Two levels of free lists: by power of two, then by sixteenths of it
 * (Masmano, Ripoll, Crespo, Real: "TLSF: a new dynamic memory allocator for
 * real-time systems", ECRTS 2004).
 */
#define HEAP_SL_BITS		4
#define HEAP_SL				(1 << HEAP_SL_BITS)
#define HEAP_FL				18

typedef struct PgCacheHeap
{
	uint32		fl_bitmap;
	uint16		sl_bitmap[HEAP_FL];
	PgCacheOffset head[HEAP_FL][HEAP_SL];
	int64		used;			/* granules in blocks that are not free */
	int64		free[HEAP_FL];	/* and in free ones of each power of two */
	PgCacheOffset spare;		/* a busy block kept for the next of its size */
} PgCacheHeap;

/* ---- regions: pool.c ------------------------------------------------------ */

/* What a region serves for. */
typedef enum PgCacheRegionKind
{
	REGION_FREE = 0,			/* in the pool */
	REGION_HEAP,				/* blocks */
	REGION_INDEX,				/* a segment of buckets */
	REGION_OVERFLOW				/* overflow buckets */
} PgCacheRegionKind;

#define NO_REGION	PG_UINT32_MAX

typedef struct PgCacheRegion
{
	uint32		prev;			/* region numbers, in the owner's list, */
	uint32		next;			/* or in one of the pool's */
	uint32		used;			/* granules in use; heap regions only; if
								 * free, the pool's second at that time */
	uint32		busy;			/* blocks under construction */
	uint16		owner;			/* partition */
	uint8		kind;			/* a PgCacheRegionKind */
	bool		draining;		/* its free blocks are in no list */
} PgCacheRegion;

typedef struct PgCachePool
{
	uint32		free;			/* first of the list of regions given back, */
	uint32		oldest;			/* and last */
	uint32		hollow;			/* list of those whose memory the system has */
	uint32		punched;		/* regions in no list while it gets it */
	uint32		fresh;			/* regions from here on were never used */
	uint32		second;			/* the time, as of the last upkeep */
	pg_atomic_uint32 in_use;	/* read without the lock, too */
} PgCachePool;

/* ---- entries: entry.c ----------------------------------------------------- */

/*
 * An entry: this header, the key, optional fields by flag, numbers of what it
 * depends on, tags, the value or its first part.  Never changed once it is
 * linked, but for queue links, stamp, accessed, class, the MAIN flag and public
 * hints, which readers take for hints, and for expires, slide, slide_cap and
 * chain, whose change moves the bucket's version.
 */
typedef struct PgCacheEntry
{
	uint32		block;			/* the heap's word */
	uint32		len;			/* bytes of the value as stored */
	PgCacheOffset prev;			/* towards the queue's head */
	PgCacheOffset next;			/* towards its tail */
	uint32		stamp;			/* the queue's clock when it was last at the
								 * head */
	uint32		accessed;		/* seconds since the store was made */
	uint64		version:48;
	uint64		flags:16;		/* PGCACHE_ENTRY_* */
	uint64		created:40;		/* milliseconds since the store was made */
	uint64		class:8;		/* in the partition's table of classes */
	uint64		space:16;
	uint64		seq:48;			/* publish number before the value was read */
	uint64		key_len:16;
	char		key[FLEXIBLE_ARRAY_MEMBER];
} PgCacheEntry;

#define ENTRY_HEADER_BYTES	offsetof(PgCacheEntry, key)

/* Flags of the store's own, beside the public ones. */
#define ENTRY_CHAINED	0x0100	/* the value goes on in extents */
#define ENTRY_MAIN		0x0200	/* in the main queue (S3-FIFO) */

/* Flags that have optional fields. */
#define ENTRY_FIELDS \
	(PGCACHE_ENTRY_TYPED | PGCACHE_ENTRY_LZ4 | PGCACHE_ENTRY_ZSTD | \
	 PGCACHE_ENTRY_TTL | PGCACHE_ENTRY_SLIDING | PGCACHE_ENTRY_PRIORITY | \
	 PGCACHE_ENTRY_TAGS | PGCACHE_ENTRY_DEPS | PGCACHE_ENTRY_WRITER | \
	 ENTRY_CHAINED)

/* The optional fields, unpacked. */
typedef struct EntryFields
{
	TimestampTz expires;
	uint64		writer;
	int64		slide;
	TimestampTz slide_cap;
	Oid			typid;
	uint32		fingerprint;
	uint32		raw_len;
	int32		priority;
	PgCacheOffset chain;		/* first extent */
	uint32		inline_len;		/* bytes of the value in the entry's block */
	uint16		tags_len;
	uint8		ntags;
	uint8		nstamps;
	uint8		ntables;
	uint16		size;			/* of the packed form; neither deps nor tags */
} EntryFields;

/* Bytes of the longest packed form without the deps and tags themselves. */
#define ENTRY_MAX_FIELDS	64

/* A further part of a value. */
typedef struct PgCacheExtent
{
	uint32		block;
	PgCacheOffset next;			/* extent, or 0 */
	PgCacheOffset prev;			/* extent, or the entry for the first */
	PgCacheOffset owner;		/* the entry */
	uint32		len;			/* bytes of data */
	char		data[FLEXIBLE_ARRAY_MEMBER];
} PgCacheExtent;

#define EXTENT_HEADER_BYTES	offsetof(PgCacheExtent, data)

/* ---- index: index.c ------------------------------------------------------- */

#define BUCKET_SLOTS	6
#define BUCKET_BYTES	64

/*
 * A cache line of the index.  version is odd while a writer changes the chain;
 * only the one of a chain's first bucket counts.  Free slots have location 0;
 * used ones come first, in the chain as a whole.
 *
 * use is what readers write, without a lock: for each slot eight bits of hits,
 * exact to 127, then logarithmic (read.c), and two bits for the policy.  They do
 * so by compare-and-swap of the whole word, which bears a mark while the memory
 * is a bucket, so that a late reader does not write into what a former bucket
 * has become, but by a chance of one in 2^64.
 */
typedef struct PgCacheBucket
{
	pg_atomic_uint32 version;
	PgCacheOffset next;			/* overflow bucket */
	pg_atomic_uint64 use;
	uint16		tag[BUCKET_SLOTS];
	uint16		expiry[BUCKET_SLOTS];	/* coarse, see expiry.c */
	PgCacheOffset location[BUCKET_SLOTS];
} PgCacheBucket;

#define USE_MARK			(UINT64CONST(0xB) << 60)
#define USE_IS_MARKED(use)	(((use) >> 60) == 0xB)
#define USE_HITS(use, i)	((uint8) ((use) >> (8 * (i))))
#define USE_ONE_HIT(i)		(UINT64CONST(1) << (8 * (i)))
#define USE_FREQ(use, i)	((int) ((use) >> (48 + 2 * (i))) & 3)
#define USE_ONE_FREQ(i)		(UINT64CONST(1) << (48 + 2 * (i)))
#define USE_SLOT_MASK(i)	(USE_ONE_HIT(i) * 0xFF | USE_ONE_FREQ(i) * 3)

StaticAssertDecl(sizeof(PgCacheBucket) == BUCKET_BYTES,
				 "a bucket is a cache line");

/* Split when there are more entries than this per bucket, merge when fewer. */
#define SPLIT_LOAD		5
#define MERGE_LOAD		2
#define MIN_BUCKETS		16

/* Buckets by which the segments of one partition are set off from the last's. */
#define BUCKET_COLOUR	MIN_BUCKETS

/* Where an entry's slot is.  Good while the partition's lock is held. */
typedef struct PgCacheSlot
{
	PgCacheBucket *first;		/* of the chain */
	PgCacheBucket *bucket;		/* that holds the slot */
	int			slot;
} PgCacheSlot;

/* ---- queues: class.c, policy_*.c ------------------------------------------ */

typedef struct PgCacheQueue
{
	PgCacheOffset head;			/* newest */
	PgCacheOffset tail;			/* oldest */
	uint32		count;
	uint64		granules;		/* of the entries' blocks */
} PgCacheQueue;

/*
 * Entries that compete with each other: those of one priority, and of one
 * namespace if it has quotas.
 */
typedef struct PgCacheClass
{
	int32		priority;
	int32		space;			/* or -1: all without quotas */
	PgCacheQueue queue[2];		/* S3-FIFO: small, main; LRU: the first */
} PgCacheClass;

#define MAX_CLASSES			255
#define MAX_SHARED_CLASSES	31	/* of these for entries without quotas */
#define MAX_OWN_CLASSES		8	/* and for those of one namespace */
#define QUEUE_SMALL		0
#define QUEUE_MAIN		1

/* Keys lately evicted from the small queue; a set of four is a table row. */
typedef struct PgCacheGhost
{
	uint32		fingerprint;
	uint32		time;
} PgCacheGhost;

#define GHOST_WAYS		4

/* Marks of evicted and expired entries (ghost.c): in a row, */
#define PGCACHE_MARK_WAYS		8

/* and the epochs of which it is known what they stand for. */
#define PGCACHE_GHOST_EPOCHS	128

/* ---- partitions and the whole --------------------------------------------- */

/* What a namespace has in one partition. */
typedef struct PgCachePartitionUsage
{
	uint64		clear_seq;		/* entries of a lower seq are in ndead, */
	uint64		heeded;			/* as the clear that was seen last allowed */
	uint64		newest;			/* no counted entry has a higher seq */
	int64		entries;
	int64		key_bytes;
	int64		bytes;
	int64		stored_bytes;
	int64		memory;
	int64		evictions;
	int64		background_evictions;	/* of these */
	int64		evicted_bytes;	/* of memory, ever */
	int64		expirations;
} PgCachePartitionUsage;

/* What all processes know of a namespace. */
typedef struct PgCacheStoreSpace
{
	pg_atomic_uint64 clear_seq; /* entries of a lower seq are dead */
	pg_atomic_uint32 clock;		/* stamps of its entries if it has quotas */
	bool		has_quota;		/* these four: by set_quota only */
	int64		min_bytes;
	int64		max_bytes;
	int64		max_entries;
} PgCacheStoreSpace;

/*
 * And what misses and evictions write or ask; not beside the above, a line of
 * which each hit reads.
 */
typedef struct PgCacheStoreShare
{
	pg_atomic_uint64 ghost_hits;	/* of the sample; see adapt.c */
	pg_atomic_uint64 protected; /* bytes that others' puts do not evict */
	pg_atomic_uint32 users;		/* namespaces that had the slot before */
} PgCacheStoreShare;

/* Segments of the index whose places are beside the table's state. */
#define NEAR_SEGMENTS	12

typedef struct PgCachePartition
{
	/* What readers need, on a line that changes with the index's size only. */
	pg_atomic_uint64 table;		/* version << 32 | number of buckets */
	uint16		number;
	bool		ordered;		/* memory is short, so the queues' order
								 * counts */
	PgCacheOffset segments[NEAR_SEGMENTS];	/* the rest is in the directory */
	char		pad0[PG_CACHE_LINE_SIZE - 12 - NEAR_SEGMENTS * sizeof(PgCacheOffset)];

	/* What readers take for hints. */
	uint32		clock;			/* stamps given */
	uint32		nentries;
	char		pad1[PG_CACHE_LINE_SIZE - 8];

	/* The lock's holder only. */
	uint64		version;		/* last given to an entry */
	int64		ndead;			/* entries known to be dead, by a clear */
	uint64		clears;			/* those that ndead is as of, at least */
	int64		nttl;			/* entries with a TTL */
	TimestampTz next_expiry;	/* none of them expires before */
	uint32		expiry_hand;	/* bucket at which expired ones are sought
								 * next */
	bool		round_at_far;	/* this round looks at far ones, at all */
	bool		round_at_all;
	TimestampTz round_next;		/* what next_expiry will be after this round */
	int64		round_second;	/* when the round began */
	int64		swept;			/* when the last whole round began */
	int64		far_checked;	/* and the last that looked at far ones */
	uint32		sweep_hand;		/* bucket at which dead ones are sought next */
	uint32		dead_left;		/* buckets from there that may have others
								 * than those in ndead */
	uint32		dead_looks;		/* of these looked at before the policy is
								 * asked */
	uint64		deaths;			/* those that dead_left is as of, at least */
	int64		ndeps;			/* entries with deps */
	uint32		heap_regions;	/* list of heap regions */
	uint32		nheap_regions;
	uint32		nindex_regions; /* with those of overflow buckets */
	bool		evacuating;		/* keeps regions that become empty, */
	uint32		nemptied;		/* and counts them */
	uint32		overflow_regions;	/* list */
	PgCacheOffset overflow_free;	/* list of overflow buckets */
	uint32		overflow_fresh; /* unused ones at the end of the first region */
	uint32		overflow_used;
	uint32		ghost_clock;
	uint32		epoch;			/* of marks; see ghost.c */
	int64		epoch_filled;	/* granules gone in it */
	int64		marked[PGCACHE_GHOST_EPOCHS];	/* what marks stand for */
	PgCacheOffset cursor;		/* in that class: behind it, towards the tail,
								 * all was protected; 0: all */
	int			cursor_class;
	uint32		cursor_round;	/* of the protection that it is as of */
	uint64		evicted;		/* by who needed the room */
	uint64		evicted_ahead;
	int			nclasses;
	PgCacheHeap heap;
	PgCacheClass classes[MAX_CLASSES];	/* last: mostly the first ones are
										 * used */
} PgCachePartition;

typedef struct PgCachePolicy
{
	/* Links an entry into a queue of its class, at the head. */
	void		(*insert) (PgCacheStore *store, PgCachePartition *part,
						   PgCacheOffset entry, uint64 hash);
	/* The entry of the class that goes next; 0 if the class is empty. */
	PgCacheOffset (*victim) (PgCacheStore *store, PgCachePartition *part,
							 PgCacheClass *class);
	/* An entry is evicted; it is still linked. */
	void		(*evicted) (PgCacheStore *store, PgCachePartition *part,
							PgCacheOffset entry, uint64 hash);
	/* Whether a hit moves the entry: LRU only. */
	bool		bumps;
} PgCachePolicy;

extern const PgCachePolicy pgcache_policy_lru;
extern const PgCachePolicy pgcache_policy_s3fifo;

/* The head of the memory; partitions and arrays follow it. */
typedef struct PgCacheSharedStore
{
	uint64		seed[2];
	TimestampTz epoch;			/* when it was made, whole seconds */
	pg_atomic_uint64 seq;		/* publish number */
	pg_atomic_uint64 clears;	/* of namespaces, ever */
	pg_atomic_uint64 deaths;	/* calls of pgcache_store_note_dead */
	pg_atomic_uint32 protection;	/* changes of what namespaces have
									 * protected; 0: none has anything */
	PgCachePool pool;
} PgCacheSharedStore;

/* A process's view: addresses and sizes, all constant. */
struct PgCacheStore
{
	PgCacheStoreTuning tuning;

	char	   *base;			/* address of offset 0, which is not used */
	int			shift;			/* of a granule */
	int			part_bits;
	int			seg_shift;		/* of the buckets of a segment */
	uint32		end;			/* first offset behind the memory */

	PgCacheSharedStore *shared;
	PgCachePartition *parts;
	PgCacheOffset *directory;	/* further segments, max_segments a partition */
	PgCacheStoreSpace *spaces;
	PgCacheStoreShare *shares;
	const PgCachePolicy *policy;
	TimestampTz (*now) (void);
	bool		(*is_dead) (uint64 seq, const uint32 *stamps, int nstamps);

	int			nparts;
	uint32		max_segments;
	uint32		nregions;
	uint32		region_bytes;
	uint32		region_granules;
	int			region_shift;	/* of a region in granules */
	int			max_spaces;
	PgCacheRegion *regions;
	PgCachePartitionUsage *usage;	/* of a space: one for each partition */
	PgCacheGhost *ghosts;		/* ghost_sets rows a partition, or NULL */
	uint32		ghost_sets;
	pg_atomic_uint64 *marks;	/* mark_sets rows a partition */
	uint32		mark_sets;
	LWLockPadded *locks;		/* one a partition, then the pool's */
	bool		keeps_memory;	/* the system does not take it back */
};

/* The queue that an entry is in. */
static inline PgCacheQueue *
queue_of(PgCachePartition *part, const PgCacheEntry *entry)
{
	return &part->classes[entry->class].queue
		[(entry->flags & ENTRY_MAIN) ? QUEUE_MAIN : QUEUE_SMALL];
}

/* ---- addresses ------------------------------------------------------------ */

static inline void *
at(const PgCacheStore *store, PgCacheOffset offset)
{
	return store->base + ((uint64) offset << store->shift);
}

static inline PgCacheOffset
offset_of(const PgCacheStore *store, const void *address)
{
	return (PgCacheOffset) ((uint64) ((const char *) address - store->base) >> store->shift);
}

static inline uint32
to_granules(const PgCacheStore *store, Size bytes)
{
	return (uint32) ((bytes + ((Size) 1 << store->shift) - 1) >> store->shift);
}

/* Regions start behind the unused granules that offset 0 stands for. */
#define FIRST_OFFSET(store)	((PgCacheOffset) (PG_CACHE_LINE_SIZE >> (store)->shift))

static inline PgCacheOffset
region_start(const PgCacheStore *store, uint32 region)
{
	return FIRST_OFFSET(store) + (region << store->region_shift);
}

static inline uint32
region_of(const PgCacheStore *store, PgCacheOffset offset)
{
	return (offset - FIRST_OFFSET(store)) >> store->region_shift;
}

static inline PgCachePartition *
partition_of(const PgCacheStore *store, uint64 hash)
{
	return &store->parts[(hash >> 32) >> (32 - store->part_bits)];
}

static inline LWLock *
lock_of(const PgCacheStore *store, const PgCachePartition *part)
{
	return &store->locks[part->number].lock;
}

static inline LWLock *
pool_lock(const PgCacheStore *store)
{
	return &store->locks[store->nparts].lock;
}

static inline PgCachePartitionUsage *
usage_of(const PgCacheStore *store, int space, const PgCachePartition *part)
{
	return &store->usage[(Size) space * store->nparts + part->number];
}

/* Seconds of the store at a time; before its making counts as 0. */
static inline uint32
seconds_of(const PgCacheStore *store, TimestampTz t)
{
	return t <= store->shared->epoch ? 0 :
		(uint32) ((t - store->shared->epoch) / USECS_PER_SEC);
}

#endif							/* PGCACHE_STORE_LAYOUT_INTERNAL_H */
