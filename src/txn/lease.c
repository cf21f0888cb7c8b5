/*-------------------------------------------------------------------------
 *
 * lease.c
 *	  Tokens that say since when data count as read.
 *
 * A client that reads in one statement and puts in a later one takes a lease
 * before it reads.  The token holds the bound of the statement that took it and,
 * as its fence, the publish number then: whatever is published from there on makes
 * the put stale, whoever saw it.  It grants nothing, so it is not secret; a forged
 * one spoils no more than the put that it is given to, since nothing in it is
 * believed that is later than now.
 *
 *		server id | key's hash | fence | before | asof | xmin | xmax | database |
 *		ddl epoch | of a standby | number of running ids | checksum | these
 *
 * in hexadecimal digits.  A snapshot with many running transactions is cut down to
 * one that sees only what is below its xmin.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "txn/txn_internal.h"
#include "watch/watch.h"

#define LEASE_MAX_RUNNING	32

typedef struct Lease
{
	uint64		server;
	uint64		key;
	uint64		fence;
	uint64		before;
	uint64		asof;
	uint64		xmin;
	uint64		xmax;
	Oid			database;
	uint32		ddl_epoch;
	uint32		recovery;
	uint32		nrunning;
	pg_crc32c	crc;			/* of all else */
	TransactionId running[LEASE_MAX_RUNNING];
} Lease;

#define LEASE_BYTES(n)	(offsetof(Lease, running) + (n) * sizeof(TransactionId))

static pg_crc32c
checksum(Lease *lease)
{
	pg_crc32c	crc;
	pg_crc32c	stored = lease->crc;

	lease->crc = 0;
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, lease, LEASE_BYTES(lease->nrunning));
	FIN_CRC32C(crc);
	lease->crc = stored;
	return crc;
}

/* Keys are hashed with a seed that is drawn when shared memory is made. */
static uint64
server_id(void)
{
	PgCacheKey	key;

	pgcache_store_key(pgcache_store, &key, 0, "lease", 5);
	return key.hash;
}

char *
pgcache_lease_make(const PgCacheKey *key)
{
	const PgCacheBound *bound = pgcache_statement_bound();
	uint64		fence = pgcache_stamp_now();
	Lease		lease;
	char	   *token;
	Size		size;

	memset(&lease, 0, sizeof(lease));
	if (bound == NULL)
		bound = &pgcache_bound_never;
	lease.server = server_id();
	lease.key = key->hash;
	lease.fence = Min(fence, bound->fence);
	lease.before = bound->before;
	lease.asof = bound->snap.asof;
	lease.xmin = bound->snap.xmin;
	lease.xmax = bound->snap.xmax;
	lease.database = MyDatabaseId;
	lease.ddl_epoch = bound->ddl_epoch;
	lease.recovery = bound->recovery;
	if (bound->snap.xcnt > LEASE_MAX_RUNNING)
		lease.xmax = lease.xmin;
	else
	{
		lease.nrunning = bound->snap.xcnt;
		memcpy(lease.running, bound->snap.xip,
			   lease.nrunning * sizeof(TransactionId));
	}
	lease.crc = checksum(&lease);

	size = LEASE_BYTES(lease.nrunning);
	token = palloc(2 * size + 1);
	hex_encode((char *) &lease, size, token);
	token[2 * size] = '\0';
	return token;
}

static void
refuse_token(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid lease"),
			 errdetail("%s", detail),
			 errhint("Use what cache_lease() returned for the same key.")));
}

/* Takes a token apart; false if it is none. */
static bool
decode(const char *token, int len, Lease *lease)
{
	if (len % 2 != 0 || len / 2 > sizeof(Lease) || len / 2 < LEASE_BYTES(0))
		return false;
	for (int i = 0; i < len; i++)
	{
		if (!isxdigit((unsigned char) token[i]))
			return false;
	}
	memset(lease, 0, sizeof(*lease));
	hex_decode(token, len, (char *) lease);
	return lease->nrunning <= LEASE_MAX_RUNNING &&
		len / 2 == LEASE_BYTES(lease->nrunning) &&
		checksum(lease) == lease->crc;
}

/* Whether it may have been made before now. */
static bool
is_plausible(const Lease *lease)
{
	uint64		latest = pgcache_latest_completed();

	return lease->xmin <= lease->xmax && lease->xmax <= latest &&
		lease->asof <= pgcache_asof(latest, 0) &&
		lease->before <= lease->fence && lease->fence <= pgcache_stamp_now();
}

const PgCacheBound *
pgcache_lease_read(const char *token, int len, const PgCacheKey *key)
{
	Lease		lease;
	MemoryContext old;
	PgCacheBound *bound;
	PgCacheBound read;

	if (!decode(token, len, &lease))
		refuse_token("It is damaged or incomplete.");
	if (lease.server != server_id())
		return &pgcache_bound_never;
	if (lease.database != MyDatabaseId || lease.key != key->hash)
		refuse_token("It is for another key.");
	if (!is_plausible(&lease))
		refuse_token("It is of a later time than the present.");

	memset(&read, 0, sizeof(read));
	read.snap.xmin = lease.xmin;
	read.snap.xmax = lease.xmax;
	read.snap.asof = lease.asof;
	read.snap.xip = lease.running;
	read.snap.xcnt = lease.nrunning;
	read.noted = read.fence = lease.fence;
	read.before = lease.before;
	read.ddl_epoch = lease.ddl_epoch;
	read.recovery = lease.recovery != 0;
	old = MemoryContextSwitchTo(TopTransactionContext);
	bound = pgcache_bound_copy(&read);
	MemoryContextSwitchTo(old);

	/* Others may have used this backend since, for a pool of connections. */
	bound->backend = 0;
	return bound;
}
