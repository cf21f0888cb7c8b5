-- What the functions on single keys refuse.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
RESET client_min_messages;
SELECT cache_create_namespace('kv_errors');
SELECT cache_create_namespace('kv_closed');

-- the messages
SELECT cache_put(NULL, 'v');
SELECT cache_put('', 'v');
SELECT cache_get(repeat('k', 1025));
SELECT cache_put('k', 'v', ttl => '0');
SELECT cache_put('k', 'v', tags => ARRAY['']);
SELECT cache_put('k', 'v', tags => ARRAY[repeat('t', 64)]);
SELECT cache_put('k', 'v', tags => ARRAY['a', NULL]);
SELECT cache_put('k', 'v', tags => ARRAY(SELECT 't' || i FROM generate_series(1, 17) i));
SELECT cache_put('k', 'v', depends_on => ARRAY['pg_class'::regclass]);
SELECT cache_put('k', 'v', lease => 'x');
SELECT cache_put('k', 'v', namespace => 'nowhere');
SELECT cache_put('k', ROW(1, 'a'));
SELECT cache_put('k', 1), cache_get_as('k', ''::text);

\set VERBOSITY sqlstate
-- a NULL key: writers fail
SELECT cache_put(NULL, 'v');
SELECT cache_put(NULL, 1);
SELECT cache_put(NULL, 'c'::"char");
SELECT cache_delete(NULL);
SELECT cache_touch(NULL, '1 min');
SELECT cache_add(NULL, 'v');
SELECT cache_replace(NULL, 'v');
SELECT cache_cas(NULL, 1, 'v');
SELECT cache_incr(NULL);
SELECT cache_put_many(ARRAY[NULL], ARRAY['v']);
SELECT cache_put_many(NULL, ARRAY['v']);
SELECT cache_put_many(ARRAY['k'], NULL);
-- and so does a NULL namespace
SELECT cache_put('k', 'v', namespace => NULL);
SELECT cache_delete('k', NULL);
SELECT cache_touch('k', '1 min', NULL);
SELECT cache_incr('k', namespace => NULL);

-- keys of 1 to 1024 bytes
SELECT cache_put(repeat('k', 1024), 'v');
SELECT cache_get(repeat('k', 1024));
SELECT cache_delete(repeat('k', 1024));
SELECT cache_put('', 'v');
SELECT cache_put(repeat('k', 1025), 'v');
SELECT cache_get('');
SELECT cache_get(repeat('k', 1025));
SELECT cache_get_as('', 0);
SELECT cache_exists('');
SELECT cache_expires_at('');
SELECT * FROM cache_entry('');
SELECT * FROM cache_get_many(ARRAY['k', '']);
SELECT cache_delete('');
SELECT cache_touch('', NULL);
SELECT cache_add('', 'v');
SELECT cache_replace('', 'v');
SELECT cache_cas('', 1, 'v');
SELECT cache_incr('');
SELECT cache_put_many(ARRAY['k', ''], ARRAY['v', 'w']);

-- positive TTLs
SELECT cache_put('k', 'v', ttl => '0');
SELECT cache_put('k', 'v', ttl => '-1 s');
SELECT cache_put('k', 'v', ttl => '1 day -25 hours');
SELECT cache_touch('k', '-1 s');
SELECT cache_add('k', 'v', ttl => '0');
SELECT cache_replace('k', 'v', ttl => '0');
SELECT cache_cas('k', 1, 'v', ttl => '0');
SELECT cache_incr('k', ttl => '0');
SELECT cache_put_many(ARRAY['k'], ARRAY['v'], ttl => '0');

-- tags of 1 to 63 bytes, 16 of them
SELECT cache_put('k', 'v', tags => ARRAY[repeat('t', 63)]);
SELECT cache_put('k', 'v', tags => ARRAY[repeat('t', 64)]);
SELECT cache_put('k', 'v', tags => ARRAY['']);
SELECT cache_put('k', 'v', tags => ARRAY[NULL]);
SELECT cache_put('k', 'v', tags => ARRAY(SELECT 't' || i FROM generate_series(1, 17) i));
SELECT cache_put('k', 'v', tags => ARRAY(SELECT 't' || i FROM generate_series(1, 16) i) || ARRAY['t1', 't2']);
SELECT array_length(tags, 1) FROM cache_entry('k');

