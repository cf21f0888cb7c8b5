/*-------------------------------------------------------------------------
 *
 * table.c
 *	  The table of stamps in shared memory, and the DDL epoch.
 *
 *	   databases   namespaces        keys        relations   tags
 *	  +-----------+-----------------+-----------+-----------+------------------------+
 *	  | 2 x 64,   | max_namespaces, | half as   | a quarter | stamps, rounded up to  |
 *	  | by OID    | by their slot   | many      |           | a power of two         |
 *	  +-----------+-----------------+-----------+-----------+------------------------+
 *
 * The last three by a hash.  They are apart because a key is published by each put
 * of a transaction, and a busy table by each commit: none of that must end what
 * depends on a tag that happens to share the stamp.  What shares a key's stamp only
 * matters for the puts that are under way.
 *
 * Locking: who changes a stamp makes its version odd by compare-and-swap, waits
 * for others that did, and makes it even again; between the two are some dozens
 * of instructions that cannot fail or be interrupted.  A reader copies, and
 * copies anew if the version has changed.  Spinlocks would do for writers, but
 * readers would then write a line that all others read.
 *
 * A publisher takes its number while the stamp is busy.  So whoever has read a
 * higher number finds the stamp busy, or with that publish in it.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "storage/lmgr.h"
#include "storage/s_lock.h"

#include "base/compat.h"
#include "base/hash.h"
#include "base/settings.h"
#include "shmem/shmem.h"
#include "space/store_part.h"
#include "stamp/broken.h"
#include "stamp/stamp.h"

StaticAssertDecl(sizeof(PgCacheSharedStamp) == 128, "a stamp fills two cache lines");

/* What lies before the table; each counter on a line of its own. */
typedef struct PgCacheSharedStamps
{
	uint64		seed[2];		/* of the hash of tags */
	pg_atomic_uint32 broken;	/* see broken.h */
	char		pad1[PG_CACHE_LINE_SIZE - 2 * sizeof(uint64) - sizeof(pg_atomic_uint32)];
	pg_atomic_uint64 finished_below;	/* changed by each that knows better */
	char		pad2[PG_CACHE_LINE_SIZE - sizeof(pg_atomic_uint64)];
	pg_atomic_uint32 ddl_epoch; /* number of pgcache_ddl_end */
	char		pad3[PG_CACHE_LINE_SIZE - sizeof(pg_atomic_uint32)];
	PgCacheSharedStamp table[FLEXIBLE_ARRAY_MEMBER];
} PgCacheSharedStamps;

PgCacheSharedStamp *pgcache_stamp_table = NULL;

#ifdef PGCACHE_TEST
pg_atomic_uint32 *pgcache_broken = NULL;
#endif

static PgCacheSharedStamps *shared = NULL;

/* Those found by a hash: where they begin, and what masks it. */
static uint32 keys_first;
static uint32 keys_mask;
static uint32 relations_first;
static uint32 relations_mask;
static uint32 tags_first;
static uint32 tags_mask;

PgCacheStamp
pgcache_stamp_of_key(uint64 hash)
{
	/* The store picks partitions and buckets by other bits. */
	hash = pgcache_hash_fold(hash, UINT64CONST(0x9e3779b97f4a7c15));
	return keys_first + ((uint32) hash & keys_mask);
}

PgCacheStamp
pgcache_stamp_of_tag(uint16 slot, const char *tag, int len)
{
	return tags_first +
		((uint32) pgcache_hash(tag, len, slot, shared->seed) & tags_mask);
}

PgCacheStamp
pgcache_stamp_of_relation(Oid database, Oid relation)
{
	uint64		hash = pgcache_hash_fold(((uint64) database << 32) | relation,
										 UINT64CONST(0xd6e8feb86659fd93));

	return relations_first + ((uint32) hash & relations_mask);
}

/* ---- changing ---------------------------------------------------------------- */

/* Makes the version odd, a full barrier. */
static PgCacheSharedStamp *
begin_change(PgCacheStamp number)
{
	PgCacheSharedStamp *stamp = &pgcache_stamp_table[number];
	SpinDelayStatus delay;

	init_local_spin_delay(&delay);
	for (;;)
	{
		uint64		version = pg_atomic_read_u64(&stamp->version);

		if ((version & 1) == 0 &&
			pg_atomic_compare_exchange_u64(&stamp->version, &version, version + 1))
			break;
		perform_spin_delay(&delay);
	}
	finish_spin_delay(&delay);
	return stamp;
}

