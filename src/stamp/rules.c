/*-------------------------------------------------------------------------
 *
 * rules.c
 *	  The rules of consistency, and why they suffice.
 *
 * The promise: what is served to a snapshot is what its data's source, read
 * under that snapshot, would give.  Where we cannot know, it is a miss.
 *
 * THE PROTOCOL
 *
 * An entry depends on objects: its key, namespace and database, its tags, its
 * tables.  Each has a ring of its last publishes, (writer, number), numbers
 * ascending over all rings.  Tables stand for their rows; keys and tags for
 * whatever the user takes them for.
 *
 * Publish.  Transaction W, which changed object O, adds its top-level xid to the
 * ring of O in the callback for XACT_EVENT_PRE_COMMIT or PRE_PREPARE.  Nothing
 * is added later, whether W commits, aborts, or is committed when prepared.
 *
 * Store.  Data read under snapshot S' become an entry with seq v: v is the
 * present number, read first; then, for each object, the ring.  If it holds a
 * writer that S' does not see, or may have held one, the data are stale: no
 * entry (pgcache_rule_stale).  Data that a transaction with an xid read carry
 * that as the entry's writer; others the as-of of S'.
 *
 * Serve.  Snapshot S may use the entry if it sees the writer, and that has
 * committed, or if its as-of is not less than the entry's; and if, for each
 * object, no publish numbered v or higher is seen by S or has fallen out of the
 * ring (pgcache_rule_serve).  Objects that the own transaction has changed
 * itself are excluded before, by what it knows of itself.
 *
 * WHY IT IS RIGHT
 *
 * 1. Publish precedes visibility.  CommitTransaction calls the PRE_COMMIT
 * callbacks before RecordTransactionCommit, and long before
 * ProcArrayEndTransaction takes W out of the running ones, with ProcArrayLock
 * held exclusively (or has the leader of a group do so).  GetSnapshotData holds
 * that lock in share mode.  So a snapshot that sees W was taken after W had
 * published, and what W wrote into the ring happened before.  Two-phase commit:
 * PrepareTransaction calls the PRE_PREPARE callbacks, and W then stays among the
 * running ones until FinishPreparedTransaction calls ProcArrayRemove.
 *
 * 2. S is not earlier than S'.  If the entry has a writer E: E ran when S' was
 * taken, which was E's own, and S sees E, so that S was taken after E ended.  If
 * it has an as-of: see 8.  Transactions only end.  So all that S' saw as ended is
 * seen by S as well.
 *
 * 3. S and S' classify each writer W of O alike.  Four cases, by the number q of
 * W's publish (its last one, for this object):
 *	- None yet when S looks: W was not visible when S was taken, by 1, nor when
 *	  the earlier S' was.  Neither sees it.
 *	- q < v.  A publisher takes its number while the stamp is busy, so whoever
 *	  read v and then the ring found W there, or among those fallen out.  S' saw
 *	  it, else the data had been stale.  S sees it by 2.
 *	- q >= v, and in the ring.  S does not see W, or would not be served; by 2, S'
 *	  does not either.
 *	- q >= v, and fallen out: the ring's field evicted is q at least: not served.
 * Subtransactions follow their parent.  HeapTupleSatisfiesMVCC depends on a
 * snapshot through that classification alone, since the commit log does not
 * change for a transaction that has ended.  So the rows of O are the same to
 * both.  Each object is argued by itself, and S and S' are fixed: nothing has to
 * be atomic over several objects, and two objects may share a ring.
 *
 * 4. Writers that have fallen out before the store looked.  The ring keeps the
 * highest of them as floor.  Below S'.xmin, all are seen by S'.  But one old
 * transaction would hold xmin back.  So a writer falls out only when it is known
 * to have ended, if there is such a one, and floor_after is set to what
 * GetSnapshotData would then make the xmax of a snapshot.  A snapshot with a
 * higher xmax was taken after one more transaction had ended, hence later, and
 * sees all that fell out.  If one fell out that was running, floor_after says
 * nothing until all up to the floor have ended.  Without either, the data are
 * stale.
 *
 * 5. A writer that aborts has published for nothing: snapshots that take it as
 * ended get misses.  Errors between publish and commit, FATAL, a backend that is
 * terminated: likewise.  A crash takes shared memory with it.
 *
 * 6. The own transaction's xid counts as seen: it sees its own changes, and its
 * put, made after them, is to survive its own publish.  What it changes between
 * the put and its commit is found by other means (room watch).
 *
 * Within a CALL or DO that commits on its way, data may have been read in one
 * transaction and be put in a later one.  The statement's snapshot counts for all
 * of them, and the transactions that it has ended are as its own: it puts after
 * what it did in them.
 *
 * 7. STRICT.  TRUNCATE, a rewriting ALTER TABLE, REFRESH and other DDL are not
 * MVCC: snapshots that do not see W find the new contents all the same.  So a
 * strict publish ends entries made before it for everybody; for storing it is
 * like the others.  The lock held by W keeps others from reading the table
 * between its change and its end, and W from changing it under a transaction
 * that has read and not yet stored.  DDL with weaker locks is held off by the
 * DDL epoch: between the moment that W becomes visible and the moment that its
 * invalidation messages are sent, a reader may hold a new snapshot and an old
 * plan.  So nothing that depends on the table is stored while a strict publisher
 * is pending, or if one was done after the reader last processed messages
 * (pgcache_rule_ddl).  Of a prepared transaction nobody tells us when its
 * messages are sent: PREPARED publishes forbid storing while they are in the
 * ring, and beyond that if they fall out of it.
 *
 * 8. As-of.  Snapshots of a primary are in an order of time: (xmax, number of
 * running transactions).  xmax follows the latest transaction that ended, and
 * never falls.  While it stays the same, no transaction below it can begin,
 * because ids are dealt out in order and that latest one had its id; so the
 * running ones below it only get fewer.  Equal pairs mean equal sets.  (The list
 * has a transaction twice while it is being prepared; it is counted once.)  The
 * snapshot's owner is not in its own list, but counts.  During recovery the list
 * has subtransactions as well, and may be pruned of them; that, too, makes it
 * only shorter.  What a lazy VACUUM does, which no snapshot lists, nobody sees.
 *
 * 9. IMMEDIATE.  A change that acts at once is made by no transaction, and says:
 * the source has changed before now, and that is committed.  Entries made before
 * it end for everybody.  Data must be stale if S' may have been taken before.
 * That is so if the number is not below the one noted after S' was taken; and if
 * transactions may have ended in between, or ended before without S' seeing it:
 * S'.xmax is below the xmax that a snapshot would have had at the publish (the
 * "writer"); or it is equal, but some were running for S', and the publish is
 * not surely earlier than S' by its number.  A higher xmax was taken later.  In
 * the floor such a publish counts with the id before: xmin > writer - 1 leaves
 * only xmax > writer, or xmax = writer with nobody running.
 *
 * 10. Leases.  The data were read by a snapshot that we don't know, but not an
 * earlier one than that under which the lease was taken, L.  The bound is L, and
 * in addition every publish since (from the number fence on) makes the data
 * stale.  So all writers in the rings were seen by L, and by whatever later
 * snapshot read the data: to both the objects are the same.  The entry's as-of is
 * that of the put, which is later than either: the data may show a change that
 * nobody has announced yet (9), and must not be served to who doesn't see that.
 * The own transaction's publishes are taken for seen, as in 6, but not for
 * tables: it may have changed them between reading and putting
 * (pgcache_rule_ddl).
 *
 * Replacing.  A ring keeps one publish where a later one says no less for every
 * rule: of the same writer, if not less strict; and of the IMMEDIATE ones of a
 * backend the last, since number and writer rise together.  The backend itself
 * has seen its own: it puts after them, in the order of its program.
 *
 * Do not trust a proof alone: test/unit/test_rules.c runs a model of the server
 * against these functions, and breaks them one by one to see it fail.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "stamp/rules.h"

#ifdef PGCACHE_UNIT
pg_atomic_uint32 *pgcache_broken = NULL;	/* the test's own */
#endif

