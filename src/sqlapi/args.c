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

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/arrayaccess.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/interval.h"
#include "shmem/shmem.h"
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
check_tag(Size len)
{
	if (len == 0 || len > PGCACHE_MAX_TAG_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("length of tag must be between %d and %d bytes",
						1, PGCACHE_MAX_TAG_LEN),
				 errdetail("The tag has %zu bytes.", len)));
}

/* A walk through an array of tags. */
typedef struct TagWalk
{
	array_iter	it;
	int			n;
	int			next;
} TagWalk;

static void
begin_tags(TagWalk *walk, FunctionCallInfo fcinfo, int argno)
{
	AnyArrayType *array = PG_GETARG_ANY_ARRAY_P(argno);

	walk->n = ArrayGetNItems(AARR_NDIM(array), AARR_DIMS(array));
	walk->next = 0;
	array_iter_setup(&walk->it, array);
}

/* The next tag, NULL at the end. */
static text *
next_tag(TagWalk *walk)
{
	bool		isnull;
	Datum		datum;

	if (walk->next == walk->n)
		return NULL;
	datum = array_iter_next(&walk->it, &isnull, walk->next++, -1, false,
							TYPALIGN_INT);
	if (isnull)
		pgcache_args_refuse_null("tag");
	return DatumGetTextPP(datum);
}

/* Appends a tag to a packed list; returns the list's new end. */
static char *
append_tag(char *end, const text *tag)
{
	Size		len = VARSIZE_ANY_EXHDR(tag);

	*end++ = (char) len;
	memcpy(end, VARDATA_ANY(tag), len);
	return end + len;
}

int
pgcache_args_tags(FunctionCallInfo fcinfo, int argno, char *buf, uint8 *ntags)
{
	TagWalk		walk;
	char	   *end = buf;
	text	   *tag;

	*ntags = 0;
	begin_tags(&walk, fcinfo, argno);
	while ((tag = next_tag(&walk)) != NULL)
	{
		Size		len = VARSIZE_ANY_EXHDR(tag);

		if (has_tag(buf, end - buf, VARDATA_ANY(tag), len))
			continue;
		check_tag(len);
		if (*ntags == PGCACHE_MAX_TAGS)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("too many tags"),
					 errdetail("An entry can have at most %d tags.",
							   PGCACHE_MAX_TAGS)));
		end = append_tag(end, tag);
		(*ntags)++;
	}
	return end - buf;
}

int
pgcache_args_tag_list(FunctionCallInfo fcinfo, int argno, char **list, int *ntags)
{
	TagWalk		walk;
	char	   *end;
	text	   *tag;

	begin_tags(&walk, fcinfo, argno);
	*ntags = walk.n;
	*list = end = palloc((Size) Max(walk.n, 1) * (PGCACHE_MAX_TAG_LEN + 1));
	while ((tag = next_tag(&walk)) != NULL)
	{
		check_tag(VARSIZE_ANY_EXHDR(tag));
		end = append_tag(end, tag);
	}
	return end - *list;
}

/* ---- tables ---------------------------------------------------------------- */

/*
 * Raises an error unless changes of the relation are known to all sessions by
 * its own stamp.  It is none of our business whether the caller may read it: he
 * learns nothing but when it changes.
 */
static void
check_table(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Form_pg_class class;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relation)));
	class = (Form_pg_class) GETSTRUCT(tuple);
	if (relation < FirstNormalObjectId ||
		IsCatalogNamespace(class->relnamespace) ||
		IsToastNamespace(class->relnamespace))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot depend on relation \"%s\"", NameStr(class->relname)),
				 errdetail("This operation is not supported for system tables.")));
	if (class->relkind != RELKIND_RELATION &&
		class->relkind != RELKIND_PARTITIONED_TABLE &&
		class->relkind != RELKIND_MATVIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot depend on relation \"%s\"", NameStr(class->relname)),
				 errdetail_relkind_not_supported(class->relkind)));
	if (class->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot depend on relation \"%s\"", NameStr(class->relname)),
				 errdetail("This operation is not supported for temporary tables.")));
	ReleaseSysCache(tuple);
}

static bool
has_table(const Oid *tables, int n, Oid table)
{
	for (int i = 0; i < n; i++)
		if (tables[i] == table)
			return true;
	return false;
}

int
pgcache_args_tables(FunctionCallInfo fcinfo, int argno, Oid *tables)
{
	Datum	   *elements;
	bool	   *nulls;
	int			nelements;
	int			n = 0;

	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("entries cannot depend on tables during recovery"),
				 errhint("Use a time to live.")));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argno), REGCLASSOID, sizeof(Oid),
					  true, TYPALIGN_INT, &elements, &nulls, &nelements);
	for (int i = 0; i < nelements; i++)
	{
		Oid			table = DatumGetObjectId(elements[i]);

		if (nulls[i])
			pgcache_args_refuse_null("table");
		if (has_table(tables, n, table))
			continue;
		check_table(table);
		if (n == PGCACHE_MAX_TABLES)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("too many tables"),
					 errdetail("An entry can depend on at most %d tables.",
							   PGCACHE_MAX_TABLES)));
		tables[n++] = table;
	}
	pfree(elements);
	pfree(nulls);
	return n;
}

int
pgcache_args_options(FunctionCallInfo fcinfo, int argno,
					 int (*find) (const char *name), const char *what,
					 int **options)
{
	Datum	   *names;
	bool	   *nulls;
	int			n;

	*options = NULL;
	if (PG_ARGISNULL(argno))
		return 0;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argno), TEXTOID, -1, false,
					  TYPALIGN_INT, &names, &nulls, &n);
	*options = palloc(Max(n, 1) * sizeof(int));
	for (int i = 0; i < n; i++)
	{
		char	   *name = nulls[i] ? NULL : TextDatumGetCString(names[i]);

		(*options)[i] = name ? find(name) : -1;
		if ((*options)[i] < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unrecognized %s option \"%s\"", what,
							name ? name : "NULL")));
	}
	return n;
}

void
pgcache_args_require_writable(const char *function)
{
	pgcache_shmem_require();
	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
	PreventCommandIfParallelMode(function);
}

struct TriggerData *
pgcache_args_trigger(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function must be called by the trigger manager")));
	return (TriggerData *) fcinfo->context;
}
