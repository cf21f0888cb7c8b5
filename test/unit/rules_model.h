/*
 * rules_model.h
 *	  A model of a server whose sessions use the rules of consistency.
 *
 * Sessions begin transactions, take snapshots, change objects, read them, put
 * what they read, get, publish, commit, abort, prepare; each in steps, of which
 * chance or a fuzzer picks the next.  An object's contents, for a snapshot, are
 * the set of changes that it sees.  So each value that the rules allow to serve
 * is compared with what the snapshot would read.
 *
 * Changes are ordinary ones, strict ones (seen by every snapshot once committed,
 * and made under a lock that keeps others out), and announced ones: of something
 * that the cache knows nothing of, invalidated at once by who has committed it.
 * Until then old values may be served, but no newer ones than the snapshot's.
 */
#ifndef TEST_UNIT_RULES_MODEL_H
#define TEST_UNIT_RULES_MODEL_H

#include "harness.h"
#include "stamp/rules.h"

#define SESSIONS	9
#define OBJECTS		3
#define KEYS		4
#define DEPS		2
#define MAX_CHANGES	128			/* of one object */
#define MAX_XIDS	1024

/* Steps before the world is thrown away. */
#define MODEL_STEPS	1500

typedef struct Contents
{
	uint64		bits[MAX_CHANGES / 64]; /* changes that show */
} Contents;

typedef enum ChangeKind
{
	CHANGE_PLAIN, CHANGE_STRICT, CHANGE_ANNOUNCED
} ChangeKind;

typedef struct Change
{
	uint64		xid;
	ChangeKind	kind;
	bool		announced;
} Change;

typedef enum Fate
{
	RUNNING, COMMITTED, ABORTED
} Fate;

typedef struct View
{
	PgCacheSnap snap;
	TransactionId xip[SESSIONS];
} View;

typedef struct Pending
{
	bool		there;
	int			key;
	Contents	value[DEPS];
	int			changes[DEPS];	/* own ones, when it was read */
	uint64		asof;
	PgCacheBound bound;
	View		view;			/* that bound.snap is of */
} Pending;

typedef struct Lease
{
	bool		there;
	bool		read;
	int			key;
	uint64		before;
	uint64		fence;
	View		view;
	Contents	value[DEPS];
} Lease;

typedef enum Phase
{
	IDLE, BEGUN, SNAPPED, READY, PUBLISHING, INSTALLING, TESTING, ENDING,
	LATE_PUBLISHING, ANNOUNCING
} Phase;

typedef struct Session
{
	Phase		phase;
	bool		repeatable;
	bool		lingers;		/* seldom ends */
	bool		prepared;
	uint64		xid;
	uint64		last_xid;		/* of its subtransactions */
	uint64		before;
	uint64		noted;
	View		view;
	int			changes[OBJECTS];
	bool		tracked[OBJECTS];	/* some to be published with the xid, */
	bool		strict[OBJECTS];	/* strictly; */
	bool		announce[OBJECTS];	/* some to be announced */
	bool		locked[OBJECTS];	/* read or changed it */
	int			next;			/* object to publish */
	uint64		seq;
	Pending		pending;
	Lease		lease;
} Session;

typedef struct Entry
{
	bool		there;
	uint64		seq;
	uint64		writer;			/* 0: has an as-of */
	uint64		asof;
	Contents	value[DEPS];
} Entry;

typedef struct Tally
{
	int64		steps;
	int64		hits;
	int64		slow_hits;		/* something was published since */
	int64		misses;
	int64		stored;
	int64		stale;
	int64		evictions;		/* publishes that fell out of a ring */
	int64		saved_by_xmax;	/* stored over a floor that xmin was not above */
	int64		leased;			/* stored with a lease */
	int64		wrong;
} Tally;

typedef struct World
{
	uint32		(*choose) (uint32 n);	/* below n */
	uint64		first_xid;
	uint64		next_xid;
	uint64		latest;			/* that has completed */
	uint64		seq;
	uint64		finished_below;
	uint8		fate[MAX_XIDS];
	PgCacheRing ring[OBJECTS];
	Change		change[OBJECTS][MAX_CHANGES];
	int			nchanges[OBJECTS];
	Entry		entry[KEYS];
	Session		session[SESSIONS];
	Tally	   *tally;
} World;

