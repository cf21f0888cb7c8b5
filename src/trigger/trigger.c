/*-------------------------------------------------------------------------
 *
 * trigger.c
 *	  cache_watch_trigger(): invalidates what a changed row stands for.
 *
 * The values of columns become text by their types' output functions, under
 * settings that are the same for everybody.  Those functions run with the rights
 * of whoever changes the table, as in any trigger, and their errors are the
 * statement's.
 *
 * What is made of the trigger's arguments is kept for the statement.
 *
 * Locking: none.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "shmem/shmem.h"
#include "trigger/trigger_internal.h"
#include "txn/txn.h"

PG_FUNCTION_INFO_V1(pgcache_sql_watch_trigger);

/* Settings on which the output function of a type depends, as bits. */
#define NEEDS_DATESTYLE		0x01
#define NEEDS_TIMEZONE		0x02
#define NEEDS_INTERVALSTYLE 0x04
#define NEEDS_FLOAT_DIGITS	0x08
#define NEEDS_BYTEA_OUTPUT	0x10
#define NEEDS_OTHERS		0x20
#define NEEDS_ALL			0x3f

static const struct
{
	int			needs;
	const char *name;
	const char *value;
}			fixed_settings[] =

{
	{NEEDS_DATESTYLE, "DateStyle", "ISO, MDY"},
	{NEEDS_TIMEZONE, "TimeZone", "UTC"},
	{NEEDS_INTERVALSTYLE, "IntervalStyle", "postgres"},
	{NEEDS_FLOAT_DIGITS, "extra_float_digits", "1"},
	{NEEDS_BYTEA_OUTPUT, "bytea_output", "hex"},
	{NEEDS_OTHERS, "lc_monetary", "C"},
	{NEEDS_OTHERS, "quote_all_identifiers", "off"},
	{NEEDS_OTHERS, "search_path", "pg_catalog"}
};

/* A part of a template, ready for rows. */
typedef struct RowPart
{
	const char *text;			/* without column */
	int			len;
	AttrNumber	column;			/* or 0 */
	FmgrInfo	output;
} RowPart;

typedef struct RowTemplate
{
	RowPart    *parts;
	int			nparts;
} RowTemplate;

/* What is kept for the statement. */
typedef struct Prepared
{
	PgCacheWatch watch;
	Oid			announced;		/* table named in notifications */
	RowTemplate key;
	RowTemplate tags[PGCACHE_MAX_TAGS];
	int			needs;			/* settings */
	HTAB	   *seen;			/* tags of earlier rows but the first, or NULL */
	PgCacheIncarnation has_rows;	/* in that namespace there was a row */
	bool		incomplete;		/* a column is missing */
	bool		warned;
} Prepared;

/* ---- preparing --------------------------------------------------------------- */

/* Settings that matter for a type. */
static int
needs_of(Oid typid)
{
	Oid			element;

	typid = getBaseType(typid);
	element = get_element_type(typid);
	if (OidIsValid(element))
		return needs_of(element);
	switch (typid)
	{
		case BOOLOID:
		case BPCHAROID:
		case CHAROID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case JSONBOID:
		case JSONOID:
		case NAMEOID:
		case NUMERICOID:
		case OIDOID:
		case TEXTOID:
		case UUIDOID:
		case VARCHAROID:
			return 0;
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
			return NEEDS_DATESTYLE;
		case TIMESTAMPTZOID:
			return NEEDS_DATESTYLE | NEEDS_TIMEZONE;
		case INTERVALOID:
			return NEEDS_INTERVALSTYLE;
		case FLOAT4OID:
		case FLOAT8OID:
			return NEEDS_FLOAT_DIGITS;
		case BYTEAOID:
			return NEEDS_BYTEA_OUTPUT;
		default:
			return get_typtype(typid) == TYPTYPE_ENUM ? 0 : NEEDS_ALL;
	}
}

