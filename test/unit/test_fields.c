/*
 * test_fields.c
 *	  What entries carry for transactions, beside every other optional field:
 *	  writer, numbers of stamps and tables, hints.
 */
#include "harness.h"

#define SECOND	USECS_PER_SEC

/* Kinds of fields; each combination is tested. */
#define WITH_TTL		0x01
#define WITH_SLIDING	0x02	/* and a TTL */
#define WITH_TYPE		0x04
#define WITH_RAW_LEN	0x08
#define WITH_PRIORITY	0x10
#define WITH_TAGS		0x20
#define WITH_WRITER		0x40
#define WITH_DEPS		0x80
#define COMBINATIONS	0x100

#define TAGS		"\004tags\001x\013another one"
#define NTAGS		3

static char *bytes;				/* of values */

/* Every combination has numbers of its own, and another count of deps. */
static void
set_deps(PgCacheItem *item, uint32 *deps, int what)
{
	item->flags |= PGCACHE_ENTRY_DEPS;
	item->nstamps = what % (PGCACHE_MAX_STAMPS + 1);
	item->ntables = what / 3 % (PGCACHE_MAX_TABLES + 1);
	for (int i = 0; i < item->nstamps + item->ntables; i++)
		deps[i] = 0x80000000U + what * 1000 + i;
	item->deps = deps;
}

static PgCacheItem
item_with(TestStore *t, int what, const char *key, uint32 len, uint32 *deps)
{
	PgCacheItem item = make_item(t, 1, key, strlen(key), bytes, len);

	if (what & (WITH_TTL | WITH_SLIDING))
	{
		item.flags |= PGCACHE_ENTRY_TTL;
		item.expires = test_now + (1000 + what) * SECOND;
	}
	if (what & WITH_SLIDING)
	{
		item.flags |= PGCACHE_ENTRY_SLIDING;
		item.slide = 20 * SECOND;
		item.slide_cap = test_now + 5000 * SECOND;
	}
	if (what & WITH_TYPE)
	{
		item.flags |= PGCACHE_ENTRY_TYPED;
		item.typid = 20 + what;
		item.fingerprint = 0xFEDCBA98;
	}
	if (what & WITH_RAW_LEN)
	{
		item.flags |= PGCACHE_ENTRY_LZ4;
		item.raw_len = len + 77;
	}
	if (what & WITH_PRIORITY)
	{
		item.flags |= PGCACHE_ENTRY_PRIORITY;
		item.priority = what % 2 ? -5 : 5;
	}
	if (what & WITH_TAGS)
	{
		item.flags |= PGCACHE_ENTRY_TAGS;
		item.ntags = NTAGS;
		item.tags = TAGS;
		item.tags_len = strlen(TAGS);
	}
	if (what & WITH_WRITER)
	{
		item.flags |= PGCACHE_ENTRY_WRITER | (what % 3 ? PGCACHE_ENTRY_ASOF : 0);
		item.writer = UINT64CONST(0xFEDCBA9800000000) + what;
	}
	if (what & WITH_DEPS)
		set_deps(&item, deps, what);
	return item;
}

static bool
is_described(const PgCacheItem *item, const PgCacheMeta *meta, const uint32 *deps)
{
	bool		with_deps = (item->flags & PGCACHE_ENTRY_DEPS) != 0;

	return meta->flags == item->flags && meta->len == item->len &&
		meta->raw_len == item->raw_len && meta->seq == item->seq &&
		meta->typid == item->typid && meta->fingerprint == item->fingerprint &&
		meta->priority == item->priority && meta->expires == item->expires &&
		meta->slide == item->slide && meta->slide_cap == item->slide_cap &&
		meta->ntags == item->ntags && meta->tags_len == item->tags_len &&
		meta->writer == item->writer &&
		meta->nstamps == item->nstamps && meta->ntables == item->ntables &&
		(!with_deps ||
		 memcmp(deps, item->deps, (item->nstamps + item->ntables) * sizeof(uint32)) == 0);
}