static inline int
object_of(int key, int dep)
{
	return (key + dep) % OBJECTS;
}

/* ---- the server -------------------------------------------------------------- */

static Fate
fate_of(World *w, uint64 xid)
{
	return w->fate[xid - w->first_xid];
}

static void
need_xid(World *w, Session *s)
{
	if (s->xid != 0)
		return;
	s->xid = w->next_xid;
	s->last_xid = s->xid + w->choose(3);
	w->next_xid = s->last_xid + 1;
	w->fate[s->xid - w->first_xid] = RUNNING;
}

static void
take_snapshot(World *w, Session *s)
{
	PgCacheSnap *snap = &s->view.snap;

	snap->xmax = w->latest + 1;
	snap->xmin = snap->xmax;
	snap->xcnt = 0;
	for (int i = 0; i < SESSIONS; i++)
	{
		Session    *other = &w->session[i];

		if (other->xid == 0 || other->xid >= snap->xmax ||
			fate_of(w, other->xid) != RUNNING)
			continue;
		snap->xmin = Min(snap->xmin, other->xid);
		if (other != s)
			s->view.xip[snap->xcnt++] = (TransactionId) other->xid;
	}
	snap->xip = s->view.xip;
	snap->own = s->xid;
	snap->asof = pgcache_asof(snap->xmax, snap->xcnt +
							  (s->xid != 0 && s->xid < snap->xmax));
	if (w->choose(2) == 0)
		w->finished_below = Max(w->finished_below, snap->xmin);
}

/* What the server itself says of visibility; not by the rules under test. */
static bool
shows(World *w, const Session *s, const Change *change)
{
	const PgCacheSnap *snap = &s->view.snap;

	if (change->xid == s->xid)
		return true;
	if (fate_of(w, change->xid) != COMMITTED)
		return false;
	if (change->kind == CHANGE_STRICT)
		return true;
	if (change->xid >= snap->xmax)
		return false;
	for (uint32 i = 0; i < snap->xcnt; i++)
		if (snap->xip[i] == (TransactionId) change->xid)
			return false;
	return true;
}

static Contents
contents_for(World *w, const Session *s, int object)
{
	Contents	contents = {{0}};

	for (int i = 0; i < w->nchanges[object]; i++)
		if (shows(w, s, &w->change[object][i]))
			contents.bits[i / 64] |= UINT64CONST(1) << (i % 64);
	return contents;
}

/* Whether another session's lock keeps this one from reading, or changing. */
static bool
is_locked(World *w, const Session *s, int object, bool strictly)
{
	for (int i = 0; i < SESSIONS; i++)
	{
		Session    *other = &w->session[i];

		if (other != s && (strictly ? other->locked[object] : other->strict[object]))
			return true;
	}
	return false;
}

/* Not always: a publisher may not look while it holds a lock. */
static void
find_finished(World *w, const PgCacheRing *ring, PgCacheFinished *finished)
{
	for (int i = PGCACHE_RING_SIZE - 1; i >= 0 && finished->also == 0; i--)
		if (ring->at[i].number != 0 && ring->at[i].kind != PGCACHE_PUBLISH_IMMEDIATE &&
			fate_of(w, ring->at[i].writer) != RUNNING)
			finished->also = ring->at[i].writer;
}

static void
publish(World *w, const Session *s, int object, uint64 writer, int kind)
{
	PgCacheRing *ring = &w->ring[object];
	PgCachePublish p = {0};
	PgCacheFinished finished = {0};
	uint64		evicted = ring->evicted;

	p.number = w->seq++;
	p.kind = kind;
	p.writer = kind == PGCACHE_PUBLISH_IMMEDIATE ? w->latest + 1 : writer;
	p.backend = kind == PGCACHE_PUBLISH_IMMEDIATE ? s - w->session + 1 : 0;
	finished.below = w->finished_below;
	finished.latest = w->latest + 1;
	if (w->choose(4) != 0)
		find_finished(w, ring, &finished);
	pgcache_ring_add(ring, &p, &finished);
	w->tally->evictions += ring->evicted != evicted;
}

