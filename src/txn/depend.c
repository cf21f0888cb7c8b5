/*-------------------------------------------------------------------------
 *
 * depend.c
 *	  Further tables for an entry that exists.
 *
 * An own put that is pending gets them as if it had been given them.  An entry of
 * the store is put again, by the own transaction, with all its tables.  For what
 * it depended on before it is good up to its publish number; so everything from
 * there on makes it stale.  The new tables were not tested then, so all that their
 * stamps say must have been seen for certain by the snapshot that the data were
 * read by.  Of that at the most the asof is known, which says enough if no
 * transaction was running; of an entry with an xid only that it saw itself, of one
 * put in a function that ran on, or with a lease, nothing.
 *
 * What an entry doesn't say is up to which DDL its reader had processed messages.
 * So data read within the moment in which ATTACH PARTITION and the like are visible
 * and not yet announced, put without the table, can be given the table afterwards.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "txn/txn_internal.h"
#include "watch/watch.h"

/* What is known of the snapshot that an entry's data were read by. */
static void
known_bound(const PgCacheMeta *meta, PgCacheBound *bound)
{
	uint64		sure = 0;

	memset(bound, 0, sizeof(*bound));
	if (meta->flags & PGCACHE_ENTRY_EXACT)
	{
		if ((meta->writer & PGCACHE_ASOF_MASK) == PGCACHE_ASOF_MASK)
			sure = meta->writer >> PGCACHE_ASOF_BITS;
	}
	else if ((meta->flags & (PGCACHE_ENTRY_WRITER | PGCACHE_ENTRY_ASOF)) ==
			 PGCACHE_ENTRY_WRITER)
		bound->snap.own = meta->writer;
	bound->snap.xmin = sure;
	bound->snap.xmax = sure;
	bound->noted = bound->before = bound->fence = meta->seq;
	bound->ddl_epoch = pgcache_statement_bound()->ddl_epoch;
}

static bool
may_have_changed(const PgCacheMeta *meta, const Oid *tables, int ntables)
{
	PgCacheBound bound;
	PgCacheRing ring;

	known_bound(meta, &bound);
	pgcache_stamp_read(pgcache_stamp_of_database(MyDatabaseId), &ring);
	if (pgcache_rule_stale(&ring, &bound) || pgcache_rule_ddl(&ring, &bound))
		return true;
	for (int i = 0; i < ntables; i++)
	{
		pgcache_stamp_read(pgcache_stamp_of_relation(MyDatabaseId, tables[i]), &ring);
		if (pgcache_rule_stale(&ring, &bound) || pgcache_rule_ddl(&ring, &bound))
			return true;
	}
	return pgcache_watch_wrote(tables, ntables);
}

/* The bound of an entry that is put again: good until its publish number. */
static const PgCacheBound *
bound_again(const PgCacheMeta *meta)
{
	PgCacheBound *bound = MemoryContextAllocZero(TopTransactionContext,
												 sizeof(PgCacheBound));

	*bound = *pgcache_statement_bound();
	bound->snap.xip = NULL;
	bound->snap.xcnt = 0;
	bound->snap.xmin = bound->snap.xmax = UINT64CONST(1) << 61;
	bound->fence = meta->seq;
	bound->noted = bound->before = meta->seq;
	return bound;
}

/* Both lists without duplicates, in all; 54000 if there are too many. */
static int
merge_tables(Oid *all, const Oid *old, int nold, const Oid *tables, int ntables)
{
	int			n = nold;

	memcpy(all, old, nold * sizeof(Oid));
	for (int i = 0; i < ntables; i++)
	{
		bool		found = false;

		for (int j = 0; j < n && !found; j++)
			found = all[j] == tables[i];
		if (found)
			continue;
		if (n == PGCACHE_MAX_TABLES)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("an entry cannot depend on more than %d tables",
							PGCACHE_MAX_TABLES)));
		all[n++] = tables[i];
	}
	return n;
}

/* Copies an entry into an item; false where it changed meanwhile. */
static bool
copy_entry(PgCacheRef *ref, PgCacheItem *item)
{
	const PgCacheMeta *meta = &ref->meta;
	char	   *value = MemoryContextAllocHuge(CurrentMemoryContext, Max(meta->len, 1));
	char	   *tags = palloc(Max(meta->tags_len, 1));

	memset(item, 0, sizeof(*item));
	if (!pgcache_store_copy(pgcache_store, ref, value) ||
		(meta->tags_len > 0 &&
		 !pgcache_store_copy_tags(pgcache_store, ref, tags)))
		return false;
	item->key = *ref->key;
	item->flags = meta->flags & ~(PGCACHE_ENTRY_WRITER | PGCACHE_ENTRY_ASOF |
								  PGCACHE_ENTRY_HINTS | PGCACHE_ENTRY_DEPS);
	item->writer = meta->writer;
	item->ntags = meta->ntags;
	item->tags_len = meta->tags_len;
	item->tags = tags;
	item->value = value;
	item->len = meta->len;
	item->raw_len = meta->raw_len;
	item->typid = meta->typid;
	item->fingerprint = meta->fingerprint;
	item->priority = meta->priority;
	item->created = meta->created;
	item->expires = meta->expires;
	item->slide = meta->slide;
	item->slide_cap = meta->slide_cap;
	return true;
}

bool
pgcache_txn_depend(const PgCacheKey *key, PgCacheIncarnation incarnation,
				   const Oid *tables, int ntables)
{
	PgCacheOp  *put = pgcache_log_find(key);
	Oid			all[PGCACHE_MAX_TABLES];
	PgCacheItem item;
	PgCacheRef	ref;
	int			n;

	if (put != NULL && put->kind == OP_DELETE)
		return false;
	if (put != NULL && put->kind == OP_PUT)
	{
		n = merge_tables(all, pgcache_item_tables(&put->item), put->item.ntables,
						 tables, ntables);
		return pgcache_log_depend(put, all, n);
	}

	do
	{
		CHECK_FOR_INTERRUPTS();
		if (pgcache_statement_bound() == NULL ||
			!pgcache_store_find(pgcache_store, key, &ref) ||
			!pgcache_txn_sees(&ref))
			return false;
		n = merge_tables(all, (const Oid *) (ref.deps + ref.meta.nstamps),
						 ref.meta.ntables, tables, ntables);
		if (!pgcache_baseline_allows(&pgcache_statement_bound()->snap) ||
			may_have_changed(&ref.meta, tables, ntables))
		{
			pgcache_txn_delete(key, incarnation, PGCACHE_INVALIDATED_TABLE, false);
			return false;
		}
	} while (!copy_entry(&ref, &item));
	pgcache_log_put_again(&item, incarnation, bound_again(&ref.meta), all, n);
	return true;
}
