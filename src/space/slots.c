/*-------------------------------------------------------------------------
 *
 * slots.c
 *	  Which namespace has which slot, in shared memory.
 *
 * A slot is a small number by which the store and the counters know a
 * namespace.  A namespace gets one at its first use and keeps it until it is
 * dropped or the server restarts; both together are one incarnation.
 *
 * Between a backend's look-up of a namespace and its access to the store no
 * lock is held.  So a slot that was freed may still be written to by
 * transactions that looked it up before.  It is not given to another namespace
 * until all of them have ended:
 *
 * - A backend holds all slots that it knows from its first look-up in a
 *	 transaction to the end of that: its number among the holds is odd
 *	 meanwhile, and never the same again.  After it began, and a full barrier,
 *	 it reads the change count, at each use; if that has not moved, its cache
 *	 of namespaces is good.
 *
 * - A process that frees a slot advances the change count, which is a full
 *	 barrier too, and then notes the numbers that are odd.  The slot is free
 *	 when all of these have changed.
 *
 * So either the one sees the change count moved, and looks up anew, or the
 * other sees the hold, and waits.  Transactions that don't use the cache hold
 * nothing.  Such a wait goes on for one batch of slots at a time; slots freed
 * meanwhile form the next one.
 *
 *		FREE -> USED -> FREED -> DRAINING -> FREE
 *
 * A slot that was made for a transaction that changed the catalog is
 * provisional until that commits or another backend looks the namespace up.  As
 * long as it is nobody else knows it, and it can be FREE at once: a put of our
 * own that is under way, and whose value's conversion dropped the namespace, is
 * dead because the slot was cleared.
 *
 * A slot keeps its counts when it is freed, for those who hold it go on
 * counting.  They are added to the database's departed ones (departed.c) when
 * another namespace gets it.
 *
 * Quotas are noted here first and then handed to the store, which may evict a
 * million entries.  So that happens under a lock of its own, and whoever has it
 * hands over what is noted by then: never the older of two.  He holds the slot.
 *
 * Locks: PgCacheNamespace 0 for everything here but the change count and the
 * holds; 1 for telling the store a quota, taken before 0.  The store's locks may
 * be taken under either, not the other way round.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "miscadmin.h"

#include "base/compat.h"
#include "shmem/debug_point.h"
#include "shmem/shmem.h"
#include "space/space_internal.h"
#include "space/store_part.h"

typedef enum PgCacheSlotState
{
	SLOT_FREE,					/* nobody's */
	SLOT_USED,					/* has a namespace */
	SLOT_FREED,					/* had one; waits for the next batch */
	SLOT_DRAINING				/* in the batch that waits */
} PgCacheSlotState;

typedef struct PgCacheSharedSlot
{
	PgCacheSlotState state;
	PgCacheSpaceKey key;
	PgCacheIncarnation incarnation;
	uint64		born;			/* publish number when it got that, */
	uint64		born_next;		/* and next transaction id after that */
	int			provisional;	/* number of a backend, or -1 */
	PgCacheQuota quota;
	uint64		quota_version;	/* change count when it was read */
	bool		quota_pending;	/* the store is still to be told of it */
} PgCacheSharedSlot;

typedef struct PgCacheSharedSlots
{
	pg_atomic_uint64 changes;	/* of the catalog or of slots; no lock */
	PgCacheIncarnation last_incarnation;
	bool		draining;		/* whether a batch waits, for noted_holds */
	PgCacheSharedSlot slots[FLEXIBLE_ARRAY_MEMBER];
} PgCacheSharedSlots;

/* Written by its backend only. */
typedef struct PgCacheSharedHold
{
	pg_atomic_uint64 number;	/* odd while the backend knows slots */
	char		pad[PG_CACHE_LINE_SIZE - sizeof(pg_atomic_uint64)];
} PgCacheSharedHold;

pg_atomic_uint64 *pgcache_space_changes = NULL;
void		(*pgcache_space_on_forget) (const PgCacheSpaceKey *key) = NULL;

static PgCacheSharedSlots *shared = NULL;
static PgCacheSharedHold *holds = NULL; /* by backend */
static uint64 *noted_holds = NULL;	/* by backend; 0: none */
static LWLock *lock = NULL;
static LWLock *quota_lock = NULL;

