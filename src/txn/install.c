/*-------------------------------------------------------------------------
 *
 * install.c
 *	  One change, published and brought into the store.
 *
 * A put is tested under the lock of its key's partition, in the hold in which it
 * is linked: whoever changes the key publishes first and takes that lock
 * afterwards to remove what is there.  So either the test finds the publish, or
 * the entry is removed.  Tags, tables and the namespace need no such order: an
 * entry bears the publish number from before the test, and what is published
 * later is found when it is served.
 *
 * Locking: the store's.  Nothing here but what says so allocates or raises
 * errors, so that it can be done after the commit of a transaction without xid.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "shmem/debug_point.h"
#include "stamp/broken.h"
#include "txn/txn_internal.h"
#include "watch/watch.h"

/* Nothing sees it and everything is newer. */
const PgCacheBound pgcache_bound_never = {.fence = 0};

/* A put being tested; for admit_put. */
typedef struct Admission
{
	const PgCacheOp *op;
	const PgCacheActor *actor;
	PgCacheBound bound;			/* the op's, with the own xid as it is now */
	PgCacheStamp key;
	uint64		own_number;		/* of an immediate put's own publish, or 0 */
	bool		noted;			/* the own asof is in the key's stamp */
} Admission;

/* ---- testing ------------------------------------------------------------------ */

/* is_table: or of all tables. */
static bool
stamp_is_stale(PgCacheStamp stamp, const PgCacheBound *bound, bool is_table)
{
	PgCacheRing ring;

	if (likely(pgcache_stamp_is_untouched(stamp)))
		return false;
	pgcache_stamp_read(stamp, &ring);
	return pgcache_rule_stale(&ring, bound) ||
		(is_table && pgcache_rule_ddl(&ring, bound));
}

/* Whether the key was changed since the data were read. */
static bool
key_is_stale(const Admission *a)
{
	PgCacheRing ring;

	if (pgcache_stamp_is_untouched(a->key))
		return false;
	pgcache_stamp_read(a->key, &ring);

	/*
	 * The test is made in each hold of the lock, and only the first
	 * publishes.
	 */
	for (int i = 0; a->own_number != 0 && i < PGCACHE_RING_SIZE; i++)
	{
		if (ring.at[i].number != a->own_number)
			continue;
		memmove(&ring.at[i], &ring.at[i + 1],
				(PGCACHE_RING_SIZE - 1 - i) * sizeof(ring.at[0]));
		ring.at[PGCACHE_RING_SIZE - 1].number = 0;
		break;
	}
	if (PGCACHE_BROKEN(nokey))
		return false;
	return pgcache_rule_stale(&ring, &a->bound) ||
		(a->actor->xid == 0 && pgcache_rule_older(&ring, &a->bound, a->key) &&
		 !(a->noted && ring.asof == a->op->asof));
}

/*
 * Of what was published for namespaces without a slot only that counts which is
 * older than the slot: whoever published later has looked at the slots afterwards,
 * and published for the namespace itself if that was meant.  A backend's changes at
 * once stand there for earlier ones of other meaning, so they count.
 */
static bool
is_unslotted_stale(uint16 slot, const PgCacheBound *bound)
{
	uint64		born;
	uint64		next_xid;
	PgCacheRing ring;
	int			n = 0;

	/* Of a snapshot since then: all that is older had ended. */
	pgcache_space_slot_born(slot, &born, &next_xid);
	if (pgcache_stamp_is_untouched(pgcache_stamp_of_unslotted(MyDatabaseId)) ||
		(bound->snap.xmin >= next_xid && Min(bound->noted, bound->fence) >= born))
		return false;
	pgcache_stamp_read(pgcache_stamp_of_unslotted(MyDatabaseId), &ring);
	for (int i = 0; i < PGCACHE_RING_SIZE; i++)
	{
		if (ring.at[i].number < born ||
			ring.at[i].kind == PGCACHE_PUBLISH_IMMEDIATE)
			ring.at[n++] = ring.at[i];
	}
	while (n < PGCACHE_RING_SIZE)
		ring.at[n++].number = 0;
	return pgcache_rule_stale(&ring, bound);
}

