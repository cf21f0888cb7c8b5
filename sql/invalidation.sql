-- Tags, patterns, leases, and entries that depend on tables.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
RESET client_min_messages;
SELECT cache_create_namespace('inv'), cache_create_namespace('inv2'), cache_create_namespace('inv_closed');
CREATE FUNCTION keys(name text = 'inv') RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(key, ' ' ORDER BY key COLLATE "C") FROM cache_entries WHERE namespace = name $$;

-- tags: entries that have one of them
SELECT cache_put('ab', 'v', tags => ARRAY['a', 'b'], namespace => 'inv'),
       cache_put('b', 'v', tags => ARRAY['b'], namespace => 'inv'),
       cache_put('bc', 'v', tags => ARRAY['b', 'c'], namespace => 'inv'),
       cache_put('abc', 'v', tags => ARRAY['a', 'b', 'c'], namespace => 'inv'),
       cache_put('none', 'v', namespace => 'inv');
SELECT cache_invalidate_tags(ARRAY['x'], 'inv');
SELECT keys();
SELECT cache_invalidate_tags('{}', 'inv'), cache_invalidate_tags('{}');
SELECT keys();
SELECT cache_invalidate_tags(ARRAY['a'], 'inv');
SELECT keys();
SELECT key, value FROM cache_get_many(ARRAY['ab', 'b', 'bc', 'abc', 'none'], 'inv');
SELECT cache_invalidate_tags(ARRAY['x', 'c', 'c', 'y'], 'inv');
SELECT keys();
-- one put again stays, and goes with the next
SELECT cache_put('ab', 'again', tags => ARRAY['a', 'b'], namespace => 'inv');
SELECT cache_get('ab', 'inv');
SELECT cache_invalidate_tags(ARRAY['b'], 'inv');
SELECT keys(), cache_get('ab', 'inv') IS NULL AS miss;

-- all_of: entries that have all of them
SELECT cache_put('ab', 'v', tags => ARRAY['a', 'b'], namespace => 'inv'),
       cache_put('b', 'v', tags => ARRAY['b'], namespace => 'inv'),
       cache_put('bc', 'v', tags => ARRAY['b', 'c'], namespace => 'inv'),
       cache_put('abc', 'v', tags => ARRAY['c', 'b', 'a'], namespace => 'inv');
SELECT cache_invalidate_tags(ARRAY['a', 'x'], 'inv', true);
SELECT cache_invalidate_tags('{}', 'inv', true);
SELECT keys();
SELECT cache_invalidate_tags(ARRAY['a', 'c', 'a'], 'inv', all_of => true);
SELECT keys();
SELECT cache_invalidate_tags(ARRAY['c'], 'inv', true);
SELECT keys();
SELECT cache_invalidate_tags(ARRAY['b', 'b'], 'inv', true);
SELECT keys();
-- more than an entry can have
SELECT cache_put('full', 'v', tags => ARRAY(SELECT 't' || i FROM generate_series(1, 16) i), namespace => 'inv');
SELECT cache_invalidate_tags(ARRAY(SELECT 't' || i FROM generate_series(1, 17) i), 'inv', true);
SELECT keys();
SELECT cache_invalidate_tags(ARRAY(SELECT 't' || i FROM generate_series(1, 16) i), 'inv', true);
SELECT keys();
SELECT cache_put('full', 'v', tags => ARRAY['t500'], namespace => 'inv');
SELECT cache_invalidate_tags(ARRAY(SELECT 't' || i FROM generate_series(1, 1000) i), 'inv');
SELECT keys();

-- one namespace, or all that the caller may write
SELECT cache_put('k', 'v', tags => ARRAY['t'], namespace => n) FROM unnest(ARRAY['inv', 'inv2', 'inv_closed', 'default']) n;
SELECT cache_invalidate_tags(ARRAY['t'], 'inv2');
SELECT cache_get('k', 'inv'), cache_get('k', 'inv2') IS NULL AS inv2, cache_get('k', 'inv_closed'), cache_get('k');
CREATE ROLE regress_cache_inv;
SELECT cache_grant('inv', 'regress_cache_inv', 'write'), cache_grant('inv2', 'regress_cache_inv', 'read');
SELECT cache_put('k', 'v', tags => ARRAY['t'], namespace => 'inv2');
SET ROLE regress_cache_inv;
SELECT cache_invalidate_tags(ARRAY['t']);
RESET ROLE;
SELECT cache_get('k', 'inv') IS NULL AS inv, cache_get('k', 'inv2'), cache_get('k', 'inv_closed'),
       cache_get('k') IS NULL AS "default";
