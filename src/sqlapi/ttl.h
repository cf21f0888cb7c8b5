/*-------------------------------------------------------------------------
 *
 * ttl.h
 *	  From TTL, namespace and settings to the time at which an entry expires.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_SQLAPI_TTL_H
#define PGCACHE_SQLAPI_TTL_H

#include "space/space.h"
#include "store/store.h"

/* What decides how long entries of one call live. */
typedef struct PgCacheTtl
{
	int64		usec;			/* 0: they do not expire */
	int64		max_usec;		/* 0: sliding may go on for ever */
	double		jitter;			/* the share of usec that chance may take */
	bool		sliding;
} PgCacheTtl;

/* When an entry expires; the fields of PgCacheItem of the same names. */
typedef struct PgCacheLife
{
	TimestampTz expires;		/* DT_NOEND: never */
	int64		slide;			/* 0: does not slide */
	TimestampTz slide_cap;
} PgCacheLife;

/*
 * The rule for entries of a namespace: the given TTL in microseconds, or if
 * that is 0 the namespace's default, or else the server's; at most the lower
 * of both maxima, which entries without any TTL get as theirs.
 */
extern void pgcache_ttl_rule(PgCacheTtl *ttl, const PgCacheSpace *space,
							 int64 given);

/*
 * The life, from now on, of an entry created at some time.  Each call draws the
 * jitter anew.
 */
extern void pgcache_ttl_life(const PgCacheTtl *ttl, TimestampTz now,
							 TimestampTz created, PgCacheLife *life);

/* Starts the life of an item, and sets when it was created. */
extern void pgcache_ttl_start(const PgCacheTtl *ttl, PgCacheItem *item);

#endif							/* PGCACHE_SQLAPI_TTL_H */