/* ---- getting ----------------------------------------------------------------- */

static bool
right(World *w, const Session *s, int object, const Contents *served)
{
	Contents	actual = contents_for(w, s, object);

	for (int i = 0; i < w->nchanges[object]; i++)
	{
		const Change *change = &w->change[object][i];
		bool		is = (served->bits[i / 64] >> (i % 64)) & 1;
		bool		should = (actual.bits[i / 64] >> (i % 64)) & 1;

		if (is == should)
			continue;
		if (!is && change->kind == CHANGE_ANNOUNCED && !change->announced)
			continue;
		return false;
	}
	return true;
}

static bool
may_serve(World *w, Session *s, const Entry *entry, int key, bool *slowly)
{
	PgCacheSnap *snap = &s->view.snap;

	snap->own = s->xid;
	if (entry->writer != 0 &&
		(fate_of(w, entry->writer) != COMMITTED ||
		 !pgcache_snap_sees(snap, entry->writer)))
		return false;
	if (entry->writer == 0 && snap->asof < entry->asof && !PGCACHE_BROKEN(noasof))
		return false;
	for (int d = 0; d < DEPS; d++)
	{
		const PgCacheRing *ring = &w->ring[object_of(key, d)];

		if (s->changes[object_of(key, d)] > 0 && !PGCACHE_BROKEN(noown))
			return false;
		if (ring->at[0].number < entry->seq)
			continue;
		*slowly = true;
		if (!pgcache_rule_serve(ring, snap, entry->seq))
			return false;
	}
	return true;
}

static void
get(World *w, Session *s)
{
	int			key = w->choose(KEYS);
	Entry	   *entry = &w->entry[key];
	bool		slowly = false;

	for (int d = 0; d < DEPS; d++)
		if (is_locked(w, s, object_of(key, d), false))
			return;				/* to read would wait */
	if (!entry->there || !may_serve(w, s, entry, key, &slowly))
	{
		w->tally->misses++;
		return;
	}
	w->tally->hits++;
	w->tally->slow_hits += slowly;
	for (int d = 0; d < DEPS; d++)
	{
		if (right(w, s, object_of(key, d), &entry->value[d]))
			continue;
		w->tally->wrong++;
		break;
	}
}

/* ---- putting ----------------------------------------------------------------- */

/* False where a lock is in the way. */
static bool
read_key(World *w, Session *s, int key, Contents *value)
{
	for (int d = 0; d < DEPS; d++)
		if (is_locked(w, s, object_of(key, d), false))
			return false;
	for (int d = 0; d < DEPS; d++)
	{
		s->locked[object_of(key, d)] = true;
		value[d] = contents_for(w, s, object_of(key, d));
	}
	return true;
}

static void
put(World *w, Session *s)
{
	Pending    *pending = &s->pending;
	int			key = w->choose(KEYS);

	if (!read_key(w, s, key, pending->value))
		return;
	pending->there = true;
	pending->key = key;
	pending->asof = s->view.snap.asof;
	pending->view = s->view;
	pending->bound = (PgCacheBound) {
		.snap = pending->view.snap,
		.noted = s->noted,
		.before = s->before,
		.fence = PG_UINT64_MAX,
		.backend = s - w->session + 1
	};
	pending->bound.snap.xip = pending->view.xip;
	for (int d = 0; d < DEPS; d++)
		pending->changes[d] = s->changes[object_of(pending->key, d)];
}

static void
use_lease(World *w, Session *s)
{
	Lease	   *lease = &s->lease;
	Pending    *pending = &s->pending;

	if (!lease->there)
	{
		*lease = (Lease) {
			.there = true,.key = w->choose(KEYS),.before = s->before,
			.fence = w->seq,.view = s->view
		};
		return;
	}
	if (!lease->read)
	{
		for (int d = 0; d < DEPS; d++)
			if (s->changes[object_of(lease->key, d)] > 0)
				return;			/* may be rolled back */
		lease->read = read_key(w, s, lease->key, lease->value);
		return;
	}
	*pending = (Pending) {
		.there = true,
		.key = lease->key,
		.asof = s->view.snap.asof,
		.view = lease->view,
		.bound = {
			.snap = lease->view.snap,
			.noted = lease->fence,
			.before = lease->before,
			.fence = lease->fence
		}
	};
	pending->bound.snap.xip = pending->view.xip;
	for (int d = 0; d < DEPS; d++)
		pending->changes[d] = s->changes[object_of(lease->key, d)];
	memcpy(pending->value, lease->value, sizeof(pending->value));
	lease->there = false;
}