SELECT cache_invalidate_tags(ARRAY['t']);
SELECT cache_get('k', 'inv2') IS NULL AS inv2, cache_get('k', 'inv_closed') IS NULL AS inv_closed;
-- one that nobody has used yet as well
SELECT cache_create_namespace('inv_unused');
BEGIN;
SELECT cache_invalidate_tags(ARRAY['t']);
SELECT cache_put('k', 'after', tags => ARRAY['t'], namespace => 'inv_unused');
COMMIT;
SELECT cache_get('k', 'inv_unused');
SELECT cache_invalidate_tags(ARRAY['t']);
SELECT cache_get('k', 'inv_unused') IS NULL AS miss;
SELECT cache_drop_namespace('inv_unused');

-- in a transaction: invalidate then put keeps the put, put then invalidate removes it
SELECT cache_put('before', 'v', tags => ARRAY['t'], namespace => 'inv');
BEGIN;
SELECT cache_put('first', 'v', tags => ARRAY['t'], namespace => 'inv');
SELECT cache_invalidate_tags(ARRAY['t'], 'inv');
SELECT cache_get('before', 'inv') IS NULL AS before, cache_get('first', 'inv') IS NULL AS first;
SELECT cache_put('second', 'v', tags => ARRAY['t'], namespace => 'inv');
SELECT cache_get('second', 'inv');
COMMIT;
SELECT keys(), cache_get('second', 'inv');
BEGIN;
SELECT cache_put('first', 'v', tags => ARRAY['t', 'u'], namespace => 'inv');
SELECT cache_invalidate_tags(ARRAY['u', 't'], 'inv', true);
SELECT cache_get('first', 'inv') IS NULL AS first, cache_get('second', 'inv');
SELECT cache_put('first', 'again', tags => ARRAY['t', 'u'], namespace => 'inv');
COMMIT;
SELECT keys(), cache_get('first', 'inv');
SELECT cache_clear('inv');

-- what cache_add and its like store has tags as well
SELECT cache_add('added', 'v', tags => ARRAY['t'], namespace => 'inv'),
       cache_put('replaced', 'v', namespace => 'inv'), cache_put('counted', 5, tags => ARRAY['t'], namespace => 'inv');
SELECT cache_replace('replaced', 'w', tags => ARRAY['t'], namespace => 'inv'), cache_incr('counted', namespace => 'inv');
SELECT key, value FROM cache_get_many(ARRAY['added', 'replaced', 'counted'], 'inv');
SELECT cache_invalidate_tags(ARRAY['t'], 'inv');
SELECT keys(), count(*) FROM cache_get_many(ARRAY['added', 'replaced', 'counted'], 'inv');
SELECT cache_add('added', 'anew', namespace => 'inv'), cache_replace('replaced', 'w', namespace => 'inv'),
       cache_incr('counted', namespace => 'inv');
SELECT cache_clear('inv');

-- patterns: LIKE on the key
SELECT cache_put(k, 'v', namespace => 'inv') FROM unnest(ARRAY['user:1', 'user:2', 'user:22', 'USER:1', 'user_1',
    'a%b', 'a_b', 'axb', 'a\b', 'größe', 'große', 'gr', '漢字', '漢', 'k z', '.*']) AS k \g /dev/null
