/*-------------------------------------------------------------------------
 *
 * changes.c
 *	  Publishes what the own transaction changed, before it commits.
 *
 * In the PRE_COMMIT or PRE_PREPARE callback the transaction's xid is published in
 * the stamp of each relation that it may have changed, and of each ancestor of
 * such (ancestors.c).  It can't be seen by any snapshot before it leaves the set
 * of running transactions, which is later, so who sees its changes can see its
 * publishes.  If it aborts after all they make for misses only.
 *
 * Which relations: all on which it holds RowExclusiveLock or a stronger lock
 * (locks.c), all for which it has counts of changed rows, and all for which it
 * has relcache messages to send.  The counts find what a lock released early
 * hides; they are missing with track_counts off.
 *
 * A publish is strict where there is a message.  TRUNCATE, rewrites and changes
 * of definitions are not subject to snapshots: an older one, too, sees the table
 * empty or misses the new partition.  Between the moment where the transaction
 * becomes visible and the one where its messages have arrived, others use plans
 * that know nothing of it, so its stamps are marked (pgcache_ddl_begin) until the
 * messages have been sent, or the transaction was rolled back.  That is known in
 * a ResourceRelease callback for locks, which comes after AtEOXact_Inval in both
 * cases, whoever raised what in between.  A prepared transaction's messages are
 * sent by whoever commits it, so there the kind of the publish says it.
 *
 * If there is more to publish than our arrays hold, or a message concerns all
 * relations, it is "everything": a strict publish in the database's stamp.
 *
 * What may well fail (catalog access, memory) comes before the first publish.  If
 * one publish fails after another, the transaction is rolled back, and what was
 * published makes for misses.  Callbacks registered later run earlier: one that changes
 * tables in its PRE_COMMIT must belong to a library loaded after this.
 *
 * Locking: none of our own while anything is called.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "lib/qunique.h"
#include "miscadmin.h"
#include "parser/parsetree.h"
#include "pgstat.h"
#include "storage/sinval.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/pgstat_internal.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "shmem/debug_point.h"
#include "stamp/broken.h"
#include "watch/watch_internal.h"

/* Stamps that one transaction can publish in before it is everything. */
#define MAX_TARGETS		2048
#define TARGET_PLACES	(2 * MAX_TARGETS)	/* a power of two */

typedef struct Target
{
	PgCacheStamp stamp;
	bool		strict;
	bool		begun;			/* pgcache_ddl_begin was called */
	uint16		place;			/* of its number in target_places */
} Target;

static Target targets[MAX_TARGETS];
static int	ntargets = 0;
static uint16 target_places[TARGET_PLACES]; /* number + 1; 0: none */
static bool everything = false;

/* Whether a target was begun. */
static bool any_begun = false;

#ifdef PGCACHE_TEST
/* For the variants of this protocol that torture must find to be wrong. */
static uint64 late_xid = 0;
static Oid	noted_tables[256];
static int	nnoted = 0;
#endif

/* ---- what to publish ------------------------------------------------------- */

static void
clear_targets(void)
{
	for (int i = 0; i < ntargets; i++)
		target_places[targets[i].place] = 0;
	ntargets = 0;
	everything = false;
	any_begun = false;
}

static void
add_target(PgCacheStamp stamp, bool strict)
{
	uint32		place = murmurhash32(stamp) & (TARGET_PLACES - 1);
	Target	   *target;

	for (; target_places[place] != 0; place = (place + 1) & (TARGET_PLACES - 1))
	{
		target = &targets[target_places[place] - 1];
		if (target->stamp == stamp)
		{
			target->strict |= strict;
			return;
		}
	}
	if (ntargets == MAX_TARGETS)
	{
		everything = true;
		return;
	}
	target = &targets[ntargets++];
	target->stamp = stamp;
	target->strict = strict;
	target->begun = false;
	target->place = place;
	target_places[place] = ntargets;
}

static void
add_family(const PgCacheFamily *family, bool strict)
{
	for (int i = 0; i < family->n; i++)
		add_target(family->stamps[i], strict);
}

static void
add_locked(void)
{
	const PgCacheHeldLock *locks;
	int			n = pgcache_held_locks(&locks);

	if (n < 0)
		everything = true;
	for (int i = 0; i < n && !everything; i++)
		add_family(pgcache_family(locks[i].relation), false);
}

/* Makes a level of the statistics' stack if there is none, as counting would. */
static const PgStat_SubXactStatus *
stat_stack(void)
{
	return pgstat_get_xact_stack_level(GetCurrentTransactionNestLevel());
}

static bool
stat_is_ours(const PgStat_TableXactStatus *table)
{
	return !PGCACHE_STAT_SHARED(table->parent) &&
		PGCACHE_STAT_ID(table->parent) >= FirstNormalObjectId;
}