/* Whether the entry of an item's key is all that the item is. */
static bool
is_stored(TestStore *t, const PgCacheItem *item)
{
	char		tags[PGCACHE_MAX_TAGS_LEN];
	char	   *value = malloc(item->len + 1);
	PgCacheRef	ref;
	bool		good;

	memset(&ref, 0xEE, sizeof(ref));
	good = pgcache_store_find(t->store, &item->key, &ref) &&
		is_described(item, &ref.meta, ref.deps) &&
		pgcache_store_copy(t->store, &ref, value) &&
		pgcache_store_copy_tags(t->store, &ref, tags) &&
		memcmp(value, item->value, item->len) == 0 &&
		(item->tags_len == 0 || memcmp(tags, item->tags, item->tags_len) == 0);
	free(value);
	return good;
}

/* The same by a scan of the one partition. */
static bool
is_scanned(TestStore *t, const PgCacheItem *item)
{
	Size		needed = pgcache_store_scan(t->store, 0, NULL, 0);
	char	   *buf = malloc(needed);
	int			good = 0;

	memset(buf, 0xEE, needed);
	MUST(pgcache_store_scan(t->store, 0, buf, needed) == needed);
	for (char *p = buf; p < buf + needed; p += ((PgCacheScanned *) p)->size)
	{
		PgCacheScanned *scanned = (PgCacheScanned *) p;
		const char *key = p + sizeof(PgCacheScanned);

		good += scanned->meta.space == item->key.space &&
			is_described(item, &scanned->meta, scanned->deps) &&
			memcmp(key, item->key.data, item->key.len) == 0 &&
			(item->tags_len == 0 ||
			 memcmp(key + item->key.len, item->tags, item->tags_len) == 0);
	}
	free(buf);
	return good == 1;
}

/* Gives an entry another life, and its item, too. */
static bool
touch(TestStore *t, PgCacheItem *item, int seconds, int64 slide)
{
	item->expires = seconds > 0 ? test_now + seconds * SECOND : DT_NOEND;
	item->slide = slide;
	item->slide_cap = slide > 0 ? test_now + 9000 * SECOND : 0;
	item->flags &= ~(PGCACHE_ENTRY_TTL | PGCACHE_ENTRY_SLIDING);
	if (seconds > 0)
		item->flags |= PGCACHE_ENTRY_TTL;
	if (slide > 0)
		item->flags |= PGCACHE_ENTRY_SLIDING;
	return pgcache_store_touch(t->store, &item->key, 0, item->expires, slide,
							   item->slide_cap) && is_stored(t, item);
}

/* Regions that are half empty, with holes for blocks of any size. */
static void
make_holes(TestStore *t)
{
	for (int i = 0; i < 12; i++)
	{
		put_len(t, 0, name("big", i), MAX_BLOCK_BYTES - ENTRY_HEADER_BYTES - 7);
		for (int j = 0; j < 20; j++)
			put_len(t, 0, name("small", i * 100 + j), 200);
	}
	for (int i = 0; i < 12; i++)
		delete_key(t, 0, name("big", i));
}

/* Where the entry of a key lies; if it has extents, the first of them. */
static PgCacheOffset
place_of(TestStore *t, const PgCacheKey *key)
{
	PgCacheRef	ref;

	if (!pgcache_store_find(t->store, key, &ref))
		return 0;
	return ref.chain ? ref.chain : ref.location;
}

/*
 * Empties regions until the entry of key, or its first extent, was moved out of
 * one; false if it never was.
 */
