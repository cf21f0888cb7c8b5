/*-------------------------------------------------------------------------
 *
 * predicate.c
 *	  Invalidations of all that matches, for the puts that are under way.
 *
 * A ring of the last predicates in shared memory.  The rules for one are those
 * for a publish in a stamp (rules.c); what fell out is summed up in a ring of
 * stamps that has nothing but that.
 *
 * Locking: one LWLock, PgCachePredicate, exclusive to publish, shared to copy
 * those that a put has to be tested against; matching, which may raise errors,
 * comes after it is released.  It may be taken under no other lock of ours, and
 * none is taken under it.  The count and the two highest numbers are read
 * without it: most puts have seen all predicates and need no more.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "shmem/shmem.h"
#include "space/store_part.h"
#include "stamp/predicate.h"
#include "stamp/stamp.h"

#define MAX_PREDICATES 64

typedef struct PgCacheSharedPredicates
{
	/* The lock is held to change these; anybody may read them. */
	pg_atomic_uint64 count;		/* predicates ever published */
	pg_atomic_uint64 top_number;	/* the highest of all publish numbers, */
	pg_atomic_uint64 top_writer;	/* and of all writers */

	/* Protected by the lock. */
	PgCacheRing evicted;		/* at[] is not used */
	PgCachePredicate at[MAX_PREDICATES];	/* number n at n % MAX_PREDICATES */
} PgCacheSharedPredicates;

static PgCacheSharedPredicates *shared = NULL;
static LWLock *lock = NULL;

uint64
pgcache_predicate_count(void)
{
	return pg_atomic_read_u64(&shared->count);
}

/* What is known of the writer of the one that will be the next to fall out. */
static void
find_finished(PgCacheFinished *finished)
{
	PgCachePublish oldest;

	finished->below = pgcache_finished_below();
	finished->also = 0;
	LWLockAcquire(lock, LW_SHARED);
	oldest = shared->at[pg_atomic_read_u64(&shared->count) % MAX_PREDICATES].publish;
	LWLockRelease(lock);
	if (oldest.number != 0 && !pgcache_has_finished(finished, &oldest) &&
		pgcache_xid_finished(oldest.writer))
		finished->also = oldest.writer;
}

/* The lock must be held. */
static void
add(PgCachePredicate *predicate, PgCacheFinished *finished)
{
	uint64		count = pg_atomic_read_u64(&shared->count);
	PgCachePredicate *place = &shared->at[count % MAX_PREDICATES];
	uint64		top;

	predicate->publish.number = pgcache_store_publish(pgcache_store);
	finished->latest = pgcache_latest_completed();
	if (predicate->publish.kind == PGCACHE_PUBLISH_IMMEDIATE)
	{
		predicate->publish.writer = finished->latest;
		predicate->publish.backend = PGCACHE_MY_BACKEND + 1;
	}

	if (count >= MAX_PREDICATES)
		pgcache_ring_evict(&shared->evicted, &place->publish, finished);
	*place = *predicate;

	top = pg_atomic_read_u64(&shared->top_writer);
	pg_atomic_write_u64(&shared->top_writer, Max(top, predicate->publish.writer));
	pg_atomic_write_u64(&shared->top_number, predicate->publish.number);

	/* A full barrier: who finds the old count has not begun to look. */
	pg_atomic_fetch_add_u64(&shared->count, 1);
}

void
pgcache_predicate_publish(PgCachePredicateKind kind, uint16 space,
						  const char *text, int len,
						  uint64 writer, int publish_kind)
{
	PgCachePredicate predicate = {
		.publish = {.writer = writer,.kind = publish_kind},
		.kind = len > PGCACHE_MAX_PREDICATE ? PGCACHE_MATCH_SPACE : kind,
		.space = space
	};
	PgCacheFinished finished;

	if (predicate.kind != PGCACHE_MATCH_SPACE)
	{
		predicate.len = len;
		memcpy(predicate.what, text, len);
	}
	find_finished(&finished);
	LWLockAcquire(lock, LW_EXCLUSIVE);
	add(&predicate, &finished);
	LWLockRelease(lock);
}

/* ---- matching ---------------------------------------------------------------- */

/*
 * LIKE under the C collation.  A pattern that LIKE would refuse was published
 * by somebody else, of another database maybe, which had the namespace's slot
 * before; it matches everything.
 */
static bool
is_like(const char *data, int data_len, const char *pattern, int len)
{
	int			escapes = 0;

	while (escapes < len && pattern[len - 1 - escapes] == '\\')
		escapes++;
	if (escapes % 2 != 0 ||
		!pg_verify_mbstr(GetDatabaseEncoding(), pattern, len, true))
		return true;
	return DatumGetBool(DirectFunctionCall2Coll(textlike, C_COLLATION_OID,
												PointerGetDatum(cstring_to_text_with_len(data, data_len)),
												PointerGetDatum(cstring_to_text_with_len(pattern, len))));
}

static bool
a_tag_is_like(const char *tags, int ntags, const char *pattern, int len)
{
	for (int i = 0; i < ntags; i++)
	{
		int			tag_len = (unsigned char) *tags++;

		if (is_like(tags, tag_len, pattern, len))
			return true;
		tags += tag_len;
	}
	return false;
}

/* tag: its length byte, then its name. */
static bool
has_tag(const char *tags, int ntags, const char *tag)
{
	int			size = 1 + (unsigned char) *tag;

	for (int i = 0; i < ntags; i++)
	{
		if (memcmp(tags, tag, size) == 0)
			return true;
		tags += 1 + (unsigned char) *tags;
	}
	return false;
}