static void
add_counted(void)
{
	for (const PgStat_SubXactStatus *level = stat_stack(); level; level = level->prev)
		for (const PgStat_TableXactStatus *table = level->first;
			 table && !everything; table = table->next)
			if (stat_is_ours(table))
				add_family(pgcache_family(PGCACHE_STAT_ID(table->parent)), false);
}

/*
 * The relations of this database, no catalogs, that the transaction has relcache
 * messages for, each once, palloc'd; NULL if none.  InvalidOid stands for all.
 */
static Oid *
changed_definitions(int *n)
{
	SharedInvalidationMessage *messages;
	bool		init_file;
	int			nmessages = xactGetCommittedInvalidationMessages(&messages, &init_file);
	Oid		   *oids = NULL;

	*n = 0;
	for (int i = 0; i < nmessages; i++)
	{
		const SharedInvalRelcacheMsg *message = &messages[i].rc;

		if (message->id != SHAREDINVALRELCACHE_ID ||
			(message->dbId != MyDatabaseId &&
			 (message->dbId != InvalidOid || message->relId != InvalidOid)) ||
			(message->relId != InvalidOid && message->relId < FirstNormalObjectId))
			continue;
		if (oids == NULL)
			oids = palloc_extended(mul_size(nmessages, sizeof(Oid)), MCXT_ALLOC_HUGE);
		oids[(*n)++] = message->relId;
	}
	if (messages != NULL)
		pfree(messages);
	if (*n > 1)
	{
		qsort(oids, *n, sizeof(Oid), oid_cmp);
		*n = qunique(oids, *n, sizeof(Oid), oid_cmp);
	}
	return oids;
}

/* What lost a parent or was dropped counts for the ancestors that it had. */
static void
add_defined(void)
{
	int			n;
	Oid		   *oids = changed_definitions(&n);

	pgcache_families_past_forget();
	for (int i = 0; i < n && !everything; i++)
	{
		if (oids[i] == InvalidOid)
		{
			everything = true;
			break;
		}
		add_family(pgcache_family_past(oids[i]), !PGCACHE_BROKEN(nostrict));
	}
}

/* What it leaves in memory goes with the transaction. */
static void
find_targets(void)
{
	clear_targets();
	AcceptInvalidationMessages();
#ifdef PGCACHE_TEST
	if (PGCACHE_BROKEN(hooks))
	{
		for (int i = 0; i < nnoted; i++)
			add_family(pgcache_family(noted_tables[i]), false);
	}
	else
#endif
	{
		add_locked();
		add_counted();
	}
	add_defined();
	if (everything)
	{
		clear_targets();
		add_target(pgcache_stamp_of_database(MyDatabaseId), true);
	}
}

/* ---- publishing ------------------------------------------------------------ */

/* May fail half-way: to know who has finished, the commit log may be read. */
static void
publish_targets(uint64 xid, bool prepare)
{
	for (int i = 0; i < ntargets; i++)
	{
		Target	   *target = &targets[i];

		if (target->strict && !prepare && !PGCACHE_BROKEN(noddl))
		{
			any_begun = target->begun = true;
			pgcache_ddl_begin(target->stamp);
		}
		(void) pgcache_stamp_publish(target->stamp, xid,
									 !target->strict ? PGCACHE_PUBLISH_XID :
									 prepare ? PGCACHE_PUBLISH_PREPARED :
									 PGCACHE_PUBLISH_STRICT);
	}
}

static void
publish_changes(bool prepare)
{
	FullTransactionId xid = GetTopFullTransactionIdIfAny();

	/* Without an xid there is nothing that it could have changed. */
	if (!FullTransactionIdIsValid(xid))
		return;
	find_targets();
	if (TransactionIdIsValid(TransactionXmin))
		pgcache_note_finished(pgcache_full_xid(TransactionXmin));
#ifdef PGCACHE_TEST
	if (ntargets > 0)
		PGCACHE_DEBUG_POINT("watch-before-publish");
	if (PGCACHE_BROKEN(late) && !prepare)
	{
		late_xid = U64FromFullTransactionId(xid);
		return;
	}
#endif
	publish_targets(U64FromFullTransactionId(xid), prepare);
	if (ntargets > 0)
		PGCACHE_DEBUG_POINT("watch-after-publish");
}

static void
on_xact_event(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			publish_changes(false);
			break;
		case XACT_EVENT_PRE_PREPARE:
			publish_changes(true);
			break;
#ifdef PGCACHE_TEST
		case XACT_EVENT_COMMIT:
			/* Visible, and its invalidation messages not yet sent. */
			if (FullTransactionIdIsValid(GetTopFullTransactionIdIfAny()))
				PGCACHE_DEBUG_SPIN("watch-visible");
			if (late_xid != 0)
				publish_targets(late_xid, false);
			late_xid = 0;
			nnoted = 0;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			late_xid = 0;
			nnoted = 0;
			break;
#endif
		default:
			break;
	}
}

