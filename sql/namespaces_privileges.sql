-- Who may do what with a namespace.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_cache;
CREATE SCHEMA cachepriv;
CREATE EXTENSION pg_cache SCHEMA cachepriv;
RESET client_min_messages;
SET search_path = cachepriv;
CREATE ROLE regress_pgcache_super SUPERUSER;
CREATE ROLE regress_pgcache_alice;
CREATE ROLE regress_pgcache_bob;
CREATE ROLE regress_pgcache_team;
CREATE ROLE regress_pgcache_carol IN ROLE regress_pgcache_team;
GRANT USAGE ON SCHEMA cachepriv TO PUBLIC;

-- Creating needs CREATE on the extension's schema, reserving a superuser.
SET ROLE regress_pgcache_alice;
SELECT cache_create_namespace('hers');
RESET ROLE;
GRANT CREATE ON SCHEMA cachepriv TO regress_pgcache_alice;
SET ROLE regress_pgcache_alice;
SELECT cache_create_namespace('hers', min_bytes => 1);
SELECT cache_create_namespace('hers', min_bytes => 0);
SELECT name, owner, readers, writers FROM cache_namespaces;
SELECT cache_put('k', 'v', namespace => 'hers');
SELECT cache_alter_namespace('hers', min_bytes => 1);
SELECT cache_alter_namespace('hers', max_entries => 100);

-- The table is there to be read.
INSERT INTO cache_namespaces (name, owner, readers, writers)
VALUES ('x', current_user::regrole, '{}', '{}');
UPDATE cache_namespaces SET owner = current_user::regrole;
DELETE FROM cache_namespaces;
SELECT nextval('cache_namespaces_id_seq');
CREATE TEMP TABLE t ();
CREATE TRIGGER t AFTER INSERT ON t
FOR EACH STATEMENT EXECUTE FUNCTION cache_namespaces_changed();
DROP TABLE t;

-- Others have no privileges until they are granted one.
SET ROLE regress_pgcache_bob;
SELECT cache_get('k', 'hers');
SELECT cache_exists('k', 'hers');
SELECT cache_put('k', 'v', namespace => 'hers');
SELECT cache_delete('k', 'hers');
SELECT cache_clear('hers');
SELECT cache_alter_namespace('hers', max_entries => 1);
SELECT cache_grant('hers', 'regress_pgcache_bob', 'read');
SELECT cache_revoke('hers', 'regress_pgcache_alice', 'read');
SELECT cache_drop_namespace('hers');
SELECT count(*) FROM cache_entries;

-- Read.
SET ROLE regress_pgcache_alice;
SELECT cache_grant('hers', 'regress_pgcache_bob', 'read');
SELECT cache_grant('hers', 'regress_pgcache_bob', 'read');
SELECT readers, writers FROM cache_namespaces WHERE name = 'hers';
SET ROLE regress_pgcache_bob;
SELECT cache_get('k', 'hers');
SELECT cache_put('k', 'v', namespace => 'hers');
SELECT count(*) FROM cache_entries;

-- Write, which is not read.
SET ROLE regress_pgcache_alice;
SELECT cache_revoke('hers', 'regress_pgcache_bob', 'read');
SELECT cache_grant('hers', 'regress_pgcache_bob', 'write');
SET ROLE regress_pgcache_bob;
SELECT cache_get('k', 'hers');
SELECT cache_put('k', 'of bob', namespace => 'hers');
SET ROLE regress_pgcache_alice;
SELECT cache_get('k', 'hers');

-- PUBLIC.
SELECT cache_grant('hers', 'public', 'read');
SELECT readers, writers FROM cache_namespaces WHERE name = 'hers';
SET ROLE regress_pgcache_carol;
SELECT cache_get('k', 'hers');
SELECT cache_put('k', 'v', namespace => 'hers');
SET ROLE regress_pgcache_alice;
SELECT cache_revoke('hers', 'public', 'read');
SET ROLE regress_pgcache_carol;
SELECT cache_get('k', 'hers');

-- By membership, which takes effect at once, and ends at once.
SET ROLE regress_pgcache_alice;
SELECT cache_grant('hers', 'regress_pgcache_team', 'read');
SET ROLE regress_pgcache_carol;
SELECT cache_get('k', 'hers');
RESET ROLE;
REVOKE regress_pgcache_team FROM regress_pgcache_carol;
SET ROLE regress_pgcache_carol;
SELECT cache_get('k', 'hers');
RESET ROLE;
GRANT regress_pgcache_alice TO regress_pgcache_carol;
SET ROLE regress_pgcache_carol;
SELECT cache_get('k', 'hers');
SELECT cache_alter_namespace('hers', max_entries => 99);
RESET ROLE;
REVOKE regress_pgcache_alice FROM regress_pgcache_carol;

-- A security definer function uses its owner's privileges, and its caller goes
-- on without them.
CREATE FUNCTION cachepriv.peek() RETURNS text LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT cachepriv.cache_get('k', 'hers') $$;
ALTER FUNCTION peek() OWNER TO regress_pgcache_alice;
SET ROLE regress_pgcache_carol;
SELECT peek();
SELECT cache_get('k', 'hers');
SELECT peek(), cache_get('k', 'hers');

