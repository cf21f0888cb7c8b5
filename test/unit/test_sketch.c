/*
 * test_sketch.c
 *	  Space-saving tables against exact counts, and percentiles of histograms
 *	  against those of the sorted times.
 */
#include <math.h>

#include "harness.h"
#include "stats/histogram.h"
#include "stats/sketch.h"

#define KEYS		20000
#define REQUESTS	400000

static double exact[KEYS];
static double cumulated[KEYS];

static void
make_zipf(double exponent)
{
	double		sum = 0;

	for (int i = 0; i < KEYS; i++)
	{
		sum += 1 / pow(i + 1, exponent);
		cumulated[i] = sum;
	}
}

static int
draw_zipf(void)
{
	double		at = (random_below(1 << 30) + 0.5) / (1 << 30) * cumulated[KEYS - 1];
	int			low = 0;
	int			high = KEYS - 1;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (cumulated[middle] < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A key of its number; some are longer than what is kept. */
static int
make_key(int number, char *key)
{
	int			len = sprintf(key, "key %d ", number);

	if (number % 7 == 3)
	{
		memset(key + len, 'x', 200);
		len += 200;
	}
	return len;
}

static uint64
hash_of(int number)
{
	uint64		h = (uint64) number * UINT64CONST(0x9e3779b97f4a7c15);

	return h ^ (h >> 29);
}

static void
add(PgCacheSketch *sketch, int number, double weight)
{
	char		key[256];
	int			len = make_key(number, key);

	exact[number] += weight;
	pgcache_sketch_add(sketch, hash_of(number), key, len, weight);
}

/* The number of the key that an entry is of; -1 if it is of none. */
static int
number_of(const PgCacheSketchEntry *e)
{
	char		key[256];
	int			number = atoi(e->key + 4);
	int			len = make_key(number, key);

	return hash_of(number) == e->hash && len == e->len &&
		memcmp(key, e->key, Min(len, PGCACHE_SKETCH_KEY_LEN)) == 0 ? number : -1;
}

/* The guarantees of the paper. */
static bool
keeps_promises(const PgCacheSketch *s)
{
	bool	   *there = calloc(KEYS, sizeof(bool));
	double		sum = 0;
	bool		good = pgcache_sketch_check(s);

	for (uint32 i = 0; i < s->n; i++)
	{
		const PgCacheSketchEntry *e = &s->entries[i];
		int			number = number_of(e);

		good = good && number >= 0 && !there[number] &&
			e->weight - e->error <= exact[number] * (1 + 1e-9) &&
			exact[number] <= e->weight * (1 + 1e-9);
		if (number >= 0)
			there[number] = true;
		sum += e->weight;
	}
	for (int i = 0; i < KEYS; i++)
		good = good && (there[i] || exact[i] <= s->total / s->capacity * (1 + 1e-9));
	free(there);
	return good && sum <= s->total * (1 + 1e-9) && (s->n < s->capacity || sum >= s->total * (1 - 1e-9));
}

static PgCacheSketch *
make_sketch(int capacity)
{
	Size		size = pgcache_sketch_size(capacity);
	PgCacheSketch *s = malloc(size);

	memset(s, 0xA5, size);
	pgcache_sketch_init(s, capacity);
	memset(exact, 0, sizeof(exact));
	return s;
}

static void
test_zipf(int capacity, double exponent)
{
	PgCacheSketch *s = make_sketch(capacity);
	bool		good = true;
	int			found = 0;

	make_zipf(exponent);
	for (int i = 0; i < REQUESTS && good; i++)
	{
		add(s, draw_zipf(), i % 3 == 0 ? 1 : 1 + random_below(8));
		if (i % 20000 == 0)
			good = keeps_promises(s);
		if (i == REQUESTS / 2)
		{
			pgcache_sketch_scale(s, 0.5);
			for (int k = 0; k < KEYS; k++)
				exact[k] *= 0.5;
		}
	}
	ok(good && keeps_promises(s), "%d entries, Zipf %.1f: weights are within their errors",
	   capacity, exponent);
	for (uint32 i = 0; i < s->n; i++)
		found += number_of(&s->entries[i]) < 10;
	if (capacity >= 512 && exponent >= 1)
		ok(found == 10, "and the ten most frequent are there");
	free(s);
}

/* Each of few keys is exact. */
static void
test_few(void)
{
	PgCacheSketch *s = make_sketch(512);
	bool		good = true;

	for (int i = 0; i < 10000; i++)
		add(s, random_below(512), 1);
	for (uint32 i = 0; i < s->n; i++)
		good = good && s->entries[i].error == 0 &&
			s->entries[i].weight == exact[number_of(&s->entries[i])];
	ok(good && s->n == 512 && s->total == 10000, "as many keys as there is room for are exact");
	free(s);
}

static uint64
other_hash(void *arg, const char *key, uint16 len)
{
	return hash_of(atoi(key + 4)) * *(uint64 *) arg;
}

static void
test_rehash(void)
{
	PgCacheSketch *s = make_sketch(64);
	uint64		factor = 12345;
	bool		good;

	for (int i = 0; i < 5000; i++)
		add(s, 7 * random_below(100), 1);
	pgcache_sketch_rehash(s, other_hash, &factor);
	good = pgcache_sketch_check(s);
	for (uint32 i = 0; i < s->n; i++)
		good = good && s->entries[i].hash == other_hash(&factor, s->entries[i].key, 0);
	ok(good, "keys get other hashes");
	factor = 1;
	pgcache_sketch_rehash(s, other_hash, &factor);
	ok(keeps_promises(s), "and back");
	free(s);
}

static void
test_restore(void)
{
	PgCacheSketch *s = make_sketch(64);
	Size		size = pgcache_sketch_size(64);
	PgCacheSketch *copy = malloc(size);
	PgCacheSketch *smaller = malloc(pgcache_sketch_size(5));
	bool		good = true;

	for (int i = 0; i < 5000; i++)
		add(s, random_below(300), 1);
	pgcache_sketch_init(copy, 64);
	pgcache_sketch_init(smaller, 5);
	copy->total = smaller->total = s->total;
	for (uint32 i = 0; i < s->n; i++)
	{
		const PgCacheSketchEntry *e = &s->entries[i];

		good = good && pgcache_sketch_restore(copy, e->hash, e->key, e->len, e->weight, e->error) &&
			pgcache_sketch_restore(smaller, e->hash, e->key, e->len, e->weight, e->error) == (i < 5);
	}
	ok(good && keeps_promises(copy), "a sketch is entered into another");
	ok(pgcache_sketch_check(smaller) && smaller->n == 5, "or what there is room for");
	ok(!pgcache_sketch_restore(copy, copy->entries[0].hash, copy->entries[0].key,
							   copy->entries[0].len, 1, 0), "no key twice");
	free(s);
	free(copy);
	free(smaller);
}

/* Hashes that all meet in one chain, and capacities of every kind. */
static void
test_odd(void)
{
	bool		good = true;

	for (int capacity = 1; capacity <= 33 && good; capacity++)
	{
		PgCacheSketch *s = make_sketch(capacity);

		for (int i = 0; i < 2000 && good; i++)
		{
			char		key[8];

			memset(key, 0, sizeof(key));
			key[0] = (char) ('a' + random_below(50));
			pgcache_sketch_add(s, 42, key, 1, 1);
			good = pgcache_sketch_check(s) && s->total == i + 1;
		}
		free(s);
	}
	ok(good, "equal hashes, and few entries");
}

/* ---- histograms -------------------------------------------------------------- */

static int
compare_times(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

static void
test_buckets(void)
{
	bool		good = true;
	double		worst = 0;
	int			last = -1;

	for (uint64 ns = 0; ns < UINT64CONST(1) << 45; ns += 1 + ns / 1000)
	{
		int			bucket = pgcache_histogram_bucket(ns);
		double		value = pgcache_histogram_value(bucket);

		good = good && bucket >= last && bucket <= last + 1 &&
			bucket < PGCACHE_HISTOGRAM_BUCKETS;
		last = bucket;
		if (ns > 0)
			worst = Max(worst, fabs(value - ns) / ns);
	}
	ok(good && last == PGCACHE_HISTOGRAM_BUCKETS - 1, "buckets follow each other");
	ok(worst <= 0.06, "a bucket is at most 6 %% off (%.2f %%)", worst * 100);
	ok(pgcache_histogram_bucket(PG_UINT64_MAX) == PGCACHE_HISTOGRAM_BUCKETS - 1,
	   "the last takes the rest");
}

static void
test_percentiles(void)
{
	static const double shares[] = {0.001, 0.25, 0.5, 0.95, 0.99, 0.999, 1};
	static uint64 times[100000];
	double		worst = 0;

	for (int round = 0; round < 20; round++)
	{
		PgCacheHistogram h;
		int			n = 1 + random_below(lengthof(times));

		memset(&h, 0, sizeof(h));
		for (int i = 0; i < n; i++)
		{
			/* Of all magnitudes from some nanoseconds to hours. */
			times[i] = (uint64) exp(1 + random_below(1 << 20) / (double) (1 << 20) * (10 + round));
			h.buckets[pgcache_histogram_bucket(times[i])]++;
			h.max = Max(h.max, times[i]);
		}
		qsort(times, n, sizeof(uint64), compare_times);
		MUST(pgcache_histogram_calls(&h) == n && h.max == times[n - 1]);
		for (int s = 0; s < lengthof(shares); s++)
		{
			double		is = pgcache_histogram_percentile(&h, shares[s]);
			double		shall = (double) times[Max((int) ceil(shares[s] * n), 1) - 1];

			worst = Max(worst, fabs(is - shall) / shall);
			MUST(is <= h.max);
		}
	}
	ok(worst <= 0.06, "percentiles are at most 6 %% off (%.2f %%)", worst * 100);
}

static void
test_empty(void)
{
	PgCacheHistogram h;

	memset(&h, 0, sizeof(h));
	ok(pgcache_histogram_percentile(&h, 0.5) < 0, "none of none");
	h.buckets[pgcache_histogram_bucket(1000000)] = 1;
	h.max = 1000000;
	ok(pgcache_histogram_percentile(&h, 0) == pgcache_histogram_percentile(&h, 1),
	   "all of one");
}

int
main(void)
{
	test_few();
	test_zipf(512, 1.0);
	test_zipf(512, 1.4);
	test_zipf(100, 0.8);
	test_zipf(1, 1.0);
	test_restore();
	test_rehash();
	test_odd();
	test_buckets();
	test_percentiles();
	test_empty();
	return done_testing();
}
