/*-------------------------------------------------------------------------
 *
 * value_internal.h
 *	  What the files of value/ share.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_VALUE_VALUE_INTERNAL_H
#define PGCACHE_VALUE_VALUE_INTERNAL_H

#include "fmgr.h"

#include "value/value.h"

/* What flattening and restoring need to know of a type. */
typedef struct PgCacheType
{
	Oid			typid;
	bool		valid;			/* nothing was changed since it was read */
	bool		exists;			/* else nothing below counts */
	bool		nested;			/* contains other types */
	bool		rows;			/* is or contains a composite type */
	bool		textual;		/* has an implicit cast to text */
	bool		as_text;		/* and its datums are texts as they are */
	bool		of_text;		/* and texts are its datums as they are */
	bool		typbyval;
	char		typtype;
	int16		typlen;
	Oid			basetype;		/* below all domains; typid if it is none */
	bool		composite;		/* basetype is */
	Oid			typoutput;
	uint32		syscache_hash;	/* of the pg_type row */
	uint32		fingerprint;
	FmgrInfo	output;			/* see pgcache_type_output */
} PgCacheType;

/*
 * Describes a type, which need not exist.  The result is kept for the life of
 * the backend, but what it says may change whenever catalogs are read or
 * users' functions are run.  Raises no error on account of the type.
 */
extern PgCacheType *pgcache_type_lookup(Oid typid);

/* The output function of an existing type, ready to be called. */
extern FmgrInfo *pgcache_type_output(PgCacheType *type);

/*
 * Converts as an assignment does or, where assignment knows no way, as an
 * explicit cast.  Gives a datum in the current memory context, not toasted.
 */
extern Datum pgcache_type_convert(Datum datum, Oid from, Oid to);

#endif							/* PGCACHE_VALUE_VALUE_INTERNAL_H */
