/*-------------------------------------------------------------------------
 *
 * value.c
 *	  Datums as bytes that outlive the transaction, and back.
 *
 * The bytes of a value are those of the datum, without the header that says
 * how a varlena is stored: a by-value type's typlen bytes, a fixed-length
 * type's or, of a varlena, what VARDATA points to once it is neither
 * compressed, nor out of line, nor expanded.  A plain datum is not copied
 * here: the value points into it.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/datum.h"
#include "utils/expandeddatum.h"

#include "base/codec.h"
#include "value/value.h"
#include "value/value_internal.h"

/* ---- flattening ------------------------------------------------------------ */

static void
report_too_large(Size size)
{
	const char *setting;
	Size		limit = pgcache_max_value_bytes(&setting);

	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("value of %zu bytes is too large for the cache", size),
			 errdetail("Values may have up to %zu bytes, by \"%s\".",
					   limit, setting),
			 strcmp(setting, "pg_cache.max_value_size") == 0 ?
			 errhint("Consider increasing \"%s\".", setting) :
			 errhint("Consider increasing \"%s\"; \"pg_cache.max_value_size\" can be set up to three quarters of it.",
					 setting)));
}

static inline void
check_size(Size size)
{
	if (unlikely(size > pgcache_max_value_bytes(NULL)))
		report_too_large(size);
}

static void
report_pseudo(Oid typid)
{
	bool		record = typid == RECORDOID || typid == RECORDARRAYOID;

	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot cache values of type %s", format_type_be(typid)),
			 record ?
			 errhint("Cast to a named composite type, or use to_jsonb().") : 0));
}

/*
 * Points the value at the bytes of a varlena.  A datum that must be copied to
 * get at them is returned, or NULL.
 */
static void *
take_varlena(Datum datum, PgCacheValue *value)
{
	struct varlena *plain = (struct varlena *) DatumGetPointer(datum);
	void	   *copy = NULL;

	if (VARATT_IS_EXTERNAL(plain) || VARATT_IS_COMPRESSED(plain))
	{
		/* to know the size costs nothing yet */
		check_size(toast_raw_datum_size(datum) - VARHDRSZ);
		copy = plain = detoast_attr(plain);
	}
	value->data = VARDATA_ANY(plain);
	value->raw_len = VARSIZE_ANY_EXHDR(plain);
	return copy;
}

/*
 * As take_varlena for a composite value.  It is labelled with its type, and its
 * columns hold no pointers to other places unless a function written in C forgot
 * its duty.  Neither is taken for granted: readers would take other bytes for the
 * value, or follow a pointer to what is long gone.
 */
static void *
take_composite(Datum datum, Oid typid, PgCacheValue *value)
{
	HeapTupleHeader tuple;

	if (VARATT_IS_EXTENDED(DatumGetPointer(datum)))
		check_size(toast_raw_datum_size(datum) - VARHDRSZ);
	tuple = (HeapTupleHeader) PG_DETOAST_DATUM(datum);
	if (HeapTupleHeaderGetTypeId(tuple) != typid)
		report_pseudo(HeapTupleHeaderGetTypeId(tuple));
	/* fetches what is out of line */
	take_varlena(HeapTupleHeaderGetDatum(tuple), value);
	return tuple == (HeapTupleHeader) DatumGetPointer(datum) ? NULL : tuple;
}

/* As take_varlena for a datum of any type but text. */
static void *
take_other(Datum datum, Oid typid, PgCacheValue *value)
{
	PgCacheType *type = pgcache_type_lookup(typid);

	if (typid == UNKNOWNOID)
	{
		value->data = DatumGetCString(datum);
		value->raw_len = strlen(value->data);
		return NULL;
	}
	if (!type->exists || type->typtype == TYPTYPE_PSEUDO)
		report_pseudo(typid);
	if (type->as_text)
		return take_varlena(datum, value);
	if (type->textual)
		return take_varlena(pgcache_type_convert(datum, typid, TEXTOID), value);

	value->typid = typid;
	value->fingerprint = type->fingerprint;
	if (type->composite)
		return take_composite(datum, type->basetype, value);
	if (type->typlen == -1)
		return take_varlena(datum, value);
	if (type->typbyval)
	{
		char	   *bytes = palloc(sizeof(Datum));

		store_att_byval(bytes, datum, type->typlen);
		value->data = bytes;
		value->raw_len = type->typlen;
		return NULL;
	}
	value->data = DatumGetPointer(datum);
	value->raw_len = datumGetSize(datum, false, type->typlen);
	return NULL;
}

void
pgcache_value_flatten(Datum datum, bool isnull, Oid typid,
					  PgCacheCompression compression, int threshold,
					  PgCacheValue *value)
{
	void	   *copy;

	memset(value, 0, sizeof(*value));
	value->isnull = isnull;
	if (isnull)
		return;

	if (likely(typid == TEXTOID || typid == VARCHAROID))
		copy = take_varlena(datum, value);
	else
		copy = take_other(datum, typid, value);
	check_size(value->raw_len);
	value->len = value->raw_len;

	if (compression != PGCACHE_COMPRESSION_NONE &&
		value->raw_len >= (uint32) threshold)
	{
		uint32		len;
		char	   *data = pgcache_codec_compress(compression, value->data,
												  value->raw_len, &len);

		if (data != NULL)
		{
			value->compression = compression;
			value->data = data;
			value->len = len;
			if (copy != NULL)
				pfree(copy);
		}
	}
}