static bool
has_all_tags(const char *tags, int ntags, const char *wanted, int len)
{
	for (const char *tag = wanted; tag < wanted + len; tag += 1 + (unsigned char) *tag)
		if (!has_tag(tags, ntags, tag))
			return false;
	return true;
}

bool
pgcache_predicate_matches(PgCachePredicateKind kind, const char *text, int len,
						  const char *key, int key_len,
						  const char *tags, int ntags)
{
	switch (kind)
	{
		case PGCACHE_MATCH_KEY:
			return is_like(key, key_len, text, len);
		case PGCACHE_MATCH_TAG:
			return a_tag_is_like(tags, ntags, text, len);
		case PGCACHE_MATCH_ALL_TAGS:
			return has_all_tags(tags, ntags, text, len);
		case PGCACHE_MATCH_SPACE:
			break;
	}
	return true;
}

/* ---- testing puts ------------------------------------------------------------ */

/*
 * Whether the bound saw all predicates so far, by the two highest numbers alone.
 * They are read after the count, and written before it.
 */
static bool
all_seen(const PgCacheBound *bound)
{
	uint64		top = pg_atomic_read_u64(&shared->top_number);

	return top < Min(bound->noted, bound->fence) &&
		pg_atomic_read_u64(&shared->top_writer) < bound->snap.xmin;
}

/*
 * Copies those of the namespace that the bound does not see, and sets *count.
 * -1: some that it may not have seen have fallen out.
 */
static int
copy_unseen(PgCachePredicate *copies, uint16 space, const PgCacheBound *bound,
			uint64 *count)
{
	int			n = 0;

	LWLockAcquire(lock, LW_SHARED);
	*count = pg_atomic_read_u64(&shared->count);
	for (uint64 i = 0; i < Min(*count, MAX_PREDICATES); i++)
	{
		const PgCachePredicate *predicate = &shared->at[i];

		if (predicate->space == space &&
			pgcache_rule_unseen(&predicate->publish, bound))
			copies[n++] = *predicate;
	}
	if (pgcache_rule_evicted(&shared->evicted, bound))
		n = -1;
	LWLockRelease(lock);
	return n;
}

/* Copies those of the namespace whose writer may be running. */
static int
copy_running(PgCachePredicate *copies, uint16 space, uint64 own)
{
	uint64		finished_below = pgcache_finished_below();
	int			n = 0;

	LWLockAcquire(lock, LW_SHARED);
	for (uint64 i = 0; i < Min(pg_atomic_read_u64(&shared->count), MAX_PREDICATES); i++)
	{
		const PgCachePredicate *predicate = &shared->at[i];

		if (predicate->space == space &&
			predicate->publish.kind != PGCACHE_PUBLISH_IMMEDIATE &&
			predicate->publish.writer >= finished_below &&
			predicate->publish.writer != own)
			copies[n++] = *predicate;
	}
	LWLockRelease(lock);
	return n;
}

uint64
pgcache_predicate_running(uint16 space, const char *key, int key_len, uint64 own)
{
	PgCachePredicate *copies;
	uint64		running = 0;
	int			n;

	if (pg_atomic_read_u64(&shared->top_writer) < pgcache_finished_below())
		return 0;
	copies = palloc(MAX_PREDICATES * sizeof(*copies));
	n = copy_running(copies, space, own);
	for (int i = 0; i < n && running == 0; i++)
	{
		const PgCachePredicate *p = &copies[i];

		if ((p->kind == PGCACHE_MATCH_KEY || p->kind == PGCACHE_MATCH_SPACE) &&
			pgcache_predicate_matches(p->kind, p->what, p->len, key, key_len, NULL, 0) &&
			!pgcache_xid_finished(p->publish.writer))
			running = p->publish.writer;
	}
	pfree(copies);
	return running;
}

bool
pgcache_predicate_stale(uint16 space, const char *key, int key_len,
						const char *tags, int ntags,
						const PgCacheBound *bound, uint64 *count)
{
	PgCachePredicate *copies;
	int			n;
	bool		stale;

	*count = pgcache_predicate_count();
	pg_read_barrier();
	if (*count == 0 || all_seen(bound))
		return false;

	copies = palloc(MAX_PREDICATES * sizeof(*copies));
	n = copy_unseen(copies, space, bound, count);
	stale = n < 0;
	for (int i = 0; i < n && !stale; i++)
		stale = pgcache_predicate_matches(copies[i].kind,
										  copies[i].what, copies[i].len,
										  key, key_len, tags, ntags);
	pfree(copies);
	return stale;
}

/* ---- shared memory ----------------------------------------------------------- */

static Size
predicates_size(void)
{
	return sizeof(PgCacheSharedPredicates);
}

static void
predicates_init(void *memory, LWLockPadded *locks)
{
	PgCacheSharedPredicates *predicates = memory;

	memset(predicates, 0, sizeof(*predicates));
	pg_atomic_init_u64(&predicates->count, 0);
	pg_atomic_init_u64(&predicates->top_number, 0);
	pg_atomic_init_u64(&predicates->top_writer, 0);
}

static void
predicates_attach(void *memory, LWLockPadded *locks)
{
	shared = memory;
	lock = &locks[0].lock;
}

static const PgCacheShmemPart predicates_part = {
	.name = "PgCachePredicate",
	.size = predicates_size,
	.nlocks = pgcache_shmem_one_lock,
	.init = predicates_init,
	.attach = predicates_attach
};

void
pgcache_predicate_register(void)
{
	pgcache_shmem_register(&predicates_part);
}
