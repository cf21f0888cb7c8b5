/*-------------------------------------------------------------------------
 *
 * broken.h
 *	  Switches that break a rule each, to see that tests would notice.
 *
 * PGCACHE_BROKEN(rule) is constant false but in test builds (PGCACHE_TEST), where
 * the test functions pgcache_test_break(rule) and pgcache_test_mend() throw the
 * switches for all backends.  In unit tests they are a plain variable.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_STAMP_BROKEN_H
#define PGCACHE_STAMP_BROKEN_H

#include "port/atomics.h"

/* RULE(name), what a broken build does wrong. */
#define PGCACHE_BREAKABLE(RULE) \
	RULE(late)			/* publishes after the commit */ \
	RULE(nosnapshot)	/* serves without a look at the snapshot */ \
	RULE(noown)			/* ignores the own transaction's changes */ \
	RULE(nostrict)		/* takes TRUNCATE and DDL for ordinary changes */ \
	RULE(noevict)		/* forgets what fell out of a ring */ \
	RULE(nofloor)		/* believes that what fell out has finished */ \
	RULE(nounseen)		/* stores without a look at the rings */ \
	RULE(noimmediate)	/* stores over immediate changes */ \
	RULE(noborder)		/* and over those just at the snapshot's xmax */ \
	RULE(nofence)		/* takes a lease for its snapshot */ \
	RULE(hooks)			/* finds changes by executor hooks, not by locks */ \
	RULE(noddl)			/* has no DDL epoch */ \
	RULE(nokey)			/* does not test the key's stamp */ \
	RULE(noasof)				/* ignores as of when an entry is */

typedef enum PgCacheBreakable
{
#define PGCACHE_BREAKABLE_ENUM(name) PGCACHE_BREAK_##name,
	PGCACHE_BREAKABLE(PGCACHE_BREAKABLE_ENUM)
#undef PGCACHE_BREAKABLE_ENUM
	PGCACHE_NBREAKABLE
} PgCacheBreakable;

#ifdef PGCACHE_TEST
extern pg_atomic_uint32 *pgcache_broken;	/* a bit each; NULL: none */

#define PGCACHE_BROKEN(rule) \
	(pgcache_broken != NULL && \
	 (pg_atomic_read_u32(pgcache_broken) & (1U << PGCACHE_BREAK_##rule)) != 0)
#else
#define PGCACHE_BROKEN(rule)	false
#endif

#endif							/* PGCACHE_STAMP_BROKEN_H */