/* The last line of each change is a full barrier, too. */
static void
end_change(PgCacheSharedStamp *stamp)
{
	pg_atomic_fetch_add_u64(&stamp->version, 1);
}

uint64
pgcache_stamp_now(void)
{
	uint64		now = pgcache_store_seq(pgcache_store);

	pg_read_barrier();
	return now;
}

/*
 * Looks, if the ring is full, for a writer that has finished and may fall out.
 * It costs what a snapshot does, and is only needed where an old transaction
 * holds finished_below back.
 */
static void
find_finished(PgCacheStamp number, PgCacheFinished *finished)
{
	PgCacheRing ring;

	finished->below = pgcache_finished_below();
	finished->also = 0;

	/* A hint will do. */
	if (likely(pgcache_stamp_table[number].ring.at[PGCACHE_RING_SIZE - 1].number == 0))
		return;
	pgcache_stamp_read(number, &ring);
	if (ring.at[PGCACHE_RING_SIZE - 1].number == 0)
		return;
	for (int i = 0; i < PGCACHE_RING_SIZE; i++)
	{
		if (ring.at[i].kind == PGCACHE_PUBLISH_PREPARED)
		{
			/* So that none that has been resolved falls out. */
			pgcache_ddl_resolve(number);
			pgcache_stamp_read(number, &ring);
			break;
		}
	}
	for (int i = PGCACHE_RING_SIZE - 1; i >= 0; i--)
	{
		/* It stays if there is any other. */
		if (ring.at[i].kind == PGCACHE_PUBLISH_PREPARED)
			continue;
		if (pgcache_has_finished(finished, &ring.at[i]))
			break;
		if (pgcache_xid_finished(ring.at[i].writer))
		{
			finished->also = ring.at[i].writer;
			break;
		}
	}
}

uint64
pgcache_stamp_publish(PgCacheStamp number, uint64 writer, int kind)
{
	PgCacheSharedStamp *stamp;
	PgCacheRing ring;
	PgCachePublish publish;
	PgCacheFinished finished;

	find_finished(number, &finished);
	stamp = begin_change(number);
	ring = stamp->ring;
	publish.number = pgcache_store_publish(pgcache_store);

	/* That was a barrier: what has finished had before we read the latest. */
	finished.latest = pgcache_latest_completed();
	publish.writer = kind == PGCACHE_PUBLISH_IMMEDIATE ? finished.latest : writer;
	publish.backend = kind == PGCACHE_PUBLISH_IMMEDIATE ? PGCACHE_MY_BACKEND + 1 : 0;
	publish.kind = kind;
	pgcache_ring_add(&ring, &publish, &finished);

	/* First in one piece what is read without a look at the version. */
	pg_atomic_write_u64(pgcache_stamp_last(number), publish.number);
	stamp->ring = ring;
	end_change(stamp);
	return publish.number;
}

void
pgcache_stamp_note_asof(PgCacheStamp number, uint64 asof)
{
	PgCacheSharedStamp *stamp = begin_change(number);

	stamp->ring.asof = Max(stamp->ring.asof, asof);
	end_change(stamp);
}

void
pgcache_stamp_read(PgCacheStamp number, PgCacheRing *ring)
{
	PgCacheSharedStamp *stamp = &pgcache_stamp_table[number];
	SpinDelayStatus delay;

	init_local_spin_delay(&delay);

	/* What the caller read first, a number or a snapshot, is older. */
	pg_read_barrier();
	for (;;)
	{
		uint64		version = pg_atomic_read_u64(&stamp->version);

		if ((version & 1) == 0)
		{
			pg_read_barrier();
			*ring = stamp->ring;
			pg_read_barrier();
			if (pg_atomic_read_u64(&stamp->version) == version)
				break;
		}
		perform_spin_delay(&delay);
	}
	finish_spin_delay(&delay);
}

/* ---- DDL --------------------------------------------------------------------- */

void
pgcache_ddl_begin(PgCacheStamp number)
{
	PgCacheSharedStamp *stamp = begin_change(number);

	stamp->ring.ddl_pending++;
	end_change(stamp);
}

