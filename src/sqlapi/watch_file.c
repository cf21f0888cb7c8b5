/*-------------------------------------------------------------------------
 *
 * watch_file.c
 *	  cache_watch_file, cache_unwatch_file.
 *
 * Locking: see trigger/file_catalog.c.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "port.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "shmem/shmem.h"
#include "sqlapi/args.h"
#include "trigger/file.h"

PG_FUNCTION_INFO_V1(pgcache_sql_watch_file);
PG_FUNCTION_INFO_V1(pgcache_sql_unwatch_file);

static void
require_allowed(const char *function)
{
	pgcache_args_require_writable(function);
	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s", function),
				 errdetail("Only superusers and roles with privileges of the \"%s\" role may watch files.",
						   "pg_read_server_files")));
}

/* The path in the form in which it is kept. */
static char *
get_path(FunctionCallInfo fcinfo)
{
	char	   *path = text_to_cstring(pgcache_args_text(fcinfo, 0, "path"));

	if (strlen(path) >= MAXPGPATH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("path is too long"),
				 errdetail("It has %zu bytes; the limit is %d.",
						   strlen(path), MAXPGPATH - 1)));
	canonicalize_path(path);
	if (!is_absolute_path(path))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("path of a watched file must be absolute"),
				 errdetail("\"%s\" is not.", path)));
	return path;
}

/* The name of a namespace that the current role may write. */
static char *
get_space(FunctionCallInfo fcinfo)
{
	return pstrdup(pgcache_args_space(pgcache_args_text(fcinfo, 2, "namespace"),
									  PGCACHE_WRITE)->name);
}

/* The tags, checked and without duplicates, as an array of text. */
static Datum
get_tags(FunctionCallInfo fcinfo)
{
	char		packed[PGCACHE_MAX_TAGS_LEN];
	Datum		tags[PGCACHE_MAX_TAGS];
	uint8		ntags;
	const char *tag = packed;

	if (PG_ARGISNULL(1))
		pgcache_args_refuse_null("array of tags");
	(void) pgcache_args_tags(fcinfo, 1, packed, &ntags);
	if (ntags == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a watch of a file must have at least one tag")));
	for (int i = 0; i < ntags; i++)
	{
		tags[i] = PointerGetDatum(cstring_to_text_with_len(tag + 1, (uint8) *tag));
		tag += 1 + (uint8) *tag;
	}
	return PointerGetDatum(construct_array(tags, ntags, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

Datum
pgcache_sql_watch_file(PG_FUNCTION_ARGS)
{
	char	   *path;
	Datum		tags;

	require_allowed("cache_watch_file()");
	path = get_path(fcinfo);
	tags = get_tags(fcinfo);
	pgcache_file_add(path, get_space(fcinfo), tags);
	PG_RETURN_VOID();
}

Datum
pgcache_sql_unwatch_file(PG_FUNCTION_ARGS)
{
	require_allowed("cache_unwatch_file()");
	pgcache_file_remove(get_path(fcinfo));
	PG_RETURN_VOID();
}
