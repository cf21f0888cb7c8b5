/*-------------------------------------------------------------------------
 *
 * debug_point.h
 *	  Named places in the code where a test can stop a backend.
 *
 * Compiled in test builds only (PGCACHE_TEST).  A test arms a point from SQL
 * with pgcache_test_arm(name); other backends that reach it stay there until
 * the same session calls pgcache_test_disarm(name).  Two kinds: at a
 * PGCACHE_DEBUG_POINT the backend waits for an advisory lock, which isolation
 * tests see and which can be cancelled; at a PGCACHE_DEBUG_SPIN, which may stand
 * under an LWLock, it spins and says in shared memory that it is there.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_SHMEM_DEBUG_POINT_H
#define PGCACHE_SHMEM_DEBUG_POINT_H

#if defined(PGCACHE_TEST) && !defined(PGCACHE_UNIT)

/* What the macros below stand for. */
extern void pgcache_debug_point(const char *name);
extern void pgcache_debug_spin(const char *name);

/*
 * Stops other backends at the points of that name, of either kind.  The lock
 * belongs to this session, so it must call disarm as well, or exit.  Errors:
 * 22023 for a name too long, 42710 if armed already, 53400 with too many armed.
 */
extern void pgcache_debug_arm(const char *name);

/* Lets them go on; without effect on a point that is not armed. */
extern void pgcache_debug_disarm(const char *name);

/* Process ID of the first backend that spins at the point, 0 if none does. */
extern int	pgcache_debug_reached(const char *name);

/*
 * From now on every point, armed or not, first sleeps with that probability, at
 * most for so long.  0: off.
 */
extern void pgcache_debug_jitter(int permille, int max_us);

/*
 * Registers the part of shared memory, which holds the test clock and the
 * torture test's tally as well.
 */
extern void pgcache_debug_register(void);

#define PGCACHE_DEBUG_POINT(name)	pgcache_debug_point(name)
#define PGCACHE_DEBUG_SPIN(name)	pgcache_debug_spin(name)
#else
#define PGCACHE_DEBUG_POINT(name)	((void) 0)
#define PGCACHE_DEBUG_SPIN(name)	((void) 0)
#endif

#endif							/* PGCACHE_SHMEM_DEBUG_POINT_H */
