/*-------------------------------------------------------------------------
 *
 * file.c
 *	  What is recorded survives a clean restart.
 *
 * The postmaster writes counts, latencies and hot keys to a file when the server has
 * been shut down cleanly, by which the control file goes, and reads and removes it
 * at start.  So there is none while the server runs, and after a crash all begins
 * at zero.  A file that is not whole, or not of this version, is logged and removed.
 *
 *		head | tallies | latencies | hot keys of each namespace | CRC of all that
 *
 * Hot keys of which only the hash is exact are left out: hashes differ from start
 * to start.  The sketches of the present hour are not kept.
 *
 * No locks: there is no other process, before or after.
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "shmem/shmem.h"
#include "stats/stats_internal.h"

#define STATS_FILE	PGSTAT_STAT_PERMANENT_DIRECTORY "/pg_cache.stat"
#define STATS_MAGIC	0x50434153
#define STATS_VERSION 1

typedef struct FileHead
{
	uint32		magic;
	uint32		version;
	uint32		tally_size;		/* these three tell versions apart as well */
	uint32		latency_size;
	uint32		key_size;
	uint32		ntallies;
	uint32		nlatencies;
	uint32		nsketches;
	TimestampTz start;			/* since when is counted */
} FileHead;

typedef struct FileLatency
{
	Oid			database;		/* InvalidOid: the row that many share */
	PgCacheHistogram of[PGCACHE_NOPERATIONS];
} FileLatency;

typedef struct FileSketch
{
	PgCacheSpaceKey key;
	uint32		n;				/* keys that follow */
	double		total;
	TimestampTz faded;
} FileSketch;

typedef struct FileKey
{
	double		weight;
	double		error;
	uint16		len;
	char		key[PGCACHE_SKETCH_KEY_LEN];
} FileKey;

/* ---- writing ------------------------------------------------------------------- */

static uint32
write_latencies(StringInfo buf)
{
	FileLatency *row = palloc0(sizeof(FileLatency));
	uint32		n = 0;

	for (int i = 0; pgcache_latency_save(i, &row->database, row->of); i++)
	{
		bool		any = false;

		for (int o = 0; o < PGCACHE_NOPERATIONS; o++)
			any = any || pgcache_histogram_calls(&row->of[o]) > 0;
		if (!any)
			continue;
		appendBinaryStringInfo(buf, (char *) row, sizeof(*row));
		n++;
	}
	pfree(row);
	return n;
}

static void
write_keys(StringInfo buf, const PgCacheSketch *sketch, FileSketch *head)
{
	int			at = buf->len;

	appendBinaryStringInfo(buf, (char *) head, sizeof(*head));
	for (uint32 i = 0; i < sketch->n; i++)
	{
		const PgCacheSketchEntry *e = &sketch->entries[i];
		FileKey		key;

		if (e->len > PGCACHE_SKETCH_KEY_LEN)
			continue;
		memset(&key, 0, sizeof(key));
		key.weight = e->weight;
		key.error = e->error;
		key.len = e->len;
		memcpy(key.key, e->key, e->len);
		appendBinaryStringInfo(buf, (char *) &key, sizeof(key));
		head->n++;
	}
	memcpy(buf->data + at, head, sizeof(*head));
}

static uint32
write_sketches(StringInfo buf)
{
	FileSketch	head;
	const PgCacheSketch *sketch;
	uint32		n = 0;

	memset(&head, 0, sizeof(head));
	for (int i = 0; pgcache_keys_save(i, &head.key, &sketch, &head.faded); i++)
	{
		if (!OidIsValid(head.key.database) || sketch->n == 0)
			continue;
		head.n = 0;
		head.total = sketch->total;
		write_keys(buf, sketch, &head);
		n++;
	}
	return n;
}

/* All that goes into the file. */
static void
write_buffer(StringInfo buf)
{
	FileHead	head;
	PgCacheSavedTally *tallies;
	int			ntallies;
	pg_crc32c	crc;

	memset(&head, 0, sizeof(head));
	head.magic = STATS_MAGIC;
	head.version = STATS_VERSION;
	head.tally_size = sizeof(PgCacheSavedTally);
	head.latency_size = sizeof(FileLatency);
	head.key_size = sizeof(FileKey);
	tallies = pgcache_space_save(&ntallies, &head.start);
	head.ntallies = ntallies;

	appendBinaryStringInfo(buf, (char *) &head, sizeof(head));
	appendBinaryStringInfo(buf, (char *) tallies, ntallies * sizeof(PgCacheSavedTally));
	head.nlatencies = write_latencies(buf);
	head.nsketches = write_sketches(buf);
	memcpy(buf->data, &head, sizeof(head));

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, buf->data, buf->len);
	FIN_CRC32C(crc);
	appendBinaryStringInfo(buf, (char *) &crc, sizeof(crc));
}

/* An immediate shutdown ends the postmaster just as a clean one does. */
static bool
was_shut_down(void)
{
	bool		crc_ok;
	ControlFileData *control = get_controlfile(DataDir, &crc_ok);

	return crc_ok && (control->state == DB_SHUTDOWNED ||
					  control->state == DB_SHUTDOWNED_IN_RECOVERY);
}

static void
write_file(int code, Datum arg)
{
	StringInfoData buf;
	FILE	   *file;
	bool		good;

	if (code != 0 || !was_shut_down())
		return;
	initStringInfo(&buf);
	write_buffer(&buf);
	file = AllocateFile(STATS_FILE ".tmp", PG_BINARY_W);
	good = file != NULL && fwrite(buf.data, buf.len, 1, file) == 1;
	if (file != NULL && FreeFile(file) != 0)
		good = false;
	if (good)
		(void) durable_rename(STATS_FILE ".tmp", STATS_FILE, LOG);
	else
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", STATS_FILE ".tmp")));
		unlink(STATS_FILE ".tmp");
	}
	pfree(buf.data);
}

