/*-------------------------------------------------------------------------
 *
 * value.h
 *	  Datums as bytes that outlive the transaction, and back.
 *
 * Flattening detoasts, flattens expanded objects, drops the varlena header and
 * compresses where asked and where it pays.  Text is the common form: every
 * type with an implicit cast to text is stored as text.  Another type is
 * stored with its OID and a fingerprint of its layout; when the type was
 * dropped or altered since, the value cannot be restored, which is a miss.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_VALUE_VALUE_H
#define PGCACHE_VALUE_VALUE_H

#include "base/settings.h"

typedef struct PgCacheValue
{
	bool		isnull;			/* a cached NULL: no bytes, no type */
	Oid			typid;			/* InvalidOid: text */
	uint32		fingerprint;	/* of typid's layout; 0 for text */
	PgCacheCompression compression; /* what was applied to data */
	uint32		raw_len;		/* bytes before compression */
	uint32		len;			/* bytes at data */
	const char *data;			/* may point into the datum that was flattened */
} PgCacheValue;

/*
 * Fills *value from a datum of type typid.  Allocates in the current memory
 * context.  Errors: 0A000 for pseudo-types and anonymous records, 54000 for a
 * value of more than pg_cache.max_value_size bytes (before compression; naming
 * size and setting), and whatever detoasting raises.
 */
extern void pgcache_value_flatten(Datum datum, bool isnull, Oid typid,
								  PgCacheCompression compression, int threshold,
								  PgCacheValue *value);

/*
 * Gives the stored value as text: text as it is, another type through its
 * output function.  False where the type is gone or was altered.  value->isnull
 * must be false.  For uncompressed text prefer to copy it straight into a
 * varlena of your own.
 */
extern bool pgcache_value_to_text(const PgCacheValue *value, text **result);

/*
 * Gives the stored value as a datum of type base.  False where the stored type
 * is gone or was altered (a miss).  Errors: 42804 when base is another type;
 * text converts to any type with an implicit cast to text (varchar, name,
 * domains over text; a domain's constraints are checked).
 */
extern bool pgcache_value_to_datum(const PgCacheValue *value, Oid base,
								   Datum *result);

/*
 * Whether a value of that type, stored with that fingerprint, can be restored;
 * InvalidOid, text, always.
 */
extern bool pgcache_value_is_current(Oid typid, uint32 fingerprint);

/*
 * The type below all domains: of the stored type, or text.  InvalidOid where the
 * stored type is gone or was altered.
 */
extern Oid	pgcache_value_base_type(const PgCacheValue *value);

/* The type that cache_entry shows: the stored type, or text; for NULL text. */
extern Oid	pgcache_value_type(const PgCacheValue *value);

/* Bytes of decompressed data in the current context; data itself if plain. */
extern const char *pgcache_value_raw(const PgCacheValue *value);

/* Installs the invalidation callbacks; called by _PG_init. */
extern void pgcache_value_init(void);

#endif							/* PGCACHE_VALUE_VALUE_H */