/* Our number among the holds while we hold, else NULL. */
static pg_atomic_uint64 *own_hold = NULL;

/* ---- holding, and waiting for those who do --------------------------------- */

void
pgcache_slots_hold(void)
{
	pg_atomic_uint64 *number;

	if (own_hold != NULL)
		return;
	Assert(PGCACHE_MY_BACKEND >= 0 && PGCACHE_MY_BACKEND < MaxBackends);
	number = &holds[PGCACHE_MY_BACKEND].number;
	Assert(pg_atomic_read_u64(number) % 2 == 0);
	pg_atomic_write_u64(number, pg_atomic_read_u64(number) + 1);
	pg_memory_barrier();
	own_hold = number;
}

void
pgcache_slots_release(void)
{
	if (own_hold == NULL)
		return;
	/* All that we read and wrote comes first. */
	pg_memory_barrier();
	pg_atomic_write_u64(own_hold, pg_atomic_read_u64(own_hold) + 1);
	own_hold = NULL;
}

/* Whether all holds have ended that the batch waits for. */
static bool
batch_has_drained(void)
{
	for (int i = 0; i < MaxBackends; i++)
	{
		if (noted_holds[i] != 0 &&
			noted_holds[i] == pg_atomic_read_u64(&holds[i].number))
			return false;
	}
	pg_memory_barrier();
	return true;
}

static bool
move_all(PgCacheSlotState from, PgCacheSlotState to)
{
	bool		moved = false;

	for (int i = 0; i < pgcache_max_namespaces; i++)
	{
		if (shared->slots[i].state == from)
		{
			shared->slots[i].state = to;
			moved = true;
		}
	}
	return moved;
}

/* Ends the batch if it can and begins the next. */
static void
drain(void)
{
	if (shared->draining && !batch_has_drained())
		return;
	move_all(SLOT_DRAINING, SLOT_FREE);
	shared->draining = move_all(SLOT_FREED, SLOT_DRAINING);
	if (!shared->draining)
		return;
	for (int i = 0; i < MaxBackends; i++)
	{
		uint64		number = pg_atomic_read_u64(&holds[i].number);

		noted_holds[i] = number % 2 != 0 ? number : 0;
	}
}

/* ---- allocation ------------------------------------------------------------ */

static PgCacheSharedSlot *
find_slot(const PgCacheSpaceKey *key)
{
	for (int i = 0; i < pgcache_max_namespaces; i++)
	{
		PgCacheSharedSlot *s = &shared->slots[i];

		if (s->state == SLOT_USED && s->key.id == key->id &&
			s->key.catalog == key->catalog && s->key.database == key->database)
			return s;
	}
	return NULL;
}

static PgCacheSharedSlot *
find_free_slot(void)
{
	for (int i = 0; i < pgcache_max_namespaces; i++)
		if (shared->slots[i].state == SLOT_FREE)
			return &shared->slots[i];
	return NULL;
}

/* Readies a slot for its next namespace. */
static void
forget_last_use(const PgCacheSharedSlot *s)
{
	if (s->incarnation == 0)
		return;
	if (OidIsValid(s->key.database))
	{
		PgCacheTally tally = {{0}};

		pgcache_tally_add_slot(s - shared->slots, s->incarnation, &tally);
		pgcache_departed_add(s->key.database, &tally);
	}
	/* Somebody may have put an entry there since it was freed. */
	pgcache_store_forget_space(pgcache_store, s - shared->slots);
}

static PgCacheSharedSlot *
allocate_slot(const PgCacheSpaceKey *key, bool provisional)
{
	PgCacheSharedSlot *s = find_free_slot();

	if (s == NULL)
	{
		drain();
		s = find_free_slot();
		if (s == NULL)
			return NULL;
	}

	forget_last_use(s);
	if (++shared->last_incarnation == 0)
		shared->last_incarnation = 1;
	pgcache_counters_new_slot(s - shared->slots, shared->last_incarnation);

	s->state = SLOT_USED;
	s->key = *key;
	s->incarnation = shared->last_incarnation;
	s->born = pgcache_store_seq(pgcache_store);
	pg_read_barrier();
	s->born_next = U64FromFullTransactionId(ReadNextFullTransactionId());
	s->provisional = provisional ? PGCACHE_MY_BACKEND : -1;
	memset(&s->quota, 0, sizeof(s->quota));
	s->quota_version = 0;
	s->quota_pending = false;
	return s;
}

