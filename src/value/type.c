/*-------------------------------------------------------------------------
 *
 * type.c
 *	  Types as a backend knows them: how stored, with which fingerprint.
 *
 * A stored value can outlive its type, or the form that the type had.  The
 * fingerprint is a hash over everything that decides how the bytes are read
 * and which values are allowed: length and alignment, the base type, typmod
 * and constraints of a domain, the element type of an array, the subtype of a
 * range, the columns of a composite type, and the same of all types that are
 * contained.  Names don't count: a renamed column changes no value.
 *
 * Descriptions are kept for the life of the backend and read anew after an
 * invalidation.  Each type is looked for in the system cache first, because
 * the type cache raises an error for one that was dropped.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "value/value_internal.h"

typedef struct TypeSlot
{
	Oid			typid;			/* hash key */
	char		status;
	PgCacheType *type;			/* apart: must stay where it is */
} TypeSlot;

#define SH_PREFIX		types
#define SH_ELEMENT_TYPE	TypeSlot
#define SH_KEY_TYPE		Oid
#define SH_KEY			typid
#define SH_HASH_KEY(tb, key)	murmurhash32(key)
#define SH_EQUAL(tb, a, b)		((a) == (b))
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static types_hash *types = NULL;
static MemoryContext types_context = NULL;

/* Number of invalidations seen, to notice one while a type is being read. */
static uint32 changes = 0;

/*
 * How often we begin anew then.  More than a few times in a row happens only
 * with debug_discard_caches, where there is no end to it.
 */
#define MAX_TRIES	10

/* State while the fingerprint of a type is computed. */
typedef struct Walk
{
	uint32		hash;
	List	   *entered;		/* a type may contain itself */
	bool		rows;			/* a composite type was met */
} Walk;

static bool walk_type(Walk *walk, Oid typid);

static inline void
mix(Walk *walk, uint32 value)
{
	walk->hash = hash_combine(walk->hash, murmurhash32(value));
}

/*
 * Mixes in the constraints of a domain.  They come in no certain order.  One
 * that is only being validated has governed all values since it was added, so
 * that validation makes no difference.
 */
static void
walk_constraints(Walk *walk, Oid typid)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	uint32		sum = 0;

	ScanKeyInit(&key, Anum_pg_constraint_contypid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(typid));
	scan = systable_beginscan(rel, ConstraintTypidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		sum += murmurhash32(((Form_pg_constraint) GETSTRUCT(tuple))->oid);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	mix(walk, sum);
}

/*
 * Mixes in the columns of a composite type, as the type cache has them: that is
 * the description by which the rest of the server reads and writes the type's
 * values.  It is replaced when the relation cache is told of a change, and that
 * is when we are told, too.
 */
static bool
walk_columns(Walk *walk, Oid typid, Oid relid)
{
	TupleDesc	desc;
	bool		whole = true;

	walk->rows = true;
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return false;
	desc = lookup_rowtype_tupdesc_copy(typid, -1);
	mix(walk, desc->natts);
	for (int i = 0; whole && i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		mix(walk, column->atttypmod);
		mix(walk, column->attlen);
		mix(walk, column->attbyval);
		mix(walk, column->attalign);
		mix(walk, column->attisdropped);
		whole = column->attisdropped || walk_type(walk, column->atttypid);
	}
	FreeTupleDesc(desc);
	return whole;
}

/* Mixes in what a type is made of; false where some part of it is gone. */
static bool
walk_type(Walk *walk, Oid typid)
{
	HeapTuple	tuple;
	FormData_pg_type form;

	mix(walk, typid);
	if (list_member_oid(walk->entered, typid))
		return true;
	check_stack_depth();
	walk->entered = lappend_oid(walk->entered, typid);

	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typid));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = *(Form_pg_type) GETSTRUCT(tuple);
	ReleaseSysCache(tuple);

	mix(walk, form.typlen);
	mix(walk, form.typbyval);
	mix(walk, form.typalign);
	mix(walk, form.typtype);
	switch (form.typtype)
	{
		case TYPTYPE_DOMAIN:
			mix(walk, form.typtypmod);
			mix(walk, form.typnotnull);
			walk_constraints(walk, typid);
			return walk_type(walk, form.typbasetype);
		case TYPTYPE_COMPOSITE:
			return walk_columns(walk, typid, form.typrelid);
		case TYPTYPE_RANGE:
			return walk_type(walk, get_range_subtype(typid));
		case TYPTYPE_MULTIRANGE:
			return walk_type(walk, get_multirange_range(typid));
		default:
			return !IsTrueArrayType(&form) || walk_type(walk, form.typelem);
	}
}

/*
 * Fills in the fingerprint and what follows from it.  Returns false where some
 * part of the type is gone.
 */
static bool
read_fingerprint(PgCacheType *type)
{
	Walk		walk = {0};
	bool		whole = walk_type(&walk, type->typid);

	type->nested = list_length(walk.entered) > 1;
	type->rows = walk.rows;
	type->fingerprint = walk.hash;
	list_free(walk.entered);
	return whole;
}

