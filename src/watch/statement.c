/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  By what snapshot the session read what it has now.
 *
 * A function that puts into the cache has its data from the statements it ran
 * before, or from the statement that calls it.  All of them read as of the
 * snapshot of the outermost statement or later, so that counts.  Hooks of the
 * executor and of utility statements note it.
 *
 * Which statement is the outermost:
 *
 * - At depth 0 each run of a portal's query, and each utility statement with an
 *	 active snapshot (CALL, DO, COPY, CREATE TABLE AS, EXPLAIN ANALYZE).
 * - Without a portal (deferred triggers at commit, apply and background workers,
 *	 functions called by the protocol) queries at depth 0 belong to one program, so
 *	 what was noted first in the transaction stays.
 * - A CALL or DO may end transactions on its way, and put what it read before.  So
 *	 its snapshot goes on counting, and the last transactions that it has ended are
 *	 as its own.
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
 * query runs, and the numbers.  It is copied, to live until the transaction's end,
 * when somebody asks, and at once where the snapshot may go away earlier.
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
#include "executor/executor.h"
#include "miscadmin.h"
#include "optimizer/planner.h"
#include "replication/walsender.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/pquery.h"
#include "tcop/utility.h"
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

/* What tells an earlier snapshot from a later one, and equal ones. */
typedef struct When
{
	TransactionId xmax;
	uint32		running;
} When;

/* The query that was last started at depth 0, or where nothing was noted. */
static struct
{
	QueryDesc  *query;
	LocalTransactionId lxid;
	Portal		portal;
	TimestampTz message;		/* time of the client's message */
	When		when;
	Numbers		numbers;
}			started;

/* The outermost statement. */
static struct
{
	LocalTransactionId lxid;	/* transaction that it is of; 0: none noted */
	QueryDesc  *query;			/* of which it is, or NULL */
	Snapshot	snapshot;		/* NULL once it is copied */
	PgCacheBound *bound;		/* the copy */
	When		when;
	Numbers		numbers;
}			noted;

/*
 * A copy of that for a CALL or DO that may end transactions, for those that
 * follow; in memory that is never freed.
 */
static struct
{
	bool		valid;
	PgCacheBound bound;
	TransactionId *xip;			/* for as many as a snapshot may have */
	When		when;
	Numbers		numbers;
	int			npast;			/* transactions ended so far */
}			carried;

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

static ExecutorStart_hook_type prev_start = NULL;
static ExecutorRun_hook_type prev_run = NULL;
static ExecutorFinish_hook_type prev_finish = NULL;
static ProcessUtility_hook_type prev_utility = NULL;
static planner_hook_type prev_planner = NULL;

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

static inline When
when_taken(Snapshot snapshot)
{
	When		when = {snapshot->xmax, pgcache_snap_running(snapshot)};

	return when;
}

/* As PgCacheSnap.asof, for snapshots of one transaction. */
static inline bool
is_earlier(When a, When b)
{
	return a.xmax == b.xmax ? a.running > b.running :
		TransactionIdPrecedes(a.xmax, b.xmax);
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
	When		when;
	TimestampTz message = GetCurrentStatementStartTimestamp();
	LocalTransactionId lxid = present_lxid();

	if (noted.query == query)
		noted.query = NULL;
	started.query = NULL;
	if (!is_usable(query->snapshot))
		return;
	when = when_taken(query->snapshot);
	if (started.lxid != lxid || started.portal != ActivePortal ||
		started.message != message ||
		started.when.xmax != when.xmax || started.when.running != when.running)
		started.numbers = numbers_now();
	started.query = query;
	started.lxid = lxid;
	started.portal = ActivePortal;
	started.message = message;
	started.when = when;
}

static Numbers
numbers_of_query(QueryDesc *query)
{
	return started.query == query && started.lxid == present_lxid() ?
		started.numbers : numbers_of_xact();
}

static inline void
note(QueryDesc *query, Snapshot snapshot, Numbers numbers)
{
	noted.lxid = present_lxid();
	noted.query = query;
	noted.snapshot = snapshot;
	noted.bound = NULL;
	noted.when = when_taken(snapshot);
	noted.numbers = numbers;
}

/*
 * Copies what was noted.  NULL, and nothing noted, for a snapshot of recovery
 * that is used after it: what it says of prepared transactions is not known.
 */
