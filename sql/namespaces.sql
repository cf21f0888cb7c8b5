-- Namespaces: what they are made of, who sees a change when.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_cache;
CREATE EXTENSION pg_cache;
RESET client_min_messages;

-- The default namespace needs no row.
SELECT count(*) FROM cache_namespaces;
SELECT cache_put('k', 'in default');
SELECT cache_get('k'), cache_get('k', 'default');

-- A namespace has keys of its own.
SELECT cache_create_namespace('shop');
SELECT cache_get('k', 'shop');
SELECT cache_put('k', 'in shop', namespace => 'shop');
SELECT cache_get('k'), cache_get('k', 'shop');
SELECT name, owner = current_user::regrole AS own, readers, writers
FROM cache_namespaces;

-- All options, as the table shows them.
SELECT cache_create_namespace('all options',
    default_ttl => '10 min', max_ttl => '1 mon', ttl_jitter => 0.25,
    sliding => true, min_bytes => 1024, max_bytes => 2048, max_entries => 3,
    priority => -1, compression => 'lz4', compression_threshold => 0,
    transactional => false);
CREATE VIEW all_options AS
    SELECT jsonb_strip_nulls(to_jsonb(n) - 'owner') AS options
    FROM cache_namespaces n WHERE name = 'all options';
SELECT * FROM all_options;
SELECT cache_alter_namespace('all options', default_ttl => '20 min',
    reset => '{max_ttl,sliding,min_bytes}');
SELECT * FROM all_options;
SELECT cache_alter_namespace('all options', reset => '{default_ttl,ttl_jitter,
    max_bytes,max_entries,priority,compression,compression_threshold,
    transactional,loader,write_mode,backing}');
SELECT * FROM all_options;
DROP VIEW all_options;
SELECT cache_drop_namespace('all options');

-- A column of somebody else's is refused, until it is gone again.
ALTER TABLE cache_namespaces ADD COLUMN extra int;
SELECT cache_get('k', 'shop');
SELECT cache_create_namespace('extra');
SELECT cache_alter_namespace('shop', priority => 1);
ALTER TABLE cache_namespaces DROP COLUMN extra;
SELECT cache_get('k', 'shop');
SELECT cache_create_namespace('extra');
SELECT cache_alter_namespace('extra', priority => 1);
SELECT cache_put('k', 'v', namespace => 'extra');
SELECT priority FROM cache_entry('k', 'extra');
SELECT cache_drop_namespace('extra');

-- Names.
SELECT cache_create_namespace('shop');
SELECT cache_create_namespace('default');
SELECT cache_create_namespace('');
SELECT cache_create_namespace(repeat('x', 64));
SELECT cache_create_namespace(repeat('x', 63));
SELECT cache_get('k', repeat('x', 63));
SELECT cache_drop_namespace(repeat('x', 63));
SELECT cache_get('k', '');
SELECT cache_get('k', repeat('x', 64));
SELECT cache_put('k', 'v', namespace => 'nowhere');
SELECT cache_get('k', 'nowhere');
SELECT cache_alter_namespace('nowhere');
SELECT cache_drop_namespace('nowhere');
SELECT cache_grant('nowhere', 'public', 'read');
SELECT cache_drop_namespace('default');
SELECT cache_create_namespace('Ω "quoted"');
SELECT cache_put('k', 'v', namespace => 'Ω "quoted"');
SELECT cache_get('k', 'Ω "quoted"');
SELECT cache_drop_namespace('Ω "quoted"');
SELECT cache_create_namespace(NULL);
SELECT cache_alter_namespace(NULL);
SELECT cache_drop_namespace(NULL);
SELECT cache_grant(NULL, 'public', 'read');
SELECT cache_grant('shop', NULL, 'read');
SELECT cache_grant('shop', 'public', NULL);
SELECT cache_revoke(NULL, 'public', 'read');

