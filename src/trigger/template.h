/*-------------------------------------------------------------------------
 *
 * template.h
 *	  Templates such as 'user:{id}': text with names of columns.
 *
 * {name} stands for a column's value, {{ and }} for braces.  These functions
 * need no server and allocate nothing.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_TRIGGER_TEMPLATE_H
#define PGCACHE_TRIGGER_TEMPLATE_H

typedef enum PgCachePartKind
{
	PGCACHE_PART_END,
	PGCACHE_PART_TEXT,			/* text is to be copied */
	PGCACHE_PART_COLUMN,		/* text is a column's name */
	PGCACHE_PART_MALFORMED		/* text is what is wrong, and all that follows */
} PgCachePartKind;

/* A piece of a template; text points into it and is not terminated. */
typedef struct PgCachePart
{
	PgCachePartKind kind;
	const char *text;
	int			len;
} PgCachePart;

/* The first part of what *rest points to, which is moved behind it. */
extern PgCachePart pgcache_template_next(const char **rest);

/* Number of columns in a template; -1 if it is malformed. */
extern int	pgcache_template_columns(const char *template);

/*
 * What a template without columns stands for, or the text between the columns.
 * buf has room for strlen(template) + 1 bytes; returns the length.
 */
extern int	pgcache_template_text(const char *template, char *buf);

/*
 * A LIKE pattern for all that a template can stand for.  buf has room for
 * 2 * strlen(template) + 1 bytes; returns the length.
 */
extern int	pgcache_template_pattern(const char *template, char *buf);

#endif							/* PGCACHE_TRIGGER_TEMPLATE_H */
