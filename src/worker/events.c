/*-------------------------------------------------------------------------
 *
 * events.c
 *	  CREATE and DROP EXTENSION, seen by the sessions that do it.
 *
 * After the commit of CREATE EXTENSION the launcher is told that this database
 * has it now, after that of DROP EXTENSION the database's worker is woken, which
 * looks and ends.  A prepared transaction is committed by another session maybe,
 * so that looks itself; a standby hears of it by invalidations or in some minutes.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"

#include "shmem/shmem.h"
#include "worker/worker_internal.h"

/* What the transaction did, as far as it is known: rolled back parts count. */
static bool any_created = false;
static bool ours_dropped = false;

/* Whether it leaves an extension of ours that may be new. */
static bool ours_created = false;

static object_access_hook_type prev_object_access_hook = NULL;

/* The row of a new extension cannot be seen yet, that of a dropped one can. */
static void
on_object_access(ObjectAccessType access, Oid class_id, Oid object_id,
				 int sub_id, void *arg)
{
	char	   *name;

	if (prev_object_access_hook)
		prev_object_access_hook(access, class_id, object_id, sub_id, arg);
	if (class_id != ExtensionRelationId || !pgcache_shmem_ready)
		return;
	if (access == OAT_POST_CREATE)
		any_created = true;
	else if (access == OAT_DROP)
	{
		name = get_extension_name(object_id);
		if (name != NULL && strcmp(name, "pg_cache") == 0)
			ours_dropped = true;
	}
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (unlikely(any_created))
				ours_created = OidIsValid(get_extension_oid("pg_cache", true));
			return;
		case XACT_EVENT_COMMIT:
			if (unlikely(ours_created))
				pgcache_workers_report_created(MyDatabaseId);
			if (unlikely(ours_dropped))
				pgcache_workers_wake(MyDatabaseId);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			break;
		default:
			return;
	}
	any_created = false;
	ours_created = false;
	ours_dropped = false;
}

void
pgcache_events_init(void)
{
	RegisterXactCallback(on_transaction_end, NULL);
	prev_object_access_hook = object_access_hook;
	object_access_hook = on_object_access;
}
