/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  All entries of the store, one partition after the other.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_SQLAPI_SCAN_H
#define PGCACHE_SQLAPI_SCAN_H

#include "space/store_part.h"

/*
 * The live entries of a partition at one moment, as pgcache_store_scan gives
 * them, in palloc'd memory of which *used bytes are used.
 */
extern char *pgcache_scan_partition(int partition, Size *used);

#endif							/* PGCACHE_SQLAPI_SCAN_H */
