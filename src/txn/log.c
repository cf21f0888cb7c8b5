/*-------------------------------------------------------------------------
 *
 * log.c
 *	  The log of what the own transaction has changed and not committed.
 *
 * Changes in the order in which they were made, in memory of the transaction.
 * Each knows the nesting level of its subtransaction, so those of one that is
 * rolled back are the end of the log.
 *
 * The log is bounded: beyond half of the cache's memory the oldest puts
 * become deletes.  Those that were made while the transaction had no xid are
 * forgotten: if it never gets one, they were fills, and what they would have
 * replaced is deleted at once; if it does, their namespace is cleared.  If that
 * doesn't suffice, all of the log becomes a clear of the namespaces concerned.  All
 * that drops more than was asked for and never less.
 *
 * Locking: none, this is the backend's own.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/memutils.h"

#include "txn/txn_internal.h"

/*
 * What is pending may take that share of the cache's memory when it is stored, and
 * the log itself may take as much as all of it.
 */
#define PENDING_SHARE	2
#define MIN_BYTES		(64 * 1024)

/* What an entry takes beside its key and value, about. */
#define ENTRY_BYTES		72

/* Changes above which keys are found by a hash table. */
#define FEW_CHANGES		8

bool		pgcache_txn_pending = false;
bool		pgcache_log_closed = false;
PgCacheLog	pgcache_log;

/* ---- finding ---------------------------------------------------------------- */

typedef struct KeyEntry
{
	const PgCacheKey *key;		/* of op */
	PgCacheOp  *op;				/* the last of its key */
	char		status;
} KeyEntry;

#define SH_PREFIX keymap
#define SH_ELEMENT_TYPE KeyEntry
#define SH_KEY_TYPE const PgCacheKey *
#define SH_KEY key
#define SH_HASH_KEY(map, key) ((uint32) (key)->hash)
#define SH_EQUAL(map, a, b) pgcache_same_key(a, b)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static keymap_hash *keymap = NULL;

PgCacheOp *
pgcache_log_find(const PgCacheKey *key)
{
	dlist_iter	iter;

	if (pgcache_log.nkeys == 0)
		return NULL;
	if (keymap != NULL)
	{
		KeyEntry   *entry = keymap_lookup(keymap, key);

		return entry ? entry->op : NULL;
	}
	dlist_reverse_foreach(iter, &pgcache_log.ops)
	{
		PgCacheOp  *op = pgcache_op_at(iter.cur);

		if (OP_IS_OF_KEY(op) && pgcache_same_key(&op->item.key, key))
			return op;
	}
	return NULL;
}

static void
map_key(PgCacheOp *op)
{
	bool		found;
	KeyEntry   *entry = keymap_insert(keymap, &op->item.key, &found);

	entry->key = &op->item.key;
	entry->op = op;
}

static void
begin_map(void)
{
	dlist_iter	iter;

	keymap = keymap_create(pgcache_log.context, 4 * FEW_CHANGES, NULL);
	dlist_foreach(iter, &pgcache_log.ops)
	{
		PgCacheOp  *op = pgcache_op_at(iter.cur);

		if (OP_IS_OF_KEY(op))
			map_key(op);
	}
}

/* ---- finding tags ------------------------------------------------------------ */

typedef struct TagKey
{
	PgCacheStamp stamp;
	PgCacheIncarnation incarnation;
} TagKey;

typedef struct TagEntry
{
	TagKey		key;
	PgCacheOp  *op;				/* the last OP_TAGS of that stamp */
	char		status;
} TagEntry;

#define SH_PREFIX tagmap
#define SH_ELEMENT_TYPE TagEntry
#define SH_KEY_TYPE TagKey
#define SH_KEY key
#define SH_HASH_KEY(map, key) murmurhash32((key).stamp ^ (key).incarnation)
#define SH_EQUAL(map, a, b) ((a).stamp == (b).stamp && (a).incarnation == (b).incarnation)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static tagmap_hash *tagmap = NULL;

