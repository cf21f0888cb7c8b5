/*-------------------------------------------------------------------------
 *
 * txn_internal.h
 *	  What the files of this room share.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_TXN_TXN_INTERNAL_H
#define PGCACHE_TXN_TXN_INTERNAL_H

#include "lib/ilist.h"

#include "txn/txn.h"

/* ---- log.c ----------------------------------------------------------------- */

typedef enum PgCacheOpKind
{
	OP_PUT,						/* of a key: item */
	OP_DELETE,					/* of a key */
	OP_TOUCH,					/* of a key: version, item's expiry */
	OP_CLEAR,					/* of a namespace */
	OP_TAGS,					/* of the entries with one of them; in the log
								 * one for each tag */
	OP_MATCH,					/* of the entries that match */
	OP_FORGOTTEN				/* a clear if the transaction gets an xid */
} PgCacheOpKind;

#define OP_IS_OF_KEY(op)	((op)->kind <= OP_TOUCH)

/*
 * One change, in the order in which they were made.  Of several of one key the
 * last counts.
 */
typedef struct PgCacheOp
{
	dlist_node	node;			/* in the log */
	dlist_node	kind_node;		/* PUT: in puts; CLEAR, MATCH, FORGOTTEN: in
								 * wide */
	PgCacheOpKind kind;
	int			level;			/* of the subtransaction */
	uint16		slot;
	PgCacheIncarnation incarnation;
	PgCacheCounter cause;
	Size		bytes;			/* that it is charged with */
	uint64		serial;			/* in the order of the changes */
	uint64		nputs;			/* puts before it */
	bool		had_xid;		/* the transaction, when it was made */

	/* of a key */
	struct PgCacheOp *previous; /* the one of the same key, or for TAGS with
								 * the same stamp, before; or NULL */
	PgCacheItem item;			/* all of it for PUT; else key and expiry */
	char	   *value;			/* what item.value points to, palloc'd */
	bool		shares_value;	/* which another op has as well */
	bool		made_share;		/* with the previous op, which had it alone */
	uint64		version;		/* TOUCH: of the entry that was seen */
	uint64		nsuperseded;	/* PUT: earlier ones that are not in the log */
	const PgCacheBound *bound;	/* PUT: since when its data count as read */
	uint64		asof;			/* PUT: no part of the data is read later */
	bool		exact;			/* nor earlier */
	uint64		own_changes;	/* PUT with tables: as they were then */

	/* of several keys */
	PgCachePredicateKind match;
	char	   *text;			/* pattern or tags */
	int			len;
	int			ntags;
	PgCacheStamp stamp;			/* TAGS in the log: the tag's */

	/* while it is brought into the store */
	bool		is_gone;		/* its namespace's slot was freed */
	bool		is_void;		/* PUT: acts as a delete */
	uint64		predicates;		/* PUT: so many were tested */
	uint64		stored;			/* version of the entry that was made; 0: none */
	uint64		number;			/* of its publish: CLEAR */
	uint64		count;			/* to be counted for cause */
} PgCacheOp;

/* The own transaction's changes. */
typedef struct PgCacheLog
{
	MemoryContext context;		/* NULL: nothing pending */
	dlist_head	ops;
	dlist_head	puts;			/* of these, the puts */
	dlist_head	wide;			/* those of many keys but TAGS */
	Size		nops;
	int			nkeys;			/* ops of keys */
	int			ntags;			/* ops of tags */
	uint64		nputs;			/* puts so far */
	uint64		serial;			/* of the last change */
	int			unslotted;		/* lowest level at which namespaces without a
								 * slot were changed; 0: none */
	PgCacheIncarnation unslotted_since; /* then */
	Size		bytes;
} PgCacheLog;

extern PgCacheLog pgcache_log;

/* The change whose node, or kind_node, that is. */
static inline PgCacheOp *
pgcache_op_at(dlist_node *node)
{
	/* cppcheck-suppress nullPointer; the macro asks for the type of a member */
	return dlist_container(PgCacheOp, node, node);
}

static inline PgCacheOp *
pgcache_op_of_kind(dlist_node *node)
{
	/* cppcheck-suppress nullPointer; likewise */
	return dlist_container(PgCacheOp, kind_node, node);
}

static inline bool
pgcache_same_key(const PgCacheKey *a, const PgCacheKey *b)
{
	return a->hash == b->hash && a->space == b->space &&
		a->incarnation == b->incarnation && a->len == b->len &&
		memcmp(a->data, b->data, a->len) == 0;
}

/* The last change of the key, or NULL. */
extern PgCacheOp *pgcache_log_find(const PgCacheKey *key);

/* The last change of tags with that stamp, or NULL. */
extern PgCacheOp *pgcache_log_find_tag(PgCacheStamp stamp,
									   PgCacheIncarnation incarnation);

/*
 * A new change, not yet in the log, with room for bytes more behind it; of a key,
 * which is copied there, behind that.
 */
extern PgCacheOp *pgcache_log_new_op(PgCacheOpKind kind, uint16 slot,
									 PgCacheIncarnation incarnation,
									 PgCacheCounter cause, Size bytes);
