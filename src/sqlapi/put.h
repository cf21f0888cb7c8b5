/*-------------------------------------------------------------------------
 *
 * put.h
 *	  What the functions that store have in common.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_SQLAPI_PUT_H
#define PGCACHE_SQLAPI_PUT_H

#include "sqlapi/args.h"
#include "sqlapi/ttl.h"
#include "txn/txn.h"

/*
 * A put being prepared.  Keeps what is needed of the namespace, because
 * flattening a value can run user code, after which the namespace may be gone.
 */
typedef struct PgCachePut
{
	PgCacheItem item;			/* item.key.space is the namespace's slot */
	PgCacheIncarnation incarnation;
	bool		now;			/* not at commit */
	PgCacheCompression compression;
	int			threshold;
	PgCacheTtl	ttl;
	char		tags[PGCACHE_MAX_TAGS_LEN];
	uint32		deps[PGCACHE_MAX_DEPS]; /* for puts that act at once */
} PgCachePut;

/*
 * Begins a put with the arguments of these numbers; tags_arg may be -1 for a
 * function without tags.  The role must be allowed to write.
 */
extern void pgcache_put_begin(PgCachePut *put, FunctionCallInfo fcinfo,
							  int ttl_arg, int tags_arg, int space_arg);

static inline void
pgcache_put_key(PgCachePut *put, text *key)
{
	pgcache_args_key(&put->item.key, put->item.key.space, put->incarnation, key);
	pgcache_store_prefetch_bucket(pgcache_store, &put->item.key);
}

/*
 * Flattens the value; allocates in the current memory context.  The item then
 * has all that pgcache_txn_put wants but a life: pgcache_ttl_start.
 */
extern void pgcache_put_value(PgCachePut *put, Datum datum, bool isnull,
							  Oid typid);

#endif							/* PGCACHE_SQLAPI_PUT_H */
