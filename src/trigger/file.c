/*-------------------------------------------------------------------------
 *
 * file.c
 *	  The worker's job that looks at watched files.
 *
 * The watches are kept in memory, and read again when the table has changed.  The
 * files are looked at each pg_cache.worker_interval by stat(), outside of any
 * transaction; only when one is not as it was is there one, which invalidates the
 * watch's tags and writes to the table what was seen.  What was seen counts in
 * memory from that transaction's commit on.  While somebody else is changing the
 * table, it is written later: if the server stops before, the tags are invalidated
 * once more.
 *
 * On a standby files are the standby's, and what was seen is in memory only.
 *
 * As with tables, a watch whose owner has lost his privileges, or was dropped, goes
 * on: dropping too much does less harm than serving what is stale.
 *
 * Locking: see file_catalog.c.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/settings.h"
#include "shmem/counters.h"
#include "trigger/file.h"
#include "txn/txn.h"

#ifdef __APPLE__
#define st_mtim st_mtimespec
#endif

/* A watch in memory. */
typedef struct Watch
{
	PgCacheFileWatch base;		/* as the table has it */
	PgCacheFileState acted;		/* what was acted upon */
	PgCacheFileState now;		/* what was found last */
	bool		acting;			/* the transaction that runs acts upon it */
	bool		saving;			/* and writes it to the table */
	bool		complained;		/* that it is unreadable */
	bool		warned;			/* of lost privileges */
} Watch;

static MemoryContext context = NULL;
static List *watches = NIL;		/* of Watch, in context */
static bool is_stale = true;	/* the table has changed since */
static Oid	table = InvalidOid; /* from which they were read */
static TimestampTz next_look = DT_NOBEGIN;
static bool found = false;		/* what pgcache_file_run must act upon */

/* ---- files ------------------------------------------------------------------- */

PgCacheFileState
pgcache_file_look(const char *path, int *error)
{
	PgCacheFileState state = {PGCACHE_FILE_PRESENT};
	struct stat st;

	*error = 0;
	if (stat(path, &st) == 0)
	{
		state.mtime = time_t_to_timestamptz(st.st_mtim.tv_sec) +
			st.st_mtim.tv_nsec / 1000;
		state.size = st.st_size;
		state.inode = (int64) st.st_ino;
	}
	else if (errno == ENOENT || errno == ENOTDIR)
		state.condition = PGCACHE_FILE_ABSENT;
	else
	{
		state.condition = PGCACHE_FILE_UNREADABLE;
		*error = errno;
	}
	return state;
}

static bool
same_state(const PgCacheFileState *a, const PgCacheFileState *b)
{
	return a->condition == b->condition && a->mtime == b->mtime &&
		a->size == b->size && a->inode == b->inode;
}

static void
look(Watch *watch)
{
	int			error;

	watch->now = pgcache_file_look(watch->base.path, &error);
	if (error == 0)
		watch->complained = false;
	else if (!watch->complained)
	{
		watch->complained = true;
		errno = error;
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not stat watched file \"%s\": %m", watch->base.path),
				 errdetail("Its changes remain unnoticed until this is possible.")));
	}
}

/* ---- the table ----------------------------------------------------------------- */

static void
on_relation_change(Datum arg, Oid relation)
{
	if (!OidIsValid(relation) || relation == table || !OidIsValid(table))
		is_stale = true;
}

static Watch *
find_watch(List *list, const PgCacheFileWatch *base)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		Watch	   *watch = lfirst(lc);

		if (strcmp(watch->base.path, base->path) == 0 &&
			strcmp(watch->base.space, base->space) == 0)
			return watch;
	}
	return NULL;
}

/* What is known of a watch in memory and not in the table stays known. */
static Watch *
make_watch(const PgCacheFileWatch *base)
{
	Watch	   *watch = palloc0(sizeof(Watch));
	const Watch *old = find_watch(watches, base);

	watch->base = *base;
	watch->acted = base->seen;
	if (old != NULL)
	{
		watch->complained = old->complained;
		watch->warned = old->warned && old->base.owner == base->owner;
		if (!same_state(&old->base.seen, &old->acted))
			watch->acted = old->acted;
	}
	watch->now = watch->acted;
	return watch;
}

