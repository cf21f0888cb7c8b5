-- Two queries worth caching, and how they are cached.
\set ON_ERROR_STOP on
\set QUIET on

-- A web page of a package as JSON: what it is, what it needs, and how much
-- would be installed with it; NULL if there is no such package.
CREATE FUNCTION page(name text) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN (
		SELECT jsonb_build_object(
			'package', p.package,
			'version', p.version,
			'section', p.section,
			'maintainer', p.maintainer,
			'homepage', p.homepage,
			'summary', p.summary,
			'needs', (
				SELECT jsonb_agg(jsonb_build_object(
							'package', d.target,
							'version', d.version,
							'summary', t.summary)
						ORDER BY d.position, d.alternative)
				FROM depends d LEFT JOIN packages t ON t.package = d.target
				WHERE d.package = p.package),
			'needed_by', (
				SELECT count(*) FROM depends d WHERE d.target = p.package),
			'installs', (
				WITH RECURSIVE wanted(package) AS (
					SELECT p.package
					UNION
					SELECT d.target FROM depends d JOIN wanted USING (package)
					WHERE d.alternative = 1)
				SELECT jsonb_build_object('packages', count(*),
										  'kb', sum(t.installed_kb))
				FROM wanted JOIN packages t USING (package)))
		FROM packages p
		WHERE p.package = name);
END
$$;

-- How many packages would have to go with this one: all that need it, and all
-- that need those.
CREATE FUNCTION dependents(name text) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN (
		WITH RECURSIVE gone(package) AS (
			SELECT name
			UNION
			SELECT d.package FROM depends d JOIN gone ON d.target = gone.package)
		SELECT count(*) - 1 FROM gone);
END
$$;

-- A namespace keeps the two kinds of values apart: the key is the package's
-- name in both.  Statistics, time to live, quotas and privileges go by
-- namespace, too.  Dependents are small and take long to find, so they have
-- priority: pages make room first.
SELECT cache_create_namespace('pages', default_ttl => '1 hour');
SELECT cache_create_namespace('dependents', default_ttl => '1 day', priority => 1);

-- This is all that caching takes: get; if there is nothing, compute and put.
-- cache_get_as gives the jsonb as it is, without a way through text.
CREATE FUNCTION page_cached(name text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	result jsonb := cache_get_as(name, NULL::jsonb, 'pages');
BEGIN
	-- NULL may be a cached NULL as well: there is no such package.  Such an entry
	-- has no type; one that somebody else has put meanwhile has one.
	IF result IS NULL THEN
		PERFORM FROM cache_entry(name, 'pages') WHERE type IS NULL;
		IF NOT FOUND THEN
			result := page(name);
			PERFORM cache_put(name, result, namespace => 'pages');
		END IF;
	END IF;
	RETURN result;
END
$$;

CREATE FUNCTION dependents_cached(name text) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	result bigint := cache_get_as(name, NULL::bigint, 'dependents');
BEGIN
	IF result IS NULL THEN
		result := dependents(name);
		PERFORM cache_put(name, result, namespace => 'dependents');
	END IF;
	RETURN result;
END
$$;