-- Options out of range.
SELECT cache_create_namespace('bad', default_ttl => '0');
SELECT cache_create_namespace('bad', default_ttl => '1 mon -31 days');
SELECT cache_create_namespace('bad', max_ttl => '-1 s');
SELECT cache_create_namespace('bad', ttl_jitter => 1.01);
SELECT cache_create_namespace('bad', ttl_jitter => -0.01);
SELECT cache_create_namespace('bad', ttl_jitter => 'NaN');
SELECT cache_create_namespace('bad', min_bytes => -1);
SELECT cache_create_namespace('bad', max_bytes => -1);
SELECT cache_create_namespace('bad', max_entries => -1);
SELECT cache_create_namespace('bad', min_bytes => 2000, max_bytes => 1000);
SELECT cache_create_namespace('bad', compression => 'gzip');
SELECT cache_create_namespace('bad', compression_threshold => -1);
SELECT cache_create_namespace('bad', loader => 'upper(text)');
SELECT cache_create_namespace('bad', write_mode => 'aside');
SELECT cache_create_namespace('bad', backing => 'pg_class');
SELECT cache_alter_namespace('shop', max_entries => -1);
SELECT cache_alter_namespace('shop', reset => '{max_entries,colour}');
SELECT cache_alter_namespace('shop', reset => '{NULL}');
SELECT cache_alter_namespace('shop', max_entries => 1, reset => '{max_entries}');
SELECT cache_alter_namespace('shop', max_bytes => 1000);
SELECT cache_alter_namespace('shop', min_bytes => 1001);
SELECT cache_alter_namespace('shop', reset => '{max_bytes}');
\set VERBOSITY sqlstate
SELECT cache_create_namespace('bad',
    min_bytes => pg_size_bytes(current_setting('pg_cache.memory')) / 2);
SELECT cache_create_namespace('half',
    min_bytes => pg_size_bytes(current_setting('pg_cache.memory')) / 4);
SELECT cache_create_namespace('bad',
    min_bytes => pg_size_bytes(current_setting('pg_cache.memory')) / 4);
\set VERBOSITY default
SELECT cache_drop_namespace('half');
SELECT name FROM cache_namespaces ORDER BY id;

-- Options of intervals.  A TTL beyond what a timestamp can hold is no error.
SELECT cache_alter_namespace('shop', default_ttl => '1 hour');
SELECT cache_put('hour', 'v', namespace => 'shop');
SELECT cache_expires_at('hour', 'shop') BETWEEN now() + '59 min' AND now() + '61 min';
SELECT cache_alter_namespace('shop', max_ttl => '1 min');
SELECT cache_put('minute', 'v', namespace => 'shop');
SELECT cache_expires_at('minute', 'shop') BETWEEN now() + '30 s' AND now() + '90 s';
SELECT cache_alter_namespace('shop', max_ttl => '178000000 years');
SELECT cache_put('long', 'v', '178000000 years', namespace => 'shop');
SELECT cache_expires_at('long', 'shop') > now() + '900 years';
SELECT cache_alter_namespace('shop', reset => '{default_ttl,max_ttl}');
SELECT cache_put('ever', 'v', namespace => 'shop');
SELECT cache_expires_at('ever', 'shop');

-- Quotas.
SELECT cache_create_namespace('few', max_entries => 3);
SELECT count(cache_put('k' || i, 'v', namespace => 'few'))
FROM generate_series(1, 20) i;
SELECT count(*) FROM generate_series(1, 20) i WHERE cache_exists('k' || i, 'few');
SELECT cache_alter_namespace('few', max_entries => 5);
SELECT count(cache_put('k' || i, 'v', namespace => 'few'))
FROM generate_series(1, 20) i;
SELECT count(*) FROM generate_series(1, 20) i WHERE cache_exists('k' || i, 'few');
SELECT cache_alter_namespace('few', reset => '{max_entries}');
SELECT count(cache_put('k' || i, 'v', namespace => 'few'))
FROM generate_series(1, 20) i;
SELECT count(*) FROM generate_series(1, 20) i WHERE cache_exists('k' || i, 'few');
SELECT cache_drop_namespace('few');

-- Dropping forgets the entries; a new namespace of the name is a new one.
SELECT cache_drop_namespace('shop');
SELECT cache_get('k', 'shop');
SELECT cache_put('k', 'v', namespace => 'shop');
SELECT cache_create_namespace('shop');
SELECT cache_get('k', 'shop');
SELECT count(*) = 1 AS once, max(id) > 6 AS new_id FROM cache_namespaces;