static bool
move(TestStore *t, const PgCacheKey *key)
{
	PgCachePartition *part = &t->store->parts[0];
	PgCacheOffset from = place_of(t, key);
	PgCacheOffset place;

	make_holes(t);
	/* Let its region be the emptiest. */
	for (int i = 0; i < 12 * 100; i++)
	{
		PgCacheKey	other;
		const char *text = name("small", i);

		pgcache_store_key(t->store, &other, 0, text, strlen(text));
		place = place_of(t, &other);
		if (place != 0 && region_of(t->store, place) == region_of(t->store, from))
			pgcache_store_delete(t->store, &other);
	}
	for (int i = 0; i < 20; i++)
	{
		LWLockAcquire(lock_of(t->store, part), LW_EXCLUSIVE);
		(void) pgcache_evacuate_region(t->store, part);
		LWLockRelease(lock_of(t->store, part));
		place = place_of(t, key);
		if (place != from)
			return place != 0;	/* or evicted for want of holes */
	}
	return false;
}

/* All combinations, with values in one block and in many. */
static void
test_combinations(uint32 len, bool movable)
{
	int			not_stored = 0;
	int			not_scanned = 0;
	int			not_touched = 0;
	int			spoilt = 0;
	int			moved = 0;
	int			not_slid = 0;

	for (int what = 0; what < COMBINATIONS; what++)
	{
		TestStore	t = make_store(1024 * 1024, 1, what % 2 ? PGCACHE_EVICTION_S3FIFO : PGCACHE_EVICTION_LRU);
		uint32		deps[PGCACHE_MAX_DEPS];
		PgCacheItem item = item_with(&t, what, what % 5 ? "key" : "a longer key", len, deps);
		PgCacheRef	ref;

		/* So that the first extent is in another region than the entry. */
		put_len(&t, 0, "first", 7000);
		not_stored += put_item(&t, &item) != PGCACHE_STORED || !is_stored(&t, &item);
		not_scanned += !is_scanned(&t, &item);
		not_touched += !touch(&t, &item, 100, 0) || !touch(&t, &item, 200, 0) ||
			!touch(&t, &item, 100, 30 * SECOND);
		test_now += SECOND;
		MUST(pgcache_store_find(t.store, &item.key, &ref));
		pgcache_store_hit(t.store, &ref, test_now);
		item.expires = test_now + 30 * SECOND;
		not_slid += !is_stored(&t, &item);
		not_touched += !touch(&t, &item, 0, 0) || !is_scanned(&t, &item);

		if (move(&t, &item.key))
		{
			moved++;
			spoilt += !is_stored(&t, &item);
		}
		MUST(is_sound(&t));
		free_store(&t);
	}
	ok(not_stored == 0, "%u bytes: every combination is stored and read (%d are not)", len, not_stored);
	ok(not_scanned == 0, "%u bytes: and scanned (%d)", len, not_scanned);
	ok(not_touched == 0, "%u bytes: a touch keeps the rest (%d)", len, not_touched);
	ok(not_slid == 0, "%u bytes: and so does a hit of a sliding one (%d)", len, not_slid);
	ok(spoilt == 0 && (moved >= COMBINATIONS / 4 || !movable),
	   "%u bytes: and a move to another region (%d of %d)", len, spoilt, moved);
}

/* The most of everything there may be. */
static void
test_largest(void)
{
	TestStore	t = make_store(4 * 1024 * 1024, 1, PGCACHE_EVICTION_LRU);
	char		key[PGCACHE_MAX_KEY_LEN];
	char		tags[PGCACHE_MAX_TAGS_LEN];
	uint32		deps[PGCACHE_MAX_DEPS];
	PgCacheItem item;

	memset(key, 'k', sizeof(key));
	for (int i = 0; i < PGCACHE_MAX_TAGS; i++)
	{
		tags[i * (PGCACHE_MAX_TAG_LEN + 1)] = PGCACHE_MAX_TAG_LEN;
		memset(tags + i * (PGCACHE_MAX_TAG_LEN + 1) + 1, 'a' + i, PGCACHE_MAX_TAG_LEN);
	}
	for (int i = 0; i < PGCACHE_MAX_DEPS; i++)
		deps[i] = PG_UINT32_MAX - i;
	item = item_with(&t, COMBINATIONS - 1, "", 1000000, deps);
	pgcache_store_key(t.store, &item.key, 1, key, sizeof(key));
	item.nstamps = PGCACHE_MAX_STAMPS;
	item.ntables = PGCACHE_MAX_TABLES;
	for (int i = 0; i < PGCACHE_MAX_DEPS; i++)
		deps[i] = PG_UINT32_MAX - i;
	item.ntags = PGCACHE_MAX_TAGS;
	item.tags = tags;
	item.tags_len = sizeof(tags);
	ok(put_item(&t, &item) == PGCACHE_STORED && is_stored(&t, &item) &&
	   is_scanned(&t, &item) && touch(&t, &item, 0, 0) && touch(&t, &item, 50, SECOND),
	   "the largest of all, in extents");
	ok(is_sound(&t), "sound");
	free_store(&t);
}

