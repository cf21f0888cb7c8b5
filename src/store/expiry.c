/*-------------------------------------------------------------------------
 *
 * expiry.c
 *	  Removing what has expired, and what is dead.
 *
 * Buckets hold a coarse expiry of 16 bits, so that expired entries are found
 * by reading the index alone, front to back, without a timer wheel or links in
 * entries: the second of the expiry on a clock that turns once in 65,533
 * seconds.  An expiry of more than half a turn ahead is "far", and is given
 * its second when it has come nearer.  After a pause of nearly half a turn the
 * codes say nothing, and entries are asked.  A partition knows a time before
 * which nothing in it expires, so that most sweeps end at once; it is found
 * anew whenever a round over all buckets ends, which may take several sweeps.
 *
 * Dead entries, which nobody will be served, are found by a hand that goes over
 * the buckets: while the partition knows that it has some (ndead), or for one
 * turn after it has noticed that there may be some (dead_left).
 *
 * Locking: the partition's lock, held exclusively.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "store/store_internal.h"

#define EXPIRY_NONE		0
#define EXPIRY_FAR		PG_UINT16_MAX
#define EXPIRY_TURN		65533	/* codes 1 to 65,533 */
#define EXPIRY_HORIZON	32000	/* seconds; more than this ahead is far */
#define FAR_INTERVAL	8000	/* seconds between looks at far ones */

/* Seconds since the store was made; may be negative, and more than 32 bits. */
static int64
store_second(const PgCacheStore *store, TimestampTz t)
{
	int64		usec = t - store->shared->epoch;

	return usec >= 0 ? usec / USECS_PER_SEC : -((-usec + USECS_PER_SEC - 1) / USECS_PER_SEC);
}

static uint16
code_of(int64 second)
{
	int64		turned = second % EXPIRY_TURN;

	return (uint16) (1 + (turned < 0 ? turned + EXPIRY_TURN : turned));
}

/* The coarse form of an expiry, in some second. */
static uint16
code_for(const PgCacheStore *store, TimestampTz expires, int64 second)
{
	int64		then = store_second(store, expires);

	return then - second > EXPIRY_HORIZON ? EXPIRY_FAR : code_of(Max(then, second));
}

/* Whether an interval has passed since a second; always if the clock went back. */
static bool
has_passed(int64 since, int64 second, int64 interval)
{
	return second < since || second - since >= interval;
}

/*
 * Whether an entry with that code may have expired in a second, which has
 * second_code itself.  If not, notes when it may at the earliest.
 */
static inline bool
may_have_expired(const PgCacheStore *store, PgCachePartition *part, int64 second,
				 uint16 second_code, uint16 code)
{
	int			ahead;

	if (part->round_at_all)
		return true;
	if (code == EXPIRY_FAR)
	{
		if (part->round_at_far)
			return true;
		ahead = FAR_INTERVAL;
	}
	else
	{
		ahead = code - second_code;
		if (ahead < 0)
			ahead += EXPIRY_TURN;
		if (ahead == 0 || ahead > EXPIRY_TURN / 2)
			return true;
	}
	part->round_next = Min(part->round_next,
						   store->shared->epoch + (second + ahead) * USECS_PER_SEC);
	return false;
}

/*
 * Whether nothing in a bucket may have expired, found in a few instructions for
 * all of its slots; if so, lowers *soonest to the seconds until something may.
 * As may_have_expired says of each, in rounds that look at neither all nor far
 * ones.
 */
