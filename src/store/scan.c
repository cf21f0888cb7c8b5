/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  Listing the entries of a partition.
 *
 * Locking: takes the partition's lock in shared mode, for as long as it takes
 * to copy the descriptions; the caller brings the memory.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

/* Appends a live entry's record to buf if it fits; returns its size. */
static Size
copy_record(PgCacheStore *store, const PgCacheEntry *entry, uint8 hits,
			char *buf, Size room)
{
	EntryFields fields;
	PgCacheScanned *record = (PgCacheScanned *) buf;
	Size		size;

	pgcache_entry_fields(entry, &fields);
	size = MAXALIGN(sizeof(PgCacheScanned) + entry->key_len + fields.tags_len);
	if (size > room)
		return size;
	entry_describe(store, entry, &fields, &record->meta);
	pgcache_entry_deps(entry, &fields, record->deps);
	record->meta.hits = pgcache_decode_hits(hits);
	record->size = size;
	buf += sizeof(PgCacheScanned);
	memcpy(buf, entry->key, entry->key_len);
	memcpy(buf + entry->key_len,
		   entry_fields_at(entry) + fields.size + fields_deps_len(&fields),
		   fields.tags_len);
	return size;
}

Size
pgcache_store_scan(PgCacheStore *store, int partition, char *buf, Size size)
{
	PgCachePartition *part = &store->parts[partition];
	TimestampTz now = store->now();
	Size		needed = 0;
	uint32		nbuckets;

	LWLockAcquire(lock_of(store, part), LW_SHARED);
	nbuckets = TABLE_BUCKETS(pg_atomic_read_u64(&part->table));
	for (uint32 n = 0; n < nbuckets; n++)
	{
		PgCacheBucket *bucket = bucket_for(store, part, nbuckets, n);

		while (bucket)
		{
			for (int i = 0; i < BUCKET_SLOTS && bucket->location[i] != 0; i++)
			{
				PgCacheEntry *entry = at(store, bucket->location[i]);
				EntryFields fields;

				if (entry_is_dead(store, entry))
					continue;
				pgcache_entry_fields(entry, &fields);
				if (fields.expires <= now)
					continue;
				needed += copy_record(store, entry,
									  USE_HITS(pg_atomic_read_u64(&bucket->use), i),
									  buf + Min(needed, size),
									  size - Min(needed, size));
			}
			bucket = bucket->next ? at(store, bucket->next) : NULL;
		}
	}
	LWLockRelease(lock_of(store, part));
	return needed;
}
