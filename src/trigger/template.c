/*-------------------------------------------------------------------------
 *
 * template.c
 *	  Templates such as 'user:{id}': text with names of columns.
 *
 * In every encoding that a server can have, the bytes looked for here are never
 * part of another character.
 *
 * Locking: none.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "trigger/template.h"

static PgCachePart
make_part(PgCachePartKind kind, const char *start, int len)
{
	PgCachePart part;

	part.kind = kind;
	part.text = start;
	part.len = len;
	return part;
}

PgCachePart
pgcache_template_next(const char **rest)
{
	const char *p = *rest;
	int			len;

	if (*p == '\0')
		return make_part(PGCACHE_PART_END, p, 0);

	if ((p[0] == '{' || p[0] == '}') && p[1] == p[0])
	{
		*rest = p + 2;
		return make_part(PGCACHE_PART_TEXT, p, 1);
	}

	if (*p == '{')
	{
		len = strcspn(p + 1, "{}");
		if (len == 0 || p[1 + len] != '}')
			return make_part(PGCACHE_PART_MALFORMED, p, strlen(p));
		*rest = p + len + 2;
		return make_part(PGCACHE_PART_COLUMN, p + 1, len);
	}

	len = strcspn(p, "{}");
	if (len == 0)
		return make_part(PGCACHE_PART_MALFORMED, p, strlen(p));
	*rest = p + len;
	return make_part(PGCACHE_PART_TEXT, p, len);
}

int
pgcache_template_columns(const char *template)
{
	int			n = 0;

	for (;;)
	{
		PgCachePart part = pgcache_template_next(&template);

		if (part.kind == PGCACHE_PART_MALFORMED)
			return -1;
		if (part.kind == PGCACHE_PART_END)
			return n;
		if (part.kind == PGCACHE_PART_COLUMN)
			n++;
	}
}

int
pgcache_template_text(const char *template, char *buf)
{
	char	   *end = buf;

	for (;;)
	{
		PgCachePart part = pgcache_template_next(&template);

		if (part.kind == PGCACHE_PART_TEXT)
		{
			memcpy(end, part.text, part.len);
			end += part.len;
		}
		else if (part.kind != PGCACHE_PART_COLUMN)
		{
			*end = '\0';
			return end - buf;
		}
	}
}

/* Columns side by side need but one wildcard. */
int
pgcache_template_pattern(const char *template, char *buf)
{
	char	   *end = buf;
	bool		after_column = false;

	for (;;)
	{
		PgCachePart part = pgcache_template_next(&template);

		if (part.kind == PGCACHE_PART_COLUMN)
		{
			if (!after_column)
				*end++ = '%';
			after_column = true;
			continue;
		}
		if (part.kind != PGCACHE_PART_TEXT)
		{
			*end = '\0';
			return end - buf;
		}
		for (int i = 0; i < part.len; i++)
		{
			if (strchr("%_\\", part.text[i]) != NULL)
				*end++ = '\\';
			*end++ = part.text[i];
		}
		after_column = false;
	}
}
