/*-------------------------------------------------------------------------
 *
 * clock.h
 *	  The time, from a clock that tests can set forward.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_BASE_CLOCK_H
#define PGCACHE_BASE_CLOCK_H

#include "datatype/timestamp.h"

#ifdef PGCACHE_TEST
/*
 * Microseconds by which the test clock runs ahead, in shared memory; NULL
 * until shared memory is attached.
 */
extern int64 *pgcache_clock_offset;

/* Makes the client's present statement one that began so much earlier. */
extern void pgcache_clock_age_statement(int64 usec);
#endif

/* The time of this call: a system call's worth, some 20 ns. */
extern TimestampTz pgcache_clock_now(void);

/* The time at which the client's statement began: free. */
extern TimestampTz pgcache_clock_statement(void);

#endif							/* PGCACHE_BASE_CLOCK_H */
