/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  By what snapshot the session read what it has now.
 *
 * A function that puts into the cache has its data from the statements it ran
 * before, or from the statement that calls it.  All of them read as of the
 * snapshot of the outermost statement or later, so that counts.  Hooks of the
 * executor and of utility statements (hooks.c) note it.
 *
 * Which statement is the outermost:
 *
 * - At depth 0 each run of a client's portal, and each utility statement with an
 *	 active snapshot (CALL, DO, COPY, CREATE TABLE AS, EXPLAIN ANALYZE).
 * - Without a portal (deferred triggers at commit, apply and background workers,
 *	 functions called by the protocol) queries at depth 0 belong to one program, so
 *	 what was noted first in the transaction stays.
 * - Such a program may have cursors, which are portals with a name (FOR loops of
 *	 PL/pgSQL).  A client's portal may have a name, too, but then it is run by a
 *	 message of its own.  So a named one belongs to what was noted by a program, or
 *	 in the same message.
 * - A CALL or DO may end transactions on its way, and put what it read before.  So
 *	 its snapshot goes on counting, the last transactions that it has ended are as
 *	 its own, and what it put in them without an xid is not newer than its data.
 * - A query run within that has an earlier snapshot than what was noted, as a
 *	 cursor that an earlier statement opened: its snapshot counts from then on.
 *
 * With the snapshot go three numbers, which must not be too high:
 *
 * - noted and before, publish numbers: before was read before the snapshot was
 *	 taken, at the end of the session's last statement at depth 0 or transaction.
 *	 Where a portal has several queries (rules) they share a snapshot, so the first
 *	 one's number counts.  If a query is run that was not the last to be started,
 *	 or the transaction keeps one snapshot for all statements, it is the number at
 *	 the end of the session's last transaction, and 0 if the snapshot was imported.
 * - ddl_epoch: the messages of all DDL up to it had been processed when the
 *	 statement's plan was made or last found to be valid.  Each transaction starts
 *	 by processing messages, so that holds for the epoch read when the last one had
 *	 ended; plans are checked whenever they are fetched from a cache.  And before a
 *	 plan is made at depth 0, the epoch is read and messages are processed.  That
 *	 one counts from then on for all later statements of the session; those started
 *	 already keep what they were started with.  If one message of the client has
 *	 several plans made, the first one's epoch counts for all.
 *
 * A note is a pointer to the snapshot, which the executor keeps as long as the
 * query runs, and the numbers.  Where the snapshot may go away earlier, its contents
 * are kept in memory of ours that is used again for the next note.  When somebody
 * asks it is copied, to live until the transaction's end.
 *
 * Locking: none.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "replication/walsender.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/pquery.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "watch/watch_internal.h"

/* The numbers that go with a snapshot. */
typedef struct Numbers
{
	uint64		noted;
	uint64		before;
	uint32		epoch;
} Numbers;

/* The query that was last started at depth 0, or where nothing was noted. */
static struct
{
	QueryDesc  *query;
	LocalTransactionId lxid;
	Portal		portal;
	TimestampTz message;		/* time of the client's message */
	TransactionId xmax;			/* of its snapshot */
	uint32		listed;
	Numbers		numbers;
}			started;

/* When a snapshot was taken.  The transactions are counted when that is needed. */
typedef struct When
{
	TransactionId xmax;
	bool		counted;
	uint32		running;
} When;

/* The outermost statement. */
static struct
{
	LocalTransactionId lxid;	/* transaction that it is of; 0: none noted */
	QueryDesc  *query;			/* the query at depth 0 that it is of, or NULL */
	Snapshot	snapshot;		/* NULL once it is kept */
	PgCacheBound *bound;		/* a copy, if somebody asked */
	When		when;
	Numbers		numbers;
	TimestampTz message;		/* time of the client's message */
	bool		program;		/* of a program without a portal */
}			noted;

/* A bound in memory that is never freed. */
typedef struct Kept
{
	PgCacheBound bound;
	TransactionId *xip;
	uint32		room;			/* of xip */
} Kept;

/* What was noted, if noted.snapshot is NULL. */
static Kept kept;

/*
 * A copy of that for a CALL or DO that may end transactions, for those that
 * follow.
 */
static struct
{
	bool		wanted;			/* such a statement is running */
	bool		valid;
	Kept		kept;
	When		when;
	Numbers		numbers;
	int			npast;			/* transactions ended so far */
	int			nasof;			/* as of when it put, so far */
}			carried;

