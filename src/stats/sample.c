/*-------------------------------------------------------------------------
 *
 * sample.c
 *	  Which gets are looked at.
 *
 * A backend counts down to the next one.  The distance is drawn anew each time, so
 * that it does not beat with a loop's period, from 1 to 2 N - 1: N on average.  A
 * sample weighs as much as its distance, so the weights add up to all gets.
 *
 * N is 1 until a backend has made 1,000 samples within a second.  Then, and after
 * each second or 1,000 samples, it is chosen so that there are 1,000 a second, but
 * at most doubled, and 256 at most.  So what few gets do is recorded exactly, and
 * short bursts nearly so.
 *
 * With nothing to record the distance is the longest there is, until a setting
 * changes (base/settings.c).
 *
 * No locks: all of this is the backend's own.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"

#include "stats/stats.h"

#define SAMPLES_PER_SECOND	1000
#define MAX_DISTANCE		256 /* on average */

static double mean_distance = 1;

/* Since when samples are counted to find the mean distance. */
static instr_time window_begin;
static uint32 window_samples = 0;
static uint64 window_gets = 0;

/* Looks after a second, or enough samples, how many gets there were. */
static void
adapt(uint32 weight)
{
	instr_time	passed;
	double		seconds;
	double		wanted;

	if (window_samples == 0)
		INSTR_TIME_SET_CURRENT(window_begin);
	window_samples++;
	window_gets += weight;
	INSTR_TIME_SET_CURRENT(passed);
	INSTR_TIME_SUBTRACT(passed, window_begin);
	seconds = INSTR_TIME_GET_DOUBLE(passed);
	if (seconds < 1 && window_samples < SAMPLES_PER_SECOND)
		return;
	wanted = window_gets / Max(seconds, 1e-6) / SAMPLES_PER_SECOND;
	mean_distance = Min(wanted, Min(2 * mean_distance, MAX_DISTANCE));
	mean_distance = Max(mean_distance, 1);
	window_samples = 0;
	window_gets = 0;
}

static inline bool
anything_to_record(void)
{
	return pgcache_track_latency || (pgcache_track_keys && pgcache_tracked_keys > 0);
}

/* Gives what the sample that is due weighs, and draws the next one's distance. */
static uint32
draw_next(void)
{
	uint32		weight = pgcache_sample_distance;

	if (!anything_to_record())
	{
		pgcache_sample_distance = 0;	/* parked */
		pgcache_sample_countdown = PG_UINT32_MAX;
		return 0;
	}
	if (weight == 0)
		weight = 1;				/* was parked until now */
	adapt(weight);
	pgcache_sample_distance = 1;
	if (mean_distance > 1)
		pgcache_sample_distance +=
			(uint32) (pg_prng_double(&pg_global_prng_state) * (2 * mean_distance - 1));
	pgcache_sample_countdown = pgcache_sample_distance;
	return weight;
}

/* The next distance is drawn first: the get may fail, or run others. */
void
pgcache_sample_begin(PgCacheSample *sample)
{
	sample->weight = draw_next();
	pgcache_timer_begin(&sample->timer);
}

void
pgcache_sample_end(const PgCacheSample *sample, const PgCacheKey *key)
{
	if (sample->weight == 0)
		return;
	pgcache_timer_end(&sample->timer, PGCACHE_OPERATION_GET, sample->weight);
	if (pgcache_track_keys)
		pgcache_keys_record(key, sample->weight);
}

void
pgcache_sample_key(const PgCacheKey *key)
{
	uint32		weight = draw_next();

	if (weight > 0 && pgcache_track_keys)
		pgcache_keys_record(key, weight);
}
