/*-------------------------------------------------------------------------
 *
 * pending.c
 *	  Changing the cache, and what the own transaction sees of its changes.
 *
 * A change goes to the transaction's log (log.c), or, if it is to act at once, to
 * the store.  A clear or pattern is followed at once by deletes of the own puts that
 * it hits, so that the last change of a key is all that counts for it; whether its
 * tags were invalidated later a put looks up itself, since a watched table may
 * invalidate a tag for each row.
 *
 * Locking: none of its own.
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

/* Changes of many keys that a new one is compared with. */
#define REPEATED_LOOKS	32

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
	pgcache_log_forget(old);
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
	if (ntables > 0)
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
	PgCacheOp  *op = pgcache_log_new_key_op(OP_PUT, &item->key, incarnation, PGCACHE_PUTS,
											deps_bytes + item->tags_len);
	PgCacheKey	key = op->item.key;
	char	   *deps = unconstify(char *, key.data) + MAXALIGN(key.len);
	PgCacheSnap snap;

	op->item = *item;
	op->item.key = key;
	op->item.tags = memcpy(deps + deps_bytes, item->tags, item->tags_len);
	set_deps(&op->item, (uint32 *) deps, tables, ntables);
	op->bound = bound;

	/* In a function, or with a lease, they may be read later than the bound. */
	op->asof = bound->snap.asof;
	if (item->flags & PGCACHE_ENTRY_EXACT)
		op->asof = item->writer;
	else if (owner != NULL)
		op->asof = Max(op->asof, owner->asof);
	else if (ActiveSnapshotSet() &&
			 pgcache_snap_from(GetActiveSnapshot(), &snap))
		op->asof = Max(op->asof, snap.asof);
	op->exact = (item->flags & PGCACHE_ENTRY_EXACT) != 0 ||
		(op->asof == bound->snap.asof && bound->fence == PG_UINT64_MAX);
	if (ntables > 0 &&
		!pgcache_watch_own_changes(tables, ntables, &op->own_changes))
		op->bound = &pgcache_bound_never;
	if (owner != NULL)
	{
		op->value = owner->value;
		op->shares_value = true;
		/* It must not be dropped alone. */
		op->made_share = !owner->shares_value;
		owner->shares_value = true;
	}
	else
	{
		op->value = MemoryContextAllocHuge(pgcache_log.context, Max(item->len, 1));
		memcpy(op->value, item->value, item->len);
		op->bytes += item->len;
	}
	op->item.value = op->value;
	pgcache_log_append(op);
	supersede(op);
	pgcache_log_heed_bounds();
}

void
pgcache_log_put_again(const PgCacheItem *item, PgCacheIncarnation incarnation,
					  const PgCacheBound *bound, const Oid *tables, int ntables)
{
	append_put(item, incarnation, bound, tables, ntables, NULL);
}

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

/*
 * A change that acts at once ends the own puts that it hits, for good: it is not
 * undone when a subtransaction is rolled back.
 */
static void
spoil_own(const PgCacheOp *op)
{
	dlist_mutable_iter iter;

	if (!pgcache_txn_pending)
		return;
	if (op->kind == OP_DELETE)
	{
		for (PgCacheOp *own = pgcache_log_find(&op->item.key); own != NULL;
			 own = own->previous)
		{
			if (own->kind == OP_PUT)
				pgcache_log_spoil(own, op->cause);
		}
		return;
	}
	dlist_foreach_modify(iter, &pgcache_log.puts)
	{
		PgCacheOp  *put = pgcache_op_of_kind(iter.cur);

		if (hits_item(op, &put->item))
			pgcache_log_spoil(put, op->cause);
	}
}

/* A transient op for a change that acts at once. */
static void
act_now(PgCacheOp *op)
{
	PgCacheActor actor = {.now = true};

	if (op->kind != OP_PUT && op->kind != OP_TOUCH)
		spoil_own(op);
	pgcache_op_prepare(op);
	pgcache_op_publish(op, &actor, PGCACHE_PUBLISH_IMMEDIATE);
	if (op->kind == OP_MATCH)
		pgcache_ops_delete_matching(&op, 1);
	else
		pgcache_op_install(op, &actor, pgcache_stamp_now());
	pgcache_op_count(op);
	pgcache_announce_now(op);
}

