/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  Definition of the settings; the table is in settings.h.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "base/settings.h"

const struct config_enum_entry pgcache_compression_options[] = {
	{"none", PGCACHE_COMPRESSION_NONE, false},
	{"lz4", PGCACHE_COMPRESSION_LZ4, false},
	{"zstd", PGCACHE_COMPRESSION_ZSTD, false},
	{NULL, 0, false}
};

const struct config_enum_entry pgcache_eviction_options[] = {
	{"lru", PGCACHE_EVICTION_LRU, false},
	{"s3fifo", PGCACHE_EVICTION_S3FIFO, false},
	{NULL, 0, false}
};

#define VARIABLE_BOOL(name, def, ...)	bool pgcache_##name = def;
#define VARIABLE_INT(name, def, ...)	int pgcache_##name = def;
#define VARIABLE_REAL(name, def, ...)	double pgcache_##name = def;
#define VARIABLE_ENUM(name, def, ...)	int pgcache_##name = def;

PGCACHE_SETTINGS(VARIABLE_BOOL, VARIABLE_INT, VARIABLE_REAL, VARIABLE_ENUM)

uint32		pgcache_sample_countdown = 1;
uint32		pgcache_sample_distance = 1;

/* What is sampled may just have been switched on. */
static void
assign_bool(bool newval, void *extra)
{
	if (pgcache_sample_distance > 0)
		pgcache_sample_distance -= pgcache_sample_countdown - 1;
	pgcache_sample_countdown = 1;
}

pg_atomic_uint64 *pgcache_memory_ceiling = NULL;

/* No memory at all would be a cache in which nothing stays. */
static bool
check_memory_limit(int *newval, void **extra, GucSource source)
{
	if (*newval != 0)
		return true;
	GUC_check_errdetail("\"pg_cache.memory_limit\" must be -1 or at least 1 MB.");
	return false;
}

#define DEFINE_BOOL(name, def, ctx, flags, desc) \
	DefineCustomBoolVariable("pg_cache." #name, desc, NULL, &pgcache_##name, \
							 def, ctx, flags, NULL, assign_bool, NULL);
#define DEFINE_INT(name, def, lo, hi, ctx, flags, check, desc) \
	DefineCustomIntVariable("pg_cache." #name, desc, NULL, &pgcache_##name, \
							def, lo, hi, ctx, flags, check, NULL, NULL);
#define DEFINE_REAL(name, def, lo, hi, ctx, flags, desc) \
	DefineCustomRealVariable("pg_cache." #name, desc, NULL, &pgcache_##name, \
							 def, lo, hi, ctx, flags, NULL, NULL, NULL);
#define DEFINE_ENUM(name, def, options, ctx, flags, desc) \
	DefineCustomEnumVariable("pg_cache." #name, desc, NULL, &pgcache_##name, \
							 def, options, ctx, flags, NULL, NULL, NULL);

void
pgcache_settings_init(void)
{
	PGCACHE_SETTINGS(DEFINE_BOOL, DEFINE_INT, DEFINE_REAL, DEFINE_ENUM);
	MarkGUCPrefixReserved("pg_cache");
}

Size
pgcache_memory_bytes(void)
{
	return (Size) pgcache_memory * 1024 * 1024;
}

Size
pgcache_memory_limit_setting_bytes(void)
{
	if (pgcache_memory_limit < 0 || pgcache_memory_limit > pgcache_memory)
		return pgcache_memory_bytes();
	return (Size) pgcache_memory_limit * 1024 * 1024;
}

Size
pgcache_memory_limit_bytes(void)
{
	Size		limit = pgcache_memory_limit_setting_bytes();
	Size		ceiling = 0;

	if (pgcache_memory_pressure && pgcache_memory_ceiling)
		ceiling = pg_atomic_read_u64(pgcache_memory_ceiling);
	return ceiling > 0 ? Min(limit, ceiling) : limit;
}

Size
pgcache_max_value_bytes(const char **setting)
{
	Size		limit = pgcache_memory_limit_setting_bytes() / 4 * 3;
	Size		size = pgcache_max_value_size < 0 ?
	pgcache_memory_bytes() / 4 : (Size) pgcache_max_value_size;

	if (limit < size)
	{
		if (setting)
			*setting = pgcache_memory_limit < 0 ? "pg_cache.memory" : "pg_cache.memory_limit";
		return limit;
	}
	if (setting)
		*setting = pgcache_max_value_size < 0 ? "pg_cache.memory" : "pg_cache.max_value_size";
	return size;
}
