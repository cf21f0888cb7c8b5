/*-------------------------------------------------------------------------
 *
 * test_torture.c
 *	  Functions of the torture test: random delays, and the comparison of the
 *	  cache's answer with the table's.
 *
 * In test builds only; test/test_functions.sql declares them.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef PGCACHE_TEST

#include "access/xact.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"

#include "shmem/debug_point.h"
#include "shmem/shmem.h"
#include "shmem/tally.h"

PG_FUNCTION_INFO_V1(pgcache_test_jitter);
PG_FUNCTION_INFO_V1(pgcache_test_compare);
PG_FUNCTION_INFO_V1(pgcache_test_tally);
PG_FUNCTION_INFO_V1(pgcache_test_tally_first);
PG_FUNCTION_INFO_V1(pgcache_test_tally_reset);
PG_FUNCTION_INFO_V1(pgcache_test_accept_messages);

Datum
pgcache_test_jitter(PG_FUNCTION_ARGS)
{
	int			permille = PG_GETARG_INT32(0);
	int			max_us = PG_GETARG_INT32(1);

	pgcache_shmem_require();
	if (permille < 0 || permille > 1000 || max_us < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("jitter must be between 0 and 1000 permille of not negative length")));
	pgcache_debug_jitter(permille, max_us);
	PG_RETURN_VOID();
}

/* What is needed to understand a wrong answer. */
static void
log_wrong(int kind, const char *key, const char *cached, const char *actual)
{
	Snapshot	snapshot = GetActiveSnapshot();
	StringInfoData running;

	initStringInfo(&running);
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		appendStringInfo(&running, " %u", snapshot->xip[i]);
	ereport(LOG,
			(errmsg("torture: wrong answer: kind %d key \"%s\" cached %s actual %s; isolation %d xid %u command %u snapshot %u:%u running%s%s",
					kind, key, cached ? cached : "NULL", actual ? actual : "NULL",
					XactIsoLevel, GetTopTransactionIdIfAny(), snapshot->curcid,
					snapshot->xmin, snapshot->xmax, running.data,
					snapshot->suboverflowed ? " overflowed" : "")));
	pfree(running.data);
}

/*
 * Compares what the cache said (key, hit, cached) with the truth, under the
 * caller's snapshot, and counts; returns whether it was a hit.
 */
Datum
pgcache_test_compare(PG_FUNCTION_ARGS)
{
	int			kind = PG_GETARG_INT32(0);
	char	   *key = text_to_cstring(PG_GETARG_TEXT_PP(1));
	bool		hit = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	char	   *cached = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	char	   *actual = PG_ARGISNULL(4) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(4));
	int			mode = (IsolationUsesXactSnapshot() ? 1 : 0) +
	(TransactionIdIsValid(GetTopTransactionIdIfAny()) ? 2 : 0);
	bool		wrong;

	pgcache_shmem_require();
	if (kind < 0 || kind >= PGCACHE_TALLY_KINDS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("kind must be between 0 and %d", PGCACHE_TALLY_KINDS - 1)));
	wrong = hit && (cached == NULL || actual == NULL ? cached != actual
					: strcmp(cached, actual) != 0);
	if (pgcache_tally_count(kind, mode, hit, wrong))
		log_wrong(kind, key, cached, actual);
	PG_RETURN_BOOL(hit);
}

/* What was counted for a kind and a mode: 0 reads, 1 hits, 2 wrong ones. */
Datum
pgcache_test_tally(PG_FUNCTION_ARGS)
{
	uint32		kind = PG_GETARG_UINT32(0);
	uint32		mode = PG_GETARG_UINT32(1);
	PgCacheTallyCell *cell;

	pgcache_shmem_require();
	if (kind >= PGCACHE_TALLY_KINDS || mode >= PGCACHE_TALLY_MODES)
		PG_RETURN_NULL();
	cell = &pgcache_tally->cells[kind][mode];
	switch (PG_GETARG_INT32(2))
	{
		case 0:
			PG_RETURN_INT64(pg_atomic_read_u64(&cell->reads));
		case 1:
			PG_RETURN_INT64(pg_atomic_read_u64(&cell->hits));
		case 2:
			PG_RETURN_INT64(pg_atomic_read_u64(&cell->wrong));
		default:
			PG_RETURN_NULL();
	}
}

/* How many hits had been compared when the first was wrong; 0: none was. */
Datum
pgcache_test_tally_first(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	PG_RETURN_INT64(pg_atomic_read_u64(&pgcache_tally->first_wrong));
}

Datum
pgcache_test_tally_reset(PG_FUNCTION_ARGS)
{
	pgcache_shmem_require();
	pgcache_tally_reset();
	PG_RETURN_VOID();
}

/* Takes note of all DDL whose messages were sent, as the next transaction would. */
Datum
pgcache_test_accept_messages(PG_FUNCTION_ARGS)
{
	AcceptInvalidationMessages();
	PG_RETURN_VOID();
}

#endif							/* PGCACHE_TEST */
