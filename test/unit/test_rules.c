/*
 * test_rules.c
 *	  The rules of consistency: a model of a server, by chance, with all rules
 *	  and with each broken in turn; and the cases that the proof speaks of.
 */
#include "rules_model.h"

/* ---- the model --------------------------------------------------------------- */

/* Some lives; stops at the first wrong value. */
static Tally
run_model(int lives)
{
	static World w;
	Tally		tally = {0};

	for (int i = 0; i < lives && tally.wrong == 0; i++)
	{
		/* Some begin shortly before ids wrap around. */
		begin_world(&w, random_below, i % 3 == 0 ? UINT64CONST(0x1ffffffc0) :
					1000 + UINT64CONST(77) * i, &tally);
		for (int n = 0; n < MODEL_STEPS && tally.wrong == 0 && step_world(&w); n++)
			;
	}
	return tally;
}

static void
test_model(void)
{
	Tally		t = run_model(6000);

	printf("# %lld steps, %lld hits (%lld over later publishes), %lld misses, "
		   "%lld stored (%lld over a floor, %lld leased), %lld stale, %lld evictions\n",
		   (long long) t.steps, (long long) t.hits, (long long) t.slow_hits,
		   (long long) t.misses, (long long) t.stored, (long long) t.saved_by_xmax,
		   (long long) t.leased, (long long) t.stale, (long long) t.evictions);
	ok(t.wrong == 0, "no wrong value in %lld hits", (long long) t.hits);
	ok(t.hits > 100000 && t.slow_hits > 1000 && t.stored > 10000 && t.stale > 1000,
	   "of which there were enough of each kind");
	ok(t.evictions > 1000 && t.saved_by_xmax > 100 && t.leased > 100,
	   "with evictions, floors and leases");
}

static pg_atomic_uint32 broken;

static void
test_broken(const char *name, PgCacheBreakable rule)
{
	Tally		t;

	pg_atomic_write_u32(&broken, 1U << rule);
	t = run_model(60000);
	pg_atomic_write_u32(&broken, 0);
	ok(t.wrong > 0, "a wrong value shows with %s, after %lld hits", name,
	   (long long) t.hits);
}

/* ---- cases ------------------------------------------------------------------- */

#define XIDS(...)	((const TransactionId[]) {__VA_ARGS__})

static PgCacheSnap
snap_of(uint64 xmin, uint64 xmax, const TransactionId *xip, uint32 xcnt)
{
	PgCacheSnap snap = {
		.xmin = xmin,.xmax = xmax,.xip = xip,.xcnt = xcnt,
		.asof = pgcache_asof(xmax, xcnt)
	};

	return snap;
}

static PgCacheBound
bound_of(PgCacheSnap snap, uint64 before, uint64 noted)
{
	PgCacheBound bound = {
		.snap = snap,.before = before,.noted = noted,.fence = PG_UINT64_MAX
	};

	return bound;
}

static void
add(PgCacheRing *ring, uint64 number, uint64 writer, int kind,
	uint64 finished_below, uint64 latest)
{
	PgCachePublish p = {.writer = writer,.kind = kind,.number = number};
	PgCacheFinished finished = {.below = finished_below,.latest = latest};

	pgcache_ring_add(ring, &p, &finished);
}

static void
test_sees(void)
{
	PgCacheSnap s = snap_of(100, 110, XIDS(100, 105), 2);
	PgCacheSnap wrapped = snap_of(UINT64CONST(0x1fffffffe), UINT64CONST(0x200000005),
								  XIDS(0xfffffffe, 3), 2);

	ok(pgcache_snap_sees(&s, 99) && !pgcache_snap_sees(&s, 100) &&
	   pgcache_snap_sees(&s, 101) && !pgcache_snap_sees(&s, 105) &&
	   pgcache_snap_sees(&s, 109) && !pgcache_snap_sees(&s, 110),
	   "a snapshot sees what is below xmax and not running");
	s.own = 120;
	ok(pgcache_snap_sees(&s, 120) && !pgcache_snap_sees(&s, 121), "and its own");
	ok(!pgcache_snap_sees(&wrapped, UINT64CONST(0x1fffffffe)) &&
	   pgcache_snap_sees(&wrapped, UINT64CONST(0x1ffffffff)) &&
	   !pgcache_snap_sees(&wrapped, UINT64CONST(0x200000003)) &&
	   pgcache_snap_sees(&wrapped, UINT64CONST(0x200000004)) &&
	   pgcache_snap_sees(&wrapped, 3),
	   "also where 32-bit ids wrap around");
}

static void
test_asof(void)
{
	ok(pgcache_asof(100, 3) < pgcache_asof(100, 2) &&
	   pgcache_asof(100, 0) < pgcache_asof(101, 50) &&
	   pgcache_asof(100, 1 << 20) < pgcache_asof(101, 1 << 20) &&
	   pgcache_asof(100, 1 << 20) == pgcache_asof(100, 1 << 21),
	   "as-ofs rise with xmax, and as fewer run");
}

