/*-------------------------------------------------------------------------
 *
 * sketch.c
 *	  The most frequent keys of a stream, in memory that does not grow.
 *
 * Space-saving (Metwally, Agrawal, El Abbadi: Efficient computation of frequent
 * and top-k elements in data streams, ICDT 2005), with weights.  A key that is
 * not there takes the place of the lightest one, and over its weight as its
 * error.  So of each key that is there
 *
 *		weight - error <= what was added for it <= weight
 *
 * and each key that made up more than total / capacity is there.
 *
 * The entries are found by hash chains, the lightest is the first of a heap.
 *
 * No locks: who shares one has one around it (keys.c).
 *
 * Copyright (c) 2026, pg_cache contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "stats/sketch.h"

static inline uint32 *
heap_of(PgCacheSketch *s)
{
	return (uint32 *) &s->entries[s->capacity];
}

static inline uint32 *
heads_of(PgCacheSketch *s)
{
	return heap_of(s) + s->capacity;
}

static uint32
heads_for(int capacity)
{
	uint32		n = 1;

	while (n < (uint32) capacity)
		n *= 2;
	return n;
}

Size
pgcache_sketch_size(int capacity)
{
	return MAXALIGN(offsetof(PgCacheSketch, entries) +
					(Size) capacity * (sizeof(PgCacheSketchEntry) + sizeof(uint32)) +
					heads_for(capacity) * sizeof(uint32));
}

void
pgcache_sketch_init(PgCacheSketch *s, int capacity)
{
	s->capacity = capacity;
	s->nheads = heads_for(capacity);
	s->n = 0;
	s->unused = 0;
	s->total = 0;
	memset(heads_of(s), 0, s->nheads * sizeof(uint32));
}

/* ---- the heap: no entry is lighter than that at (position - 1) / 2 ------------ */

static inline void
place(PgCacheSketch *s, uint32 pos, uint32 entry)
{
	heap_of(s)[pos] = entry;
	s->entries[entry].heap_pos = pos;
}

static void
sift_up(PgCacheSketch *s, uint32 entry)
{
	uint32	   *heap = heap_of(s);
	uint32		pos = s->entries[entry].heap_pos;

	while (pos > 0)
	{
		uint32		parent = (pos - 1) / 2;

		if (s->entries[heap[parent]].weight <= s->entries[entry].weight)
			break;
		place(s, pos, heap[parent]);
		pos = parent;
	}
	place(s, pos, entry);
}

static void
sift_down(PgCacheSketch *s, uint32 entry)
{
	uint32	   *heap = heap_of(s);
	uint32		pos = s->entries[entry].heap_pos;

	for (;;)
	{
		uint32		child = 2 * pos + 1;

		if (child + 1 < s->n &&
			s->entries[heap[child + 1]].weight < s->entries[heap[child]].weight)
			child++;
		if (child >= s->n ||
			s->entries[heap[child]].weight >= s->entries[entry].weight)
			break;
		place(s, pos, heap[child]);
		pos = child;
	}
	place(s, pos, entry);
}

/* ---- the chains -------------------------------------------------------------- */

static PgCacheSketchEntry *
find(PgCacheSketch *s, uint64 hash, const char *key, uint16 len)
{
	uint32		at = heads_of(s)[hash & (s->nheads - 1)];

	while (at != 0)
	{
		PgCacheSketchEntry *e = &s->entries[at - 1];

		if (e->hash == hash && e->len == len &&
			memcmp(e->key, key, Min(len, PGCACHE_SKETCH_KEY_LEN)) == 0)
			return e;
		at = e->next;
	}
	return NULL;
}

static void
link_entry(PgCacheSketch *s, PgCacheSketchEntry *e)
{
	uint32	   *head = &heads_of(s)[e->hash & (s->nheads - 1)];

	e->next = *head;
	*head = e - s->entries + 1;
}

static void
unlink_entry(PgCacheSketch *s, const PgCacheSketchEntry *e)
{
	uint32	   *at = &heads_of(s)[e->hash & (s->nheads - 1)];

	while (*at != e - s->entries + 1)
		at = &s->entries[*at - 1].next;
	*at = e->next;
}

/* ---- adding ------------------------------------------------------------------ */

static void
set_entry(PgCacheSketchEntry *e, uint64 hash, const char *key, uint16 len,
		  double weight, double error)
{
	e->hash = hash;
	e->weight = weight;
	e->error = error;
	e->len = len;
	memcpy(e->key, key, Min(len, PGCACHE_SKETCH_KEY_LEN));
}

static void
append(PgCacheSketch *s, uint64 hash, const char *key, uint16 len,
	   double weight, double error)
{
	PgCacheSketchEntry *e = &s->entries[s->n];

	set_entry(e, hash, key, len, weight, error);
	link_entry(s, e);
	e->heap_pos = s->n++;
	sift_up(s, e - s->entries);
}

void
pgcache_sketch_add(PgCacheSketch *s, uint64 hash, const char *key, uint16 len,
				   double weight)
{
	PgCacheSketchEntry *e = find(s, hash, key, len);

	s->total += weight;
	if (e == NULL && s->n < s->capacity)
	{
		append(s, hash, key, len, weight, 0);
		return;
	}
	if (e != NULL)
		e->weight += weight;
	else
	{
		e = &s->entries[heap_of(s)[0]];
		unlink_entry(s, e);
		set_entry(e, hash, key, len, e->weight + weight, e->weight);
		link_entry(s, e);
	}
	sift_down(s, e - s->entries);
}

bool
pgcache_sketch_restore(PgCacheSketch *s, uint64 hash, const char *key, uint16 len,
					   double weight, double error)
{
	if (s->n == s->capacity || find(s, hash, key, len) != NULL)
		return false;
	append(s, hash, key, len, weight, error);
	return true;
}

void
pgcache_sketch_rehash(PgCacheSketch *s,
					  uint64 (*hash) (void *arg, const char *key, uint16 len),
					  void *arg)
{
	memset(heads_of(s), 0, s->nheads * sizeof(uint32));
	for (uint32 i = 0; i < s->n; i++)
	{
		PgCacheSketchEntry *e = &s->entries[i];

		e->hash = hash(arg, e->key, e->len);
		link_entry(s, e);
	}
}

void
pgcache_sketch_scale(PgCacheSketch *s, double factor)
{
	s->total *= factor;
	for (uint32 i = 0; i < s->n; i++)
	{
		s->entries[i].weight *= factor;
		s->entries[i].error *= factor;
	}
}

bool
pgcache_sketch_check(const PgCacheSketch *sketch)
{
	PgCacheSketch *s = unconstify(PgCacheSketch *, sketch);
	uint32	   *heap = heap_of(s);
	uint32		linked = 0;

	if (s->n > s->capacity || s->nheads != heads_for(s->capacity))
		return false;
	for (uint32 i = 0; i < s->n; i++)
	{
		const PgCacheSketchEntry *e = &s->entries[i];

		if (e->heap_pos >= s->n || heap[e->heap_pos] != i ||
			find(s, e->hash, e->key, e->len) != e ||
			e->weight < s->entries[heap[(Max(e->heap_pos, 1) - 1) / 2]].weight)
			return false;
	}
	for (uint32 h = 0; h < s->nheads; h++)
		for (uint32 at = heads_of(s)[h]; at != 0 && linked <= s->n;
			 at = s->entries[at - 1].next)
			linked++;
	return linked == s->n;
}
