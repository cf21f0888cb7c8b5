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

#include "shmem/debug_point.h"
#include "sqlapi/lookup.h"

/* What somebody else puts in its place meanwhile must stay. */
bool
pgcache_lookup_purge(const PgCacheKey *key, PgCacheRef *ref)
{
	while (pgcache_store_find(pgcache_store, key, ref))
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
pgcache_lookup_value(const PgCacheKey *key, PgCacheRef *ref,
					 PgCacheValue *value)
{
	while (pgcache_store_find(pgcache_store, key, ref))
	{
		char	   *data = palloc(ref->meta.len);

		if (pgcache_store_copy(pgcache_store, ref, data))
		{
			pgcache_lookup_describe(&ref->meta, data, value);
			return true;
		}
		pfree(data);
		CHECK_FOR_INTERRUPTS();
	}
	return false;
}

bool
pgcache_lookup_tags(const PgCacheKey *key, PgCacheRef *ref, char **tags)
{
	while (pgcache_lookup_find(key, ref))
	{
		*tags = NULL;
		if (ref->meta.ntags == 0)
			return true;
		*tags = palloc(ref->meta.tags_len);
		if (pgcache_store_copy_tags(pgcache_store, ref, *tags))
			return true;
		pfree(*tags);
		CHECK_FOR_INTERRUPTS();
	}
	return false;
}
