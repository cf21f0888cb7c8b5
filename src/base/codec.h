/*-------------------------------------------------------------------------
 *
 * codec.h
 *	  Compression of values.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_BASE_CODEC_H
#define PGCACHE_BASE_CODEC_H

#include "base/settings.h"

/*
 * Compresses raw_len bytes at raw.  Gives len bytes in the current memory
 * context, or NULL where less than an eighth would be saved.
 */
extern char *pgcache_codec_compress(PgCacheCompression method, const char *raw,
									uint32 raw_len, uint32 *len);

/*
 * Decompresses len bytes at data to exactly raw_len bytes at raw.  Raises XX001
 * where data is not what pgcache_codec_compress made of so many bytes.
 */
extern void pgcache_codec_decompress(PgCacheCompression method,
									 const char *data, uint32 len,
									 char *raw, uint32 raw_len);

#endif							/* PGCACHE_BASE_CODEC_H */
