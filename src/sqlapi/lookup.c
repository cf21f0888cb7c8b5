/*-------------------------------------------------------------------------
 *
 * lookup.c
 *	  A key in a namespace that the caller may use, and its entry's value.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/clock.h"
#include "shmem/debug_point.h"
#include "sqlapi/lookup.h"

/*
 * Describes a put of the own transaction as an entry.  It has no version yet: 0,
 * which no entry has.
 */
static void
describe_own(const PgCacheKey *key, const PgCacheItem *item, PgCacheFound *found)
{
	PgCacheMeta *meta = &found->ref.meta;

	memset(&found->ref, 0, sizeof(found->ref));
	found->ref.key = key;
	found->own = item;
	meta->created = item->created;
	meta->accessed = item->created;
	meta->expires = item->expires;
	meta->slide = item->slide;
	meta->slide_cap = item->slide_cap;
	meta->len = item->len;
	meta->raw_len = item->raw_len;
	meta->typid = item->typid;
	meta->fingerprint = item->fingerprint;
	meta->priority = item->priority;
	meta->flags = item->flags;
	meta->key_len = item->key.len;
	meta->space = item->key.space;
	meta->tags_len = item->tags_len;
	meta->ntags = item->ntags;
}

/* As pgcache_lookup_find, whatever its type. */
static bool
find(const PgCacheKey *key, PgCacheFound *found)
{
	found->own = NULL;
	if (unlikely(pgcache_txn_pending))
	{
		const PgCacheItem *item;

		switch (pgcache_txn_own(key, &item))
		{
			case PGCACHE_OWN_GONE:
				return false;
			case PGCACHE_OWN_PUT:
				describe_own(key, item, found);
				return (item->flags & PGCACHE_ENTRY_TTL) == 0 ||
					item->expires > pgcache_clock_now();
			case PGCACHE_OWN_NONE:
				break;
		}
	}
	return pgcache_store_find(pgcache_store, key, &found->ref) &&
		pgcache_txn_sees(&found->ref);
}

bool
pgcache_lookup_find(const PgCacheKey *key, PgCacheFound *found)
{
	return find(key, found) &&
		pgcache_value_is_current(found->ref.meta.typid,
								 found->ref.meta.fingerprint);
}

/* What somebody else puts in its place meanwhile must stay. */
bool
pgcache_lookup_latest(const PgCacheKey *key, PgCacheRef *ref,
					  const char *function)
{
	while (pgcache_txn_latest(key, ref, function))
	{
		if (pgcache_value_is_current(ref->meta.typid, ref->meta.fingerprint))
			return true;
		PGCACHE_DEBUG_POINT("lookup-purge");
		if (pgcache_store_delete_version(pgcache_store, key, ref->meta.version))
			break;
		CHECK_FOR_INTERRUPTS();
	}
	return false;
}

/* Without the cache everything is a miss, whatever there might be. */
void
pgcache_lookup_ghost(const PgCacheKey *key, PgCacheIncarnation incarnation)
{
	if (!pgcache_enabled)
		return;
	switch (pgcache_store_ghost(pgcache_store, key))
	{
		case PGCACHE_GHOST_EVICTED:
			pgcache_count(key->space, incarnation, PGCACHE_GHOST_HITS,
						  PGCACHE_GHOST_SAMPLE);
			break;
		case PGCACHE_GHOST_EXPIRED:
			pgcache_count(key->space, incarnation, PGCACHE_EXPIRED_MISSES,
						  PGCACHE_GHOST_SAMPLE);
			break;
		default:
			break;
	}
}

void
pgcache_lookup_describe(const PgCacheMeta *meta, const char *data,
						PgCacheValue *value)
{
	value->isnull = (meta->flags & PGCACHE_ENTRY_NULL) != 0;
	value->typid = meta->typid;
	value->fingerprint = meta->fingerprint;
	value->compression = PGCACHE_COMPRESSION_NONE;
	if (meta->flags & PGCACHE_ENTRY_LZ4)
		value->compression = PGCACHE_COMPRESSION_LZ4;
	if (meta->flags & PGCACHE_ENTRY_ZSTD)
		value->compression = PGCACHE_COMPRESSION_ZSTD;
	value->raw_len = meta->raw_len;
	value->len = meta->len;
	value->data = data;
}

bool
pgcache_lookup_copy(PgCacheRef *ref, PgCacheValue *value)
{
	char	   *data = palloc(ref->meta.len);

	if (pgcache_store_copy(pgcache_store, ref, data))
	{
		pgcache_lookup_describe(&ref->meta, data, value);
		return true;
	}
	pfree(data);
	return false;
}

/*
 * What the own transaction put is copied too: what is done with the value may
 * run user code, which may put another.
 */
bool
pgcache_lookup_value(const PgCacheKey *key, PgCacheFound *found,
					 PgCacheValue *value)
{
	while (find(key, found))
	{
		if (found->own != NULL)
		{
			char	   *data = palloc(found->own->len);

			memcpy(data, found->own->value, found->own->len);
			pgcache_lookup_describe(&found->ref.meta, data, value);
			return true;
		}
		if (pgcache_lookup_copy(&found->ref, value))
			return true;
		CHECK_FOR_INTERRUPTS();
	}
	return false;
}

bool
pgcache_lookup_tags(const PgCacheKey *key, PgCacheFound *found, char **tags)
{
	while (pgcache_lookup_find(key, found))
	{
		PgCacheRef *ref = &found->ref;

		*tags = NULL;
		if (ref->meta.ntags == 0)
			return true;
		*tags = palloc(ref->meta.tags_len);
		if (found->own != NULL)
		{
			memcpy(*tags, found->own->tags, ref->meta.tags_len);
			return true;
		}
		if (pgcache_store_copy_tags(pgcache_store, ref, *tags))
			return true;
		pfree(*tags);
		CHECK_FOR_INTERRUPTS();
	}
	return false;
}
