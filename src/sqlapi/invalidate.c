/*-------------------------------------------------------------------------
 *
 * invalidate.c
 *	  cache_invalidate_tags, cache_invalidate_pattern, cache_depend, cache_lease.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "shmem/shmem.h"
#include "sqlapi/lookup.h"

PG_FUNCTION_INFO_V1(pgcache_sql_lease);
PG_FUNCTION_INFO_V1(pgcache_sql_invalidate_tags);
PG_FUNCTION_INFO_V1(pgcache_sql_invalidate_pattern);
PG_FUNCTION_INFO_V1(pgcache_sql_depend);

/*
 * A NULL key is an error as for the put that is to follow: a NULL lease would
 * count as none there.
 */
Datum
pgcache_sql_lease(PG_FUNCTION_ARGS)
{
	PgCacheLookup lookup;
	text	   *key;

	pgcache_shmem_require();
	key = pgcache_args_text(fcinfo, 0, "key");
	pgcache_lookup_begin(&lookup, key,
						 pgcache_args_text(fcinfo, 1, "namespace"),
						 PGCACHE_WRITE);
	PG_RETURN_TEXT_P(cstring_to_text(pgcache_lease_make(&lookup.key)));
}

/* ---- tags ------------------------------------------------------------------ */

/* Tags to be invalidated, as the store has them. */
typedef struct TagSet
{
	char	   *list;
	int			len;
	int			ntags;
	bool		all_of;			/* entries that have all of them */
} TagSet;

/* Drops duplicates; stops when there are more tags than any entry has. */
static void
make_unique(TagSet *set)
{
	char	   *end = set->list;
	char	   *from = set->list;
	int			unique = 0;

	for (int i = 0; i < set->ntags && unique <= PGCACHE_MAX_TAGS; i++)
	{
		int			size = 1 + (uint8) *from;
		char	   *p = set->list;

		while (p < end && memcmp(p, from, size) != 0)
			p += 1 + (uint8) *p;
		if (p == end)
		{
			memmove(end, from, size);
			end += size;
			unique++;
		}
		from += size;
	}
	set->ntags = unique;
	set->len = end - set->list;
}

static void
invalidate_tags(const TagSet *set, uint16 slot, PgCacheIncarnation incarnation,
				int transactional)
{
	bool		now = pgcache_args_now(transactional);

	if (set->ntags == 0 || (set->all_of && set->ntags > PGCACHE_MAX_TAGS))
		return;
	if (set->all_of && set->ntags > 1)
		pgcache_txn_invalidate_matching(slot, incarnation,
										PGCACHE_MATCH_ALL_TAGS,
										set->list, set->len,
										PGCACHE_INVALIDATED_TAG, now);
	else
		pgcache_txn_invalidate_tags(slot, incarnation, set->list, set->ntags,
									PGCACHE_INVALIDATED_TAG, now);
}

Datum
pgcache_sql_invalidate_tags(PG_FUNCTION_ARGS)
{
	TagSet		set;

	pgcache_shmem_require();
	if (PG_ARGISNULL(0))
		pgcache_args_refuse_null("array of tags");
	if (PG_ARGISNULL(2))
		pgcache_args_refuse_null("all_of");
	set.all_of = PG_GETARG_BOOL(2);
	set.len = pgcache_args_tag_list(fcinfo, 0, &set.list, &set.ntags);
	if (set.all_of)
		make_unique(&set);

	if (PG_ARGISNULL(1))
	{
		int			n;
		PgCacheIncarnation since = pgcache_space_last_incarnation();
		PgCacheSpaceUse *spaces = pgcache_space_list(&n);
		bool		any = false;

		for (int i = 0; i < n; i++)
		{
			if (spaces[i].writable && spaces[i].incarnation != 0)
				invalidate_tags(&set, spaces[i].slot, spaces[i].incarnation,
								spaces[i].transactional);
			any = any || spaces[i].writable;
		}
		/* Also those that are created meanwhile. */
		if (any && set.ntags > 0)
			pgcache_txn_invalidate_unslotted(since, pgcache_args_now(-1));
		pfree(spaces);
	}
	else
	{
		PgCacheSpace *space = pgcache_args_space(PG_GETARG_TEXT_PP(1),
												 PGCACHE_WRITE);

		invalidate_tags(&set, space->slot, space->incarnation,
						space->transactional);
	}
	PG_RETURN_VOID();
}

/* ---- patterns -------------------------------------------------------------- */