/*
 * Whether the key's namespace got its slot after a change of all those that had
 * none.
 */
static bool
was_unslotted(const PgCacheKey *key)
{
	return pgcache_log.unslotted != 0 &&
		key->incarnation > pgcache_log.unslotted_since;
}

/* Whether a pending change is of an item's key, or hits its tags. */
static bool
has_own_changes(const PgCacheItem *item)
{
	PgCacheIncarnation incarnation = item->key.incarnation;
	const char *tag = item->tags;
	dlist_iter	iter;

	if (!pgcache_txn_pending)
		return false;
	if (was_unslotted(&item->key) || pgcache_log_find(&item->key) != NULL)
		return true;
	for (int i = 0; i < item->ntags; i++)
	{
		int			len = (uint8) *tag++;

		if (pgcache_log_find_tag(pgcache_stamp_of_tag(item->key.space, tag, len),
								 incarnation) != NULL)
			return true;
		tag += len;
	}
	dlist_foreach(iter, &pgcache_log.wide)
	{
		const PgCacheOp *wide = pgcache_op_of_kind(iter.cur);

		if (wide->incarnation == incarnation &&
			(wide->kind != OP_MATCH || hits_item(wide, item)))
			return true;
	}
	return false;
}

void
pgcache_txn_refuse_own(const PgCacheItem *item, const char *function)
{
	if (has_own_changes(item))
		pgcache_refuse_own(&item->key, function);
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

	/*
	 * What depends on tables is never for everybody, and what the own
	 * transaction has changed is in the order of its changes.
	 */
	if (now && ntables == 0 && !has_own_changes(item))
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

	/* We may have changed one after the data were read. */
	if (pgcache_watch_wrote(tables + put->item.ntables,
							ntables - put->item.ntables))
	{
		pgcache_txn_delete(&put->item.key, put->incarnation,
						   PGCACHE_INVALIDATED_TABLE, false);
		return false;
	}
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
	if (last != NULL && last->kind == OP_DELETE &&
		(last->cause == cause || last->level == GetCurrentTransactionNestLevel()))
	{
		/* One by hand is what is told and counted. */
		if (cause == PGCACHE_DELETES)
			last->cause = cause;
		return;
	}
	pgcache_log_append(pgcache_log_new_key_op(OP_DELETE, key, incarnation, cause, 0));
	pgcache_log_heed_bounds();
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
		op = pgcache_log_new_key_op(OP_TOUCH, key, incarnation, PGCACHE_PUTS, 0);
		item.key = op->item.key;
		op->item = item;
		op->version = version;
		pgcache_log_append(op);
		pgcache_log_heed_bounds();
	}
}

/* ---- changes of many keys --------------------------------------------------------- */

/* Lets a change of many keys follow by deletes of the own puts that it hits. */
static void
delete_own(const PgCacheOp *wide)
{
	dlist_iter	iter;

	dlist_foreach(iter, &pgcache_log.puts)
	{
		PgCacheOp  *op = pgcache_op_of_kind(iter.cur);

		if (pgcache_op_is_last(op) && hits_item(wide, &op->item))
			pgcache_log_append(pgcache_log_new_key_op(OP_DELETE, &op->item.key, op->incarnation,
													  wide->cause, 0));
	}
}

/*
 * Whether the same change is among the last, with no put since.  A watched table
 * may make it for each row.
 */