SELECT cache_invalidate_pattern('nothing%', 'inv'), cache_invalidate_pattern('', 'inv');
SELECT cache_invalidate_pattern('user:_', 'inv');
SELECT keys();
SELECT cache_invalidate_pattern('user\_%', 'inv');
SELECT cache_invalidate_pattern('user%', 'inv');
SELECT cache_invalidate_pattern('a\%b', 'inv');
SELECT keys();
SELECT cache_invalidate_pattern('a\\b', 'inv');
SELECT cache_invalidate_pattern('a_b', 'inv');
SELECT keys();
SELECT cache_invalidate_pattern('gr_ße', 'inv');
SELECT keys();
SELECT cache_invalidate_pattern('_', 'inv');
SELECT cache_invalidate_pattern('.*', 'inv');
SELECT cache_invalidate_pattern('_字', 'inv');
SELECT keys();
SELECT cache_invalidate_pattern('user:1');
SELECT cache_invalidate_pattern('%', 'inv');
SELECT keys() IS NULL AS empty;
-- a long one
SELECT cache_put(repeat('k', 1000), 'v', namespace => 'inv'), cache_put('other', 'v', namespace => 'inv');
SELECT cache_invalidate_pattern(repeat('k', 1000), 'inv');
SELECT cache_exists(repeat('k', 1000), 'inv');
SELECT cache_clear('inv');
-- it counts what the caller sees: own puts, without what the own transaction removed
SELECT cache_put_many(array_agg('p' || i), array_agg('v'::text), namespace => 'inv') FROM generate_series(1, 10) i;
BEGIN;
SELECT cache_put('p1', 'changed', namespace => 'inv'), cache_put('p11', 'new', namespace => 'inv'),
       cache_put('other', 'new', namespace => 'inv'), cache_delete('p2', 'inv');
SELECT cache_invalidate_pattern('p%', 'inv');
SELECT cache_invalidate_pattern('p%', 'inv');
SELECT cache_exists('p1', 'inv'), cache_exists('p3', 'inv'), cache_exists('p11', 'inv'), cache_exists('other', 'inv');
SELECT cache_put('p3', 'after', namespace => 'inv');
SELECT cache_invalidate_pattern('p_', 'inv');
SELECT cache_put('p4', 'kept', namespace => 'inv');
COMMIT;
SELECT keys(), cache_get('p4', 'inv');
BEGIN;
SELECT cache_invalidate_pattern('%', 'inv');
ROLLBACK;
SELECT keys();
SELECT cache_clear('inv');

-- a lease: what changed since it was taken makes the put stale
SELECT cache_lease('k', 'inv') AS lease \gset
SELECT cache_put('k', 'fresh', namespace => 'inv', lease => :'lease');
SELECT cache_get('k', 'inv');
SELECT cache_lease('k', 'inv') AS lease \gset
SELECT cache_delete('k', 'inv');
SELECT stale_puts AS stale FROM cache_stats_namespaces WHERE namespace = 'inv' \gset
SELECT cache_put('k', 'old', namespace => 'inv', lease => :'lease');
SELECT cache_exists('k', 'inv');
SELECT cache_lease('k', 'inv') AS lease \gset
SELECT cache_invalidate_tags(ARRAY['t'], 'inv');
SELECT cache_put('k', 'old', tags => ARRAY['t'], namespace => 'inv', lease => :'lease');
SELECT cache_exists('k', 'inv');
SELECT cache_put('k', 'other tag', tags => ARRAY['u'], namespace => 'inv', lease => :'lease');
SELECT cache_get('k', 'inv');
SELECT cache_lease('k', 'inv') AS lease \gset
SELECT cache_invalidate_pattern('k%', 'inv');
SELECT cache_put('k', 'old', namespace => 'inv', lease => :'lease');
SELECT cache_exists('k', 'inv');
SELECT cache_lease('k', 'inv') AS lease \gset
SELECT cache_clear('inv');
SELECT cache_put('k', 'old', namespace => 'inv', lease => :'lease');
SELECT cache_exists('k', 'inv');
SELECT cache_lease('k', 'inv') AS lease \gset
SELECT cache_incr('k', namespace => 'inv');
SELECT cache_put('k', 'old', namespace => 'inv', lease => :'lease');
SELECT cache_get('k', 'inv') IS DISTINCT FROM 'old' AS not_old;
SELECT stale_puts - :stale AS stale FROM cache_stats_namespaces WHERE namespace = 'inv';
-- the own transaction's changes are no reason
BEGIN;
SELECT cache_lease('k', 'inv') AS lease \gset
SELECT cache_delete('k', 'inv');
SELECT cache_put('k', 'own', namespace => 'inv', lease => :'lease');
COMMIT;
SELECT cache_get('k', 'inv');
-- errors
\set VERBOSITY sqlstate
SELECT cache_put('other', 'v', namespace => 'inv', lease => :'lease');
SELECT cache_put('k', 'v', namespace => 'inv2', lease => :'lease');
SELECT cache_put('k', 'v', namespace => 'inv', lease => '');
SELECT cache_put('k', 'v', namespace => 'inv', lease => 'x');
SELECT cache_put('k', 'v', namespace => 'inv', lease => :'lease' || '0');
SELECT cache_put('k', 'v', namespace => 'inv', lease => reverse(:'lease'));
SELECT cache_lease(NULL);
SELECT cache_lease('k', NULL);
SELECT cache_lease('');
SELECT cache_lease('k', 'nowhere');
-- also while the cache is switched off
SET pg_cache.enabled = off;
SELECT cache_put('k', 'v', namespace => 'inv', lease => 'x');
SELECT cache_put('k', 'v', namespace => 'inv', depends_on => ARRAY['pg_class'::regclass]);
RESET pg_cache.enabled;
\set VERBOSITY default
SELECT cache_get('k', 'inv');
SELECT cache_put('k', 'v', namespace => 'inv', lease => 'x');