bool
pgcache_snap_sees(const PgCacheSnap *snap, uint64 xid)
{
	if (xid < snap->xmin)
		return true;
	if (xid == snap->own)
		return true;
	if (xid >= snap->xmax)
		return false;

	/* Ids between xmin and xmax differ in their lower halves. */
	for (uint32 i = 0; i < snap->xcnt; i++)
		if (snap->xip[i] == (TransactionId) xid)
			return false;
	return true;
}

/* ---- rings ----------------------------------------------------------------- */

void
pgcache_ring_evict(PgCacheRing *ring, const PgCachePublish *publish,
				   const PgCacheFinished *finished)
{
	uint64		writer = publish->writer;

	if (publish->kind == PGCACHE_PUBLISH_IMMEDIATE)
		writer--;
	ring->evicted = Max(ring->evicted, publish->number);
	ring->floor = Max(ring->floor, writer);
	if (ring->floor < finished->below || PGCACHE_BROKEN(nofloor))
		ring->floor_after = finished->latest;
	else if (!pgcache_has_finished(finished, publish))
		ring->floor_after = PG_UINT64_MAX;
	else
		ring->floor_after = Max(ring->floor_after, finished->latest);

	/* Nobody will say when its messages are sent. */
	if (publish->kind == PGCACHE_PUBLISH_PREPARED)
		ring->ddl_pending++;
}