/* 0: no statement is running; else 1. */
static int	depth = 0;

/* At the end of the session's last transaction. */
static uint64 xact_number = 0;
static uint32 xact_epoch = 0;

/* At the end of its last statement at depth 0, or transaction. */
static uint64 last_end = 0;

/* Messages up to this epoch have been processed. */
static uint32 session_epoch = 0;
static TimestampTz planned_message = 0;

/* The transaction that imported its snapshot. */
static LocalTransactionId imported = InvalidLocalTransactionId;

/* ---- notes ----------------------------------------------------------------- */

static inline LocalTransactionId
present_lxid(void)
{
	return PGCACHE_PROC_LXID(MyProc);
}

static inline bool
is_noted(void)
{
	return noted.lxid != InvalidLocalTransactionId && noted.lxid == present_lxid();
}

/* Some may be listed twice. */
static inline uint32
listed_in(Snapshot snapshot)
{
	return snapshot->takenDuringRecovery ? snapshot->subxcnt : snapshot->xcnt;
}

static inline void
count_noted(void)
{
	if (!noted.when.counted)
		noted.when.running = pgcache_snap_running(noted.snapshot);
	noted.when.counted = true;
}

/* As PgCacheSnap.asof, for snapshots of one transaction. */
static inline bool
is_before_noted(Snapshot snapshot)
{
	if (snapshot->xmax != noted.when.xmax)
		return TransactionIdPrecedes(snapshot->xmax, noted.when.xmax);
	count_noted();
	return listed_in(snapshot) > noted.when.running &&
		pgcache_snap_running(snapshot) > noted.when.running;
}

static inline bool
is_usable(Snapshot snapshot)
{
	return snapshot != NULL && snapshot->snapshot_type == SNAPSHOT_MVCC &&
		!IsParallelWorker();
}

/* Numbers that are right for every snapshot that the transaction has. */
static Numbers
numbers_of_xact(void)
{
	Numbers		numbers = {xact_number, xact_number, xact_epoch};

	if (imported == present_lxid() || am_walsender)
		numbers.noted = numbers.before = 0;
	return numbers;
}

/* Numbers for a snapshot that was taken for what begins now. */
static Numbers
numbers_now(void)
{
	Numbers		numbers;

	if (IsolationUsesXactSnapshot())
		numbers = numbers_of_xact();
	else
	{
		numbers.noted = pgcache_stamp_now();
		numbers.before = last_end;
	}
	numbers.epoch = session_epoch;
	return numbers;
}

static void
note_start(QueryDesc *query)
{
	TimestampTz message = GetCurrentStatementStartTimestamp();
	LocalTransactionId lxid = present_lxid();

	if (noted.query == query)
		noted.query = NULL;
	started.query = NULL;
	if (!is_usable(query->snapshot))
		return;
	if (started.lxid != lxid || started.portal != ActivePortal ||
		started.message != message ||
		started.xmax != query->snapshot->xmax ||
		started.listed != listed_in(query->snapshot))
		started.numbers = numbers_now();
	started.query = query;
	started.lxid = lxid;
	started.portal = ActivePortal;
	started.message = message;
	started.xmax = query->snapshot->xmax;
	started.listed = listed_in(query->snapshot);
}

static Numbers
numbers_of_query(QueryDesc *query)
{
	return started.query == query && started.lxid == present_lxid() ?
		started.numbers : numbers_of_xact();
}

/* What was noted before is of the same program. */
static inline void
note(QueryDesc *query, Snapshot snapshot, Numbers numbers)
{
	noted.program = ActivePortal == NULL || (is_noted() && noted.program);
	noted.message = GetCurrentStatementStartTimestamp();
	noted.lxid = present_lxid();
	noted.query = query;
	noted.snapshot = snapshot;
	noted.bound = NULL;
	noted.when.xmax = snapshot->xmax;
	noted.when.counted = false;
	noted.numbers = numbers;
}

