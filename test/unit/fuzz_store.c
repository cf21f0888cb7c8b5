/*
 * fuzz_store.c
 *	  The store under operations that a fuzzer chooses, beside a plain model.
 *
 * The first byte says how the store is made; then four bytes an operation: what,
 * of which key, and two for the length or whatever else it needs.  The model
 * knows what every key should hold; the store may have evicted it, but must
 * never hold anything else.  The memory is a few regions, so that they are
 * emptied, taken from the other partition and put to other uses all the time.
 * Keys are short, and equal inputs always have equal outcomes.  Entries with deps
 * die when one of their stamps is published; the store need not know, but may
 * take nothing else for dead.
 */
#include "harness.h"

#define NKEYS		256
#define NSPACES		3
#define MAX_LEN		40000
#define NSTAMPS		8

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Expected
{
	bool		present;
	uint8		seed;			/* of the value's bytes */
	uint32		len;
	TimestampTz expires;
	uint16		hints;
	uint64		version;
	uint64		seq;
	uint64		writer;
	int			ndeps;
} Expected;

static TestStore stores[2][2];	/* by partitions and eviction */
static TestStore t;				/* one of them */
static Expected model[NKEYS];
static uint64 stamps[NSTAMPS];	/* their last publish numbers */

static void
fail(void *arg, const char *message)
{
	fprintf(stderr, "%s\n", message);
	abort();
}

/* Key n is one of namespace n % NSPACES. */
static PgCacheKey
key_of(int n)
{
	static char text[4];
	PgCacheKey	key;

	pgcache_store_key(t.store, &key, n % NSPACES, text, sprintf(text, "%d", n));
	return key;
}

/* Dep number i of n of an entry that was put at seq. */
static uint32
dep_of(uint64 seq, int n, int i)
{
	return (seq * 7 + n * 3 + i) % NSTAMPS;
}

/* Stamps are the first half of the deps, rounded up. */
static bool
is_dead(uint64 seq, const uint32 *numbers, int nstamps)
{
	bool		dead = false;

	if (nstamps > PGCACHE_MAX_DEPS / 2)
		fail(NULL, "an entry has more stamps than were put");
	for (int i = 0; i < nstamps; i++)
	{
		if (numbers[i] >= NSTAMPS)
			fail(NULL, "an entry depends on what it was not put with");
		dead |= stamps[numbers[i]] >= seq;
	}
	return dead;
}

static void
kill_stamp(int stamp)
{
	stamps[stamp] = pgcache_store_publish(t.store);
	pgcache_store_note_dead(t.store);
}

/* Whether it was dead for sure, which the model does not otherwise heed. */
static bool
has_died(const Expected *e)
{
	for (int i = 0; i < (e->ndeps + 1) / 2; i++)
		if (stamps[dep_of(e->seq, e->ndeps, i)] >= e->seq)
			return true;
	return false;
}

/* What the model says of a key now. */
static Expected *
expected(int n)
{
	if (model[n].expires <= test_now)
		model[n].present = false;
	return &model[n];
}

/* An owner who says what it was told, to what the model knows. */
typedef struct Owner
{
	PgCacheAdmission answer;
	const Expected *there;
	int			asked;
} Owner;

static PgCacheAdmission
answer(void *arg, const PgCacheMeta *present)
{
	Owner	   *owner = arg;
	const Expected *e = owner->there;

	owner->asked++;
	if (present && (!e->present || present->version != e->version ||
					present->writer != e->writer || present->seq != e->seq))
		fail(NULL, "an owner is shown what is not there");
	return owner->answer;
}

