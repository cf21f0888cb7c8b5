/*-------------------------------------------------------------------------
 *
 * broken.c
 *	  Test functions that break a rule of consistency, and mend all.
 *
 * In test builds only; the extension's script does not define them.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef PGCACHE_TEST

#include "fmgr.h"
#include "utils/builtins.h"

#include "shmem/shmem.h"
#include "stamp/broken.h"

PG_FUNCTION_INFO_V1(pgcache_test_break);
PG_FUNCTION_INFO_V1(pgcache_test_mend);

static const char *const names[] = {
#define RULE_NAME(name) #name,
	PGCACHE_BREAKABLE(RULE_NAME)
#undef RULE_NAME
};

Datum
pgcache_test_break(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	pgcache_shmem_require();
	for (int i = 0; i < PGCACHE_NBREAKABLE; i++)
	{
		if (strcmp(names[i], name) != 0)
			continue;
		pg_atomic_fetch_or_u32(pgcache_broken, 1U << i);
		PG_RETURN_VOID();
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("there is no rule \"%s\" to break", name)));
}

Datum
pgcache_test_mend(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	pg_atomic_write_u32(pgcache_broken, 0);
	PG_RETURN_VOID();
}

#endif							/* PGCACHE_TEST */
