/*-------------------------------------------------------------------------
 *
 * codec.c
 *	  Compression of values.
 *
 * A value is compressed once and decompressed at every hit, so it is kept
 * compressed only where that saves an eighth of its bytes: below that, the
 * memory won buys fewer hits than the decompression costs.  The output buffer
 * is no larger than that limit, so that both libraries give up as soon as they
 * have filled it.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <lz4.h>
#include <zstd.h>

#include "base/codec.h"

/*
 * Compressed output above this size is not kept.  No size below 1 GB, the
 * limit of a datum, is too large for palloc or for LZ4.
 */
#define KEEP_LIMIT(raw_len)		((raw_len) - (raw_len) / 8)

/*
 * Contexts of this backend, made at first use; to set one up costs more than
 * to decompress a small value.
 */
static ZSTD_CCtx *compressor = NULL;
static ZSTD_DCtx *decompressor = NULL;

static void
report_out_of_memory(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of memory"),
			 errdetail("Could not create a context for zstd.")));
}

/* Both give the number of bytes at data, or 0 where room was too small. */
static uint32
compress_lz4(const char *raw, uint32 raw_len, char *data, uint32 room)
{
	return LZ4_compress_default(raw, data, raw_len, room);
}

static uint32
compress_zstd(const char *raw, uint32 raw_len, char *data, uint32 room)
{
	size_t		len;

	if (compressor == NULL && (compressor = ZSTD_createCCtx()) == NULL)
		report_out_of_memory();
	len = ZSTD_compressCCtx(compressor, data, room, raw, raw_len,
							ZSTD_CLEVEL_DEFAULT);
	return ZSTD_isError(len) ? 0 : len;
}

char *
pgcache_codec_compress(PgCacheCompression method, const char *raw,
					   uint32 raw_len, uint32 *len)
{
	uint32		room = KEEP_LIMIT(raw_len);
	char	   *data = palloc(room);

	*len = method == PGCACHE_COMPRESSION_LZ4 ?
		compress_lz4(raw, raw_len, data, room) :
		compress_zstd(raw, raw_len, data, room);
	if (*len == 0)
	{
		pfree(data);
		return NULL;
	}
	return data;
}

void
pgcache_codec_decompress(PgCacheCompression method, const char *data,
						 uint32 len, char *raw, uint32 raw_len)
{
	bool		good;

	if (method == PGCACHE_COMPRESSION_LZ4)
		good = LZ4_decompress_safe(data, raw, len, raw_len) == (int) raw_len;
	else
	{
		if (decompressor == NULL &&
			(decompressor = ZSTD_createDCtx()) == NULL)
			report_out_of_memory();
		/* an error is a number above any length */
		good = ZSTD_decompressDCtx(decompressor, raw, raw_len,
								   data, len) == raw_len;
	}
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("compressed cache value is corrupt")));
}
