/*-------------------------------------------------------------------------
 *
 * monitor.c
 *	  What the SQL functions for history, alerts and health cannot do in SQL:
 *	  the cache's clock, privileges, locks, errors, the server log.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "shmem/shmem.h"
#include "shmem/workers.h"
#include "space/space.h"

PG_FUNCTION_INFO_V1(pgcache_sql_clock_timestamp);
PG_FUNCTION_INFO_V1(pgcache_sql_may_read);
PG_FUNCTION_INFO_V1(pgcache_sql_namespaces_in_use);
PG_FUNCTION_INFO_V1(pgcache_sql_worker_running);
PG_FUNCTION_INFO_V1(pgcache_sql_lock);
PG_FUNCTION_INFO_V1(pgcache_sql_log);
PG_FUNCTION_INFO_V1(pgcache_sql_error);

Datum
pgcache_sql_clock_timestamp(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	PG_RETURN_TIMESTAMPTZ(pgcache_clock_now());
}

/*
 * For row level security: is called for each row, and never fails for what a row
 * may have in it.  Rows of namespaces that are gone are for monitors.
 */
Datum
pgcache_sql_may_read(PG_FUNCTION_ARGS)
{
	text	   *name = PG_GETARG_TEXT_PP(0);

	pgcache_shmem_require();
	PG_RETURN_BOOL(has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
				   pgcache_space_may_read(VARDATA_ANY(name),
										  VARSIZE_ANY_EXHDR(name)));
}

/* Of all databases: that many of pg_cache.max_namespaces. */
Datum
pgcache_sql_namespaces_in_use(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	PG_RETURN_INT64(pgcache_space_count_slots());
}

/* pg_stat_activity does not tell everybody. */
Datum
pgcache_sql_worker_running(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	PG_RETURN_BOOL(pgcache_workers_inside(PGCACHE_WORKER, MyDatabaseId));
}

/*
 * Until the transaction's end one at a time has a table's lock.  Not the one that
 * the table itself has as a relation, for which vacuum and whoever writes would
 * wait, nor an advisory one, which any role could take.
 */
Datum
pgcache_sql_lock(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	PreventCommandDuringRecovery("cache_lock()");
	LockDatabaseObject(RelationRelationId, PG_GETARG_OID(0), 0, ExclusiveLock);
	PG_RETURN_VOID();
}

/* To the server log, as LOG or with urgent as WARNING. */
Datum
pgcache_sql_log(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	ereport(PG_GETARG_BOOL(1) ? WARNING : LOG,
			(errmsg_internal("%s", text_to_cstring(PG_GETARG_TEXT_PP(0))),
			 errhidestmt(true), errhidecontext(true)));
	PG_RETURN_VOID();
}

/* Of no class that says success, a warning, or that there are no data. */
static bool
is_error_code(const char *code)
{
	return strlen(code) == 5 &&
		strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 &&
		!(code[0] == '0' && code[1] <= '2');
}

/* Detail and hint may be NULL. */
Datum
pgcache_sql_error(PG_FUNCTION_ARGS)
{
	char	   *parts[4];

	pgcache_shmem_require();
	for (int i = 0; i < lengthof(parts); i++)
		parts[i] = PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
	if (parts[0] == NULL || !is_error_code(parts[0]) || parts[1] == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("malformed error")));
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(parts[0][0], parts[0][1], parts[0][2],
								   parts[0][3], parts[0][4])),
			 errmsg_internal("%s", parts[1]),
			 parts[2] ? errdetail_internal("%s", parts[2]) : 0,
			 parts[3] ? errhint("%s", parts[3]) : 0,
			 errhidecontext(true)));
}
