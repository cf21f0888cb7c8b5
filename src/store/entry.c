/*-------------------------------------------------------------------------
 *
 * entry.c
 *	  The layout of an entry: packing and unpacking its optional fields.
 *
 *		header | key | fields, by flag | deps | tags | value, or its first part
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/hash.h"
#include "store/store_internal.h"

/*
 * FIELD(flags, member): present if one of the flags is set, in this order.
 * expires comes first, where writers change it in place; then the writer, where
 * readers find it without unpacking the rest.
 */
#define FIELDS(FIELD) \
	FIELD(PGCACHE_ENTRY_TTL, expires) \
	FIELD(PGCACHE_ENTRY_WRITER, writer) \
	FIELD(PGCACHE_ENTRY_SLIDING, slide) \
	FIELD(PGCACHE_ENTRY_SLIDING, slide_cap) \
	FIELD(PGCACHE_ENTRY_TYPED, typid) \
	FIELD(PGCACHE_ENTRY_TYPED, fingerprint) \
	FIELD(PGCACHE_ENTRY_LZ4 | PGCACHE_ENTRY_ZSTD, raw_len) \
	FIELD(PGCACHE_ENTRY_PRIORITY, priority) \
	FIELD(ENTRY_CHAINED, chain) \
	FIELD(ENTRY_CHAINED, inline_len) \
	FIELD(PGCACHE_ENTRY_TAGS, tags_len) \
	FIELD(PGCACHE_ENTRY_TAGS, ntags) \
	FIELD(PGCACHE_ENTRY_DEPS, nstamps) \
	FIELD(PGCACHE_ENTRY_DEPS, ntables)

#define UNPACK(mask, member) \
	if (flags & (mask)) \
	{ \
		memcpy(&fields->member, p, sizeof(fields->member)); \
		p += sizeof(fields->member); \
	}

#define PACK(mask, member) \
	if (flags & (mask)) \
	{ \
		memcpy(p, &fields->member, sizeof(fields->member)); \
		p += sizeof(fields->member); \
	}

void
pgcache_entry_unpack(const char *p, uint32 flags, uint32 len, EntryFields *fields)
{
	const char *start = p;

	memset(fields, 0, sizeof(*fields));
	fields->expires = DT_NOEND;
	fields->raw_len = len;
	fields->inline_len = len;
	if ((flags & ENTRY_FIELDS) == 0)
		return;
	FIELDS(UNPACK);
	fields->size = p - start;
}

void
pgcache_entry_fields(const PgCacheEntry *entry, EntryFields *fields)
{
	pgcache_entry_unpack(entry_fields_at(entry), entry->flags, entry->len, fields);
}

uint32
pgcache_entry_pack(char *p, uint32 flags, const EntryFields *fields)
{
	char	   *start = p;

	FIELDS(PACK);
	Assert(p - start <= ENTRY_MAX_FIELDS);
	return p - start;
}

void
pgcache_entry_deps(const PgCacheEntry *entry, const EntryFields *fields,
				   uint32 *deps)
{
	memcpy(deps, entry_fields_at(entry) + fields->size, fields_deps_len(fields));
}

uint64
pgcache_entry_hash(const PgCacheStore *store, const PgCacheEntry *entry)
{
	return pgcache_hash(entry->key, entry->key_len, entry->space,
						store->shared->seed);
}