static void
test_ring(void)
{
	PgCacheRing r = {{{0}}};

	for (int i = 1; i <= PGCACHE_RING_SIZE; i++)
		add(&r, i, 100 + i, PGCACHE_PUBLISH_XID, 0, 200);
	ok(r.at[0].number == PGCACHE_RING_SIZE && r.at[PGCACHE_RING_SIZE - 1].number == 1 &&
	   r.evicted == 0, "a ring holds the newest first");
	add(&r, 10, 103, PGCACHE_PUBLISH_XID, 0, 200);
	ok(r.at[0].number == 10 && r.at[0].writer == 103 && r.at[1].number == 5 &&
	   r.at[2].number == 4 && r.at[3].number == 2 && r.evicted == 0,
	   "a writer's later publish takes the place of its earlier one");
	add(&r, 11, 101, PGCACHE_PUBLISH_STRICT, 0, 200);
	add(&r, 12, 101, PGCACHE_PUBLISH_XID, 0, 200);
	ok(r.at[0].number == 12 && r.at[1].number == 11 &&
	   r.at[1].kind == PGCACHE_PUBLISH_STRICT && r.evicted == 2,
	   "but an ordinary one does not replace a strict one");
	add(&r, 13, 201, PGCACHE_PUBLISH_IMMEDIATE, 0, 201);
	add(&r, 14, 202, PGCACHE_PUBLISH_IMMEDIATE, 0, 202);
	ok(r.at[0].number == 14 && r.at[1].number == 12, "of immediate ones the last stays");
	r.at[0].backend = 7;
	add(&r, 15, 203, PGCACHE_PUBLISH_IMMEDIATE, 200, 203);
	ok(r.at[0].number == 15 && r.at[1].number == 14, "of each backend");
}

/* A full ring of writers from first on, none of which has finished. */
static PgCacheRing
full_ring(uint64 first)
{
	PgCacheRing r = {{{0}}};

	for (int i = 0; i < PGCACHE_RING_SIZE; i++)
		add(&r, 1 + i, first + i, PGCACHE_PUBLISH_XID, 0, first);
	return r;
}

static void
test_floor(void)
{
	PgCacheRing r = full_ring(112);
	PgCacheBound old = bound_of(snap_of(100, 110, XIDS(100), 1), 1, 1000);
	PgCacheBound at = bound_of(snap_of(112, 121, XIDS(112), 1), 1, 1000);
	PgCacheBound later = bound_of(snap_of(100, 140, XIDS(100), 1), 1, 1000);
	PgCacheBound above = bound_of(snap_of(113, 121, XIDS(113), 1), 1, 1000);

	ok(!pgcache_rule_evicted(&r, &old), "nothing has fallen out of a full ring");
	add(&r, 6, 117, PGCACHE_PUBLISH_XID, 112, 121);
	ok(r.evicted == 1 && r.floor == 112 && r.floor_after == PG_UINT64_MAX,
	   "what falls out is the floor");
	ok(pgcache_rule_evicted(&r, &old) && pgcache_rule_evicted(&r, &at) &&
	   pgcache_rule_evicted(&r, &later) && !pgcache_rule_evicted(&r, &above),
	   "while it runs, only a snapshot with a higher xmin may store");
	add(&r, 7, 117, PGCACHE_PUBLISH_XID, 113, 130);
	at.snap.xmax = 130;
	ok(r.evicted == 1 && r.floor_after == 130 && pgcache_rule_evicted(&r, &old) &&
	   pgcache_rule_evicted(&r, &at) && !pgcache_rule_evicted(&r, &later),
	   "when it has finished, also one with a higher xmax than there was");
	at.snap.xmax = 131;
	ok(!pgcache_rule_evicted(&r, &at), "be it higher by one");
	later.fence = 1;
	ok(pgcache_rule_evicted(&r, &later), "but not what fell out after the fence");
	ok(!pgcache_rule_serve(&r, &old.snap, 1) && pgcache_rule_serve(&r, &old.snap, 2),
	   "nothing is served over what fell out");
}

static void
test_victim(void)
{
	PgCacheRing r = full_ring(112);
	PgCachePublish p = {.writer = 117,.kind = PGCACHE_PUBLISH_XID,.number = 6};
	PgCacheFinished finished = {.below = 100,.also = 114,.latest = 121};

	pgcache_ring_add(&r, &p, &finished);
	ok(r.evicted == 3 && r.floor == 114 && r.floor_after == 121,
	   "who is known to have finished falls out first");
	ok(r.at[0].writer == 117 && r.at[1].writer == 116 && r.at[2].writer == 115 &&
	   r.at[3].writer == 113 && r.at[4].writer == 112, "the others stay in their order");
	p.number = 7;
	p.writer = 118;
	finished.also = 0;
	pgcache_ring_add(&r, &p, &finished);
	ok(r.evicted == 3 && r.floor == 114 && r.floor_after == PG_UINT64_MAX,
	   "after one of whom that is not known, no xmax will do");
	p.number = 8;
	p.writer = 119;
	finished.also = 113;
	finished.latest = 125;
	pgcache_ring_add(&r, &p, &finished);
	ok(r.floor_after == PG_UINT64_MAX, "nor after others");
}

