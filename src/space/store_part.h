/*-------------------------------------------------------------------------
 *
 * store_part.h
 *	  The server's one store: its shared memory and its settings.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_SPACE_STORE_PART_H
#define PGCACHE_SPACE_STORE_PART_H

#include "base/settings.h"
#include "store/store.h"

extern PgCacheStore *pgcache_store;
extern PgCacheStoreTuning *pgcache_tuning;

/*
 * What the store asks whether an entry is dead (see PgCacheStoreConfig).  Set by
 * _PG_init, before shared memory is attached; NULL: nobody knows.
 */
extern bool (*pgcache_store_is_dead) (uint64 seq, const uint32 *stamps, int nstamps);

/* Registers the part of shared memory; called by _PG_init. */
extern void pgcache_store_part_register(void);

/* Number of the store's partitions. */
extern int	pgcache_store_part_count(void);

/*
 * The live entries of a partition at one moment, as pgcache_store_scan gives
 * them, in palloc'd memory of which *used bytes are used.
 */
extern char *pgcache_store_scan_partition(int partition, Size *used);

/* Hands the settings of this session to the store; call before a write. */
static inline void
pgcache_store_tune(void)
{
	pgcache_tuning->memory_limit = pgcache_memory_limit_bytes();
	pgcache_tuning->lru_bump = pgcache_lru_bump;
}

#endif							/* PGCACHE_SPACE_STORE_PART_H */
