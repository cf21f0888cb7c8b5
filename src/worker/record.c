/*-------------------------------------------------------------------------
 *
 * record.c
 *	  Jobs of a database's worker: writes the history, evaluates alerts.
 *
 * What they do is in SQL functions.  Here is when: both look at the counters in
 * shared memory first, and begin no transaction if nothing was counted.
 *
 * The history is due at the multiples of pg_cache.stats_interval, counted from
 * the table's last row, so a restart neither repeats nor skips one; and when its
 * oldest row has become too old.  Alerts are due each pg_cache.alert_interval,
 * unless nothing moved, here or in the server as a whole, and none is open or
 * about to be.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "executor/spi.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/settings.h"
#include "space/space.h"
#include "space/store_part.h"
#include "worker/worker_internal.h"

/* What is known of the history. */
typedef struct History
{
	bool		known;			/* the rest is */
	TimestampTz looked_at;		/* when it was last written or need not be */
	TimestampTz quiet_until;	/* nothing was counted between the last row
								 * and then */
	TimestampTz oldest;			/* row; DT_NOEND: there is none */
	bool		counted;		/* seen is valid */
	uint64		seen;			/* activity() when it was last written */
} History;

typedef struct Alerts
{
	bool		known;
	TimestampTz looked_at;
	uint64		seen;			/* activity_for_alerts() at the last one */
	uint64		jobs;			/* pgcache_worker_jobs_run() then */
	int64		active;			/* open, or waiting to be */
} Alerts;

static History history;
static Alerts alerts;

/*
 * When rates of the last row begin to be zero: alerts may depend on it, though
 * nothing is counted.
 */
static TimestampTz stale_at = DT_NOEND;

static Oid	rules_table = InvalidOid;
static bool rules_changed = false;

/* A column of what pgcache_worker_call found. */
static Datum
result(int column, Datum if_null)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0],
									  SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? if_null : value;
}

/* A number that changes whenever anything is counted in this database. */
static uint64
activity(void)
{
	PgCacheTally tally;
	uint64		sum;

	pgcache_space_tally(&tally);
	sum = (uint64) tally.evictions + (uint64) tally.expirations;
	for (int i = 0; i < PGCACHE_NCOUNTERS; i++)
		sum += tally.counters[i];
	return sum;
}

/*
 * A number that also changes with what alerts of the whole server depend on:
 * other databases use its memory and namespaces.  Of memory by a 1024th.
 */
static uint64
activity_for_alerts(void)
{
	PgCacheMemory memory;
	uint64		limit = Max(pgcache_memory_limit_bytes(), 1);
	uint64		number = activity();

	pgcache_store_memory(pgcache_store, &memory);
	number = hash_combine64(number, (uint64) pgcache_space_count_slots());
	number = hash_combine64(number, (uint64) memory.used * 1024 / limit);
	return hash_combine64(number, limit);
}

/* ---- the history ------------------------------------------------------------ */

static TimestampTz
next_row(void)
{
	int64		interval = pgcache_stats_interval * USECS_PER_SEC;

	if (interval == 0)
		return DT_NOEND;
	return (history.looked_at / interval + 1) * interval;
}

static TimestampTz
next_prune(void)
{
	if (history.oldest == DT_NOEND)
		return DT_NOEND;
	return history.oldest + pgcache_stats_retention * USECS_PER_SEC;
}

TimestampTz
pgcache_history_due(void)
{
	TimestampTz now = pgcache_clock_now();

	if (!history.known)
		return DT_NOBEGIN;
	history.looked_at = Min(history.looked_at, now);
	if (next_row() <= now && history.counted && activity() == history.seen)
	{
		history.looked_at = now;
		history.quiet_until = now;
	}
	return Min(next_row(), next_prune());
}

/* Reads how far the history goes. */
static bool
read_history(void)
{
	if (!pgcache_worker_call("f.last, f.oldest", "cache_stats_recorded", NULL))
		return false;
	history.looked_at = DatumGetTimestampTz(result(1, TimestampTzGetDatum(0)));
	history.oldest = DatumGetTimestampTz(result(2, TimestampTzGetDatum(DT_NOEND)));
	return true;
}

static void
write_row(TimestampTz now)
{
	uint64		seen = activity();
	bool		quiet = history.quiet_until != 0 && history.quiet_until <= now;

	if (!pgcache_worker_call("f", "cache_record_stats", quiet ? &history.quiet_until : NULL) ||
		!read_history())
		return;

	/*
	 * If nothing was written the next row is nevertheless not about that
	 * time.
	 */
	history.quiet_until = history.looked_at < now ? now : 0;
	history.looked_at = now;
	history.seen = seen;
	history.counted = true;
	stale_at = now + 2 * pgcache_stats_interval * USECS_PER_SEC;
}

void
pgcache_history_run(void)
{
	TimestampTz now = pgcache_clock_now();

	if (!history.known && !read_history())
		return;
	history.known = true;
	history.looked_at = Min(history.looked_at, now);
	if (next_row() <= now)
		write_row(now);
	else if (next_prune() <= now && pgcache_worker_call("f", "cache_prune_stats", NULL))
		(void) read_history();
}

/* ---- alerts ----------------------------------------------------------------- */

static void
on_relation_change(Datum arg, Oid relation)
{
	if (!OidIsValid(relation) || relation == rules_table)
		rules_changed = true;
}

TimestampTz
pgcache_alerts_due(void)
{
	TimestampTz now = pgcache_clock_now();
	int64		interval = pgcache_alert_interval * USECS_PER_SEC;

	if (interval == 0)
		return DT_NOEND;
	if (!alerts.known || rules_changed)
		return DT_NOBEGIN;
	alerts.looked_at = Min(alerts.looked_at, now);
	if (alerts.looked_at + interval <= now && alerts.active == 0 &&
		stale_at > now && alerts.jobs == pgcache_worker_jobs_run() &&
		alerts.seen == activity_for_alerts())
		alerts.looked_at = now;
	return alerts.looked_at + interval;
}

void
pgcache_alerts_run(void)
{
	static bool registered = false;
	TimestampTz now = pgcache_clock_now();
	uint64		seen = activity_for_alerts();
	Oid			schema = pgcache_space_schema();

	if (!registered)
		pgcache_space_on_relcache(on_relation_change);
	registered = true;
	rules_table = OidIsValid(schema) ?
		get_relname_relid("cache_alert_rules", schema) : InvalidOid;
	alerts.known = false;
	rules_changed = false;
	if (!pgcache_worker_call("f", "cache_evaluate_alerts", NULL))
		return;
	alerts.active = DatumGetInt64(result(1, Int64GetDatum(0)));
	alerts.looked_at = now;
	alerts.seen = seen;
	alerts.jobs = pgcache_worker_jobs_run();
	alerts.known = true;
	if (stale_at <= now)
		stale_at = DT_NOEND;
}
