/*-------------------------------------------------------------------------
 *
 * ttl.c
 *	  From TTL, namespace and settings to the time at which an entry expires.
 *
 * No sum here can overflow: a TTL is at most PGCACHE_INTERVAL_MAX_USEC.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"

#include "base/clock.h"
#include "base/settings.h"
#include "sqlapi/ttl.h"

/* Microseconds of a setting in milliseconds; only 0 is 0, which is none. */
static int64
setting_usec(double ms)
{
	return ms > 0 ? Max((int64) (ms * 1000.0), 1) : 0;
}

/* The lower of two limits, of which 0 is none. */
static int64
lower_limit(int64 a, int64 b)
{
	if (a == 0 || b == 0)
		return a + b;
	return Min(a, b);
}

void
pgcache_ttl_rule(PgCacheTtl *ttl, const PgCacheSpace *space, int64 given)
{
	ttl->usec = given;
	if (ttl->usec == 0)
		ttl->usec = space->default_ttl;
	if (ttl->usec == 0)
		ttl->usec = setting_usec(pgcache_default_ttl);
	ttl->max_usec = lower_limit(space->max_ttl, setting_usec(pgcache_max_ttl));
	ttl->usec = lower_limit(ttl->usec, ttl->max_usec);
	ttl->jitter = space->ttl_jitter;
	ttl->sliding = space->sliding;
}

void
pgcache_ttl_life(const PgCacheTtl *ttl, TimestampTz now, TimestampTz created,
				 PgCacheLife *life)
{
	int64		usec = ttl->usec;

	life->expires = DT_NOEND;
	life->slide = 0;
	life->slide_cap = DT_NOEND;
	if (usec == 0)
		return;

	if (ttl->jitter > 0)
	{
		double		share = ttl->jitter * pg_prng_double(&pg_global_prng_state);

		usec = Max(usec - (int64) (usec * share), 1);
	}
	life->expires = now + usec;
	if (ttl->sliding)
	{
		life->slide = usec;
		if (ttl->max_usec != 0)
			life->slide_cap = created + ttl->max_usec;
		life->expires = Min(life->expires, life->slide_cap);
	}
}

void
pgcache_ttl_start(const PgCacheTtl *ttl, PgCacheItem *item)
{
	PgCacheLife life = {DT_NOEND, 0, DT_NOEND};

	item->flags &= ~(PGCACHE_ENTRY_TTL | PGCACHE_ENTRY_SLIDING);
	if (likely(ttl->usec == 0))
		item->created = pgcache_clock_statement();
	else
	{
		item->created = pgcache_clock_now();
		pgcache_ttl_life(ttl, item->created, item->created, &life);
		item->flags |= PGCACHE_ENTRY_TTL;
		if (life.slide != 0)
			item->flags |= PGCACHE_ENTRY_SLIDING;
	}
	item->expires = life.expires;
	item->slide = life.slide;
	item->slide_cap = life.slide_cap;
}
