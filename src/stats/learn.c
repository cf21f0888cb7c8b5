/*-------------------------------------------------------------------------
 *
 * learn.c
 *	  When the worker learns from an hour that is over, and what follows from that
 *	  in shared memory.
 *
 * What it does then is cache_learn(), in SQL.  It is due at the end of each clock
 * hour, and when a worker starts, for an hour that ended while there was none.
 *
 * That an hour is to be forgotten, or keys be foretold, is noted, and done when the
 * transaction has committed: if it fails, the hour is there to be learned again.
 * cache_learn() has a lock until then, so nobody learns it twice.  Who prepares the
 * transaction will commit it.
 *
 * No locks: all of this is the backend's own.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "stats/stats.h"

/* Something to be done at commit. */
typedef struct Note
{
	SubTransactionId subid;
	uint16		slot;
	PgCacheIncarnation incarnation;
	TimestampTz hour;
	int			n;				/* keys foretold; -1: forget the hour */
	uint64		hashes[FLEXIBLE_ARRAY_MEMBER];
} Note;

static List *notes = NIL;		/* in TopTransactionContext */

static TimestampTz asked_in = 0;	/* the hour in which this was last asked */
static TimestampTz done_in = 0; /* the hour before which nothing is left */
static TimestampTz done_at_commit = 0;	/* its next value; 0: none */

/* ---- at the transaction's end ------------------------------------------------- */

static void
carry_out(void)
{
	ListCell   *lc;

	foreach(lc, notes)
	{
		const Note *note = lfirst(lc);

		if (note->n < 0)
			pgcache_keys_forget_hour(note->slot, note->incarnation, note->hour);
		else
			pgcache_keys_foretell(note->slot, note->incarnation, note->hour,
								  note->hashes, note->n);
	}
	if (done_at_commit != 0)
		done_in = done_at_commit;
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			carry_out();
			break;
		case XACT_EVENT_ABORT:
			break;
		default:
			return;
	}
	notes = NIL;
	done_at_commit = 0;
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId subid,
					  SubTransactionId parent, void *arg)
{
	ListCell   *lc;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach(lc, notes)
	{
		Note	   *note = lfirst(lc);

		if (note->subid != subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			note->subid = parent;
		else
			notes = foreach_delete_current(notes, lc);
	}
}

/* Most backends never learn: theirs have nothing to do with it. */
static void
await_end(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(on_transaction_end, NULL);
	RegisterSubXactCallback(on_subtransaction_end, NULL);
	registered = true;
}

/* ---- what is done then -------------------------------------------------------- */

static void
add_note(uint16 slot, PgCacheIncarnation incarnation, TimestampTz hour,
		 const uint64 *hashes, int n)
{
	Size		size = offsetof(Note, hashes) + Max(n, 0) * sizeof(uint64);
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Note	   *note = palloc0(size);

	note->subid = GetCurrentSubTransactionId();
	note->slot = slot;
	note->incarnation = incarnation;
	note->hour = hour;
	note->n = n;
	if (n > 0)
		memcpy(note->hashes, hashes, n * sizeof(uint64));
	await_end();
	notes = lappend(notes, note);
	MemoryContextSwitchTo(old);
}

void
pgcache_learn_forget(uint16 slot, PgCacheIncarnation incarnation, TimestampTz hour)
{
	add_note(slot, incarnation, hour, NULL, -1);
}

void
pgcache_learn_foretell(uint16 slot, PgCacheIncarnation incarnation,
					   TimestampTz hour, const uint64 *hashes, int n)
{
	add_note(slot, incarnation, hour, hashes, Min(n, PGCACHE_MAX_FORETOLD));
}

bool
pgcache_learn_forgets(uint16 slot, PgCacheIncarnation incarnation, TimestampTz hour)
{
	ListCell   *lc;

	foreach(lc, notes)
	{
		const Note *note = lfirst(lc);

		if (note->n < 0 && note->slot == slot &&
			note->incarnation == incarnation && note->hour == hour)
			return true;
	}
	return false;
}

/* ---- when --------------------------------------------------------------------- */

/* Also when the clock was put back. */
TimestampTz
pgcache_learn_due(void)
{
	TimestampTz now = pgcache_clock_now();

	if (pgcache_tracked_keys == 0)
		return DT_NOEND;
	asked_in = now - now % USECS_PER_HOUR;
	return asked_in == done_in ? done_in + USECS_PER_HOUR : DT_NOBEGIN;
}

void
pgcache_learn_done(void)
{
	await_end();
	done_at_commit = asked_in;
}