/* Whether a later publish says all that an older one does. */
static bool
replaces(const PgCachePublish *publish, const PgCachePublish *old)
{
	if (publish->kind == PGCACHE_PUBLISH_IMMEDIATE ||
		old->kind == PGCACHE_PUBLISH_IMMEDIATE)
		return publish->kind == old->kind && publish->backend == old->backend;
	return publish->writer == old->writer && publish->kind >= old->kind;
}

/* The place that is free, or of which the new publish says all, or -1. */
static int
free_place(const PgCacheRing *ring, const PgCachePublish *publish)
{
	for (int i = 0; i < PGCACHE_RING_SIZE; i++)
		if (ring->at[i].number == 0 || replaces(publish, &ring->at[i]))
			return i;
	return -1;
}

/* The place of the publish that falls out. */
static int
victim(const PgCacheRing *ring, const PgCacheFinished *finished)
{
	int			oldest = -1;

	for (int i = PGCACHE_RING_SIZE - 1; i >= 0; i--)
	{
		/* It is waited for (pgcache_ddl_resolve). */
		if (ring->at[i].kind == PGCACHE_PUBLISH_PREPARED)
			continue;
		if (pgcache_has_finished(finished, &ring->at[i]))
			return i;
		if (oldest < 0)
			oldest = i;
	}
	return oldest >= 0 ? oldest : PGCACHE_RING_SIZE - 1;
}

void
pgcache_ring_add(PgCacheRing *ring, const PgCachePublish *publish,
				 const PgCacheFinished *finished)
{
	int			gap = free_place(ring, publish);

	Assert(publish->number > ring->at[0].number);
	if (gap < 0)
	{
		gap = victim(ring, finished);
		pgcache_ring_evict(ring, &ring->at[gap], finished);
	}
	else if (ring->floor_after == PG_UINT64_MAX && ring->floor < finished->below)
		ring->floor_after = finished->latest;
	memmove(&ring->at[1], &ring->at[0], gap * sizeof(ring->at[0]));
	ring->at[0] = *publish;
}

/* ---- storing --------------------------------------------------------------- */

/* Whether an immediate change may have come after the data were read. */
static bool
unseen_immediate(const PgCachePublish *publish, const PgCacheBound *bound)
{
	const PgCacheSnap *snap = &bound->snap;

	if (PGCACHE_BROKEN(noimmediate))
		return false;
	if (publish->backend != 0 && publish->backend == bound->backend)
		return false;
	if (publish->number >= Min(bound->noted, bound->fence))
		return true;
	if (snap->xmax != publish->writer)
		return snap->xmax < publish->writer;
	return snap->xcnt > 0 && publish->number >= bound->before &&
		!PGCACHE_BROKEN(noborder);
}