/* The number of a column by its name; 0 if there is none. */
static AttrNumber
find_column(TupleDesc desc, const char *name, int len)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!column->attisdropped && strlen(NameStr(column->attname)) == len &&
			memcmp(NameStr(column->attname), name, len) == 0)
			return column->attnum;
	}
	return 0;
}

/* Adds a column; it may have been dropped or renamed since. */
static void
prepare_column(Prepared *prepared, RowPart *part, TupleDesc desc,
			   const PgCachePart *source)
{
	Oid			typid;
	Oid			function;
	bool		is_varlena;

	part->column = find_column(desc, source->text, source->len);
	if (part->column == 0)
	{
		prepared->incomplete = true;
		return;
	}
	typid = TupleDescAttr(desc, part->column - 1)->atttypid;
	prepared->needs |= needs_of(typid);
	getTypeOutputInfo(typid, &function, &is_varlena);
	fmgr_info_cxt(function, &part->output, CurrentMemoryContext);
}

static void
prepare_template(Prepared *prepared, RowTemplate *template, TupleDesc desc,
				 const char *source)
{
	template->parts = palloc0((strlen(source) + 1) * sizeof(RowPart));
	for (;;)
	{
		PgCachePart next = pgcache_template_next(&source);
		RowPart    *part = &template->parts[template->nparts];

		if (next.kind == PGCACHE_PART_TEXT)
		{
			part->text = next.text;
			part->len = next.len;
		}
		else if (next.kind == PGCACHE_PART_COLUMN)
			prepare_column(prepared, part, desc, &next);
		else
			break;
		template->nparts++;
	}
}

static Prepared *
prepare(const TriggerData *event)
{
	Prepared   *prepared = palloc0(sizeof(Prepared));
	PgCacheWatch *watch = &prepared->watch;
	Trigger    *trigger = event->tg_trigger;
	TupleDesc	desc = RelationGetDescr(event->tg_relation);
	char	  **args = palloc0((trigger->tgnargs + 1) * sizeof(char *));

	for (int i = 0; i < trigger->tgnargs; i++)
		args[i] = pstrdup(trigger->tgargs[i]);
	pgcache_watch_parse(watch, args, trigger->tgnargs);
	watch->trigger = trigger->tgoid;
	watch->relation = RelationGetRelid(event->tg_relation);
	prepared->announced = watch->relation;
	if (trigger->tgisclone)
	{
		const PgCacheWatch *stored = pgcache_watch_read(trigger->tgoid);

		if (stored != NULL)
			prepared->announced = pgcache_watch_root(stored);
	}
	if (watch->key != NULL)
		prepare_template(prepared, &prepared->key, desc, watch->key);
	for (int i = 0; i < watch->ntags; i++)
		prepare_template(prepared, &prepared->tags[i], desc, watch->tags[i]);
	return prepared;
}

/* ---- rows --------------------------------------------------------------------- */

/* Fixes the settings that matter; returns what pop_settings wants. */
static int
push_settings(int needs)
{
	int			level;

	if (needs == 0)
		return 0;
	level = NewGUCNestLevel();
	for (int i = 0; i < lengthof(fixed_settings); i++)
	{
		const char *name = fixed_settings[i].name;
		const char *value = fixed_settings[i].value;

		if ((needs & fixed_settings[i].needs) != 0 &&
			strcmp(GetConfigOption(name, false, false), value) != 0)
			(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_SAVE, true, 0, false);
	}
	return level;
}

static void
pop_settings(int level)
{
	if (level != 0)
		AtEOXact_GUC(true, level);
}

/*
 * What a template is for a row, into text; false if it is nothing: a column is
 * NULL, or the length cannot be.
 */
