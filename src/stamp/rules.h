/*-------------------------------------------------------------------------
 *
 * rules.h
 *	  The rules of consistency, as functions of a snapshot and a ring.
 *
 * rules.c has them in one place, with the proof.  They know no shared memory,
 * take no lock, allocate nothing and raise nothing, so that they can be called
 * under an LWLock, and tested with made-up snapshots.
 *
 * Transaction ids are full ones, as plain 64-bit numbers, and always those of
 * top-level transactions; 0 is none.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGCACHE_STAMP_RULES_H
#define PGCACHE_STAMP_RULES_H

#include "access/transam.h"

#include "stamp/broken.h"

/* ---- snapshots ------------------------------------------------------------- */

/*
 * What the rules need of a snapshot.  Those of a primary are totally ordered in
 * time by (xmax ascending, number of running transactions descending), which
 * asof packs into one number: the higher, the later.
 */
typedef struct PgCacheSnap
{
	uint64		xmin;			/* all below have finished */
	uint64		xmax;			/* all from here on are unseen */
	uint64		asof;			/* pgcache_asof(xmax, running) */
	uint64		own;			/* the transaction's own, or 0; it sees that */
	const TransactionId *xip;	/* between the two, still running */
	uint32		xcnt;
} PgCacheSnap;

/* Bits of asof that hold the number of running transactions, inverted. */
#define PGCACHE_ASOF_BITS	19
#define PGCACHE_ASOF_MASK	((UINT64CONST(1) << PGCACHE_ASOF_BITS) - 1)

static inline uint64
pgcache_asof(uint64 xmax, uint32 running)
{
	return (xmax << PGCACHE_ASOF_BITS) |
		(PGCACHE_ASOF_MASK - Min(running, PGCACHE_ASOF_MASK));
}

/* Whether the snapshot sees what that transaction did, if it committed. */
extern bool pgcache_snap_sees(const PgCacheSnap *snap, uint64 xid);

/* ---- rings ----------------------------------------------------------------- */

#define PGCACHE_RING_SIZE	5

/* How something was published. */
#define PGCACHE_PUBLISH_XID			0	/* counts for who sees the writer */
#define PGCACHE_PUBLISH_STRICT		1	/* also kills for those who don't */
#define PGCACHE_PUBLISH_IMMEDIATE	2	/* by no transaction: for everybody */
#define PGCACHE_PUBLISH_PREPARED	3	/* strict, by a prepared transaction */

typedef struct PgCachePublish
{
	uint64		writer:44;		/* xid; IMMEDIATE: latest completed + 1 then */
	uint64		backend:18;		/* IMMEDIATE: whose change it was */
	uint64		kind:2;
	uint64		number;			/* publish number, ascending in all rings */
} PgCachePublish;

/* A consistent copy of what an object's stamp says. */
typedef struct PgCacheRing
{
	PgCachePublish at[PGCACHE_RING_SIZE];	/* newest first; number 0: none */
	uint64		evicted;		/* highest publish number that fell out */
	uint64		floor;			/* highest writer that fell out; of IMMEDIATE
								 * ones the id before */
	uint64		floor_after;	/* snapshots whose xmax is higher see all that
								 * fell out; PG_UINT64_MAX: not known */
	uint64		asof;			/* highest asof of a put without xid */
	uint32		ddl_pending;	/* strict publishers that have not yet sent
								 * their invalidation messages */
	uint32		ddl_done;		/* DDL epoch of the last that has */
} PgCacheRing;

/* What a publisher knows of other transactions. */
typedef struct PgCacheFinished
{
	uint64		below;			/* all below this id have finished, */
	uint64		also;			/* and so has this, unless 0 */
	uint64		latest;			/* pgcache_latest_completed(), read after the
								 * others were known */
} PgCacheFinished;

/* Whether nothing is to be waited for until snapshots see that publish. */
static inline bool
pgcache_has_finished(const PgCacheFinished *finished, const PgCachePublish *publish)
{
	return publish->kind == PGCACHE_PUBLISH_IMMEDIATE ||
		publish->writer < finished->below || publish->writer == finished->also;
}

/*
 * Adds a publish.  Of a full ring the oldest falls out whose writer is known to
 * have finished, or else the oldest.
 */
extern void pgcache_ring_add(PgCacheRing *ring, const PgCachePublish *publish,
							 const PgCacheFinished *finished);

/*
 * Notes a publish as one that fell out.  For lists that are no rings
 * (predicates); pgcache_ring_add does it by itself.
 */
extern void pgcache_ring_evict(PgCacheRing *ring, const PgCachePublish *publish,
							   const PgCacheFinished *finished);

/* ---- storing --------------------------------------------------------------- */

/* Own transactions of one CALL or DO that are remembered. */
#define PGCACHE_PAST_XIDS	8

/*
 * Since when data count as read.  What was published by a transaction that snap
 * doesn't see makes them stale, and so does every publish from number fence on.
 */
typedef struct PgCacheBound
{
	PgCacheSnap snap;
	uint64		noted;			/* publish number soon after the snapshot */
	uint64		before;			/* publish number surely before it */
	uint64		fence;			/* PG_UINT64_MAX unless of a lease */
	uint32		ddl_epoch;		/* messages up to that were processed before
								 * the data were read */
	uint32		backend;		/* whose immediate changes came before, in the
								 * order of its program; 0: nobody's */
	uint64		past[PGCACHE_PAST_XIDS];	/* likewise, its transactions
											 * before this within one
											 * statement; 0: none */
	uint64		own_asof[PGCACHE_PAST_XIDS];	/* likewise, as of when it
												 * put, */
	uint32		own_stamp[PGCACHE_PAST_XIDS];	/* and the stamps of the keys */
	bool		recovery;		/* read while the server was a standby, which
								 * knows nothing of what is published */
} PgCacheBound;

/* Whether an object changed since: the data must not be stored. */
extern bool pgcache_rule_stale(const PgCacheRing *ring, const PgCacheBound *bound);

/* Its two halves: one publish, and what fell out of the ring. */
extern bool pgcache_rule_unseen(const PgCachePublish *publish,
								const PgCacheBound *bound);
extern bool pgcache_rule_evicted(const PgCacheRing *ring,
								 const PgCacheBound *bound);

/*
 * In addition for tables: whether DDL may have gone by unnoticed; or, with a
 * lease, the own transaction's changes, which may have come after the data were
 * read.
 */
extern bool pgcache_rule_ddl(const PgCacheRing *ring, const PgCacheBound *bound);

/* In addition for keys and data of a transaction without xid. */
static inline bool
pgcache_rule_older(const PgCacheRing *ring, const PgCacheBound *bound,
				   uint32 stamp)
{
	bool		older = bound->snap.asof < ring->asof;

	for (int i = 0; older && i < PGCACHE_PAST_XIDS; i++)
		older = bound->own_asof[i] != ring->asof || bound->own_stamp[i] != stamp;
	return older && !PGCACHE_BROKEN(noasof);
}

/* ---- serving --------------------------------------------------------------- */

/*
 * Whether an entry, whose publish number is seq and which was stored by the rule
 * above as of a snapshot not later than snap, may be served to snap as far as
 * this object goes.
 */
extern bool pgcache_rule_serve(const PgCacheRing *ring, const PgCacheSnap *snap,
							   uint64 seq);

/* Whether such an entry will never be served again, or hardly. */
extern bool pgcache_rule_dead(const PgCacheRing *ring, uint64 seq,
							  uint64 finished_below);

#endif							/* PGCACHE_STAMP_RULES_H */
