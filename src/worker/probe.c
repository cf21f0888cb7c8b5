/*-------------------------------------------------------------------------
 *
 * probe.c
 *	  Looks whether a database has the extension, and tells the launcher.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "storage/ipc.h"

#include "worker/worker_internal.h"

PGDLLEXPORT void pgcache_probe_main(Datum database);

void
pgcache_probe_main(Datum database)
{
	Oid			oid = DatumGetObjectId(database);
	uint64		creations = pgcache_workers_creations();
	bool		found;

	pgcache_process_begin(PGCACHE_PROBE, oid);
	StartTransactionCommand();
	found = OidIsValid(get_extension_oid("pg_cache", true));
	CommitTransactionCommand();
	pgcache_workers_report(oid, found ? PGCACHE_FOUND : PGCACHE_MISSING, creations);
	proc_exit(0);
}
