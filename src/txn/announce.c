/*-------------------------------------------------------------------------
 *
 * announce.c
 *	  NOTIFY: explicit invalidations and watched tables, one message a transaction.
 *
 * With pg_cache.notify on, listeners of the channel "pg_cache" are told what a
 * transaction invalidated, as JSON:
 *
 *		{"changes": [{"namespace": "default", "key": "k"},
 *					 {"namespace": "default", "tags": ["a", "b"]},
 *					 {"namespace": "default", "all_tags": ["a", "b"]},
 *					 {"namespace": "default", "pattern": "user:%"},
 *					 {"namespace": "default", "clear": true},
 *					 {"table": "public.t"}]}
 *
 * Of a namespace that PUBLIC may not read only the name is told.  A message that
 * would be too long, or of which something is not known, is {"more": true}.  A
 * prepared transaction and a standby announce nothing.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/async.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "txn/txn_internal.h"

#define CHANNEL			"pg_cache"

/* NOTIFY takes no more than 7999 bytes. */
#define MAX_MESSAGE		7900

/* A change that acted at once, or a watched table. */
typedef struct Note
{
	char	   *json;			/* or NULL: a table */
	Oid			table;
	int			level;			/* of the subtransaction */
} Note;

static List *notes = NIL;		/* in TopTransactionContext */
static Size notes_len = 0;		/* of their JSON, at the least */
static bool notes_cut = false;	/* there were more */

/* ---- what is told of a change ------------------------------------------------- */

static void
append_string(StringInfo s, const char *name, const char *data, int len)
{
	char	   *text = pnstrdup(data, len);

	appendStringInfo(s, ", \"%s\": ", name);
	escape_json(s, text);
	pfree(text);
}

static void
append_tags(StringInfo s, const char *name, const char *tags, const char *end)
{
	const char *separator = "";

	appendStringInfo(s, ", \"%s\": [", name);
	while (tags < end)
	{
		char	   *tag = pnstrdup(tags + 1, (uint8) *tags);

		appendStringInfoString(s, separator);
		escape_json(s, tag);
		pfree(tag);
		separator = ", ";
		tags += 1 + (uint8) *tags;
	}
	appendStringInfoChar(s, ']');
}

static void
append_details(StringInfo s, const PgCacheOp *op)
{
	switch (op->kind)
	{
		case OP_DELETE:
			append_string(s, "key", op->item.key.data, op->item.key.len);
			break;
		case OP_CLEAR:
			appendStringInfoString(s, ", \"clear\": true");
			break;
		case OP_TAGS:
			append_tags(s, "tags", op->text, op->text +op->len);
			break;
		case OP_MATCH:
			if (op->match == PGCACHE_MATCH_KEY)
				append_string(s, "pattern", op->text, op->len);
			else if (op->match == PGCACHE_MATCH_TAG)
				append_string(s, "tag_pattern", op->text, op->len);
			else if (op->match == PGCACHE_MATCH_ALL_TAGS)
				append_tags(s, "all_tags", op->text, op->text +op->len);
			else
				appendStringInfoString(s, ", \"clear\": true");
			break;
		default:
			break;
	}
}

/* Whether a change is one that is told: puts and own entries' deletes are not. */
static bool
is_told(const PgCacheOp *op)
{
	if (op->kind == OP_DELETE)
		return op->cause == PGCACHE_DELETES || op->cause == PGCACHE_INVALIDATED_TABLE;
	return !OP_IS_OF_KEY(op) && op->kind != OP_FORGOTTEN;
}

/* Appends a change; false if its namespace is not known here any more. */
static bool
append_change(StringInfo s, const PgCacheOp *op)
{
	bool		is_public;
	const PgCacheSpace *space = pgcache_space_remembered(op->slot, op->incarnation,
														 &is_public);

	if (space == NULL)
		return false;
	appendStringInfoString(s, "{\"namespace\": ");
	escape_json(s, space->name);
	if (is_public)
		append_details(s, op);
	appendStringInfoChar(s, '}');
	return true;
}

