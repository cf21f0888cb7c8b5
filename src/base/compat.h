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
#include "storage/proc.h"

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

#endif							/* PGCACHE_BASE_COMPAT_H */