bool
pgcache_txn_is_cleared(uint16 slot, const PgCacheBound *bound, bool with_tables)
{
	return stamp_is_stale(pgcache_stamp_of_space(slot), bound, false) ||
		is_unslotted_stale(slot, bound) ||
		stamp_is_stale(pgcache_stamp_of_database(MyDatabaseId), bound, with_tables);
}

/* Whether one of what the put depends on was. */
static bool
deps_are_stale(const Admission *a)
{
	const PgCacheItem *item = &a->op->item;

	if (pgcache_txn_is_cleared(item->key.space, &a->bound, item->ntables > 0))
		return true;
	for (int i = 0; i < item->nstamps; i++)
	{
		if (stamp_is_stale(item->deps[i], &a->bound,
						   i >= item->nstamps - item->ntables))
			return true;
	}
	return false;
}

/* Whether what is there was put later than our data were read. */
static bool
is_newer(const PgCacheMeta *present, const PgCacheBound *bound)
{
	if ((present->flags & PGCACHE_ENTRY_WRITER) == 0)
		return present->seq >= bound->noted;
	if (present->flags & PGCACHE_ENTRY_ASOF)
		return present->writer > bound->snap.asof;
	return !pgcache_snap_sees(&bound->snap, present->writer);
}

/*
 * A stale put of a transaction with xid leaves nothing: its own data may be newer
 * in part.  Without, it gives way to what is newer.
 */
static PgCacheAdmission
admit_put(void *arg, const PgCacheMeta *present)
{
	Admission  *a = arg;
	bool		changed = a->op->predicates != pgcache_predicate_count();

	if (changed && !a->actor->final)
		return PGCACHE_POSTPONE;
	if (changed || key_is_stale(a) || deps_are_stale(a))
		return a->actor->xid == 0 && present != NULL &&
			is_newer(present, &a->bound) ? PGCACHE_YIELD : PGCACHE_REFUSE;

	if (a->actor->now && a->own_number == 0)
		a->own_number = pgcache_stamp_publish(a->key, 0,
											  PGCACHE_PUBLISH_IMMEDIATE);
	else if (a->actor->xid == 0 && !a->actor->now)
	{
		pgcache_stamp_note_asof(a->key, a->op->asof);
		a->noted = true;
	}
	return PGCACHE_ADMIT;
}

bool
pgcache_op_is_stale(const PgCacheOp *op)
{
	uint64		xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	PgCacheActor actor = {.xid = xid};
	Admission	a = {
		.op = op,.actor = &actor,.bound = *op->bound,
		.key = pgcache_stamp_of_key(op->item.key.hash)
	};
	uint64		predicates;

	a.bound.snap.own = xid;
	return op->bound == &pgcache_bound_never || key_is_stale(&a) ||
		deps_are_stale(&a) ||
		pgcache_predicate_stale(op->slot, op->item.key.data, op->item.key.len,
								op->item.tags, op->item.ntags, &a.bound,
								&predicates);
}

/*
 * Tests the predicates, and notes how many.  May raise errors.
 */
static void
test_predicates(PgCacheOp *op, const PgCacheBound *bound)
{
	const PgCacheItem *item = &op->item;

	if (pgcache_predicate_stale(item->key.space, item->key.data, item->key.len,
								item->tags, item->ntags, bound, &op->predicates))
		op->is_void = true;
}

/*
 * Own changes are not stale: the transaction's xid, if it gets one now, is known
 * to pgcache_op_install, so it is left out here, and what it publishes itself
 * later does not count either (see pgcache_op_install).
 */
void
pgcache_op_prepare(PgCacheOp *op)
{
	if (op->kind != OP_PUT)
		return;
	if (pgcache_put_is_untagged(op))
	{
		pgcache_count(op->slot, op->incarnation, PGCACHE_PUTS, 1);
		pgcache_log_spoil(op, PGCACHE_INVALIDATED_TAG);
		return;
	}
	if (op->bound == &pgcache_bound_never ||
		(op->bound->recovery && !RecoveryInProgress()))
	{
		op->is_void = true;
		return;
	}
	for (int i = 0; i < op->item.ntables; i++)
		pgcache_ddl_resolve(op->item.deps[op->item.ntags + i]);
	if (op->item.ntables > 0)
		pgcache_ddl_resolve(pgcache_stamp_of_database(MyDatabaseId));
	if (pgcache_put_is_changed(op))
		op->is_void = true;
	if (!pgcache_baseline_allows(&op->bound->snap))
		op->is_void = true;
	if (!op->is_void)
		test_predicates(op, op->bound);
}

