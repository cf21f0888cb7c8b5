/*-------------------------------------------------------------------------
 *
 * lookup.h
 *	  A key in a namespace that the caller may use, and its entry's value.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_SQLAPI_LOOKUP_H
#define PGCACHE_SQLAPI_LOOKUP_H

#include "sqlapi/args.h"
#include "txn/txn.h"
#include "value/value.h"

/*
 * Keeps what is needed of the namespace, because the namespace itself may be
 * gone once user code ran.
 */
typedef struct PgCacheLookup
{
	PgCacheKey	key;			/* key.space is the namespace's slot */
	PgCacheIncarnation incarnation;
} PgCacheLookup;

/* Flags of entries whose bytes are not those of a text. */
#define PGCACHE_NOT_PLAIN \
	(PGCACHE_ENTRY_NULL | PGCACHE_ENTRY_TYPED | \
	 PGCACHE_ENTRY_LZ4 | PGCACHE_ENTRY_ZSTD)

static pg_attribute_always_inline void
pgcache_lookup_begin(PgCacheLookup *lookup, text *key, text *name, int need)
{
	PgCacheSpace *space = pgcache_args_space(name, need);

	pgcache_args_key(&lookup->key, space->slot, space->incarnation, key);
	lookup->incarnation = space->incarnation;
}

static inline void
pgcache_lookup_count(const PgCacheLookup *lookup, PgCacheCounter counter,
					 uint64 n)
{
	pgcache_count(lookup->key.space, lookup->incarnation, counter, n);
}

/*
 * An entry found: one in the store, or what the own transaction put and has not
 * committed, of which ref has the description only.
 */
typedef struct PgCacheFound
{
	PgCacheRef	ref;
	const PgCacheItem *own;		/* NULL: it is in the store; else valid until
								 * the transaction's next change */
} PgCacheFound;

/*
 * Notes and counts a hit of an entry in the store.  statement is the caller's
 * statement start.  How far an entry must have sunk to be moved is a setting of
 * this session.
 */
static inline void
pgcache_lookup_hit(const PgCacheLookup *lookup, PgCacheRef *ref,
				   TimestampTz statement)
{
	pgcache_tuning->lru_bump = pgcache_lru_bump;
	pgcache_store_hit(pgcache_store, ref, statement);
	pgcache_lookup_count(lookup, PGCACHE_HITS, 1);
}

/*
 * Asks what a miss was, of a key that is one of the sample, and counts that for all
 * keys that it stands for.
 */
extern void pgcache_lookup_ghost(const PgCacheKey *key, PgCacheIncarnation incarnation);

/* Counts a miss. */
static inline void
pgcache_lookup_miss(const PgCacheLookup *lookup)
{
	pgcache_lookup_count(lookup, PGCACHE_MISSES, 1);
	if (unlikely(pgcache_key_is_sampled(lookup->key.hash)))
		pgcache_lookup_ghost(&lookup->key, lookup->incarnation);
}

/*
 * Finds the entry of key that the caller is to see: the own transaction's, or
 * the one in the store if the snapshot sees it and nothing invalidated it.  Not
 * if its value's type was altered or dropped.  Counts nothing.
 */
extern bool pgcache_lookup_find(const PgCacheKey *key, PgCacheFound *found);

/*
 * The entry of key in its latest committed state, for those who decide by that
 * and act at once (see pgcache_txn_latest).  One that is dead, or whose value's
 * type was altered or dropped, is removed, so that the store holds it for absent
 * as well.
 */
extern bool pgcache_lookup_latest(const PgCacheKey *key, PgCacheRef *ref,
								  const char *function);

/* Describes a found entry's value, the bytes of which are at data. */
extern void pgcache_lookup_describe(const PgCacheMeta *meta, const char *data,
									PgCacheValue *value);

/*
 * As pgcache_lookup_find, and copies the value into palloc'd memory.
 */
extern bool pgcache_lookup_value(const PgCacheKey *key, PgCacheFound *found,
								 PgCacheValue *value);

/*
 * The same for an entry in the store that is found already; false where it
 * changed meanwhile.
 */
extern bool pgcache_lookup_copy(PgCacheRef *ref, PgCacheValue *value);

/*
 * As pgcache_lookup_value for the tags, as the store has them: NULL where there
 * are none.
 */
extern bool pgcache_lookup_tags(const PgCacheKey *key, PgCacheFound *found,
								char **tags);

#endif							/* PGCACHE_SQLAPI_LOOKUP_H */
