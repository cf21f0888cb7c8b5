/*-------------------------------------------------------------------------
 *
 * namespaces.c
 *	  cache_create_namespace and the other functions that change namespaces.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "shmem/shmem.h"
#include "space/space.h"
#include "sqlapi/args.h"

PG_FUNCTION_INFO_V1(pgcache_sql_create_namespace);
PG_FUNCTION_INFO_V1(pgcache_sql_alter_namespace);
PG_FUNCTION_INFO_V1(pgcache_sql_drop_namespace);
PG_FUNCTION_INFO_V1(pgcache_sql_grant);
PG_FUNCTION_INFO_V1(pgcache_sql_revoke);
PG_FUNCTION_INFO_V1(pgcache_sql_namespaces_changed);

/* Arguments of create and alter: the name, the options, for alter the reset. */
#define ARG_FIRST_OPTION 1
#define ARG_RESET (ARG_FIRST_OPTION + PGCACHE_NOPTIONS)

static char *
get_name(FunctionCallInfo fcinfo)
{
	return text_to_cstring(pgcache_args_text(fcinfo, 0, "namespace"));
}

static void
get_options(FunctionCallInfo fcinfo, PgCacheSpaceChange *change)
{
	memset(change, 0, sizeof(*change));
	for (int i = 0; i < PGCACHE_NOPTIONS; i++)
	{
		change->given[i] = !PG_ARGISNULL(ARG_FIRST_OPTION + i);
		change->values[i] = PG_GETARG_DATUM(ARG_FIRST_OPTION + i);
	}
}

/* Marks the options that are named in the array as reset. */
static void
get_reset(FunctionCallInfo fcinfo, PgCacheSpaceChange *change)
{
	int		   *options;
	int			n = pgcache_args_options(fcinfo, ARG_RESET, pgcache_space_option,
										 "namespace", &options);

	for (int i = 0; i < n; i++)
		change->reset[options[i]] = true;
}

/* A role by name; InvalidOid for PUBLIC. */
static Oid
get_role(FunctionCallInfo fcinfo, int argno)
{
	char	   *name = text_to_cstring(pgcache_args_text(fcinfo, argno, "role"));

	if (strcmp(name, "public") == 0)
		return InvalidOid;
	return get_role_oid(name, false);
}

/*
 * Likewise, or by number, as the table shows a role that was dropped and a dump
 * restores it.
 */
static Oid
get_granted_role(FunctionCallInfo fcinfo, int argno)
{
	char	   *name = text_to_cstring(pgcache_args_text(fcinfo, argno, "role"));
	Oid			role = InvalidOid;

	if (name[0] != '\0' && strspn(name, "0123456789") == strlen(name) &&
		!OidIsValid(get_role_oid(name, true)))
		role = DatumGetObjectId(DirectFunctionCall1(oidin, CStringGetDatum(name)));
	return OidIsValid(role) ? role : get_role(fcinfo, argno);
}

static int
get_privilege(FunctionCallInfo fcinfo, int argno)
{
	char	   *name = text_to_cstring(pgcache_args_text(fcinfo, argno, "privilege"));

	if (strcmp(name, "read") == 0)
		return PGCACHE_READ;
	if (strcmp(name, "write") == 0)
		return PGCACHE_WRITE;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized privilege \"%s\"", name),
			 errhint("The privileges on a namespace are \"read\" and \"write\".")));
}

Datum
pgcache_sql_create_namespace(PG_FUNCTION_ARGS)
{
	PgCacheSpaceChange change;

	pgcache_args_require_writable("cache_create_namespace()");
	get_options(fcinfo, &change);
	pgcache_space_create(get_name(fcinfo), &change);
	PG_RETURN_VOID();
}

Datum
pgcache_sql_alter_namespace(PG_FUNCTION_ARGS)
{
	PgCacheSpaceChange change;

	pgcache_args_require_writable("cache_alter_namespace()");
	get_options(fcinfo, &change);
	get_reset(fcinfo, &change);
	pgcache_space_alter(get_name(fcinfo), &change);
	PG_RETURN_VOID();
}

Datum
pgcache_sql_drop_namespace(PG_FUNCTION_ARGS)
{
	pgcache_args_require_writable("cache_drop_namespace()");
	pgcache_space_drop(get_name(fcinfo));
	PG_RETURN_VOID();
}

Datum
pgcache_sql_grant(PG_FUNCTION_ARGS)
{
	pgcache_args_require_writable("cache_grant()");
	pgcache_space_grant(get_name(fcinfo), get_role(fcinfo, 1),
						get_privilege(fcinfo, 2));
	PG_RETURN_VOID();
}

Datum
pgcache_sql_revoke(PG_FUNCTION_ARGS)
{
	pgcache_args_require_writable("cache_revoke()");
	pgcache_space_revoke(get_name(fcinfo), get_granted_role(fcinfo, 1),
						 get_privilege(fcinfo, 2));
	PG_RETURN_VOID();
}

/*
 * Statement trigger on the catalog table, so that pg_restore's COPY and what
 * its owner does to the table directly take effect as well.  Loaded by
 * pg_restore into a server that does not preload us, it has nobody to tell.
 */
Datum
pgcache_sql_namespaces_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = pgcache_args_trigger(fcinfo);

	if (pgcache_shmem_ready)
		pgcache_space_changed(trigger->tg_relation);
	return PointerGetDatum(NULL);
}