static bool
append_table(StringInfo s, Oid table)
{
	char	   *name = get_rel_name(table);
	char	   *schema = get_namespace_name(get_rel_namespace(table));

	if (name == NULL || schema == NULL)
		return false;
	appendStringInfoString(s, "{\"table\": ");
	escape_json(s, psprintf("%s.%s", schema, name));
	appendStringInfoChar(s, '}');
	return true;
}

/* ---- collecting ---------------------------------------------------------------- */

/* Whether the message is too long already, so that nothing need be noted. */
static bool
is_full(void)
{
	notes_cut = notes_cut || notes_len > MAX_MESSAGE;
	return notes_cut;
}

static void
add_note(char *json, Oid table)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Note	   *note = palloc(sizeof(Note));

	note->json = json;
	note->table = table;
	note->level = GetCurrentTransactionNestLevel();
	notes = lappend(notes, note);
	notes_len += json != NULL ? Max(strlen(json), 1) : NAMEDATALEN;
	MemoryContextSwitchTo(old);
}

void
pgcache_announce_now(const PgCacheOp *op)
{
	StringInfoData s;

	if (!pgcache_notify || !is_told(op) || RecoveryInProgress() || is_full())
		return;
	initStringInfo(&s);
	if (!append_change(&s, op) || s.len > MAX_MESSAGE)
		resetStringInfo(&s);
	add_note(MemoryContextStrdup(TopTransactionContext, s.data), InvalidOid);
	pfree(s.data);
}

void
pgcache_txn_announce_table(Oid relation)
{
	ListCell   *lc;

	if (!pgcache_notify || RecoveryInProgress())
		return;
	foreach(lc, notes)
	{
		if (((Note *) lfirst(lc))->table == relation)
			return;
	}
	if (is_full())
		return;
	add_note(NULL, relation);
}

/* ---- sending ---------------------------------------------------------------------- */

/* Begins the next change of the message; false if it is long enough. */
static bool
begin_change(StringInfo s)
{
	if (s->len > MAX_MESSAGE)
		return false;
	appendStringInfoString(s, s->len == 0 ? "{\"changes\": [" : ", ");
	return true;
}

static bool
collect(StringInfo s)
{
	dlist_iter	iter;
	ListCell   *lc;

	foreach(lc, notes)
	{
		Note	   *note = lfirst(lc);

		if (!begin_change(s))
			return false;
		if (note->json == NULL && !append_table(s, note->table))
			return false;
		if (note->json != NULL && note->json[0] == '\0')
			return false;
		if (note->json != NULL)
			appendStringInfoString(s, note->json);
	}
	if (!pgcache_txn_pending)
		return true;
	dlist_foreach(iter, &pgcache_log.ops)
	{
		PgCacheOp  *op = pgcache_op_at(iter.cur);

		if (!is_told(op))
			continue;
		if (!begin_change(s) || !append_change(s, op))
			return false;
	}
	return true;
}

void
pgcache_announce_send(void)
{
	StringInfoData s;

	if (!pgcache_notify || RecoveryInProgress() ||
		(!pgcache_txn_pending && notes == NIL && !notes_cut))
		return;
	initStringInfo(&s);
	if (notes_cut || !collect(&s) || s.len > MAX_MESSAGE)
		Async_Notify(CHANNEL, "{\"more\": true}");
	else if (s.len > 0)
	{
		appendStringInfoString(&s, "]}");
		Async_Notify(CHANNEL, s.data);
	}
	pfree(s.data);
}

/* ---- the end of transactions --------------------------------------------------------- */

/* What acted at once is not undone; tables are. */
void
pgcache_announce_abort_sub(int level)
{
	ListCell   *lc;

	foreach(lc, notes)
	{
		Note	   *note = lfirst(lc);

		if (note->json == NULL && note->level >= level)
		{
			notes = foreach_delete_current(notes, lc);
			notes_len -= NAMEDATALEN;
		}
	}
}

void
pgcache_announce_commit_sub(int level)
{
	ListCell   *lc;

	foreach(lc, notes)
	{
		Note	   *note = lfirst(lc);

		note->level = Min(note->level, level - 1);
	}
}

void
pgcache_announce_reset(void)
{
	notes = NIL;
	notes_len = 0;
	notes_cut = false;
}