-- depends_on: a committed change of one of the tables removes the entry
CREATE TABLE inv_item (id int PRIMARY KEY, name text);
CREATE UNLOGGED TABLE inv_log (id int);
CREATE TABLE inv_part (id int) PARTITION BY RANGE (id);
CREATE TABLE inv_part1 PARTITION OF inv_part FOR VALUES FROM (0) TO (100);
CREATE TABLE inv_parent (id int);
CREATE TABLE inv_child () INHERITS (inv_parent);
INSERT INTO inv_item VALUES (1, 'one');
CREATE MATERIALIZED VIEW inv_mv AS SELECT count(*) AS n FROM inv_item;
CREATE PROCEDURE fill() LANGUAGE sql AS $$
    SELECT cache_put('item', 'v', namespace => 'inv', depends_on => ARRAY['inv_item'::regclass]),
           cache_put('two', 'v', namespace => 'inv', depends_on => ARRAY['inv_item', 'inv_log', 'inv_item']::regclass[]),
           cache_put('log', 'v', namespace => 'inv', depends_on => ARRAY['inv_log'::regclass]),
           cache_put('part', 'v', namespace => 'inv', depends_on => ARRAY['inv_part'::regclass]),
           cache_put('parent', 'v', namespace => 'inv', depends_on => ARRAY['inv_parent'::regclass]),
           cache_put('mv', 'v', namespace => 'inv', depends_on => ARRAY['inv_mv'::regclass]),
           cache_put('none', 'v', namespace => 'inv', depends_on => '{}');
$$;
SELECT cache_clear('inv');
CALL fill();
SELECT keys();
INSERT INTO inv_item VALUES (2, 'two');
SELECT keys();
SELECT key, value FROM cache_get_many(ARRAY['item', 'two', 'log', 'part', 'parent', 'mv', 'none'], 'inv');
CALL fill();
BEGIN;
UPDATE inv_item SET name = 'ONE' WHERE id = 1;
ROLLBACK;
SELECT cache_get('none', 'inv');
CALL fill();
DELETE FROM inv_log;
TRUNCATE inv_log;
SELECT keys();
CALL fill();
INSERT INTO inv_part VALUES (1);
SELECT keys();
CALL fill();
INSERT INTO inv_part1 VALUES (2);
SELECT keys();
CALL fill();
CREATE TABLE inv_part2 PARTITION OF inv_part FOR VALUES FROM (100) TO (200);
SELECT keys();
CALL fill();
INSERT INTO inv_child VALUES (1);
SELECT keys();
CALL fill();
REFRESH MATERIALIZED VIEW inv_mv;
SELECT keys();
CALL fill();
DROP TABLE inv_log;
SELECT keys();
-- what depends on tables is nothing for SERIALIZABLE
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT cache_exists('item', 'inv'), cache_exists('none', 'inv');
COMMIT;
SELECT cache_exists('item', 'inv');

-- cache_depend
SELECT cache_clear('inv');
SELECT cache_put('k', 'v', '1 hour', ARRAY['t'], 'inv', 3), cache_put('item', 'v', namespace => 'inv',
                                                                    depends_on => ARRAY['inv_item'::regclass]);