PgCacheOp *
pgcache_log_find_tag(PgCacheStamp stamp, PgCacheIncarnation incarnation)
{
	TagKey		key = {stamp, incarnation};
	TagEntry   *entry;

	if (pgcache_log.ntags == 0)
		return NULL;
	entry = tagmap_lookup(tagmap, key);
	return entry ? entry->op : NULL;
}

static void
map_tag(PgCacheOp *op)
{
	TagKey		key = {op->stamp, op->incarnation};
	bool		found;

	if (tagmap == NULL)
		tagmap = tagmap_create(pgcache_log.context, 16, NULL);
	tagmap_insert(tagmap, key, &found)->op = op;
}

/* ---- the log ---------------------------------------------------------------- */

static MemoryContext
new_context(void)
{
	return AllocSetContextCreate(TopTransactionContext, "pg_cache changes",
								 ALLOCSET_SMALL_SIZES);
}

void
pgcache_log_begin(void)
{
	if (pgcache_log_closed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot change the cache while the transaction is being committed")));
	if (pgcache_log.context != NULL)
		return;
	pgcache_log_reset();
	pgcache_log.context = new_context();
	pgcache_txn_pending = true;
}

void
pgcache_log_reset(void)
{
	pgcache_txn_pending = false;
	pgcache_log_closed = false;
	pgcache_log.context = NULL;
	dlist_init(&pgcache_log.ops);
	dlist_init(&pgcache_log.puts);
	dlist_init(&pgcache_log.wide);
	pgcache_log.nops = 0;
	pgcache_log.nkeys = 0;
	pgcache_log.ntags = 0;
	pgcache_log.nputs = 0;
	pgcache_log.serial = 0;
	pgcache_log.bytes = 0;
	pgcache_log.unslotted = 0;
	keymap = NULL;
	tagmap = NULL;
}

/* A new change, with room for bytes more behind it, not yet in the log. */
PgCacheOp *
pgcache_log_new_op(PgCacheOpKind kind, uint16 slot, PgCacheIncarnation incarnation,
				   PgCacheCounter cause, Size bytes)
{
	PgCacheOp  *op;

	pgcache_log_begin();
	op = MemoryContextAllocZero(pgcache_log.context, sizeof(PgCacheOp) + bytes);
	op->kind = kind;
	op->level = GetCurrentTransactionNestLevel();
	op->slot = slot;
	op->incarnation = incarnation;
	op->cause = cause;
	op->had_xid = TransactionIdIsValid(GetTopTransactionIdIfAny());
	op->bytes = bytes + ENTRY_BYTES;
	return op;
}

PgCacheOp *
pgcache_log_new_key_op(PgCacheOpKind kind, const PgCacheKey *key,
					   PgCacheIncarnation incarnation, PgCacheCounter cause, Size bytes)
{
	PgCacheOp  *op = pgcache_log_new_op(kind, key->space, incarnation, cause,
										MAXALIGN(key->len) + bytes);
	char	   *data = (char *) (op + 1);

	memcpy(data, key->data, key->len);
	op->item.key = *key;
	op->item.key.data = data;
	op->item.key.incarnation = incarnation;
	return op;
}

static void
append_key(PgCacheOp *op)
{
	op->previous = pgcache_log_find(&op->item.key);
	dlist_push_tail(&pgcache_log.ops, &op->node);
	if (op->kind == OP_PUT)
	{
		dlist_push_tail(&pgcache_log.puts, &op->kind_node);
		pgcache_log.nputs++;
	}
	pgcache_log.nkeys++;
	if (keymap != NULL)
		map_key(op);
}

static void
append_wide(PgCacheOp *op)
{
	dlist_push_tail(&pgcache_log.ops, &op->node);
	if (op->kind == OP_TAGS)
	{
		op->previous = pgcache_log_find_tag(op->stamp, op->incarnation);
		map_tag(op);
		pgcache_log.ntags++;
	}
	else
		dlist_push_tail(&pgcache_log.wide, &op->kind_node);
}

void
pgcache_log_append(PgCacheOp *op)
{
	pgcache_log.nops++;
	pgcache_log.bytes += op->bytes;
	op->nputs = pgcache_log.nputs;
	op->serial = ++pgcache_log.serial;
	if (OP_IS_OF_KEY(op))
		append_key(op);
	else
		append_wide(op);
	if (keymap == NULL && pgcache_log.nkeys > 0 && pgcache_log.serial > FEW_CHANGES)
		begin_map();
}

static void
drop_value(PgCacheOp *op)
{
	if (op->value == NULL || op->shares_value)
		return;
	pfree(op->value);
	op->value = NULL;
	op->bytes -= op->item.len;
	pgcache_log.bytes -= op->item.len;
}

/* Takes a change of a key out of the log, and frees it. */
void
pgcache_log_forget(PgCacheOp *op)
{
	dlist_delete(&op->node);
	if (op->kind == OP_PUT)
		dlist_delete(&op->kind_node);
	drop_value(op);
	pgcache_log.nkeys--;
	pgcache_log.nops--;
	pgcache_log.bytes -= op->bytes;
	pfree(op);
}

/* Takes the last change out of the log. */
static void
undo_last(void)
{
	PgCacheOp  *op = pgcache_op_at(dlist_tail_node(&pgcache_log.ops));

	if (OP_IS_OF_KEY(op))
	{
		if (keymap != NULL && op->previous != NULL)
			map_key(op->previous);
		else if (keymap != NULL)
			keymap_delete(keymap, &op->item.key);
		if (op->made_share)
			op->previous->shares_value = false;
		pgcache_log_forget(op);
		return;
	}
	dlist_delete(&op->node);
	if (op->kind == OP_TAGS)
	{
		TagKey		key = {op->stamp, op->incarnation};

		if (op->previous != NULL)
			map_tag(op->previous);
		else
			tagmap_delete(tagmap, key);
		pgcache_log.ntags--;
	}
	else
		dlist_delete(&op->kind_node);
	pgcache_log.nops--;
	pgcache_log.bytes -= op->bytes;
	pfree(op);
}

void
pgcache_log_abort_sub(int level)
{
	if (pgcache_log.context == NULL)
		return;
	while (!dlist_is_empty(&pgcache_log.ops) &&
		   pgcache_op_at(dlist_tail_node(&pgcache_log.ops))->level >= level)
		undo_last();
	if (pgcache_log.unslotted >= level)
		pgcache_log.unslotted = 0;
	if (dlist_is_empty(&pgcache_log.ops) && pgcache_log.unslotted == 0)
	{
		MemoryContextDelete(pgcache_log.context);
		pgcache_log_reset();
	}
}

void
pgcache_log_commit_sub(int level)
{
	dlist_iter	iter;

	if (pgcache_log.context == NULL)
		return;
	dlist_reverse_foreach(iter, &pgcache_log.ops)
	{
		PgCacheOp  *op = pgcache_op_at(iter.cur);

		if (op->level < level)
			break;
		op->level = level - 1;
	}
	pgcache_log.unslotted = Min(pgcache_log.unslotted, level - 1);
}

/* ---- its bounds ---------------------------------------------------------------- */

/* Replaces all of the log by a clear of each namespace in it. */
static void
collapse(void)
{
	MemoryContext context = pgcache_log.context;
	int			unslotted = pgcache_log.unslotted;
	PgCacheIncarnation since = pgcache_log.unslotted_since;
	PgCacheIncarnation *cleared = palloc0(pgcache_max_namespaces *
										  sizeof(PgCacheIncarnation));
	PgCacheOp **clears;
	MemoryContext fresh;
	dlist_iter	iter;
	int			n = 0;

	dlist_foreach(iter, &pgcache_log.ops)
	{
		PgCacheOp  *op = pgcache_op_at(iter.cur);

		cleared[op->slot] = Max(cleared[op->slot], op->incarnation);
	}
	/* What may fail comes before the old log goes. */
	clears = palloc(pgcache_max_namespaces * sizeof(PgCacheOp *));
	fresh = new_context();
	pgcache_log.context = fresh;
	for (int slot = 0; slot < pgcache_max_namespaces; slot++)
	{
		if (cleared[slot] == 0)
			continue;
		clears[n] = pgcache_log_new_op(OP_CLEAR, slot, cleared[slot],
									   PGCACHE_INVALIDATED_ERROR, 0);

		/* For the changes of all levels that it stands for. */
		clears[n++]->level = 1;
	}
	pgcache_log_reset();
	pgcache_txn_pending = true;
	pgcache_log.context = fresh;
	pgcache_log.unslotted = unslotted;
	pgcache_log.unslotted_since = since;
	for (int i = 0; i < n; i++)
		pgcache_log_append(clears[i]);
	pfree(clears);
	pfree(cleared);
	MemoryContextDelete(context);
}

/*
 * Notes that puts of a namespace were forgotten.  It is of the lowest level, so it
 * goes to the front.
 */
static void
note_forgotten(uint16 slot, PgCacheIncarnation incarnation)
{
	dlist_iter	iter;
	PgCacheOp  *op;

	dlist_foreach(iter, &pgcache_log.wide)
	{
		op = pgcache_op_of_kind(iter.cur);
		if (op->kind == OP_FORGOTTEN && op->incarnation == incarnation)
			return;
	}
	op = pgcache_log_new_op(OP_FORGOTTEN, slot, incarnation,
							PGCACHE_INVALIDATED_ERROR, 0);
	op->level = 1;
	pgcache_log.nops++;
	pgcache_log.bytes += op->bytes;
	dlist_push_head(&pgcache_log.ops, &op->node);
	dlist_push_head(&pgcache_log.wide, &op->kind_node);
}

/* Drops a put.  What a rollback may bring to light again is spoilt as well. */
static void
drop_put(PgCacheOp *op)
{
	pgcache_count(op->slot, op->incarnation, PGCACHE_DROPPED_PUTS, 1);
	if (!op->had_xid && op->previous == NULL && pgcache_op_is_last(op))
	{
		(void) pgcache_store_delete(pgcache_store, &op->item.key);
		if (keymap != NULL)
			keymap_delete(keymap, &op->item.key);
		note_forgotten(op->slot, op->incarnation);
		pgcache_log_forget(op);
		return;
	}
	pgcache_log_spoil(op, PGCACHE_INVALIDATED_ERROR);
}

void
pgcache_log_spoil(PgCacheOp *put, PgCacheCounter cause)
{
	dlist_delete(&put->kind_node);
	drop_value(put);
	put->kind = OP_DELETE;
	put->cause = cause;
}

/*
 * Keeps the log within its share, but for its newest change: any value that may
 * be stored can be put.
 */
void
pgcache_log_heed_bounds(void)
{
	Size		limit = Max(pgcache_memory_limit_setting_bytes() / PENDING_SHARE, MIN_BYTES);
	Size		max_ops = Max(pgcache_memory_limit_setting_bytes(), MIN_BYTES) / sizeof(PgCacheOp);
	dlist_mutable_iter iter;
	PgCacheOp  *newest;

	if (likely(pgcache_log.bytes <= limit && pgcache_log.nops <= max_ops))
		return;
	newest = pgcache_op_at(dlist_tail_node(&pgcache_log.ops));
	if (pgcache_log.bytes - newest->bytes <= limit && pgcache_log.nops <= max_ops)
		return;
	dlist_foreach_modify(iter, &pgcache_log.puts)
	{
		PgCacheOp  *op = pgcache_op_of_kind(iter.cur);

		if (op == newest)
			continue;
		drop_put(op);
		/* Some room, so that not every further change comes here. */
		if (pgcache_log.bytes - newest->bytes <= limit / 8 * 7 &&
			pgcache_log.nops <= max_ops / 8 * 7)
			return;
	}
	if (pgcache_log.bytes - newest->bytes > limit || pgcache_log.nops > max_ops)
		collapse();
}