static void
keep_bound(Kept *copy, const PgCacheBound *bound)
{
	uint32		n = bound->snap.xcnt;

	if (n > copy->room)
	{
		uint32		room = pg_nextpower2_32(Max(n, 64));
		TransactionId *xip = MemoryContextAlloc(TopMemoryContext,
												room * sizeof(TransactionId));

		if (copy->xip != NULL)
			pfree(copy->xip);
		copy->xip = xip;
		copy->room = room;
	}
	copy->bound = *bound;
	copy->bound.snap.xip = copy->xip;
	if (n > 0)
		memcpy(copy->xip, bound->snap.xip, n * sizeof(TransactionId));
}

/*
 * Keeps what was noted beyond the life of its snapshot.  False, and nothing noted,
 * for a snapshot of recovery that is used after it: what it says of prepared
 * transactions is not known.
 */
static bool
keep_noted(void)
{
	PgCacheBound bound = {
		.noted = noted.numbers.noted,
		.before = noted.numbers.before,
		.fence = PG_UINT64_MAX,
		.ddl_epoch = noted.numbers.epoch,
		.recovery = RecoveryInProgress()
	};

	if (noted.snapshot == NULL)
		return true;

	count_noted();

	/* Also if there is no memory. */
	noted.lxid = InvalidLocalTransactionId;
	if ((noted.snapshot->takenDuringRecovery && !bound.recovery) ||
		!pgcache_snap_from(noted.snapshot, &bound.snap))
		return false;
	keep_bound(&kept, &bound);
	noted.snapshot = NULL;
	noted.lxid = present_lxid();
	return true;
}

static void
note_kept(QueryDesc *query, Snapshot snapshot, Numbers numbers)
{
	note(query, snapshot, numbers);
	(void) keep_noted();
}

/* Keeps what was noted for the transactions that the statement may begin. */
static void
carry(void)
{
	if (!keep_noted())
		return;
	keep_bound(&carried.kept, &kept.bound);
	carried.kept.bound.snap.own = 0;
	carried.when = noted.when;
	carried.numbers = noted.numbers;
	carried.npast = 0;
	carried.nasof = 0;
	carried.valid = true;
}

/* Notes that again in a transaction that the statement began; false if not so. */
static bool
note_carried(void)
{
	if (!carried.valid || depth == 0 || is_noted())
		return false;
	keep_bound(&kept, &carried.kept.bound);
	noted.lxid = present_lxid();
	noted.query = NULL;
	noted.snapshot = NULL;
	noted.bound = NULL;
	noted.when = carried.when;
	noted.numbers = carried.numbers;
	noted.message = GetCurrentStatementStartTimestamp();
	noted.program = ActivePortal == NULL;
	return true;
}

/*
 * Notes a snapshot by which something is read now, if it is earlier than what is
 * noted.  The query is still that at depth 0, which may run on.
 */
static inline void
heed_snapshot(Snapshot snapshot)
{
	Numbers		numbers;

	if (snapshot == noted.snapshot || !is_usable(snapshot) ||
		likely(!is_before_noted(snapshot)))
		return;
	numbers = numbers_of_xact();
	numbers.epoch = Min(numbers.epoch, noted.numbers.epoch);
	note_kept(noted.query, snapshot, numbers);
}

const PgCacheBound *
pgcache_statement_bound(void)
{
	if (!is_noted() && !note_carried())
	{
		if (!ActiveSnapshotSet() || !is_usable(GetActiveSnapshot()))
			return NULL;
		note(NULL, GetActiveSnapshot(), numbers_of_xact());
	}
	else if (ActiveSnapshotSet())
		heed_snapshot(GetActiveSnapshot());
	if (noted.bound == NULL && keep_noted())
	{
		MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);

		noted.bound = pgcache_bound_copy(&kept.bound);
		MemoryContextSwitchTo(caller);
	}
	return noted.bound;
}

void
pgcache_statement_note_asof(PgCacheStamp stamp, uint64 asof)
{
	if (carried.valid)
	{
		int			i = carried.nasof++ % PGCACHE_PAST_XIDS;

		carried.kept.bound.own_asof[i] = asof;
		carried.kept.bound.own_stamp[i] = stamp;
	}
}

/* ---- the outermost statement begins and ends -------------------------------- */

static inline void
nested_query(QueryDesc *query)
{
	Snapshot	snapshot = query->snapshot;

	if (likely(is_noted()) || note_carried())
		heed_snapshot(snapshot);
	else if (is_usable(snapshot))
	{
		note_kept(NULL, snapshot, numbers_of_query(query));
		if (carried.wanted && is_noted())
			carry();
	}
}

