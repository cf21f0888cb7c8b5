/*-------------------------------------------------------------------------
 *
 * pending.c
 *	  What the own transaction has changed and not committed.
 *
 * A log of changes in the order in which they were made, in memory of the
 * transaction.  Each knows the nesting level of its subtransaction, so those of
 * one that is rolled back are the end of the log.  A change of many keys (clear,
 * tags, pattern) is followed at once by deletes of the own puts that it hits, so
 * that the last change of a key is all that counts for it.
 *
 * The log is bounded: beyond a quarter of the cache's memory the oldest puts
 * become deletes.  Those that were made before the transaction had an xid only
 * fill, so what they would have replaced is deleted at once and they are
 * forgotten.  If that doesn't suffice, all of the log becomes a clear of the
 * namespaces concerned.  All that drops more than was asked for and never less.
 *
 * Locking: none, this is the backend's own.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "txn/txn_internal.h"
#include "watch/watch.h"

/* The log's share of the cache's memory. */
#define LOG_SHARE		4
#define LOG_MIN_BYTES	(64 * 1024)

/* Changes of many keys that a new one is compared with. */
#define REPEATED_LOOKS	32

/* Keys above which they are found by a hash table. */
#define FEW_KEYS		8

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

static inline bool
same_key(const PgCacheKey *a, const PgCacheKey *b)
{
	return a->hash == b->hash && a->space == b->space &&
		a->incarnation == b->incarnation && a->len == b->len &&
		memcmp(a->data, b->data, a->len) == 0;
}

#define SH_PREFIX keymap
#define SH_ELEMENT_TYPE KeyEntry
#define SH_KEY_TYPE const PgCacheKey *
#define SH_KEY key
#define SH_HASH_KEY(map, key) ((uint32) (key)->hash)
#define SH_EQUAL(map, a, b) same_key(a, b)
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
		PgCacheOp  *op = dlist_container(PgCacheOp, node, iter.cur);

		if (OP_IS_OF_KEY(op) && same_key(&op->item.key, key))
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

	keymap = keymap_create(pgcache_log.context, 4 * FEW_KEYS, NULL);
	dlist_foreach(iter, &pgcache_log.ops)
	{
		PgCacheOp  *op = dlist_container(PgCacheOp, node, iter.cur);

		if (OP_IS_OF_KEY(op))
			map_key(op);
	}
}

/* ---- the log ---------------------------------------------------------------- */