bool
pgcache_rule_unseen(const PgCachePublish *publish, const PgCacheBound *bound)
{
	if (PGCACHE_BROKEN(nounseen))
		return false;
	if (publish->kind == PGCACHE_PUBLISH_IMMEDIATE)
		return unseen_immediate(publish, bound);
	if (publish->writer == bound->snap.own)
		return false;
	if (publish->number >= bound->fence && !PGCACHE_BROKEN(nofence))
		return true;
	if (pgcache_snap_sees(&bound->snap, publish->writer))
		return false;
	for (int i = 0; i < PGCACHE_PAST_XIDS; i++)
		if (bound->past[i] == publish->writer)
			return false;
	return true;
}

bool
pgcache_rule_evicted(const PgCacheRing *ring, const PgCacheBound *bound)
{
	if (ring->evicted == 0 || PGCACHE_BROKEN(noevict))
		return false;
	if (ring->evicted >= Min(bound->noted, bound->fence))
		return true;
	return ring->floor >= bound->snap.xmin &&
		bound->snap.xmax <= ring->floor_after;
}

bool
pgcache_rule_stale(const PgCacheRing *ring, const PgCacheBound *bound)
{
	for (int i = 0; i < PGCACHE_RING_SIZE && ring->at[i].number != 0; i++)
		if (pgcache_rule_unseen(&ring->at[i], bound))
			return true;
	return pgcache_rule_evicted(ring, bound);
}

/* Whether the own transaction has published since a lease was taken. */
static bool
own_since_lease(const PgCacheRing *ring, const PgCacheBound *bound)
{
	if (PGCACHE_BROKEN(nofence))
		return false;
	for (int i = 0; i < PGCACHE_RING_SIZE; i++)
		if (ring->at[i].number >= bound->fence &&
			ring->at[i].writer == bound->snap.own)
			return true;
	return false;
}

/* Epochs are compared as they wrap around. */
bool
pgcache_rule_ddl(const PgCacheRing *ring, const PgCacheBound *bound)
{
	if (own_since_lease(ring, bound))
		return true;
	if (PGCACHE_BROKEN(noddl))
		return false;
	if (ring->ddl_pending != 0 ||
		(int32) (ring->ddl_done - bound->ddl_epoch) > 0)
		return true;
	for (int i = 0; i < PGCACHE_RING_SIZE; i++)
		if (ring->at[i].kind == PGCACHE_PUBLISH_PREPARED)
			return true;
	return false;
}

/* ---- serving --------------------------------------------------------------- */

/* Whether a publish ends older entries for this snapshot. */
static bool
ends_for(const PgCachePublish *publish, const PgCacheSnap *snap)
{
	if (publish->kind == PGCACHE_PUBLISH_IMMEDIATE)
		return true;
	if (publish->kind != PGCACHE_PUBLISH_XID && !PGCACHE_BROKEN(nostrict))
		return true;
	return pgcache_snap_sees(snap, publish->writer) && !PGCACHE_BROKEN(nosnapshot);
}

bool
pgcache_rule_serve(const PgCacheRing *ring, const PgCacheSnap *snap, uint64 seq)
{
	if (ring->evicted >= seq && !PGCACHE_BROKEN(noevict))
		return false;
	for (int i = 0; i < PGCACHE_RING_SIZE && ring->at[i].number >= seq; i++)
		if (ends_for(&ring->at[i], snap))
			return false;
	return true;
}

/*
 * A writer below finished_below is seen by all but old snapshots.  To those the
 * entry would be served still; it is not worth its memory.
 */
bool
pgcache_rule_dead(const PgCacheRing *ring, uint64 seq, uint64 finished_below)
{
	if (ring->evicted >= seq)
		return true;
	for (int i = 0; i < PGCACHE_RING_SIZE && ring->at[i].number >= seq; i++)
		if (ring->at[i].kind != PGCACHE_PUBLISH_XID ||
			ring->at[i].writer < finished_below)
			return true;
	return false;
}