static const PgCacheBound *
copy_noted(void)
{
	PgCacheBound bound = {
		.noted = noted.numbers.noted,
		.before = noted.numbers.before,
		.fence = PG_UINT64_MAX,
		.ddl_epoch = noted.numbers.epoch
	};
	MemoryContext caller;

	if ((noted.snapshot->takenDuringRecovery && !RecoveryInProgress()) ||
		!pgcache_snap_from(noted.snapshot, &bound.snap))
	{
		noted.lxid = InvalidLocalTransactionId;
		return NULL;
	}
	caller = MemoryContextSwitchTo(TopTransactionContext);
	noted.bound = pgcache_bound_copy(&bound);
	MemoryContextSwitchTo(caller);
	noted.snapshot = NULL;
	return noted.bound;
}

static void
note_copy(Snapshot snapshot, Numbers numbers)
{
	note(NULL, snapshot, numbers);
	(void) copy_noted();
}

/* Keeps what was noted for the transactions that the statement may begin. */
static void
carry(void)
{
	const PgCacheBound *bound = noted.bound;

	if (bound == NULL || bound->snap.xcnt > GetMaxSnapshotSubxidCount())
		return;
	if (carried.xip == NULL)
		carried.xip = MemoryContextAlloc(TopMemoryContext,
										 GetMaxSnapshotSubxidCount() *
										 sizeof(TransactionId));
	memcpy(carried.xip, bound->snap.xip, bound->snap.xcnt * sizeof(TransactionId));
	carried.bound = *bound;
	carried.bound.snap.xip = carried.xip;
	carried.bound.snap.own = 0;
	carried.when = noted.when;
	carried.numbers = noted.numbers;
	carried.npast = 0;
	carried.valid = true;
}

/* Notes that again in a transaction that the statement began; false if not so. */
static bool
note_carried(void)
{
	MemoryContext caller;

	if (!carried.valid || depth == 0 || is_noted())
		return false;
	caller = MemoryContextSwitchTo(TopTransactionContext);
	noted.bound = pgcache_bound_copy(&carried.bound);
	MemoryContextSwitchTo(caller);
	noted.lxid = present_lxid();
	noted.query = NULL;
	noted.snapshot = NULL;
	noted.when = carried.when;
	noted.numbers = carried.numbers;
	return true;
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
	return noted.bound != NULL ? noted.bound : copy_noted();
}

void
pgcache_statement_note_asof(uint64 asof)
{
	if (carried.valid)
		carried.bound.own_asof = Max(carried.bound.own_asof, asof);
}

/* ---- the outermost statement begins and ends -------------------------------- */

static inline void
begin_query(QueryDesc *query)
{
	/* Without a portal the first stays; and a query runs more than once. */
	if (is_noted() && (ActivePortal == NULL || noted.query == query))
		return;
	noted.lxid = InvalidLocalTransactionId;
	if (!is_usable(query->snapshot))
		return;
	note(query, query->snapshot, numbers_of_query(query));
	if (ActivePortal == NULL)
		(void) copy_noted();
}

/*
 * The snapshot of a utility statement is copied, since it may go away early, as
 * does that of a CALL at a COMMIT within.
 */
static void
begin_utility(PlannedStmt *pstmt, ProcessUtilityContext kind)
{
	if (is_noted() && ActivePortal == NULL)
		return;
	noted.lxid = InvalidLocalTransactionId;
	if (ActiveSnapshotSet() && is_usable(GetActiveSnapshot()))
	{
		note_copy(GetActiveSnapshot(), numbers_now());
		if (kind == PROCESS_UTILITY_TOPLEVEL && is_noted() &&
			(IsA(pstmt->utilityStmt, CallStmt) || IsA(pstmt->utilityStmt, DoStmt)))
			carry();
	}
}

/* Called in error recovery as well.  A snapshot that was not copied goes away. */
static inline void
end_statement(void)
{
	depth = 0;
	carried.valid = false;
	if (noted.bound == NULL)
		noted.lxid = InvalidLocalTransactionId;
	last_end = pgcache_stamp_now();
}

static inline void
nested_query(QueryDesc *query)
{
	Snapshot	snapshot = query->snapshot;
	Numbers		numbers;

	if (likely(is_noted()) || note_carried())
	{
		if (snapshot == noted.snapshot || !is_usable(snapshot) ||
			likely(!is_earlier(when_taken(snapshot), noted.when)))
			return;
		numbers = numbers_of_xact();
		numbers.epoch = Min(numbers.epoch, noted.numbers.epoch);
		note_copy(snapshot, numbers);
	}
	else if (is_usable(snapshot))
		note_copy(snapshot, numbers_of_query(query));
}

