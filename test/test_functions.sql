-- Functions of the test build by which tests stop backends and set the clock.
--
-- A regress test reads them by
--
--     \getenv abs_srcdir PG_ABS_SRCDIR
--     \set test_functions :abs_srcdir '/test/test_functions.sql'
--     \i :test_functions
--
-- (pg_regress puts its --inputdir, our top directory, into PG_ABS_SRCDIR).  A
-- spec for isolationtester, which has no \i, repeats the lines that it needs.
-- Such tests are named test_*, which leaves them out of a plain installcheck.

-- Other backends stay at the debug points of that name until disarm.
CREATE FUNCTION pgcache_test_arm(name text) RETURNS void
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- To be called by the session that armed the point.
CREATE FUNCTION pgcache_test_disarm(name text) RETURNS void
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- Process ID of the first backend that spins at the point, 0 if none does.
CREATE FUNCTION pgcache_test_reached(name text) RETURNS int
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- How far pg_cache's clock runs ahead of the real one; '0' puts it back.
CREATE FUNCTION pgcache_test_set_clock(ahead interval) RETURNS void
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- Sets pg_cache's clock further ahead, or with a negative interval back.
CREATE FUNCTION pgcache_test_advance_clock(by interval) RETURNS void
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- Makes the client's present statement one that began so much earlier.
CREATE FUNCTION pgcache_test_age_statement(by interval) RETURNS void
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- Files that the launcher reads instead of its control group's; '': that again.
CREATE FUNCTION pgcache_test_pressure(directory text) RETURNS void
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- Breaks a rule of consistency, for all backends: see src/stamp/broken.h.
CREATE FUNCTION pgcache_test_break(rule text) RETURNS void
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- Keeps all rules again.
CREATE FUNCTION pgcache_test_mend() RETURNS void
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- Every debug point takes up to that many microseconds, with that probability.
CREATE FUNCTION pgcache_test_jitter(permille int, max_us int) RETURNS void
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- Counts a read of the torture test (test/torture); returns hit.
CREATE FUNCTION pgcache_test_compare(kind int, key text, hit bool, cached text, actual text) RETURNS bool
    AS '$libdir/pg_cache' LANGUAGE C VOLATILE;

-- Processes what other backends have sent of their DDL.
CREATE FUNCTION pgcache_test_accept_messages() RETURNS void
    AS '$libdir/pg_cache' LANGUAGE C VOLATILE;

-- What was counted: 0 reads, 1 hits, 2 wrong ones.
CREATE FUNCTION pgcache_test_tally(kind int, mode int, what int) RETURNS bigint
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- How many hits there had been when the first was wrong; 0 if none was.
CREATE FUNCTION pgcache_test_tally_first() RETURNS bigint
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

CREATE FUNCTION pgcache_test_tally_reset() RETURNS void
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- What is known of the last publish in the stamp of a relation: its number (0:
-- none), its kind (xid, strict, immediate, prepared), and how many transactions
-- have begun DDL on the relation and not ended.
CREATE FUNCTION pgcache_test_relation_stamp(relation regclass) RETURNS bigint
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION pgcache_test_relation_kind(relation regclass) RETURNS text
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION pgcache_test_relation_pending(relation regclass) RETURNS int
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- The number of the last publish of everything in the database.
CREATE FUNCTION pgcache_test_database_stamp() RETURNS bigint
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- What the own transaction did to the table: pgcache_watch_own_changes (NULL: not
-- known) and pgcache_watch_wrote.
CREATE FUNCTION pgcache_test_own_changes(relation regclass) RETURNS bigint
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION pgcache_test_wrote(relation regclass) RETURNS bool
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- The statement's bound: asof, noted, before, DDL epoch.
CREATE FUNCTION pgcache_test_bound() RETURNS bigint[]
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;

-- Whether transactions from before the server's start let its data be stored, and
-- the mark of a transaction that is such after the next restart.
CREATE FUNCTION pgcache_test_baseline_allows() RETURNS bool
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;
CREATE FUNCTION pgcache_test_baseline_mark() RETURNS void
    AS '$libdir/pg_cache' LANGUAGE C STRICT VOLATILE;
