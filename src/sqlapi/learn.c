/*-------------------------------------------------------------------------
 *
 * learn.c
 *	  What cache_learn() cannot do in SQL: read and forget the keys that were
 *	  asked for in hours that are over, and foretell those of the next.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "shmem/shmem.h"
#include "space/space.h"
#include "sqlapi/args.h"
#include "stats/stats.h"

PG_FUNCTION_INFO_V1(pgcache_sql_key_hour_sketches);
PG_FUNCTION_INFO_V1(pgcache_sql_foretell);
PG_FUNCTION_INFO_V1(pgcache_sql_forget_key_hour_sketches);

/*
 * Of keys that were cut nobody knows the end, so there is nothing to learn of them;
 * they count in the total.
 */
static void
add_keys(const PgCacheHotKey *keys, int n, Datum *key_array, Datum *weight_array)
{
	Datum	   *texts = palloc(Max(n, 1) * sizeof(Datum));
	Datum	   *weights = palloc(Max(n, 1) * sizeof(Datum));
	int			m = 0;

	for (int i = 0; i < n; i++)
	{
		if (keys[i].truncated)
			continue;
		texts[m] = PointerGetDatum(cstring_to_text_with_len(keys[i].key,
															keys[i].len));
		weights[m++] = Float8GetDatum(keys[i].weight);
	}
	*key_array = PointerGetDatum(construct_array(texts, m, TEXTOID, -1, false,
												 TYPALIGN_INT));
	*weight_array = PointerGetDatum(construct_array(weights, m, FLOAT8OID,
													sizeof(float8),
													FLOAT8PASSBYVAL,
													TYPALIGN_DOUBLE));
}

/*
 * Whether an hour of which something is recorded was over before then, and the
 * own transaction has not learned it.
 */
static bool
is_over(const PgCacheSpaceUse *space, const PgCacheKeyHour *hour, TimestampTz before)
{
	return hour->n > 0 && hour->begin + USECS_PER_HOUR <= before &&
		!pgcache_learn_forgets(space->slot, space->incarnation, hour->begin);
}

/* A row for each namespace of this database that has such an hour. */
Datum
pgcache_sql_key_hour_sketches(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz before = PG_GETARG_TIMESTAMPTZ(0);
	PgCacheSpaceUse *spaces;
	int			n;

	pgcache_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	spaces = pgcache_space_list(&n);
	for (int s = 0; s < n; s++)
	{
		Datum		values[9];
		bool		nulls[9] = {false};
		PgCacheKeyHour hour;

		if (spaces[s].incarnation == 0)
			continue;
		pgcache_keys_hour(spaces[s].slot, spaces[s].incarnation, &hour);
		if (!is_over(&spaces[s], &hour, before))
			continue;
		values[0] = Int32GetDatum(spaces[s].key.id);
		values[1] = CStringGetTextDatum(spaces[s].name);
		values[2] = TimestampTzGetDatum(hour.begin);
		values[3] = Float8GetDatum(hour.total);
		add_keys(hour.keys, hour.n, &values[4], &values[5]);
		values[6] = Int32GetDatum(hour.foretold);
		values[7] = Int32GetDatum(hour.asked);
		values[8] = Float8GetDatum(hour.asked_weight);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Finds a namespace that is in use; NULL if there is none. */
static const PgCacheSpaceUse *
find_space(int32 id)
{
	int			n;
	const PgCacheSpaceUse *spaces = pgcache_space_list(&n);

	for (int s = 0; s < n; s++)
		if (spaces[s].key.id == id && spaces[s].incarnation != 0)
			return &spaces[s];
	return NULL;
}

/* Foretells keys, of which it takes the first PGCACHE_MAX_FORETOLD. */
Datum
pgcache_sql_foretell(PG_FUNCTION_ARGS)
{
	const PgCacheSpaceUse *space;
	uint64		hashes[PGCACHE_MAX_FORETOLD];
	Datum	   *keys;
	bool	   *nulls;
	int			n;
	int			m = 0;

	pgcache_shmem_require();
	space = find_space(PG_GETARG_INT32(0));
	if (space == NULL)
		PG_RETURN_VOID();
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false, TYPALIGN_INT,
					  &keys, &nulls, &n);
	for (int i = 0; i < n && m < PGCACHE_MAX_FORETOLD; i++)
	{
		text	   *arg = nulls[i] ? NULL : DatumGetTextPP(keys[i]);
		PgCacheKey	key;

		if (arg == NULL)
			continue;
		pgcache_args_key(&key, space->slot, space->incarnation, arg);
		hashes[m++] = key.hash;
	}
	pgcache_learn_foretell(space->slot, space->incarnation,
						   PG_GETARG_TIMESTAMPTZ(1), hashes, m);
	PG_RETURN_VOID();
}

/* At commit. */
Datum
pgcache_sql_forget_key_hour_sketches(PG_FUNCTION_ARGS)
{
	TimestampTz before = PG_GETARG_TIMESTAMPTZ(0);
	PgCacheSpaceUse *spaces;
	int			n;

	pgcache_shmem_require();
	spaces = pgcache_space_list(&n);
	for (int s = 0; s < n; s++)
	{
		PgCacheKeyHour hour;

		if (spaces[s].incarnation == 0)
			continue;
		pgcache_keys_hour(spaces[s].slot, spaces[s].incarnation, &hour);
		if (is_over(&spaces[s], &hour, before))
			pgcache_learn_forget(spaces[s].slot, spaces[s].incarnation, hour.begin);
	}
	PG_RETURN_VOID();
}