extern PgCacheOp *pgcache_log_new_key_op(PgCacheOpKind kind, const PgCacheKey *key,
										 PgCacheIncarnation incarnation,
										 PgCacheCounter cause, Size bytes);

/* Begins a log if there is none. */
extern void pgcache_log_begin(void);

extern void pgcache_log_append(PgCacheOp *op);

/* Takes a change of a key out of the log; nobody may point to it. */
extern void pgcache_log_forget(PgCacheOp *op);

/* Makes a delete of a put, whatever is rolled back later. */
extern void pgcache_log_spoil(PgCacheOp *put, PgCacheCounter cause);

/* Keeps the log within its share of the memory. */
extern void pgcache_log_heed_bounds(void);

/* Whether a change is the last of its key. */
static inline bool
pgcache_op_is_last(const PgCacheOp *op)
{
	return pgcache_log_find(&op->item.key) == op;
}

/* Undoes what a subtransaction changed, or makes it its parent's. */
extern void pgcache_log_abort_sub(int level);
extern void pgcache_log_commit_sub(int level);

/* Forgets everything; the memory goes with the transaction. */
extern void pgcache_log_reset(void);

/*
 * No changes may be made any more: the transaction's are being brought into the
 * store.
 */
extern bool pgcache_log_closed;

/* ---- pending.c ------------------------------------------------------------- */

/* Whether tags of an own put were invalidated after it. */
extern bool pgcache_put_is_untagged(const PgCacheOp *put);

/* Whether the own transaction changed a table of an own put after it. */
extern bool pgcache_put_is_changed(const PgCacheOp *put);

/* Whether an own change of many keys hits an entry of the store. */
extern bool pgcache_log_hits(const PgCacheKey *key, PgCacheRef *ref);

/* Whether one hits any entry with that key, whatever its tags. */
extern bool pgcache_log_hits_key(const PgCacheKey *key);

/*
 * Adds tables to what an own put depends on; false if the put is none any more.
 */
extern bool pgcache_log_depend(PgCacheOp *put, const Oid *tables, int ntables);

/*
 * As pgcache_txn_put, for an entry of the store that is put again; with the flag
 * EXACT, as of the item's writer.
 */
extern void pgcache_log_put_again(const PgCacheItem *item,
								  PgCacheIncarnation incarnation,
								  const PgCacheBound *bound,
								  const Oid *tables, int ntables);

/* ---- install.c ------------------------------------------------------------- */

/* Who changes the store. */
typedef struct PgCacheActor
{
	uint64		xid;			/* 0: a transaction without, or nobody */
	bool		now;			/* for everybody at once */
	bool		final;			/* nothing may be allocated or raised any more */
} PgCacheActor;

/* Publishes what the change is; before pgcache_op_install. */
extern void pgcache_op_publish(PgCacheOp *op, const PgCacheActor *actor, int kind);

/*
 * The same for namespaces that had no slot when there was that incarnation.  May
 * raise errors.
 */
extern void pgcache_unslotted_publish(PgCacheIncarnation since,
									  const PgCacheActor *actor, int kind);

/*
 * Brings a change of a key into the store; a put as the actor's.  seq was read
 * after the actor published everything.
 */
extern void pgcache_op_install(PgCacheOp *op, const PgCacheActor *actor, uint64 seq);

/* Deletes what the store has that some OP_MATCH match.  May raise errors. */
extern void pgcache_ops_delete_matching(PgCacheOp **ops, int n);

/* Finds out what a put has to know before nothing may fail any more. */
extern void pgcache_op_prepare(PgCacheOp *op);

/*
 * Whether a pending put would be refused now.  May raise errors.
 */
extern bool pgcache_op_is_stale(const PgCacheOp *op);

/* Counts what the change did. */
extern void pgcache_op_count(const PgCacheOp *op);

/* The tables that an item depends on. */
static inline const Oid *
pgcache_item_tables(const PgCacheItem *item)
{
	return (const Oid *) (item->deps + item->nstamps);
}

/* ---- visible.c ------------------------------------------------------------- */

/* Tells the store how to find what is dead. */
extern void pgcache_visible_init(void);

/* Raises 55000: the own transaction has an uncommitted change of the key. */
extern void pgcache_refuse_own(const PgCacheKey *key, const char *function);

/* Whether a full transaction id is known to have committed. */
extern bool pgcache_xid_did_commit(uint64 xid);

/* ---- announce.c ------------------------------------------------------------ */

/* Notes a change that acts at once, for the message at the end. */
extern void pgcache_announce_now(const PgCacheOp *op);

/* Sends the message; in PRE_COMMIT. */
extern void pgcache_announce_send(void);

/* The end of a subtransaction, and of the transaction. */
extern void pgcache_announce_abort_sub(int level);
extern void pgcache_announce_commit_sub(int level);
extern void pgcache_announce_reset(void);

#endif							/* PGCACHE_TXN_TXN_INTERNAL_H */