SELECT cache_depend('k', ARRAY['inv_item'::regclass], 'inv'), cache_depend('missing', ARRAY['inv_item'::regclass], 'inv'),
       cache_depend('k', '{}', 'inv'), cache_depend('missing', '{}', 'inv');
SELECT cache_depend('item', ARRAY['inv_part'::regclass], 'inv');
SELECT cache_get('k', 'inv'), tags, priority, expires_at < 'infinity' AS ttl FROM cache_entry('k', 'inv');
INSERT INTO inv_part VALUES (3);
SELECT keys();
SELECT cache_get('k', 'inv'), cache_exists('item', 'inv');
INSERT INTO inv_item VALUES (3, 'three');
SELECT keys() IS NULL AS empty, cache_exists('k', 'inv');
-- of an own put
BEGIN;
SELECT cache_put('k', 'own', namespace => 'inv');
SELECT cache_depend('k', ARRAY['inv_item'::regclass], 'inv'), cache_get('k', 'inv');
COMMIT;
SELECT cache_get('k', 'inv');
INSERT INTO inv_item VALUES (4, 'four');
SELECT cache_exists('k', 'inv');
-- a table changed since the entry's data were read
SELECT cache_put('k', 'old', namespace => 'inv');
INSERT INTO inv_item VALUES (5, 'five');
SELECT cache_depend('k', ARRAY['inv_item'::regclass], 'inv'), cache_exists('k', 'inv');

-- which relations: not these
CREATE VIEW inv_view AS SELECT * FROM inv_item;
CREATE TEMP TABLE inv_temp (id int);
CREATE SEQUENCE inv_seq;
CREATE TYPE inv_type AS (id int);
CREATE FOREIGN DATA WRAPPER inv_fdw;
CREATE SERVER inv_server FOREIGN DATA WRAPPER inv_fdw;
CREATE FOREIGN TABLE inv_foreign (id int) SERVER inv_server;
SELECT cache_put('k', 'v', namespace => 'inv', depends_on => ARRAY['inv_view'::regclass]);
SELECT cache_put('k', 'v', namespace => 'inv', depends_on => ARRAY['inv_temp'::regclass]);
SELECT cache_put('k', 'v', namespace => 'inv', depends_on => ARRAY['inv_seq'::regclass]);
SELECT cache_put('k', 'v', namespace => 'inv', depends_on => ARRAY['inv_type'::regclass]);
SELECT cache_put('k', 'v', namespace => 'inv', depends_on => ARRAY['inv_item_pkey'::regclass]);
SELECT cache_put('k', 'v', namespace => 'inv', depends_on => ARRAY['inv_foreign'::regclass]);
SELECT cache_put('k', 'v', namespace => 'inv', depends_on => ARRAY['pg_class'::regclass]);
SELECT cache_put('k', 'v', namespace => 'inv', depends_on => ARRAY['information_schema.sql_features'::regclass]);
SELECT cache_put('k', 'v', namespace => 'inv', depends_on => ARRAY[1::regclass]);
SELECT cache_put('k', 'v', namespace => 'inv', depends_on => ARRAY['inv_item'::regclass, NULL]);
CREATE TABLE inv_many (id int) PARTITION BY LIST (id);
SELECT format('CREATE TABLE inv_many%s PARTITION OF inv_many FOR VALUES IN (%s)', i, i) FROM generate_series(1, 17) i \gexec
SELECT cache_put('k', 'v', namespace => 'inv', depends_on => ARRAY(SELECT ('inv_many' || i)::regclass FROM generate_series(1, 17) i));
SELECT cache_put('k', 'v', namespace => 'inv', depends_on => ARRAY(SELECT ('inv_many' || i)::regclass FROM generate_series(1, 16) i));
INSERT INTO inv_many VALUES (17);
SELECT cache_get('k', 'inv');
INSERT INTO inv_many VALUES (16);
SELECT cache_exists('k', 'inv');
\set VERBOSITY sqlstate
SELECT cache_depend('k', ARRAY['inv_view'::regclass], 'inv');
SELECT cache_depend('k', ARRAY['inv_temp'::regclass], 'inv');
SELECT cache_depend('k', ARRAY['inv_foreign'::regclass], 'inv');
SELECT cache_depend('k', ARRAY['pg_class'::regclass], 'inv');
SELECT cache_depend('k', ARRAY[NULL::regclass], 'inv');
SELECT cache_depend('k', ARRAY(SELECT ('inv_many' || i)::regclass FROM generate_series(1, 17) i), 'inv');