/* An evicted immediate publish whose writer was 120. */
static PgCacheRing
evicted_immediate(void)
{
	PgCacheRing r = {{{0}}};

	add(&r, 10, 120, PGCACHE_PUBLISH_IMMEDIATE, 0, 120);
	for (int i = 0; i < PGCACHE_RING_SIZE; i++)
		add(&r, 11 + i, 90 + i, PGCACHE_PUBLISH_XID, 0, 120);
	return r;
}

static void
test_immediate(void)
{
	PgCacheRing r = {{{0}}};
	PgCacheRing e = evicted_immediate();
	PgCacheBound below = bound_of(snap_of(119, 119, NULL, 0), 1, 11);
	PgCacheBound at = bound_of(snap_of(120, 120, NULL, 0), 1, 11);
	PgCacheBound running = bound_of(snap_of(110, 120, XIDS(110), 1), 10, 11);
	PgCacheBound after = bound_of(snap_of(110, 120, XIDS(110), 1), 11, 11);
	PgCacheBound above = bound_of(snap_of(110, 121, XIDS(110), 1), 1, 11);
	PgCacheBound late = bound_of(snap_of(121, 121, NULL, 0), 1, 10);

	add(&r, 10, 120, PGCACHE_PUBLISH_IMMEDIATE, 0, 120);
	ok(pgcache_rule_stale(&r, &below), "an xmax below that of an immediate change is stale");
	ok(!pgcache_rule_stale(&r, &at), "an equal one is not, if nobody runs");
	ok(pgcache_rule_stale(&r, &running), "but is if somebody does");
	ok(!pgcache_rule_stale(&r, &after), "unless the snapshot is surely later");
	ok(!pgcache_rule_stale(&r, &above), "a higher one is not stale");
	ok(pgcache_rule_stale(&r, &late), "whatever was noted before the change is");
	above.snap.own = 120;
	below.snap.own = 120;
	ok(pgcache_rule_stale(&r, &below), "no transaction's xid makes it an own one");
	r.at[0].backend = 3;
	late.backend = 2;
	ok(pgcache_rule_stale(&r, &late), "nor does another backend");
	late.backend = 3;
	ok(!pgcache_rule_stale(&r, &late), "but the one that made it puts after it");
	ok(!pgcache_rule_serve(&r, &above.snap, 10) && pgcache_rule_serve(&r, &below.snap, 11) &&
	   pgcache_rule_dead(&r, 10, 0) && !pgcache_rule_dead(&r, 11, 1000),
	   "it ends older entries for everybody");

	MUST(e.evicted == 10 && e.floor == 119);
	ok(pgcache_rule_evicted(&e, &below) && !pgcache_rule_evicted(&e, &at) &&
	   pgcache_rule_evicted(&e, &running) && pgcache_rule_evicted(&e, &late),
	   "the floor says no less when it has fallen out");
}

static void
test_strict(void)
{
	PgCacheRing r = {{{0}}};
	PgCacheSnap older = snap_of(100, 110, NULL, 0);
	PgCacheSnap newer = snap_of(120, 120, NULL, 0);
	PgCacheBound bound = bound_of(newer, 100, 100);

	add(&r, 10, 112, PGCACHE_PUBLISH_XID, 0, 120);
	ok(pgcache_rule_serve(&r, &older, 10) && !pgcache_rule_serve(&r, &newer, 10) &&
	   !pgcache_rule_dead(&r, 10, 112) && pgcache_rule_dead(&r, 10, 113),
	   "an ordinary change ends entries for those that see it");
	add(&r, 11, 113, PGCACHE_PUBLISH_STRICT, 0, 120);
	ok(!pgcache_rule_serve(&r, &older, 11) && pgcache_rule_serve(&r, &older, 12) &&
	   pgcache_rule_dead(&r, 11, 0), "a strict one for everybody");
	ok(!pgcache_rule_ddl(&r, &bound), "nothing is pending");
	add(&r, 12, 114, PGCACHE_PUBLISH_PREPARED, 0, 120);
	ok(!pgcache_rule_serve(&r, &older, 12) && pgcache_rule_dead(&r, 12, 0),
	   "so does a prepared one");
	ok(pgcache_rule_ddl(&r, &bound), "over which nothing is stored");
	for (int i = 0; i < PGCACHE_RING_SIZE; i++)
		add(&r, 13 + i, 50 + i, PGCACHE_PUBLISH_XID, 0, 120);
	ok(r.evicted > 12 && pgcache_rule_ddl(&r, &bound), "and others fall out before it");
	for (int i = 0; i < PGCACHE_RING_SIZE; i++)
		add(&r, 20 + i, 60 + i, PGCACHE_PUBLISH_PREPARED, 0, 120);
	for (int i = 0; i < PGCACHE_RING_SIZE; i++)
		r.at[i].kind = PGCACHE_PUBLISH_STRICT;
	ok(pgcache_rule_ddl(&r, &bound), "nor is it stored if they have to");
}

