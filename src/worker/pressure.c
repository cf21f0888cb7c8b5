/*-------------------------------------------------------------------------
 *
 * pressure.c
 *	  pg_cache.memory_pressure: the cache makes way while memory is short.
 *
 * The launcher looks at what Linux says of the server's control group (version
 * 2), or else of the machine, and lowers the limit of the cache's memory step by
 * step while memory is short, to a quarter of it at the least.  When it has been
 * plenty for a minute it raises it again, more slowly.
 *
 * Locking: none.  The ceiling is one number in shared memory, written by the
 * launcher only.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "port/atomics.h"
#include "storage/fd.h"

#include "base/clock.h"
#include "base/settings.h"
#include "shmem/shmem.h"
#include "worker/pressure.h"
#include "worker/psi.h"

/* A step down, in percent of pg_cache.memory, and the seconds between two. */
#define DOWN_PERCENT	5
#define DOWN_SECONDS	2

/* The same up again, and the seconds of calm before the first. */
#define UP_PERCENT		2
#define UP_SECONDS		5
#define CALM_SECONDS	60

/* What is left at the least is the memory's part of so many. */
#define LEAST_PART		4

typedef struct PgCacheSharedPressure
{
	pg_atomic_uint64 ceiling;	/* bytes; 0: none */
#ifdef PGCACHE_TEST
	char		directory[MAXPGPATH];	/* empty: look for the group's */
#endif
} PgCacheSharedPressure;

static PgCacheSharedPressure *shared = NULL;

/* ---- files ------------------------------------------------------------------ */

/* Reads a small file; false where there is none. */
static bool
read_file(const char *directory, const char *name, char *contents, Size size)
{
	char		path[MAXPGPATH];
	ssize_t		n;
	int			fd;

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int) sizeof(path))
		return false;
	fd = BasicOpenFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0)
		return false;
	n = read(fd, contents, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	contents[n] = '\0';
	return true;
}

/* The directory of our control group; false where it is not of version 2. */
static bool
find_group(char *directory, Size size)
{
	char		contents[4096];
	char		path[MAXPGPATH];

#ifdef PGCACHE_TEST
	if (shared->directory[0] != '\0')
	{
		strlcpy(directory, shared->directory, size);
		return true;
	}
#endif
	return read_file("/proc/self", "cgroup", contents, sizeof(contents)) &&
		pgcache_psi_parse_group(contents, path, sizeof(path)) &&
		snprintf(directory, size, "/sys/fs/cgroup%s", path) < (int) size;
}

/* Looks at the group's files, else the machine's; false where there are none. */
static bool
look(PgCachePsi *psi, PgCacheMemoryEvents *events)
{
	char		directory[MAXPGPATH];
	char		contents[4096];

	memset(events, 0, sizeof(*events));
	if (find_group(directory, sizeof(directory)))
	{
		if (read_file(directory, "memory.events", contents, sizeof(contents)))
			(void) pgcache_psi_parse_events(contents, events);
		if (read_file(directory, "memory.pressure", contents, sizeof(contents)))
			return pgcache_psi_parse(contents, psi);
	}
#ifdef PGCACHE_TEST
	if (shared->directory[0] != '\0')
		return false;
#endif
	return read_file("/proc/pressure", "memory", contents, sizeof(contents)) &&
		pgcache_psi_parse(contents, psi);
}

/* ---- the ceiling ------------------------------------------------------------- */

static void
set_ceiling(Size ceiling)
{
	pg_atomic_write_u64(&shared->ceiling, ceiling);
}

/* The limit that there is without pressure. */
static Size
full_limit(void)
{
	return pgcache_memory_limit_setting_bytes();
}

static void
step_down(const PgCachePsi *psi, bool turned)
{
	Size		least = pgcache_memory_bytes() / LEAST_PART;
	Size		step = pgcache_memory_bytes() / 100 * DOWN_PERCENT;
	Size		limit = pgcache_memory_limit_bytes();

	if (limit <= least)
		return;
	limit = Max(least, limit - Min(step, limit));
	set_ceiling(limit);
	if (turned)
		ereport(LOG,
				(errmsg("pg_cache lowers its memory because memory is short"),
				 errdetail("In the last ten seconds, some processes waited for memory in %.2f %% of the time, and all in %.2f %%.",
						   psi->some, psi->full)));
}

