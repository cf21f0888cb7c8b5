/*-------------------------------------------------------------------------
 *
 * predicate.h
 *	  Invalidations of all that matches, for the puts that are under way.
 *
 * Who invalidates a pattern publishes it here, then deletes what matches from
 * the store.  A put whose data were read before tests its key and tags against
 * the predicates that its snapshot doesn't see.  The list is a ring: when one
 * falls out, puts that may not have seen it are stale, whatever their key.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_STAMP_PREDICATE_H
#define PGCACHE_STAMP_PREDICATE_H

#include "stamp/rules.h"

typedef enum PgCachePredicateKind
{
	PGCACHE_MATCH_KEY,			/* LIKE pattern on the key */
	PGCACHE_MATCH_TAG,			/* LIKE pattern on one of the tags */
	PGCACHE_MATCH_ALL_TAGS,		/* has all of these tags */
	PGCACHE_MATCH_SPACE			/* everything in the namespace */
} PgCachePredicateKind;

#define PGCACHE_MAX_PREDICATE	208 /* bytes of its text */

typedef struct PgCachePredicate
{
	PgCachePublish publish;
	PgCachePredicateKind kind;
	uint16		space;
	uint16		len;
	char		what[PGCACHE_MAX_PREDICATE];	/* pattern, or tags as the
												 * store has them */
} PgCachePredicate;

/*
 * Publishes one (writer and kind of publish as for stamps).  A text that is too
 * long becomes PGCACHE_MATCH_SPACE.  Fails no more than pgcache_stamp_publish.
 */
extern void pgcache_predicate_publish(PgCachePredicateKind kind, uint16 space,
									  const char *text, int len,
									  uint64 writer, int publish_kind);

/* Number of predicates ever published; without a lock. */
extern uint64 pgcache_predicate_count(void);

/*
 * Whether an item of that key and tags is made stale by a predicate.  *count is
 * the number that it took into account: if pgcache_predicate_count is another
 * when the item is linked, ask again.  May raise errors and allocate.
 */
extern bool pgcache_predicate_stale(uint16 space, const char *key, int key_len,
									const char *tags, int ntags,
									const PgCacheBound *bound, uint64 *count);

/*
 * A transaction other than own that is still running, or prepared, and published a
 * predicate that matches the key; 0 if there is none.  May raise errors.
 */
extern uint64 pgcache_predicate_running(uint16 space, const char *key,
										int key_len, uint64 own);

/* Whether key and tags match a predicate's text.  May raise errors. */
extern bool pgcache_predicate_matches(PgCachePredicateKind kind,
									  const char *text, int len,
									  const char *key, int key_len,
									  const char *tags, int ntags);

/* Registers the part of shared memory. */
extern void pgcache_predicate_register(void);

#endif							/* PGCACHE_STAMP_PREDICATE_H */