-- tables and leases
SELECT cache_put('k', 'v', depends_on => ARRAY[NULL::regclass]);
SELECT cache_put('k', 'v', lease => '');

-- values
SET pg_cache.max_value_size = '1kB';
SELECT cache_put('large', repeat('v', 1024));
SELECT cache_put('large', repeat('v', 1025));
SELECT cache_add('large', repeat('v', 1025), namespace => 'kv_errors');
SELECT cache_put_many(ARRAY['m1', 'm2'], ARRAY['v', repeat('v', 1025)]);
SELECT length(cache_get('large')), cache_exists('m1');
RESET pg_cache.max_value_size;
SELECT cache_put('record', ROW(1, 2));
SELECT cache_put('k', 1);
SELECT cache_get_as('k', NULL::text);
SELECT cache_get_as('k', ROW(1, 2));

-- namespaces
SELECT cache_get('k', 'nowhere');
SELECT cache_put('k', 'v', namespace => 'nowhere');
SELECT cache_clear('nowhere');
SELECT cache_get('k', '');
SELECT cache_get('k', repeat('n', 64));

-- privileges on a namespace: none, read, write
CREATE ROLE regress_cache_user;
SET ROLE regress_cache_user;
SELECT cache_get('k', 'kv_closed');
SELECT cache_get_as('k', 0, 'kv_closed');
SELECT * FROM cache_get_many(ARRAY['k'], 'kv_closed');
SELECT cache_exists('k', 'kv_closed');
SELECT cache_expires_at('k', 'kv_closed');
SELECT * FROM cache_entry('k', 'kv_closed');
SELECT cache_put('k', 'v', namespace => 'kv_closed');
SELECT cache_put_many(ARRAY['k'], ARRAY['v'], namespace => 'kv_closed');
SELECT cache_delete('k', 'kv_closed');
SELECT cache_touch('k', NULL, 'kv_closed');
SELECT cache_add('k', 'v', namespace => 'kv_closed');
SELECT cache_replace('k', 'v', namespace => 'kv_closed');
SELECT cache_cas('k', 1, 'v', namespace => 'kv_closed');
SELECT cache_incr('k', namespace => 'kv_closed');
SELECT cache_clear('kv_closed');
SELECT cache_clear();
SELECT cache_check();
SELECT cache_reset_stats();
RESET ROLE;
SELECT cache_grant('kv_closed', 'regress_cache_user', 'read');
SET ROLE regress_cache_user;
SELECT cache_get('k', 'kv_closed') IS NULL AS allowed;
SELECT cache_put('k', 'v', namespace => 'kv_closed');
RESET ROLE;
SELECT cache_revoke('kv_closed', 'regress_cache_user', 'read');
SELECT cache_grant('kv_closed', 'regress_cache_user', 'write');
SET ROLE regress_cache_user;
SELECT cache_put('k', 'v', namespace => 'kv_closed');
SELECT cache_get('k', 'kv_closed');
SELECT cache_clear('kv_closed');
RESET ROLE;
SELECT cache_put('k', 'v', namespace => 'kv_closed');
SET ROLE regress_cache_user;
-- the one who could read a moment ago cannot by the same session's memory
SELECT cache_get('k', 'kv_closed');
RESET ROLE;
SELECT cache_get('k', 'kv_closed');
-- cache_check is the superuser's even where it was granted
GRANT EXECUTE ON FUNCTION cache_check() TO regress_cache_user;
SET ROLE regress_cache_user;
SELECT cache_check();
RESET ROLE;
REVOKE EXECUTE ON FUNCTION cache_check() FROM regress_cache_user;
SELECT cache_revoke('kv_closed', 'regress_cache_user', 'write');
DROP ROLE regress_cache_user;

-- nothing of what failed was stored
SELECT cache_exists('k', 'kv_errors'), cache_exists('large', 'kv_errors');
SELECT cache_drop_namespace('kv_errors'), cache_drop_namespace('kv_closed');
SELECT * FROM cache_check();