/* Bytes of an entry with a key of 20 bytes and a value of 100. */
static int64
memory_of(uint64 writer)
{
	TestStore	t = make_store(1024 * 1024, 1, PGCACHE_EVICTION_LRU);
	PgCacheItem item = item_of(&t, 0, "a key of 20 bytes ..", 100);
	int64		memory;

	item.writer = writer;
	if (writer)
		item.flags |= PGCACHE_ENTRY_WRITER;
	put_item(&t, &item);
	memory = usage(&t, 0).memory;
	free_store(&t);
	return memory;
}

static void
test_memory(void)
{
	ok(memory_of(0) == 48 + 20 + 100, "48 bytes beside key and value, no more");
	ok(memory_of(1) == 48 + 20 + 100 + 8, "a writer takes 8");
}

/* ---- hints -------------------------------------------------------------------- */

static uint16
flags_of(TestStore *t, const PgCacheKey *key)
{
	PgCacheRef	ref;

	MUST(pgcache_store_find(t->store, key, &ref));
	return ref.meta.flags;
}

static void
test_hints(void)
{
	TestStore	t = make_store(1024 * 1024, 1, PGCACHE_EVICTION_LRU);
	PgCachePartition *part = &t.store->parts[0];
	uint32		deps[PGCACHE_MAX_DEPS];
	uint64		version = 0;
	uint64		newer = 0;
	PgCacheItem item = item_with(&t, WITH_WRITER | WITH_DEPS, "key", 100, deps);
	PgCacheItem plain = item_of(&t, 1, "plain", 100);
	PgCacheRef	ref;
	char		value[100];

	item.stored_version = &version;
	MUST(put_item(&t, &item) == PGCACHE_STORED);
	MUST(pgcache_store_find(t.store, &item.key, &ref));
	ok(ref.meta.version == version, "a put tells the entry's version");

	pgcache_store_hint(t.store, &item.key, version + 1, PGCACHE_ENTRY_COMMITTED, true);
	pgcache_store_hint(t.store, &item.key, version - 1, PGCACHE_ENTRY_COMMITTED, true);
	ok(flags_of(&t, &item.key) == item.flags, "no hint for another version");
	pgcache_store_hint(t.store, &item.key, version, PGCACHE_ENTRY_COMMITTED, true);
	item.flags |= PGCACHE_ENTRY_COMMITTED;
	ok(is_stored(&t, &item), "a hint, and all else as it was");
	ok(pgcache_store_copy(t.store, &ref, value), "who had found it may go on");

	LWLockAcquire(lock_of(t.store, part), LW_SHARED);
	pgcache_store_hint(t.store, &item.key, version, PGCACHE_ENTRY_SETTLED, false);
	LWLockRelease(lock_of(t.store, part));
	ok(flags_of(&t, &item.key) == item.flags, "a hint does not wait for the lock");
	pgcache_store_hint(t.store, &item.key, version,
					   PGCACHE_ENTRY_SETTLED | PGCACHE_ENTRY_NULL | PGCACHE_ENTRY_TTL, false);
	item.flags |= PGCACHE_ENTRY_SETTLED;
	ok(is_stored(&t, &item), "if it is free it is set, and nothing that is no hint");
	ok(touch(&t, &item, 100, 0) && touch(&t, &item, 0, 0), "a touch keeps hints");
	ok(move(&t, &item.key) && is_stored(&t, &item), "and a move");

	item.flags &= ~PGCACHE_ENTRY_HINTS;
	item.stored_version = &newer;
	MUST(put_item(&t, &item) == PGCACHE_STORED);
	pgcache_store_hint(t.store, &item.key, version, PGCACHE_ENTRY_COMMITTED, true);
	ok(newer != version && flags_of(&t, &item.key) == item.flags,
	   "a hint for an entry that was replaced is lost");

	plain.stored_version = &version;
	MUST(put_item(&t, &plain) == PGCACHE_STORED);
	pgcache_store_hint(t.store, &plain.key, version, PGCACHE_ENTRY_SETTLED, true);
	ok(flags_of(&t, &plain.key) == 0, "no hint where no writer is");
	pgcache_store_delete(t.store, &plain.key);
	pgcache_store_hint(t.store, &plain.key, version, PGCACHE_ENTRY_SETTLED, true);
	ok(is_sound(&t), "nor where no entry is");
	free_store(&t);
}

