-- Watched tables: changes of rows, and what changes no rows one by one.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_cache CASCADE;
CREATE EXTENSION pg_cache;
CREATE ROLE regress_pgcache_owner;
CREATE ROLE regress_pgcache_other;
GRANT CREATE, USAGE ON SCHEMA public TO regress_pgcache_owner, regress_pgcache_other;
RESET client_min_messages;

-- Puts keys, each with its own name as a tag, and commits; then live() tells
-- which of them are left.
CREATE FUNCTION fill(VARIADIC keys text[]) RETURNS void LANGUAGE sql AS
$$ SELECT cache_put(key, 'v', tags => ARRAY['tag of ' || key, 'all']) FROM unnest(keys) AS key $$;
CREATE FUNCTION live(VARIADIC keys text[]) RETURNS text LANGUAGE sql AS
$$ SELECT coalesce(string_agg(key, ' ' ORDER BY key COLLATE "C") FILTER (WHERE cache_exists(key)), '-')
   FROM unnest(keys) AS key $$;

CREATE TABLE users (id int PRIMARY KEY, name text, note text);
INSERT INTO users SELECT n, 'name ' || n FROM generate_series(1, 5) AS n;
SELECT cache_watch_table('users', 'user:{id}', ARRAY['name:{name}', 'users']);
SELECT * FROM cache_watches;

---- Rows ----

SELECT fill('user:1', 'user:2', 'user:3', 'user:4', 'user:9', 'other');
UPDATE users SET note = 'x' WHERE id = 1;
SELECT live('user:1', 'user:2', 'user:3', 'user:4', 'user:9', 'other');
-- the key moves: old and new
UPDATE users SET id = 9 WHERE id = 2;
SELECT live('user:1', 'user:2', 'user:3', 'user:4', 'user:9', 'other');
DELETE FROM users WHERE id = 3;
SELECT live('user:1', 'user:2', 'user:3', 'user:4', 'user:9', 'other');
SELECT fill('user:3', 'user:1', 'user:2');
INSERT INTO users VALUES (3, 'name 3');
SELECT live('user:1', 'user:2', 'user:3', 'user:4', 'user:9', 'other');
-- a change of nothing
UPDATE users SET note = 'x' WHERE id = 99;
SELECT live('user:1', 'user:2', 'user:3', 'user:4', 'user:9', 'other');

-- tags of the old and of the new row
SELECT cache_put('a', 'v', tags => '{name:name 1}'), cache_put('b', 'v', tags => '{name:new}'),
       cache_put('c', 'v', tags => '{name:name 4}'), cache_put('d', 'v', tags => '{users}');
UPDATE users SET name = 'new' WHERE id = 1;
SELECT live('a', 'b', 'c', 'd');

-- other ways
SELECT fill('user:1', 'user:4', 'user:5', 'user:9', 'user:10', 'user:11', 'user:12');
INSERT INTO users VALUES (1, 'one'), (10, 'ten') ON CONFLICT (id) DO UPDATE SET name = excluded.name;
SELECT live('user:1', 'user:4', 'user:5', 'user:9', 'user:10', 'user:11', 'user:12');
MERGE INTO users USING (VALUES (4), (11)) AS new (id) ON users.id = new.id
WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (new.id, 'merged');
SELECT live('user:1', 'user:4', 'user:5', 'user:9', 'user:10', 'user:11', 'user:12');
COPY users FROM stdin;
12	copied	\N
\.
SELECT live('user:1', 'user:4', 'user:5', 'user:9', 'user:10', 'user:11', 'user:12');
WITH gone AS (DELETE FROM users WHERE id = 5 RETURNING id) SELECT * FROM gone;
SELECT live('user:1', 'user:4', 'user:5', 'user:9', 'user:10', 'user:11', 'user:12');
EXPLAIN (ANALYZE) UPDATE users SET note = 'y' WHERE id = 99 \g /dev/null
DO $$ BEGIN UPDATE users SET note = 'y' WHERE id = 9; END $$;
SELECT live('user:1', 'user:4', 'user:5', 'user:9', 'user:10', 'user:11', 'user:12');

-- as logical replication does it
SELECT fill('user:9');
SET session_replication_role = replica;
UPDATE users SET note = 'z' WHERE id = 9;
RESET session_replication_role;
SELECT live('user:9');