/* Whether it is provisional for another backend, that is, not known to us yet. */
static bool
is_provisional_elsewhere(const PgCacheSharedSlot *s)
{
	return s->provisional >= 0 && s->provisional != PGCACHE_MY_BACKEND;
}

bool
pgcache_slots_get(const PgCacheSpaceKey *key, bool provisional,
				  uint16 *slot, PgCacheIncarnation *incarnation)
{
	PgCacheSharedSlot *s;
	bool		found;

	pgcache_slots_hold();
	LWLockAcquire(lock, LW_SHARED);
	s = find_slot(key);
	if (s == NULL || is_provisional_elsewhere(s))
	{
		LWLockRelease(lock);
		LWLockAcquire(lock, LW_EXCLUSIVE);
		s = find_slot(key);
		if (s == NULL)
			s = allocate_slot(key, provisional);
		else if (is_provisional_elsewhere(s))
			s->provisional = -1;
	}
	found = s != NULL;
	if (found)
	{
		*slot = s - shared->slots;
		*incarnation = s->incarnation;
	}
	LWLockRelease(lock);
	return found;
}

int64
pgcache_slots_reserved_elsewhere(void)
{
	int64		sum = 0;

	LWLockAcquire(lock, LW_SHARED);
	for (int i = 0; i < pgcache_max_namespaces; i++)
		if (shared->slots[i].state == SLOT_USED &&
			shared->slots[i].key.database != MyDatabaseId)
			sum += shared->slots[i].quota.min_bytes;
	LWLockRelease(lock);
	return sum;
}

int
pgcache_slots_copy(PgCacheSlotUse *uses)
{
	int			n = 0;

	pgcache_slots_hold();
	LWLockAcquire(lock, LW_SHARED);
	for (int i = 0; i < pgcache_max_namespaces; i++)
	{
		if (shared->slots[i].state != SLOT_USED)
			continue;
		uses[n].key = shared->slots[i].key;
		uses[n].slot = i;
		uses[n].incarnation = shared->slots[i].incarnation;
		uses[n].is_current = true;
		n++;
	}
	LWLockRelease(lock);
	return n;
}

bool
pgcache_space_has_slot(uint16 slot, PgCacheIncarnation incarnation,
					   PgCacheSpaceKey *key)
{
	const PgCacheSharedSlot *s = &shared->slots[slot];
	bool		has;

	LWLockAcquire(lock, LW_SHARED);
	has = s->state != SLOT_FREE && s->incarnation == incarnation;
	if (key != NULL)
		*key = s->key;
	LWLockRelease(lock);
	return has;
}

uint64
pgcache_space_gets(uint16 slot)
{
	uint64		counters[PGCACHE_NCOUNTERS];
	PgCacheIncarnation incarnation;

	LWLockAcquire(lock, LW_SHARED);
	incarnation = shared->slots[slot].incarnation;
	LWLockRelease(lock);
	pgcache_counters_read(slot, incarnation, counters);
	return counters[PGCACHE_HITS] + counters[PGCACHE_MISSES];
}

void
pgcache_space_slot_born(uint16 slot, uint64 *number, uint64 *next_xid)
{
	Assert(own_hold != NULL);
	*number = shared->slots[slot].born;
	*next_xid = shared->slots[slot].born_next;
}

PgCacheIncarnation
pgcache_space_last_incarnation(void)
{
	PgCacheIncarnation last;

	LWLockAcquire(lock, LW_SHARED);
	last = shared->last_incarnation;
	LWLockRelease(lock);
	return last;
}

int
pgcache_space_slots_since(PgCacheIncarnation incarnation, uint16 *slots)
{
	int			n = 0;

	LWLockAcquire(lock, LW_SHARED);
	for (int i = 0; i < pgcache_max_namespaces; i++)
	{
		const PgCacheSharedSlot *s = &shared->slots[i];

		if (s->state == SLOT_USED && s->key.database == MyDatabaseId &&
			s->incarnation > incarnation)
			slots[n++] = i;
	}
	LWLockRelease(lock);
	return n;
}