/* ---- restoring ------------------------------------------------------------- */

/* Writes the raw_len bytes of a value to raw. */
static inline void
unpack(const PgCacheValue *value, char *raw)
{
	if (value->compression == PGCACHE_COMPRESSION_NONE)
		memcpy(raw, value->data, value->raw_len);
	else
		pgcache_codec_decompress(value->compression, value->data, value->len,
								 raw, value->raw_len);
}

const char *
pgcache_value_raw(const PgCacheValue *value)
{
	char	   *raw;

	if (value->compression == PGCACHE_COMPRESSION_NONE)
		return value->data;
	raw = palloc(value->raw_len);
	unpack(value, raw);
	return raw;
}

static struct varlena *
restore_varlena(const PgCacheValue *value)
{
	Size		size = VARHDRSZ + (Size) value->raw_len;
	struct varlena *result = palloc(size);

	SET_VARSIZE(result, size);
	unpack(value, VARDATA(result));
	return result;
}

static Datum
restore(const PgCacheValue *value, const PgCacheType *type)
{
	char	   *raw;

	if (type->typlen == -1)
		return PointerGetDatum(restore_varlena(value));
	raw = palloc(Max(value->raw_len, sizeof(Datum)));
	unpack(value, raw);
	return fetch_att(raw, type->typbyval, type->typlen);
}

/* The stored type of a value that is not text; NULL where it is not that type. */
static PgCacheType *
stored_type(const PgCacheValue *value)
{
	PgCacheType *type = pgcache_type_lookup(value->typid);

	return type->exists && type->fingerprint == value->fingerprint ? type : NULL;
}

bool
pgcache_value_is_current(Oid typid, uint32 fingerprint)
{
	PgCacheValue value = {.typid = typid,.fingerprint = fingerprint};

	return !OidIsValid(typid) || stored_type(&value) != NULL;
}

/* What byteaout gives, without its copies; the value may be large. */
static text *
restore_hex(const PgCacheValue *value)
{
	const char *raw = pgcache_value_raw(value);
	Size		size = VARHDRSZ + 2 + 2 * (Size) value->raw_len;
	text	   *result = palloc(size);

	SET_VARSIZE(result, size);
	memcpy(VARDATA(result), "\\x", 2);
	hex_encode(raw, value->raw_len, VARDATA(result) + 2);
	if (raw != value->data)
		pfree(unconstify(char *, raw));
	return result;
}

bool
pgcache_value_to_text(const PgCacheValue *value, text **result)
{
	PgCacheType *type;
	Datum		datum;
	char	   *string;

	if (!OidIsValid(value->typid))
	{
		*result = restore_varlena(value);
		return true;
	}
	type = stored_type(value);
	if (type == NULL)
		return false;
	if (value->typid == BYTEAOID && bytea_output == BYTEA_OUTPUT_HEX)
	{
		*result = restore_hex(value);
		return true;
	}
	datum = restore(value, type);
	string = OutputFunctionCall(pgcache_type_output(type), datum);
	if (!type->typbyval)
		pfree(DatumGetPointer(datum));
	*result = cstring_to_text(string);
	pfree(string);
	return true;
}

static void
report_mismatch(const PgCacheValue *value, Oid base)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("cached value is of type %s, not %s",
					format_type_be(pgcache_value_type(value)),
					format_type_be(base))));
}

/* Text fits text and each type that is stored as text. */
static Datum
text_to_datum(const PgCacheValue *value, Oid base)
{
	Datum		datum;

	if (base != TEXTOID && base != VARCHAROID)
	{
		PgCacheType *type = pgcache_type_lookup(base);

		if (!type->exists || !type->textual)
			report_mismatch(value, base);
		if (!type->of_text)
		{
			datum = PointerGetDatum(restore_varlena(value));
			return pgcache_type_convert(datum, TEXTOID, base);
		}
	}
	return PointerGetDatum(restore_varlena(value));
}

/*
 * A value of a domain is one of the domain's base type as well, and one of the
 * base type becomes one of the domain where the domain's constraints allow it.
 */
bool
pgcache_value_to_datum(const PgCacheValue *value, Oid base, Datum *result)
{
	PgCacheType *type;
	PgCacheType *target;

	if (base == RECORDOID || base == RECORDARRAYOID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot return a cached value as type %s",
						format_type_be(base)),
				 errhint("Use a named composite type or jsonb.")));
	if (!OidIsValid(value->typid))
	{
		*result = text_to_datum(value, base);
		return true;
	}

	type = stored_type(value);
	if (type == NULL)
		return false;
	target = base == value->typid ? type : pgcache_type_lookup(base);
	if (!target->exists || target->basetype != type->basetype)
		report_mismatch(value, base);

	*result = restore(value, type);
	if (target != type && target->basetype != base)
		*result = pgcache_type_convert(*result, target->basetype, base);
	return true;
}

Oid
pgcache_value_base_type(const PgCacheValue *value)
{
	PgCacheType *type;

	if (!OidIsValid(value->typid))
		return TEXTOID;
	type = stored_type(value);
	return type != NULL ? type->basetype : InvalidOid;
}

Oid
pgcache_value_type(const PgCacheValue *value)
{
	return OidIsValid(value->typid) ? value->typid : TEXTOID;
}
