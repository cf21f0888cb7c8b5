/*
 * test_admit.c
 *	  Items whose owner decides, under the lock, whether they are stored.
 */
#include "harness.h"

#define LARGE	(2 * 1024 * 1024)

/* What the owner answers: at first admit, from question number last on answer. */
typedef struct Owner
{
	PgCacheAdmission answer;
	int			last;
	int			asked;
	bool		shown;			/* at the last question: */
	PgCacheMeta present;
} Owner;

static PgCacheAdmission
answer(void *arg, const PgCacheMeta *present)
{
	Owner	   *owner = arg;

	owner->asked++;
	owner->shown = present != NULL;
	if (present)
		owner->present = *present;
	return owner->asked >= owner->last ? owner->answer : PGCACHE_ADMIT;
}

static PgCacheItem
item_asking(TestStore *t, const char *key, const char *value, uint32 len,
			Owner *owner, PgCacheAdmission what, int last)
{
	PgCacheItem item = make_item(t, 0, key, strlen(key), value, len);

	memset(owner, 0, sizeof(*owner));
	owner->answer = what;
	owner->last = last;
	item.admit = answer;
	item.admit_arg = owner;
	return item;
}

static bool
has(TestStore *t, const char *key, const char *value, uint32 len)
{
	PgCacheRef	ref;
	char	   *found = read_value(t, 0, key, strlen(key), &ref);
	bool		same = found && ref.meta.len == len && memcmp(found, value, len) == 0;

	free(found);
	return same;
}

static uint64
version_of(TestStore *t, const char *key)
{
	PgCacheKey	k;
	PgCacheRef	ref;

	pgcache_store_key(t->store, &k, 0, key, strlen(key));
	return pgcache_store_find(t->store, &k, &ref) ? ref.meta.version : 0;
}

static void
test_answers(void)
{
	TestStore	t = make_store(4 * 1024 * 1024, 1, PGCACHE_EVICTION_LRU);
	uint64		version = 0;
	uint64		none = 12345;
	Owner		owner;
	PgCacheItem item;

	item = item_asking(&t, "k", "one", 3, &owner, PGCACHE_ADMIT, 1);
	item.flags |= PGCACHE_ENTRY_WRITER;
	item.writer = 4711;
	item.stored_version = &version;
	ok(put_item(&t, &item) == PGCACHE_STORED && has(&t, "k", "one", 3), "admitted");
	ok(owner.asked == 1 && !owner.shown, "asked once, and nothing was there");
	ok(version != 0 && version_of(&t, "k") == version, "its version is told");

	item = item_asking(&t, "k", "two", 3, &owner, PGCACHE_YIELD, 1);
	item.stored_version = &none;
	ok(put_item(&t, &item) == PGCACHE_STALE && has(&t, "k", "one", 3),
	   "an item that yields is stale, and what is there stays");
	ok(owner.shown && owner.present.version == version && owner.present.writer == 4711 &&
	   owner.present.flags == PGCACHE_ENTRY_WRITER && owner.present.len == 3 &&
	   owner.present.seq == item.seq && owner.present.nstamps == 0,
	   "its owner was shown what is there");

	item = item_asking(&t, "k", "two", 3, &owner, PGCACHE_POSTPONE, 1);
	item.stored_version = &none;
	ok(put_item(&t, &item) == PGCACHE_NOT_STORED && has(&t, "k", "one", 3) &&
	   version_of(&t, "k") == version, "a postponed one changes nothing");

	item = item_asking(&t, "k", "two", 3, &owner, PGCACHE_REFUSE, 1);
	item.stored_version = &none;
	ok(put_item(&t, &item) == PGCACHE_STALE && version_of(&t, "k") == 0,
	   "a refused one is stale, and removes what was there");
	ok(none == 12345, "no version was told of what was not stored");

	item = item_asking(&t, "k", "two", 3, &owner, PGCACHE_REFUSE, 1);
	ok(put_item(&t, &item) == PGCACHE_STALE && !owner.shown && version_of(&t, "k") == 0,
	   "refused where nothing was");
	item = item_asking(&t, "k", "two", 3, &owner, PGCACHE_ADMIT, 1);
	ok(put_item(&t, &item) == PGCACHE_STORED && has(&t, "k", "two", 3), "admitted again");
	ok(usage(&t, 0).entries == 1 && usage(&t, 0).evictions == 0 && is_sound(&t), "sound");
	free_store(&t);
}

/* What is not live is not shown. */
static void
test_present(void)
{
	TestStore	t = make_store(4 * 1024 * 1024, 1, PGCACHE_EVICTION_LRU);
	Owner		owner;
	PgCacheItem item;

	put_ttl(&t, 0, "k", 10, 5);
	item = item_asking(&t, "k", "two", 3, &owner, PGCACHE_POSTPONE, 1);
	put_item(&t, &item);
	ok(owner.shown && owner.present.expires == test_now + 5 * USECS_PER_SEC,
	   "an entry that is about to expire is shown");
	test_now += 5 * USECS_PER_SEC;
	put_item(&t, &item);
	ok(owner.asked == 2 && !owner.shown, "an expired one is not");

	put_len(&t, 0, "k", 10);
	pgcache_store_clear(t.store, 0);
	item = item_asking(&t, "k", "two", 3, &owner, PGCACHE_ADMIT, 1);
	MUST(put_item(&t, &item) == PGCACHE_STORED);
	ok(owner.asked == 1 && !owner.shown, "nor a cleared one");

	item = item_asking(&t, "k", "new", 3, &owner, PGCACHE_YIELD, 1);
	pgcache_store_clear(t.store, 0);
	ok(put_item(&t, &item) == PGCACHE_STALE && owner.asked == 0,
	   "for an item older than a clear nobody is asked");
	ok(usage(&t, 0).entries == 0 && is_sound(&t), "and what was there is gone");
	free_store(&t);
}

