/*
 * replay.c
 *	  Replays a trace against the store, without a server: miss ratios.
 *
 *		replay POLICY MEMORY_BYTES TRACE.csv[.gz]...
 *
 * A trace has a line that names its columns, of which key is needed and
 * size_bytes, ttl_s and time_s are used; lines starting with # are comments.
 * Every line is a get; a miss is followed by a put of size_bytes.  Time is the
 * trace's.  Prints a line of CSV for each trace: name, policy, memory, gets,
 * hits, miss ratio, byte miss ratio, entries at the end, and the bytes of
 * memory that an entry took beyond its value (what a simulator that knows
 * only values must be told as overhead).  With UPKEEP=N the store's upkeep is done
 * after each N gets, as the launcher does it.
 */
#include "postgres.h"

#include "base/settings.h"
#include "store/store.h"

#include <zlib.h>

#define MAX_COLUMNS 16

static TimestampTz now = INT64CONST(800000000000000);

static TimestampTz
trace_clock(void)
{
	return now;
}

static void
die(const char *what)
{
	fprintf(stderr, "replay: %s\n", what);
	exit(2);
}

typedef struct Row
{
	const char *key;
	uint32		size;
	uint32		ttl;
	bool		has_time;
	uint32		time;
} Row;

typedef enum Column
{
	COLUMN_OTHER, COLUMN_KEY, COLUMN_SIZE, COLUMN_TTL, COLUMN_TIME
} Column;

static int
read_columns(gzFile f, Column columns[MAX_COLUMNS])
{
	char		line[4096];
	int			n = 0;

	do
	{
		if (!gzgets(f, line, sizeof(line)))
			die("the trace is empty");
	} while (line[0] == '#');
	for (char *name = strtok(line, ",\r\n"); name && n < MAX_COLUMNS;
		 name = strtok(NULL, ",\r\n"))
		columns[n++] = strcmp(name, "key") == 0 ? COLUMN_KEY :
			strcmp(name, "size_bytes") == 0 ? COLUMN_SIZE :
			strcmp(name, "ttl_s") == 0 ? COLUMN_TTL :
			strcmp(name, "time_s") == 0 ? COLUMN_TIME : COLUMN_OTHER;
	return n;
}

static bool
read_row(gzFile f, const Column columns[], int ncolumns, char *line, int size,
		 Row *row)
{
	char	   *p = line;

	do
	{
		if (!gzgets(f, line, size))
			return false;
	} while (line[0] == '#' || line[0] == '\n');
	memset(row, 0, sizeof(*row));
	for (int i = 0; i < ncolumns && p; i++)
	{
		char	   *end = strpbrk(p, ",\r\n");

		if (end)
			*end++ = '\0';
		switch (columns[i])
		{
			case COLUMN_KEY:
				row->key = p;
				break;
			case COLUMN_SIZE:
				row->size = strtoul(p, NULL, 10);
				break;
			case COLUMN_TTL:
				row->ttl = strtoul(p, NULL, 10);
				break;
			case COLUMN_TIME:
				row->has_time = *p != '\0';
				row->time = strtoul(p, NULL, 10);
				break;
			default:
				break;
		}
		p = end;
	}
	if (!row->key || !*row->key)
		die("a line has no key");
	return true;
}

static void
put_row(PgCacheStore *store, const PgCacheKey *key, const Row *row, const char *value)
{
	PgCacheItem item;

	memset(&item, 0, sizeof(item));
	item.key = *key;
	item.value = value;
	item.len = item.raw_len = row->size;
	item.created = now;
	item.expires = DT_NOEND;
	item.seq = pgcache_store_seq(store);
	if (row->ttl > 0)
	{
		item.flags |= PGCACHE_ENTRY_TTL;
		item.expires = now + row->ttl * USECS_PER_SEC;
	}
	pgcache_store_put(store, &item, PGCACHE_PUT_SET, 0);
}