/* Also called for parts of a transaction, when nothing has begun. */
static void
on_release(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	if (likely(!any_begun) || phase != RESOURCE_RELEASE_LOCKS || !is_top_level)
		return;
	any_begun = false;
	for (int i = 0; i < ntargets; i++)
	{
		if (targets[i].begun)
			pgcache_ddl_end(targets[i].stamp);
		targets[i].begun = false;
	}
}

#ifdef PGCACHE_TEST
void
pgcache_changes_note_query(QueryDesc *query)
{
	ListCell   *cell;

	if (!PGCACHE_BROKEN(hooks))
		return;
	foreach(cell, query->plannedstmt->resultRelations)
	{
		RangeTblEntry *entry = rt_fetch(lfirst_int(cell), query->plannedstmt->rtable);

		if (nnoted < lengthof(noted_tables))
			noted_tables[nnoted++] = entry->relid;
	}
}
#endif

void
pgcache_changes_init(void)
{
	RegisterXactCallback(on_xact_event, NULL);
	RegisterResourceReleaseCallback(on_release, NULL);
}

/* ---- own changes ----------------------------------------------------------- */

static bool
is_among(const PgCacheFamily *family, const Oid *tables, int n)
{
	for (int i = 0; i < family->n; i++)
		for (int j = 0; j < n; j++)
			if (family->oids[i] == tables[j])
				return true;
	return false;
}

/* Under AccessExclusiveLock it may have been dropped, or taken from its parents. */
bool
pgcache_change_concerns(Oid relation, LOCKMASK modes, const Oid *tables, int n)
{
	return is_among(pgcache_family(relation), tables, n) ||
		((modes & LOCKBIT_ON(AccessExclusiveLock)) != 0 &&
		 is_among(pgcache_family_past(relation), tables, n));
}

/* The modes held on the tables and their descendants; all if not known. */
static LOCKMASK
modes_held(const Oid *tables, int n)
{
	const PgCacheHeldLock *locks;
	int			nlocks = pgcache_held_locks(&locks);
	LOCKMASK	modes = 0;

	if (nlocks < 0)
		return PGCACHE_WRITE_LOCKS;
	for (int i = 0; i < nlocks; i++)
		if ((locks[i].modes & ~modes) != 0 &&
			pgcache_change_concerns(locks[i].relation, locks[i].modes, tables, n))
			modes |= locks[i].modes;
	return modes;
}

bool
pgcache_watch_wrote(const Oid *tables, int n)
{
	return n > 0 && TransactionIdIsValid(GetTopTransactionIdIfAny()) &&
		modes_held(tables, n) != 0;
}

/*
 * Adds up the counts of the tables and their descendants.  False if one was
 * truncated, which takes back counts.
 */
static bool
count_changes(const Oid *tables, int n, uint64 *sum)
{
	*sum = 0;
	for (const PgStat_SubXactStatus *level = stat_stack(); level; level = level->prev)
		for (const PgStat_TableXactStatus *table = level->first; table; table = table->next)
		{
			if (!stat_is_ours(table) ||
				!is_among(pgcache_family(PGCACHE_STAT_ID(table->parent)), tables, n))
				continue;
			if (table->truncdropped)
				return false;
			*sum += table->tuples_inserted + table->tuples_updated +
				table->tuples_deleted;
		}
	return true;
}

/*
 * A savepoint that is rolled back takes its counts with it, and the puts made
 * after it.  With a strong lock there may be changes that nobody counts, as those
 * by ALTER TABLE: then the number changes with each relcache message, of any
 * relation.
 */
bool
pgcache_watch_count_changes(const Oid *tables, int n, uint64 *number)
{
	LOCKMASK	modes;
	uint64		sum;

	*number = 0;
	if (n == 0 || !TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return true;
	modes = modes_held(tables, n);
	if (modes == 0)
		return true;
	if (!pgstat_track_counts || !count_changes(tables, n, &sum))
		return false;
	if (modes & PGCACHE_STRONG_LOCKS)
		sum += (pgcache_relcache_messages + 1) << 32;
	*number = sum;
	return true;
}

bool
pgcache_watch_own_changes(const Oid *tables, int n, uint64 *number)
{
	return pgcache_watch_count_changes(tables, n, number) &&
		(*number == 0 || pgcache_statement_sees_own_changes()) &&
		!pgcache_seen_undone(tables, n);
}

void
pgcache_watch_changed_definitions(void (*visit) (Oid relation))
{
	int			n;
	Oid		   *oids = changed_definitions(&n);

	for (int i = 0; i < n; i++)
		visit(oids[i]);
	if (oids != NULL)
		pfree(oids);
}
