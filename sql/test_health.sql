-- cache_health, cache_advice.  By the test clock.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
\getenv abs_srcdir PG_ABS_SRCDIR
\set test_functions :abs_srcdir '/test/test_functions.sql'
\set ECHO none
\i :test_functions
\set ECHO all
RESET client_min_messages;
SELECT cache_clear();
SELECT cache_create_namespace('health a'), cache_create_namespace('health b');
SELECT cache_reset_stats();
-- others may have set the clock forward
TRUNCATE cache_stats_history, cache_stats_history_total, cache_alerts;
UPDATE cache_stats_marks SET at = cache_clock_timestamp();
SELECT cache_record_stats() >= 0 AS from_here_on;

-- whether the worker runs depends on when it was started, how full memory is on
-- other tests
CREATE VIEW health AS
    SELECT reason, weight, lost, round(figure::numeric, 3) AS figure FROM cache_health_checks()
    WHERE reason NOT IN ('worker', 'memory') AND figure IS NOT NULL ORDER BY reason;
CREATE VIEW score AS
    SELECT score + 30 * (NOT cache_worker_running())::int AS score, jsonb_typeof(reasons) AS reasons FROM cache_health();

-- an unused cache is well
SELECT * FROM health;
SELECT * FROM score;
SELECT class IN ('good', 'fair') AS class FROM cache_health();
SELECT (lost = 0) = cache_worker_running() AS worker FROM cache_health_checks() WHERE reason = 'worker';

-- so is one that is hit
SELECT cache_put('k', 'v', namespace => 'health a');
SELECT count(cache_get('k', 'health a')) FROM generate_series(1, 200);
SELECT pgcache_test_advance_clock('5 min'), cache_record_stats();
SELECT * FROM health;
SELECT * FROM score;

-- misses
SELECT count(cache_get('none', 'health a')) FROM generate_series(1, 200);
SELECT count(cache_get('k', 'health a')) FROM generate_series(1, 200);
SELECT pgcache_test_advance_clock('5 min'), cache_record_stats();
SELECT * FROM health;
SELECT * FROM score;
SELECT r - 'description' AS reason FROM cache_health(), jsonb_array_elements(reasons) r WHERE r ->> 'reason' = 'hit_ratio';
-- nothing happens: nothing to say, whatever there was before
SELECT pgcache_test_advance_clock('20 min');
SELECT * FROM health;

-- alerts
SELECT cache_create_alert_rule('one', 'hits', '>', 0, level => 'emergency'),
       cache_create_alert_rule('two', 'hits', '>', 0, level => 'critical'),
       cache_create_alert_rule('three', 'hits', '>', 0, level => 'info');
SET client_min_messages = error;
SELECT cache_evaluate_alerts();
RESET client_min_messages;
SELECT * FROM health;
SELECT * FROM score;
SELECT cache_drop_alert_rule('one'), cache_drop_alert_rule('two'), cache_drop_alert_rule('three');
SELECT cache_evaluate_alerts();

-- puts that are dropped: larger than the quota
SELECT cache_alter_namespace('health a', max_bytes => 1000);
SELECT count(cache_add('k' || i, repeat('v', 2000), namespace => 'health a')) FROM generate_series(1, 150) i;
SELECT pgcache_test_advance_clock('5 min'), cache_record_stats();
SELECT * FROM health;
SELECT * FROM score;
SELECT cache_alter_namespace('health a', reset => '{max_bytes}');

-- warmers
SELECT cache_create_warmer('fails', 'SELECT i, 1 / (i - 1) FROM generate_series(1, 2) i', '1 day', enabled => false),
       cache_create_warmer('works', 'SELECT 1, 2', '1 day', 'health a');
SELECT * FROM health WHERE reason = 'warmers';
INSERT INTO cache_warmer_runs (name, started_at, finished_at, error, attempt, reason, owner, server_start)
    SELECT w, now(), now(), e, 1, 'schedule', current_user::regrole, now()
    FROM (VALUES ('works', 'an old error'), ('works', NULL), ('fails', 'division by zero')) AS r (w, e);
SELECT * FROM health WHERE reason = 'warmers';
SELECT cache_alter_warmer('fails', enabled => true);
SELECT * FROM health WHERE reason = 'warmers';
SELECT rule, value FROM cache_evaluate_alerts(), cache_alerts WHERE rule = 'warmers_failing';
SELECT rule, value FROM cache_alerts WHERE closed_at IS NULL;
SELECT cache_drop_warmer('fails'), cache_drop_warmer('works');
DELETE FROM cache_warmer_runs WHERE name IN ('fails', 'works');
SELECT cache_evaluate_alerts();

