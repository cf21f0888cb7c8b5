-- Values as they should not be, but functions written in C can return.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
RESET client_min_messages;
CREATE FUNCTION pgcache_test_raw_row(anyelement) RETURNS anyelement
    AS '$libdir/pg_cache' LANGUAGE C VOLATILE;

-- A composite value with a pointer into a table: what it points to is taken in
-- before the table loses it.
CREATE TABLE raw (id int, plain text, packed text);
ALTER TABLE raw ALTER plain SET STORAGE EXTERNAL;
INSERT INTO raw SELECT 1, repeat('abc', 100000), repeat('abc', 1000000);
SELECT pg_column_size(pgcache_test_raw_row(NULL::raw)) < 20000 AS points_elsewhere;
SELECT cache_put('raw', pgcache_test_raw_row(NULL::raw));
TRUNCATE raw;
SELECT id, plain = repeat('abc', 100000) AS plain, packed = repeat('abc', 1000000) AS packed
    FROM cache_get_as('raw', NULL::raw);
SELECT length(cache_get('raw'));

SELECT cache_delete('raw');
DROP TABLE raw;
DROP FUNCTION pgcache_test_raw_row;
SELECT * FROM cache_check();
