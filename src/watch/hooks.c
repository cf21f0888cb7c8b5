/*-------------------------------------------------------------------------
 *
 * hooks.c
 *	  Hooks of executor, utility statements and planner: they tell statement.c and
 *	  seen.c what is running.
 *
 * Locking: none.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "optimizer/planner.h"
#include "tcop/utility.h"

#include "base/compat.h"
#include "watch/watch_internal.h"

static ExecutorStart_hook_type prev_start = NULL;
static ExecutorRun_hook_type prev_run = NULL;
static ExecutorFinish_hook_type prev_finish = NULL;
static ProcessUtility_hook_type prev_utility = NULL;
static planner_hook_type prev_planner = NULL;

static void
on_executor_start(QueryDesc *query, int eflags)
{
	pgcache_statement_start_query(query);
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
	bool		outermost = pgcache_statement_enter_query(query);
	bool		changes = pgcache_changes_rows(query);
	volatile int outer = pgcache_changes_running;

	if (!outermost && !changes)
	{
		run(PGCACHE_RUN_ARGS);
		return;
	}
#ifdef PGCACHE_TEST
	if (outermost)
		pgcache_changes_note_query(query);
#endif
	pgcache_statement_run();
	if (changes)
	{
		pgcache_seen_command(query->estate->es_output_cid);
		pgcache_changes_running++;
	}
	PG_TRY();
	{
		run(PGCACHE_RUN_ARGS);
	}
	PG_FINALLY();
	{
		pgcache_changes_running = outer;
		if (outermost)
			pgcache_statement_leave();
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

/*
 * Triggers at the end of the statement run here.  So do changes in a WITH that
 * nobody has read.
 */
static void
finish_changes(QueryDesc *query)
{
	bool		outermost = pgcache_statement_enter_query(query);
	volatile int outer = pgcache_changes_running;

	pgcache_statement_run();
	pgcache_seen_command(query->estate->es_output_cid);
	if (query->plannedstmt->hasModifyingCTE)
		pgcache_changes_running++;
	PG_TRY();
	{
		finish(query);
	}
	PG_FINALLY();
	{
		pgcache_changes_running = outer;
		if (outermost)
			pgcache_statement_leave();
	}
	PG_END_TRY();
}

static void
on_executor_finish(QueryDesc *query)
{
	/* Of a query that only reads nothing is left to do. */
	if (pgcache_changes_rows(query))
		finish_changes(query);
	else
		finish(query);
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
	bool		outermost = pgcache_statement_enter_utility(pstmt);

	if (IsA(pstmt->utilityStmt, CopyStmt) && ((CopyStmt *) pstmt->utilityStmt)->is_from)
		pgcache_seen_command(GetCurrentCommandId(false));
	if (!outermost)
	{
		utility(pstmt, text, read_only, kind, params, env, dest, qc);
		return;
	}
	pgcache_statement_run();
	PG_TRY();
	{
		utility(pstmt, text, read_only, kind, params, env, dest, qc);
	}
	PG_FINALLY();
	{
		pgcache_statement_leave();
	}
	PG_END_TRY();
}

static PlannedStmt *
on_plan(Query *parse, const char *text, int cursor_options, ParamListInfo params)
{
	pgcache_statement_plan();
	if (prev_planner)
		return prev_planner(parse, text, cursor_options, params);
	return standard_planner(parse, text, cursor_options, params);
}

void
pgcache_hooks_init(void)
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
}
