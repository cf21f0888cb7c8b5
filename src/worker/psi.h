/*-------------------------------------------------------------------------
 *
 * psi.h
 *	  What Linux says of the pressure on memory, as its files have it.
 *
 * Runs without a server in unit tests.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_WORKER_PSI_H
#define PGCACHE_WORKER_PSI_H

/*
 * Of the last ten seconds, percent in which some process, or all that were not
 * idle, waited for memory.
 */
typedef struct PgCachePsi
{
	double		some;
	double		full;
} PgCachePsi;

/* How often a control group met its limits, and lost a process to that. */
typedef struct PgCacheMemoryEvents
{
	uint64		limited;		/* memory.high and memory.max */
	uint64		killed;
} PgCacheMemoryEvents;

/* The contents of memory.pressure or /proc/pressure/memory. */
extern bool pgcache_psi_parse(const char *text, PgCachePsi *psi);

/* Of memory.events. */
extern bool pgcache_psi_parse_events(const char *text, PgCacheMemoryEvents *events);

/* Of /proc/self/cgroup: the path of the group in the one hierarchy of version 2. */
extern bool pgcache_psi_parse_group(const char *text, char *path, Size size);

/* Whether memory is short, given what happened since the last look. */
extern bool pgcache_psi_is_short(const PgCachePsi *psi, const PgCacheMemoryEvents *before,
								 const PgCacheMemoryEvents *now);

/* Whether there is enough of it. */
extern bool pgcache_psi_is_calm(const PgCachePsi *psi, const PgCacheMemoryEvents *before,
								const PgCacheMemoryEvents *now);

#endif							/* PGCACHE_WORKER_PSI_H */