/* ---- publishing ------------------------------------------------------------------ */

void
pgcache_op_publish(PgCacheOp *op, const PgCacheActor *actor, int kind)
{
	const char *tag = op->text;
	PgCacheUsage usage;

	switch (op->kind)
	{
		case OP_PUT:
			/* Without xid it notes its asof when it is admitted. */
			if (actor->xid != 0)
				pgcache_stamp_publish(pgcache_stamp_of_key(op->item.key.hash),
									  actor->xid, kind);
			break;
		case OP_DELETE:
			pgcache_stamp_publish(pgcache_stamp_of_key(op->item.key.hash),
								  actor->xid, kind);
			break;
		case OP_TOUCH:
			break;
		case OP_FORGOTTEN:
			if (actor->xid == 0 && !actor->now)
				break;
			/* FALLTHROUGH */
		case OP_CLEAR:
			pgcache_store_usage(pgcache_store, op->slot, &usage);
			op->count = usage.entries;
			op->number = pgcache_stamp_publish(pgcache_stamp_of_space(op->slot),
											   actor->xid, kind);
			break;
		case OP_TAGS:
			for (int i = 0; i < op->ntags; i++)
			{
				pgcache_stamp_publish(pgcache_stamp_of_tag(op->slot, tag + 1,
														   (uint8) *tag),
									  actor->xid, kind);
				tag += 1 + (uint8) *tag;
			}
			op->count = op->ntags;
			break;
		case OP_MATCH:
			pgcache_predicate_publish(op->match, op->slot, op->text, op->len,
									  actor->xid, kind);
			break;
	}
}

/*
 * A put in a namespace that gets its slot after we have looked at the slots finds
 * the publish when it is admitted; what was put in one that got it before that is
 * ended by a publish of its own.
 */
void
pgcache_unslotted_publish(PgCacheIncarnation since, const PgCacheActor *actor,
						  int kind)
{
	uint16	   *slots = palloc(pgcache_max_namespaces * sizeof(uint16));
	int			n;

	pgcache_stamp_publish(pgcache_stamp_of_unslotted(MyDatabaseId), actor->xid, kind);
	n = pgcache_space_slots_since(since, slots);
	for (int i = 0; i < n; i++)
		pgcache_stamp_publish(pgcache_stamp_of_space(slots[i]), actor->xid, kind);
	pfree(slots);
}

/* ---- installing ------------------------------------------------------------------ */

static void
install_delete(PgCacheOp *op)
{
	if (pgcache_store_delete(pgcache_store, &op->item.key))
		op->count = 1;
}

static void
count_put(const PgCacheOp *op, PgCachePutResult result)
{
	PgCacheCounter counter = PGCACHE_PUTS;

	if (result == PGCACHE_DROPPED)
		counter = PGCACHE_DROPPED_PUTS;
	else if (result == PGCACHE_STALE)
		counter = PGCACHE_STALE_PUTS;
	pgcache_count(op->slot, op->incarnation, counter, 1);
}

void
pgcache_txn_mark_standby(PgCacheItem *item, const PgCacheBound *bound)
{
	item->flags &= ~(PGCACHE_ENTRY_WRITER | PGCACHE_ENTRY_ASOF | PGCACHE_ENTRY_EXACT);
	if (!RecoveryInProgress() && (bound == NULL || !bound->recovery))
		return;
	item->flags |= PGCACHE_ENTRY_WRITER;
	item->writer = 0;
}