static void
put(int n, uint32 arg, PgCachePutMode mode, int kind)
{
	static char value[MAX_LEN];
	Expected   *e = expected(n);
	Expected	new = {.present = true,.seed = arg,.expires = DT_NOEND};
	Owner		owner = {.there = e};
	uint32		deps[PGCACHE_MAX_DEPS];
	PgCacheKey	key = key_of(n);
	PgCacheRef	ref;
	PgCacheItem item;
	PgCachePutResult result;

	/* Most are small. */
	new.len = (arg & 7) ? (arg >> 3) % 400 : (arg >> 3) * 5 % MAX_LEN;
	memset(value, new.seed, new.len);
	item = make_item(&t, key.space, key.data, key.len, value, new.len);
	if (arg & 0x0100)
	{
		item.flags |= PGCACHE_ENTRY_TTL;
		item.expires = new.expires = test_now + (1 + arg % 100) * USECS_PER_SEC;
	}
	if (arg & 0x0200)
	{
		item.flags |= PGCACHE_ENTRY_PRIORITY;
		item.priority = 1 + (arg >> 10) % 12;
	}
	new.seq = item.seq;
	if (kind & 1)
	{
		item.flags |= PGCACHE_ENTRY_WRITER;
		item.writer = new.writer = 1 + ((uint64) arg << 40) + n;
	}
	if (kind & 2)
	{
		item.flags |= PGCACHE_ENTRY_DEPS;
		new.ndeps = arg % (PGCACHE_MAX_DEPS + 1);
		item.nstamps = (new.ndeps + 1) / 2;
		item.ntables = new.ndeps / 2;
		for (int i = 0; i < new.ndeps; i++)
			deps[i] = dep_of(new.seq, new.ndeps, i);
		item.deps = deps;
	}
	if (kind & 4)
	{
		item.admit = answer;
		item.admit_arg = &owner;
		/* Mostly it is admitted. */
		owner.answer = (kind & 8) ? (arg >> 4) % 4 : PGCACHE_ADMIT;
	}
	item.stored_version = &new.version;
	if (e->present && !pgcache_store_find(t.store, &item.key, &ref))
		e->present = false;		/* evicted */
	result = pgcache_store_put(t.store, &item, mode, 0);
	if (mode == PGCACHE_PUT_SET && result == PGCACHE_NOT_STORED &&
		owner.answer != PGCACHE_POSTPONE)
		fail(NULL, "a plain put was not stored");
	if (mode == PGCACHE_PUT_ADD && (result == PGCACHE_NOT_STORED) !=
		(e->present || owner.answer == PGCACHE_POSTPONE))
		fail(NULL, "adding went by something else than is there");
	if (mode == PGCACHE_PUT_REPLACE && result != PGCACHE_NOT_STORED && !e->present)
		fail(NULL, "what is not there was replaced");
	if (owner.answer != PGCACHE_ADMIT && result == PGCACHE_STORED)
		fail(NULL, "what was not admitted was stored");
	if ((owner.asked > 0 && owner.answer <= PGCACHE_YIELD && owner.answer != PGCACHE_ADMIT) !=
		(result == PGCACHE_STALE))
		fail(NULL, "an item is stale for another reason than its owner");
	if ((result == PGCACHE_STORED) != (new.version != 0))
		fail(NULL, "a version was told of what was not stored, or none of what was");
	if (result == PGCACHE_STORED)
		*e = new;
	else if (result == PGCACHE_STALE && owner.answer == PGCACHE_YIELD)
		return;					/* but room may have been made */
	else if (result != PGCACHE_NOT_STORED ||
			 (mode == PGCACHE_PUT_REPLACE && owner.asked == 0))
		e->present = false;
}

static void
get(int n)
{
	Expected   *e = expected(n);
	PgCacheKey	key = key_of(n);
	PgCacheRef	ref;
	char	   *value = read_value(&t, key.space, key.data, key.len, &ref);

	if (value == NULL)
		return;
	if (!e->present)
		fail(NULL, "the store has what is gone");
	if (ref.meta.len != e->len || ref.meta.expires != e->expires ||
		ref.meta.version != e->version || ref.meta.seq != e->seq ||
		ref.meta.writer != e->writer ||
		ref.meta.nstamps + ref.meta.ntables != e->ndeps)
		fail(NULL, "an entry is not what was put");
	for (int i = 0; i < e->ndeps; i++)
		if (ref.deps[i] != dep_of(e->seq, e->ndeps, i))
			fail(NULL, "an entry depends on what it was not put with");
	if ((ref.meta.flags & PGCACHE_ENTRY_HINTS) != e->hints)
		fail(NULL, "hints are not those that were given");
	for (uint32 i = 0; i < e->len; i++)
		if (value[i] != (char) e->seed)
			fail(NULL, "a value is not what was put");
	free(value);
}

static void
touch(int n, uint32 arg)
{
	Expected   *e = expected(n);
	PgCacheKey	key = key_of(n);
	TimestampTz expires = (arg & 1) ? DT_NOEND :
	test_now + (1 + (arg >> 1)) * USECS_PER_SEC;

	if (!pgcache_store_touch(t.store, &key, 0, expires, 0, 0))
		return;
	if (!e->present)
		fail(NULL, "what is gone was touched");
	e->expires = expires;
}

/* A hint for the entry that is there, or for another. */
static void
hint(int n, uint32 arg)
{
	Expected   *e = expected(n);
	PgCacheKey	key = key_of(n);
	uint16		hints = (arg & 1) ? PGCACHE_ENTRY_COMMITTED : PGCACHE_ENTRY_SETTLED;

	if (arg & 2)
		pgcache_store_hint(t.store, &key, e->version + 1 + (arg >> 3), hints, true);
	else
	{
		pgcache_store_hint(t.store, &key, e->version, hints, (arg & 4) != 0);
		if (e->writer != 0)
			e->hints |= hints;
	}
}