/* ---- hooks ----------------------------------------------------------------- */

static void
on_executor_start(QueryDesc *query, int eflags)
{
	if (depth == 0 || !is_noted())
		note_start(query);
	if (prev_start)
		prev_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
}

static void
run(PGCACHE_RUN_PARAMS)
{
	if (prev_run)
		prev_run(PGCACHE_RUN_ARGS);
	else
		standard_ExecutorRun(PGCACHE_RUN_ARGS);
}

static void
on_executor_run(PGCACHE_RUN_PARAMS)
{
	if (depth > 0)
	{
		nested_query(query);
		run(PGCACHE_RUN_ARGS);
		return;
	}
#ifdef PGCACHE_TEST
	pgcache_changes_note_query(query);
#endif
	begin_query(query);
	depth = 1;
	PG_TRY();
	{
		run(PGCACHE_RUN_ARGS);
	}
	PG_FINALLY();
	{
		end_statement();
	}
	PG_END_TRY();
}

static void
finish(QueryDesc *query)
{
	if (prev_finish)
		prev_finish(query);
	else
		standard_ExecutorFinish(query);
}

/* Triggers at the end of the statement run here. */
static void
on_executor_finish(QueryDesc *query)
{
	if (depth > 0)
	{
		nested_query(query);
		finish(query);
		return;
	}
	begin_query(query);
	depth = 1;
	PG_TRY();
	{
		finish(query);
	}
	PG_FINALLY();
	{
		end_statement();
	}
	PG_END_TRY();
}

static void
utility(PlannedStmt *pstmt, const char *text, bool read_only,
		ProcessUtilityContext kind, ParamListInfo params,
		QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	if (prev_utility)
		prev_utility(pstmt, text, read_only, kind, params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, text, read_only, kind, params, env, dest, qc);
}

static void
on_utility(PlannedStmt *pstmt, const char *text, bool read_only,
		   ProcessUtilityContext kind, ParamListInfo params,
		   QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	if (IsA(pstmt->utilityStmt, VariableSetStmt))
	{
		VariableSetStmt *set = (VariableSetStmt *) pstmt->utilityStmt;

		if (set->kind == VAR_SET_MULTI && strcmp(set->name, "TRANSACTION SNAPSHOT") == 0)
			imported = present_lxid();
	}
	if (depth > 0)
	{
		utility(pstmt, text, read_only, kind, params, env, dest, qc);
		return;
	}
	begin_utility(pstmt, kind);
	depth = 1;
	PG_TRY();
	{
		utility(pstmt, text, read_only, kind, params, env, dest, qc);
	}
	PG_FINALLY();
	{
		end_statement();
	}
	PG_END_TRY();
}

static PlannedStmt *
on_plan(Query *parse, const char *text, int cursor_options, ParamListInfo params)
{
	if (depth == 0 && planned_message != GetCurrentStatementStartTimestamp())
	{
		uint32		epoch = pgcache_ddl_epoch();

		planned_message = GetCurrentStatementStartTimestamp();
		if (epoch != session_epoch)
		{
			AcceptInvalidationMessages();
			session_epoch = epoch;
		}
	}
	if (prev_planner)
		return prev_planner(parse, text, cursor_options, params);
	return standard_planner(parse, text, cursor_options, params);
}

/* When a transaction has ended and released its locks. */
static void
on_release(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level || IsTransactionState())
		return;
	if (carried.valid && depth > 0 &&
		FullTransactionIdIsValid(GetTopFullTransactionIdIfAny()))
		carried.bound.past[carried.npast++ % PGCACHE_PAST_XIDS] =
			U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	noted.lxid = InvalidLocalTransactionId;
	noted.bound = NULL;
	noted.query = NULL;
	started.query = NULL;
	xact_number = last_end = pgcache_stamp_now();
	xact_epoch = session_epoch = pgcache_ddl_epoch();
}

void
pgcache_statement_init(void)
{
	prev_start = ExecutorStart_hook;
	ExecutorStart_hook = on_executor_start;
	prev_run = ExecutorRun_hook;
	ExecutorRun_hook = on_executor_run;
	prev_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = on_executor_finish;
	prev_utility = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
	prev_planner = planner_hook;
	planner_hook = on_plan;
	RegisterResourceReleaseCallback(on_release, NULL);
}