/* ---- reading ------------------------------------------------------------------- */

/* What is left to read. */
typedef struct Reading
{
	const char *at;
	Size		left;
} Reading;

/* The next n bytes are copied to dst; false where they are not there. */
static bool
take(Reading *r, void *dst, Size n)
{
	if (r->left < n)
		return false;
	memcpy(dst, r->at, n);
	r->at += n;
	r->left -= n;
	return true;
}

static bool
read_tallies(Reading *r, const FileHead *head)
{
	PgCacheSavedTally *tallies;
	Size		size = head->ntallies * sizeof(PgCacheSavedTally);

	if (size > r->left)
		return false;
	tallies = palloc(Max(size, 1));
	(void) take(r, tallies, size);
	pgcache_space_restore(tallies, head->ntallies, head->start);
	pfree(tallies);
	return true;
}

static bool
read_latencies(Reading *r, const FileHead *head)
{
	FileLatency *row = palloc(sizeof(FileLatency));

	for (uint32 i = 0; i < head->nlatencies; i++)
	{
		if (!take(r, row, sizeof(*row)))
			return false;
		pgcache_latency_restore(row->database, row->of);
	}
	pfree(row);
	return true;
}

static int
compare_keys(const void *a, const void *b)
{
	double		x = ((const FileKey *) a)->weight;
	double		y = ((const FileKey *) b)->weight;

	return x > y ? -1 : x < y;
}

/*
 * Enters the heaviest keys.  They get their hashes when the namespace gets a slot;
 * until then their numbers do.
 */
static void
enter_keys(const FileSketch *head, FileKey *keys)
{
	PgCacheSketch *sketch = pgcache_keys_restore(&head->key, head->faded);

	if (sketch == NULL)
		return;
	qsort(keys, head->n, sizeof(FileKey), compare_keys);
	for (uint32 i = 0; i < head->n; i++)
		if (!pgcache_sketch_restore(sketch, i, keys[i].key,
									Min(keys[i].len, PGCACHE_SKETCH_KEY_LEN),
									keys[i].weight, keys[i].error))
			break;
	sketch->total = head->total;
}

static bool
read_sketches(Reading *r, const FileHead *head)
{
	for (uint32 i = 0; i < head->nsketches; i++)
	{
		FileSketch	sketch;
		FileKey    *keys;
		Size		size;

		if (!take(r, &sketch, sizeof(sketch)))
			return false;
		size = (Size) sketch.n * sizeof(FileKey);
		if (size > r->left)
			return false;
		keys = palloc(Max(size, 1));
		(void) take(r, keys, size);
		enter_keys(&sketch, keys);
		pfree(keys);
	}
	return true;
}

/* False if the file is not as we wrote it. */
static bool
read_buffer(const char *data, Size size)
{
	Reading		r = {data, size};
	FileHead	head;
	pg_crc32c	crc;

	if (size < sizeof(head) + sizeof(crc))
		return false;
	r.left -= sizeof(crc);
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, r.left);
	FIN_CRC32C(crc);
	if (memcmp(data + r.left, &crc, sizeof(crc)) != 0)
		return false;
	(void) take(&r, &head, sizeof(head));
	if (head.magic != STATS_MAGIC || head.version != STATS_VERSION ||
		head.tally_size != sizeof(PgCacheSavedTally) ||
		head.latency_size != sizeof(FileLatency) || head.key_size != sizeof(FileKey))
		return false;
	return read_tallies(&r, &head) && read_latencies(&r, &head) &&
		read_sketches(&r, &head) && r.left == 0;
}

static void
read_file(void)
{
	FILE	   *file = AllocateFile(STATS_FILE, PG_BINARY_R);
	struct stat st;
	char	   *data;
	bool		good = false;

	if (file == NULL && errno == ENOENT)
		return;
	if (file != NULL && fstat(fileno(file), &st) == 0 && st.st_size < MaxAllocSize)
	{
		data = palloc(st.st_size + 1);
		good = fread(data, 1, st.st_size, file) == st.st_size &&
			read_buffer(data, st.st_size);
		pfree(data);
	}
	if (file != NULL)
		FreeFile(file);
	if (!good)
		ereport(LOG,
				(errmsg("ignoring file \"%s\", which is damaged or of another version",
						STATS_FILE),
				 errdetail("The statistics of pg_cache begin at zero.")));
	unlink(STATS_FILE);
}

/* ---- all of this room ---------------------------------------------------------- */

static Size
file_size(void)
{
	return 1;
}

static void
attach_file(void *memory, LWLockPadded *locks)
{
}

/* At each start, that after a crash included. */
static void
start_file(void)
{
	on_shmem_exit(write_file, (Datum) 0);
	read_file();
}

/* It is called at start because of this; it needs no memory. */
static const PgCacheShmemPart file_part = {
	.name = "PgCacheStatsFile",
	.size = file_size,
	.init = attach_file,
	.attach = attach_file,
	.start = start_file
};

static void
forget(const PgCacheSpaceKey *key)
{
	if (!OidIsValid(key->catalog))
		pgcache_latency_forget(key->database);
	pgcache_keys_forget(key);
}

void
pgcache_stats_register(void)
{
	pgcache_latency_register();
	pgcache_keys_register();
	pgcache_shmem_register(&file_part);
	pgcache_space_on_forget = forget;
}
