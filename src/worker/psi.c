/*-------------------------------------------------------------------------
 *
 * psi.c
 *	  What Linux says of the pressure on memory, as its files have it.
 *
 * That a control group meets its limit is no shortage by itself: it does so
 * whenever it reads large files.  It counts if processes wait for memory besides.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "worker/psi.h"

/* Percent of the time that some, or all, must have waited. */
#define SOME_SHORT		10.0
#define FULL_SHORT		2.0

/* And that some may have, if the group met its limit meanwhile. */
#define SOME_LIMITED	1.0

/* The rest of the line that begins with a word and a separator, or NULL. */
static const char *
find_line(const char *text, const char *word, char separator)
{
	Size		len = strlen(word);

	for (const char *p = text; p != NULL && *p != '\0';)
	{
		if (strncmp(p, word, len) == 0 && p[len] == separator)
			return p + len + 1;
		p = strchr(p, '\n');
		if (p)
			p++;
	}
	return NULL;
}

static bool
parse_share(const char *text, const char *word, double *share)
{
	static const char field[] = "avg10=";
	const char *line = find_line(text, word, ' ');
	char	   *end;

	if (line == NULL || strncmp(line, field, strlen(field)) != 0)
		return false;
	line += strlen(field);
	*share = strtod(line, &end);
	return end != line && *share >= 0 && *share <= 100;
}

bool
pgcache_psi_parse(const char *text, PgCachePsi *psi)
{
	if (!parse_share(text, "some", &psi->some))
		return false;
	/* Not all kernels tell this for the whole machine. */
	if (!parse_share(text, "full", &psi->full))
		psi->full = 0;
	return true;
}

static uint64
parse_count(const char *text, const char *word)
{
	const char *line = find_line(text, word, ' ');

	return line ? strtoull(line, NULL, 10) : 0;
}

bool
pgcache_psi_parse_events(const char *text, PgCacheMemoryEvents *events)
{
	events->limited = parse_count(text, "high") + parse_count(text, "max");
	events->killed = parse_count(text, "oom_kill");
	return find_line(text, "max", ' ') != NULL;
}

bool
pgcache_psi_parse_group(const char *text, char *path, Size size)
{
	const char *line = find_line(text, "0:", ':');
	Size		len = line ? strcspn(line, "\n") : 0;

	if (line == NULL || *line != '/' || len >= size)
		return false;
	memcpy(path, line, len);
	path[len] = '\0';
	return true;
}

bool
pgcache_psi_is_short(const PgCachePsi *psi, const PgCacheMemoryEvents *before,
					 const PgCacheMemoryEvents *now)
{
	return psi->some >= SOME_SHORT || psi->full >= FULL_SHORT ||
		now->killed > before->killed ||
		(now->limited > before->limited && psi->some >= SOME_LIMITED);
}

bool
pgcache_psi_is_calm(const PgCachePsi *psi, const PgCacheMemoryEvents *before,
					const PgCacheMemoryEvents *now)
{
	return psi->some < SOME_LIMITED && psi->full < SOME_LIMITED &&
		now->killed <= before->killed;
}