static bool
produce(const RowTemplate *template, TupleTableSlot *row, int max_len,
		StringInfo text)
{
	resetStringInfo(text);
	for (int i = 0; i < template->nparts; i++)
	{
		RowPart    *part = &template->parts[i];
		bool		isnull;
		Datum		value;

		if (part->column == 0)
		{
			appendBinaryStringInfo(text, part->text, part->len);
			continue;
		}
		value = slot_getattr(row, part->column, &isnull);
		if (isnull)
			return false;
		appendStringInfoString(text, OutputFunctionCall(&part->output, value));
	}
	return text->len > 0 && text->len <= max_len;
}

/* Tags of a statement's rows that are remembered. */
#define MAX_SEEN	10000

/* The tags of the old and of the new row, without duplicates. */
typedef struct Tags
{
	char		packed[2 * PGCACHE_MAX_TAGS_LEN];
	int			len;
	int			n;
} Tags;

static void
add_tag(Tags *tags, const StringInfo tag)
{
	const char *end = tags->packed + tags->len;
	char	   *place;

	for (const char *p = tags->packed; p < end; p += 1 + (uint8) *p)
		if ((uint8) *p == tag->len && memcmp(p + 1, tag->data, tag->len) == 0)
			return;
	place = tags->packed + tags->len;
	*place = (char) tag->len;
	memcpy(place + 1, tag->data, tag->len);
	tags->len += 1 + tag->len;
	tags->n++;
}

static HTAB *
make_seen(MemoryContext context)
{
	HASHCTL		ctl;

	ctl.keysize = PGCACHE_MAX_TAG_LEN + 1;
	ctl.entrysize = PGCACHE_MAX_TAG_LEN + 1;
	ctl.hcxt = context;
	return hash_create("pg_cache tags of a statement", 64, &ctl,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * Takes out the tags that an earlier row of the statement had.  What was put in
 * between was computed by a trigger that saw all rows as they are now.
 */
static void
skip_seen(HTAB *seen, Tags *tags)
{
	char	   *p = tags->packed;
	char	   *kept = tags->packed;
	int			n = tags->n;

	for (int i = 0; i < n; i++)
	{
		char		name[PGCACHE_MAX_TAG_LEN + 1] = {0};
		int			size = 1 + (uint8) *p;
		bool		found = false;

		memcpy(name, p + 1, size - 1);
		if (hash_get_num_entries(seen) < MAX_SEEN)
			(void) hash_search(seen, name, HASH_ENTER, &found);
		else
			(void) hash_search(seen, name, HASH_FIND, &found);
		if (found)
			tags->n--;
		else
		{
			memmove(kept, p, size);
			kept += size;
		}
		p += size;
	}
	tags->len = kept - tags->packed;
}

static void
delete_key(const PgCacheTarget *target, const StringInfo text)
{
	PgCacheKey	key;

	pgcache_store_key(pgcache_store, &key, target->slot, text->data, text->len);
	key.incarnation = target->incarnation;
	pgcache_txn_delete(&key, target->incarnation, PGCACHE_INVALIDATED_TABLE, false);
}

/*
 * An update has two rows, else there is one.  All output functions are called
 * before anything is changed.  context lasts as long as prepared.
 */
static void
invalidate_rows(Prepared *prepared, const PgCacheTarget *target,
				TupleTableSlot *rows[2], MemoryContext context)
{
	int			level = push_settings(prepared->needs);
	StringInfoData keys[2];
	bool		has_key[2] = {false, false};
	StringInfoData tag;
	Tags		tags;

	tags.len = tags.n = 0;
	initStringInfo(&tag);
	for (int i = 0; i < 2 && rows[i] != NULL; i++)
	{
		initStringInfo(&keys[i]);
		has_key[i] = produce(&prepared->key, rows[i], PGCACHE_MAX_KEY_LEN, &keys[i]);
		for (int j = 0; j < prepared->watch.ntags; j++)
			if (produce(&prepared->tags[j], rows[i], PGCACHE_MAX_TAG_LEN, &tag))
				add_tag(&tags, &tag);
	}
	pop_settings(level);
	if (prepared->has_rows != target->incarnation)
		prepared->seen = NULL;
	else if (prepared->seen == NULL && tags.n > 0)
		prepared->seen = make_seen(context);
	if (prepared->seen != NULL)
		skip_seen(prepared->seen, &tags);
	prepared->has_rows = target->incarnation;

	if (has_key[0])
		delete_key(target, &keys[0]);
	if (has_key[1] &&
		!(has_key[0] && keys[0].len == keys[1].len &&
		  memcmp(keys[0].data, keys[1].data, keys[0].len) == 0))
		delete_key(target, &keys[1]);
	if (tags.n > 0)
		pgcache_txn_invalidate_tags(target->slot, target->incarnation, tags.packed,
									tags.n, PGCACHE_INVALIDATED_TABLE, false);
}

/* ---- the trigger -------------------------------------------------------------- */

static void
warn_incomplete(const Relation table)
{
	ereport(WARNING,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("a cache watch on table \"%s\" names a column that does not exist",
					RelationGetRelationName(table)),
			 errdetail("Each change invalidates all that the watch can produce."),
			 errhint("Use cache_unwatch_table() and cache_watch_table() to watch the table anew.")));
}

static void
warn_denied(const Relation table, const PgCacheWatch *watch)
{
	ereport(WARNING,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("changes of table \"%s\" are no longer meant to invalidate cached values",
					RelationGetRelationName(table)),
			 errdetail("The table's owner \"%s\" may not write to namespace \"%s\".",
					   GetUserNameFromId(RelationGetForm(table)->relowner, true),
					   watch->space),
			 errhint("Use cache_grant() or cache_unwatch_table().")));
}