/* Finds out whether values of the type are stored as text. */
static void
read_text_casts(PgCacheType *type)
{
	Oid			cast;
	CoercionPathType path = find_coercion_pathway(TEXTOID, type->typid,
												  COERCION_IMPLICIT, &cast);

	type->textual = path != COERCION_PATH_NONE;
	type->as_text = path == COERCION_PATH_RELABELTYPE;
	type->of_text = type->as_text && type->basetype == type->typid &&
		find_coercion_pathway(type->typid, TEXTOID, COERCION_EXPLICIT,
							  &cast) == COERCION_PATH_RELABELTYPE;
}

/* Fills in a description from the catalogs; false where there is no type. */
static bool
read_type(PgCacheType *type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type->typid));
	Form_pg_type form;

	type->syscache_hash = GetSysCacheHashValue1(TYPEOID,
												ObjectIdGetDatum(type->typid));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_type) GETSTRUCT(tuple);
	type->typbyval = form->typbyval;
	type->typtype = form->typtype;
	type->typlen = form->typlen;
	type->typoutput = form->typoutput;
	ReleaseSysCache(tuple);

	if (!read_fingerprint(type))
		return false;
	if (type->typtype == TYPTYPE_PSEUDO)
		return true;
	type->basetype = getBaseType(type->typid);
	type->composite = get_typtype(type->basetype) == TYPTYPE_COMPOSITE;
	read_text_casts(type);
	return true;
}

/* Adds an empty description. */
static PgCacheType *
add_type(Oid typid)
{
	PgCacheType *type;
	TypeSlot   *slot;
	bool		found;

	if (types == NULL)
	{
		if (types_context == NULL)
			types_context = AllocSetContextCreate(TopMemoryContext,
												  "pg_cache types",
												  ALLOCSET_SMALL_SIZES);
		types = types_create(types_context, 64, NULL);
	}
	type = MemoryContextAllocZero(types_context, sizeof(PgCacheType));
	type->typid = typid;
	slot = types_insert(types, typid, &found);
	slot->type = type;
	return type;
}

PgCacheType *
pgcache_type_lookup(Oid typid)
{
	TypeSlot   *slot = types ? types_lookup(types, typid) : NULL;
	PgCacheType *type = slot ? slot->type : add_type(typid);

	for (int tries = 0; unlikely(!type->valid) && tries < MAX_TRIES; tries++)
	{
		PgCacheType fresh = {.typid = typid};
		uint32		before = changes;

		fresh.exists = read_type(&fresh);
		fresh.valid = changes == before;
		fresh.output = type->output;
		*type = fresh;
	}
	return type;
}

/*
 * A type keeps its output function for life, and only functions written in C
 * can be one, so that the call information is never thrown away.
 */
FmgrInfo *
pgcache_type_output(PgCacheType *type)
{
	if (type->output.fn_oid != type->typoutput)
		fmgr_info_cxt(type->typoutput, &type->output, types_context);
	return &type->output;
}

/*
 * An expression is built and evaluated as for a cast in a query: length
 * coercion, domain constraints and the right to call the cast function are
 * PostgreSQL's business.
 */
Datum
pgcache_type_convert(Datum datum, Oid from, Oid to)
{
	int16		typlen;
	bool		typbyval;
	Node	   *expr;
	CoercionContext context = COERCION_ASSIGNMENT;
	Const	   *converted;

	if (!can_coerce_type(1, &from, &to, context))
		context = COERCION_EXPLICIT;
	get_typlenbyval(from, &typlen, &typbyval);
	expr = (Node *) makeConst(from, -1, get_typcollation(from), typlen, datum,
							  false, typbyval);
	expr = coerce_to_target_type(NULL, expr, from, to, -1, context,
								 COERCE_IMPLICIT_CAST, -1);
	if (expr == NULL)
		elog(ERROR, "no cast from type %u to type %u", from, to);
	assign_expr_collations(NULL, expr);
	converted = (Const *) evaluate_expr((Expr *) expr, to, -1,
										exprCollation(expr));
	if (converted->constisnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("cast from type %s to type %s gave a null value",
						format_type_be(from), format_type_be(to))));
	return converted->constvalue;
}

/* Whether the change of a row of pg_type, or (0) of any of them, concerns a type. */
static bool
depends_on_row(const PgCacheType *type, uint32 hashvalue)
{
	return hashvalue == 0 || type->nested || type->syscache_hash == hashvalue;
}

/* Whether the change of a relation does: one that may be a composite type. */
static bool
depends_on_relation(const PgCacheType *type, uint32 ignored)
{
	return type->rows;
}

/* Forgets what is known of the types that a change concerns. */
static void
forget_types(bool (*concerned) (const PgCacheType *type, uint32 hashvalue),
			 uint32 hashvalue)
{
	types_iterator it;
	TypeSlot   *slot;

	changes++;
	if (types == NULL)
		return;
	types_start_iterate(types, &it);
	while ((slot = types_iterate(types, &it)) != NULL)
	{
		if (concerned(slot->type, hashvalue))
			slot->type->valid = false;
	}
}

static void
type_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_types(depends_on_row, hashvalue);
}

/* Some cast came, went or changed. */
static void
cast_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_types(depends_on_row, 0);
}

static void
relation_changed(Datum arg, Oid relid)
{
	forget_types(depends_on_relation, 0);
}

void
pgcache_value_init(void)
{
	CacheRegisterSyscacheCallback(TYPEOID, type_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(CASTSOURCETARGET, cast_changed, (Datum) 0);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}