/* ---- the check ------------------------------------------------------------------ */

static int	faults;

static void
count_fault(void *arg, const char *message)
{
	faults++;
}

/* cache_check finds fields that make no sense. */
static void
test_check(void)
{
	TestStore	t = make_store(1024 * 1024, 1, PGCACHE_EVICTION_LRU);
	uint32		deps[PGCACHE_MAX_DEPS];
	PgCacheItem item = item_with(&t, WITH_WRITER | WITH_DEPS, "key", 100, deps);
	PgCacheItem plain = item_of(&t, 1, "plain", 100);
	PgCacheSlot slot;
	PgCacheEntry *entry;
	char	   *counts;
	char		nstamps;

	put_item(&t, &item);
	put_item(&t, &plain);
	MUST(is_sound(&t));

	MUST(pgcache_index_find(t.store, &t.store->parts[0], &plain.key, &slot));
	entry = at(t.store, slot.bucket->location[slot.slot]);
	for (int flag = PGCACHE_ENTRY_ASOF; flag <= PGCACHE_ENTRY_SETTLED; flag <<= 1)
	{
		faults = 0;
		entry->flags = flag;
		pgcache_store_check(t.store, count_fault, NULL);
		ok(faults == 1, "flag 0x%x without a writer is a fault", flag);
	}
	entry->flags = 0;

	MUST(pgcache_index_find(t.store, &t.store->parts[0], &item.key, &slot));
	entry = at(t.store, slot.bucket->location[slot.slot]);
	counts = entry->key + entry->key_len + sizeof(uint64);
	nstamps = counts[0];
	faults = 0;
	counts[0] = (char) 255;
	pgcache_store_check(t.store, count_fault, NULL);
	ok(faults == 2, "255 stamps are too many, and more than there is room for");
	counts[0] = nstamps;
	faults = 0;
	entry->flags &= ~PGCACHE_ENTRY_DEPS;
	pgcache_store_check(t.store, count_fault, NULL);
	ok(faults == 1, "entries with deps are counted");
	entry->flags |= PGCACHE_ENTRY_DEPS;
	ok(is_sound(&t), "sound again");
	free_store(&t);
}

int
main(void)
{
	bytes = malloc(1024 * 1024);
	for (int i = 0; i < 1024 * 1024; i++)
		bytes[i] = (char) (i * 131 + (i >> 9));
	test_combinations(0, true);
	test_combinations(100, true);
	test_combinations(9400, true);
	/* No hole would do for its extents. */
	test_combinations(70000, false);
	test_largest();
	test_memory();
	test_hints();
	test_check();
	free(bytes);
	return done_testing();
}
