/*-------------------------------------------------------------------------
 *
 * pressure.h
 *	  pg_cache.memory_pressure: the cache makes way while memory is short.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_WORKER_PRESSURE_H
#define PGCACHE_WORKER_PRESSURE_H

/* One look, by the launcher; lowers or raises the limit by a step if it is time. */
extern void pgcache_pressure_round(void);

/* Registers the part of shared memory; called by _PG_init. */
extern void pgcache_pressure_register(void);

#ifdef PGCACHE_TEST
/* Looks at files in a directory instead of the control group's. */
extern void pgcache_pressure_look_at(const char *directory);
#endif

#endif							/* PGCACHE_WORKER_PRESSURE_H */