static void
step_up(bool turned)
{
	Size		limit = pgcache_memory_limit_bytes() +
	pgcache_memory_bytes() / 100 * UP_PERCENT;

	if (pg_atomic_read_u64(&shared->ceiling) == 0)
		return;
	set_ceiling(limit < full_limit() ? limit : 0);
	if (turned)
		ereport(LOG,
				(errmsg("pg_cache raises its memory because there is enough memory again")));
}

/* What the launcher remembers from one round to the next. */
typedef struct Memory
{
	bool		begun;
	bool		looked;			/* before is as of the last round */
	bool		complained;
	int			direction;		/* 1: the limit goes up or is where it should
								 * be; -1: it goes down */
	PgCacheMemoryEvents before;
	TimestampTz last_short;
	TimestampTz last_step;
} Memory;

/* Forgets all but what we told the log. */
static void
begin(Memory *m, TimestampTz now)
{
	bool		complained = m->complained;

	memset(m, 0, sizeof(*m));
	m->begun = true;
	m->complained = complained;
	m->direction = 1;

	/* A launcher before us lowered it; the calm begins at the earliest now. */
	if (pg_atomic_read_u64(&shared->ceiling) != 0)
	{
		m->direction = -1;
		m->last_short = m->last_step = now;
	}
}

/* Raises the limit by a step, if it was calm for long enough. */
static void
step_up_in_time(Memory *m, TimestampTz now)
{
	if (now - m->last_short < CALM_SECONDS * USECS_PER_SEC ||
		now - m->last_step < UP_SECONDS * USECS_PER_SEC)
		return;
	step_up(m->direction < 0);
	m->direction = 1;
	m->last_step = now;
}

/* Nothing is told of memory: what there is of a ceiling must not stay for ever. */
static void
go_blind(Memory *m, TimestampTz now)
{
	if (!m->complained)
		ereport(LOG,
				(errmsg("pg_cache.memory_pressure has no effect"),
				 errdetail("The operating system does not tell of pressure on memory.")));
	m->complained = true;
	m->looked = false;
	step_up_in_time(m, now);
}

void
pgcache_pressure_round(void)
{
	static Memory m = {false};
	PgCachePsi	psi;
	PgCacheMemoryEvents events;
	TimestampTz now = pgcache_clock_now();

	if (!pgcache_memory_pressure)
	{
		set_ceiling(0);
		m.begun = false;
		return;
	}
	if (!m.begun)
		begin(&m, now);
	/* If the clock was set back, what is to come is past. */
	if (now < m.last_step || now < m.last_short)
		m.last_step = m.last_short = now - CALM_SECONDS * USECS_PER_SEC;
	if (!look(&psi, &events))
	{
		go_blind(&m, now);
		return;
	}
	m.complained = false;
	if (!m.looked)
		m.before = events;
	m.looked = true;

	if (pgcache_psi_is_short(&psi, &m.before, &events))
	{
		m.last_short = now;
		/* An event that it is too soon to act on is not forgotten. */
		if (now - m.last_step < DOWN_SECONDS * USECS_PER_SEC)
			return;
		step_down(&psi, m.direction > 0);
		m.direction = -1;
		m.last_step = now;
	}
	else if (!pgcache_psi_is_calm(&psi, &m.before, &events))
		m.last_short = now;
	else
		step_up_in_time(&m, now);
	m.before = events;
}

/* ---- shared memory ----------------------------------------------------------- */

static Size
pressure_size(void)
{
	return sizeof(PgCacheSharedPressure);
}

static void
init_pressure(void *memory, LWLockPadded *locks)
{
	memset(memory, 0, pressure_size());
	pg_atomic_init_u64(&((PgCacheSharedPressure *) memory)->ceiling, 0);
}

static void
attach_pressure(void *memory, LWLockPadded *locks)
{
	shared = memory;
	pgcache_memory_ceiling = &shared->ceiling;
}

static const PgCacheShmemPart pressure_part = {
	.name = "PgCachePressure",
	.size = pressure_size,
	.init = init_pressure,
	.attach = attach_pressure
};

void
pgcache_pressure_register(void)
{
	pgcache_shmem_register(&pressure_part);
}

#ifdef PGCACHE_TEST
void
pgcache_pressure_look_at(const char *directory)
{
	strlcpy(shared->directory, directory, sizeof(shared->directory));
}
#endif