/* ---- quotas ---------------------------------------------------------------- */

/* True if the store is to be told: call apply_quota without lock. */
static bool
note_quota(PgCacheSharedSlot *s, const PgCacheQuota *quota, uint64 version)
{
	if (s->quota_version > version)
		return false;
	s->quota_version = version;
	if (memcmp(&s->quota, quota, sizeof(*quota)) == 0)
		return false;
	s->quota = *quota;
	s->quota_pending = true;
	return true;
}

/* Tells the store the quota noted last, unless that was done. */
static void
apply_quota(PgCacheSharedSlot *s)
{
	PgCacheQuota quota;
	bool		pending;

	Assert(own_hold != NULL);
	LWLockAcquire(quota_lock, LW_EXCLUSIVE);
	LWLockAcquire(lock, LW_EXCLUSIVE);
	quota = s->quota;
	pending = s->quota_pending;
	s->quota_pending = false;
	LWLockRelease(lock);

	PGCACHE_DEBUG_SPIN("quota-apply");
	if (pending)
		pgcache_store_set_quota(pgcache_store, s - shared->slots,
								quota.min_bytes, quota.max_bytes,
								quota.max_entries);
	LWLockRelease(quota_lock);
}

void
pgcache_slots_set_quota(uint16 slot, PgCacheIncarnation incarnation,
						const PgCacheQuota *quota, uint64 version)
{
	PgCacheSharedSlot *s = &shared->slots[slot];
	bool		same;
	bool		changed;
	bool		pending;

	LWLockAcquire(lock, LW_SHARED);
	same = memcmp(&s->quota, quota, sizeof(*quota)) == 0 &&
		s->quota_version >= version && !s->quota_pending;
	LWLockRelease(lock);
	if (same)
		return;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	changed = s->state == SLOT_USED && s->incarnation == incarnation &&
		note_quota(s, quota, version);
	pending = s->quota_pending;
	LWLockRelease(lock);

	/* Whoever else found a new namespace may be about to tell the store. */
	if (!changed && pending)
	{
		PgCacheUsage usage;

		pgcache_store_usage(pgcache_store, slot, &usage);
		changed = usage.entries == 0;
	}
	if (changed)
		apply_quota(s);
}

int
pgcache_slots_note_quota(const PgCacheSpaceKey *key, const PgCacheQuota *quota,
						 uint64 version)
{
	PgCacheSharedSlot *s;
	int			slot = -1;

	pgcache_slots_hold();
	LWLockAcquire(lock, LW_EXCLUSIVE);
	s = find_slot(key);
	if (s != NULL && note_quota(s, quota, version))
		slot = s - shared->slots;
	LWLockRelease(lock);
	return slot;
}

void
pgcache_slots_apply_quota(int slot)
{
	apply_quota(&shared->slots[slot]);
}

/* ---- freeing --------------------------------------------------------------- */

/* True, for the callers' convenience. */
static bool
free_slot(PgCacheSharedSlot *s)
{
	static const PgCacheQuota none = {0};

	pgcache_store_clear(pgcache_store, s - shared->slots);
	(void) note_quota(s, &none, PG_UINT64_MAX);
	s->state = SLOT_FREED;
	s->provisional = -1;
	return true;
}

/*
 * After slots were freed; releases the lock.  The change count first: see the
 * head of this file.
 */
static void
finish_freeing(bool any)
{
	if (any)
	{
		pg_atomic_fetch_add_u64(&shared->changes, 1);
		drain();
	}
	LWLockRelease(lock);

	/* As we hold, nobody else gets what we freed before its quota is gone. */
	for (int i = 0; any && i < pgcache_max_namespaces; i++)
	{
		volatile PgCacheSharedSlot *s = &shared->slots[i];

		if (s->state != SLOT_USED && s->quota_pending)
			apply_quota(&shared->slots[i]);
	}
}

