-- A lease is a token that its holder can read and change.  One that says that its
-- data are of a later time than now would be good for ever, and would keep what
-- others put away: it is refused.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
RESET client_min_messages;
SELECT cache_clear();

-- CRC-32C, which the token ends with but for the list of running transactions
CREATE FUNCTION lease_crc(bytes bytea) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    crc bigint := x'ffffffff'::bigint;
BEGIN
    FOR i IN 0 .. length(bytes) - 1 LOOP
        crc := crc # get_byte(bytes, i);
        FOR bit IN 1 .. 8 LOOP
            crc := (crc >> 1) # (CASE WHEN crc & 1 = 1 THEN x'82f63b78'::bigint ELSE 0 END);
        END LOOP;
    END LOOP;
    RETURN crc # x'ffffffff'::bigint;
END $$;
SELECT to_hex(lease_crc('123456789')) AS known;
-- a number as this server's memory has it
CREATE FUNCTION as_bytes(number bigint, width int, little bool) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(set_byte('\x00', 0, (number >> (8 * i))::bit(8)::int), '' ORDER BY CASE WHEN little THEN i ELSE -i END)
        FROM generate_series(0, width - 1) AS i $$;

-- The parts: 7 of 8 bytes (server, key, fence, before, asof, xmin, xmax), 4 of 4
-- (database, DDL epoch, standby, number of running ones), checksum, running ones.
CREATE FUNCTION seal(token bytea) RETURNS text LANGUAGE sql AS $$
    SELECT encode(overlay(t PLACING as_bytes(lease_crc(t), 4, little) FROM 73), 'hex')
        FROM (SELECT overlay(token PLACING '\x00000000' FROM 73) AS t,
                     substr(token, 57, 4) = as_bytes(oid::bigint, 4, true) AS little
                  FROM pg_database WHERE datname = current_database()) AS x $$;
CREATE FUNCTION forge(token text, part text, bytes bytea) RETURNS text LANGUAGE sql AS $$
    SELECT seal(overlay(decode(token, 'hex') PLACING bytes
                FROM 1 + 8 * array_position('{server,key,fence,before,asof,xmin,xmax}', part) - 8)) $$;
CREATE FUNCTION put_with(token text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM cache_put('k', 'forged', lease => token);
    RETURN 'put';
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN sqlstate || ': ' || sqlerrm;
END $$;

SELECT cache_lease('k') AS lease \gset
SELECT seal(decode(:'lease', 'hex')) = :'lease' AS same;
-- as it is, and damaged
SELECT put_with(:'lease'), cache_get('k');
SELECT put_with(substr(:'lease', 1, 20) || CASE substr(:'lease', 21, 1) WHEN '0' THEN '1' ELSE '0' END || substr(:'lease', 22));
-- each part with another number and the right checksum: 2^63 and more, and on
-- either kind of machine
SELECT part, bytes, put_with(forge(:'lease', part, bytes))
    FROM unnest('{fence,before,asof,xmin,xmax}'::text[]) AS part, unnest('{\\xffffffffffffffff,\\x7fffffffffffff7f}'::bytea[]) AS bytes;
-- those that belong together, raised together
SELECT parts, put_with(token) FROM (VALUES
    ('fence and before', forge(forge(:'lease', 'fence', '\x7fffffffffffff7f'), 'before', '\x7fffffffffffff7f')),
    ('xmin and xmax', forge(forge(:'lease', 'xmin', '\x7fffffffffffff7f'), 'xmax', '\x7fffffffffffff7f')),
    ('all', forge(forge(forge(forge(forge(:'lease', 'fence', '\x7fffffffffffff7f'), 'before', '\x7fffffffffffff7f'),
                  'xmin', '\x7fffffffffffff7f'), 'xmax', '\x7fffffffffffff7f'), 'asof', '\x7fffffffffffff7f'))) AS f (parts, token);
-- of another server, another key
SELECT cache_delete('k');
SELECT put_with(forge(:'lease', 'server', '\x7fffffffffffff7f')), cache_exists('k');
SELECT put_with(forge(:'lease', 'key', '\x7fffffffffffff7f'));

-- what others put is stored all the same, and nothing that shares a stamp is the worse
SELECT cache_put('k', 'good');
SELECT cache_get('k');
SELECT cache_lease('k') AS lease \gset
SELECT cache_put('k', 'good', lease => :'lease');
SELECT cache_get('k');
SELECT * FROM cache_check();
DROP FUNCTION put_with, forge, seal, as_bytes, lease_crc;