/* Whether there is anything to invalidate. */
static bool
find_target(Prepared *prepared, const TriggerData *event, PgCacheTarget *target)
{
	const PgCacheWatch *watch = &prepared->watch;
	Relation	table = event->tg_relation;

	if (watch->key == NULL && watch->ntags == 0)
		return false;
	switch (pgcache_watch_target(watch, RelationGetForm(table)->relowner, target))
	{
		case PGCACHE_TARGET_MISSING:
			return false;
		case PGCACHE_TARGET_DENIED:
			if (!prepared->warned)
				warn_denied(table, watch);
			prepared->warned = true;
			break;
		case PGCACHE_TARGET_FOUND:
			break;
	}
	if (prepared->incomplete && !prepared->warned)
	{
		warn_incomplete(table);
		prepared->warned = true;
	}
	return true;
}

/*
 * Loaded by pg_restore into a server that does not preload us, it has nothing to
 * do.
 */
Datum
pgcache_sql_watch_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *event = (TriggerData *) fcinfo->context;
	Prepared   *prepared = fcinfo->flinfo->fn_extra;
	PgCacheTarget target;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(event->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function %s() must be fired by an AFTER trigger",
						PGCACHE_WATCH_FUNCTION)));
	if (!pgcache_shmem_ready)
		return PointerGetDatum(NULL);

	if (prepared == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		prepared = prepare(event);
		MemoryContextSwitchTo(old);
		fcinfo->flinfo->fn_extra = prepared;
	}

	pgcache_txn_announce_table(prepared->announced);
	if (find_target(prepared, event, &target))
	{
		TupleTableSlot *rows[2] = {event->tg_trigslot, NULL};

		if (TRIGGER_FIRED_BY_UPDATE(event->tg_event))
			rows[1] = event->tg_newslot;
		if (TRIGGER_FIRED_FOR_ROW(event->tg_event) && !prepared->incomplete)
			invalidate_rows(prepared, &target, rows, fcinfo->flinfo->fn_mcxt);
		else
			pgcache_watch_invalidate_all(&prepared->watch, &target);
	}
	if (TRIGGER_FIRED_BY_TRUNCATE(event->tg_event))
		pgcache_watch_note(prepared->watch.relation);
	return PointerGetDatum(NULL);
}