static void
delete(int n)
{
	Expected   *e = expected(n);
	PgCacheKey	key = key_of(n);

	if (pgcache_store_delete(t.store, &key) && !e->present)
		fail(NULL, "what is gone was deleted");
	e->present = false;
}

/* Clears up to a number so many publishes back; 0: all. */
static void
clear(int space, uint64 back)
{
	uint64		number = pgcache_store_seq(t.store) - 1;

	if (back == 0)
	{
		number++;
		pgcache_store_clear(t.store, space);
	}
	else
	{
		number -= Min(number, back - 1);
		pgcache_store_clear_to(t.store, space, number);
	}
	for (int n = space; n < NKEYS; n += NSPACES)
		if (model[n].seq <= number)
			model[n].present = false;
}

/* The worker's: leaves nothing dead. */
static void
sweep(int number)
{
	(void) sweep_partition(t.store, number);
	if (t.store->parts[number].ndead > 0 || t.store->parts[number].dead_left > 0)
		fail(NULL, "a sweep leaves dead entries");
	for (int n = 0; n < NKEYS; n++)
	{
		PgCacheKey	key = key_of(n);
		PgCacheRef	ref;

		if (partition_of(t.store, key.hash)->number == number &&
			model[n].present && has_died(&model[n]) &&
			pgcache_store_find(t.store, &key, &ref))
			fail(NULL, "a sweep leaves an entry that is dead");
	}
}

static void
evacuate(int number)
{
	PgCachePartition *part = &t.store->parts[number];

	LWLockAcquire(lock_of(t.store, part), LW_EXCLUSIVE);
	(void) pgcache_evacuate_region(t.store, part);
	LWLockRelease(lock_of(t.store, part));
}

/* Quotas of any kind; must hold at once. */
static void
set_quota(int space, uint32 arg)
{
	int64		min_bytes = (arg & 1) ? arg : 0;
	int64		max_bytes = (arg & 2) ? 1000 + arg : 0;
	int64		max_entries = (arg & 4) ? 1 + (arg >> 3) % 100 : 0;

	pgcache_store_set_quota(t.store, space, min_bytes, max_bytes, max_entries);
	if ((max_bytes > 0 && usage(&t, space).memory > max_bytes) ||
		(max_entries > 0 && usage(&t, space).entries > max_entries))
		fail(NULL, "a quota does not hold");
}

static void
operate(uint8 what, int n, uint32 arg)
{
	switch (what % 16)
	{
		case 0:
		case 1:
		case 2:
		case 3:
			put(n, arg, PGCACHE_PUT_SET, what >> 4);
			break;
		case 4:
			put(n, arg, PGCACHE_PUT_ADD, what >> 4);
			break;
		case 5:
			put(n, arg, PGCACHE_PUT_REPLACE, what >> 4);
			break;
		case 6:
		case 7:
			get(n);
			break;
		case 8:
			if (what & 0x10)
				hint(n, arg);
			else
				touch(n, arg);
			break;
		case 9:
			delete(n);
			break;
		case 10:
			if (what & 0x10)
				kill_stamp(arg % NSTAMPS);
			else
				clear(n % NSPACES, (what & 0x20) ? arg % 16 : 0);
			break;
		case 11:
			sweep(n % t.store->nparts);
			break;
		case 12:
			pgcache_store_tuning(t.store)->memory_limit = (Size) arg * 8;
			break;
		case 13:
			test_now += (arg & 1) ? arg : arg * USECS_PER_SEC;
			break;
		case 14:
			evacuate(n % t.store->nparts);
			break;
		default:
			set_quota(n % NSPACES, arg);
			break;
	}
}

/* An empty store. */
static TestStore *
choose_store(int partitions, int eviction)
{
	TestStore  *chosen = &stores[partitions][eviction];

	if (chosen->store == NULL)
	{
		PgCacheStoreConfig config = make_config(256 * 1024, 1 + partitions,
												eviction ? PGCACHE_EVICTION_S3FIFO : PGCACHE_EVICTION_LRU);

		config.is_dead = is_dead;
		*chosen = make_store_of(config);
	}
	else
		format_store(chosen);
	return chosen;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	test_now = INT64CONST(800000000000000);
	memset(model, 0, sizeof(model));
	memset(stamps, 0, sizeof(stamps));
	t = *choose_store(data[0] & 1, (data[0] & 2) != 0);
	pgcache_store_tuning(t.store)->memory_limit = t.config.memory;
	pgcache_store_tuning(t.store)->lru_bump = (data[0] & 4) ? 0 : 10;
	for (size_t i = 1; i + 3 < size; i += 4)
		operate(data[i], data[i + 1], data[i + 2] | (uint32) data[i + 3] << 8);
	for (int n = 0; n < NKEYS; n++)
		get(n);
	pgcache_store_check(t.store, fail, NULL);
	return 0;
}
