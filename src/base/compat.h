/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between the PostgreSQL versions that we build with.
 *
 * The only file that may look at PG_VERSION_NUM.  Each block is headed by the
 * change in PostgreSQL and gives the newest version's name to the older ones.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_BASE_COMPAT_H
#define PGCACHE_BASE_COMPAT_H

#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/pg_shmem.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "pg_cache needs PostgreSQL 15 or later"
#endif

/* PG 18 replaced pg_attribute_noreturn() by this, which comes first. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn	_Noreturn
#endif

/*
 * PG 17 replaced BackendId, which counts from 1, by ProcNumber, which counts
 * from 0.  Either numbers the slot of a backend below MaxBackends.
 */
#if PG_VERSION_NUM >= 170000
#define PGCACHE_MY_BACKEND	((int) MyProcNumber)
#else
#define PGCACHE_MY_BACKEND	((int) MyBackendId - 1)
#endif

/* PG 15.1 renamed SetSingleFuncCall to InitMaterializedSRF, and its flags. */
#if PG_VERSION_NUM < 150001
#define InitMaterializedSRF(fcinfo, flags)	SetSingleFuncCall(fcinfo, flags)
#define MAT_SRF_USE_EXPECTED_DESC			SRF_SINGLE_USE_EXPECTED
#endif

/*
 * PG 17 moved PGPROC's lxid, the number of the transaction that the backend is
 * in or 0, into vxid.
 */
#if PG_VERSION_NUM >= 170000
#define PGCACHE_PROC_LXID(proc)	((proc)->vxid.lxid)
#else
#define PGCACHE_PROC_LXID(proc)	((proc)->lxid)
#endif

/*
 * PG 17 renamed ShmemVariableCache to TransamVariables.
 */
#if PG_VERSION_NUM < 170000
#define TransamVariables	ShmemVariableCache
#endif

/*
 * PG 17 tells whether huge pages are in use, by a setting whose variable not all
 * versions declare; before, only that they must be.
 */
#if PG_VERSION_NUM >= 170000
#define PGCACHE_HUGE_PAGES \
	(strcmp(GetConfigOption("huge_pages_status", false, false), "on") == 0)
#else
#define PGCACHE_HUGE_PAGES	(huge_pages == HUGE_PAGES_ON)
#endif

/* The oldest transaction that the commit log knows. */
#define PGCACHE_OLDEST_CLOG_XID	(TransamVariables->oldestClogXid)

/*
 * PG 16 replaced pg_namespace_aclcheck and its like by object_aclcheck, and
 * pg_database_ownercheck and its like by object_ownercheck.
 */
#if PG_VERSION_NUM >= 160000
#define PGCACHE_SCHEMA_ACLCHECK(schema, role, mode) \
	object_aclcheck(NamespaceRelationId, schema, role, mode)
#define PGCACHE_DATABASE_OWNERCHECK(database, role) \
	object_ownercheck(DatabaseRelationId, database, role)
#define PGCACHE_RELATION_OWNERCHECK(relation, role) \
	object_ownercheck(RelationRelationId, relation, role)
#else
#define PGCACHE_SCHEMA_ACLCHECK(schema, role, mode) \
	pg_namespace_aclcheck(schema, role, mode)
#define PGCACHE_DATABASE_OWNERCHECK(database, role) \
	pg_database_ownercheck(database, role)
#define PGCACHE_RELATION_OWNERCHECK(relation, role) \
	pg_class_ownercheck(relation, role)
#endif

/*
 * PG 17 gave LockHeldByMe a third argument, whether a stronger lock will do.
 */
#if PG_VERSION_NUM >= 170000
#define PGCACHE_LOCK_HELD(tag, mode)	LockHeldByMe(tag, mode, false)
#else
#define PGCACHE_LOCK_HELD(tag, mode)	LockHeldByMe(tag, mode)
#endif

/*
 * PG 18 made the fast-path slots of a PGPROC as many as max_locks_per_transaction
 * asks for, in groups of 16 whose lock modes are in a word of their own; before,
 * there was one group.
 */
