/*-------------------------------------------------------------------------
 *
 * target.c
 *	  What a watch may invalidate, and all that it can produce.
 *
 * Whoever changes the table need have no rights on the cache.  To make a watch the
 * table's owner needs the privilege to write; if he loses it, changes count all the
 * same, with a warning: dropping too much does less harm than serving what is stale.
 *
 * Locking: see space.c; the slot found is held until the transaction ends.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "space/space.h"
#include "trigger/trigger_internal.h"
#include "txn/txn.h"

PgCacheTargetResult
pgcache_watch_target(const PgCacheWatch *watch, Oid owner, PgCacheTarget *target)
{
	PgCacheIncarnation since = pgcache_space_last_incarnation();
	bool		no_slot;
	PgCacheSpace *space = pgcache_space_find(watch->space, strlen(watch->space),
											 &no_slot);

	/* Without a slot it has no entries, but puts may be under way. */
	if (no_slot)
		pgcache_txn_invalidate_unslotted(since, false);
	if (space == NULL)
		return PGCACHE_TARGET_MISSING;
	target->slot = space->slot;
	target->incarnation = space->incarnation;
	return (pgcache_space_privileges_of(space, owner) & PGCACHE_WRITE) != 0 ?
		PGCACHE_TARGET_FOUND : PGCACHE_TARGET_DENIED;
}

static void
invalidate_matching(const PgCacheTarget *target, PgCachePredicateKind kind,
					const char *template)
{
	char	   *pattern = palloc(2 * strlen(template) + 1);
	int			len = pgcache_template_pattern(template, pattern);

	pgcache_txn_invalidate_matching(target->slot, target->incarnation, kind,
									pattern, len, PGCACHE_INVALIDATED_TABLE, false);
	pfree(pattern);
}

static void
invalidate_keys(const PgCacheWatch *watch, const PgCacheTarget *target)
{
	if (pgcache_template_columns(watch->key) == 0)
	{
		char	   *text = palloc(strlen(watch->key) + 1);
		int			len = pgcache_template_text(watch->key, text);
		PgCacheKey	key;

		if (len > PGCACHE_MAX_KEY_LEN)
			return;
		pgcache_store_key(pgcache_store, &key, target->slot, text, len);
		key.incarnation = target->incarnation;
		pgcache_txn_delete(&key, target->incarnation, PGCACHE_INVALIDATED_TABLE, false);
	}
	else
		invalidate_matching(target, PGCACHE_MATCH_KEY, watch->key);
}

static void
invalidate_tags(const PgCacheWatch *watch, const PgCacheTarget *target)
{
	char		constant[PGCACHE_MAX_TAGS_LEN];
	char	   *end = constant;
	int			n = 0;

	for (int i = 0; i < watch->ntags; i++)
	{
		const char *template = watch->tags[i];
		char	   *text;
		int			len;

		if (pgcache_template_columns(template) > 0)
		{
			invalidate_matching(target, PGCACHE_MATCH_TAG, template);
			continue;
		}
		text = palloc(strlen(template) + 1);

		len = pgcache_template_text(template, text);
		if (len == 0 || len > PGCACHE_MAX_TAG_LEN)
			continue;
		*end = (char) len;
		memcpy(end + 1, text, len);
		end += 1 + len;
		n++;
	}
	if (n > 0)
		pgcache_txn_invalidate_tags(target->slot, target->incarnation, constant, n,
									PGCACHE_INVALIDATED_TABLE, false);
}

void
pgcache_watch_invalidate_all(const PgCacheWatch *watch, const PgCacheTarget *target)
{
	if (watch->key != NULL)
		invalidate_keys(watch, target);
	invalidate_tags(watch, target);
}