/* What the upkeep would do, after each so many gets. */
static void
keep_up(PgCacheStore *store, int nparts)
{
	for (int i = 0; i < nparts; i++)
	{
		PgCacheSweep sweep;

		pgcache_store_sweep_begin(store, &sweep, i);
		while (pgcache_store_sweep_step(store, &sweep))
			;
		while (pgcache_store_evict_ahead(store, i))
			;
	}
}

static void
replay(const char *trace, PgCacheStore *store, const char *policy, Size memory,
	   int nparts)
{
	int			every = getenv("UPKEEP") ? atoi(getenv("UPKEEP")) : 0;
	uint64		at_need,
				ahead;
	static char value[64 * 1024 * 1024];
	Column		columns[MAX_COLUMNS];
	char		line[4096];
	gzFile		f = gzopen(trace, "r");
	int			ncolumns;
	TimestampTz start = now;
	int64		gets = 0,
				hits = 0,
				bytes = 0,
				hit_bytes = 0;
	PgCacheMemory m;
	Row			row;

	if (!f)
		die("cannot open the trace");
	ncolumns = read_columns(f, columns);
	while (read_row(f, columns, ncolumns, line, sizeof(line), &row))
	{
		PgCacheKey	key;
		PgCacheRef	ref;

		if (row.size > sizeof(value))
			die("a value is larger than 64 MiB");
		now = start + (row.has_time ? row.time * USECS_PER_SEC : gets);
		pgcache_store_key(store, &key, 0, row.key, strlen(row.key));
		gets++;
		if (every > 0 && gets % every == 0)
			keep_up(store, nparts);
		bytes += row.size;
		if (pgcache_store_find(store, &key, &ref))
		{
			pgcache_store_hit(store, &ref, now);
			hits++;
			hit_bytes += row.size;
		}
		else
			put_row(store, &key, &row, value);
	}
	gzclose(f);
	pgcache_store_evicted(store, &at_need, &ahead);
	if (every > 0)
		printf("# upkeep every %d gets: %lld evicted at need, %lld ahead\n", every,
			   (long long) at_need, (long long) ahead);
	pgcache_store_memory(store, &m);
	printf("%s,%s,%zu,%lld,%lld,%.6f,%.6f,%lld,%.1f\n", trace, policy, memory,
		   (long long) gets, (long long) hits,
		   (double) (gets - hits) / gets, (double) (bytes - hit_bytes) / bytes,
		   (long long) m.entries,
		   m.entries ? (double) (m.used - m.stored_bytes) / m.entries : 0.0);
}

int
main(int argc, char **argv)
{
	if (argc < 4)
		die("usage: replay lru|s3fifo MEMORY_BYTES TRACE...");
	for (int i = 3; i < argc; i++)
	{
		PgCacheStoreConfig config = {
			.memory = strtoull(argv[2], NULL, 10),
			.max_spaces = 2,
			.eviction = strcmp(argv[1], "s3fifo") == 0 ?
			PGCACHE_EVICTION_S3FIFO : PGCACHE_EVICTION_LRU,
			.seed = {UINT64CONST(0x9e3779b97f4a7c15), UINT64CONST(0xd1b54a32d192ed03)},
			.now = trace_clock
		};
		void	   *memory = malloc(pgcache_store_size(&config));
		LWLockPadded *locks = calloc(pgcache_store_nlocks(&config), sizeof(LWLockPadded));
		PgCacheStore *store;

		pgcache_store_create(memory, locks, &config);
		store = pgcache_store_attach(memory, locks, &config);
		if (getenv("LRU_BUMP"))
			pgcache_store_tuning(store)->lru_bump = atoi(getenv("LRU_BUMP"));
		replay(argv[i], store, argv[1], config.memory,
			   pgcache_store_partitions(&config));
		free(store);
		free(locks);
		free(memory);
	}
	return 0;
}
