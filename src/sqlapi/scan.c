/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  All entries of the store, one partition after the other.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "sqlapi/scan.h"

/*
 * The memory grows until the entries fit: nothing can be allocated while the
 * partition stands still.
 */
char *
pgcache_scan_partition(int partition, Size *used)
{
	Size		size = 64 * 1024;

	for (;;)
	{
		char	   *buf = MemoryContextAllocHuge(CurrentMemoryContext, size);

		*used = pgcache_store_scan(pgcache_store, partition, buf, size);
		if (*used <= size)
			return buf;
		size = *used + *used / 8;
		pfree(buf);
		CHECK_FOR_INTERRUPTS();
	}
}
