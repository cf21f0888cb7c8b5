/*-------------------------------------------------------------------------
 *
 * args.c
 *	  Arguments that many SQL functions share: checks and conversions.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/arrayaccess.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/interval.h"
#include "sqlapi/args.h"

void
pgcache_args_refuse_key(Size len)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("length of key must be between %d and %d bytes",
					1, PGCACHE_MAX_KEY_LEN),
			 errdetail("The key has %zu bytes.", len)));
}

void
pgcache_args_refuse_null(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("%s must not be null", what)));
}

text *
pgcache_args_text(FunctionCallInfo fcinfo, int argno, const char *what)
{
	if (PG_ARGISNULL(argno))
		pgcache_args_refuse_null(what);
	return PG_GETARG_TEXT_PP(argno);
}

void
pgcache_args_unsupported(FunctionCallInfo fcinfo, int argno, const char *what)
{
	if (!PG_ARGISNULL(argno))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("argument \"%s\" is not supported in this version of pg_cache",
						what)));
}

int64
pgcache_args_ttl(FunctionCallInfo fcinfo, int argno)
{
	int64		usec;

	if (PG_ARGISNULL(argno))
		return 0;
	if (!pgcache_interval_usec(PG_GETARG_INTERVAL_P(argno), &usec))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time to live must be greater than zero")));
	return usec;
}

/*
 * It is the same in all calls from one place in an expression, so that fn_extra
 * can hold it.
 */
Oid
pgcache_args_type(FunctionCallInfo fcinfo, int argno)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;
	Oid			typid = (Oid) (uintptr_t) flinfo->fn_extra;

	if (likely(OidIsValid(typid)))
		return typid;
	typid = get_fn_expr_argtype(flinfo, argno);
	if (!OidIsValid(typid))
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_DATATYPE),
				 errmsg("could not determine data type of argument %d",
						argno + 1)));
	flinfo->fn_extra = (void *) (uintptr_t) typid;
	return typid;
}

/* Whether the packed list of len bytes contains the tag. */
static bool
has_tag(const char *list, int len, const char *tag, int tag_len)
{
	for (const char *p = list; p < list + len; p += 1 + (uint8) *p)
	{
		if ((uint8) *p == tag_len && memcmp(p + 1, tag, tag_len) == 0)
			return true;
	}
	return false;
}

static void
check_tag(Size len, int ntags)
{
	if (len == 0 || len > PGCACHE_MAX_TAG_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("length of tag must be between %d and %d bytes",
						1, PGCACHE_MAX_TAG_LEN),
				 errdetail("The tag has %zu bytes.", len)));
	if (ntags == PGCACHE_MAX_TAGS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("too many tags"),
				 errdetail("An entry can have at most %d tags.",
						   PGCACHE_MAX_TAGS)));
}

int
pgcache_args_tags(FunctionCallInfo fcinfo, int argno, char *buf, uint8 *ntags)
{
	AnyArrayType *array;
	array_iter	it;
	int			n;
	int			used = 0;

	*ntags = 0;
	array = PG_GETARG_ANY_ARRAY_P(argno);
	n = ArrayGetNItems(AARR_NDIM(array), AARR_DIMS(array));
	array_iter_setup(&it, array);
	for (int i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		datum = array_iter_next(&it, &isnull, i, -1, false,
											TYPALIGN_INT);
		text	   *tag;
		Size		len;

		if (isnull)
			pgcache_args_refuse_null("tag");
		tag = DatumGetTextPP(datum);
		len = VARSIZE_ANY_EXHDR(tag);
		if (has_tag(buf, used, VARDATA_ANY(tag), len))
			continue;
		check_tag(len, *ntags);
		buf[used] = (char) len;
		memcpy(buf + used + 1, VARDATA_ANY(tag), len);
		used += 1 + len;
		(*ntags)++;
	}
	return used;
}