/* The mode's condition comes first. */
static void
test_modes(void)
{
	TestStore	t = make_store(4 * 1024 * 1024, 1, PGCACHE_EVICTION_LRU);
	Owner		owner;
	PgCacheItem item = item_asking(&t, "k", "two", 3, &owner, PGCACHE_ADMIT, 1);

	ok(pgcache_store_put(t.store, &item, PGCACHE_PUT_REPLACE, 0) == PGCACHE_NOT_STORED &&
	   owner.asked == 0, "nothing to replace: not asked");
	ok(pgcache_store_put(t.store, &item, PGCACHE_PUT_ADD, 0) == PGCACHE_STORED &&
	   owner.asked == 1, "added: asked");
	ok(pgcache_store_put(t.store, &item, PGCACHE_PUT_ADD, 0) == PGCACHE_NOT_STORED &&
	   owner.asked == 1, "something is there: not asked");
	ok(pgcache_store_put(t.store, &item, PGCACHE_PUT_CAS, version_of(&t, "k") + 1) ==
	   PGCACHE_NOT_STORED && owner.asked == 1, "another version: not asked");
	owner.answer = PGCACHE_YIELD;
	ok(pgcache_store_put(t.store, &item, PGCACHE_PUT_CAS, version_of(&t, "k")) ==
	   PGCACHE_STALE && owner.asked == 2 && version_of(&t, "k") != 0,
	   "that version: asked");
	owner.answer = PGCACHE_REFUSE;
	ok(pgcache_store_put(t.store, &item, PGCACHE_PUT_REPLACE, 0) == PGCACHE_STALE &&
	   version_of(&t, "k") == 0, "a refusal removes what was to be replaced");
	ok(is_sound(&t), "sound");
	free_store(&t);
}

/* A large value is built in several holds of the lock: asked in each. */
static void
test_large(int partitions)
{
	TestStore	t = make_store(16 * 1024 * 1024, partitions, PGCACHE_EVICTION_LRU);
	char	   *old = malloc(LARGE);
	char	   *new = malloc(LARGE);
	PgCacheMemory before;
	PgCacheMemory after;
	Owner		owner;
	PgCacheItem item;
	int			holds;

	memset(old, 'o', LARGE);
	memset(new, 'n', LARGE);
	item = item_asking(&t, "large", old, LARGE, &owner, PGCACHE_ADMIT, 1);
	MUST(put_item(&t, &item) == PGCACHE_STORED && has(&t, "large", old, LARGE));
	holds = owner.asked;
	ok(holds > 4, "%d partitions: asked in each of %d holds of the lock", partitions, holds);
	pgcache_store_memory(t.store, &before);

	for (int last = 1; last <= holds; last += holds - 1)
	{
		item = item_asking(&t, "large", new, LARGE, &owner, PGCACHE_YIELD, last);
		ok(put_item(&t, &item) == PGCACHE_STALE && owner.asked == last && owner.shown &&
		   has(&t, "large", old, LARGE), "yields at question %d", last);
		item = item_asking(&t, "large", new, LARGE, &owner, PGCACHE_POSTPONE, last);
		ok(put_item(&t, &item) == PGCACHE_NOT_STORED && owner.asked == last &&
		   has(&t, "large", old, LARGE), "postponed at question %d", last);
		pgcache_store_memory(t.store, &after);
		ok(after.used == before.used && after.live == before.live,
		   "and what was built is free again");
		ok(is_sound(&t), "sound");
		item = item_asking(&t, "large", new, LARGE, &owner, PGCACHE_REFUSE, last);
		ok(put_item(&t, &item) == PGCACHE_STALE && owner.asked == last &&
		   version_of(&t, "large") == 0 && usage(&t, 0).entries == 0,
		   "refused at question %d", last);
		ok(is_sound(&t), "sound");
		item = item_asking(&t, "large", old, LARGE, &owner, PGCACHE_ADMIT, 1);
		MUST(put_item(&t, &item) == PGCACHE_STORED);
	}
	item = item_asking(&t, "large", new, LARGE, &owner, PGCACHE_ADMIT, 1);
	ok(put_item(&t, &item) == PGCACHE_STORED && has(&t, "large", new, LARGE), "admitted");
	ok(is_sound(&t), "sound");
	free(old);
	free(new);
	free_store(&t);
}

int
main(void)
{
	test_answers();
	test_present();
	test_modes();
	test_large(1);
	test_large(4);
	return done_testing();
}