static inline bool
is_named(Portal portal)
{
	return portal->name[0] != '\0';
}

/* Whether what begins at depth 0 belongs to the program that the note is of. */
static inline bool
continues_noted(void)
{
	if (!is_noted())
		return false;
	if (ActivePortal == NULL)
	{
		noted.program = true;
		return true;
	}
	return is_named(ActivePortal) &&
		(noted.program || noted.message == GetCurrentStatementStartTimestamp());
}

/* A statement of the client, or the first one of a program. */
static inline void
begin_anew(void)
{
	noted.lxid = InvalidLocalTransactionId;
	carried.wanted = carried.valid = false;
	pgcache_seen_begin_statement();
}

static inline void
begin_query(QueryDesc *query)
{
	/* A query may run more than once. */
	if (is_noted() && noted.query == query)
		return;
	if (continues_noted())
	{
		nested_query(query);
		return;
	}
	begin_anew();
	if (!is_usable(query->snapshot))
		return;
	note(query, query->snapshot, numbers_of_query(query));

	/*
	 * Of a program it stays for the next; deferred triggers may follow the
	 * other.
	 */
	if (ActivePortal == NULL || is_named(ActivePortal) || pgcache_changes_rows(query))
		(void) keep_noted();
}

/*
 * The snapshot of a utility statement may go away early, as does that of a CALL at
 * a COMMIT within.  A CALL by SPI may have none of its own: then that of its first
 * query counts.
 */
static void
begin_utility(PlannedStmt *pstmt)
{
	if (!continues_noted())
	{
		begin_anew();
		if (ActiveSnapshotSet() && is_usable(GetActiveSnapshot()))
			note_kept(NULL, GetActiveSnapshot(), numbers_now());
	}
	carried.wanted = IsA(pstmt->utilityStmt, CallStmt) ||
		IsA(pstmt->utilityStmt, DoStmt);
	if (carried.wanted && is_noted())
		carry();
}

/* ---- for the hooks ---------------------------------------------------------- */

void
pgcache_statement_start_query(QueryDesc *query)
{
	if (depth == 0 || !is_noted())
		note_start(query);
}

bool
pgcache_statement_enter_query(QueryDesc *query)
{
	if (depth > 0)
	{
		nested_query(query);
		return false;
	}
	begin_query(query);
	return true;
}

bool
pgcache_statement_enter_utility(PlannedStmt *pstmt)
{
	if (IsA(pstmt->utilityStmt, VariableSetStmt))
	{
		VariableSetStmt *set = (VariableSetStmt *) pstmt->utilityStmt;

		if (set->kind == VAR_SET_MULTI && strcmp(set->name, "TRANSACTION SNAPSHOT") == 0)
			imported = present_lxid();
	}
	if (depth > 0)
		return false;
	begin_utility(pstmt);
	return true;
}

void
pgcache_statement_run(void)
{
	depth = 1;
}

/* Called in error recovery as well.  A snapshot that was not kept goes away. */
void
pgcache_statement_leave(void)
{
	depth = 0;
	carried.wanted = carried.valid = false;
	if (noted.snapshot != NULL)
		noted.lxid = InvalidLocalTransactionId;
	last_end = pgcache_stamp_now();
}

void
pgcache_statement_plan(void)
{
	uint32		epoch;

	if (depth > 0 || planned_message == GetCurrentStatementStartTimestamp())
		return;
	epoch = pgcache_ddl_epoch();
	planned_message = GetCurrentStatementStartTimestamp();
	if (epoch != session_epoch)
	{
		AcceptInvalidationMessages();
		session_epoch = epoch;
	}
}

/* When a transaction has ended and released its locks. */
static void
on_release(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level || IsTransactionState())
		return;
	if (carried.valid && depth > 0 &&
		FullTransactionIdIsValid(GetTopFullTransactionIdIfAny()))
		carried.kept.bound.past[carried.npast++ % PGCACHE_PAST_XIDS] =
			U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	noted.lxid = InvalidLocalTransactionId;
	noted.bound = NULL;
	noted.query = NULL;
	noted.program = false;
	started.query = NULL;
	xact_number = last_end = pgcache_stamp_now();
	xact_epoch = session_epoch = pgcache_ddl_epoch();
}

void
pgcache_statement_init(void)
{
	RegisterResourceReleaseCallback(on_release, NULL);
}
