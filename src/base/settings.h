/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The server's settings pg_cache.*, one table.
 *
 * Every setting is a line of PGCACHE_SETTINGS, sorted by name, and a variable
 * pgcache_<name>.  A setting exists from the version on that builds what it
 * does.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_BASE_SETTINGS_H
#define PGCACHE_BASE_SETTINGS_H

#include "port/atomics.h"
#include "utils/guc.h"

typedef enum PgCacheCompression
{
	PGCACHE_COMPRESSION_NONE = 0,
	PGCACHE_COMPRESSION_LZ4,
	PGCACHE_COMPRESSION_ZSTD
} PgCacheCompression;

typedef enum PgCacheEviction
{
	PGCACHE_EVICTION_LRU = 0,
	PGCACHE_EVICTION_S3FIFO
} PgCacheEviction;

#define PGCACHE_MEMORY_DEFAULT_MB	128
#define PGCACHE_MEMORY_MIN_MB		1

/* Beyond this a granule of the store would be larger than a bucket. */
#define PGCACHE_MEMORY_MAX_MB		(255 * 1024)

/* At 10 % misses are some 0.4 % more than of exact LRU, at 25 % over 1 %. */
#define PGCACHE_LRU_BUMP_DEFAULT	10
#define PGCACHE_LRU_BUMP_MIN		0
#define PGCACHE_LRU_BUMP_MAX		100

#define PGCACHE_NAMESPACES_DEFAULT	256
#define PGCACHE_NAMESPACES_MIN		2
#define PGCACHE_NAMESPACES_MAX		4096

#define PGCACHE_STAMPS_DEFAULT		65536
#define PGCACHE_STAMPS_MIN			1024
#define PGCACHE_STAMPS_MAX			(16 * 1024 * 1024)

#define PGCACHE_MAX_WARMERS_DEFAULT	2
#define PGCACHE_MAX_WARMERS_MAX		64

#define PGCACHE_TRACKED_KEYS_DEFAULT	512
#define PGCACHE_TRACKED_KEYS_MAX	65536

/* Longest interval of a worker, in seconds. */
#define PGCACHE_INTERVAL_MAX_S		86400

/* Longest TTL that a setting can hold: 1,000 years in milliseconds. */
#define PGCACHE_TTL_MAX_MS			(1000.0 * 366 * 86400 * 1000)

/*
 * BOOL(name, default, context, flags, description)
 * INT(name, default, min, max, context, flags, check hook, description)
 * REAL(name, default, min, max, context, flags, description)
 * ENUM(name, default, options, context, flags, description)
 */
