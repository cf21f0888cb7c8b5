-- Two tables, the Debian packages and what they depend on.
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off

CREATE EXTENSION pg_cache;

CREATE TABLE packages (
	package text NOT NULL,
	version text NOT NULL,
	section text,
	priority text,
	maintainer text,
	homepage text,
	installed_kb bigint,
	download_bytes bigint,
	summary text
);

CREATE TABLE depends (
	package text NOT NULL,
	target text NOT NULL,
	position int NOT NULL,		-- equal for the alternatives of one dependency
	alternative int NOT NULL,	-- from 1 on; the first is what apt prefers
	kind text NOT NULL,
	version text
);

COPY packages FROM :'packages';
COPY depends FROM :'depends';

ALTER TABLE packages ADD PRIMARY KEY (package);
ALTER TABLE depends ADD PRIMARY KEY (package, target);
CREATE INDEX ON depends (target);
VACUUM ANALYZE packages, depends;

SELECT
	(SELECT count(*) FROM packages) AS packages,
	(SELECT count(*) FROM depends) AS dependencies,
	pg_size_pretty(pg_total_relation_size('packages') +
				   pg_total_relation_size('depends')) AS "tables and indexes",
	current_setting('pg_cache.memory') AS "pg_cache.memory";