-- A role that is dropped leaves its number, which can be revoked and goes with
-- the next change in any case.
RESET ROLE;
CREATE ROLE regress_pgcache_passing;
SET ROLE regress_pgcache_alice;
SELECT cache_grant('hers', 'regress_pgcache_passing', 'read'), cache_grant('hers', 'regress_pgcache_passing', 'write');
SELECT 'regress_pgcache_passing'::regrole::oid AS passing \gset
SELECT cache_revoke('hers', :'passing', 'write');
SELECT readers, writers FROM cache_namespaces WHERE name = 'hers';
RESET ROLE;
DROP ROLE regress_pgcache_passing;
SET ROLE regress_pgcache_alice;
SELECT DISTINCT name, role = :passing AS passing
FROM cache_namespaces, unnest(readers || writers || owner) AS role
WHERE role <> 0 AND role NOT IN (SELECT oid FROM pg_roles);
SELECT cache_revoke('hers', :'passing', 'read');
SELECT readers, writers FROM cache_namespaces WHERE name = 'hers';
SELECT cache_revoke('hers', '0', 'read');
SELECT cache_revoke('hers', '', 'read');
RESET ROLE;
CREATE ROLE regress_pgcache_passing;
SET ROLE regress_pgcache_alice;
SELECT cache_grant('hers', 'regress_pgcache_passing', 'read');
RESET ROLE;
DROP ROLE regress_pgcache_passing;
SET ROLE regress_pgcache_alice;
SELECT cache_alter_namespace('hers', max_entries => 99);
SELECT readers, writers FROM cache_namespaces WHERE name = 'hers';

-- What to grant, and to whom.
SET ROLE regress_pgcache_alice;
SELECT cache_grant('hers', 'regress_pgcache_bob', 'READ');
SELECT cache_grant('hers', 'regress_pgcache_bob', 'all');
SELECT cache_grant('hers', 'regress_pgcache_nobody', 'read');
SELECT cache_revoke('hers', 'regress_pgcache_nobody', 'read');
SELECT cache_revoke('hers', 'regress_pgcache_bob', 'everything');

-- "default" belongs to the extension's owner and is open until it is revoked.
SET ROLE regress_pgcache_bob;
SELECT cache_put('k', 'v');
SELECT cache_get('k');
SELECT cache_alter_namespace('default', max_entries => 1);
SELECT cache_revoke('default', 'public', 'write');
SELECT cache_drop_namespace('default');
SELECT cache_clear(NULL);

-- The owner of the database may clear all of it.
RESET ROLE;
SELECT current_database() AS db, current_user AS me \gset
ALTER DATABASE :"db" OWNER TO regress_pgcache_bob;
SET ROLE regress_pgcache_bob;
SELECT cache_put('k', 'v'), cache_clear();
SELECT cache_get('k') IS NULL AS cleared;
RESET ROLE;
ALTER DATABASE :"db" OWNER TO :"me";
SET ROLE regress_pgcache_bob;
SELECT cache_put('k', 'v'), cache_clear();
SELECT cache_put('k', 'v'), cache_put('k', 'of bob', namespace => 'hers');
RESET ROLE;
SELECT cache_revoke('default', 'public', 'write');
SELECT id, name, owner = current_user::regrole AS own, readers, writers
FROM cache_namespaces WHERE name = 'default';
SET ROLE regress_pgcache_bob;
SELECT cache_get('k');
SELECT cache_put('k', 'v');
RESET ROLE;
SELECT cache_revoke('default', 'public', 'read');
SET ROLE regress_pgcache_bob;
SELECT cache_get('k');
RESET ROLE;
SELECT cache_grant('default', 'public', 'read'), cache_grant('default', 'public', 'write');
SET ROLE regress_pgcache_bob;
SELECT cache_get('k');

-- A superuser may do everything; a namespace without owner is theirs alone.
SET ROLE regress_pgcache_super;
SELECT cache_get('k', 'hers');
SELECT cache_alter_namespace('hers', min_bytes => 1000);
SET ROLE regress_pgcache_alice;
SELECT cache_alter_namespace('hers', max_entries => 98);
SELECT cache_alter_namespace('hers', reset => '{min_bytes}');
RESET ROLE;
SELECT cache_revoke('hers', 'regress_pgcache_team', 'read');
DROP OWNED BY regress_pgcache_alice;
DROP ROLE regress_pgcache_alice;
SELECT owner::text ~ '^[0-9]+$' AS number, writers
FROM cache_namespaces WHERE name = 'hers';
SET ROLE regress_pgcache_bob;
SELECT cache_put('k', 'of bob', namespace => 'hers');
SELECT cache_drop_namespace('hers');
SET ROLE regress_pgcache_super;
SELECT cache_get('k', 'hers');
SELECT cache_grant('hers', 'public', 'read');
SELECT cache_drop_namespace('hers');

RESET ROLE;
SELECT * FROM cache_check();
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA cachepriv CASCADE;
RESET client_min_messages;
DROP ROLE regress_pgcache_super, regress_pgcache_bob, regress_pgcache_team,
    regress_pgcache_carol;