-- The own transaction sees its changes at once; they go with it.
BEGIN;
SELECT cache_create_namespace('gone');
SELECT cache_put('k', 'v', namespace => 'gone');
SELECT cache_get('k', 'gone');
ROLLBACK;
SELECT cache_get('k', 'gone');
BEGIN;
SELECT cache_create_namespace('gone');
SAVEPOINT s;
SELECT cache_create_namespace('inner');
SELECT cache_put('k', 'v', namespace => 'inner');
SELECT cache_put('k', 'v', namespace => 'gone');
ROLLBACK TO s;
SELECT cache_get('k', 'gone') IS NOT DISTINCT FROM 'x' AS wrong;
SELECT name FROM cache_namespaces WHERE name IN ('gone', 'inner');
SAVEPOINT s;
SELECT cache_get('k', 'inner');
ROLLBACK TO s;
SELECT cache_drop_namespace('gone');
SAVEPOINT s;
SELECT cache_get('k', 'gone');
ROLLBACK TO s;
COMMIT;
SELECT cache_put('k', 'kept', namespace => 'shop');
BEGIN;
SELECT cache_drop_namespace('shop');
ROLLBACK;
SELECT cache_get('k', 'shop');
BEGIN;
SAVEPOINT s;
SELECT cache_drop_namespace('shop');
ROLLBACK TO s;
COMMIT;
SELECT cache_get('k', 'shop');
BEGIN;
SAVEPOINT s;
SELECT cache_drop_namespace('shop');
RELEASE s;
SELECT cache_create_namespace('shop');
SELECT cache_get('k', 'shop');
COMMIT;
SELECT cache_get('k', 'shop');
BEGIN;
SELECT cache_alter_namespace('shop', default_ttl => '1 hour');
SELECT cache_put('k', 'v', namespace => 'shop');
SELECT cache_expires_at('k', 'shop') < 'infinity';
ROLLBACK;
SELECT cache_put('k', 'v', namespace => 'shop');
SELECT cache_expires_at('k', 'shop');
DO $$
BEGIN
    PERFORM cache_create_namespace('caught');
    PERFORM cache_put('k', 'v', namespace => 'caught');
    RAISE EXCEPTION 'undo';
EXCEPTION WHEN raise_exception THEN
    BEGIN
        PERFORM cache_get('k', 'caught');
    EXCEPTION WHEN undefined_object THEN
        RAISE NOTICE '%', sqlerrm;
    END;
END $$;

-- Writing the catalog needs a transaction that may write; using it does not.
BEGIN READ ONLY;
SELECT cache_put('k', 'read only', namespace => 'shop');
SELECT cache_get('k', 'shop');
SAVEPOINT s;
SELECT cache_create_namespace('ro');
ROLLBACK TO s;
SELECT cache_alter_namespace('shop');
ROLLBACK TO s;
SELECT cache_drop_namespace('shop');
ROLLBACK TO s;
SELECT cache_grant('shop', 'public', 'read');
ROLLBACK TO s;
SELECT cache_revoke('shop', 'public', 'read');
ROLLBACK;

-- What is done to the table directly counts, too.
UPDATE cache_namespaces SET default_ttl = '1 hour' WHERE name = 'shop';
SELECT cache_put('k', 'v', namespace => 'shop');
SELECT cache_expires_at('k', 'shop') < 'infinity';
UPDATE cache_namespaces SET name = 'store' WHERE name = 'shop';
SELECT cache_get('k', 'store');
SELECT cache_get('k', 'shop');
UPDATE cache_namespaces SET readers = '{NULL}', writers = '{-}';
SELECT cache_get('k', 'store');
\set VERBOSITY sqlstate
UPDATE cache_namespaces SET ttl_jitter = 2;
\set VERBOSITY default
BEGIN;
TRUNCATE cache_namespaces;
SAVEPOINT s;
SELECT cache_get('k', 'store');
ROLLBACK;
SELECT cache_get('k', 'store');
DELETE FROM cache_namespaces;
SELECT cache_get('k', 'store');
INSERT INTO cache_namespaces (name, owner, readers, writers)
VALUES ('direct', current_user::regrole, '{}', '{}');
SELECT cache_put('k', 'v', namespace => 'direct');
SELECT cache_get('k', 'direct');
SELECT cache_drop_namespace('direct');

-- "default" gets a row when it is altered, and keeps its entries.
SELECT cache_get('k');
SELECT cache_alter_namespace('default', default_ttl => '1 hour');
SELECT cache_get('k');
SELECT id, name, readers, writers, default_ttl FROM cache_namespaces;
SELECT cache_put('k', 'v');
SELECT cache_expires_at('k') < 'infinity';
SELECT cache_alter_namespace('default', reset => '{default_ttl}');
SELECT cache_drop_namespace('default');