void
pgcache_slots_free(const PgCacheSpaceKey *key)
{
	bool		all = key->catalog == InvalidOid;
	bool		any = false;

	pgcache_slots_hold();
	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < pgcache_max_namespaces; i++)
	{
		PgCacheSharedSlot *s = &shared->slots[i];

		if (s->key.database != key->database)
			continue;
		if (s->state == SLOT_USED &&
			(all || (s->key.catalog == key->catalog && s->key.id == key->id)))
			any = free_slot(s);
		if (all)
			s->key.database = InvalidOid;	/* with what was counted */
	}
	if (all)
		pgcache_departed_forget(key->database);
	else
		pgcache_departed_drop(key);
	finish_freeing(any);
	if (pgcache_space_on_forget)
		pgcache_space_on_forget(key);
}

bool
pgcache_slots_free_provisional(const PgCacheSpaceKey *key)
{
	bool		any = false;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < pgcache_max_namespaces; i++)
	{
		PgCacheSharedSlot *s = &shared->slots[i];

		if (s->state != SLOT_USED || s->provisional != PGCACHE_MY_BACKEND ||
			(key != NULL && memcmp(&s->key, key, sizeof(*key)) != 0))
			continue;
		pgcache_store_clear(pgcache_store, i);
		s->state = SLOT_FREE;
		s->provisional = -1;
		any = true;
	}
	LWLockRelease(lock);
	return any;
}

void
pgcache_slots_free_one(uint16 slot, PgCacheIncarnation incarnation)
{
	PgCacheSharedSlot *s = &shared->slots[slot];

	pgcache_slots_hold();
	LWLockAcquire(lock, LW_EXCLUSIVE);
	finish_freeing(s->state == SLOT_USED && s->incarnation == incarnation &&
				   free_slot(s));
}

void
pgcache_slots_settle(void)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < pgcache_max_namespaces; i++)
		if (shared->slots[i].provisional == PGCACHE_MY_BACKEND)
			shared->slots[i].provisional = -1;
	LWLockRelease(lock);
}

/* ---- statistics ------------------------------------------------------------ */

LWLock *
pgcache_slots_lock(void)
{
	return lock;
}

bool
pgcache_slots_counted(int slot, PgCacheSlotUse *use)
{
	const PgCacheSharedSlot *s = &shared->slots[slot];

	use->key = s->key;
	use->slot = slot;
	use->incarnation = s->incarnation;
	use->is_current = s->state == SLOT_USED;
	return s->incarnation != 0;
}

/* ---- shared memory --------------------------------------------------------- */

/* The slots, the holds, those that were noted. */
static Size
slots_only_size(void)
{
	return CACHELINEALIGN(add_size(offsetof(PgCacheSharedSlots, slots),
								   mul_size(pgcache_max_namespaces,
											sizeof(PgCacheSharedSlot))));
}

static Size
holds_size(void)
{
	return mul_size(MaxBackends, sizeof(PgCacheSharedHold));
}

static Size
slots_size(void)
{
	return add_size(add_size(slots_only_size(), holds_size()),
					mul_size(MaxBackends, sizeof(uint64)));
}

static int
slots_nlocks(void)
{
	return 2;
}

static void
attach_slots(void *memory, LWLockPadded *locks)
{
	shared = memory;
	holds = (PgCacheSharedHold *) ((char *) memory + slots_only_size());
	noted_holds = (uint64 *) ((char *) holds + holds_size());
	lock = &locks[0].lock;
	quota_lock = &locks[1].lock;
	pgcache_space_changes = &shared->changes;
}

static void
init_slots(void *memory, LWLockPadded *locks)
{
	memset(memory, 0, slots_size());
	attach_slots(memory, locks);
	pg_atomic_init_u64(&shared->changes, 1);
	for (int i = 0; i < pgcache_max_namespaces; i++)
		shared->slots[i].provisional = -1;
	for (int i = 0; i < MaxBackends; i++)
		pg_atomic_init_u64(&holds[i].number, 0);
}

static const PgCacheShmemPart slots_part = {
	.name = "PgCacheNamespace",
	.size = slots_size,
	.nlocks = slots_nlocks,
	.init = init_slots,
	.attach = attach_slots
};

void
pgcache_slots_register(void)
{
	pgcache_shmem_register(&slots_part);
}