static void
begin_log(void)
{
	if (pgcache_log_closed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot change the cache while the transaction is being committed")));
	if (pgcache_log.context != NULL)
		return;
	dlist_init(&pgcache_log.ops);
	slist_init(&pgcache_log.wide);
	pgcache_log.nkeys = 0;
	pgcache_log.nputs = 0;
	pgcache_log.bytes = 0;
	keymap = NULL;
	pgcache_log.context = AllocSetContextCreate(TopTransactionContext,
												"pg_cache changes",
												ALLOCSET_SMALL_SIZES);
	pgcache_txn_pending = true;
}

void
pgcache_log_reset(void)
{
	pgcache_txn_pending = false;
	pgcache_log_closed = false;
	pgcache_log.context = NULL;
	pgcache_log.nkeys = 0;
	keymap = NULL;
}

/* A new change, with room for bytes more behind it, not yet in the log. */
static PgCacheOp *
new_op(PgCacheOpKind kind, uint16 slot, PgCacheIncarnation incarnation,
	   PgCacheCounter cause, Size bytes)
{
	PgCacheOp  *op;

	begin_log();
	op = MemoryContextAllocZero(pgcache_log.context, sizeof(PgCacheOp) + bytes);
	op->kind = kind;
	op->level = GetCurrentTransactionNestLevel();
	op->slot = slot;
	op->incarnation = incarnation;
	op->cause = cause;
	op->had_xid = TransactionIdIsValid(GetTopTransactionIdIfAny());
	op->bytes = sizeof(PgCacheOp) + bytes;
	return op;
}

static PgCacheOp *
new_key_op(PgCacheOpKind kind, const PgCacheKey *key,
		   PgCacheIncarnation incarnation, PgCacheCounter cause, Size bytes)
{
	PgCacheOp  *op = new_op(kind, key->space, incarnation, cause,
							MAXALIGN(key->len) + bytes);
	char	   *data = (char *) (op + 1);

	memcpy(data, key->data, key->len);
	op->item.key = *key;
	op->item.key.data = data;
	op->item.key.incarnation = incarnation;
	return op;
}

static void
append(PgCacheOp *op)
{
	if (OP_IS_OF_KEY(op))
		op->previous = pgcache_log_find(&op->item.key);
	dlist_push_tail(&pgcache_log.ops, &op->node);
	pgcache_log.bytes += op->bytes;
	op->nputs = pgcache_log.nputs;
	if (op->kind == OP_PUT)
		pgcache_log.nputs++;
	if (!OP_IS_OF_KEY(op))
	{
		slist_push_head(&pgcache_log.wide, &op->wide_node);
		return;
	}
	pgcache_log.nkeys++;
	if (keymap != NULL)
		map_key(op);
	else if (pgcache_log.nkeys > FEW_KEYS)
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

/* Takes the last change out of the log. */
static void
undo_last(void)
{
	PgCacheOp  *op = dlist_tail_element(PgCacheOp, node, &pgcache_log.ops);

	if (!OP_IS_OF_KEY(op))
	{
		Assert(pgcache_log.wide.head.next == &op->wide_node);
		slist_pop_head_node(&pgcache_log.wide);
	}
	else
	{
		if (keymap != NULL && op->previous != NULL)
			map_key(op->previous);
		else if (keymap != NULL)
			keymap_delete(keymap, &op->item.key);
		pgcache_log.nkeys--;
	}
	pgcache_log.nputs = op->nputs;
	dlist_delete(&op->node);
	drop_value(op);
	pgcache_log.bytes -= op->bytes;
	pfree(op);
}

void
pgcache_log_abort_sub(int level)
{
	if (pgcache_log.context == NULL)
		return;
	while (!dlist_is_empty(&pgcache_log.ops) &&
		   dlist_tail_element(PgCacheOp, node, &pgcache_log.ops)->level >= level)
		undo_last();
	if (dlist_is_empty(&pgcache_log.ops))
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
		PgCacheOp  *op = dlist_container(PgCacheOp, node, iter.cur);

		if (op->level < level)
			break;
		op->level = level - 1;
	}
}

/* ---- its bounds ---------------------------------------------------------------- */

/* Replaces all of the log by a clear of each namespace in it. */
static void
collapse(void)
{
	MemoryContext context = pgcache_log.context;
	PgCacheIncarnation *cleared = palloc0(pgcache_max_namespaces *
										  sizeof(PgCacheIncarnation));
	dlist_iter	iter;

	dlist_foreach(iter, &pgcache_log.ops)
	{
		PgCacheOp  *op = dlist_container(PgCacheOp, node, iter.cur);

		cleared[op->slot] = Max(cleared[op->slot], op->incarnation);
	}
	pgcache_log_reset();
	for (int slot = 0; slot < pgcache_max_namespaces; slot++)
	{
		PgCacheOp  *op;

		if (cleared[slot] == 0)
			continue;
		op = new_op(OP_CLEAR, slot, cleared[slot], PGCACHE_INVALIDATED_ERROR, 0);

		/* For the changes of all levels that it stands for. */
		op->level = 1;
		append(op);
	}
	pfree(cleared);
	MemoryContextDelete(context);
}

/*
 * Drops a put; whether the change is gone altogether.  What a subtransaction may
 * bring to light again by its rollback is spoilt as well.
 */
static void
drop_put(PgCacheOp *op)
{
	pgcache_count(op->slot, op->incarnation, PGCACHE_DROPPED_PUTS, 1);
	drop_value(op);
	if (!op->had_xid && op->previous == NULL && pgcache_op_is_last(op))
	{
		(void) pgcache_store_delete(pgcache_store, &op->item.key);
		if (keymap != NULL)
			keymap_delete(keymap, &op->item.key);
		pgcache_log.nkeys--;
		pgcache_log.bytes -= op->bytes;
		dlist_delete(&op->node);
		pfree(op);
		return;
	}
	op->kind = OP_DELETE;
	op->cause = PGCACHE_INVALIDATED_ERROR;
}

/*
 * Keeps the log within its share, but for its newest change: any value that may
 * be stored can be put.
 */
static void
heed_bounds(void)
{
	Size		limit = Max(pgcache_memory_limit_bytes() / LOG_SHARE, LOG_MIN_BYTES);
	dlist_mutable_iter iter;
	PgCacheOp  *newest;

	if (likely(pgcache_log.bytes <= limit))
		return;
	newest = dlist_tail_element(PgCacheOp, node, &pgcache_log.ops);
	if (pgcache_log.bytes - newest->bytes <= limit)
		return;
	dlist_foreach_modify(iter, &pgcache_log.ops)
	{
		PgCacheOp  *op = dlist_container(PgCacheOp, node, iter.cur);

		if (op->kind != OP_PUT || op->value == NULL || op == newest)
			continue;
		drop_put(op);
		/* Some room, so that not every further change comes here. */
		if (pgcache_log.bytes - newest->bytes <= limit / 8 * 7)
			return;
	}
	if (pgcache_log.bytes - newest->bytes > limit)
		collapse();
}

/* ---- changes of a key ------------------------------------------------------------ */

/*
 * Takes the put before this one out of the log: they would be rolled back
 * together.
 */
static void
supersede(PgCacheOp *op)
{
	PgCacheOp  *old = op->previous;

	if (old == NULL || old->kind != OP_PUT || old->level != op->level ||
		old->shares_value)
		return;
	op->previous = old->previous;
	op->nsuperseded = old->nsuperseded + 1;
	dlist_delete(&old->node);
	drop_value(old);
	pgcache_log.bytes -= old->bytes;
	pgcache_log.nkeys--;
	pfree(old);
}

/* Fills deps, and what the item says of them, from its tags and tables. */
static void
set_deps(PgCacheItem *item, uint32 *deps, const Oid *tables, int ntables)
{
	const char *tag = item->tags;
	uint32	   *next = deps;

	for (int i = 0; i < item->ntags; i++)
	{
		*next++ = pgcache_stamp_of_tag(item->key.space, tag + 1, (uint8) *tag);
		tag += 1 + (uint8) *tag;
	}
	for (int i = 0; i < ntables; i++)
		*next++ = pgcache_stamp_of_relation(MyDatabaseId, tables[i]);
	memcpy(next, tables, ntables * sizeof(Oid));
	item->deps = deps;
	item->nstamps = item->ntags + ntables;
	item->ntables = ntables;
	item->flags &= ~PGCACHE_ENTRY_DEPS;
	if (item->nstamps > 0)
		item->flags |= PGCACHE_ENTRY_DEPS;
}

/* A put of an item, the value of which is copied unless it is an older op's. */
static void
append_put(const PgCacheItem *item, PgCacheIncarnation incarnation,
		   const PgCacheBound *bound, const Oid *tables, int ntables,
		   PgCacheOp *owner)
{
	Size		deps_bytes = MAXALIGN((item->ntags + 2 * ntables) * sizeof(uint32));
	PgCacheOp  *op = new_key_op(OP_PUT, &item->key, incarnation, PGCACHE_PUTS,
								deps_bytes + item->tags_len);
	PgCacheKey	key = op->item.key;
	char	   *deps = unconstify(char *, key.data) + MAXALIGN(key.len);

	op->item = *item;
	op->item.key = key;
	op->item.tags = memcpy(deps + deps_bytes, item->tags, item->tags_len);
	set_deps(&op->item, (uint32 *) deps, tables, ntables);
	op->bound = bound;

	/* In a function, or with a lease, they may be read later than the bound. */
	op->asof = bound->snap.asof;
	if (owner != NULL)
		op->asof = Max(op->asof, owner->asof);
	else if (ActiveSnapshotSet())
		op->asof = Max(op->asof, pgcache_snap_asof(GetActiveSnapshot()));
	if (ntables > 0 &&
		!pgcache_watch_own_changes(tables, ntables, &op->own_changes))
		op->bound = &pgcache_bound_never;
	if (owner != NULL)
	{
		op->value = owner->value;
		op->shares_value = true;
		/* It must not be dropped alone. */
		owner->shares_value = true;
	}
	else
	{
		op->value = MemoryContextAllocHuge(pgcache_log.context, Max(item->len, 1));
		memcpy(op->value, item->value, item->len);
		op->bytes += item->len;
	}
	op->item.value = op->value;
	append(op);
	supersede(op);
	heed_bounds();
}

void
pgcache_log_put_again(const PgCacheItem *item, PgCacheIncarnation incarnation,
					  const PgCacheBound *bound, const Oid *tables, int ntables)
{
	append_put(item, incarnation, bound, tables, ntables, NULL);
}

/* A transient op for a change that acts at once. */
static void
act_now(PgCacheOp *op)
{
	PgCacheActor actor = {.now = true};

	pgcache_op_prepare(op);
	pgcache_op_publish(op, &actor, PGCACHE_PUBLISH_IMMEDIATE);
	if (op->kind == OP_MATCH)
		pgcache_op_delete_matching(op);
	else
		pgcache_op_install(op, &actor, pgcache_stamp_now());
	pgcache_op_count(op);
	pgcache_announce_now(op);
}

void
pgcache_txn_put(const PgCacheItem *item, PgCacheIncarnation incarnation,
				const PgCacheBound *bound, const Oid *tables, int ntables,
				bool now)
{
	if (bound == NULL)
		bound = pgcache_statement_bound();
	if (bound == NULL)
		bound = &pgcache_bound_never;

	/* What depends on tables is never for everybody. */
	if (now && ntables == 0)
	{
		PgCacheOp	op = {
			.kind = OP_PUT,.slot = item->key.space,.incarnation = incarnation,
			.cause = PGCACHE_PUTS,.item = *item,.bound = bound
		};
		uint32		deps[PGCACHE_MAX_TAGS];

		set_deps(&op.item, deps, NULL, 0);
		act_now(&op);
		return;
	}
	append_put(item, incarnation, bound, tables, ntables, NULL);
}

bool
pgcache_log_depend(PgCacheOp *put, const Oid *tables, int ntables)
{
	PgCacheOwn	own;
	const PgCacheItem *item;

	own = pgcache_txn_own(&put->item.key, &item);
	if (own != PGCACHE_OWN_PUT)
		return false;
	append_put(item, put->incarnation, put->bound, tables, ntables, put);
	return true;
}

void
pgcache_txn_delete(const PgCacheKey *key, PgCacheIncarnation incarnation,
				   PgCacheCounter cause, bool now)
{
	PgCacheOp  *last;

	if (now)
	{
		PgCacheOp	op = {
			.kind = OP_DELETE,.slot = key->space,.incarnation = incarnation,
			.cause = cause,.item.key = *key
		};

		act_now(&op);
		return;
	}
	last = pgcache_log_find(key);

	/* Of no earlier level than we are, so it lasts as long. */
	if (last != NULL && last->kind == OP_DELETE)
		return;
	append(new_key_op(OP_DELETE, key, incarnation, cause, 0));
	heed_bounds();
}

void
pgcache_txn_touch(const PgCacheKey *key, PgCacheIncarnation incarnation,
				  uint64 version, TimestampTz expires, int64 slide,
				  TimestampTz slide_cap, bool now)
{
	PgCacheOp  *last = pgcache_log_find(key);
	PgCacheItem item;
	PgCacheOp  *op;

	if (last != NULL && last->kind == OP_PUT)
		item = last->item;
	else
	{
		memset(&item, 0, sizeof(item));
		item.key = *key;
	}
	item.flags &= ~(PGCACHE_ENTRY_TTL | PGCACHE_ENTRY_SLIDING);
	item.expires = expires;
	item.slide = slide;
	item.slide_cap = slide_cap;
	if (expires != DT_NOEND)
		item.flags |= PGCACHE_ENTRY_TTL;
	if (expires != DT_NOEND && slide > 0)
		item.flags |= PGCACHE_ENTRY_SLIDING;

	if (last != NULL && last->kind == OP_PUT)
		append_put(&item, incarnation, last->bound,
				   pgcache_item_tables(&item), item.ntables, last);
	else if (now)
	{
		PgCacheOp	touch = {
			.kind = OP_TOUCH,.slot = key->space,.incarnation = incarnation,
			.item = item,.version = version
		};

		act_now(&touch);
	}
	else if (last == NULL || last->kind == OP_TOUCH)
	{
		op = new_key_op(OP_TOUCH, key, incarnation, PGCACHE_PUTS, 0);
		item.key = op->item.key;
		op->item = item;
		op->version = version;
		append(op);
		heed_bounds();
	}
}

/* ---- changes of many keys --------------------------------------------------------- */

static bool
has_tag(const PgCacheItem *item, const char *tag)
{
	const char *p = item->tags;

	for (int i = 0; i < item->ntags; i++)
	{
		if (memcmp(p, tag, 1 + (uint8) *tag) == 0)
			return true;
		p += 1 + (uint8) *p;
	}
	return false;
}

/* Whether a change of many keys hits an own put. */
static bool
hits_item(const PgCacheOp *wide, const PgCacheItem *item)
{
	const char *tag = wide->text;

	if (wide->incarnation != item->key.incarnation)
		return false;
	switch (wide->kind)
	{
		case OP_CLEAR:
			return true;
		case OP_TAGS:
			for (int i = 0; i < wide->ntags; i++)
			{
				if (has_tag(item, tag))
					return true;
				tag += 1 + (uint8) *tag;
			}
			return false;
		default:
			return pgcache_predicate_matches(wide->match, wide->text, wide->len,
											 item->key.data, item->key.len,
											 item->tags, item->ntags);
	}
}

/* Lets a change of many keys follow by deletes of the own puts that it hits. */
static void
delete_own(const PgCacheOp *wide)
{
	dlist_iter	iter;
	dlist_node *newest = dlist_tail_node(&pgcache_log.ops);

	if (pgcache_log.nkeys == 0)
		return;
	dlist_foreach(iter, &pgcache_log.ops)
	{
		PgCacheOp  *op = dlist_container(PgCacheOp, node, iter.cur);

		if (op->kind == OP_PUT && pgcache_op_is_last(op) &&
			hits_item(wide, &op->item))
			append(new_key_op(OP_DELETE, &op->item.key, op->incarnation,
							  wide->cause, 0));
		if (iter.cur == newest)
			break;
	}
}

/*
 * Whether the same change is among the last, with no put since.  A watched table
 * may make it for each row.
 */
static bool
is_repeated(const PgCacheOp *wide)
{
	slist_iter	iter;
	int			looks = 0;

	slist_foreach(iter, &pgcache_log.wide)
	{
		PgCacheOp  *old = slist_container(PgCacheOp, wide_node, iter.cur);

		if (old->nputs != pgcache_log.nputs || ++looks > REPEATED_LOOKS)
			break;
		if (old->kind == wide->kind && old->slot == wide->slot &&
			old->incarnation == wide->incarnation && old->match == wide->match &&
			old->len == wide->len && memcmp(old->text, wide->text, old->len) == 0)
			return true;
	}
	return false;
}

static void
change_many(PgCacheOp *wide, bool now)
{
	if (now)
	{
		act_now(wide);
		return;
	}
	if (is_repeated(wide))
	{
		pfree(wide);
		return;
	}
	append(wide);
	delete_own(wide);
	heed_bounds();
}

/* An op in the log's memory, or for one that acts at once in the caller's. */
static PgCacheOp *
new_wide_op(PgCacheOpKind kind, uint16 slot, PgCacheIncarnation incarnation,
			PgCacheCounter cause, const char *text, int len, bool now)
{
	PgCacheOp  *op;

	if (now)
	{
		op = palloc0(sizeof(PgCacheOp) + len);
		op->kind = kind;
		op->slot = slot;
		op->incarnation = incarnation;
		op->cause = cause;
	}
	else
		op = new_op(kind, slot, incarnation, cause, len);
	op->text = (char *) (op + 1);
	op->len = len;
	memcpy(op->text, text, len);
	return op;
}

void
pgcache_txn_clear(uint16 slot, PgCacheIncarnation incarnation, bool now)
{
	change_many(new_wide_op(OP_CLEAR, slot, incarnation,
							PGCACHE_INVALIDATED_MANUAL, "", 0, now), now);
}

void
pgcache_txn_invalidate_tags(uint16 slot, PgCacheIncarnation incarnation,
							const char *tags, int ntags, PgCacheCounter cause,
							bool now)
{
	const char *end = tags;
	PgCacheOp  *op;

	if (ntags == 0)
		return;
	for (int i = 0; i < ntags; i++)
		end += 1 + (uint8) *end;
	op = new_wide_op(OP_TAGS, slot, incarnation, cause, tags, end - tags, now);
	op->ntags = ntags;
	change_many(op, now);
}

void
pgcache_txn_invalidate_matching(uint16 slot, PgCacheIncarnation incarnation,
								PgCachePredicateKind kind, const char *text,
								int len, PgCacheCounter cause, bool now)
{
	PgCacheOp  *op = new_wide_op(OP_MATCH, slot, incarnation, cause, text, len, now);

	op->match = kind;
	change_many(op, now);
}

/* ---- reading ------------------------------------------------------------------------ */

/* Whether the own transaction changed a table since it put this. */
static bool
tables_changed(const PgCacheOp *op)
{
	uint64		number;

	return op->item.ntables > 0 &&
		(!pgcache_watch_own_changes(pgcache_item_tables(&op->item),
									op->item.ntables, &number) ||
		 number != op->own_changes);
}

/*
 * A put of an earlier statement may have become stale for this one, the snapshot
 * of which may see what has been changed since.
 */
PgCacheOwn
pgcache_txn_own(const PgCacheKey *key, const PgCacheItem **item)
{
	PgCacheOp  *op = pgcache_log_find(key);

	if (op == NULL || op->kind == OP_TOUCH)
		return PGCACHE_OWN_NONE;
	if (op->kind == OP_DELETE)
		return PGCACHE_OWN_GONE;
	if ((op->item.flags & PGCACHE_ENTRY_TTL) &&
		op->item.expires <= pgcache_clock_now())
		return PGCACHE_OWN_GONE;
	if (tables_changed(op))
		return PGCACHE_OWN_GONE;
	if (op->bound != pgcache_statement_bound() && pgcache_op_is_stale(op))
		return PGCACHE_OWN_GONE;
	*item = &op->item;
	return PGCACHE_OWN_PUT;
}

void
pgcache_txn_own_puts(void (*visit) (void *arg, const PgCacheItem *item),
					 void *arg)
{
	dlist_iter	iter;

	if (pgcache_log.nkeys == 0)
		return;
	dlist_foreach(iter, &pgcache_log.ops)
	{
		PgCacheOp  *op = dlist_container(PgCacheOp, node, iter.cur);

		if (op->kind == OP_PUT && pgcache_op_is_last(op))
			visit(arg, &op->item);
	}
}

/* Whether an own invalidation of tags hits an entry of the store. */
static bool
shares_stamp(const PgCacheOp *wide, const PgCacheRef *ref)
{
	const char *tag = wide->text;

	for (int i = 0; i < wide->ntags; i++)
	{
		PgCacheStamp stamp = pgcache_stamp_of_tag(wide->slot, tag + 1, (uint8) *tag);

		for (int j = 0; j < ref->meta.ntags; j++)
			if (ref->deps[j] == stamp)
				return true;
		tag += 1 + (uint8) *tag;
	}
	return false;
}

static bool
matches_ref(const PgCacheOp *wide, PgCacheRef *ref)
{
	char	   *tags;
	bool		matches;

	if (wide->match == PGCACHE_MATCH_KEY)
		return pgcache_predicate_matches(wide->match, wide->text, wide->len,
										 ref->key->data, ref->key->len, NULL, 0);
	if (wide->match == PGCACHE_MATCH_SPACE)
		return true;
	if (ref->meta.ntags == 0)
		return false;
	tags = palloc(ref->meta.tags_len);
	/* If it is another entry meanwhile, it is none that we may serve. */
	matches = !pgcache_store_copy_tags(pgcache_store, ref, tags) ||
		pgcache_predicate_matches(wide->match, wide->text, wide->len,
								  ref->key->data, ref->key->len,
								  tags, ref->meta.ntags);
	pfree(tags);
	return matches;
}

bool
pgcache_log_hits(const PgCacheKey *key, PgCacheRef *ref)
{
	slist_iter	iter;

	slist_foreach(iter, &pgcache_log.wide)
	{
		PgCacheOp  *wide = slist_container(PgCacheOp, wide_node, iter.cur);

		if (wide->incarnation != key->incarnation)
			continue;
		if (wide->kind == OP_CLEAR ||
			(wide->kind == OP_TAGS && shares_stamp(wide, ref)) ||
			(wide->kind == OP_MATCH && matches_ref(wide, ref)))
			return true;
	}
	return false;
}

bool
pgcache_log_hits_key(const PgCacheKey *key)
{
	slist_iter	iter;

	slist_foreach(iter, &pgcache_log.wide)
	{
		PgCacheOp  *wide = slist_container(PgCacheOp, wide_node, iter.cur);

		if (wide->incarnation != key->incarnation)
			continue;
		if (wide->kind == OP_CLEAR ||
			(wide->kind == OP_MATCH && wide->match == PGCACHE_MATCH_SPACE) ||
			(wide->kind == OP_MATCH && wide->match == PGCACHE_MATCH_KEY &&
			 pgcache_predicate_matches(wide->match, wide->text, wide->len,
									   key->data, key->len, NULL, 0)))
			return true;
	}
	return false;
}