static void
install_put(PgCacheOp *op, const PgCacheActor *actor, uint64 seq)
{
	PgCacheItem *item = &op->item;
	PgCachePutResult result;
	Admission	a = {
		.op = op,.actor = actor,.bound = *op->bound,
		.key = pgcache_stamp_of_key(item->key.hash)
	};

	a.bound.snap.own = actor->xid;
	item->seq = seq;
	item->flags &= ~(PGCACHE_ENTRY_WRITER | PGCACHE_ENTRY_ASOF | PGCACHE_ENTRY_EXACT);
	if (!actor->now)
	{
		item->flags |= PGCACHE_ENTRY_WRITER;
		if (actor->xid == 0)
			item->flags |= PGCACHE_ENTRY_ASOF;
		if (actor->xid == 0 && op->exact)
			item->flags |= PGCACHE_ENTRY_EXACT;
		item->writer = actor->xid != 0 ? actor->xid : op->asof;
	}
	else
		pgcache_txn_mark_standby(item, op->bound);
	item->admit = admit_put;
	item->admit_arg = &a;
	item->stored_version = &op->stored;

	pgcache_store_tune();
	if (!actor->final)
		PGCACHE_DEBUG_POINT("put-store");
	for (;;)
	{
		if (op->is_void)
		{
			/* It still removes what it would have replaced. */
			(void) pgcache_store_delete(pgcache_store, &item->key);
			result = PGCACHE_STALE;
			break;
		}
		result = pgcache_store_put(pgcache_store, item, PGCACHE_PUT_SET, 0);
		if (result != PGCACHE_NOT_STORED)
			break;
		test_predicates(op, &a.bound);
	}
	if (result != PGCACHE_STORED)
		op->stored = 0;
	count_put(op, result);
}

void
pgcache_op_install(PgCacheOp *op, const PgCacheActor *actor, uint64 seq)
{
	switch (op->kind)
	{
		case OP_PUT:
			install_put(op, actor, seq);
			break;
		case OP_DELETE:
			install_delete(op);
			break;
		case OP_TOUCH:
			(void) pgcache_store_touch(pgcache_store, &op->item.key, op->version,
									   op->item.expires, op->item.slide,
									   op->item.slide_cap);
			break;
		case OP_FORGOTTEN:
		case OP_CLEAR:
			if (op->number != 0)
				pgcache_store_clear_to(pgcache_store, op->slot, op->number);
			break;
		case OP_TAGS:
			pgcache_store_note_dead(pgcache_store);
			break;
		case OP_MATCH:
			break;
	}
}

/* ---- what matches ----------------------------------------------------------------- */

/* The first of several changes that matches an entry, or NULL. */
static PgCacheOp *
find_match(PgCacheOp **ops, int n, const PgCacheMeta *meta, const char *data)
{
	for (int i = 0; i < n; i++)
	{
		PgCacheOp  *op = ops[i];

		if (meta->space == op->slot &&
			pgcache_predicate_matches(op->match, op->text, op->len,
									  data, meta->key_len,
									  data + meta->key_len, meta->ntags))
			return op;
	}
	return NULL;
}

/*
 * Deletes an entry that was scanned, or what cache_incr has made of it since, which
 * goes on with its tags and time of creation.  Other puts have tested predicates.
 */
static bool
delete_scanned(const PgCacheKey *key, const PgCacheMeta *meta)
{
	uint64		version = meta->version;
	PgCacheRef	ref;

	while (!pgcache_store_delete_version(pgcache_store, key, version))
	{
		if (!pgcache_store_find(pgcache_store, key, &ref) ||
			ref.meta.created != meta->created)
			return false;
		version = ref.meta.version;
	}
	return true;
}

/* All are tested on the way, so that the store is copied once. */
void
pgcache_ops_delete_matching(PgCacheOp **ops, int n)
{
	int			npartitions = n > 0 ? pgcache_store_part_count() : 0;
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_cache matches",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = CurrentMemoryContext;

	for (int i = 0; i < npartitions; i++)
	{
		Size		used;
		char	   *buf = pgcache_store_scan_partition(i, &used);

		MemoryContextSwitchTo(scratch);
		for (char *p = buf; p < buf + used; p += ((PgCacheScanned *) p)->size)
		{
			const PgCacheMeta *meta = &((PgCacheScanned *) p)->meta;
			const char *data = p + sizeof(PgCacheScanned);
			PgCacheOp  *op = find_match(ops, n, meta, data);
			PgCacheKey	key;

			CHECK_FOR_INTERRUPTS();
			MemoryContextReset(scratch);
			if (op == NULL)
				continue;
			pgcache_store_key(pgcache_store, &key, meta->space, data, meta->key_len);
			if (delete_scanned(&key, meta))
				op->count++;
		}
		MemoryContextSwitchTo(caller);
		pfree(buf);
	}
	MemoryContextDelete(scratch);
}

void
pgcache_op_count(const PgCacheOp *op)
{
	if (op->kind != OP_PUT && op->kind != OP_TOUCH && op->count > 0)
		pgcache_count(op->slot, op->incarnation, op->cause, op->count);
}