-- advice: none for what is well
SELECT cache_reset_stats(), cache_clear();
SELECT advice, namespace FROM cache_advice;
-- each has its reason
SET pg_cache.transactional = off;
SELECT count(cache_put('k' || i, 'v', namespace => 'health b')) FROM generate_series(1, 100) i;
SELECT advice, namespace, message, figures - 'memory_used' AS figures FROM cache_advice ORDER BY advice, namespace;
SELECT cache_get('k1', 'health b');
SELECT advice, namespace FROM cache_advice;
SELECT count(cache_invalidate_tags('{t}', 'health b')) FROM generate_series(1, 120) i;
SELECT advice, namespace, message, figures FROM cache_advice ORDER BY advice, namespace;
SELECT count(cache_put('k' || i, repeat('v', 3000), namespace => 'health a')) FROM generate_series(1, 400) i;
SELECT cache_get('k1', 'health a') IS NOT NULL AS hit;
SELECT advice, namespace, message, figures FROM cache_advice WHERE namespace = 'health a' ORDER BY advice, namespace;
SELECT cache_alter_namespace('health a', compression => 'lz4');
SELECT advice, namespace FROM cache_advice WHERE namespace = 'health a';
SELECT count(cache_put('k' || i, repeat('v', 3000), namespace => 'health a')) FROM generate_series(1, 400) i;
SELECT advice, namespace FROM cache_advice WHERE namespace = 'health a';

-- entries that are asked for again soon after they expired
SELECT cache_clear(), cache_reset_stats();
SELECT count(cache_put('k' || i, 'v', '1 min', namespace => 'health b')) FROM generate_series(1, 4000) i;
SELECT count(cache_get('k' || i, 'health b')) FROM generate_series(1, 1000) i;
SELECT pgcache_test_advance_clock('2 min');
SELECT count(cache_get('k' || i, 'health b')) FROM generate_series(1, 4000) i;
SELECT advice, namespace, (figures ->> 'expired_misses')::int > 1000 AS figures FROM cache_advice;
-- what a quota evicts is no lack of memory
SELECT cache_clear(), cache_reset_stats();
SELECT cache_alter_namespace('health b', max_entries => 20);
CREATE FUNCTION in_turn(n int) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM (SELECT cache_get('k' || i, 'health b'), cache_put('k' || i, 'v', namespace => 'health b')
                          FROM generate_series(1, n) i OFFSET 0) AS again $$;
SELECT bool_and(in_turn(200) = 200) FROM generate_series(1, 8);
SELECT advice, namespace FROM cache_advice WHERE advice = 'increase memory';
SELECT misses, evictions, ghost_hits FROM cache_stats_namespaces WHERE namespace = 'health b';
DROP FUNCTION in_turn(int);
SELECT cache_alter_namespace('health b', reset => '{max_entries}');
-- more than there is memory for, asked for in turn
SELECT cache_clear(), cache_reset_stats();
SELECT count(cache_put('k' || i, repeat('v', 4000), namespace => 'health b')) FROM generate_series(1, 5000) i;
SELECT count(*) FROM (SELECT cache_get('k' || i, 'health b'), cache_put('k' || i, repeat('v', 4000), namespace => 'health b')
                      FROM generate_series(1, 5000) i OFFSET 0) AS again;
SELECT advice, namespace,
       (figures ->> 'hit_ratio_with_twice_the_memory')::float8 - (figures ->> 'hit_ratio')::float8 > 0.4 AS gain
    FROM cache_advice WHERE namespace IS NULL;
SELECT pgcache_test_advance_clock('5 min'), cache_record_stats() > 0 AS recorded;
SELECT reason, lost > 0 AS lost FROM cache_health_checks() WHERE reason IN ('evictions', 'memory', 'hit_ratio') ORDER BY reason;
-- but not where a quota evicts
SELECT cache_alter_namespace('health b', max_entries => 1000000);
SELECT reason, figure FROM cache_health_checks() WHERE reason = 'evictions';
RESET pg_cache.transactional;

-- who sees what
CREATE ROLE regress_cache_reader;
SELECT cache_clear(), cache_reset_stats();
SET pg_cache.transactional = off;
SELECT count(cache_put('k' || i, 'v', namespace => n)) FROM generate_series(1, 100) i, unnest('{health a,health b}'::text[]) n;
RESET pg_cache.transactional;
SELECT cache_grant('health b', 'regress_cache_reader', 'read');
SELECT advice, namespace FROM cache_advice ORDER BY namespace;
SET ROLE regress_cache_reader;
SELECT advice, namespace FROM cache_advice;
SELECT score > 0 AS health FROM cache_health();
RESET ROLE;
SELECT cache_revoke('health b', 'regress_cache_reader', 'read');
DROP ROLE regress_cache_reader;

DROP VIEW health, score;
SELECT cache_drop_namespace('health a'), cache_drop_namespace('health b');
SELECT pgcache_test_set_clock('0');
\set drop_test_functions :abs_srcdir '/test/drop_test_functions.sql'
\set ECHO none
\i :drop_test_functions
\set ECHO all
SELECT * FROM cache_check();
