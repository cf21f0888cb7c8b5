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
 * until all of them have ended: the process that frees it notes which
 * transaction each backend is in (its local transaction ID) after it advanced
 * the change count, without which a backend's own cache of namespaces is not
 * believed.  Such a wait goes on for one batch of slots at a time; slots freed
 * meanwhile form the next one.  A snapshot's xmin would not do, because a
 * transaction may remember a slot from one statement to the next.
 *
 *		FREE -> USED -> FREED -> DRAINING -> FREE
 *
 * Lock: one, PgCacheNamespace, for everything here but the change count.  The
 * store's locks may be taken under it, not the other way round.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"

#include "base/compat.h"
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
	int			provisional;	/* number of a backend, or -1 */
	PgCacheQuota quota;			/* as the store knows it */
	uint64		quota_version;	/* change count when it was read */
} PgCacheSharedSlot;

typedef struct PgCacheSharedSlots
{
	pg_atomic_uint64 changes;	/* of the catalog or of slots; no lock */
	PgCacheIncarnation last_incarnation;
	bool		draining;		/* whether a batch waits, for transactions[] */
	PgCacheSharedSlot slots[FLEXIBLE_ARRAY_MEMBER];
} PgCacheSharedSlots;

pg_atomic_uint64 *pgcache_space_changes = NULL;

static PgCacheSharedSlots *shared = NULL;
static LocalTransactionId *transactions = NULL; /* by backend; 0: none */
static LWLock *lock = NULL;

/* ---- waiting for transactions ---------------------------------------------- */

/* Whether all transactions have ended that the batch waits for. */
static bool
batch_has_drained(void)
{
	for (int i = 0; i < MaxBackends; i++)
	{
		PGPROC	   *proc = &ProcGlobal->allProcs[i];

		if (transactions[i] != InvalidLocalTransactionId &&
			transactions[i] == *(volatile LocalTransactionId *) &PGCACHE_PROC_LXID(proc))
			return false;
	}
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
		PGPROC	   *proc = &ProcGlobal->allProcs[i];

		transactions[i] = *(volatile LocalTransactionId *) &PGCACHE_PROC_LXID(proc);
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

	/* Again: somebody may have put an entry there since it was freed. */
	if (s->incarnation != 0)
		pgcache_store_forget_space(pgcache_store, s - shared->slots);
	if (++shared->last_incarnation == 0)
		shared->last_incarnation = 1;
	pgcache_counters_new_slot(s - shared->slots, shared->last_incarnation);

	s->state = SLOT_USED;
	s->key = *key;
	s->incarnation = shared->last_incarnation;
	s->provisional = provisional ? PGCACHE_MY_BACKEND : -1;
	memset(&s->quota, 0, sizeof(s->quota));
	s->quota_version = 0;
	return s;
}

bool
pgcache_slots_get(const PgCacheSpaceKey *key, bool provisional,
				  uint16 *slot, PgCacheIncarnation *incarnation)
{
	PgCacheSharedSlot *s;
	bool		found;

	LWLockAcquire(lock, LW_SHARED);
	s = find_slot(key);
	if (s == NULL)
	{
		LWLockRelease(lock);
		LWLockAcquire(lock, LW_EXCLUSIVE);
		s = find_slot(key);
		if (s == NULL)
			s = allocate_slot(key, provisional);
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

void
pgcache_slots_set_quota(uint16 slot, PgCacheIncarnation incarnation,
						const PgCacheQuota *quota, uint64 version)
{
	PgCacheSharedSlot *s = &shared->slots[slot];
	bool		same;

	LWLockAcquire(lock, LW_SHARED);
	same = memcmp(&s->quota, quota, sizeof(*quota)) == 0 &&
		s->quota_version >= version;
	LWLockRelease(lock);
	if (same)
		return;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (s->state == SLOT_USED && s->incarnation == incarnation &&
		s->quota_version <= version)
	{
		if (memcmp(&s->quota, quota, sizeof(*quota)) != 0)
			pgcache_store_set_quota(pgcache_store, slot, quota->min_bytes,
									quota->max_bytes, quota->max_entries);
		s->quota = *quota;
		s->quota_version = version;
	}
	LWLockRelease(lock);
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

	LWLockAcquire(lock, LW_SHARED);
	for (int i = 0; i < pgcache_max_namespaces; i++)
	{
		if (shared->slots[i].state != SLOT_USED)
			continue;
		uses[n].key = shared->slots[i].key;
		uses[n].slot = i;
		uses[n].incarnation = shared->slots[i].incarnation;
		n++;
	}
	LWLockRelease(lock);
	return n;
}

/* ---- freeing --------------------------------------------------------------- */

/* True, for the callers' convenience. */
static bool
free_slot(PgCacheSharedSlot *s)
{
	pgcache_store_forget_space(pgcache_store, s - shared->slots);
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
}

void
pgcache_slots_free(const PgCacheSpaceKey *key)
{
	bool		any = false;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < pgcache_max_namespaces; i++)
	{
		PgCacheSharedSlot *s = &shared->slots[i];

		if (s->state == SLOT_USED && s->key.database == key->database &&
			(key->catalog == InvalidOid ||
			 (s->key.catalog == key->catalog && s->key.id == key->id)))
			any = free_slot(s);
	}
	finish_freeing(any);
}

void
pgcache_slots_free_provisional(void)
{
	bool		any = false;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < pgcache_max_namespaces; i++)
	{
		PgCacheSharedSlot *s = &shared->slots[i];

		if (s->state == SLOT_USED && s->provisional == PGCACHE_MY_BACKEND)
			any = free_slot(s);
	}
	finish_freeing(any);
}

void
pgcache_slots_free_one(uint16 slot, PgCacheIncarnation incarnation)
{
	PgCacheSharedSlot *s = &shared->slots[slot];

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

/* ---- shared memory --------------------------------------------------------- */

static Size
slots_only_size(void)
{
	return MAXALIGN(add_size(offsetof(PgCacheSharedSlots, slots),
							 mul_size(pgcache_max_namespaces,
									  sizeof(PgCacheSharedSlot))));
}

static Size
slots_size(void)
{
	return add_size(slots_only_size(),
					mul_size(MaxBackends, sizeof(LocalTransactionId)));
}

static int
slots_nlocks(void)
{
	return 1;
}

static void
init_slots(void *memory, LWLockPadded *locks)
{
	PgCacheSharedSlots *s = memory;

	memset(memory, 0, slots_size());
	pg_atomic_init_u64(&s->changes, 1);
	for (int i = 0; i < pgcache_max_namespaces; i++)
		s->slots[i].provisional = -1;
}

static void
attach_slots(void *memory, LWLockPadded *locks)
{
	shared = memory;
	transactions = (LocalTransactionId *) ((char *) memory + slots_only_size());
	lock = &locks[0].lock;
	pgcache_space_changes = &shared->changes;
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
