/*-------------------------------------------------------------------------
 *
 * test_support.c
 *	  Functions by which tests see what was published, and why.
 *
 * In test builds only; the extension's script does not define them.  A test
 * reads test/test_functions.sql for that.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef PGCACHE_TEST

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "watch/watch_internal.h"

PG_FUNCTION_INFO_V1(pgcache_test_relation_stamp);
PG_FUNCTION_INFO_V1(pgcache_test_relation_kind);
PG_FUNCTION_INFO_V1(pgcache_test_relation_pending);
PG_FUNCTION_INFO_V1(pgcache_test_database_stamp);
PG_FUNCTION_INFO_V1(pgcache_test_own_changes);
PG_FUNCTION_INFO_V1(pgcache_test_wrote);
PG_FUNCTION_INFO_V1(pgcache_test_bound);
PG_FUNCTION_INFO_V1(pgcache_test_baseline_allows);
PG_FUNCTION_INFO_V1(pgcache_test_baseline_mark);

/* The number of the last publish in the stamp of a relation of this database. */
Datum
pgcache_test_relation_stamp(PG_FUNCTION_ARGS)
{
	PgCacheRing ring;

	pgcache_shmem_require();
	pgcache_stamp_read(pgcache_stamp_of_relation(MyDatabaseId, PG_GETARG_OID(0)), &ring);
	PG_RETURN_INT64(ring.at[0].number);
}

/* Of which kind it was. */
Datum
pgcache_test_relation_kind(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"xid", "strict", "immediate", "prepared"};
	PgCacheRing ring;

	pgcache_shmem_require();
	pgcache_stamp_read(pgcache_stamp_of_relation(MyDatabaseId, PG_GETARG_OID(0)), &ring);
	if (ring.at[0].number == 0)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(names[ring.at[0].kind]));
}

/* How many have begun DDL on the relation and not ended it. */
Datum
pgcache_test_relation_pending(PG_FUNCTION_ARGS)
{
	PgCacheRing ring;

	pgcache_shmem_require();
	pgcache_stamp_read(pgcache_stamp_of_relation(MyDatabaseId, PG_GETARG_OID(0)), &ring);
	PG_RETURN_INT32(ring.ddl_pending);
}

Datum
pgcache_test_database_stamp(PG_FUNCTION_ARGS)
{
	PgCacheRing ring;

	pgcache_shmem_require();
	pgcache_stamp_read(pgcache_stamp_of_database(MyDatabaseId), &ring);
	PG_RETURN_INT64(ring.at[0].number);
}

/* NULL if it is not known. */
Datum
pgcache_test_own_changes(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);
	uint64		number;

	pgcache_shmem_require();
	if (!pgcache_watch_own_changes(&table, 1, &number))
		PG_RETURN_NULL();
	PG_RETURN_INT64(number);
}

Datum
pgcache_test_wrote(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);

	pgcache_shmem_require();
	PG_RETURN_BOOL(pgcache_watch_wrote(&table, 1));
}

/* asof, noted, before and ddl_epoch of what pgcache_statement_bound says. */
Datum
pgcache_test_bound(PG_FUNCTION_ARGS)
{
	const PgCacheBound *bound;
	Datum		values[4];

	pgcache_shmem_require();
	bound = pgcache_statement_bound();
	if (bound == NULL)
		PG_RETURN_NULL();
	if (bound != pgcache_statement_bound())
		elog(ERROR, "two bounds for one statement");
	values[0] = Int64GetDatum(bound->snap.asof);
	values[1] = Int64GetDatum(bound->noted);
	values[2] = Int64GetDatum(bound->before);
	values[3] = Int64GetDatum(bound->ddl_epoch);
	PG_RETURN_ARRAYTYPE_P(construct_array(values, 4, INT8OID, sizeof(int64), true,
										  TYPALIGN_DOUBLE));
}

/* Whether the statement's data may be stored. */
Datum
pgcache_test_baseline_allows(PG_FUNCTION_ARGS)
{
	const PgCacheBound *bound;

	pgcache_shmem_require();
	bound = pgcache_statement_bound();
	PG_RETURN_BOOL(bound != NULL && pgcache_baseline_allows(&bound->snap));
}

Datum
pgcache_test_baseline_mark(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	pgcache_baseline_mark();
	PG_RETURN_VOID();
}

#endif							/* PGCACHE_TEST */