static inline bool
bucket_is_quiet(const PgCacheBucket *bucket, uint16 second_code, int *soonest)
{
#ifdef __SSE2__
	/* Reads the first location, too. */
	__m128i		codes = _mm_loadu_si128((const __m128i *) bucket->expiry);
	__m128i		no_ttl;
	__m128i		far;
	__m128i		ahead;
	__m128i		due;
	__m128i		most = _mm_set1_epi16(PG_INT16_MAX);
	__m128i		second = _mm_set1_epi16((int16) second_code);
	__m128i		sign = _mm_set1_epi16(PG_INT16_MIN);
	__m128i		wrapped;

	codes = _mm_and_si128(codes, _mm_set_epi16(0, 0, -1, -1, -1, -1, -1, -1));
	no_ttl = _mm_cmpeq_epi16(codes, _mm_setzero_si128());
	far = _mm_cmpeq_epi16(codes, _mm_set1_epi16((int16) EXPIRY_FAR));

	/* A turn is three seconds less than what 16 bits wrap around. */
	wrapped = _mm_cmplt_epi16(_mm_xor_si128(codes, sign), _mm_xor_si128(second, sign));
	ahead = _mm_sub_epi16(codes, second);
	ahead = _mm_sub_epi16(ahead, _mm_and_si128(wrapped, _mm_set1_epi16(3)));
	due = _mm_or_si128(_mm_cmplt_epi16(ahead, _mm_set1_epi16(1)),
					   _mm_cmpeq_epi16(ahead, most));
	due = _mm_andnot_si128(_mm_or_si128(no_ttl, far), due);
	if (_mm_movemask_epi8(due) != 0)
		return false;
	ahead = _mm_or_si128(_mm_andnot_si128(far, ahead),
						 _mm_and_si128(far, _mm_set1_epi16(FAR_INTERVAL)));
	ahead = _mm_or_si128(_mm_andnot_si128(no_ttl, ahead), _mm_and_si128(no_ttl, most));
	if (_mm_movemask_epi8(_mm_cmplt_epi16(ahead, _mm_set1_epi16((int16) *soonest))) == 0)
		return true;
	ahead = _mm_min_epi16(ahead, _mm_srli_si128(ahead, 8));
	ahead = _mm_min_epi16(ahead, _mm_srli_si128(ahead, 4));
	ahead = _mm_min_epi16(ahead, _mm_srli_si128(ahead, 2));
	*soonest = Min(*soonest, _mm_extract_epi16(ahead, 0));
	return true;
#else
	for (int i = 0; i < BUCKET_SLOTS; i++)
	{
		int			ahead = bucket->expiry[i] - second_code;

		if (bucket->expiry[i] == EXPIRY_NONE)
			continue;
		if (ahead < 0)
			ahead += EXPIRY_TURN;
		if (bucket->expiry[i] == EXPIRY_FAR)
			ahead = FAR_INTERVAL;
		else if (ahead == 0 || ahead > EXPIRY_TURN / 2)
			return false;
		*soonest = Min(*soonest, ahead);
	}
	return true;
#endif
}

static inline bool
is_quiet(const PgCacheStore *store, const PgCacheBucket *bucket,
		 uint16 second_code, int *soonest)
{
	while (bucket_is_quiet(bucket, second_code, soonest))
	{
		if (bucket->next == 0)
			return true;
		bucket = at(store, bucket->next);
	}
	return false;
}

/* Removes what has expired of a chain. */
static int64
sweep_chain(PgCacheStore *store, PgCachePartition *part, TimestampTz now,
			int64 second, uint16 second_code, PgCacheBucket *first)
{
	PgCacheSlot slot = {.first = first,.bucket = first};
	int64		removed = 0;

	while (slot.bucket)
	{
		PgCacheOffset next = slot.bucket->next;

		for (slot.slot = 0; slot.slot < BUCKET_SLOTS;)
		{
			PgCacheOffset offset = slot.bucket->location[slot.slot];
			uint16		code = slot.bucket->expiry[slot.slot];
			EntryFields fields;

			if (offset == 0)
				break;
			if (code == EXPIRY_NONE || !may_have_expired(store, part, second, second_code, code))
			{
				slot.slot++;
				continue;
			}
			pgcache_entry_fields(at(store, offset), &fields);
			if (fields.expires > now)
			{
				part->round_next = Min(part->round_next, fields.expires);
				slot.bucket->expiry[slot.slot] =
					code_for(store, fields.expires, second);
				slot.slot++;
				continue;
			}

			/*
			 * The chain's last slot takes this one's place, and a bucket that
			 * empties goes: begin the chain again rather than reason about
			 * where we are.
			 */
			pgcache_entry_remove(store, part, offset, &slot, CAUSE_EXPIRED);
			removed++;
			slot.bucket = first;
			slot.slot = 0;
			next = first->next;
		}
		slot.bucket = next ? at(store, next) : NULL;
	}
	return removed;
}

static void
begin_round(PgCachePartition *part, int64 second)
{
	part->round_next = DT_NOEND;
	part->round_at_far = has_passed(part->far_checked, second, FAR_INTERVAL);
	part->round_at_all = has_passed(part->swept, second, EXPIRY_HORIZON);
	part->round_second = second;
}

static void
end_round(PgCachePartition *part)
{
	part->expiry_hand = 0;
	part->next_expiry = part->round_next;
	if (part->round_next == DT_NOBEGIN)
		return;					/* it may have missed some */
	part->swept = part->round_second;
	if (part->round_at_far || part->round_at_all)
		part->far_checked = part->round_second;
}