#define PGCACHE_SETTINGS(BOOL, INT, REAL, ENUM) \
	BOOL(adaptive, true, PGC_SIGHUP, 0, \
		 "Lets memory follow use between namespaces without a fixed quota.") \
	INT(alert_interval, 10, 0, PGCACHE_INTERVAL_MAX_S, PGC_SIGHUP, GUC_UNIT_S, NULL, \
		"Sets the time between evaluations of alert rules; 0 means that there are none.") \
	ENUM(compression, PGCACHE_COMPRESSION_NONE, pgcache_compression_options, \
		 PGC_USERSET, 0, \
		 "Sets the method by which large values are compressed.") \
	INT(compression_threshold, 2048, 0, INT_MAX, PGC_USERSET, GUC_UNIT_BYTE, NULL, \
		"Sets the size from which on values are compressed.") \
	REAL(default_ttl, 0, 0, PGCACHE_TTL_MAX_MS, PGC_USERSET, GUC_UNIT_MS, \
		 "Sets the time to live of entries put without one; 0 means that they do not expire.") \
	BOOL(enabled, true, PGC_USERSET, 0, \
		 "Enables the cache; if off, gets miss and puts act as deletes.") \
	ENUM(eviction, PGCACHE_EVICTION_LRU, pgcache_eviction_options, \
		 PGC_POSTMASTER, 0, \
		 "Sets the policy that chooses which entry makes room for another.") \
	INT(lru_bump, PGCACHE_LRU_BUMP_DEFAULT, PGCACHE_LRU_BUMP_MIN, \
		PGCACHE_LRU_BUMP_MAX, PGC_SUSET, 0, NULL, \
		"Sets after which share of the queue, in percent, an entry that is hit moves to its head; 0 means at every hit.") \
	INT(max_namespaces, PGCACHE_NAMESPACES_DEFAULT, PGCACHE_NAMESPACES_MIN, \
		PGCACHE_NAMESPACES_MAX, PGC_POSTMASTER, 0, NULL, \
		"Sets the maximum number of namespaces in use at once, in all databases together.") \
	REAL(max_ttl, 0, 0, PGCACHE_TTL_MAX_MS, PGC_SUSET, GUC_UNIT_MS, \
		 "Sets the longest time to live of any entry; 0 means no limit.") \
	INT(max_value_size, -1, -1, INT_MAX, PGC_SUSET, GUC_UNIT_BYTE, NULL, \
		"Sets the size of the largest value before compression; -1 means a quarter of pg_cache.memory.") \
	INT(max_warmers, PGCACHE_MAX_WARMERS_DEFAULT, 0, PGCACHE_MAX_WARMERS_MAX, \
		PGC_SIGHUP, 0, NULL, \
		"Sets how many warmers run at once in the whole server; 0 means that none are started.") \
	INT(memory, PGCACHE_MEMORY_DEFAULT_MB, PGCACHE_MEMORY_MIN_MB, \
		PGCACHE_MEMORY_MAX_MB, PGC_POSTMASTER, GUC_UNIT_MB, NULL, \
		"Sets the amount of shared memory for entries and their index.") \
	INT(memory_limit, -1, -1, PGCACHE_MEMORY_MAX_MB, PGC_SIGHUP, GUC_UNIT_MB, \
		check_memory_limit, \
		"Sets how much of pg_cache.memory is used; -1 means all of it.") \
	BOOL(memory_pressure, false, PGC_SIGHUP, 0, \
		 "Lowers the memory used while the machine or control group is short of memory.") \
	BOOL(notify, false, PGC_SUSET, 0, \
		 "Announces invalidations on the channel \"pg_cache\".") \
	INT(stamps, PGCACHE_STAMPS_DEFAULT, PGCACHE_STAMPS_MIN, \
		PGCACHE_STAMPS_MAX, PGC_POSTMASTER, 0, NULL, \
		"Sets the number of tags whose changes are told apart; of keys half as many, of tables a quarter.") \
	INT(stats_interval, 300, 0, PGCACHE_INTERVAL_MAX_S, PGC_SIGHUP, GUC_UNIT_S, NULL, \
		"Sets the time between rows of cache_stats_history; 0 means that none are written.") \
	INT(stats_retention, 30 * 86400, 60, INT_MAX, PGC_SIGHUP, GUC_UNIT_S, NULL, \
		"Sets how long rows of cache_stats_history are kept.") \
	BOOL(track_keys, true, PGC_SUSET, 0, \
		 "Records which keys are asked for, by sampling.") \
	BOOL(track_latency, true, PGC_SUSET, 0, \
		 "Records how long gets, by sampling, and puts take.") \
	INT(tracked_keys, PGCACHE_TRACKED_KEYS_DEFAULT, 0, PGCACHE_TRACKED_KEYS_MAX, \
		PGC_POSTMASTER, 0, NULL, \
		"Sets how many hot keys are told apart in each namespace; 0 means none.") \
	BOOL(transactional, true, PGC_USERSET, 0, \
		 "Makes puts, deletes and invalidations take effect at commit; if off, at once.") \
	INT(worker_interval, 1000, 10, PGCACHE_INTERVAL_MAX_S * 1000, PGC_SIGHUP, \
		GUC_UNIT_MS, NULL, \
		"Sets the longest time that background workers sleep.")

#define PGCACHE_DECLARE_BOOL(name, ...)	extern bool pgcache_##name;
#define PGCACHE_DECLARE_INT(name, ...)	extern int pgcache_##name;
#define PGCACHE_DECLARE_REAL(name, ...)	extern double pgcache_##name;
#define PGCACHE_DECLARE_ENUM(name, ...)	extern int pgcache_##name;

PGCACHE_SETTINGS(PGCACHE_DECLARE_BOOL, PGCACHE_DECLARE_INT,
				 PGCACHE_DECLARE_REAL, PGCACHE_DECLARE_ENUM)

extern const struct config_enum_entry pgcache_compression_options[];
extern const struct config_enum_entry pgcache_eviction_options[];

/*
 * Gets until one is sampled (stats/sample.c), and how many there were from the last
 * one to that, 0: nothing is recorded.  When a setting changes the next one is,
 * because nothing looks at the settings between two samples.
 */
extern uint32 pgcache_sample_countdown;
extern uint32 pgcache_sample_distance;

/* Defines all settings and reserves the prefix; called by _PG_init. */
extern void pgcache_settings_init(void);

/* Bytes that pg_cache.memory and pg_cache.memory_limit now stand for. */
extern Size pgcache_memory_bytes(void);
extern Size pgcache_memory_limit_setting_bytes(void);

/*
 * A lower limit while memory is short, in shared memory; 0: none.  NULL until
 * shared memory is attached.
 */
extern pg_atomic_uint64 *pgcache_memory_ceiling;

/* Bytes that may be used now. */
extern Size pgcache_memory_limit_bytes(void);

/*
 * Bytes of the largest value that may be stored, before compression: what
 * pg_cache.max_value_size says, but no more than three quarters of the memory
 * that may be used.  *setting, unless NULL, names the setting that decides.
 */
extern Size pgcache_max_value_bytes(const char **setting);

#endif							/* PGCACHE_BASE_SETTINGS_H */
