/*
 * test_index.c
 *	  The index as it grows and shrinks.
 */
#include "harness.h"

#define KEY_LEN 16

/* An entry found in a bucket that had just come, and the key it was found by. */
typedef struct Found
{
	uint32		bucket;
	char		text[KEY_LEN];
	PgCacheKey	key;
	PgCacheRef	ref;
} Found;

/*
 * Puts entries until the table has so many buckets; finds the first entry of
 * each bucket that comes.  Returns how many were put.
 */
static int
grow_and_find(TestStore *t, uint32 nbuckets, Found *found, int *nfound)
{
	char		value[100];
	int			n = 0;

	memset(value, 'A', sizeof(value));
	while (count_buckets(t) < nbuckets)
	{
		uint32		before = count_buckets(t);
		const char *key = name("old", n++);
		PgCacheItem item = make_item(t, 0, key, strlen(key), value, sizeof(value));
		PgCacheBucket *bucket;
		const PgCacheEntry *entry;
		Found	   *f = &found[*nfound];

		MUST(put_item(t, &item) == PGCACHE_STORED);
		if (count_buckets(t) == before)
			continue;
		bucket = bucket_for(t->store, &t->store->parts[0], before + 1, before);
		if (bucket->location[0] == 0)
			continue;
		entry = at(t->store, bucket->location[0]);
		MUST(entry->key_len < KEY_LEN);
		f->bucket = before;
		memcpy(f->text, entry->key, entry->key_len);
		pgcache_store_key(t->store, &f->key, 0, f->text, entry->key_len);
		MUST(pgcache_store_find(t->store, &f->key, &f->ref));
		(*nfound)++;
	}
	return n;
}

/*
 * A reader may be between finding an entry and copying it while the table
 * shrinks and grows again.
 */
static void
test_bucket_comes_back(uint32 nbuckets)
{
	TestStore	t = make_store(4 * 1024 * 1024, 1, PGCACHE_EVICTION_LRU);
	Found	   *found = calloc(nbuckets, sizeof(Found));
	int			nfound = 0;
	int			nold = grow_and_find(&t, nbuckets, found, &nfound);
	int			wrong = 0;
	char		value[100];
	char		copy[100];

	for (int i = 0; i < nold; i++)
		MUST(delete_key(&t, 0, name("old", i)));
	MUST(count_buckets(&t) < nbuckets / 4);

	/* Other bytes where the values were, and the same buckets anew. */
	memset(value, 'B', sizeof(value));
	for (int i = 0; count_buckets(&t) < nbuckets; i++)
	{
		const char *key = name("new", i);
		PgCacheItem item = make_item(&t, 0, key, strlen(key), value, sizeof(value));

		MUST(put_item(&t, &item) == PGCACHE_STORED);
		/* A bucket that has just come has changed least. */
		for (int j = 0; j < nfound; j++)
		{
			Found	   *f = &found[j];

			if (f->bucket + 1 == count_buckets(&t) &&
				pgcache_store_copy(t.store, &f->ref, copy) && copy[50] != 'A')
				wrong++;
		}
	}
	ok(nfound > nbuckets / 2 && wrong == 0,
	   "%u buckets: no copy of what is gone from a bucket that came back (%d of %d)",
	   nbuckets, wrong, nfound);
	ok(is_sound(&t), "%u buckets: sound", nbuckets);
	free(found);
	free_store(&t);
}

/* Puts the next key whose hash has these low bits; n goes on from there. */
static void
put_with_hash(TestStore *t, int *n, uint32 mask, uint32 bits)
{
	for (;;)
	{
		const char *key = name("key", (*n)++);
		PgCacheItem item = item_of(t, 0, key, 1);

		if (((uint32) item.key.hash & mask) == bits)
		{
			MUST(put_item(t, &item) == PGCACHE_STORED);
			return;
		}
	}
}

/*
 * A split begins a segment, and its new bucket needs overflow buckets, but all
 * that are at hand are used: it is not made and leaves nothing behind.
 */
static void
test_failing_split(void)
{
	TestStore	t = make_store(4 * 1024 * 1024, 1, PGCACHE_EVICTION_LRU);
	PgCachePartition *part = &t.store->parts[0];
	uint32		per_segment = 1U << t.store->seg_shift;
	uint32		nbuckets = 2 * per_segment;
	uint32		mask = 2 * nbuckets - 1;	/* after the split */
	uint32		nlong = per_segment / 8;
	int			per_long = BUCKET_SLOTS + 8 * BUCKET_SLOTS;
	uint32		nothers = nbuckets * SPLIT_LOAD - nlong * per_long;
	int			n = 0;

	/* Spread evenly, so that they need no overflow buckets in the end, */
	for (uint32 i = 0; i < nothers; i++)
		put_with_hash(&t, &n, nbuckets - 1, nlong + i % (nbuckets - nlong));
	/* and long chains that need them all; the first is to move as a whole. */
	for (int i = 0; i < per_long; i++)
		for (uint32 bucket = 0; bucket < nlong; bucket++)
			put_with_hash(&t, &n, mask, bucket == 0 ? nbuckets : bucket);
	MUST(part->nentries == nbuckets * SPLIT_LOAD);
	MUST(count_buckets(&t) == nbuckets);
	MUST(part->overflow_used == per_segment && part->nindex_regions == 3);

	for (int i = 0; i < 10; i++)
		put_with_hash(&t, &n, nbuckets - 1, nlong + i);
	ok(count_buckets(&t) == nbuckets, "a split without overflow buckets is not made");
	ok(part->nindex_regions == 3, "and leaves no region behind (%u)", part->nindex_regions);
	ok(is_sound(&t), "sound");

	put_with_hash(&t, &n, mask, 1);
	put_with_hash(&t, &n, nbuckets - 1, nlong + 10);
	ok(count_buckets(&t) > nbuckets, "it is made when there are some again");
	ok(part->nentries == nbuckets * SPLIT_LOAD + 12 && is_sound(&t),
	   "and nothing is lost");
	free_store(&t);
}

/* Fills and empties small stores, each hashing in its own way. */
static void
test_random_fills(void)
{
	int			unsound = 0;

	for (int i = 0; i < 40; i++)
	{
		PgCacheStoreConfig config = make_config(1024 * 1024, 1 << (i % 3), i % 2);
		TestStore	t;
		int			nkeys = 1000 + random_below(20000);

		config.seed[0] += i * UINT64CONST(0x2545f4914f6cdd1d);
		t = make_store_of(config);
		for (int n = 0; n < nkeys; n++)
			put_len(&t, n % 3, name("k", n), random_below(8) ? 1 : random_below(500));
		unsound += !is_sound(&t);
		for (int n = 0; n < nkeys; n++)
			if (n % 10 != i % 10)
				delete_key(&t, n % 3, name("k", n));
		unsound += !is_sound(&t);
		for (int n = 0; n < nkeys / 2; n++)
			put_len(&t, 3, name("k", random_below(nkeys)), 1);
		unsound += !is_sound(&t);
		free_store(&t);
	}
	ok(unsound == 0, "filled, emptied and filled again: sound every time (%d)", unsound);
}

int
main(void)
{
	test_bucket_comes_back(200);
	test_bucket_comes_back(1000);
	test_failing_split();
	test_random_fills();
	return done_testing();
}
