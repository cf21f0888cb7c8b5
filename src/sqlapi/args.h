/*-------------------------------------------------------------------------
 *
 * args.h
 *	  Arguments that many SQL functions share: checks and conversions.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_SQLAPI_ARGS_H
#define PGCACHE_SQLAPI_ARGS_H

#include "fmgr.h"
#include "miscadmin.h"

#include "base/compat.h"
#include "space/space.h"
#include "space/store_part.h"

/* Raises 22023 for a key of that many bytes. */
pg_noreturn extern void pgcache_args_refuse_key(Size len);

/* Raises 22004; what names the argument. */
pg_noreturn extern void pgcache_args_refuse_null(const char *what);

/* A text argument that must be given, else 22004. */
extern text *pgcache_args_text(FunctionCallInfo fcinfo, int argno,
							   const char *what);

/* A TTL in microseconds, 0 where it is NULL; 22023 unless it is positive. */
extern int64 pgcache_args_ttl(FunctionCallInfo fcinfo, int argno);

/*
 * The type of an argument that is declared as "any" of some kind.  A function
 * can ask for one of its arguments only.
 */
extern Oid	pgcache_args_type(FunctionCallInfo fcinfo, int argno);

/*
 * Whether changes of a namespace take effect at once, and not at commit, by its
 * option.
 */
static inline bool
pgcache_args_now(int transactional)
{
	return !(transactional >= 0 ? transactional : pgcache_transactional);
}

/*
 * Packs an array of tags, not NULL, as the store has them, each after a length
 * byte, in their order and without duplicates.  buf has room for PGCACHE_MAX_TAGS_LEN
 * bytes; returns the bytes used.  Errors: 22004 for a NULL, 22023 for a tag of
 * 0 or too many bytes and for too many tags.
 */
extern int	pgcache_args_tags(FunctionCallInfo fcinfo, int argno, char *buf,
							  uint8 *ntags);

/*
 * The same for any number of tags, duplicates included, in palloc'd memory.
 * Returns the bytes used.
 */
extern int	pgcache_args_tag_list(FunctionCallInfo fcinfo, int argno,
								  char **list, int *ntags);

/*
 * The tables in an array of regclass, not NULL, without duplicates; tables has
 * room for PGCACHE_MAX_TABLES.  Returns their number.  Errors: 22004 for a NULL,
 * 22023 for too many, 42809 for a relation that is no ordinary or partitioned
 * table or materialized view, or is temporary or the system's, 42P01 for one
 * that does not exist; 0A000 on a standby.
 */
extern int	pgcache_args_tables(FunctionCallInfo fcinfo, int argno, Oid *tables);

/*
 * The options that are named in an array of text, "reset" by its argument; find
 * gives the number of an option by its name, or -1.  Returns how many there are,
 * none if it is NULL; *options is palloc'd.  22023 for one that there is not: what
 * says of what the options are.
 */
extern int	pgcache_args_options(FunctionCallInfo fcinfo, int argno,
								 int (*find) (const char *name),
								 const char *what, int **options);

/*
 * What every function that writes a table of ours requires: 55000 unless preloaded,
 * 25006 in a read-only transaction or on a standby, 25000 in a parallel operation.
 */
extern void pgcache_args_require_writable(const char *function);

/* What a trigger function is called with; raises 39P01 if it is not by a trigger. */
extern struct TriggerData *pgcache_args_trigger(FunctionCallInfo fcinfo);

/*
 * The namespace of that name, which the current role may use for need.  It is
 * valid until user code may run: an output function can call us again.
 */
static inline PgCacheSpace *
pgcache_args_space(text *name, int need)
{
	return pgcache_space_use(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name),
							 GetUserId(), need);
}

/* Fills key, which then points into the argument.  22023 for a bad length. */
static inline void
pgcache_args_key(PgCacheKey *key, uint16 slot, PgCacheIncarnation incarnation,
				 text *arg)
{
	Size		len = VARSIZE_ANY_EXHDR(arg);

	if (unlikely(len == 0 || len > PGCACHE_MAX_KEY_LEN))
		pgcache_args_refuse_key(len);
	pgcache_store_key(pgcache_store, key, slot, VARDATA_ANY(arg), len);
	key->incarnation = incarnation;
}

#endif							/* PGCACHE_SQLAPI_ARGS_H */