#if PG_VERSION_NUM >= 180000
#define PGCACHE_FASTPATH_GROUPS				FastPathLockGroupsPerBackend
#define PGCACHE_FASTPATH_SLOTS				FP_LOCK_SLOTS_PER_GROUP
#define PGCACHE_FASTPATH_BITS(proc, group)	((proc)->fpLockBits[group])
#else
#define PGCACHE_FASTPATH_GROUPS				1
#define PGCACHE_FASTPATH_SLOTS				FP_LOCK_SLOTS_PER_BACKEND
#define PGCACHE_FASTPATH_BITS(proc, group)	((proc)->fpLockBits)
#endif

/*
 * PG 16 replaced SHM_QUEUE by dlist.  Gives the PROCLOCK after last, NULL for the
 * first, in one of the process's lists; the partition's lock must be held, but
 * for asking whether there is any.
 */
static inline PROCLOCK *
pgcache_next_proclock(PGPROC *proc, int partition, PROCLOCK *last)
{
#if PG_VERSION_NUM >= 160000
	dlist_head *list = &proc->myProcLocks[partition];
	dlist_node *node;

	if (last == NULL)
		node = dlist_is_empty(list) ? NULL : dlist_head_node(list);
	else
		node = dlist_has_next(list, &last->procLink) ?
			dlist_next_node(list, &last->procLink) : NULL;
	return node == NULL ? NULL : dlist_container(PROCLOCK, procLink, node);
#else
	SHM_QUEUE  *list = &proc->myProcLocks[partition];

	return (PROCLOCK *) SHMQueueNext(list, last ? &last->procLink : list,
									 offsetof(PROCLOCK, procLink));
#endif
}

/*
 * PG 17 put the backend and lxid of LockInstanceData into one field, vxid.  The
 * id of the prepared transaction that holds the lock if that was prepared before
 * the server's start, else 0: such has no backend, and its xid as lxid.
 */
#if PG_VERSION_NUM >= 170000
#define PGCACHE_LOCK_RESTORED_XID(instance) \
	((instance)->pid == 0 && (instance)->vxid.procNumber == INVALID_PROC_NUMBER ? \
	 (TransactionId) (instance)->vxid.localTransactionId : InvalidTransactionId)
#else
#define PGCACHE_LOCK_RESTORED_XID(instance) \
	((instance)->pid == 0 && (instance)->backend == InvalidBackendId ? \
	 (TransactionId) (instance)->lxid : InvalidTransactionId)
#endif

/* PG 16 renamed t_id and t_shared of PgStat_TableStatus. */
#if PG_VERSION_NUM >= 160000
#define PGCACHE_STAT_ID(table)		((table)->id)
#define PGCACHE_STAT_SHARED(table)	((table)->shared)
#else
#define PGCACHE_STAT_ID(table)		((table)->t_id)
#define PGCACHE_STAT_SHARED(table)	((table)->t_shared)
#endif

/* PG 18 gave ConditionalXactLockTableWait an argument, whether to log failure. */
#if PG_VERSION_NUM >= 180000
#define PGCACHE_XACT_LOCK_IS_FREE(xid)	ConditionalXactLockTableWait(xid, false)
#else
#define PGCACHE_XACT_LOCK_IS_FREE(xid)	ConditionalXactLockTableWait(xid)
#endif

/* PG 18 took execute_once from ExecutorRun and its hook. */
#if PG_VERSION_NUM >= 180000
#define PGCACHE_RUN_PARAMS \
	QueryDesc *query, ScanDirection direction, uint64 count
#define PGCACHE_RUN_ARGS	query, direction, count
#else
#define PGCACHE_RUN_PARAMS \
	QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once
#define PGCACHE_RUN_ARGS	query, direction, count, execute_once
#endif

/*
 * PG 17 gave extensions wait events with names of their own.  Gives the one of
 * that name; *known keeps it for the process, 0 at first.
 */
static inline uint32
pgcache_wait_event(uint32 *known, const char *name)
{
#if PG_VERSION_NUM >= 170000
	if (*known == 0)
		*known = WaitEventExtensionNew(name);
	return *known;
#else
	return PG_WAIT_EXTENSION;
#endif
}

#endif							/* PGCACHE_BASE_COMPAT_H */