/*
 * LIKE itself notices only when it comes there.  All encodings of databases
 * write an ASCII character as such a byte only.
 */
static void
check_pattern(const char *pattern, int len)
{
	int			i = 0;

	while (i < len)
		i += pattern[i] == '\\' ? 2 : 1;
	if (i > len)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_ESCAPE_SEQUENCE),
				 errmsg("LIKE pattern must not end with escape character")));
}

/* A pattern, and how many of the entries that the caller sees match it. */
typedef struct PatternCount
{
	const char *pattern;
	int			len;
	uint16		slot;
	PgCacheIncarnation incarnation;
	int64		n;
} PatternCount;

static bool
matches(const PatternCount *count, const char *key, int key_len)
{
	return pgcache_predicate_matches(PGCACHE_MATCH_KEY, count->pattern, count->len,
									 key, key_len, NULL, 0);
}

/*
 * Counts entries of a partition.  Each that matches is looked up as cache_get
 * would do; what the own transaction put in its place is counted by count_own.
 */
static void
count_partition(PatternCount *count, int partition)
{
	Size		used;
	char	   *buf = pgcache_store_scan_partition(partition, &used);

	for (char *p = buf; p < buf + used; p += ((PgCacheScanned *) p)->size)
	{
		const PgCacheMeta *meta = &((PgCacheScanned *) p)->meta;
		const char *name = p + sizeof(PgCacheScanned);
		PgCacheKey	key;
		PgCacheFound found;

		CHECK_FOR_INTERRUPTS();
		if (meta->space != count->slot || !matches(count, name, meta->key_len))
			continue;
		pgcache_store_key(pgcache_store, &key, meta->space, name, meta->key_len);
		key.incarnation = count->incarnation;
		if (pgcache_lookup_find(&key, &found) && found.own == NULL)
			count->n++;
	}
	pfree(buf);
}

/* Calls itself what pgcache_lookup_find would say of an own put. */
static void
count_own(void *arg, const PgCacheItem *item)
{
	PatternCount *count = arg;
	PgCacheFound found;

	if (item->key.space == count->slot &&
		item->key.incarnation == count->incarnation &&
		matches(count, item->key.data, item->key.len) &&
		pgcache_lookup_find(&item->key, &found))
		count->n++;
}

Datum
pgcache_sql_invalidate_pattern(PG_FUNCTION_ARGS)
{
	PatternCount count;
	PgCacheSpace *space;
	text	   *pattern;
	bool		now;
	int			npartitions;

	pgcache_shmem_require();
	pattern = pgcache_args_text(fcinfo, 0, "pattern");
	count.pattern = VARDATA_ANY(pattern);
	count.len = VARSIZE_ANY_EXHDR(pattern);
	count.n = 0;
	check_pattern(count.pattern, count.len);
	space = pgcache_args_space(pgcache_args_text(fcinfo, 1, "namespace"),
							   PGCACHE_WRITE);
	count.slot = space->slot;
	count.incarnation = space->incarnation;
	now = pgcache_args_now(space->transactional);

	npartitions = pgcache_store_part_count();
	for (int i = 0; i < npartitions; i++)
		count_partition(&count, i);
	if (pgcache_txn_pending)
		pgcache_txn_own_puts(count_own, &count);
	pgcache_txn_invalidate_matching(count.slot, count.incarnation,
									PGCACHE_MATCH_KEY,
									count.pattern, count.len,
									PGCACHE_INVALIDATED_PATTERN, now);
	PG_RETURN_INT64(count.n);
}

/* ---- tables ---------------------------------------------------------------- */

Datum
pgcache_sql_depend(PG_FUNCTION_ARGS)
{
	PgCacheLookup lookup;
	PgCacheFound found;
	Oid			tables[PGCACHE_MAX_TABLES];
	int			n;
	text	   *key;

	pgcache_shmem_require();
	key = pgcache_args_text(fcinfo, 0, "key");
	if (PG_ARGISNULL(1))
		pgcache_args_refuse_null("array of tables");
	n = pgcache_args_tables(fcinfo, 1, tables);
	pgcache_lookup_begin(&lookup, key,
						 pgcache_args_text(fcinfo, 2, "namespace"),
						 PGCACHE_WRITE);
	if (n == 0)
		PG_RETURN_BOOL(pgcache_lookup_find(&lookup.key, &found));
	PG_RETURN_BOOL(pgcache_txn_depend(&lookup.key, lookup.incarnation, tables, n));
}