/* A table's own rule, without that for DDL, which the model has not. */
static bool
own_since_lease(const PgCacheRing *ring, const PgCacheBound *bound)
{
	PgCacheRing copy = *ring;

	copy.ddl_pending = 0;
	for (int i = 0; i < PGCACHE_RING_SIZE; i++)
		if (copy.at[i].kind == PGCACHE_PUBLISH_PREPARED)
			copy.at[i].kind = PGCACHE_PUBLISH_STRICT;
	return pgcache_rule_ddl(&copy, bound);
}

/* At the end of the transaction, seq having been read a step ago. */
static void
install(World *w, Session *s)
{
	Pending    *pending = &s->pending;
	Entry	   *entry = &w->entry[pending->key];
	bool		stale = false;
	bool		over_floor = false;

	pending->bound.snap.own = s->xid;
	for (int d = 0; d < DEPS; d++)
	{
		int			object = object_of(pending->key, d);
		const PgCacheRing *ring = &w->ring[object];

		stale |= pgcache_rule_stale(ring, &pending->bound);
		stale |= own_since_lease(ring, &pending->bound);
		stale |= pending->changes[d] != s->changes[object];
		over_floor |= ring->floor >= pending->bound.snap.xmin;
	}
	entry->there = false;
	pending->there = false;
	if (stale)
	{
		w->tally->stale++;
		return;
	}
	*entry = (Entry) {
		.there = true,.seq = s->seq,.writer = s->xid,
		.asof = pending->asof
	};
	memcpy(entry->value, pending->value, sizeof(entry->value));
	w->tally->stored++;
	w->tally->saved_by_xmax += over_floor;
	w->tally->leased += pending->bound.fence != PG_UINT64_MAX;
}

/* ---- steps of a session ------------------------------------------------------ */

static void
change_object(World *w, Session *s)
{
	int			object = w->choose(OBJECTS);
	uint32		dice = w->choose(16);
	ChangeKind	kind = dice == 0 ? CHANGE_STRICT :
		dice < 6 ? CHANGE_ANNOUNCED : CHANGE_PLAIN;

	if (w->nchanges[object] == MAX_CHANGES ||
		is_locked(w, s, object, kind == CHANGE_STRICT) ||
		is_locked(w, s, object, false))
		return;
	need_xid(w, s);
	w->change[object][w->nchanges[object]++] = (Change) {
		.xid = s->xid,.kind = kind
	};
	s->locked[object] = true;
	s->changes[object]++;
	s->tracked[object] |= kind != CHANGE_ANNOUNCED;
	s->strict[object] |= kind == CHANGE_STRICT;
	s->announce[object] |= kind == CHANGE_ANNOUNCED;
}

static void
forget(Session *s)
{
	memset(s->changes, 0, sizeof(s->changes));
	memset(s->tracked, 0, sizeof(s->tracked));
	memset(s->strict, 0, sizeof(s->strict));
	memset(s->announce, 0, sizeof(s->announce));
	memset(s->locked, 0, sizeof(s->locked));
	s->pending.there = false;
	s->prepared = false;
	s->next = 0;
	s->xid = 0;
	s->phase = IDLE;
}

/* Becomes visible, or not. */
static void
finish(World *w, Session *s, Fate fate)
{
	if (s->xid != 0)
	{
		w->fate[s->xid - w->first_xid] = fate;
		w->latest = Max(w->latest, s->last_xid);
	}
	if (fate == COMMITTED && s->phase == ENDING && PGCACHE_BROKEN(late))
	{
		/* Keep what is to be published. */
		s->phase = LATE_PUBLISHING;
		s->next = 0;
		return;
	}
	for (int i = 0; fate == COMMITTED && i < OBJECTS; i++)
		if (s->announce[i])
		{
			s->phase = ANNOUNCING;
			s->next = 0;
			return;
		}
	forget(s);
}