/* The flag goes first: what is read afterwards is at least as new. */
static void
read_watches(void)
{
	MemoryContext fresh = AllocSetContextCreate(TopMemoryContext,
												"pg_cache watched files",
												ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(fresh);
	List	   *list = NIL;
	ListCell   *lc;

	PG_TRY();
	{
		is_stale = false;
		table = pgcache_file_table();
		if (OidIsValid(table))
			foreach(lc, pgcache_file_list())
				list = lappend(list, make_watch(lfirst(lc)));
	}
	PG_CATCH();
	{
		is_stale = true;
		MemoryContextDelete(fresh);
		PG_RE_THROW();
	}
	PG_END_TRY();

	MemoryContextSwitchTo(old);
	if (context != NULL)
		MemoryContextDelete(context);
	context = fresh;
	watches = list;
	next_look = DT_NOBEGIN;
}

/* ---- acting --------------------------------------------------------------------- */

/* Says once that the watch's owner may no longer have it; it goes on. */
static void
check_owner(Watch *watch, const PgCacheSpace *space)
{
	Oid			owner = watch->base.owner;
	bool		may_read = has_privs_of_role(owner, ROLE_PG_READ_SERVER_FILES);

	if (may_read &&
		(pgcache_space_privileges_of(space, owner) & PGCACHE_WRITE) != 0)
		watch->warned = false;
	else if (!watch->warned)
	{
		watch->warned = true;
		ereport(LOG,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("changes of file \"%s\" are no longer meant to invalidate cached values",
						watch->base.path),
				 may_read ?
				 errdetail("Role \"%s\", for which it is watched, may not write to namespace \"%s\".",
						   pgcache_file_role(owner), space->name) :
				 errdetail("Role \"%s\", for which it is watched, may not read the server's files.",
						   pgcache_file_role(owner)),
				 errhint("They still do; use cache_unwatch_file() to end that.")));
	}
}

/* A namespace that does not exist has no entries. */
static void
invalidate(Watch *watch)
{
	PgCacheIncarnation since = pgcache_space_last_incarnation();
	const char *name = watch->base.space;
	bool		no_slot;
	PgCacheSpace *space = pgcache_space_find(name, strlen(name), &no_slot);

	/* Without a slot likewise, but puts may be under way. */
	if (no_slot)
		pgcache_txn_invalidate_unslotted(since, false);
	if (space == NULL || watch->base.ntags == 0)
		return;
	check_owner(watch, space);
	pgcache_txn_invalidate_tags(space->slot, space->incarnation, watch->base.tags,
								watch->base.ntags, PGCACHE_INVALIDATED_FILE, false);
}

/* What was done in a transaction is done when that has committed. */
static void
on_transaction_end(XactEvent event, void *arg)
{
	ListCell   *lc;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	foreach(lc, watches)
	{
		Watch	   *watch = lfirst(lc);

		if (event == XACT_EVENT_COMMIT && watch->acting)
			watch->acted = watch->now;
		if (event == XACT_EVENT_COMMIT && watch->saving)
			watch->base.seen = watch->now;
		watch->acting = watch->saving = false;
	}
}

/* ---- the job --------------------------------------------------------------------- */

static bool
must_act(const Watch *watch)
{
	return !same_state(&watch->acted, &watch->now);
}

static bool
must_save(const Watch *watch)
{
	return !same_state(&watch->base.seen, &watch->now) && !RecoveryInProgress();
}

/* What cannot be written now is left for the next look. */
static void
save(void)
{
	List	   *changed = NIL;
	ListCell   *lc;

	foreach(lc, watches)
	{
		const Watch *watch = lfirst(lc);
		PgCacheFileWatch *copy;

		if (!must_save(watch))
			continue;
		copy = palloc(sizeof(PgCacheFileWatch));
		*copy = watch->base;
		copy->seen = watch->now;
		changed = lappend(changed, copy);
	}
	if (changed == NIL || !pgcache_file_save(changed))
		return;
	foreach(lc, watches)
	{
		Watch	   *watch = lfirst(lc);

		watch->saving = must_save(watch);
	}
}

static void
begin(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(on_transaction_end, NULL);
	pgcache_space_on_relcache(on_relation_change);
	registered = true;
}

/* Looks at the files if it is time. */
TimestampTz
pgcache_file_due(void)
{
	TimestampTz now = pgcache_clock_now();
	TimestampTz interval = (TimestampTz) pgcache_worker_interval * 1000;
	ListCell   *lc;

	begin();
	if (is_stale)
		return DT_NOBEGIN;
	if (watches == NIL)
		return DT_NOEND;
	/* The clock may have been set back, the interval made shorter. */
	if (next_look > now && next_look <= now + interval)
		return found ? DT_NOBEGIN : next_look;
	found = false;
	foreach(lc, watches)
	{
		Watch	   *watch = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		look(watch);
		found = found || must_act(watch) || must_save(watch);
	}
	next_look = now + interval;
	return found ? DT_NOBEGIN : next_look;
}

void
pgcache_file_run(void)
{
	ListCell   *lc;

	if (is_stale)
	{
		read_watches();
		return;
	}
	foreach(lc, watches)
	{
		Watch	   *watch = lfirst(lc);

		if (!must_act(watch))
			continue;
		invalidate(watch);
		watch->acting = true;
	}
	save();
	found = false;
}
