/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  Requests, creates and attaches the parts of our shared memory.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "shmem/shmem.h"

#define MAX_PARTS 32

bool		pgcache_shmem_ready = false;

static const PgCacheShmemPart *parts[MAX_PARTS];
static int	nparts = 0;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

void
pgcache_shmem_register(const PgCacheShmemPart *part)
{
	if (nparts == MAX_PARTS)
		elog(ERROR, "too many parts of shared memory");
	parts[nparts++] = part;
}

int
pgcache_shmem_one_lock(void)
{
	return 1;
}

static void
request_parts(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	for (int i = 0; i < nparts; i++)
	{
		RequestAddinShmemSpace(add_size(parts[i]->size(), PG_CACHE_LINE_SIZE));
		if (parts[i]->nlocks)
			RequestNamedLWLockTranche(parts[i]->name, parts[i]->nlocks());
	}
}

static void
attach_parts(void)
{
	bool		is_first = false;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < nparts; i++)
	{
		const PgCacheShmemPart *part = parts[i];
		LWLockPadded *locks = NULL;
		bool		found;
		void	   *memory = ShmemInitStruct(part->name, part->size(), &found);

		if (part->nlocks)
			locks = GetNamedLWLockTranche(part->name);
		if (!found)
		{
			part->init(memory, locks);
			is_first = true;
		}
		part->attach(memory, locks);
	}
	LWLockRelease(AddinShmemInitLock);
	pgcache_shmem_ready = true;

	for (int i = 0; is_first && i < nparts; i++)
		if (parts[i]->start)
			parts[i]->start();
}

void
pgcache_shmem_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_parts;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = attach_parts;
}

void
pgcache_shmem_not_ready(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("pg_cache must be loaded via \"shared_preload_libraries\""),
			 errdetail("The cache lives in shared memory that is set aside when the server starts."),
			 errhint("Add this line to postgresql.conf and restart the server: shared_preload_libraries = 'pg_cache'")));
}