void
pgcache_ddl_end(PgCacheStamp number)
{
	PgCacheSharedStamp *stamp = begin_change(number);

	stamp->ring.ddl_done = pg_atomic_add_fetch_u32(&shared->ddl_epoch, 1);
	stamp->ring.ddl_pending--;
	end_change(stamp);
}

/* From now on the publish is one whose messages were sent just now. */
static void
end_prepared(PgCacheStamp number, uint64 publish)
{
	PgCacheSharedStamp *stamp = begin_change(number);

	for (int i = 0; i < PGCACHE_RING_SIZE; i++)
	{
		if (stamp->ring.at[i].number != publish)
			continue;
		stamp->ring.at[i].kind = PGCACHE_PUBLISH_STRICT;
		stamp->ring.ddl_done = pg_atomic_add_fetch_u32(&shared->ddl_epoch, 1);
	}
	end_change(stamp);
}

void
pgcache_ddl_resolve(PgCacheStamp number)
{
	PgCacheRing ring;

	pgcache_stamp_read(number, &ring);
	for (int i = 0; i < PGCACHE_RING_SIZE; i++)
	{
		const PgCachePublish *p = &ring.at[i];

		if (p->kind == PGCACHE_PUBLISH_PREPARED && p->number != 0 &&
			pgcache_xid_finished(p->writer) &&
			PGCACHE_XACT_LOCK_IS_FREE((TransactionId) p->writer))
			end_prepared(number, p->number);
	}
}

uint32
pgcache_ddl_epoch(void)
{
	uint32		epoch = pg_atomic_read_u32(&shared->ddl_epoch);

	pg_read_barrier();
	return epoch;
}

/* ---- what has finished ------------------------------------------------------- */

uint64
pgcache_finished_below(void)
{
	return pg_atomic_read_u64(&shared->finished_below);
}

void
pgcache_note_finished(uint64 xmin)
{
	uint64		old = pg_atomic_read_u64(&shared->finished_below);

	while (old < xmin &&
		   !pg_atomic_compare_exchange_u64(&shared->finished_below, &old, xmin))
		;						/* old was read anew */
}

/* ---- shared memory ----------------------------------------------------------- */

static uint32
number_of_tags(void)
{
	return pg_nextpower2_32(pgcache_stamps);
}

static uint32
number_of_keys(void)
{
	return number_of_tags() / 2;
}

static uint32
number_of_relations(void)
{
	return number_of_tags() / 4;
}

static uint32
number_of_stamps(void)
{
	return 2 * PGCACHE_DATABASE_STAMPS + pgcache_max_namespaces +
		number_of_keys() + number_of_relations() + number_of_tags();
}

static Size
stamps_size(void)
{
	return add_size(offsetof(PgCacheSharedStamps, table),
					mul_size(number_of_stamps(), sizeof(PgCacheSharedStamp)));
}

static void
stamps_init(void *memory, LWLockPadded *locks)
{
	PgCacheSharedStamps *stamps = memory;

	memset(memory, 0, stamps_size());
	if (!pg_strong_random(stamps->seed, sizeof(stamps->seed)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random hash seed")));
	pg_atomic_init_u32(&stamps->broken, 0);
	pg_atomic_init_u64(&stamps->finished_below, 0);
	pg_atomic_init_u32(&stamps->ddl_epoch, 0);
	for (uint32 i = 0; i < number_of_stamps(); i++)
		pg_atomic_init_u64(&stamps->table[i].version, 0);
}

static void
stamps_attach(void *memory, LWLockPadded *locks)
{
	shared = memory;
	pgcache_stamp_table = shared->table;
	keys_first = 2 * PGCACHE_DATABASE_STAMPS + pgcache_max_namespaces;
	keys_mask = number_of_keys() - 1;
	relations_first = keys_first + number_of_keys();
	relations_mask = number_of_relations() - 1;
	tags_first = relations_first + number_of_relations();
	tags_mask = number_of_tags() - 1;
#ifdef PGCACHE_TEST
	pgcache_broken = &shared->broken;
#endif
}

static const PgCacheShmemPart stamps_part = {
	.name = "PgCacheStamp",
	.size = stamps_size,
	.init = stamps_init,
	.attach = stamps_attach
};

void
pgcache_stamp_register(void)
{
	pgcache_shmem_register(&stamps_part);
}