-- foreign keys
CREATE TABLE teams (id int PRIMARY KEY);
INSERT INTO teams VALUES (1), (2);
CREATE TABLE members (team int REFERENCES teams ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO members VALUES (1), (2);
SELECT cache_watch_table('members', 'team:{team}');
SELECT fill('team:1', 'team:2', 'team:3');
DELETE FROM teams WHERE id = 1;
SELECT live('team:1', 'team:2', 'team:3');
UPDATE teams SET id = 3;
SELECT live('team:1', 'team:2', 'team:3');

---- Transactions ----

SELECT fill('user:9', 'user:10', 'user:11');
BEGIN;
UPDATE users SET note = 'a' WHERE id = 9;
SELECT live('user:9', 'user:10', 'user:11');
ROLLBACK;
SELECT live('user:9', 'user:10', 'user:11');
BEGIN;
SAVEPOINT s;
UPDATE users SET note = 'a' WHERE id = 9;
ROLLBACK TO s;
UPDATE users SET note = 'a' WHERE id = 10;
SAVEPOINT s2;
UPDATE users SET note = 'a' WHERE id = 11;
RELEASE s2;
COMMIT;
SELECT live('user:9', 'user:10', 'user:11');
-- what is put after the change stays
BEGIN;
UPDATE users SET note = 'b' WHERE id = 9;
SELECT fill('user:9');
COMMIT;
SELECT live('user:9');
-- what is put before it does not
BEGIN;
SELECT fill('user:9');
UPDATE users SET note = 'b' WHERE id = 9;
COMMIT;
SELECT live('user:9');
-- table dependencies are transactional, whatever the setting
SELECT fill('user:9');
SET pg_cache.transactional = off;
BEGIN;
UPDATE users SET note = 'c' WHERE id = 9;
ROLLBACK;
RESET pg_cache.transactional;
SELECT live('user:9');
-- counted apart
SELECT cache_reset_stats();
SELECT fill('user:9', 'user:10');
UPDATE users SET note = 'c' WHERE id IN (9, 10);
SELECT invalidations_table > 0, deletes, invalidations_tag, invalidations_pattern FROM cache_stats;

---- What fires no row trigger ----

SELECT fill('user:9', 'user:77', 'usher:1', 'other'), cache_put('t', 'v', tags => '{name:77}'),
       cache_put('u', 'v', tags => '{users}'), cache_put('n', 'v', tags => '{names}');
TRUNCATE users;
SELECT live('user:9', 'user:77', 'usher:1', 'other', 't', 'u', 'n');
BEGIN;
SELECT fill('user:9');
TRUNCATE users;
SELECT live('user:9');
ROLLBACK;
BEGIN;
TRUNCATE users;
SELECT fill('user:9');
COMMIT;
SELECT live('user:9');
BEGIN;
SAVEPOINT s;
TRUNCATE users;
ROLLBACK TO s;
COMMIT;
SELECT live('user:9');

ALTER TABLE users ALTER COLUMN note TYPE int USING 1;
SELECT live('user:9');
SELECT fill('user:9');
ALTER TABLE users ADD COLUMN more int DEFAULT 1;
SELECT live('user:9');
SELECT fill('user:9');
ALTER TABLE users DROP COLUMN more;
SELECT live('user:9');
SELECT fill('user:9');
ALTER TABLE users DISABLE TRIGGER ALL;
SELECT live('user:9');
INSERT INTO users VALUES (9, 'unseen');
SELECT fill('user:9');
ALTER TABLE users ENABLE TRIGGER ALL;
SELECT live('user:9');
-- that would no longer fire always; watching again mends it
SELECT tgname LIKE '%truncate', tgenabled FROM pg_trigger WHERE tgrelid = 'users'::regclass ORDER BY 1;
SELECT cache_watch_table('users', 'user:{id}', ARRAY['name:{name}', 'users', 'users']);
SELECT tgname LIKE '%truncate', tgenabled FROM pg_trigger WHERE tgrelid = 'users'::regclass ORDER BY 1;
-- an index or statistics change nothing
SELECT fill('user:9');
CREATE INDEX ON users (name);
ANALYZE users;
SELECT live('user:9');
-- a column with another name is unknown; nothing is missed
ALTER TABLE users RENAME COLUMN id TO number;
SELECT fill('user:9', 'user:10');
INSERT INTO users VALUES (20);
SELECT live('user:9', 'user:10');
ALTER TABLE users RENAME COLUMN number TO id;
SELECT fill('user:9', 'user:10');
INSERT INTO users VALUES (10);
SELECT live('user:9', 'user:10');
SELECT fill('user:9');
DROP TABLE users;
SELECT live('user:9');

---- Partitions ----

CREATE TABLE parted (id int, place int, name text) PARTITION BY LIST (place);
CREATE TABLE parted1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted2 (name text, gone int, place int, id int);
ALTER TABLE parted2 DROP COLUMN gone;
INSERT INTO parted2 VALUES ('two', 2, 2);
SELECT cache_watch_table('parted', 'p:{id}');
SELECT * FROM cache_watches WHERE rel = 'parted'::regclass;
SELECT fill('p:1', 'p:2', 'p:3');
ALTER TABLE parted ATTACH PARTITION parted2 FOR VALUES IN (2);
SELECT live('p:1', 'p:2', 'p:3');
SELECT fill('p:1', 'p:2', 'p:3', 'p:4');
INSERT INTO parted VALUES (1, 1);
SELECT live('p:1', 'p:2', 'p:3', 'p:4');
UPDATE parted SET name = 'second' WHERE id = 2;
SELECT live('p:1', 'p:2', 'p:3', 'p:4');
INSERT INTO parted2 (id, place) VALUES (3, 2);
SELECT live('p:1', 'p:2', 'p:3', 'p:4');
-- a row moves to another partition
SELECT fill('p:1', 'p:2', 'p:3');
UPDATE parted SET place = 2 WHERE id = 1;
SELECT live('p:1', 'p:2', 'p:3', 'p:4');
SELECT fill('p:1');
TRUNCATE parted1;
SELECT live('p:1', 'p:4');
SELECT fill('p:1', 'p:4');
TRUNCATE parted;
SELECT live('p:1', 'p:4');
BEGIN;
TRUNCATE parted2;
SELECT fill('p:1');
COMMIT;
SELECT live('p:1');
CREATE TABLE parted3 PARTITION OF parted FOR VALUES IN (3);
SELECT live('p:1');
SELECT fill('p:1');
ALTER TABLE parted DETACH PARTITION parted2;
SELECT live('p:1');
SELECT fill('p:1');
INSERT INTO parted2 (id, place) VALUES (1, 2);
SELECT live('p:1');
SELECT fill('p:1');
DROP TABLE parted3;
SELECT live('p:1');
SELECT fill('p:1');
ALTER TABLE parted DETACH PARTITION parted1 CONCURRENTLY;
SELECT live('p:1');
SELECT cache_watch_table('parted1', 'p:{id}');
ALTER TABLE parted ATTACH PARTITION parted1 FOR VALUES IN (1);
SELECT rel, key FROM cache_watches WHERE key = 'p:{id}' ORDER BY rel::text;
SELECT cache_unwatch_table('parted1');
SELECT cache_unwatch_table('parted1');
SELECT fill('p:1');
SELECT cache_unwatch_table('parted');
SELECT live('p:1');
SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('parted'::regclass, 'parted1'::regclass);
DROP TABLE parted, parted2;

---- Inheritance ----

CREATE TABLE parent (id int);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE grandchild () INHERITS (child);
SELECT cache_watch_table('parent', 'i:{id}');
SELECT rel, key FROM cache_watches WHERE key = 'i:{id}' ORDER BY rel::text;
SELECT fill('i:1', 'i:2');
INSERT INTO grandchild VALUES (1);
SELECT live('i:1', 'i:2');
TRUNCATE grandchild;
SELECT live('i:1', 'i:2');
-- children that come and go
SELECT fill('i:1');
CREATE TABLE late () INHERITS (parent);
SELECT live('i:1');
SELECT fill('i:1', 'i:2');
INSERT INTO late VALUES (1);
SELECT live('i:1', 'i:2');
ALTER TABLE late NO INHERIT parent;
SELECT live('i:1', 'i:2');
SELECT fill('i:1');
SELECT fill('i:1');
CREATE TABLE later (id int);
CREATE TABLE latest () INHERITS (later);
ALTER TABLE later OWNER TO regress_pgcache_owner;
BEGIN;
ALTER TABLE late INHERIT parent;
ALTER TABLE later INHERIT parent;
SELECT live('i:1');
INSERT INTO latest VALUES (1);
SAVEPOINT s;
CREATE TABLE never () INHERITS (parent);
ROLLBACK TO s;
CREATE TABLE dropped () INHERITS (parent);
DROP TABLE dropped;
COMMIT;
SELECT live('i:1');
SELECT rel, key FROM cache_watches WHERE key = 'i:{id}' ORDER BY rel::text;
SELECT fill('i:1', 'i:2', 'i:3', 'i:4');
INSERT INTO latest VALUES (1);
UPDATE parent SET id = 3 WHERE id = 1;
INSERT INTO later VALUES (4);
SELECT live('i:1', 'i:2', 'i:3', 'i:4');
DROP TABLE latest;
SELECT live('i:2');
ALTER TABLE later NO INHERIT parent;
SELECT cache_unwatch_table('later');
DROP TABLE later;
-- a child's own watch stays, and so does what it has from another parent
CREATE TABLE parent2 (id int);
ALTER TABLE late INHERIT parent2;
SELECT cache_watch_table('parent2', 'i:{id}');
SELECT cache_watch_table('child', 'i:{id}');
SELECT cache_unwatch_table('parent');
SELECT rel, key FROM cache_watches WHERE key = 'i:{id}' ORDER BY rel::text;
SELECT cache_unwatch_table('child');
SELECT cache_unwatch_table('parent2');
SELECT rel, key FROM cache_watches WHERE key = 'i:{id}' ORDER BY rel::text;
DROP TABLE parent, parent2, child, grandchild, late;

---- Values ----

CREATE TYPE mood AS ENUM ('good', 'so so');
CREATE DOMAIN moment AS timestamptz;
CREATE TABLE vals (
    i int, b bigint, t text, v varchar, n numeric, u uuid, m mood, o boolean, d date,
    ts timestamp, tz timestamptz, dm moment, iv interval, f float8, by bytea, rc regclass,
    a int[], ta timestamptz[], "Odd {name}" int, "Odd name" int);
SELECT cache_watch_table('vals', '{i}|{b}|{t}|{v}|{n}|{u}|{m}|{o}', namespace => 'default');
SELECT cache_watch_table('vals', '{d}|{ts}|{tz}|{dm}|{iv}|{f}|{by}|{rc}|{a}|{ta}|{Odd name}');
SELECT cache_put('-1|2|täxt|var|1.50|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|so so|t', 'v');
SELECT cache_put('2024-02-01|2024-02-01 10:00:00|2024-02-01 09:00:00+00|2024-02-01 09:00:00+00|1 day 02:00:00|0.1|\xff00|pg_catalog.pg_class|{1,2}|{"2024-02-01 09:00:00+00"}|7', 'v');
SELECT count(*) FROM cache_entries WHERE key LIKE '%|%|%';
SET DateStyle = 'German, DMY';
SET IntervalStyle = 'sql_standard';
SET extra_float_digits = -10;
SET bytea_output = escape;
SET TimeZone = 'Europe/Berlin';
INSERT INTO vals (i, b, t, v, n, u, m, o, d, ts, tz, dm, iv, f, by, rc, a, ta, "Odd name")
VALUES (-1, 2, 'täxt', 'var', 1.50, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'so so', true, '1.2.2024',
        '1.2.2024 10:00', '1.2.2024 10:00', '1.2.2024 10:00', '26 hours'::interval - '24 hours' + '1 day', 0.1,
        '\377\000', 'pg_class', '{1,2}', '{1.2.2024 10:00}', 7);
SHOW DateStyle;
SHOW TimeZone;
SHOW bytea_output;
RESET DateStyle;
RESET IntervalStyle;
RESET extra_float_digits;
RESET bytea_output;
RESET TimeZone;
SELECT key FROM cache_entries WHERE key LIKE '%|%|%';
DROP TABLE vals;
DROP TYPE mood;
DROP DOMAIN moment;

-- NULL, and what is too short or too long to be cached under
CREATE TABLE texts (id int, t text);
SELECT cache_watch_table('texts', '{t}', ARRAY['{t}', 'n:{id}']);
SELECT cache_put('x', 'v', tags => '{n:1}'), cache_put(repeat('x', 1024), 'v', tags => '{n:2}'), cache_put('n:', 'v', tags => '{n:}');
INSERT INTO texts VALUES (NULL, NULL);
INSERT INTO texts VALUES (NULL, ''), (NULL, repeat('y', 1025)), (NULL, repeat('x', 1025));
SELECT live('x', repeat('x', 1024), 'n:') = 'n: x ' || repeat('x', 1024);
INSERT INTO texts VALUES (1, NULL);
SELECT live('x', 'n:');
INSERT INTO texts VALUES (NULL, repeat('x', 1024));
SELECT live(repeat('x', 1024));
SELECT cache_put('y', 'v', tags => ARRAY[repeat('ä', 31)]);
INSERT INTO texts VALUES (NULL, repeat('ä', 32));
SELECT live('y');
INSERT INTO texts VALUES (NULL, repeat('ä', 31));
SELECT live('y');
DROP TABLE texts;

-- braces, wildcards of LIKE
CREATE TABLE odd (id int);
SELECT cache_watch_table('odd', '{{a_%\}}{id}');
SELECT cache_put('{a_%\}1', 'v'), cache_put('{a_%\}2', 'v'), cache_put('{abc\}1', 'v'), cache_put('{a_%}1', 'v');
INSERT INTO odd VALUES (1);
SELECT live('{a_%\}1', '{a_%\}2', '{abc\}1', '{a_%}1');
TRUNCATE odd;
SELECT live('{a_%\}1', '{a_%\}2', '{abc\}1', '{a_%}1');
SELECT cache_unwatch_table('odd');
-- without columns
SELECT cache_watch_table('odd', 'the odd', '{odd}');
SELECT cache_put('the odd', 'v'), cache_put('x', 'v', tags => '{odd}'), cache_put('the odd one', 'v');
INSERT INTO odd VALUES (2);
SELECT live('the odd', 'x', 'the odd one');
SELECT cache_put('the odd', 'v'), cache_put('x', 'v', tags => '{odd}');
TRUNCATE odd;
SELECT live('the odd', 'x', 'the odd one');
-- neither key nor tag; several watches
SELECT cache_watch_table('odd');
SELECT cache_watch_table('odd', 'odd:{id}');
SELECT key, tags FROM cache_watches WHERE rel = 'odd'::regclass ORDER BY key;
SELECT fill('odd:1', 'the odd');
INSERT INTO odd VALUES (1);
SELECT live('odd:1', 'the odd');
SELECT cache_unwatch_table('odd');
SELECT * FROM cache_watches WHERE rel = 'odd'::regclass;
SELECT fill('odd:1', 'the odd');
INSERT INTO odd VALUES (1);
SELECT live('odd:1', 'the odd');

---- Errors ----

\set VERBOSITY sqlstate
SELECT cache_unwatch_table('odd');
SELECT cache_watch_table(NULL);
SELECT cache_watch_table(0);
SELECT cache_watch_table('odd', namespace => NULL);
SELECT cache_watch_table('odd', 'k:{no}');
SELECT cache_watch_table('odd', 'k:{ID}');
SELECT cache_watch_table('odd', 'k:{ctid}');
SELECT cache_watch_table('odd', tags => '{x,"{no}"}');
SELECT cache_watch_table('odd', 'k:{id');
SELECT cache_watch_table('odd', 'k:}');
SELECT cache_watch_table('odd', '{}');
SELECT cache_watch_table('odd', tags => '{"{"}');
SELECT cache_watch_table('odd', '');
SELECT cache_watch_table('odd', tags => '{""}');
SELECT cache_watch_table('odd', tags => '{NULL}');
SELECT cache_watch_table('odd', repeat('x', 1025));
SELECT cache_watch_table('odd', tags => ARRAY[repeat('x', 64) || '{id}']);
SELECT cache_watch_table('odd', tags => (SELECT array_agg('t' || n) FROM generate_series(1, 17) AS n));
SELECT cache_watch_table('odd', 'k', namespace => 'nowhere');
SELECT cache_watch_table('odd', 'k', namespace => '');
CREATE VIEW a_view AS SELECT * FROM odd;
SELECT cache_watch_table('a_view', 'k');
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM odd;
SELECT cache_watch_table('a_matview', 'k');
CREATE SEQUENCE a_sequence;
SELECT cache_watch_table('a_sequence', 'k');
CREATE TEMP TABLE a_temp (id int);
SELECT cache_watch_table('a_temp', 'k');
SELECT cache_watch_table('pg_class', 'k');
SELECT cache_unwatch_table('pg_class');
BEGIN READ ONLY;
SELECT cache_watch_table('odd', 'k');
ROLLBACK;
SELECT cache_watch_trigger();
\set VERBOSITY default
SELECT cache_watch_table('odd', 'k:{no}');
SELECT cache_watch_table('odd', 'k:{id');
SELECT cache_unwatch_table('odd');
SELECT cache_watch_table('a_view', 'k');
DROP VIEW a_view;
DROP MATERIALIZED VIEW a_matview;
DROP SEQUENCE a_sequence;

---- Privileges ----

SELECT cache_create_namespace('closed');
SET ROLE regress_pgcache_owner;
CREATE TABLE owned (id int);
GRANT ALL ON owned TO regress_pgcache_other;
SELECT cache_watch_table('owned', 'k', namespace => 'closed');
SELECT cache_watch_table('owned', 'owned:{id}');
SELECT cache_create_namespace('mine');
RESET ROLE;
GRANT CREATE ON SCHEMA public TO regress_pgcache_owner;
-- whoever may create triggers on somebody's table may not act as him
SET ROLE regress_pgcache_other;
SELECT cache_watch_table('owned', 'k');
SELECT cache_unwatch_table('owned');
CREATE TRIGGER t AFTER INSERT ON owned FOR EACH ROW EXECUTE FUNCTION cache_watch_trigger('k', '{}', 'default');
RESET ROLE;
-- the watch acts with the rights of the owner, not of who changes the table
SELECT cache_watch_table('owned', 'k', namespace => 'closed');
SELECT cache_grant('closed', 'regress_pgcache_owner', 'write');
SELECT cache_watch_table('owned', 'c:{id}', namespace => 'closed');
SELECT cache_put('c:1', 'v', namespace => 'closed'), cache_put('c:2', 'v', namespace => 'closed');
SET ROLE regress_pgcache_other;
INSERT INTO owned VALUES (1);
RESET ROLE;
SELECT cache_get('c:1', 'closed'), cache_get('c:2', 'closed');
-- without them the table can be changed all the same
SELECT cache_revoke('closed', 'regress_pgcache_owner', 'write');
SELECT cache_put('c:1', 'v', namespace => 'closed');
INSERT INTO owned VALUES (1), (1);
SELECT cache_get('c:1', 'closed'), cache_get('c:2', 'closed');
-- and without the namespace
SELECT cache_drop_namespace('closed');
INSERT INTO owned VALUES (1);
TRUNCATE owned;
DROP TABLE owned;

-- triggers made by hand
CREATE TABLE hand (id int);
\set VERBOSITY sqlstate
CREATE TRIGGER t AFTER INSERT ON hand FOR EACH ROW EXECUTE FUNCTION cache_watch_trigger();
CREATE TRIGGER t AFTER INSERT ON hand FOR EACH ROW EXECUTE FUNCTION cache_watch_trigger('k:{', '{}', 'default');
CREATE TRIGGER t AFTER INSERT ON hand FOR EACH ROW EXECUTE FUNCTION cache_watch_trigger('k', '{"{"}', 'default');
CREATE TRIGGER t AFTER INSERT ON hand FOR EACH ROW EXECUTE FUNCTION cache_watch_trigger('k', 'x', 'default');
CREATE TRIGGER t BEFORE INSERT ON hand FOR EACH ROW EXECUTE FUNCTION cache_watch_trigger('k', '{}', 'default');
INSERT INTO hand VALUES (1);
DROP TRIGGER t ON hand;
\set VERBOSITY default
CREATE TRIGGER t AFTER INSERT ON hand EXECUTE FUNCTION cache_watch_trigger('hand:{id}', '{}', 'default');
SELECT fill('hand:1', 'x');
INSERT INTO hand VALUES (2);
SELECT live('hand:1', 'x');
DROP TABLE hand;

-- many rows
CREATE TABLE many (id int, t text);
SELECT cache_watch_table('many', 'many:{id}', ARRAY['many', 'many {t}']);
SELECT cache_put_many(array_agg('many:' || n), array_agg('v'::text)) FROM generate_series(1, 2000) AS n;
INSERT INTO many SELECT n, 't' || n % 10 FROM generate_series(1, 1999) AS n;
SELECT cache_get('many:1'), cache_get('many:1999');
UPDATE many SET t = t || 'x';
DELETE FROM many;
SELECT * FROM cache_check();

---- The extension goes ----

DROP FUNCTION fill, live;
SELECT cache_watch_table('odd', 'k:{id}');
CREATE TABLE parted (id int) PARTITION BY LIST (id);
CREATE TABLE parted1 PARTITION OF parted FOR VALUES IN (1);
SELECT cache_watch_table('parted', 'k:{id}');
SELECT cache_put('k:1', 'v');
DROP EXTENSION pg_cache;
SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('odd'::regclass, 'many'::regclass, 'parted'::regclass, 'parted1'::regclass);
INSERT INTO odd VALUES (1);
INSERT INTO parted VALUES (1);

SET client_min_messages = warning;
DROP TABLE odd, many, parted, teams, members;
DROP OWNED BY regress_pgcache_owner, regress_pgcache_other;
DROP ROLE regress_pgcache_owner, regress_pgcache_other;
CREATE EXTENSION pg_cache;
RESET client_min_messages;