-- NULL arguments, and what is malformed
SELECT cache_depend(NULL, '{}');
SELECT cache_depend('k', NULL);
SELECT cache_depend('k', '{}', NULL);
SELECT cache_depend('', '{}');
SELECT cache_invalidate_tags(NULL);
SELECT cache_invalidate_tags(ARRAY['t', NULL]);
SELECT cache_invalidate_tags(ARRAY['t'], 'inv', NULL);
SELECT cache_invalidate_tags(ARRAY['']);
SELECT cache_invalidate_tags(ARRAY[repeat('t', 64)], 'inv');
SELECT cache_invalidate_tags(ARRAY['t'], 'nowhere');
SELECT cache_invalidate_tags('{}', 'nowhere');
SELECT cache_invalidate_pattern(NULL);
SELECT cache_invalidate_pattern('%', NULL);
SELECT cache_invalidate_pattern('%', 'nowhere');
SELECT cache_invalidate_pattern('\', 'inv');
SELECT cache_invalidate_pattern('a%\', 'inv');
SELECT cache_invalidate_pattern('a\\\', 'inv');
-- privileges
SET ROLE regress_cache_inv;
SELECT cache_invalidate_tags(ARRAY['t'], 'inv2');
SELECT cache_invalidate_pattern('%', 'inv2');
SELECT cache_depend('k', '{}', 'inv2');
SELECT cache_lease('k', 'inv2');
SELECT cache_invalidate_pattern('%', 'inv') >= 0 AS allowed;
RESET ROLE;
\set VERBOSITY default
SELECT cache_invalidate_pattern('a\');

-- statistics: each by its cause
SELECT cache_clear('inv');
SELECT cache_drop_namespace('inv'), cache_create_namespace('inv');
SELECT cache_put_many(ARRAY['d1', 'd2', 'p1', 'p2', 'p3'], array_fill('v'::text, ARRAY[5]),
                      namespace => 'inv');
SELECT cache_put('t', 'v', tags => ARRAY['t'], namespace => 'inv');
SELECT cache_delete('d1', 'inv'), cache_delete('d2', 'inv'), cache_delete('missing', 'inv');
SELECT cache_invalidate_pattern('p%', 'inv');
SELECT cache_invalidate_tags(ARRAY['t'], 'inv');
SELECT puts, stale_puts, dropped_puts, deletes, invalidations, invalidations_pattern AS pattern, invalidations_tag AS tag,
       invalidations_manual AS manual, invalidations_table AS "table", invalidations_file AS file,
       invalidations_error AS error
    FROM cache_stats_namespaces WHERE namespace = 'inv';
SELECT cache_drop_namespace('inv'), cache_create_namespace('inv');
SELECT cache_put_many(ARRAY['c1', 'c2', 'c3', 'c4'], array_fill('v'::text, ARRAY[4]), namespace => 'inv');
BEGIN;
SELECT cache_delete('c1', 'inv'), cache_clear('inv');
ROLLBACK;
SELECT deletes, invalidations_manual AS manual, entries FROM cache_stats_namespaces WHERE namespace = 'inv';
SELECT cache_clear('inv');
SELECT invalidations_manual AS manual, entries FROM cache_stats_namespaces WHERE namespace = 'inv';

DROP FUNCTION keys;
DROP PROCEDURE fill;
DROP VIEW inv_view;
DROP MATERIALIZED VIEW inv_mv;
DROP TABLE inv_item, inv_part, inv_parent, inv_child, inv_temp, inv_many;
DROP SEQUENCE inv_seq;
DROP TYPE inv_type;
SET client_min_messages = warning;
DROP FOREIGN DATA WRAPPER inv_fdw CASCADE;
RESET client_min_messages;
SELECT cache_revoke('inv2', 'regress_cache_inv', 'read');
SELECT cache_drop_namespace('inv'), cache_drop_namespace('inv2'), cache_drop_namespace('inv_closed');
DROP ROLE regress_cache_inv;
SELECT * FROM cache_check();
