/*-------------------------------------------------------------------------
 *
 * locks.c
 *	  The relations on which the own transaction holds a lock to change rows.
 *
 * Whoever changes rows of a relation holds RowExclusiveLock or a stronger lock
 * on it until the end of the transaction: DML, COPY, MERGE, foreign keys,
 * triggers, the apply worker, TRUNCATE and all DDL.  (What closes a catalog early
 * doesn't matter here.)  Locks of a subtransaction that was rolled back are gone,
 * so nothing has to be remembered along the way.
 *
 * The server has no function to list the own locks.  They are in two places:
 * weak ones may be in the fast-path slots of our PGPROC, all others are PROCLOCKs
 * in its lists, one list for each partition of the lock table.  A lock is moved
 * from the first to the second by a backend that wants a lock in conflict, never
 * back.  So the slots are read first, then the lists.
 *
 * Who moves a lock holds our fpInfoLock until it is in the list and gone from the
 * slot.  So if we, having that lock, don't see it in the slot, it is in the list
 * already, and since nobody but us adds to our lists otherwise, a list that is
 * now found empty without the partition's lock has nothing for us.
 *
 * Locking: fpInfoLock and the lock table's partition locks, in shared mode, one
 * at a time; nothing is allocated or raised.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "storage/proc.h"

#include "base/compat.h"
#include "watch/watch_internal.h"

/* More than this many are taken for all. */
#define MAX_HELD 1024

/* The bit for RowExclusiveLock among the three of a fast-path slot. */
#define FASTPATH_ROW_EXCLUSIVE	(1 << (RowExclusiveLock - 1))
#define FASTPATH_BITS			3

static PgCacheHeldLock held[MAX_HELD];
static int	nheld;
static bool overflow;

static void
add_held(Oid relation, LOCKMASK modes)
{
	if (relation < FirstNormalObjectId)
		return;
	if (nheld == MAX_HELD)
	{
		overflow = true;
		return;
	}
	held[nheld].relation = relation;
	held[nheld].modes = modes;
	nheld++;
}

/* Slots are for relations of the own database only. */
static void
scan_fastpath(void)
{
	LWLockAcquire(&MyProc->fpInfoLock, LW_SHARED);
	for (int group = 0; group < PGCACHE_FASTPATH_GROUPS; group++)
	{
		uint64		bits = PGCACHE_FASTPATH_BITS(MyProc, group);

		for (int i = 0; bits != 0; i++, bits >>= FASTPATH_BITS)
			if (bits & FASTPATH_ROW_EXCLUSIVE)
				add_held(MyProc->fpRelId[group * PGCACHE_FASTPATH_SLOTS + i],
						 LOCKBIT_ON(RowExclusiveLock));
	}
	LWLockRelease(&MyProc->fpInfoLock);
}

static void
scan_partition(int partition)
{
	PROCLOCK   *proclock = NULL;

	LWLockAcquire(LockHashPartitionLockByIndex(partition), LW_SHARED);
	while ((proclock = pgcache_next_proclock(MyProc, partition, proclock)) != NULL)
	{
		const LOCKTAG *tag = &proclock->tag.myLock->tag;
		LOCKMASK	modes = proclock->holdMask & PGCACHE_WRITE_LOCKS;

		if (modes != 0 && tag->locktag_type == LOCKTAG_RELATION &&
			tag->locktag_lockmethodid == DEFAULT_LOCKMETHOD &&
			tag->locktag_field1 == MyDatabaseId)
			add_held(tag->locktag_field2, modes);
	}
	LWLockRelease(LockHashPartitionLockByIndex(partition));
}

#ifdef USE_ASSERT_CHECKING

static LOCKMASK
modes_by_lock_manager(Oid relation)
{
	LOCKTAG		tag;
	LOCKMASK	modes = 0;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relation);
	for (LOCKMODE mode = RowExclusiveLock; mode <= AccessExclusiveLock; mode++)
		if (PGCACHE_LOCK_HELD(&tag, mode))
			modes |= LOCKBIT_ON(mode);
	return modes;
}

/*
 * Compares with what the lock manager says: of what was found, and of the
 * relations near by, which are those that one statement created.
 */
static void
verify_held(void)
{
	for (int i = 0; i < nheld && i < 32; i++)
		for (int j = -2; j <= 2; j++)
		{
			Oid			relation = held[i].relation + j;
			LOCKMASK	found = 0;

			if (relation < FirstNormalObjectId)
				continue;
			for (int k = 0; k < nheld; k++)
				if (held[k].relation == relation)
					found |= held[k].modes;
			Assert(found == modes_by_lock_manager(relation));
		}
}
#endif

int
pgcache_held_locks(const PgCacheHeldLock **locks)
{
	nheld = 0;
	overflow = false;
	scan_fastpath();
	for (int i = 0; i < NUM_LOCK_PARTITIONS; i++)
		if (pgcache_next_proclock(MyProc, i, NULL) != NULL)
			scan_partition(i);
#ifdef USE_ASSERT_CHECKING
	if (!overflow)
		verify_held();
#endif
	*locks = held;
	return overflow ? -1 : nheld;
}