int64
pgcache_expiry_sweep(PgCacheStore *store, PgCachePartition *part,
					 TimestampTz now, int64 enough, int64 looks, bool eager)
{
	uint32		nbuckets = TABLE_BUCKETS(pg_atomic_read_u64(&part->table));
	int64		second = store_second(store, now);
	int64		removed = 0;
	uint16		second_code = code_of(second);
	int			soonest = PG_INT16_MAX;
	bool		quick;

	if (part->nttl == 0 || now < part->next_expiry)
		return 0;
	if (part->expiry_hand == 0)
	{
		/* Writers, who are not eager, begin a round a second. */
		if (second == part->swept && !eager)
			return 0;
		begin_round(part, second);
	}
	if (has_passed(part->swept, second, EXPIRY_HORIZON))
		part->round_at_all = true;
	quick = !part->round_at_all && !part->round_at_far;
	for (; part->expiry_hand < nbuckets && removed < enough && looks > 0; looks--)
	{
		PgCacheBucket *first = bucket_number(store, part, part->expiry_hand++);

		if (quick && is_quiet(store, first, second_code, &soonest))
			continue;
		removed += sweep_chain(store, part, now, second, second_code, first);
	}
	if (soonest < PG_INT16_MAX)
		part->round_next = Min(part->round_next,
							   store->shared->epoch + (second + soonest) * USECS_PER_SEC);
	if (part->expiry_hand >= nbuckets)
		end_round(part);
	return removed;
}

uint16
pgcache_expiry_enter(const PgCacheStore *store, PgCachePartition *part,
					 TimestampTz expires, TimestampTz now)
{
	int64		second = store_second(store, now);

	if (expires == DT_NOEND)
		return EXPIRY_NONE;
	part->next_expiry = Min(part->next_expiry, expires);
	part->round_next = Min(part->round_next, expires);

	/* If the clock was set back, codes of both times are about from now on. */
	part->swept = Min(part->swept, second);
	part->far_checked = Min(part->far_checked, second);
	part->round_second = Min(part->round_second, second);
	return code_for(store, expires, second);
}

void
pgcache_expiry_unsure(PgCachePartition *part)
{
	part->round_next = DT_NOBEGIN;
}

/* ---- dead entries ---------------------------------------------------------- */

void
pgcache_dead_look(PgCachePartition *part)
{
	if (part->dead_left == 0)
		part->dead_looks = MOST_DEAD_LOOKS;
	part->dead_left = TABLE_BUCKETS(pg_atomic_read_u64(&part->table));
}

void
pgcache_dead_unsure(PgCachePartition *part)
{
	if (part->dead_left > 0)
		part->dead_left = TABLE_BUCKETS(pg_atomic_read_u64(&part->table));
}

void
pgcache_heed_deaths(PgCacheStore *store, PgCachePartition *part)
{
	uint64		deaths = pg_atomic_read_u64(&store->shared->deaths);

	if (likely(part->deaths == deaths))
		return;
	/* What they died of was written before. */
	pg_read_barrier();
	part->deaths = deaths;
	if (part->ndeps > 0 && store->is_dead)
		pgcache_dead_look(part);
}

/*
 * Whether nobody will be served the entry: the namespace was cleared, or, if it
 * is to be asked for, what it depends on has changed.
 */
static bool
is_useless(const PgCacheStore *store, const PgCacheEntry *entry, bool ask)
{
	EntryFields fields;
	uint32		deps[PGCACHE_MAX_DEPS];

	if (entry_is_dead(store, entry))
		return true;
	if (!ask || (entry->flags & PGCACHE_ENTRY_DEPS) == 0 || !store->is_dead)
		return false;
	pgcache_entry_fields(entry, &fields);
	pgcache_entry_deps(entry, &fields, deps);
	return store->is_dead(entry->seq, deps, fields.nstamps);
}

/* Removes the first dead entry of a chain; false if there is none. */
static bool
remove_dead(PgCacheStore *store, PgCachePartition *part, PgCacheBucket *first)
{
	PgCacheSlot slot = {.first = first,.bucket = first};

	while (slot.bucket)
	{
		for (slot.slot = 0; slot.slot < BUCKET_SLOTS; slot.slot++)
		{
			PgCacheOffset offset = slot.bucket->location[slot.slot];

			if (offset == 0)
				return false;
			if (is_useless(store, at(store, offset), part->dead_left > 0))
			{
				pgcache_entry_remove(store, part, offset, &slot, CAUSE_DELETED);
				return true;
			}
		}
		slot.bucket = slot.bucket->next ? at(store, slot.bucket->next) : NULL;
	}
	return false;
}

int64
pgcache_dead_sweep(PgCacheStore *store, PgCachePartition *part, uint32 nlooks)
{
	uint32		nbuckets = TABLE_BUCKETS(pg_atomic_read_u64(&part->table));
	int64		removed = 0;

	nlooks = Min(nlooks, nbuckets);
	for (uint32 i = 0; i < nlooks && has_dead(part); i++)
	{
		PgCacheBucket *first;

		if (part->sweep_hand >= nbuckets)
			part->sweep_hand = 0;
		first = bucket_for(store, part, nbuckets, part->sweep_hand);
		while (remove_dead(store, part, first))
			removed++;
		if (removed > 0)
			break;
		part->sweep_hand++;
		if (part->dead_left > 0)
			part->dead_left--;
	}
	return removed;
}
