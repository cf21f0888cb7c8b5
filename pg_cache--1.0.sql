/* pg_cache/pg_cache--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_cache" to load this file. \quit

-- Whoever may create objects in the schema before we do could offer operators and
-- functions that fit better than PostgreSQL's.  So each one here is used with
-- exactly the types it is declared with: nothing fits better than that.

---- Helpers -----------------------------------------------------------------

CREATE FUNCTION cache_clock_timestamp()
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'pgcache_sql_clock_timestamp'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_clock_timestamp() IS
'the time, by the clock that the cache goes by';

CREATE FUNCTION cache_may_read(namespace text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_may_read'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_may_read(text) IS
'whether the current user may see what is recorded of a namespace: may read it, or is a member of pg_read_all_stats';

CREATE FUNCTION cache_namespaces_in_use()
RETURNS bigint
AS 'MODULE_PATHNAME', 'pgcache_sql_namespaces_in_use'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_namespaces_in_use() IS
'how many of pg_cache.max_namespaces are in use, in all databases';

-- For functions in SQL, which cannot raise errors by themselves.
CREATE FUNCTION cache_error(
    sqlstate text, message text, detail text = NULL, hint text = NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_error'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_error(text, text, text, text) IS
'raises an error; for the extension''s own functions';

CREATE FUNCTION cache_log(message text, urgent boolean = false)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_log'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_log(text, boolean) IS
'writes a line to the server''s log, as LOG or if urgent as WARNING';
REVOKE ALL ON FUNCTION cache_log(text, boolean) FROM PUBLIC;

-- What is read after it has waited has to be read in another statement.
CREATE FUNCTION cache_lock(what regclass)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_lock'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_lock(regclass) IS
'waits for others who have called it for a table; for the extension''s own functions';
REVOKE ALL ON FUNCTION cache_lock(regclass) FROM PUBLIC;

---- Namespaces --------------------------------------------------------------

-- ids are never used twice, so that a namespace never inherits entries; 1 is
-- "default", which has a row only if it was altered.
CREATE SEQUENCE cache_namespaces_id_seq AS integer MINVALUE 2;
-- pg_dump reads it, also for who may not change it.
GRANT SELECT ON SEQUENCE cache_namespaces_id_seq TO PUBLIC;
COMMENT ON SEQUENCE cache_namespaces_id_seq IS
'ids of namespaces';

-- The name has collation "C" so that the index on it does not depend on the
-- database's locale.
CREATE TABLE cache_namespaces (
    id integer PRIMARY KEY DEFAULT pg_catalog.nextval(
        'cache_namespaces_id_seq'::pg_catalog.regclass),
    name text COLLATE "C" NOT NULL UNIQUE
        CHECK (pg_catalog.octet_length(name) BETWEEN 1 AND 63),
    owner regrole NOT NULL,
    readers regrole[] NOT NULL,
    writers regrole[] NOT NULL,
    default_ttl interval CHECK (default_ttl > '0'::interval),
    max_ttl interval CHECK (max_ttl > '0'::interval),
    ttl_jitter float8 CHECK (ttl_jitter BETWEEN 0::float8 AND 1::float8),
    sliding boolean,
    min_bytes bigint CHECK (min_bytes >= 0::bigint),
    max_bytes bigint CHECK (max_bytes >= 0::bigint),
    max_entries bigint CHECK (max_entries >= 0::bigint),
    priority integer,
    compression text CHECK (
        compression IN ('none'::text, 'lz4'::text, 'zstd'::text)),
    compression_threshold integer CHECK (compression_threshold >= 0),
    transactional boolean,
    loader text,
    write_mode text,
    backing text);
GRANT SELECT ON cache_namespaces TO PUBLIC;
COMMENT ON TABLE cache_namespaces IS
'namespaces of the cache; changed by cache_create_namespace() and its like';
COMMENT ON COLUMN cache_namespaces.id IS 'number, never used again';
COMMENT ON COLUMN cache_namespaces.name IS 'name, 1 to 63 bytes';
COMMENT ON COLUMN cache_namespaces.owner IS
'role that may alter and drop the namespace';
COMMENT ON COLUMN cache_namespaces.readers IS
'roles that may read; - is PUBLIC';
COMMENT ON COLUMN cache_namespaces.writers IS
'roles that may write; - is PUBLIC';
COMMENT ON COLUMN cache_namespaces.default_ttl IS
'time to live of entries put without one; NULL: pg_cache.default_ttl';
COMMENT ON COLUMN cache_namespaces.max_ttl IS
'longest time to live; NULL: pg_cache.max_ttl';
COMMENT ON COLUMN cache_namespaces.ttl_jitter IS
'share of the time to live by which it is shortened at random';
COMMENT ON COLUMN cache_namespaces.sliding IS
'whether an access starts the time to live again';
COMMENT ON COLUMN cache_namespaces.min_bytes IS
'memory that is kept for the namespace';
COMMENT ON COLUMN cache_namespaces.max_bytes IS
'memory that the namespace may take; NULL or 0: no limit';
COMMENT ON COLUMN cache_namespaces.max_entries IS
'entries that the namespace may have; NULL or 0: no limit';
COMMENT ON COLUMN cache_namespaces.priority IS
'priority of entries put without one; the higher, the later they are evicted';
COMMENT ON COLUMN cache_namespaces.compression IS
'none, lz4 or zstd; NULL: pg_cache.compression';
COMMENT ON COLUMN cache_namespaces.compression_threshold IS
'bytes from which on values are compressed; NULL: pg_cache.compression_threshold';
COMMENT ON COLUMN cache_namespaces.transactional IS
'whether puts and deletes take effect at commit; NULL: pg_cache.transactional';
COMMENT ON COLUMN cache_namespaces.loader IS 'reserved; NULL in this version';
COMMENT ON COLUMN cache_namespaces.write_mode IS 'reserved; NULL in this version';
COMMENT ON COLUMN cache_namespaces.backing IS 'reserved; NULL in this version';

SELECT pg_catalog.pg_extension_config_dump('cache_namespaces', '');
SELECT pg_catalog.pg_extension_config_dump('cache_namespaces_id_seq', '');

-- What is done to the table directly, by pg_restore or its owner, counts too.
CREATE FUNCTION cache_namespaces_changed()
RETURNS trigger
AS 'MODULE_PATHNAME', 'pgcache_sql_namespaces_changed'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_namespaces_changed() IS
'makes changes of the table cache_namespaces take effect';
REVOKE ALL ON FUNCTION cache_namespaces_changed() FROM PUBLIC;

CREATE TRIGGER cache_namespaces_changed
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON cache_namespaces
FOR EACH STATEMENT EXECUTE FUNCTION cache_namespaces_changed();
ALTER TABLE cache_namespaces ENABLE ALWAYS TRIGGER cache_namespaces_changed;
COMMENT ON TRIGGER cache_namespaces_changed ON cache_namespaces IS
'makes changes of the table take effect';

CREATE FUNCTION cache_namespace_id(namespace text)
RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT CASE WHEN namespace = 'default'::text THEN 1 ELSE (
    SELECT n.id FROM cache_namespaces n WHERE n.name = namespace) END;
END;
COMMENT ON FUNCTION cache_namespace_id(text) IS
'number of a namespace; NULL if there is none of that name';

CREATE FUNCTION cache_create_namespace(
    name text,
    default_ttl interval = NULL, max_ttl interval = NULL,
    ttl_jitter float8 = NULL, sliding boolean = NULL, min_bytes bigint = NULL,
    max_bytes bigint = NULL, max_entries bigint = NULL, priority int = NULL,
    compression text = NULL, compression_threshold int = NULL,
    transactional boolean = NULL, loader regprocedure = NULL,
    write_mode text = NULL, backing regclass = NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_create_namespace'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_create_namespace(text, interval, interval, float8, boolean, bigint, bigint, bigint, int, text, int, boolean, regprocedure, text, regclass) IS
'creates a namespace, which the current role owns';

CREATE FUNCTION cache_alter_namespace(
    name text,
    default_ttl interval = NULL, max_ttl interval = NULL,
    ttl_jitter float8 = NULL, sliding boolean = NULL, min_bytes bigint = NULL,
    max_bytes bigint = NULL, max_entries bigint = NULL, priority int = NULL,
    compression text = NULL, compression_threshold int = NULL,
    transactional boolean = NULL, loader regprocedure = NULL,
    write_mode text = NULL, backing regclass = NULL,
    reset text[] = NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_alter_namespace'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_alter_namespace(text, interval, interval, float8, boolean, bigint, bigint, bigint, int, text, int, boolean, regprocedure, text, regclass, text[]) IS
'sets options of a namespace, and puts those named in reset back to the default';

CREATE FUNCTION cache_drop_namespace(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_drop_namespace'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_drop_namespace(text) IS
'drops a namespace with its entries';

CREATE FUNCTION cache_grant(namespace text, role text, privilege text)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_grant'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_grant(text, text, text) IS
'gives a role, or public, the privilege to read or write a namespace';

CREATE FUNCTION cache_revoke(namespace text, role text, privilege text)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_revoke'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_revoke(text, text, text) IS
'takes from a role, or public, the privilege to read or write a namespace';

---- Key/value ---------------------------------------------------------------

CREATE FUNCTION cache_get(key text, namespace text = 'default')
RETURNS text
AS 'MODULE_PATHNAME', 'pgcache_sql_get'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_get(text, text) IS
'cached value as text; NULL if there is none';

CREATE FUNCTION cache_get_as(key text, base anyelement, namespace text = 'default')
RETURNS anyelement
AS 'MODULE_PATHNAME', 'pgcache_sql_get_as'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_get_as(text, anyelement, text) IS
'cached value as a datum of the type of base; NULL if there is none';

CREATE FUNCTION cache_get_many(keys text[], namespace text = 'default')
RETURNS TABLE (key text, value text)
AS 'MODULE_PATHNAME', 'pgcache_sql_get_many'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_get_many(text[], text) IS
'cached values of many keys, in their order; nothing for keys without one';

CREATE FUNCTION cache_exists(key text, namespace text = 'default')
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_exists'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_exists(text, text) IS
'whether there is a cached value, which may be NULL';

CREATE FUNCTION cache_expires_at(key text, namespace text = 'default')
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'pgcache_sql_expires_at'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_expires_at(text, text) IS
'when an entry expires; infinity if it does not, NULL if there is none';

CREATE FUNCTION cache_entry(key text, namespace text = 'default')
RETURNS TABLE (
    namespace text,
    key text,
    type regtype,
    bytes bigint,
    stored_bytes bigint,
    version bigint,
    created_at timestamptz,
    expires_at timestamptz,
    last_access timestamptz,
    hits bigint,
    tags text[],
    priority int)
AS 'MODULE_PATHNAME', 'pgcache_sql_entry'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION cache_entry(text, text) IS
'description of an entry; no row if there is none';

CREATE FUNCTION cache_put(
    key text, value text, ttl interval = NULL, tags text[] = NULL,
    namespace text = 'default', priority int = 0,
    depends_on regclass[] = NULL, lease text = NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_put'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_put(text, text, interval, text[], text, int, regclass[], text) IS
'stores a value under a key';

CREATE FUNCTION cache_put(
    key text, value anyelement, ttl interval = NULL, tags text[] = NULL,
    namespace text = 'default', priority int = 0,
    depends_on regclass[] = NULL, lease text = NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_put'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_put(text, anyelement, interval, text[], text, int, regclass[], text) IS
'stores a value under a key';

CREATE FUNCTION cache_put(
    key text, value "char", ttl interval = NULL, tags text[] = NULL,
    namespace text = 'default', priority int = 0,
    depends_on regclass[] = NULL, lease text = NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_put'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_put(text, "char", interval, text[], text, int, regclass[], text) IS
'stores a value under a key';

CREATE FUNCTION cache_put_many(
    keys text[], vals text[], ttl interval = NULL, tags text[] = NULL,
    namespace text = 'default')
RETURNS bigint
AS 'MODULE_PATHNAME', 'pgcache_sql_put_many'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_put_many(text[], text[], interval, text[], text) IS
'stores values under keys, all or in case of an error none; returns the number of different keys';

CREATE FUNCTION cache_delete(key text, namespace text = 'default')
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_delete'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_delete(text, text) IS
'removes an entry; whether there was one';

CREATE FUNCTION cache_touch(key text, ttl interval, namespace text = 'default')
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_touch'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_touch(text, interval, text) IS
'gives an entry a new time to live, NULL for the default one; whether there was an entry';

CREATE FUNCTION cache_clear(namespace text = NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_clear'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_clear(text) IS
'removes all entries of a namespace, or if it is NULL of all in this database';

CREATE FUNCTION cache_add(
    key text, value text, ttl interval = NULL, tags text[] = NULL,
    namespace text = 'default')
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_add'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_add(text, text, interval, text[], text) IS
'stores a value if the key has none; whether it did';

CREATE FUNCTION cache_add(
    key text, value anyelement, ttl interval = NULL, tags text[] = NULL,
    namespace text = 'default')
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_add'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_add(text, anyelement, interval, text[], text) IS
'stores a value if the key has none; whether it did';

CREATE FUNCTION cache_add(
    key text, value "char", ttl interval = NULL, tags text[] = NULL,
    namespace text = 'default')
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_add'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_add(text, "char", interval, text[], text) IS
'stores a value if the key has none; whether it did';

CREATE FUNCTION cache_replace(
    key text, value text, ttl interval = NULL, tags text[] = NULL,
    namespace text = 'default')
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_replace'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_replace(text, text, interval, text[], text) IS
'stores a value if the key has one; whether it did';

CREATE FUNCTION cache_replace(
    key text, value anyelement, ttl interval = NULL, tags text[] = NULL,
    namespace text = 'default')
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_replace'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_replace(text, anyelement, interval, text[], text) IS
'stores a value if the key has one; whether it did';

CREATE FUNCTION cache_replace(
    key text, value "char", ttl interval = NULL, tags text[] = NULL,
    namespace text = 'default')
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_replace'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_replace(text, "char", interval, text[], text) IS
'stores a value if the key has one; whether it did';

CREATE FUNCTION cache_cas(
    key text, version bigint, value text, ttl interval = NULL,
    tags text[] = NULL, namespace text = 'default')
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_cas'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_cas(text, bigint, text, interval, text[], text) IS
'stores a value if the entry still has the version that cache_entry gave; whether it did';

CREATE FUNCTION cache_cas(
    key text, version bigint, value anyelement, ttl interval = NULL,
    tags text[] = NULL, namespace text = 'default')
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_cas'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_cas(text, bigint, anyelement, interval, text[], text) IS
'stores a value if the entry still has the version that cache_entry gave; whether it did';

CREATE FUNCTION cache_cas(
    key text, version bigint, value "char", ttl interval = NULL,
    tags text[] = NULL, namespace text = 'default')
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_cas'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_cas(text, bigint, "char", interval, text[], text) IS
'stores a value if the entry still has the version that cache_entry gave; whether it did';

CREATE FUNCTION cache_incr(
    key text, delta bigint = 1, initial bigint = 0, ttl interval = NULL,
    namespace text = 'default')
RETURNS bigint
AS 'MODULE_PATHNAME', 'pgcache_sql_incr'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_incr(text, bigint, bigint, interval, text) IS
'adds to a cached number, or to initial if there is none; returns the sum';

---- Invalidation ------------------------------------------------------------

CREATE FUNCTION cache_lease(key text, namespace text = 'default')
RETURNS text
AS 'MODULE_PATHNAME', 'pgcache_sql_lease'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_lease(text, text) IS
'token for cache_put by which data read from now on are known to be still good';

CREATE FUNCTION cache_invalidate_tags(
    tags text[], namespace text = NULL, all_of boolean = false)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_invalidate_tags'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_invalidate_tags(text[], text, boolean) IS
'removes the entries with one of the tags, or with all of them; NULL: in all namespaces that the caller may write';

CREATE FUNCTION cache_invalidate_pattern(pattern text, namespace text = 'default')
RETURNS bigint
AS 'MODULE_PATHNAME', 'pgcache_sql_invalidate_pattern'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_invalidate_pattern(text, text) IS
'removes the entries whose key is like the pattern; returns their number';

CREATE FUNCTION cache_depend(
    key text, depends_on regclass[], namespace text = 'default')
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_depend'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_depend(text, regclass[], text) IS
'makes an entry depend on tables; whether there is one that is still good';

---- Watching tables ---------------------------------------------------------

-- Of each watch's triggers.  Whoever owns a table may have its changes invalidate
-- what he may write to, so PUBLIC may use it.
CREATE FUNCTION cache_watch_trigger()
RETURNS trigger
AS 'MODULE_PATHNAME', 'pgcache_sql_watch_trigger'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_watch_trigger() IS
'invalidates what a changed row stands for; see cache_watch_table()';

CREATE FUNCTION cache_watch_table(
    rel regclass, key text = NULL, tags text[] = NULL,
    namespace text = 'default')
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_watch_table'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_watch_table(regclass, text, text[], text) IS
'makes changes of a table''s rows invalidate a key and tags that are made from the rows';

CREATE FUNCTION cache_unwatch_table(rel regclass)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_unwatch_table'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_unwatch_table(regclass) IS
'ends all watches of a table';

CREATE FUNCTION cache_watches()
RETURNS TABLE (
    rel regclass,
    key text,
    tags text[],
    namespace text)
AS 'MODULE_PATHNAME', 'pgcache_sql_watches'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION cache_watches() IS
'what the view cache_watches is made of';

CREATE VIEW cache_watches AS
SELECT * FROM cache_watches();
COMMENT ON VIEW cache_watches IS
'the tables in this database that are watched, and what their changes invalidate';

GRANT SELECT ON cache_watches TO PUBLIC;

---- Statistics --------------------------------------------------------------

CREATE FUNCTION cache_stats()
RETURNS TABLE (
    hits bigint,
    misses bigint,
    puts bigint,
    stale_puts bigint,
    dropped_puts bigint,
    deletes bigint,
    invalidations_manual bigint,
    invalidations_tag bigint,
    invalidations_pattern bigint,
    invalidations_table bigint,
    invalidations_file bigint,
    invalidations_error bigint,
    loads bigint,
    load_errors bigint,
    waits bigint,
    ghost_hits bigint,
    expired_misses bigint,
    evictions bigint,
    evictions_background bigint,
    expirations bigint,
    entries bigint,
    key_bytes bigint,
    bytes bigint,
    stored_bytes bigint,
    memory_used bigint,
    memory_limit bigint,
    index_bytes bigint,
    memory_dead bigint,
    server_entries bigint,
    server_overhead bigint,
    stats_reset timestamptz)
AS 'MODULE_PATHNAME', 'pgcache_sql_stats'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION cache_stats() IS
'what the view cache_stats is made of';

CREATE FUNCTION cache_stats_namespaces()
RETURNS TABLE (
    hits bigint,
    misses bigint,
    puts bigint,
    stale_puts bigint,
    dropped_puts bigint,
    deletes bigint,
    invalidations_manual bigint,
    invalidations_tag bigint,
    invalidations_pattern bigint,
    invalidations_table bigint,
    invalidations_file bigint,
    invalidations_error bigint,
    loads bigint,
    load_errors bigint,
    waits bigint,
    ghost_hits bigint,
    expired_misses bigint,
    evictions bigint,
    evictions_background bigint,
    expirations bigint,
    entries bigint,
    key_bytes bigint,
    bytes bigint,
    stored_bytes bigint,
    namespace text,
    memory_used bigint,
    memory_limit bigint)
AS 'MODULE_PATHNAME', 'pgcache_sql_stats_namespaces'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION cache_stats_namespaces() IS
'what the view cache_stats_namespaces is made of';

CREATE VIEW cache_stats AS
SELECT
    hits,
    misses,
    hits::float8 / nullif(hits + misses, 0::bigint)::float8 AS hit_ratio,
    puts,
    stale_puts,
    dropped_puts,
    deletes,
    evictions,
    evictions_background,
    expirations,
    invalidations_manual + invalidations_tag + invalidations_pattern +
        invalidations_table + invalidations_file + invalidations_error
        AS invalidations,
    invalidations_manual,
    invalidations_tag,
    invalidations_pattern,
    invalidations_table,
    invalidations_file,
    invalidations_error,
    loads,
    load_errors,
    waits,
    ghost_hits,
    expired_misses,
    entries,
    key_bytes,
    bytes,
    stored_bytes,
    memory_used,
    memory_limit,
    index_bytes,
    memory_dead,
    server_overhead::float8 /
        nullif(server_entries, 0::bigint)::float8 AS overhead_per_entry,
    stats_reset
FROM cache_stats();
COMMENT ON VIEW cache_stats IS
'what happened in the caches of this database, and the memory of the whole server''s';

CREATE VIEW cache_stats_namespaces AS
SELECT
    namespace,
    hits,
    misses,
    hits::float8 / nullif(hits + misses, 0::bigint)::float8 AS hit_ratio,
    puts,
    stale_puts,
    dropped_puts,
    deletes,
    evictions,
    evictions_background,
    expirations,
    invalidations_manual + invalidations_tag + invalidations_pattern +
        invalidations_table + invalidations_file + invalidations_error
        AS invalidations,
    invalidations_manual,
    invalidations_tag,
    invalidations_pattern,
    invalidations_table,
    invalidations_file,
    invalidations_error,
    loads,
    load_errors,
    waits,
    ghost_hits,
    expired_misses,
    entries,
    key_bytes,
    bytes,
    stored_bytes,
    memory_used,
    memory_limit
FROM cache_stats_namespaces();
COMMENT ON VIEW cache_stats_namespaces IS
'what happened in each namespace of this database that the current user may read';

CREATE FUNCTION cache_entries()
RETURNS TABLE (
    namespace text,
    key text,
    type regtype,
    bytes bigint,
    stored_bytes bigint,
    version bigint,
    created_at timestamptz,
    expires_at timestamptz,
    last_access timestamptz,
    hits bigint,
    tags text[],
    priority int)
AS 'MODULE_PATHNAME', 'pgcache_sql_entries'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_entries() IS
'what the view cache_entries is made of';

CREATE VIEW cache_entries AS
SELECT * FROM cache_entries();
COMMENT ON VIEW cache_entries IS
'the entries in this database that the current user may read';

GRANT SELECT ON cache_stats, cache_stats_namespaces, cache_entries TO PUBLIC;

CREATE FUNCTION cache_reset_stats()
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_reset_stats'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_reset_stats() IS
'sets what is counted for this database back to zero';

REVOKE ALL ON FUNCTION cache_reset_stats() FROM PUBLIC;

---- Background workers ------------------------------------------------------

-- Of each table that the workers work by.
CREATE FUNCTION cache_tell_worker()
RETURNS trigger
AS 'MODULE_PATHNAME', 'pgcache_sql_tell_worker'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_tell_worker() IS
'tells the database''s worker that a table which it works by has changed';
REVOKE ALL ON FUNCTION cache_tell_worker() FROM PUBLIC;

---- What is hot, and how long it takes ---------------------------------------

CREATE FUNCTION cache_latency()
RETURNS TABLE (
    operation text,
    calls bigint,
    p50_us float8,
    p95_us float8,
    p99_us float8,
    max_us float8)
AS 'MODULE_PATHNAME', 'pgcache_sql_latency'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED ROWS 5;
COMMENT ON FUNCTION cache_latency() IS
'what the view cache_latency is made of';

CREATE VIEW cache_latency AS
SELECT * FROM cache_latency();
COMMENT ON VIEW cache_latency IS
'how long operations took in this database, in microseconds';

CREATE FUNCTION cache_hot_keys()
RETURNS TABLE (
    namespace text,
    key text,
    requests bigint,
    error bigint,
    bytes bigint,
    cached boolean,
    truncated boolean)
AS 'MODULE_PATHNAME', 'pgcache_sql_hot_keys'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_hot_keys() IS
'what the view cache_hot_keys is made of';

CREATE VIEW cache_hot_keys AS
SELECT * FROM cache_hot_keys();
COMMENT ON VIEW cache_hot_keys IS
'the keys asked for most of late in each namespace that the current user may read';

CREATE FUNCTION cache_big_keys()
RETURNS TABLE (
    namespace text,
    key text,
    bytes bigint,
    stored_bytes bigint,
    hits bigint,
    last_access timestamptz,
    expires_at timestamptz)
AS 'MODULE_PATHNAME', 'pgcache_sql_big_keys'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_big_keys() IS
'what the view cache_big_keys is made of';

CREATE VIEW cache_big_keys AS
SELECT * FROM cache_big_keys();
COMMENT ON VIEW cache_big_keys IS
'the largest entries in each namespace that the current user may read';

GRANT SELECT ON cache_latency, cache_hot_keys, cache_big_keys TO PUBLIC;

---- Learning ----------------------------------------------------------------

-- Hours are those of UTC: nobody's time zone shifts what was recorded, and each
-- hour of the week comes once a week.
CREATE FUNCTION cache_hour_of_week(at timestamptz)
RETURNS smallint
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
SELECT ((extract(isodow FROM at AT TIME ZONE 'UTC'::text)::int - 1) * 24 +
    extract(hour FROM at AT TIME ZONE 'UTC'::text)::int)::smallint;
END;
COMMENT ON FUNCTION cache_hour_of_week(timestamptz) IS
'hour of the week in UTC: 0 is Monday from 0 to 1 o''clock, 167 is the last one on Sunday';

-- Of each hour of the week the heaviest keys, pg_cache.tracked_keys of them at the
-- most for a namespace.  By number and not by name, so that a new namespace does
-- not show what was asked for in one of the same name that was dropped.
CREATE TABLE cache_key_hours (
    namespace_id integer NOT NULL,
    hour_of_week smallint NOT NULL CHECK (
        hour_of_week BETWEEN 0::smallint AND 167::smallint),
    key text COLLATE "C" NOT NULL,
    weight float8 NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (namespace_id, hour_of_week, key));
COMMENT ON TABLE cache_key_hours IS
'which keys are asked for at which hour of the week, for cache_predict()';
COMMENT ON COLUMN cache_key_hours.namespace_id IS
'of the table cache_namespaces; 1 is "default"';
COMMENT ON COLUMN cache_key_hours.hour_of_week IS
'in UTC, from 0, Monday''s first, to 167';
COMMENT ON COLUMN cache_key_hours.weight IS
'estimated requests, those of the week before counting half, and so on, as of seen_at';
COMMENT ON COLUMN cache_key_hours.seen_at IS
'beginning of the last such hour in which the key was among the heaviest';

-- The namespaces that may be read are found once in a query, not for each row.
ALTER TABLE cache_key_hours ENABLE ROW LEVEL SECURITY;
CREATE POLICY cache_may_read ON cache_key_hours FOR SELECT
USING (namespace_id = ANY (ARRAY(
    SELECT n.id FROM cache_namespaces n WHERE cache_may_read(n.name)
    UNION ALL
    SELECT 1 WHERE cache_may_read('default'::text))));
COMMENT ON POLICY cache_may_read ON cache_key_hours IS
'shows keys of namespaces that the current user may read';

CREATE TABLE cache_prediction_accuracy (
    namespace text COLLATE "C" NOT NULL,
    namespace_id integer NOT NULL,
    hour timestamptz NOT NULL,
    predicted integer NOT NULL,
    asked integer NOT NULL,
    share float8 GENERATED ALWAYS AS (
        asked::float8 / nullif(predicted, 0)::float8) STORED,
    coverage float8,
    PRIMARY KEY (namespace_id, hour));
COMMENT ON TABLE cache_prediction_accuracy IS
'how well cache_predict() foretold each hour when it began';
COMMENT ON COLUMN cache_prediction_accuracy.namespace_id IS
'tells it from others that had its name; 1 is "default"';
COMMENT ON COLUMN cache_prediction_accuracy.hour IS 'the beginning of that hour';
COMMENT ON COLUMN cache_prediction_accuracy.predicted IS
'number of keys predicted, 100 at the most';
COMMENT ON COLUMN cache_prediction_accuracy.asked IS
'how many of them were asked for in that hour, by the samples that were taken';
COMMENT ON COLUMN cache_prediction_accuracy.share IS
'asked / predicted; NULL if nothing was predicted';
COMMENT ON COLUMN cache_prediction_accuracy.coverage IS
'share of the hour''s requests that were for predicted keys; NULL if nothing was predicted';

ALTER TABLE cache_prediction_accuracy ENABLE ROW LEVEL SECURITY;
CREATE POLICY cache_may_read ON cache_prediction_accuracy FOR SELECT
USING (
    namespace_id = ANY (ARRAY(
        SELECT n.id FROM cache_namespaces n WHERE cache_may_read(n.name)
        UNION ALL
        SELECT 1 WHERE cache_may_read('default'::text))) OR
    -- Those of namespaces that were dropped, too.
    (SELECT pg_catalog.pg_has_role('pg_read_all_stats'::name, 'USAGE'::text)));
COMMENT ON POLICY cache_may_read ON cache_prediction_accuracy IS
'shows what was recorded of namespaces that the current user may read';

GRANT SELECT ON cache_key_hours, cache_prediction_accuracy TO PUBLIC;

-- What was asked for lately counts by how many hours ago that was, up to a week,
-- and what is usual at the hour comes on top.  Roots, because a key that was asked
-- for a hundred times in one hour is less sure to be asked for again than one that
-- was asked for a few times in each of many.  doc/workers.md has the figures.
CREATE FUNCTION cache_predict_keys(namespace_id int, hour timestamptz, n int)
RETURNS TABLE (key text, score float8, rank int)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
WITH seen AS (
    SELECT
        k.key,
        k.weight,
        pg_catalog.date_part('epoch'::text, hour - k.seen_at) /
            3600::float8 AS age,
        k.hour_of_week::int - h.hour_of_week AS off
    FROM
        (SELECT cache_hour_of_week(hour)::int AS hour_of_week OFFSET 0) AS h,
        cache_key_hours k
    WHERE k.namespace_id = cache_predict_keys.namespace_id
), scored AS (
    SELECT
        s.key AS k,
        pg_catalog.sum(
            pg_catalog.sqrt(s.weight * pg_catalog.power(0.5::float8,
                least(greatest(s.age, 0::float8), 168000::float8) / 168::float8)) *
            (CASE WHEN s.age BETWEEN 1::float8 AND 168::float8
                THEN 1::float8 / s.age ELSE 0::float8 END +
            CASE WHEN s.off % 24 = 0 THEN 0.2::float8 ELSE 0::float8 END +
            CASE WHEN s.off = 0 THEN 0.2::float8 ELSE 0::float8 END)) AS sum
    FROM seen s
    WHERE s.age BETWEEN 1::float8 AND 168::float8 OR s.off % 24 = 0
    GROUP BY s.key
)
SELECT s.k, s.sum,
    pg_catalog.row_number() OVER (ORDER BY s.sum DESC, s.k)::int
FROM scored s
ORDER BY s.sum DESC, s.k
LIMIT n;
END;
COMMENT ON FUNCTION cache_predict_keys(int, timestamptz, int) IS
'cache_predict() for the hour that begins then, without checks';

CREATE FUNCTION cache_predict(
    namespace text, at timestamptz = cache_clock_timestamp(), n int = 100)
RETURNS TABLE (key text, score float8, rank int)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 100
BEGIN ATOMIC
-- Raises what any reader's function does; neither a hit nor a miss.
SELECT cache_exists('k'::text, namespace)
WHERE
    cache_may_read(namespace) IS NOT TRUE OR
    (namespace <> 'default'::text AND NOT EXISTS (
        SELECT FROM cache_namespaces s WHERE s.name = namespace));
SELECT cache_error('22023'::text, 'n must be positive'::text)
WHERE n IS NULL OR n <= 0;
SELECT cache_error('22023'::text, 'time must be finite'::text)
WHERE at IS NULL OR NOT pg_catalog.isfinite(at);

SELECT p.key, p.score, p.rank
FROM (
    SELECT s.id FROM cache_namespaces s WHERE s.name = namespace
    UNION
    SELECT 1 WHERE namespace = 'default'::text) AS space,
    LATERAL cache_predict_keys(
        space.id, pg_catalog.date_trunc('hour'::text, at, 'UTC'::text), n) AS p
ORDER BY p.rank;
END;
COMMENT ON FUNCTION cache_predict(text, timestamptz, int) IS
'keys that are likely to be asked for in the hour of that time, likeliest first, by what was recorded of hours before';

CREATE FUNCTION cache_key_hour_sketches(before timestamptz)
RETURNS TABLE (
    namespace_id int, namespace text, hour timestamptz, total float8,
    keys text[], weights float8[],
    foretold int, asked int, asked_weight float8)
AS 'MODULE_PATHNAME', 'pgcache_sql_key_hour_sketches'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION cache_key_hour_sketches(timestamptz) IS
'keys asked for in each namespace in an hour that was over before then, and has not been forgotten; total: all requests; of the keys that were foretold, how many were asked for, and how often';

CREATE FUNCTION cache_foretell(
    namespace_id int, hour timestamptz, keys text[])
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_foretell'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_foretell(int, timestamptz, text[]) IS
'makes requests for these keys, 100 at the most, be counted in the hour that begins then, from commit on';

CREATE FUNCTION cache_forget_key_hour_sketches(before timestamptz)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_forget_key_hour_sketches'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_forget_key_hour_sketches(timestamptz) IS
'forgets at commit what cache_key_hour_sketches() gives, so that the next hour can be recorded';

-- The worker's, at the end of each hour.  A sketch of an hour that is over does
-- not change until it is forgotten, at commit: after an error it is still there.
CREATE FUNCTION cache_learn(before timestamptz = cache_clock_timestamp())
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
-- One at a time, or two would add the same hour.
SELECT cache_lock('cache_key_hours'::pg_catalog.regclass);

DELETE FROM cache_key_hours k
WHERE
    k.seen_at < before - '1000:00:00'::interval OR
    -- The clock was ahead.
    k.seen_at > before + '1000:00:00'::interval OR
    (k.namespace_id > 1 AND NOT EXISTS (
        SELECT FROM cache_namespaces s WHERE s.id = k.namespace_id));
DELETE FROM cache_prediction_accuracy
WHERE hour < before -
    pg_catalog.current_setting('pg_cache.stats_retention'::text)::interval;

INSERT INTO cache_prediction_accuracy (
    namespace, namespace_id, hour, predicted, asked, coverage)
SELECT
    s.namespace, s.namespace_id, s.hour, s.foretold, s.asked,
    CASE WHEN s.foretold > 0 THEN s.asked_weight / s.total END
FROM cache_key_hour_sketches(before) s
ON CONFLICT DO NOTHING;

INSERT INTO cache_key_hours AS k (namespace_id, hour_of_week, key, weight, seen_at)
SELECT s.namespace_id, cache_hour_of_week(s.hour), u.key, u.weight, s.hour
FROM cache_key_hour_sketches(before) s, unnest(s.keys, s.weights) AS u (key, weight)
ON CONFLICT (namespace_id, hour_of_week, key) DO UPDATE SET
    weight = excluded.weight + k.weight * pg_catalog.power(
        0.5::float8, least(greatest(
            extract(epoch FROM excluded.seen_at - k.seen_at)::float8, 0::float8) /
            604800::float8, 1000::float8)),
    seen_at = greatest(k.seen_at, excluded.seen_at);

DELETE FROM cache_key_hours k
USING (
    SELECT
        o.namespace_id, o.hour_of_week, o.key,
        pg_catalog.row_number() OVER (
            PARTITION BY o.namespace_id, o.hour_of_week
            ORDER BY o.weight * pg_catalog.power(
                0.5::float8, greatest(least(
                extract(epoch FROM before - o.seen_at)::float8 / 604800::float8,
                1000::float8), 0::float8)) DESC, o.key) AS place
    FROM cache_key_hours o, cache_key_hour_sketches(before) s
    WHERE
        o.namespace_id = s.namespace_id AND
        o.hour_of_week = cache_hour_of_week(s.hour)) AS r
WHERE
    r.place > pg_catalog.current_setting('pg_cache.tracked_keys'::text)::bigint AND
    k.namespace_id = r.namespace_id AND
    k.hour_of_week = r.hour_of_week AND
    k.key = r.key;

SELECT cache_forget_key_hour_sketches(before);

SELECT cache_foretell(s.id, h.hour, ARRAY(
    SELECT p.key FROM cache_predict_keys(s.id, h.hour, 100) p))
FROM
    (SELECT pg_catalog.date_trunc('hour'::text, before, 'UTC'::text) AS hour) AS h,
    (SELECT n.id FROM cache_namespaces n UNION SELECT 1) AS s;
END;
COMMENT ON FUNCTION cache_learn(timestamptz) IS
'adds the hours that were over before then to cache_key_hours, and how well they were predicted to cache_prediction_accuracy';

REVOKE ALL ON FUNCTION cache_key_hour_sketches(timestamptz),
    cache_foretell(int, timestamptz, text[]),
    cache_forget_key_hour_sketches(timestamptz), cache_learn(timestamptz)
    FROM PUBLIC;

---- Warming -----------------------------------------------------------------

CREATE TABLE cache_warmers (
    name text COLLATE "C" PRIMARY KEY
        CHECK (pg_catalog.octet_length(name) BETWEEN 1 AND 63),
    query text NOT NULL,
    schedule text NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    ttl interval CHECK (ttl > '0'::interval),
    tags text[],
    timeout interval NOT NULL CHECK (timeout > '0'::interval),
    max_rows bigint NOT NULL CHECK (max_rows > 0::bigint),
    max_attempts integer NOT NULL CHECK (max_attempts > 0),
    jitter interval NOT NULL CHECK (jitter >= '0'::interval),
    time_zone text,
    enabled boolean NOT NULL,
    owner regrole NOT NULL,
    owner_name text NOT NULL,
    search_path text NOT NULL,
    created_at timestamptz NOT NULL);
GRANT SELECT ON cache_warmers TO PUBLIC;
COMMENT ON TABLE cache_warmers IS
'queries whose rows are put into the cache on a schedule; changed by cache_create_warmer() and its like';
COMMENT ON COLUMN cache_warmers.name IS 'name, 1 to 63 bytes';
COMMENT ON COLUMN cache_warmers.query IS
'query of two columns, the key and the value';
COMMENT ON COLUMN cache_warmers.schedule IS
'five fields as cron has them, an interval, @start, @invalidate or another word';
COMMENT ON COLUMN cache_warmers.namespace IS 'namespace that it puts into';
COMMENT ON COLUMN cache_warmers.ttl IS
'time to live of the entries; NULL: the namespace''s default';
COMMENT ON COLUMN cache_warmers.tags IS 'tags of the entries';
COMMENT ON COLUMN cache_warmers.timeout IS 'longest time that a run may take';
COMMENT ON COLUMN cache_warmers.max_rows IS
'rows after which a run stops';
COMMENT ON COLUMN cache_warmers.max_attempts IS
'how often a run is tried that fails';
COMMENT ON COLUMN cache_warmers.jitter IS
'time by which a run is put off at random, at the most';
COMMENT ON COLUMN cache_warmers.time_zone IS
'time zone of the schedule; NULL: log_timezone';
COMMENT ON COLUMN cache_warmers.enabled IS 'whether it runs by its schedule';
COMMENT ON COLUMN cache_warmers.owner IS 'role that it runs as';
COMMENT ON COLUMN cache_warmers.owner_name IS
'its name when the warmer was last changed; under another one it does not run';
COMMENT ON COLUMN cache_warmers.search_path IS
'search_path by which the query was written';
COMMENT ON COLUMN cache_warmers.created_at IS 'when it was created';

-- The number of a role that was dropped might be another's where it is restored.
SELECT pg_catalog.pg_extension_config_dump('cache_warmers',
    'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner::pg_catalog.oid)');

CREATE TRIGGER cache_tell_worker
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON cache_warmers
FOR EACH STATEMENT EXECUTE FUNCTION cache_tell_worker();
ALTER TABLE cache_warmers ENABLE ALWAYS TRIGGER cache_tell_worker;
COMMENT ON TRIGGER cache_tell_worker ON cache_warmers IS
'tells the database''s worker of changes of the table';

CREATE SEQUENCE cache_warmer_runs_id_seq AS bigint;
COMMENT ON SEQUENCE cache_warmer_runs_id_seq IS 'ids of runs of warmers';

CREATE TABLE cache_warmer_runs (
    name text COLLATE "C" NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    rows bigint,
    bytes bigint,
    error text,
    attempt integer NOT NULL,
    sqlstate text,
    note text,
    reason text NOT NULL,
    again boolean NOT NULL DEFAULT false,
    owner regrole NOT NULL,
    server_start timestamptz NOT NULL,
    id bigint PRIMARY KEY DEFAULT pg_catalog.nextval(
        'cache_warmer_runs_id_seq'::pg_catalog.regclass));
CREATE INDEX cache_warmer_runs_name_id ON cache_warmer_runs (name, id);
CREATE INDEX cache_warmer_runs_unfinished ON cache_warmer_runs (id)
WHERE finished_at IS NULL;
COMMENT ON TABLE cache_warmer_runs IS
'the last 100 runs of each warmer, not longer than pg_cache.stats_retention';
COMMENT ON COLUMN cache_warmer_runs.name IS 'the warmer';
COMMENT ON COLUMN cache_warmer_runs.started_at IS 'when it began';
COMMENT ON COLUMN cache_warmer_runs.finished_at IS
'when it ended; NULL: it is under way';
COMMENT ON COLUMN cache_warmer_runs.rows IS
'rows that were put, or if it failed that far';
COMMENT ON COLUMN cache_warmer_runs.bytes IS 'bytes of their keys and values';
COMMENT ON COLUMN cache_warmer_runs.error IS 'why it failed; NULL: it did not';
COMMENT ON COLUMN cache_warmer_runs.attempt IS
'1, or which further attempt it was';
COMMENT ON COLUMN cache_warmer_runs.sqlstate IS 'code of the error';
COMMENT ON COLUMN cache_warmer_runs.note IS
'what else there is to say, as that it stopped at max_rows';
COMMENT ON COLUMN cache_warmer_runs.reason IS
'why it ran: schedule, start, invalidation, retry or manual';
COMMENT ON COLUMN cache_warmer_runs.again IS
'whether it failed in a way that further attempts may follow';
COMMENT ON COLUMN cache_warmer_runs.owner IS 'role that it ran as';
COMMENT ON COLUMN cache_warmer_runs.server_start IS
'when the server was started that it ran in';
COMMENT ON COLUMN cache_warmer_runs.id IS 'number, ascending';

ALTER TABLE cache_warmer_runs ENABLE ROW LEVEL SECURITY;
CREATE POLICY cache_member ON cache_warmer_runs FOR SELECT
USING (
    pg_catalog.pg_has_role(owner::oid, 'USAGE'::text) OR
    pg_catalog.pg_has_role('pg_read_all_stats'::name, 'USAGE'::text));
COMMENT ON POLICY cache_member ON cache_warmer_runs IS
'shows the runs of warmers whose owner the current role is a member of';
GRANT SELECT ON cache_warmer_runs TO PUBLIC;

CREATE FUNCTION cache_warmer_run_start(
    name text, owner regrole, started_at timestamptz, attempt integer,
    reason text, server_start timestamptz)
RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
INSERT INTO cache_warmer_runs
    (name, owner, started_at, attempt, reason, server_start)
VALUES (name, owner, started_at, attempt, reason, server_start)
RETURNING id;
END;
COMMENT ON FUNCTION cache_warmer_run_start(text, regrole, timestamptz, integer, text, timestamptz) IS
'notes that a warmer was started; returns the run''s id';

-- The transaction that noted the start may have failed, the run gone on: then there
-- is no row yet.
CREATE FUNCTION cache_warmer_run_end(
    run bigint, name text, owner regrole, started_at timestamptz,
    attempt integer, reason text, server_start timestamptz,
    finished_at timestamptz, rows bigint, bytes bigint,
    sqlstate text, error text, note text, again boolean)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
WITH ended AS (
    UPDATE cache_warmer_runs r SET
        finished_at = cache_warmer_run_end.finished_at,
        rows = cache_warmer_run_end.rows,
        bytes = cache_warmer_run_end.bytes,
        sqlstate = cache_warmer_run_end.sqlstate,
        error = cache_warmer_run_end.error,
        note = cache_warmer_run_end.note,
        again = cache_warmer_run_end.again
    WHERE r.id = run AND r.started_at = cache_warmer_run_end.started_at
    RETURNING 1)
INSERT INTO cache_warmer_runs
    (name, owner, started_at, attempt, reason, server_start, finished_at,
     rows, bytes, sqlstate, error, note, again)
SELECT name, owner, started_at, attempt, reason, server_start, finished_at,
    rows, bytes, sqlstate, error, note, again
WHERE NOT EXISTS (SELECT FROM ended);
END;
COMMENT ON FUNCTION cache_warmer_run_end(bigint, text, regrole, timestamptz, integer, text, timestamptz, timestamptz, bigint, bigint, text, text, text, boolean) IS
'notes the end of a run';

CREATE FUNCTION cache_warmer_runs_close(running bigint[])
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
UPDATE cache_warmer_runs SET
    finished_at = cache_clock_timestamp(),
    sqlstate = '57P01'::text,
    error = 'the server or the worker ended before the run did'::text,
    again = true
WHERE finished_at IS NULL AND id <> ALL (running);
END;
COMMENT ON FUNCTION cache_warmer_runs_close(bigint[]) IS
'ends the runs that have no end, but for those given';

CREATE FUNCTION cache_warmer_runs_trim()
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
DELETE FROM cache_warmer_runs WHERE id IN (
    SELECT r.id
    FROM (
        SELECT
            id,
            finished_at,
            pg_catalog.row_number() OVER (
                PARTITION BY name ORDER BY id DESC) AS n
        FROM cache_warmer_runs) AS r
    WHERE
        r.n > 100::bigint OR
        r.finished_at < cache_clock_timestamp() -
            pg_catalog.current_setting('pg_cache.stats_retention'::text)::interval);
END;
COMMENT ON FUNCTION cache_warmer_runs_trim() IS
'deletes runs that are too old, or too many of one warmer';

CREATE FUNCTION cache_warmer_runs_past(server_start timestamptz)
RETURNS TABLE (
    name text, last_start timestamptz, last_end timestamptz,
    attempt integer, again boolean, at_start boolean)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
SELECT
    r.name,
    r.started_at,
    r.finished_at,
    r.attempt,
    r.again,
    EXISTS (
        SELECT FROM cache_warmer_runs s
        WHERE
            s.name = r.name AND s.reason = 'start'::text AND
            s.server_start = cache_warmer_runs_past.server_start)
FROM (
    SELECT DISTINCT ON (name) *
    FROM cache_warmer_runs
    WHERE
        server_start = cache_warmer_runs_past.server_start AND
        reason <> 'manual'::text
    ORDER BY name, id DESC) AS r;
END;
COMMENT ON FUNCTION cache_warmer_runs_past(timestamptz) IS
'the last run of each warmer since that start of the server, those by hand apart, and whether there was one because of the start';

REVOKE ALL ON FUNCTION
    cache_warmer_run_start(text, regrole, timestamptz, integer, text, timestamptz),
    cache_warmer_run_end(bigint, text, regrole, timestamptz, integer, text, timestamptz, timestamptz, bigint, bigint, text, text, text, boolean),
    cache_warmer_runs_close(bigint[]),
    cache_warmer_runs_trim(),
    cache_warmer_runs_past(timestamptz) FROM PUBLIC;

CREATE FUNCTION cache_create_warmer(
    name text, query text, schedule text, namespace text = 'default',
    ttl interval = NULL, tags text[] = NULL, timeout interval = '5 min',
    max_rows bigint = 1000000, max_attempts int = 3, jitter interval = '0',
    time_zone text = NULL, enabled boolean = true)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_create_warmer'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_create_warmer(text, text, text, text, interval, text[], interval, bigint, int, interval, text, boolean) IS
'creates a warmer: a query whose rows, key and value, are put into the cache on a schedule, by a process that is connected as the current role';

CREATE FUNCTION cache_alter_warmer(
    name text, query text = NULL, schedule text = NULL, namespace text = NULL,
    ttl interval = NULL, tags text[] = NULL, timeout interval = NULL,
    max_rows bigint = NULL, max_attempts int = NULL, jitter interval = NULL,
    time_zone text = NULL, enabled boolean = NULL, reset text[] = NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_alter_warmer'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_alter_warmer(text, text, text, text, interval, text[], interval, bigint, int, interval, text, boolean, text[]) IS
'sets options of a warmer, and puts those named in reset back to the default';

CREATE FUNCTION cache_drop_warmer(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_drop_warmer'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_drop_warmer(text) IS
'drops a warmer; its entries stay';

CREATE FUNCTION cache_run_warmer(name text)
RETURNS bigint
AS 'MODULE_PATHNAME', 'pgcache_sql_run_warmer'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_run_warmer(text) IS
'runs a warmer now, in this transaction and as its owner; returns the number of rows put';

CREATE FUNCTION cache_warmer_progress()
RETURNS TABLE (
    name text,
    pid int,
    started_at timestamptz,
    attempt int,
    rows bigint,
    bytes bigint)
AS 'MODULE_PATHNAME', 'pgcache_sql_warmer_progress'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED ROWS 2;
COMMENT ON FUNCTION cache_warmer_progress() IS
'what the view cache_warmer_progress is made of';

CREATE VIEW cache_warmer_progress AS
SELECT * FROM cache_warmer_progress();
COMMENT ON VIEW cache_warmer_progress IS
'the runs of warmers under way in this database, of owners that the current role is a member of';

GRANT SELECT ON cache_warmer_progress TO PUBLIC;

---- Watching files ----------------------------------------------------------

CREATE TABLE cache_file_watches (
    path text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    tags text[] NOT NULL,
    owner regrole NOT NULL,
    condition text NOT NULL CHECK (
        condition IN ('present'::text, 'absent'::text, 'unreadable'::text)),
    mtime timestamptz,
    size bigint,
    inode bigint,
    PRIMARY KEY (path, namespace));
-- What a file is like is for those who may look themselves, and for pg_dump.
GRANT SELECT (path, namespace, tags, owner) ON cache_file_watches TO PUBLIC;
GRANT SELECT ON cache_file_watches TO pg_read_server_files, pg_database_owner;
COMMENT ON TABLE cache_file_watches IS
'watched files of the server; changed by cache_watch_file() and cache_unwatch_file()';
COMMENT ON COLUMN cache_file_watches.path IS 'absolute path of the file';
COMMENT ON COLUMN cache_file_watches.namespace IS
'namespace in which the tags are invalidated';
COMMENT ON COLUMN cache_file_watches.tags IS
'tags that a change of the file invalidates';
COMMENT ON COLUMN cache_file_watches.owner IS 'role that watches the file';
COMMENT ON COLUMN cache_file_watches.condition IS
'what the file was when it was last found changed: present, absent or unreadable';
COMMENT ON COLUMN cache_file_watches.mtime IS
'time of its last modification then; NULL unless present';
COMMENT ON COLUMN cache_file_watches.size IS
'its bytes then; NULL unless present';
COMMENT ON COLUMN cache_file_watches.inode IS
'number of its inode then; NULL unless present';

-- Not those of roles that no longer exist: where they are restored, their numbers
-- may be other roles'.
SELECT pg_catalog.pg_extension_config_dump('cache_file_watches',
    'WHERE owner::pg_catalog.oid IN (SELECT oid FROM pg_catalog.pg_roles)');

CREATE TRIGGER cache_tell_worker
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON cache_file_watches
FOR EACH STATEMENT EXECUTE FUNCTION cache_tell_worker();
ALTER TABLE cache_file_watches ENABLE ALWAYS TRIGGER cache_tell_worker;
COMMENT ON TRIGGER cache_tell_worker ON cache_file_watches IS
'tells the database''s worker of changes of the table';

CREATE FUNCTION cache_watch_file(
    path text, tags text[], namespace text = 'default')
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_watch_file'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_watch_file(text, text[], text) IS
'makes changes of a file of the server invalidate tags';

CREATE FUNCTION cache_unwatch_file(path text)
RETURNS void
AS 'MODULE_PATHNAME', 'pgcache_sql_unwatch_file'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION cache_unwatch_file(text) IS
'ends all watches of a file';

---- History -----------------------------------------------------------------

-- A row says what was counted in a span that ends at a time, and how much there
-- was then.  A namespace in which nothing happened meanwhile has none.
CREATE TABLE cache_stats_history (
    at timestamptz NOT NULL CHECK (pg_catalog.isfinite(at)),
    namespace text COLLATE "C" NOT NULL,
    span interval NOT NULL,
    hits bigint NOT NULL,
    misses bigint NOT NULL,
    puts bigint NOT NULL,
    stale_puts bigint NOT NULL,
    dropped_puts bigint NOT NULL,
    deletes bigint NOT NULL,
    evictions bigint NOT NULL,
    evictions_background bigint NOT NULL,
    expirations bigint NOT NULL,
    invalidations bigint NOT NULL,
    invalidations_manual bigint NOT NULL,
    invalidations_tag bigint NOT NULL,
    invalidations_pattern bigint NOT NULL,
    invalidations_table bigint NOT NULL,
    invalidations_file bigint NOT NULL,
    invalidations_error bigint NOT NULL,
    loads bigint NOT NULL,
    load_errors bigint NOT NULL,
    waits bigint NOT NULL,
    ghost_hits bigint NOT NULL,
    expired_misses bigint NOT NULL,
    entries bigint NOT NULL,
    key_bytes bigint NOT NULL,
    bytes bigint NOT NULL,
    stored_bytes bigint NOT NULL,
    memory_used bigint NOT NULL,
    namespace_id integer NOT NULL,
    hit_ratio float8 GENERATED ALWAYS AS (
        hits::float8 / nullif(hits + misses, 0::bigint)::float8) STORED);
COMMENT ON TABLE cache_stats_history IS
'what happened in each namespace, a row every pg_cache.stats_interval';
COMMENT ON COLUMN cache_stats_history.span IS
'the time since the row before, in which the counters counted what they say';
COMMENT ON COLUMN cache_stats_history.namespace_id IS
'tells it from others that had its name; 1 is "default"';

CREATE INDEX cache_stats_history_namespace_at
ON cache_stats_history (namespace, at);
CREATE INDEX cache_stats_history_at ON cache_stats_history (at);

ALTER TABLE cache_stats_history ENABLE ROW LEVEL SECURITY;
CREATE POLICY cache_may_read ON cache_stats_history FOR SELECT
USING (
    namespace_id = ANY (ARRAY(
        SELECT n.id FROM cache_namespaces n WHERE cache_may_read(n.name)
        UNION ALL
        SELECT 1 WHERE cache_may_read('default'::text))) OR
    -- Those of namespaces that were dropped, too.
    (SELECT pg_catalog.pg_has_role('pg_read_all_stats'::name, 'USAGE'::text)));
COMMENT ON POLICY cache_may_read ON cache_stats_history IS
'shows what was recorded of namespaces that the current user may read';

-- Not the sums of the rows above: a namespace without a row has entries too.
CREATE TABLE cache_stats_history_total (
    LIKE cache_stats_history INCLUDING CONSTRAINTS INCLUDING GENERATED
        INCLUDING COMMENTS);
ALTER TABLE cache_stats_history_total
    DROP COLUMN namespace, DROP COLUMN namespace_id;
COMMENT ON TABLE cache_stats_history_total IS
'what happened in all namespaces of this database together; memory_used is the server''s';

CREATE INDEX cache_stats_history_total_at ON cache_stats_history_total (at);

GRANT SELECT ON cache_stats_history, cache_stats_history_total TO PUBLIC;

-- What was counted when the last rows were written: the difference is what comes
-- into the next ones, whoever was restarted in between.  0 is the whole database.
CREATE TABLE cache_stats_marks (
    namespace_id integer PRIMARY KEY,
    at timestamptz NOT NULL,
    reset timestamptz,
    counters bigint[] NOT NULL,
    gauges bigint[] NOT NULL);
COMMENT ON TABLE cache_stats_marks IS
'the counters as of the last rows of cache_stats_history, by namespace';

COMMENT ON COLUMN cache_stats_marks.reset IS
'stats_reset of cache_stats then: of what was counted since another, by this server after a crash or by a primary, the mark says nothing; NULL: none was counted yet';

INSERT INTO cache_stats_marks (namespace_id, at, counters, gauges)
VALUES (0, pg_catalog.now(), '{}', '{}');

CREATE FUNCTION cache_stats_counted()
RETURNS TABLE (
    namespace_id integer, namespace text, counters bigint[], gauges bigint[])
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
SELECT
    coalesce(n.id, 1),
    s.namespace,
    ARRAY[
        s.hits, s.misses, s.puts, s.stale_puts, s.dropped_puts, s.deletes,
        s.evictions, s.evictions_background, s.expirations, s.invalidations,
        s.invalidations_manual, s.invalidations_tag, s.invalidations_pattern,
        s.invalidations_table, s.invalidations_file, s.invalidations_error, s.loads, s.load_errors,
        s.waits, s.ghost_hits, s.expired_misses],
    ARRAY[s.entries, s.key_bytes, s.bytes, s.stored_bytes, s.memory_used]
FROM cache_stats_namespaces s LEFT JOIN cache_namespaces n ON n.name = s.namespace
-- Others without a row are so new that this statement does not see it yet.
WHERE n.id IS NOT NULL OR s.namespace = 'default'::text
UNION ALL
SELECT
    0,
    NULL::text,
    ARRAY[
        s.hits, s.misses, s.puts, s.stale_puts, s.dropped_puts, s.deletes,
        s.evictions, s.evictions_background, s.expirations, s.invalidations,
        s.invalidations_manual, s.invalidations_tag, s.invalidations_pattern,
        s.invalidations_table, s.invalidations_file, s.invalidations_error, s.loads, s.load_errors,
        s.waits, s.ghost_hits, s.expired_misses],
    ARRAY[s.entries, s.key_bytes, s.bytes, s.stored_bytes, s.memory_used]
FROM cache_stats s;
END;
COMMENT ON FUNCTION cache_stats_counted() IS
'the statistics in the form of cache_stats_marks';

-- Counters only go back to start anew.  Then all that they say is new.
CREATE FUNCTION cache_counted_since(counters bigint[], mark bigint[])
RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT CASE
    WHEN EXISTS (
        SELECT FROM unnest(counters, mark) AS u (now, before)
        WHERE now < before)
    THEN counters
    ELSE ARRAY(
        SELECT now - coalesce(before, 0::bigint)
        FROM unnest(counters, mark) WITH ORDINALITY AS u (now, before, i)
        ORDER BY i)
    END;
END;
COMMENT ON FUNCTION cache_counted_since(bigint[], bigint[]) IS
'what was counted since a mark; from zero if a counter has gone back';

CREATE FUNCTION cache_prune_stats()
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
-- Rows as far ahead were written before the clock was set back.
DELETE FROM cache_stats_history h
USING (
    SELECT
        cache_clock_timestamp() AS now,
        pg_catalog.current_setting('pg_cache.stats_retention'::text)::interval
            AS retention
    OFFSET 0) AS clock
WHERE
    h.at < clock.now - clock.retention OR h.at > clock.now + clock.retention;
DELETE FROM cache_stats_history_total t
USING (
    SELECT
        cache_clock_timestamp() AS now,
        pg_catalog.current_setting('pg_cache.stats_retention'::text)::interval
            AS retention
    OFFSET 0) AS clock
WHERE
    t.at < clock.now - clock.retention OR t.at > clock.now + clock.retention;
END;
COMMENT ON FUNCTION cache_prune_stats() IS
'deletes what is older than pg_cache.stats_retention from the history, or ahead of now by more';

CREATE FUNCTION cache_stats_recorded()
RETURNS TABLE (last timestamptz, oldest timestamptz)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 1
BEGIN ATOMIC
SELECT
    (SELECT m.at FROM cache_stats_marks m WHERE m.namespace_id = 0),
    (SELECT pg_catalog.min(t.at) FROM cache_stats_history_total t);
END;
COMMENT ON FUNCTION cache_stats_recorded() IS
'when the history was last written, and when its oldest row was';

CREATE FUNCTION cache_record_stats(since timestamptz = NULL)
RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
-- One at a time, or two would write the same difference.
SELECT cache_lock('cache_stats_marks'::pg_catalog.regclass);

SELECT cache_prune_stats();
DELETE FROM cache_stats_marks
WHERE namespace_id > 1 AND NOT EXISTS (
    SELECT FROM cache_namespaces WHERE id = namespace_id);

WITH changed AS MATERIALIZED (
    SELECT
        s.namespace_id,
        s.namespace,
        clock.at,
        clock.reset,
        greatest(clock.at - greatest(
            CASE WHEN coalesce(last.reset = clock.reset, true)
            THEN last.at ELSE clock.reset END, since), '0'::interval) AS span,
        s.counters,
        s.gauges,
        cache_counted_since(s.counters, CASE
            WHEN m.reset = clock.reset THEN m.counters END) AS c,
        pg_catalog.array_ne(s.gauges,
            coalesce(m.gauges, '{0,0,0,0,0}'::bigint[])) AS gauges_changed
    FROM
        (SELECT cache_clock_timestamp() AS at, stats_reset AS reset
            FROM cache_stats OFFSET 0) AS clock,
        cache_stats_counted() s
        LEFT JOIN cache_stats_marks m ON m.namespace_id = s.namespace_id,
        cache_stats_marks last
    WHERE
        last.namespace_id = 0 AND
        (m.reset IS NULL OR m.reset <> clock.reset OR
            pg_catalog.array_ne(s.counters, m.counters) OR
            pg_catalog.array_ne(s.gauges, m.gauges))
), marked AS (
    INSERT INTO cache_stats_marks AS m (
        namespace_id, at, reset, counters, gauges)
    SELECT namespace_id, at, reset, counters, gauges FROM changed
    ON CONFLICT (namespace_id) DO UPDATE SET
        at = excluded.at, reset = excluded.reset, counters = excluded.counters, gauges = excluded.gauges
), rows AS (
    SELECT * FROM changed WHERE gauges_changed OR 0::bigint < ANY (c)
), total AS (
    INSERT INTO cache_stats_history_total
    SELECT
        at, span,
        c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10],
        c[11], c[12], c[13], c[14], c[15], c[16], c[17], c[18], c[19], c[20],
        c[21],
        gauges[1], gauges[2], gauges[3], gauges[4], gauges[5]
    FROM rows WHERE namespace IS NULL
), written AS (
    INSERT INTO cache_stats_history
    SELECT
        at, namespace, span,
        c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10],
        c[11], c[12], c[13], c[14], c[15], c[16], c[17], c[18], c[19], c[20],
        c[21],
        gauges[1], gauges[2], gauges[3], gauges[4], gauges[5],
        namespace_id
    FROM rows WHERE namespace IS NOT NULL
    RETURNING 1)
SELECT pg_catalog.count(*) FROM written;
END;
COMMENT ON FUNCTION cache_record_stats(timestamptz) IS
'writes what was counted since the last time to cache_stats_history, and deletes what is older than pg_cache.stats_retention; since: until when nothing was; returns the number of rows';

REVOKE ALL ON FUNCTION cache_record_stats(timestamptz), cache_prune_stats(),
    cache_stats_recorded(), cache_stats_counted(), cache_counted_since(bigint[], bigint[]) FROM PUBLIC;

CREATE FUNCTION cache_history_metrics()
RETURNS SETOF text
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
SELECT attname::text
FROM pg_catalog.pg_attribute
WHERE
    attrelid = 'cache_stats_history'::pg_catalog.regclass::oid AND
    attnum > 0::int2 AND NOT attisdropped AND
    atttypid IN (
        'bigint'::pg_catalog.regtype::oid, 'float8'::pg_catalog.regtype::oid)
ORDER BY attnum;
END;
COMMENT ON FUNCTION cache_history_metrics() IS
'the metrics of cache_trend(): columns of cache_stats_history';

CREATE FUNCTION cache_history_gauges()
RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT '{entries,key_bytes,bytes,stored_bytes,memory_used,hit_ratio}'::text[];
END;
COMMENT ON FUNCTION cache_history_gauges() IS
'the columns of cache_stats_history that count nothing: what there is, and a ratio';

-- The rows of a namespace, or if it is NULL of the database, as numbers; also the
-- last one before.
CREATE FUNCTION cache_history_values(
    metric text, of_namespace text, since timestamptz)
RETURNS TABLE (at timestamptz, span interval, value float8)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
SELECT h.at, h.span, (pg_catalog.to_jsonb(h) ->> metric)::float8
FROM cache_stats_history h
WHERE h.namespace = of_namespace AND
    h.namespace_id = coalesce(cache_namespace_id(of_namespace), h.namespace_id) AND
    h.at >= coalesce((
        SELECT pg_catalog.max(b.at) FROM cache_stats_history b
        WHERE b.namespace = of_namespace AND b.at <= since), since)
UNION ALL
SELECT t.at, t.span, (pg_catalog.to_jsonb(t) ->> metric)::float8
FROM cache_stats_history_total t
WHERE of_namespace IS NULL AND t.at >= coalesce((
    SELECT pg_catalog.max(b.at) FROM cache_stats_history_total b
    WHERE b.at <= since), since);
END;
COMMENT ON FUNCTION cache_history_values(text, text, timestamptz) IS
'a column of cache_stats_history from the last row before then on, or if the namespace is NULL of cache_stats_history_total';

-- Each point stands for so many hours: a row for its span, and others for times in
-- which nothing happened and nothing was written, in which counters were zero, what
-- there is stayed, and a ratio there was none.  Counters as rates: rows may be of
-- different spans.
CREATE FUNCTION cache_history_points(
    metric text, namespace text, since timestamptz, until timestamptz)
RETURNS TABLE (at timestamptz, hours float8, value float8)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
WITH written AS (
    SELECT
        v.at,
        v.value,
        extract(epoch FROM v.span)::float8 / 3600::float8 AS hours,
        extract(epoch FROM v.at - since)::float8 / 3600::float8 AS known,
        extract(epoch FROM until - since)::float8 / 3600::float8 AS whole,
        greatest(v.at, since) AS quiet_from,
        coalesce(
            pg_catalog.lead(v.at - v.span) OVER (ORDER BY v.at), until)
            AS quiet_until,
        metric = ANY (cache_history_gauges()) AS gauge
    FROM cache_history_values(metric, namespace, since) v
    WHERE v.at <= until
), quiet AS (
    SELECT
        w.*,
        extract(epoch FROM w.quiet_until - w.quiet_from)::float8 / 3600::float8
            AS length
    FROM written w
), pieces AS (
    SELECT
        q.*,
        -- A worker that comes a little later is no quiet time.
        CASE WHEN q.length <= 0.01::float8 * least(q.hours, q.whole) THEN 0
        ELSE greatest(1, pg_catalog.round(q.length /
            greatest(q.hours, q.whole / 500::float8))::int) END AS n
    FROM quiet q)
SELECT
    p.at,
    least(p.hours, p.known),
    CASE WHEN p.gauge THEN p.value ELSE p.value / p.hours END
FROM pieces p
WHERE p.known > 0::float8 AND p.hours > 0::float8 AND p.value IS NOT NULL
UNION ALL
SELECT
    p.quiet_from + (p.quiet_until - p.quiet_from) * (i::float8 / p.n::float8),
    p.length / p.n::float8,
    CASE WHEN p.gauge THEN p.value ELSE 0::float8 END
FROM pieces p, LATERAL pg_catalog.generate_series(1, p.n) AS i
WHERE metric <> 'hit_ratio'::text;
END;
COMMENT ON FUNCTION cache_history_points(text, text, timestamptz, timestamptz) IS
'cache_history_values() with points for the times in which nothing happened, counters by the hour; hours: for how long each stands';

CREATE FUNCTION cache_trend(
    metric text, namespace text = 'default', span interval = '1 day')
RETURNS TABLE (
    slope float8, forecast float8, fit float8, mean float8, n bigint)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 1
BEGIN ATOMIC
SELECT cache_error(
    '22023'::text,
    pg_catalog.format('unrecognized metric "%s"'::text,
        coalesce(metric, 'NULL'::text)),
    NULL::text,
    'The metrics are '::text || (
        SELECT pg_catalog.string_agg(m, ', '::text)
        FROM cache_history_metrics() AS m) || '.'::text)
WHERE metric IS NULL OR
    NOT EXISTS (SELECT FROM cache_history_metrics() AS m WHERE m = metric);
SELECT cache_error('22023'::text, 'span must be positive'::text)
WHERE span IS NULL OR span <= '0'::interval;
SELECT cache_error(
    '42501'::text,
    pg_catalog.format('permission denied for namespace "%s"'::text, namespace))
WHERE NOT cache_may_read(namespace);

WITH clock AS MATERIALIZED (
    SELECT cache_clock_timestamp() AS now
), points AS MATERIALIZED (
    SELECT
        extract(epoch FROM p.at - clock.now)::float8 / 3600::float8 AS x,
        p.value AS y,
        p.hours AS w
    FROM clock, LATERAL cache_history_points(
        metric, namespace, clock.now - span, clock.now) AS p
), means AS MATERIALIZED (
    SELECT
        pg_catalog.sum(p.w * p.x) / pg_catalog.sum(p.w) AS x,
        CASE WHEN pg_catalog.min(p.y) = pg_catalog.max(p.y)
        THEN pg_catalog.min(p.y)
        ELSE pg_catalog.sum(p.w * p.y) / pg_catalog.sum(p.w) END AS y,
        pg_catalog.count(*) AS n
    FROM points p
), sums AS (
    SELECT
        nullif(pg_catalog.sum(p.w * (p.x - m.x) * (p.x - m.x)), 0::float8) AS xx,
        pg_catalog.sum(p.w * (p.x - m.x) * (p.y - m.y)) AS xy,
        nullif(pg_catalog.sum(p.w * (p.y - m.y) * (p.y - m.y)), 0::float8) AS yy
    FROM points p, means m)
SELECT
    s.xy / s.xx,
    m.y + s.xy / s.xx *
        (extract(epoch FROM span)::float8 / 3600::float8 - m.x),
    CASE WHEN s.xx IS NOT NULL
    THEN coalesce(s.xy * s.xy / (s.xx * s.yy), 1::float8) END,
    m.y,
    m.n
FROM means m, sums s;
END;
COMMENT ON FUNCTION cache_trend(text, text, interval) IS
'straight line through a metric''s history of that span until now, of a namespace or with NULL of the database: its rise an hour, its value one span from now, how well it fits (0 to 1)';

---- Patterns ----------------------------------------------------------------

-- A row of the history counts for the hour in which the middle of its span lies.
-- Hours without a row were quiet ones.
CREATE VIEW cache_patterns WITH (security_invoker = true) AS
WITH counted AS (
    SELECT
        h.namespace,
        h.namespace_id,
        pg_catalog.date_trunc('hour'::text,
            h.at - least(h.span, '01:00:00'::interval) / 2::float8,
            'UTC'::text) AS hour,
        h.hits,
        h.misses
    FROM
        cache_stats_history h,
        (SELECT
            cache_clock_timestamp() AS now,
            pg_catalog.current_setting(
                'pg_cache.stats_retention'::text)::interval AS retention
        OFFSET 0) AS clock
    -- However far others lie that were written by a clock that was wrong.
    WHERE h.at BETWEEN clock.now - clock.retention AND clock.now
), known AS (
    SELECT
        c.namespace,
        c.namespace_id,
        -- Of several that had the name the last one is meant.
        pg_catalog.max(c.namespace_id) OVER (PARTITION BY c.namespace) AS newest,
        pg_catalog.min(c.hour) AS first,
        -- The present hour is not over: it counts once there is something in it.
        greatest(pg_catalog.max(c.hour), pg_catalog.date_trunc(
            'hour'::text, cache_clock_timestamp(), 'UTC'::text) -
            '01:00:00'::interval) AS last
    FROM counted c
    GROUP BY c.namespace, c.namespace_id
), hours AS (
    SELECT
        k.namespace,
        k.namespace_id,
        cache_hour_of_week(i.hour)::int AS hour_of_week,
        pg_catalog.count(*) AS hours
    FROM known k, LATERAL pg_catalog.generate_series(
        k.first, k.last, '01:00:00'::interval) AS i (hour)
    WHERE k.namespace_id = k.newest
    GROUP BY k.namespace, k.namespace_id, cache_hour_of_week(i.hour)
), sums AS (
    SELECT
        c.namespace_id,
        cache_hour_of_week(c.hour)::int AS hour_of_week,
        pg_catalog.sum(c.hits)::float8 AS hits,
        pg_catalog.sum(c.misses)::float8 AS misses
    FROM counted c
    GROUP BY c.namespace_id, cache_hour_of_week(c.hour)
)
SELECT
    o.namespace,
    o.hour_of_week / 24 + 1 AS day_of_week,
    o.hour_of_week % 24 AS hour_of_day,
    (coalesce(s.hits, 0::float8) + coalesce(s.misses, 0::float8)) /
        o.hours::float8 AS accesses,
    coalesce(s.hits, 0::float8) / o.hours::float8 AS hits,
    coalesce(s.misses, 0::float8) / o.hours::float8 AS misses,
    o.hours
FROM hours o LEFT JOIN sums s ON
    s.namespace_id = o.namespace_id AND s.hour_of_week = o.hour_of_week;
COMMENT ON VIEW cache_patterns IS
'accesses by day of the week (1: Monday) and hour of the day in UTC: averages of so many hours, from cache_stats_history';

GRANT SELECT ON cache_patterns TO PUBLIC;

---- Alerts ------------------------------------------------------------------

-- What was counted in the last interval of the history, of the database (NULL)
-- and of each namespace: no row if it is quiet.
CREATE FUNCTION cache_last_interval()
RETURNS TABLE (namespace text, seconds float8, counted jsonb)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
WITH last AS MATERIALIZED (
    SELECT pg_catalog.max(t.at) AS at FROM cache_stats_history_total t
    -- The worker writes nothing while nothing happens.
    WHERE
        t.at > (SELECT cache_clock_timestamp() - 2::float8 *
            pg_catalog.current_setting('pg_cache.stats_interval'::text)::interval) AND
        -- The clock may have been set back.
        t.at <= (SELECT cache_clock_timestamp()))
SELECT
    NULL::text, extract(epoch FROM t.span)::float8, pg_catalog.to_jsonb(t)
FROM last JOIN cache_stats_history_total t ON t.at = last.at
UNION ALL
SELECT
    h.namespace, extract(epoch FROM h.span)::float8, pg_catalog.to_jsonb(h)
FROM last JOIN cache_stats_history h ON h.at = last.at
WHERE h.namespace_id = cache_namespace_id(h.namespace);
END;
COMMENT ON FUNCTION cache_last_interval() IS
'the last rows of cache_stats_history and cache_stats_history_total, if they are recent';

-- Whoever asks sees the runs of warmers whose owner he is a member of.
CREATE FUNCTION cache_warmers_failing()
RETURNS float8
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
SELECT
    pg_catalog.count(*) FILTER (WHERE last.error IS NOT NULL)::float8 /
        nullif(pg_catalog.count(*), 0::bigint)::float8
FROM cache_warmers w LEFT JOIN LATERAL (
    SELECT r.error
    FROM cache_warmer_runs r
    WHERE r.name = w.name AND r.finished_at IS NOT NULL
    ORDER BY r.id DESC
    LIMIT 1::bigint) AS last ON true
WHERE w.enabled;
END;
COMMENT ON FUNCTION cache_warmers_failing() IS
'share of the enabled warmers whose last run failed; NULL if there are none';

-- Ratios of what happened in the last interval; none where that is too little to
-- say anything.
CREATE FUNCTION cache_recent_ratios()
RETURNS TABLE (
    namespace text, hit_ratio float8, stale_put_ratio float8,
    dropped_put_ratio float8, eviction_ratio float8, ghost_hit_ratio float8)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
WITH recent AS MATERIALIZED (
    SELECT l.namespace, c.*, EXISTS (
        SELECT FROM cache_namespaces n
        WHERE n.name = l.namespace AND
            (n.max_bytes > 0::bigint OR n.max_entries > 0::bigint)) AS limited
    FROM cache_last_interval() l, LATERAL pg_catalog.jsonb_to_record(l.counted)
        AS c (hits float8, misses float8, puts float8, stale_puts float8,
            dropped_puts float8, evictions float8,
            evictions_background float8, ghost_hits float8)
), unlimited AS (
    SELECT
        pg_catalog.sum(r.evictions - r.evictions_background) AS evictions,
        pg_catalog.sum(r.puts) AS puts
    FROM recent r
    WHERE r.namespace IS NOT NULL AND NOT r.limited
), sums AS (
    SELECT
        r.*,
        r.hits + r.misses AS gets,
        r.puts + r.stale_puts + r.dropped_puts AS all_puts,
        CASE WHEN r.namespace IS NULL THEN u.puts
            WHEN NOT r.limited THEN r.puts END AS free_puts,
        CASE WHEN r.namespace IS NULL THEN u.evictions
            WHEN NOT r.limited THEN r.evictions - r.evictions_background
            END AS free_evictions
    FROM recent r, unlimited u)
SELECT
    s.namespace,
    CASE WHEN gets >= 100::float8 THEN s.hits / gets END,
    CASE WHEN all_puts >= 100::float8 THEN s.stale_puts / all_puts END,
    CASE WHEN all_puts >= 100::float8 THEN s.dropped_puts / all_puts END,
    -- What a quota evicts is no lack of memory.
    CASE WHEN s.free_puts >= 100::float8 AND m.is_full
    THEN s.free_evictions / s.free_puts END,
    -- Of a sample: of few keys it may be more than there were misses.
    CASE WHEN s.misses >= 100::float8 AND m.is_full
    THEN least(s.ghost_hits / s.misses, 1::float8) END
FROM sums s, (
    SELECT memory_used::float8 >= 0.9::float8 * memory_limit::float8 AS is_full
    FROM cache_stats) AS m;
END;
COMMENT ON FUNCTION cache_recent_ratios() IS
'ratios of what happened in the last interval of the history; NULL below 100 gets, puts or misses';

-- What alert rules are about.
CREATE FUNCTION cache_alert_metrics()
RETURNS TABLE (
    metric text, of_database boolean, of_namespaces boolean, description text)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 60
BEGIN ATOMIC
SELECT
    a.attname::text,
    pg_catalog.bool_or(
        a.attrelid = 'cache_stats'::pg_catalog.regclass::oid),
    pg_catalog.bool_or(
        a.attrelid = 'cache_stats_namespaces'::pg_catalog.regclass::oid),
    'now or since the last reset, see cache_stats'::text
FROM pg_catalog.pg_attribute a
WHERE
    a.attrelid IN (
        'cache_stats'::pg_catalog.regclass::oid,
        'cache_stats_namespaces'::pg_catalog.regclass::oid) AND
    a.atttypid IN (
        'bigint'::pg_catalog.regtype::oid, 'float8'::pg_catalog.regtype::oid)
GROUP BY a.attname
UNION ALL
SELECT
    m || '_per_second'::text, true, true,
    'in the last interval of the history'::text
FROM cache_history_metrics() AS m
WHERE m <> ALL (cache_history_gauges())
UNION ALL
VALUES
    ('recent_hit_ratio'::text, true, true, 'hits by gets in the last interval of the history; none below 100 gets'::text),
    ('stale_put_ratio'::text, true, true, 'stale puts by all puts in the last interval; none below 100 puts'::text),
    ('dropped_put_ratio'::text, true, true, 'dropped puts by all puts in the last interval; none below 100 puts'::text),
    ('eviction_ratio'::text, true, true, 'evictions by the sessions themselves by puts in the last interval, in namespaces without a quota; none below 100 puts, or while a tenth of the memory is free'::text),
    ('ghost_hit_ratio'::text, true, true, 'share of the misses in the last interval that would have been hits with twice the memory; none below 100 misses, or while a tenth of the memory is free'::text),
    ('warmers_failing'::text, true, false, 'share of the enabled warmers whose last run failed'::text),
    ('memory_used_ratio'::text, true, false, 'memory_used by memory_limit'::text),
    ('namespaces_used_ratio'::text, true, false, 'namespaces in use in the whole server by pg_cache.max_namespaces'::text);
END;
COMMENT ON FUNCTION cache_alert_metrics() IS
'the metrics that alert rules can be about';

CREATE FUNCTION cache_metrics()
RETURNS TABLE (metric text, namespace text, value float8)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
WITH present AS MATERIALIZED (
    SELECT NULL::text AS namespace, pg_catalog.to_jsonb(s) AS columns
    FROM cache_stats s
    UNION ALL
    SELECT s.namespace, pg_catalog.to_jsonb(s) FROM cache_stats_namespaces s
), recent AS MATERIALIZED (
    SELECT * FROM cache_last_interval()
), ratios AS MATERIALIZED (
    SELECT * FROM cache_recent_ratios())
SELECT e.key, p.namespace, e.value::float8
FROM present p, LATERAL pg_catalog.jsonb_each(p.columns) e
WHERE pg_catalog.jsonb_typeof(e.value) = 'number'::text
UNION ALL
SELECT
    m || '_per_second'::text,
    p.namespace,
    coalesce(
        (r.counted ->> m)::float8 / nullif(r.seconds, 0::float8), 0::float8)
FROM
    present p
    CROSS JOIN cache_history_metrics() AS m
    LEFT JOIN recent r
        ON coalesce(r.namespace, ''::text) = coalesce(p.namespace, ''::text)
WHERE m <> ALL (cache_history_gauges())
UNION ALL
SELECT v.metric, r.namespace, v.value
FROM ratios r, LATERAL (VALUES
    ('recent_hit_ratio'::text, r.hit_ratio),
    ('stale_put_ratio'::text, r.stale_put_ratio),
    ('dropped_put_ratio'::text, r.dropped_put_ratio),
    ('eviction_ratio'::text, r.eviction_ratio),
    ('ghost_hit_ratio'::text, r.ghost_hit_ratio)) AS v (metric, value)
WHERE v.value IS NOT NULL
UNION ALL
SELECT 'warmers_failing'::text, NULL::text, f
FROM cache_warmers_failing() AS f WHERE f IS NOT NULL
UNION ALL
SELECT
    'memory_used_ratio'::text, NULL::text,
    s.memory_used::float8 / s.memory_limit::float8
FROM cache_stats s
UNION ALL
SELECT
    'namespaces_used_ratio'::text, NULL::text,
    cache_namespaces_in_use()::float8 /
        pg_catalog.current_setting('pg_cache.max_namespaces'::text)::float8;
END;
COMMENT ON FUNCTION cache_metrics() IS
'the present values of cache_alert_metrics(), of the database (namespace NULL) and of its namespaces; those that have none are left out';

CREATE TABLE cache_alert_rules (
    name text COLLATE "C" PRIMARY KEY
        CHECK (pg_catalog.octet_length(name) BETWEEN 1 AND 63),
    metric text NOT NULL,
    namespace text,
    comparison text NOT NULL CHECK (comparison IN (
        '<'::text, '<='::text, '>'::text, '>='::text, '='::text, '<>'::text)),
    threshold float8 NOT NULL,
    for_at_least interval NOT NULL CHECK (
        for_at_least BETWEEN '0'::interval AND '10 years'::interval),
    level text NOT NULL CHECK (level IN (
        'info'::text, 'warning'::text, 'critical'::text, 'emergency'::text)),
    cooldown interval NOT NULL CHECK (
        cooldown BETWEEN '0'::interval AND '10 years'::interval),
    enabled boolean NOT NULL);
GRANT SELECT ON cache_alert_rules TO PUBLIC;
COMMENT ON TABLE cache_alert_rules IS
'rules for alerts, and what was altered of the built-in ones; changed by cache_create_alert_rule() and its like';
COMMENT ON COLUMN cache_alert_rules.metric IS 'see cache_alert_metrics()';
COMMENT ON COLUMN cache_alert_rules.namespace IS
'NULL: the database as a whole; *: each namespace for itself';
COMMENT ON COLUMN cache_alert_rules.for_at_least IS
'how long it must be so before the alert opens';
COMMENT ON COLUMN cache_alert_rules.cooldown IS
'how long after it was closed the alert does not open again';

SELECT pg_catalog.pg_extension_config_dump('cache_alert_rules', '');

CREATE TRIGGER cache_tell_worker
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON cache_alert_rules
FOR EACH STATEMENT EXECUTE FUNCTION cache_tell_worker();
ALTER TABLE cache_alert_rules ENABLE ALWAYS TRIGGER cache_tell_worker;
COMMENT ON TRIGGER cache_tell_worker ON cache_alert_rules IS
'tells the database''s worker of changes of the table';

-- No rows of the table until they are altered: a dump would bring those of an
-- old version back.
CREATE VIEW cache_builtin_alert_rules AS
SELECT *
FROM (VALUES
    ('hit_ratio_low'::text, 'recent_hit_ratio'::text, NULL::text, '<'::text, 0.5::float8, '15 min'::interval, 'warning'::text, '1 hour'::interval, true),
    ('evictions_high'::text, 'eviction_ratio'::text, NULL::text, '>'::text, 0.5::float8, '15 min'::interval, 'warning'::text, '1 hour'::interval, true),
    ('stale_puts_high'::text, 'stale_put_ratio'::text, '*'::text, '>'::text, 0.25::float8, '15 min'::interval, 'warning'::text, '1 hour'::interval, true),
    ('dropped_puts_high'::text, 'dropped_put_ratio'::text, '*'::text, '>'::text, 0.1::float8, '10 min'::interval, 'critical'::text, '1 hour'::interval, true),
    ('warmers_failing'::text, 'warmers_failing'::text, NULL::text, '>'::text, 0::float8, '0'::interval, 'warning'::text, '1 hour'::interval, true),
    ('namespaces_nearly_used_up'::text, 'namespaces_used_ratio'::text, NULL::text, '>'::text, 0.9::float8, '0'::interval, 'critical'::text, '1 hour'::interval, true))
    AS r (name, metric, namespace, comparison, threshold, for_at_least, level, cooldown, enabled);
COMMENT ON VIEW cache_builtin_alert_rules IS
'alert rules that are there without being created, as they are unless altered';

CREATE VIEW cache_effective_alert_rules AS
SELECT r.*, EXISTS (
    SELECT FROM cache_builtin_alert_rules b WHERE b.name = r.name) AS built_in
FROM cache_alert_rules r
UNION ALL
SELECT b.*, true
FROM cache_builtin_alert_rules b
WHERE NOT EXISTS (SELECT FROM cache_alert_rules r WHERE r.name = b.name);
COMMENT ON VIEW cache_effective_alert_rules IS
'all alert rules, built-in ones as they were altered';

GRANT SELECT ON cache_builtin_alert_rules, cache_effective_alert_rules TO PUBLIC;

CREATE FUNCTION cache_check_alert_rule(rule cache_alert_rules)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
SELECT cache_error('22004'::text, pg_catalog.format('%s must not be null'::text, v.what))
FROM (VALUES
    ('name'::text, (rule).name IS NULL),
    ('metric'::text, (rule).metric IS NULL),
    ('comparison'::text, (rule).comparison IS NULL),
    ('threshold'::text, (rule).threshold IS NULL),
    ('for_at_least'::text, (rule).for_at_least IS NULL),
    ('level'::text, (rule).level IS NULL),
    ('cooldown'::text, (rule).cooldown IS NULL),
    ('enabled'::text, (rule).enabled IS NULL)) AS v (what, missing)
WHERE v.missing;
SELECT cache_error('22023'::text, pg_catalog.format(
    'name of an alert rule must have 1 to 63 bytes, not %s'::text,
    pg_catalog.octet_length((rule).name)))
WHERE pg_catalog.octet_length((rule).name) NOT BETWEEN 1 AND 63;
SELECT cache_error(
    '22023'::text,
    pg_catalog.format('unrecognized metric "%s"'::text, (rule).metric),
    NULL::text,
    'The function cache_alert_metrics() lists the metrics.'::text)
WHERE NOT EXISTS (
    SELECT FROM cache_alert_metrics() m WHERE m.metric = (rule).metric);
SELECT cache_error(
    '22023'::text,
    pg_catalog.format('metric "%s" is not one of %s'::text, (rule).metric,
        CASE WHEN (rule).namespace IS NULL
        THEN 'the database as a whole'::text ELSE 'namespaces'::text END))
FROM cache_alert_metrics() m
WHERE m.metric = (rule).metric AND NOT CASE WHEN (rule).namespace IS NULL
    THEN m.of_database ELSE m.of_namespaces END;
SELECT cache_error(
    '22023'::text,
    pg_catalog.format('unrecognized comparison "%s"'::text, (rule).comparison),
    NULL::text,
    'The comparisons are <, <=, >, >=, = and <>.'::text)
WHERE (rule).comparison NOT IN (
    '<'::text, '<='::text, '>'::text, '>='::text, '='::text, '<>'::text);
SELECT cache_error(
    '22023'::text,
    pg_catalog.format('unrecognized level "%s"'::text, (rule).level),
    NULL::text,
    'The levels are info, warning, critical and emergency.'::text)
WHERE (rule).level NOT IN (
    'info'::text, 'warning'::text, 'critical'::text, 'emergency'::text);
SELECT cache_error(
    '22023'::text, 'for_at_least and cooldown must not be negative'::text)
WHERE least((rule).for_at_least, (rule).cooldown) < '0'::interval;
SELECT cache_error(
    '22023'::text, 'for_at_least and cooldown must not be longer than 10 years'::text)
WHERE greatest((rule).for_at_least, (rule).cooldown) > '10 years'::interval;
END;
COMMENT ON FUNCTION cache_check_alert_rule(cache_alert_rules) IS
'raises an error unless an alert rule makes sense';

-- Not of each rule that is altered: its namespace may be gone meanwhile.
CREATE FUNCTION cache_check_alert_namespace(namespace text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
SELECT cache_error(
    '42704'::text,
    pg_catalog.format('namespace "%s" does not exist'::text, namespace),
    NULL::text,
    'A rule for each namespace has the namespace "*".'::text)
WHERE namespace NOT IN (''::text, '*'::text, 'default'::text) AND NOT EXISTS (
    SELECT FROM cache_namespaces n
    WHERE n.name = cache_check_alert_namespace.namespace);
END;
COMMENT ON FUNCTION cache_check_alert_namespace(text) IS
'raises an error if there is no namespace of that name that an alert rule could be about';

CREATE FUNCTION cache_require_alert_rule(rule text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
SELECT cache_error(
    '42704'::text,
    pg_catalog.format('alert rule "%s" does not exist'::text,
        coalesce(rule, 'NULL'::text)),
    NULL::text,
    'Use cache_create_alert_rule() to create it.'::text)
WHERE rule IS NULL OR NOT EXISTS (
    SELECT FROM cache_effective_alert_rules r WHERE r.name = rule);
END;
COMMENT ON FUNCTION cache_require_alert_rule(text) IS
'raises an error if there is no alert rule of that name';

CREATE FUNCTION cache_create_alert_rule(
    name text, metric text, comparison text, threshold float8,
    namespace text = NULL, for_at_least interval = '0',
    level text = 'warning', cooldown interval = '0', enabled boolean = true)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER PARALLEL UNSAFE
BEGIN ATOMIC
SELECT cache_check_alert_rule(ROW(
    name, metric, nullif(namespace, ''::text), comparison, threshold,
    for_at_least, level, cooldown, enabled)::cache_alert_rules);
SELECT cache_check_alert_namespace(namespace);
SELECT cache_error(
    '42710'::text,
    pg_catalog.format('alert rule "%s" already exists'::text, r.name),
    CASE WHEN r.built_in THEN 'It is a built-in rule.'::text END,
    'Use cache_alter_alert_rule() to change it.'::text)
FROM cache_effective_alert_rules r
WHERE r.name = cache_create_alert_rule.name;
INSERT INTO cache_alert_rules VALUES (
    name, metric, nullif(namespace, ''::text), comparison, threshold,
    for_at_least, level, cooldown, enabled);
END;
COMMENT ON FUNCTION cache_create_alert_rule(text, text, text, float8, text, interval, text, interval, boolean) IS
'creates a rule for alerts; namespace NULL: the database as a whole, *: each namespace for itself';

CREATE FUNCTION cache_alter_alert_rule(
    name text, metric text = NULL, comparison text = NULL,
    threshold float8 = NULL, namespace text = NULL,
    for_at_least interval = NULL, level text = NULL,
    cooldown interval = NULL, enabled boolean = NULL)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER PARALLEL UNSAFE
BEGIN ATOMIC
SELECT cache_require_alert_rule(name);
SELECT cache_check_alert_namespace(namespace);
INSERT INTO cache_alert_rules AS a
SELECT
    r.name,
    coalesce(cache_alter_alert_rule.metric, r.metric),
    nullif(
        coalesce(cache_alter_alert_rule.namespace, r.namespace), ''::text),
    coalesce(cache_alter_alert_rule.comparison, r.comparison),
    coalesce(cache_alter_alert_rule.threshold, r.threshold),
    coalesce(cache_alter_alert_rule.for_at_least, r.for_at_least),
    coalesce(cache_alter_alert_rule.level, r.level),
    coalesce(cache_alter_alert_rule.cooldown, r.cooldown),
    coalesce(cache_alter_alert_rule.enabled, r.enabled)
FROM cache_effective_alert_rules r
WHERE r.name = cache_alter_alert_rule.name
-- Of what is not given, the row may have more than was seen above.
ON CONFLICT ON CONSTRAINT cache_alert_rules_pkey DO UPDATE SET
    metric = coalesce(cache_alter_alert_rule.metric, a.metric),
    namespace = nullif(
        coalesce(cache_alter_alert_rule.namespace, a.namespace), ''::text),
    comparison = coalesce(cache_alter_alert_rule.comparison, a.comparison),
    threshold = coalesce(cache_alter_alert_rule.threshold, a.threshold),
    for_at_least = coalesce(
        cache_alter_alert_rule.for_at_least, a.for_at_least),
    level = coalesce(cache_alter_alert_rule.level, a.level),
    cooldown = coalesce(cache_alter_alert_rule.cooldown, a.cooldown),
    enabled = coalesce(cache_alter_alert_rule.enabled, a.enabled);
SELECT cache_check_alert_rule(a)
FROM cache_alert_rules a
WHERE a.name = cache_alter_alert_rule.name;
END;
COMMENT ON FUNCTION cache_alter_alert_rule(text, text, text, float8, text, interval, text, interval, boolean) IS
'changes what is given of an alert rule; an empty namespace: the database as a whole';

CREATE FUNCTION cache_drop_alert_rule(name text)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER PARALLEL UNSAFE
BEGIN ATOMIC
SELECT cache_require_alert_rule(name);
SELECT cache_alter_alert_rule(name, enabled => false)
FROM cache_builtin_alert_rules b
WHERE b.name = cache_drop_alert_rule.name;
DELETE FROM cache_alert_rules r
WHERE r.name = cache_drop_alert_rule.name AND NOT EXISTS (
    SELECT FROM cache_builtin_alert_rules b WHERE b.name = r.name);
END;
COMMENT ON FUNCTION cache_drop_alert_rule(text) IS
'drops an alert rule; a built-in one is disabled';

CREATE FUNCTION cache_reset_alert_rule(name text)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER PARALLEL UNSAFE
BEGIN ATOMIC
SELECT cache_error(
    '42704'::text,
    pg_catalog.format('there is no built-in alert rule "%s"'::text,
        coalesce(name, 'NULL'::text)))
WHERE name IS NULL OR NOT EXISTS (
    SELECT FROM cache_builtin_alert_rules b
    WHERE b.name = cache_reset_alert_rule.name);
DELETE FROM cache_alert_rules r WHERE r.name = cache_reset_alert_rule.name;
END;
COMMENT ON FUNCTION cache_reset_alert_rule(text) IS
'makes a built-in alert rule what it was';

-- They act with the rights of the table's owner.
REVOKE ALL ON FUNCTION
    cache_create_alert_rule(text, text, text, float8, text, interval, text, interval, boolean),
    cache_alter_alert_rule(text, text, text, float8, text, interval, text, interval, boolean),
    cache_drop_alert_rule(text), cache_reset_alert_rule(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    cache_create_alert_rule(text, text, text, float8, text, interval, text, interval, boolean),
    cache_alter_alert_rule(text, text, text, float8, text, interval, text, interval, boolean),
    cache_drop_alert_rule(text), cache_reset_alert_rule(text)
TO pg_database_owner;

CREATE TABLE cache_alerts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule text COLLATE "C" NOT NULL,
    namespace text COLLATE "C",
    namespace_id integer,
    level text NOT NULL,
    metric text NOT NULL,
    comparison text NOT NULL,
    threshold float8 NOT NULL,
    value float8 NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    closed_value float8);
COMMENT ON TABLE cache_alerts IS
'alerts that are open, and those that were';
COMMENT ON COLUMN cache_alerts.namespace IS
'NULL: the database as a whole';
COMMENT ON COLUMN cache_alerts.namespace_id IS
'tells it from others that had its name; 1 is "default"';
COMMENT ON COLUMN cache_alerts.value IS
'of the metric when the alert was opened';
COMMENT ON COLUMN cache_alerts.closed_at IS 'NULL: the alert is open';
COMMENT ON COLUMN cache_alerts.closed_value IS
'of the metric when the alert was closed; NULL if there was none';

CREATE UNIQUE INDEX cache_alerts_open
ON cache_alerts (rule, (coalesce(namespace, ''::text)))
WHERE closed_at IS NULL;
CREATE INDEX cache_alerts_closed_at ON cache_alerts (closed_at);

ALTER TABLE cache_alerts ENABLE ROW LEVEL SECURITY;
CREATE POLICY cache_may_read ON cache_alerts FOR SELECT
USING (
    namespace IS NULL OR
    namespace_id = ANY (ARRAY(
        SELECT n.id FROM cache_namespaces n WHERE cache_may_read(n.name)
        UNION ALL
        SELECT 1 WHERE cache_may_read('default'::text))) OR
    (SELECT pg_catalog.pg_has_role('pg_read_all_stats'::name, 'USAGE'::text)));
COMMENT ON POLICY cache_may_read ON cache_alerts IS
'shows alerts of the database, and of namespaces that the current user may read';
GRANT SELECT ON cache_alerts TO PUBLIC;

-- Rules that are broken, but not for long enough; '' is the database as a whole.
CREATE TABLE cache_pending_alerts (
    rule text COLLATE "C",
    namespace text COLLATE "C",
    namespace_id integer,
    metric text NOT NULL,
    comparison text NOT NULL,
    threshold float8 NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (rule, namespace));
COMMENT ON TABLE cache_pending_alerts IS
'since when alerts that are not open yet would be';

CREATE FUNCTION cache_compare(value float8, comparison text, threshold float8)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT CASE comparison
    WHEN '<'::text THEN value < threshold
    WHEN '<='::text THEN value <= threshold
    WHEN '>'::text THEN value > threshold
    WHEN '>='::text THEN value >= threshold
    WHEN '='::text THEN value = threshold
    WHEN '<>'::text THEN value <> threshold
    END;
END;
COMMENT ON FUNCTION cache_compare(float8, text, float8) IS
'whether a value is on the side of a threshold that an alert rule warns of';

-- The rules that are broken now, a row for each namespace.
CREATE FUNCTION cache_broken_alert_rules()
RETURNS TABLE (
    rule text, namespace text, level text, metric text, comparison text,
    threshold float8, value float8, for_at_least interval, cooldown interval)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
SELECT
    r.name, m.namespace, r.level, r.metric, r.comparison, r.threshold, m.value,
    r.for_at_least, r.cooldown
FROM
    cache_effective_alert_rules r
    JOIN cache_metrics() m ON m.metric = r.metric AND CASE
        WHEN r.namespace IS NULL THEN m.namespace IS NULL
        WHEN r.namespace = '*'::text THEN m.namespace IS NOT NULL
        ELSE m.namespace = r.namespace
        END
WHERE
    r.enabled AND cache_compare(m.value, r.comparison, r.threshold) AND
    -- Others are so new that this statement does not see their rows yet.
    (m.namespace IS NULL OR cache_namespace_id(m.namespace) IS NOT NULL);
END;
COMMENT ON FUNCTION cache_broken_alert_rules() IS
'the alert rules that are broken now, for however long';

CREATE FUNCTION cache_announce_alert(alert cache_alerts)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
SELECT pg_catalog.pg_notify(
    'pg_cache_alerts'::text,
    pg_catalog.jsonb_build_object(
        'event'::text, CASE WHEN (alert).closed_at IS NULL
            THEN 'opened'::text ELSE 'closed'::text END,
        'id'::text, (alert).id,
        'rule'::text, (alert).rule,
        'namespace'::text, (alert).namespace,
        'level'::text, (alert).level,
        'metric'::text, (alert).metric,
        'comparison'::text, (alert).comparison,
        'threshold'::text, (alert).threshold,
        'value'::text, CASE WHEN (alert).closed_at IS NULL
            THEN (alert).value ELSE (alert).closed_value END,
        'opened_at'::text, (alert).opened_at,
        'closed_at'::text, (alert).closed_at)::text);
SELECT cache_log(
    pg_catalog.format(
        'pg_cache alert "%s" %s (%s): %s of %s is %s, threshold %s %s'::text,
        (alert).rule,
        CASE WHEN (alert).closed_at IS NULL
            THEN 'opened'::text ELSE 'closed'::text END,
        (alert).level,
        (alert).metric,
        CASE WHEN (alert).namespace IS NULL
        THEN pg_catalog.format(
            'database "%s"'::text, pg_catalog.current_database())
        ELSE pg_catalog.format('namespace "%s"'::text, (alert).namespace) END,
        coalesce(CASE WHEN (alert).closed_at IS NULL
            THEN (alert).value ELSE (alert).closed_value END::text,
            'not known'::text),
        (alert).comparison,
        (alert).threshold),
    (alert).closed_at IS NULL AND
        (alert).level IN ('critical'::text, 'emergency'::text));
END;
COMMENT ON FUNCTION cache_announce_alert(cache_alerts) IS
'tells those who listen, and the server log, that an alert was opened or closed';

CREATE FUNCTION cache_evaluate_alerts()
RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
SELECT cache_lock('cache_alerts'::pg_catalog.regclass);

DELETE FROM cache_alerts WHERE closed_at < (
    SELECT cache_clock_timestamp() -
        pg_catalog.current_setting('pg_cache.stats_retention'::text)::interval);

WITH clock AS MATERIALIZED (
    SELECT cache_clock_timestamp() AS now
), broken AS MATERIALIZED (
    SELECT
        b.*,
        coalesce(b.namespace, ''::text) AS place,
        cache_namespace_id(b.namespace) AS space
    FROM cache_broken_alert_rules() b
), closed AS (
    UPDATE cache_alerts a
    SET closed_at = clock.now,
        closed_value = (
            SELECT m.value FROM cache_metrics() m
            WHERE m.metric = a.metric AND coalesce(m.namespace, ''::text) =
                coalesce(a.namespace, ''::text))
    FROM clock
    -- An alert of the rule as it was before it was altered is another one, and
    -- so is one of another namespace that had the name.
    WHERE a.closed_at IS NULL AND NOT EXISTS (
        SELECT FROM broken b
        WHERE b.rule = a.rule AND b.place = coalesce(a.namespace, ''::text) AND
            coalesce(b.space, 0) = coalesce(a.namespace_id, 0) AND
            b.metric = a.metric AND b.comparison = a.comparison AND
            b.threshold = a.threshold AND b.level = a.level)
    RETURNING a AS alert
), calm AS (
    DELETE FROM cache_pending_alerts p
    WHERE NOT EXISTS (
        SELECT FROM broken b WHERE b.rule = p.rule AND b.place = p.namespace)
), waiting AS MATERIALIZED (
    SELECT
        b.*,
        p.since,
        coalesce(p.since, clock.now) + b.for_at_least <= clock.now AND
            NOT EXISTS (
                SELECT FROM cache_alerts a
                WHERE a.rule = b.rule AND
                    coalesce(a.namespace, ''::text) = b.place AND
                    coalesce(a.namespace_id, 0) = coalesce(b.space, 0) AND
                    a.metric = b.metric AND a.comparison = b.comparison AND
                    a.threshold = b.threshold AND a.level = b.level AND
                    a.closed_at + b.cooldown > clock.now) OR
        -- Only its level was altered: it has been so for long enough.
        EXISTS (
            SELECT FROM cache_alerts a
            WHERE a.closed_at IS NULL AND a.rule = b.rule AND
                coalesce(a.namespace, ''::text) = b.place AND
                coalesce(a.namespace_id, 0) = coalesce(b.space, 0) AND
                a.metric = b.metric AND a.comparison = b.comparison AND
                a.threshold = b.threshold) AS due
    FROM
        clock CROSS JOIN broken b
        LEFT JOIN cache_pending_alerts p
            ON p.rule = b.rule AND p.namespace = b.place AND
                coalesce(p.namespace_id, 0) = coalesce(b.space, 0) AND
                p.metric = b.metric AND p.comparison = b.comparison AND
                p.threshold = b.threshold
    WHERE NOT EXISTS (
        SELECT FROM cache_alerts a
        WHERE a.closed_at IS NULL AND a.rule = b.rule AND
            coalesce(a.namespace, ''::text) = b.place AND
            coalesce(a.namespace_id, 0) = coalesce(b.space, 0) AND
            a.metric = b.metric AND a.comparison = b.comparison AND
            a.threshold = b.threshold AND a.level = b.level)
), opened AS (
    INSERT INTO cache_alerts AS a (
        rule, namespace, namespace_id, level, metric, comparison, threshold,
        value, opened_at)
    SELECT
        w.rule, w.namespace, w.space, w.level, w.metric, w.comparison,
        w.threshold, w.value, clock.now
    FROM waiting w, clock
    -- After those were closed in whose place others open.
    WHERE w.due AND (SELECT pg_catalog.count(*) FROM closed) >= 0::bigint
    RETURNING a AS alert
), ripe AS (
    DELETE FROM cache_pending_alerts p
    USING waiting w
    WHERE w.due AND w.rule = p.rule AND w.place = p.namespace
), begun AS (
    INSERT INTO cache_pending_alerts (
        rule, namespace, namespace_id, metric, comparison, threshold, since)
    SELECT
        w.rule, w.place, w.space, w.metric, w.comparison, w.threshold,
        clock.now
    FROM waiting w, clock
    WHERE NOT w.due AND w.since IS NULL
    ON CONFLICT (rule, namespace) DO UPDATE SET
        namespace_id = excluded.namespace_id, metric = excluded.metric, comparison = excluded.comparison,
        threshold = excluded.threshold, since = excluded.since)
SELECT cache_announce_alert(a.alert)
FROM (
    SELECT c.alert, 1 AS step FROM closed c
    UNION ALL
    SELECT o.alert, 2 FROM opened o) AS a
ORDER BY a.step, (a.alert).rule, (a.alert).namespace;

SELECT
    (SELECT pg_catalog.count(*) FROM cache_alerts WHERE closed_at IS NULL) +
    (SELECT pg_catalog.count(*) FROM cache_pending_alerts);
END;
COMMENT ON FUNCTION cache_evaluate_alerts() IS
'opens and closes alerts by the rules; returns how many are open or will be if it stays as it is';

REVOKE ALL ON FUNCTION cache_announce_alert(cache_alerts),
    cache_evaluate_alerts() FROM PUBLIC;

---- Health and advice -------------------------------------------------------

CREATE FUNCTION cache_worker_running()
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgcache_sql_worker_running'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_worker_running() IS
'whether this database has a background worker of pg_cache';

-- Of the share of the way from a value that is good to one that is as bad as can
-- be; nothing for a value that is not known.
CREATE FUNCTION cache_points_lost(
    value float8, good float8, bad float8, weight integer)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT coalesce(pg_catalog.round(
    weight::float8 * least(greatest((value - good) / (bad - good), 0::float8), 1::float8)
    )::integer, 0);
END;
COMMENT ON FUNCTION cache_points_lost(float8, float8, float8, integer) IS
'points of cache_health() that a figure costs';

-- What is looked at for cache_health(), with the points that it costs at the most
-- and now.  Figures are of the last interval of the history; without a history the
-- hit ratio is that since the last reset.
CREATE FUNCTION cache_health_checks()
RETURNS TABLE (
    reason text, weight integer, lost integer, figure float8, description text)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 8
BEGIN ATOMIC
WITH stats AS MATERIALIZED (
    SELECT
        CASE WHEN s.hits + s.misses >= 100::bigint AND NOT EXISTS (
            SELECT FROM cache_stats_history_total)
        THEN s.hit_ratio END AS hit_ratio
    FROM cache_stats s
), recent AS MATERIALIZED (
    SELECT r.* FROM (SELECT) AS one
    LEFT JOIN cache_recent_ratios() r ON r.namespace IS NULL
), alerts AS MATERIALIZED (
    SELECT pg_catalog.sum(CASE level
        WHEN 'emergency'::text THEN 20::bigint
        WHEN 'critical'::text THEN 10::bigint
        WHEN 'warning'::text THEN 5::bigint
        ELSE 0::bigint END)::float8 AS points
    FROM cache_alerts WHERE closed_at IS NULL
), figures AS (
    SELECT v.*
    FROM stats, recent, alerts, LATERAL (VALUES
        ('hit_ratio'::text, 30, 0.8::float8, 0.2::float8,
            coalesce(recent.hit_ratio, stats.hit_ratio),
            'hits by gets'::text),
        ('evictions'::text, 20, 0.1::float8, 1::float8,
            recent.eviction_ratio,
            'evictions that puts had to wait for, by puts, while memory is full, in namespaces without a quota'::text),
        ('memory'::text, 15, 0.1::float8, 0.6::float8,
            recent.ghost_hit_ratio,
            'share of the misses that would be hits with twice the memory'::text),
        ('stale_puts'::text, 10, 0.05::float8, 0.5::float8,
            recent.stale_put_ratio,
            'puts dropped because their data had changed, by puts'::text),
        ('dropped_puts'::text, 15, 0.01::float8, 0.2::float8,
            recent.dropped_put_ratio,
            'puts for which there was no room, by puts'::text),
        ('alerts'::text, 25, 0::float8, 25::float8,
            alerts.points,
            'open alerts: 5 for a warning, 10 if critical, 20 for an emergency'::text),
        ('worker'::text, 30, 1::float8, 0::float8,
            cache_worker_running()::integer::float8,
            'whether the database''s background worker runs'::text),
        ('warmers'::text, 15, 0::float8, 1::float8,
            cache_warmers_failing(),
            'share of the enabled warmers whose last run failed'::text))
        AS v (reason, weight, good, bad, figure, description))
SELECT
    f.reason, f.weight,
    cache_points_lost(f.figure, f.good, f.bad, f.weight),
    f.figure, f.description
FROM figures f;
END;
COMMENT ON FUNCTION cache_health_checks() IS
'what cache_health() looks at: the points that it may cost and costs, and the figure; NULL where too little happened to say';

CREATE FUNCTION cache_health()
RETURNS TABLE (score integer, class text, reasons jsonb)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 1
BEGIN ATOMIC
WITH checks AS MATERIALIZED (
    SELECT * FROM cache_health_checks()
), health AS (
    SELECT
        greatest(100::bigint - coalesce(pg_catalog.sum(lost), 0::bigint), 0::bigint)::integer AS score,
        coalesce(pg_catalog.jsonb_agg(
            pg_catalog.jsonb_build_object(
                'reason'::text, reason, 'weight'::text, weight,
                'lost'::text, lost, 'figure'::text, figure,
                'description'::text, description)
            ORDER BY lost DESC, reason)
            FILTER (WHERE lost > 0), '[]'::jsonb) AS reasons
    FROM checks)
SELECT
    h.score,
    CASE
        WHEN h.score >= 80 THEN 'good'::text
        WHEN h.score >= 60 THEN 'fair'::text
        WHEN h.score >= 40 THEN 'poor'::text
        ELSE 'critical'::text
        END,
    h.reasons
FROM health h;
END;
COMMENT ON FUNCTION cache_health() IS
'how well the cache does: a score from 0 to 100, good (from 80), fair (60), poor (40) or critical, and what cost points';

-- Each is said with the figures that it rests on, all since the last reset.
CREATE VIEW cache_advice AS
WITH database AS MATERIALIZED (
    SELECT s.*, s.hits + s.misses AS gets FROM cache_stats s
), spaces AS MATERIALIZED (
    SELECT
        s.*,
        s.bytes / nullif(s.entries, 0::bigint) AS average,
        coalesce(n.compression, pg_catalog.current_setting(
            'pg_cache.compression'::text)) AS compression,
        coalesce(n.compression_threshold::bigint, pg_catalog.pg_size_bytes(
            pg_catalog.current_setting('pg_cache.compression_threshold'::text)))
            AS threshold
    FROM cache_stats_namespaces s LEFT JOIN cache_namespaces n ON n.name = s.namespace)
SELECT
    'increase memory'::text AS advice,
    NULL::text AS namespace,
    pg_catalog.format(
        'With twice the memory the hit ratio would be about %s instead of %s.'::text,
        pg_catalog.round(
            (least(hits + ghost_hits, gets)::float8 / gets::float8)::numeric, 3),
        pg_catalog.round((hits::float8 / gets::float8)::numeric, 3)) AS message,
    pg_catalog.jsonb_build_object(
        'hit_ratio'::text, hits::float8 / gets::float8,
        'hit_ratio_with_twice_the_memory'::text,
            least(hits + ghost_hits, gets)::float8 / gets::float8,
        'hits'::text, hits, 'misses'::text, misses,
        'ghost_hits'::text, ghost_hits, 'evictions'::text, evictions,
        'memory_used'::text, memory_used,
        'memory_limit'::text, memory_limit) AS figures
FROM database
WHERE gets >= 1000::bigint AND
    ghost_hits::float8 >= 0.02::float8 * gets::float8 AND
    memory_used::float8 >= 0.9::float8 * memory_limit::float8
UNION ALL
SELECT
    'lengthen the time to live'::text,
    namespace,
    pg_catalog.format(
        'About %s misses were of entries that had expired, of which there were %s.'::text,
        expired_misses, expirations),
    pg_catalog.jsonb_build_object(
        'expired_misses'::text, expired_misses,
        'expirations'::text, expirations,
        'misses'::text, misses, 'hits'::text, hits)
FROM spaces
WHERE expired_misses >= 100::bigint AND
    expired_misses::float8 >= 0.25::float8 * misses::float8 AND
    expired_misses::float8 >= 0.25::float8 * expirations::float8
UNION ALL
SELECT
    'compress values'::text,
    namespace,
    pg_catalog.format(
        'Values have %s bytes on average and are stored as they are.'::text,
        average),
    pg_catalog.jsonb_build_object(
        'entries'::text, entries, 'bytes'::text, bytes,
        'stored_bytes'::text, stored_bytes,
        'average'::text, average, 'compression_threshold'::text, threshold)
FROM spaces
WHERE compression = 'none'::text AND average >= threshold AND
    average >= 1024::bigint AND bytes >= 1048576::bigint
UNION ALL
SELECT
    'do not cache what is never asked for'::text,
    namespace,
    pg_catalog.format(
        '%s values were put and none was ever hit.'::text, puts),
    pg_catalog.jsonb_build_object(
        'puts'::text, puts, 'hits'::text, hits, 'misses'::text, misses,
        'entries'::text, entries, 'memory_used'::text, memory_used)
FROM spaces
WHERE puts >= 100::bigint AND hits = 0::bigint
UNION ALL
SELECT
    'invalidate tags less often'::text,
    namespace,
    pg_catalog.format(
        'Tags were invalidated %s times for %s hits.'::text,
        invalidations_tag, hits),
    pg_catalog.jsonb_build_object(
        'invalidations_tag'::text, invalidations_tag,
        'hits'::text, hits, 'puts'::text, puts)
FROM spaces
WHERE invalidations_tag >= 100::bigint AND invalidations_tag > hits
UNION ALL
SELECT
    'read before putting in one statement, or take a lease'::text,
    namespace,
    pg_catalog.format(
        '%s puts were dropped because their data had changed, %s were stored.'::text,
        stale_puts, puts),
    pg_catalog.jsonb_build_object(
        'stale_puts'::text, stale_puts, 'puts'::text, puts)
FROM spaces
WHERE stale_puts >= 100::bigint AND
    stale_puts::float8 >= 0.25::float8 * puts::float8
UNION ALL
SELECT
    'increase pg_cache.max_namespaces'::text,
    NULL::text,
    pg_catalog.format(
        '%s of %s namespaces are in use in the whole server.'::text,
        used, available),
    pg_catalog.jsonb_build_object(
        'in_use'::text, used, 'max_namespaces'::text, available)
FROM (
    SELECT
        cache_namespaces_in_use() AS used,
        pg_catalog.current_setting(
            'pg_cache.max_namespaces'::text)::bigint AS available
    OFFSET 0) AS namespaces
WHERE used::float8 >= 0.8::float8 * available::float8;
COMMENT ON VIEW cache_advice IS
'what could be done better, in the database and in the namespaces that the current user may read, with the figures that it rests on';

GRANT SELECT ON cache_advice TO PUBLIC;

---- Maintenance -------------------------------------------------------------

CREATE FUNCTION cache_check()
RETURNS SETOF text
AS 'MODULE_PATHNAME', 'pgcache_sql_check'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION cache_check() IS
'faults found in the shared memory of the cache; no row if it is sound';

REVOKE ALL ON FUNCTION cache_check() FROM PUBLIC;