static void
test_ddl(void)
{
	PgCacheRing r = {{{0}}};
	PgCacheBound bound = bound_of(snap_of(100, 100, NULL, 0), 1, 1);

	r.ddl_done = 7;
	bound.ddl_epoch = 7;
	ok(!pgcache_rule_ddl(&r, &bound), "DDL that was done when messages were read is seen");
	r.ddl_pending = 1;
	ok(pgcache_rule_ddl(&r, &bound), "pending DDL is not");
	r.ddl_pending = 0;
	r.ddl_done = 8;
	ok(pgcache_rule_ddl(&r, &bound), "nor what was done later");
	r.ddl_done = 2;
	bound.ddl_epoch = PG_UINT32_MAX - 2;
	ok(pgcache_rule_ddl(&r, &bound), "also across the end of the epochs");
	r.ddl_done = PG_UINT32_MAX;
	bound.ddl_epoch = 2;
	ok(!pgcache_rule_ddl(&r, &bound), "where the earlier is still earlier");
}

static void
test_own(void)
{
	PgCacheRing r = {{{0}}};
	PgCacheBound bound = bound_of(snap_of(100, 110, XIDS(100), 1), 5, 5);
	PgCacheBound lease = bound_of(snap_of(100, 100, NULL, 0), 5, 5);

	lease.fence = 5;
	add(&r, 10, 120, PGCACHE_PUBLISH_XID, 0, 110);
	ok(pgcache_rule_stale(&r, &bound) && pgcache_rule_stale(&r, &lease),
	   "another's later change makes data stale");
	bound.snap.own = 120;
	lease.snap.own = 120;
	ok(!pgcache_rule_stale(&r, &bound) && !pgcache_rule_stale(&r, &lease),
	   "the own one does not");
	ok(!pgcache_rule_ddl(&r, &bound) && pgcache_rule_ddl(&r, &lease),
	   "but it does for a table and a lease");
	add(&r, 11, 90, PGCACHE_PUBLISH_XID, 0, 110);
	ok(!pgcache_rule_stale(&r, &bound) && pgcache_rule_stale(&r, &lease),
	   "a lease takes no publish after it, not even of one long seen");
	add(&r, 12, 100, PGCACHE_PUBLISH_XID, 0, 110);
	ok(pgcache_rule_stale(&r, &bound), "nor a snapshot one that it saw running");
	lease.fence = 100;
	lease.noted = 100;
	ok(pgcache_rule_stale(&r, &lease), "nor a lease one from its xmin on, however early");
}

static void
test_older(void)
{
	PgCacheRing r = {{{0}}};
	PgCacheBound bound = bound_of(snap_of(100, 110, XIDS(100), 1), 5, 5);

	r.asof = pgcache_asof(110, 1);
	ok(!pgcache_rule_older(&r, &bound, 7), "an equal as-of is not older");
	r.asof = pgcache_asof(110, 0);
	ok(pgcache_rule_older(&r, &bound, 7), "one with more running is");
	bound.own_asof[3] = r.asof;
	bound.own_stamp[3] = 7;
	ok(!pgcache_rule_older(&r, &bound, 7), "but not than an own put of the key");
	ok(pgcache_rule_older(&r, &bound, 8), "of another key it is");
}

int
main(void)
{
	pg_atomic_init_u32(&broken, 0);
	pgcache_broken = &broken;

	test_sees();
	test_asof();
	test_ring();
	test_floor();
	test_victim();
	test_immediate();
	test_strict();
	test_ddl();
	test_own();
	test_older();
	test_model();
#define TEST_BROKEN(name) test_broken(#name, PGCACHE_BREAK_##name)
	TEST_BROKEN(late);
	TEST_BROKEN(nosnapshot);
	TEST_BROKEN(noown);
	TEST_BROKEN(nostrict);
	TEST_BROKEN(noevict);
	TEST_BROKEN(nofloor);
	TEST_BROKEN(nounseen);
	TEST_BROKEN(noimmediate);
	TEST_BROKEN(noborder);
	TEST_BROKEN(nofence);
	TEST_BROKEN(noasof);
	return done_testing();
}