static bool
is_repeated(const PgCacheOp *wide)
{
	dlist_iter	iter;
	int			looks = 0;

	if (wide->kind == OP_TAGS)
	{
		PgCacheOp  *old = pgcache_log_find_tag(wide->stamp, wide->incarnation);

		return old != NULL && old->nputs == pgcache_log.nputs &&
			old->len == wide->len && memcmp(old->text, wide->text, old->len) == 0;
	}
	dlist_reverse_foreach(iter, &pgcache_log.wide)
	{
		PgCacheOp  *old = pgcache_op_of_kind(iter.cur);

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
	pgcache_log_append(wide);

	/* Puts look for changes of their tags themselves. */
	if (wide->kind != OP_TAGS)
		delete_own(wide);
	pgcache_log_heed_bounds();
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
		op = pgcache_log_new_op(kind, slot, incarnation, cause, len);
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
	const char *tag = tags;
	PgCacheOp  *op;

	for (int i = 0; i < ntags; i++)
	{
		int			len = 1 + (uint8) *tag;

		op = new_wide_op(OP_TAGS, slot, incarnation, cause, tag, len, now);
		op->ntags = 1;
		op->stamp = pgcache_stamp_of_tag(slot, tag + 1, len - 1);
		change_many(op, now);
		tag += len;
	}
}

void
pgcache_txn_invalidate_unslotted(PgCacheIncarnation since, bool now)
{
	if (now)
	{
		PgCacheActor actor = {.now = true};

		pgcache_unslotted_publish(since, &actor, PGCACHE_PUBLISH_IMMEDIATE);
		return;
	}
	pgcache_log_begin();
	if (pgcache_log.unslotted == 0)
	{
		pgcache_log.unslotted = GetCurrentTransactionNestLevel();
		pgcache_log.unslotted_since = since;
	}
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

bool
pgcache_put_is_changed(const PgCacheOp *put)
{
	uint64		number;

	return put->item.ntables > 0 &&
		(!pgcache_watch_count_changes(pgcache_item_tables(&put->item),
									  put->item.ntables, &number) ||
		 number != put->own_changes);
}

bool
pgcache_put_is_untagged(const PgCacheOp *put)
{
	for (int i = 0; pgcache_log.ntags > 0 && i < put->item.ntags; i++)
	{
		PgCacheOp  *tag = pgcache_log_find_tag(put->item.deps[i], put->incarnation);

		if (tag != NULL && tag->serial > put->serial)
			return true;
	}
	return false;
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
	if (pgcache_put_is_untagged(op) || pgcache_put_is_changed(op))
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
	dlist_foreach(iter, &pgcache_log.puts)
	{
		PgCacheOp  *op = pgcache_op_of_kind(iter.cur);

		if (pgcache_op_is_last(op) && !pgcache_put_is_untagged(op))
			visit(arg, &op->item);
	}
}

/* Whether an own invalidation of tags hits an entry of the store. */
static bool
hits_tags(PgCacheIncarnation incarnation, const PgCacheRef *ref)
{
	for (int i = 0; pgcache_log.ntags > 0 && i < ref->meta.ntags; i++)
	{
		if (pgcache_log_find_tag(ref->deps[i], incarnation) != NULL)
			return true;
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
	dlist_iter	iter;

	if (was_unslotted(key) || hits_tags(key->incarnation, ref))
		return true;
	dlist_foreach(iter, &pgcache_log.wide)
	{
		PgCacheOp  *wide = pgcache_op_of_kind(iter.cur);

		if (wide->incarnation == key->incarnation &&
			(wide->kind != OP_MATCH || matches_ref(wide, ref)))
			return true;
	}
	return false;
}

bool
pgcache_log_hits_key(const PgCacheKey *key)
{
	dlist_iter	iter;

	if (was_unslotted(key))
		return true;
	dlist_foreach(iter, &pgcache_log.wide)
	{
		PgCacheOp  *wide = pgcache_op_of_kind(iter.cur);

		if (wide->incarnation != key->incarnation)
			continue;
		if (wide->kind != OP_MATCH || wide->match == PGCACHE_MATCH_SPACE ||
			(wide->match == PGCACHE_MATCH_KEY &&
			 pgcache_predicate_matches(wide->match, wide->text, wide->len,
									   key->data, key->len, NULL, 0)))
			return true;
	}
	return false;
}
