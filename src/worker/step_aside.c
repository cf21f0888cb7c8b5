/*-------------------------------------------------------------------------
 *
 * step_aside.c
 *	  Lets those have a database for themselves who must: DROP DATABASE and its
 *	  like, which fail while anybody is connected to it.
 *
 * The database is held (shmem/workers.h) before the statement runs, until its
 * transaction has ended, however it ends.  Who may not do what he asks for gets
 * his error from PostgreSQL, and makes nobody step aside.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "shmem/shmem.h"
#include "worker/worker_internal.h"

static ProcessUtility_hook_type prev_utility = NULL;

static bool
owns(Oid database)
{
	return PGCACHE_DATABASE_OWNERCHECK(database, GetUserId());
}

/* The option of that name in a list of DefElem, or NULL. */
static DefElem *
find_option(List *options, const char *name)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, name) == 0)
			return option;
	}
	return NULL;
}

static bool
is_template(Oid database)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return result;
}

/* The database that is copied, if the user may. */
static Oid
template_of(CreatedbStmt *stmt)
{
	DefElem    *option = find_option(stmt->options, "template");
	const char *name = "template1";
	Oid			database;

	if (option != NULL && option->arg != NULL)
		name = defGetString(option);
	database = get_database_oid(name, true);
	if (!OidIsValid(database) || !have_createdb_privilege() ||
		OidIsValid(get_database_oid(stmt->dbname, true)))
		return InvalidOid;
	return is_template(database) || owns(database) ? database : InvalidOid;
}

/* The database that nobody may be in, or InvalidOid. */
static Oid
wanted_alone(Node *stmt)
{
	Oid			database;

	switch (nodeTag(stmt))
	{
		case T_CreatedbStmt:
			return template_of((CreatedbStmt *) stmt);
		case T_DropdbStmt:
			database = get_database_oid(((DropdbStmt *) stmt)->dbname, true);
			break;
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType != OBJECT_DATABASE ||
				!have_createdb_privilege())
				return InvalidOid;
			database = get_database_oid(((RenameStmt *) stmt)->subname, true);
			break;
		case T_AlterDatabaseStmt:
			if (find_option(((AlterDatabaseStmt *) stmt)->options, "tablespace") == NULL)
				return InvalidOid;
			database = get_database_oid(((AlterDatabaseStmt *) stmt)->dbname, true);
			break;
		default:
			return InvalidOid;
	}
	if (!OidIsValid(database) || database == MyDatabaseId || !owns(database))
		return InvalidOid;
	return database;
}

/* The launcher hears of changes of databases by invalidations, but might sleep. */
static bool
concerns_launcher(Node *stmt)
{
	return IsA(stmt, CreatedbStmt) || IsA(stmt, DropdbStmt) ||
		IsA(stmt, AlterDatabaseStmt);
}

/* See events.c. */
static void
look_after_prepared(void)
{
	if (!pgcache_workers_inside(PGCACHE_WORKER, MyDatabaseId))
	{
		if (OidIsValid(get_extension_oid("pg_cache", true)))
			pgcache_workers_report_created(MyDatabaseId);
	}
	else
		pgcache_workers_wake(MyDatabaseId);
}

static void
on_utility(PlannedStmt *pstmt, const char *text, bool read_only,
		   ProcessUtilityContext kind, ParamListInfo params,
		   QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	static uint32 wait_event = 0;
	Node	   *stmt = pstmt->utilityStmt;

	/* In a transaction block or function these statements fail. */
	if (kind == PROCESS_UTILITY_TOPLEVEL && pgcache_shmem_ready &&
		!IsTransactionBlock() && !RecoveryInProgress())
	{
		Oid			database = wanted_alone(stmt);

		if (OidIsValid(database))
			pgcache_workers_hold(database,
								 pgcache_wait_event(&wait_event, "PgCacheStepAside"));
		if (concerns_launcher(stmt))
			pgcache_workers_wake_launcher();
	}

	if (prev_utility)
		prev_utility(pstmt, text, read_only, kind, params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, text, read_only, kind, params, env, dest, qc);

	if (IsA(stmt, TransactionStmt) && pgcache_shmem_ready &&
		((TransactionStmt *) stmt)->kind == TRANS_STMT_COMMIT_PREPARED)
		look_after_prepared();
}

void
pgcache_step_aside_init(void)
{
	prev_utility = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
}