-- Slots are used again, also when there are many namespaces in turn ...
DO $$
BEGIN
    FOR i IN 1 .. current_setting('pg_cache.max_namespaces')::int + 10 LOOP
        PERFORM cache_create_namespace('turn');
        IF cache_get('k', 'turn') IS NOT NULL THEN
            RAISE WARNING 'a new namespace has an entry';
        END IF;
        PERFORM cache_add('k', i::text, namespace => 'turn');
        COMMIT;
        IF cache_get('k', 'turn') IS DISTINCT FROM i::text THEN
            RAISE WARNING 'entry % is missing', i;
        END IF;
        PERFORM cache_drop_namespace('turn');
        COMMIT;
    END LOOP;
END $$;

-- A transaction uses its own again at once, also what it rolls back.
BEGIN;
DO $$
BEGIN
    FOR i IN 1 .. current_setting('pg_cache.max_namespaces')::int LOOP
        PERFORM cache_create_namespace('churn');
        IF cache_get('k', 'churn') IS NOT NULL THEN
            RAISE EXCEPTION 'foreign entry';
        END IF;
        PERFORM cache_put('k', 'churn', namespace => 'churn');
        PERFORM cache_drop_namespace('churn');
    END LOOP;
    FOR i IN 1 .. current_setting('pg_cache.max_namespaces')::int LOOP
        BEGIN
            PERFORM cache_create_namespace('undone');
            IF cache_get('k', 'undone') IS NOT NULL THEN
                RAISE EXCEPTION 'foreign entry';
            END IF;
            PERFORM cache_put('k', 'undone', namespace => 'undone');
            RAISE division_by_zero;
        EXCEPTION WHEN division_by_zero THEN
            NULL;
        END;
    END LOOP;
END $$;
COMMIT;

-- A drop that is rolled back drops entries of that transaction at the most.
BEGIN;
SELECT cache_create_namespace('churn');
SELECT cache_put('k', 'v', namespace => 'churn');
SAVEPOINT s;
SELECT cache_drop_namespace('churn');
SELECT cache_create_namespace('other'), cache_put('k', 'of other', namespace => 'other');
ROLLBACK TO s;
SELECT cache_get('k', 'churn');
SELECT cache_put('k', 'w', namespace => 'churn');
COMMIT;
SELECT cache_get('k', 'churn');
SELECT cache_drop_namespace('churn');

-- ... and there is an error when too many are in use at once.
\set SHOW_CONTEXT never
CREATE TABLE in_use (name text);
DO $$
BEGIN
    FOR i IN 1 .. current_setting('pg_cache.max_namespaces')::int LOOP
        PERFORM cache_create_namespace('many' || i);
        COMMIT;
        PERFORM cache_add('k', 'of many' || i, namespace => 'many' || i);
        INSERT INTO in_use VALUES ('many' || i);
        COMMIT;
    END LOOP;
END $$;
SELECT count(*) > current_setting('pg_cache.max_namespaces')::int / 2 AS many,
    count(*) FILTER (WHERE cache_get('k', name) IS DISTINCT FROM 'of ' || name) AS wrong
FROM in_use;
-- A look-up that finds no slot reclaims those of namespaces whose rows are gone,
-- for the next transaction.
DELETE FROM cache_namespaces WHERE name LIKE 'many%';
SELECT cache_create_namespace('late');
DO $$
BEGIN
    PERFORM cache_put('k', 'v', namespace => 'late');
EXCEPTION WHEN configuration_limit_exceeded THEN
    NULL;
END $$;
SELECT cache_put('k', 'v', namespace => 'late');
SELECT cache_get('k', 'late'), cache_get('k');
SELECT cache_drop_namespace('late');
DROP TABLE in_use;

-- Dropping the extension frees all; undone, it frees nothing.
SELECT cache_create_namespace('shop');
SELECT cache_put('k', 'v', namespace => 'shop');
BEGIN;
DROP EXTENSION pg_cache;
ROLLBACK;
SELECT cache_get('k', 'shop'), cache_get('k');
DROP EXTENSION pg_cache;
SET client_min_messages = warning;
CREATE EXTENSION pg_cache;
RESET client_min_messages;
SELECT cache_get('k');
SELECT count(*) FROM cache_namespaces;
SELECT cache_put('k', 'v');
BEGIN;
DROP EXTENSION pg_cache;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION pg_cache;
SELECT cache_get('k');
SELECT cache_put('k', 'of the new one');
SELECT cache_get('k');
ROLLBACK;
SELECT cache_get('k');

SELECT * FROM cache_check();
DROP EXTENSION pg_cache;
