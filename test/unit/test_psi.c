/*
 * test_psi.c
 *	  What Linux says of the pressure on memory.
 */
#include "harness.h"

#include "worker/psi.h"

static bool
psi_is(const char *text, double some, double full)
{
	PgCachePsi	psi;

	return pgcache_psi_parse(text, &psi) && psi.some == some && psi.full == full;
}

static bool
events_are(const char *text, uint64 limited, uint64 killed)
{
	PgCacheMemoryEvents events;

	return pgcache_psi_parse_events(text, &events) && events.limited == limited &&
		events.killed == killed;
}

static bool
group_is(const char *text, const char *path)
{
	char		found[64];

	if (!pgcache_psi_parse_group(text, found, sizeof(found)))
		return path == NULL;
	return path != NULL && strcmp(found, path) == 0;
}

static void
test_parse(void)
{
	PgCachePsi	psi;
	PgCacheMemoryEvents events;
	char		text[256];

	ok(psi_is("some avg10=12.34 avg60=1.00 avg300=0.00 total=99\n"
			  "full avg10=0.50 avg60=0.00 avg300=0.00 total=9\n", 12.34, 0.5), "some and full");
	ok(psi_is("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", 0, 0), "some only");
	ok(psi_is("some avg10=100.00", 100, 0), "no end of line");
	ok(!pgcache_psi_parse("", &psi) && !pgcache_psi_parse("some", &psi) &&
	   !pgcache_psi_parse("some avg10=", &psi) && !pgcache_psi_parse("some avg10=x", &psi) &&
	   !pgcache_psi_parse("some avg10=-1", &psi) && !pgcache_psi_parse("some avg10=nan", &psi) &&
	   !pgcache_psi_parse("some avg60=1", &psi) && !pgcache_psi_parse("full avg10=1", &psi),
	   "anything else is refused");

	ok(events_are("low 0\nhigh 7\nmax 5\noom 2\noom_kill 1\noom_group_kill 9\n", 12, 1), "events");
	ok(events_are("max 5", 5, 0), "few of them");
	ok(!pgcache_psi_parse_events("", &events) && !pgcache_psi_parse_events("maximum 3\n", &events),
	   "none");

	ok(group_is("0::/system.slice/postgresql.service\n", "/system.slice/postgresql.service"), "a group");
	ok(group_is("12:cpuset:/x\n1:name=systemd:/y\n0::/\n", "/"), "the root, after others");
	ok(group_is("12:cpuset:/x\n", NULL) && group_is("", NULL) && group_is("0::", NULL), "no group");
	memset(text, 'x', sizeof(text));
	memcpy(text, "0::/", 4);
	text[sizeof(text) - 1] = '\0';
	ok(group_is(text, NULL), "a path that is too long");
}

static bool
is_short(double some, double full, uint64 limited, uint64 killed)
{
	PgCachePsi	psi = {.some = some,.full = full};
	PgCacheMemoryEvents before = {.limited = 10,.killed = 1};
	PgCacheMemoryEvents now = {.limited = 10 + limited,.killed = 1 + killed};
	bool		calm = pgcache_psi_is_calm(&psi, &before, &now);
	bool		result = pgcache_psi_is_short(&psi, &before, &now);

	MUST(!(calm && result));
	return result;
}

int
main(void)
{
	test_parse();
	ok(!is_short(0, 0, 0, 0) && !is_short(9, 1, 0, 0), "a little waiting is no shortage");
	ok(is_short(10, 0, 0, 0) && is_short(5, 2, 0, 0), "much is");
	ok(!is_short(0, 0, 100, 0), "nor is meeting the limit");
	ok(is_short(1, 0, 1, 0), "but both together");
	ok(is_short(0, 0, 0, 1), "and a process that was killed");
	return done_testing();
}