/* One object a step.  The transaction has ended. */
static void
announce(World *w, Session *s)
{
	int			object = s->next++;
	uint64		xid = s->xid;

	if (s->announce[object])
	{
		publish(w, s, object, 0, PGCACHE_PUBLISH_IMMEDIATE);
		for (int i = 0; i < w->nchanges[object]; i++)
			if (w->change[object][i].xid == xid)
				w->change[object][i].announced = true;
	}
	if (s->next == OBJECTS)
		forget(s);
}

static void
publish_next(World *w, Session *s, Phase then)
{
	int			object = s->next++;

	if (s->tracked[object])
		publish(w, s, object, s->xid,
				!s->strict[object] ? PGCACHE_PUBLISH_XID :
				s->prepared ? PGCACHE_PUBLISH_PREPARED : PGCACHE_PUBLISH_STRICT);
	if (s->next == OBJECTS)
		s->phase = then;
}

static void
begin_end(World *w, Session *s)
{
	uint32		dice = w->choose(8);

	s->next = 0;
	if (dice == 0)
		finish(w, s, ABORTED);
	else if (s->xid == 0)
		s->phase = s->pending.there ? INSTALLING : ENDING;
	else
	{
		s->prepared = dice == 1;
		s->phase = PGCACHE_BROKEN(late) ? INSTALLING : PUBLISHING;
	}
}

static void
act(World *w, Session *s)
{
	uint32		dice = w->choose(32);

	if (dice == 0 || (dice < 3 && s->lingers && s->xid == 0))
		change_object(w, s);
	else if (dice < 6)
		put(w, s);
	else if (dice < 10)
		use_lease(w, s);
	else if (dice < 13 && !s->repeatable)
	{
		s->before = w->seq;
		s->phase = BEGUN;
	}
	else if (dice < 17)
	{
		if (!s->lingers || w->choose(16) == 0)
			begin_end(w, s);
	}
	else
		get(w, s);
}

static void
step_session(World *w, Session *s)
{
	switch (s->phase)
	{
		case IDLE:
			s->repeatable = w->choose(3) == 0;
			s->lingers = w->choose(24) == 0;
			s->before = w->seq;
			s->phase = BEGUN;
			break;
		case BEGUN:
			take_snapshot(w, s);
			s->phase = SNAPPED;
			break;
		case SNAPPED:
			s->noted = w->seq;
			s->phase = READY;
			break;
		case READY:
			act(w, s);
			break;
		case PUBLISHING:
			if (w->choose(32) == 0)
				finish(w, s, ABORTED);
			else
				publish_next(w, s, INSTALLING);
			break;
		case INSTALLING:
			s->seq = w->seq;
			s->phase = s->pending.there ? TESTING : ENDING;
			break;
		case TESTING:
			install(w, s);
			s->phase = ENDING;
			break;
		case ENDING:
			if (s->prepared && w->choose(16) != 0)
				break;
			finish(w, s, w->choose(16) == 0 ? ABORTED : COMMITTED);
			break;
		case LATE_PUBLISHING:
			publish_next(w, s, IDLE);
			if (s->phase == IDLE)
				forget(s);
			break;
		case ANNOUNCING:
			announce(w, s);
			break;
	}
}

/* ---- a life of the world ----------------------------------------------------- */

static void
begin_world(World *w, uint32 (*choose) (uint32 n), uint64 first_xid, Tally *tally)
{
	memset(w, 0, sizeof(*w));
	w->choose = choose;
	w->first_xid = first_xid;
	w->next_xid = first_xid;
	w->latest = first_xid - 1;
	w->finished_below = first_xid;
	w->seq = 1;
	w->tally = tally;
}

/* False at the end: room for no more transactions. */
static bool
step_world(World *w)
{
	if (w->next_xid + 4 >= w->first_xid + MAX_XIDS)
		return false;
	w->tally->steps++;
	step_session(w, &w->session[w->choose(SESSIONS)]);
	return true;
}

#endif							/* TEST_UNIT_RULES_MODEL_H */
