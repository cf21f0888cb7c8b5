-- Alert rules and alerts.  By the test clock.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_cache;
\getenv abs_srcdir PG_ABS_SRCDIR
\set test_functions :abs_srcdir '/test/test_functions.sql'
\set ECHO none
\i :test_functions
\set ECHO all
RESET client_min_messages;
SELECT cache_clear();
SELECT cache_create_namespace('alert a'), cache_create_namespace('alert b');
SELECT cache_reset_stats();
-- others may have set the clock forward
TRUNCATE cache_stats_history, cache_stats_history_total, cache_alerts;
UPDATE cache_stats_marks SET at = cache_clock_timestamp();
SELECT cache_record_stats() >= 0 AS from_here_on;
CREATE VIEW alerts AS
    SELECT rule, namespace, level, value, closed_at IS NULL AS open, closed_value,
           extract(epoch FROM closed_at - opened_at)::int / 60 AS minutes
    FROM cache_alerts ORDER BY id;

-- built-in rules are no rows
SELECT count(*) FROM cache_alert_rules;
SELECT name, metric, namespace, comparison, threshold, for_at_least, level, cooldown, enabled, built_in
    FROM cache_effective_alert_rules ORDER BY name;
-- and each makes sense
SELECT cache_check_alert_rule((name, metric, namespace, comparison, threshold, for_at_least, level, cooldown, enabled)::cache_alert_rules)
    FROM cache_builtin_alert_rules \g /dev/null

-- every metric is described, and the reverse
SELECT DISTINCT v.metric FROM cache_metrics() v LEFT JOIN cache_alert_metrics() m
    ON v.metric = m.metric AND CASE WHEN v.namespace IS NULL THEN of_database ELSE of_namespaces END
    WHERE m.metric IS NULL;
SELECT metric FROM cache_alert_metrics() WHERE metric NOT IN (SELECT metric FROM cache_metrics()) ORDER BY metric;
SELECT count(*) - count(DISTINCT metric) AS twice FROM cache_alert_metrics();

-- altering makes rows
SELECT cache_alter_alert_rule('hit_ratio_low', threshold => 0.9, namespace => 'alert a', for_at_least => '0', cooldown => '0');
SELECT cache_drop_alert_rule('evictions_high');
SELECT name, namespace, threshold, enabled, built_in FROM cache_effective_alert_rules WHERE name IN ('hit_ratio_low', 'evictions_high');
SELECT * FROM cache_alert_rules ORDER BY name;
SELECT cache_alter_alert_rule('evictions_high', enabled => true);
SELECT cache_alter_alert_rule('hit_ratio_low', namespace => '');
SELECT * FROM cache_alert_rules ORDER BY name;
SELECT cache_reset_alert_rule('hit_ratio_low'), cache_reset_alert_rule('evictions_high');
SELECT count(*) FROM cache_alert_rules;
SELECT cache_create_alert_rule('mine', 'hits', '>', 5, '*');
SELECT cache_alter_alert_rule('mine', 'misses', '>=', 6, 'alert a', '1 min', 'critical', '2 min', false);
SELECT * FROM cache_alert_rules;
SELECT cache_drop_alert_rule('mine');
SELECT * FROM cache_alert_rules;
SELECT cache_create_alert_rule('mine', 'hits', '>', 5, '');
SELECT namespace IS NULL AS of_database FROM cache_alert_rules;
SELECT cache_drop_alert_rule('mine');

-- what is wrong
\set SHOW_CONTEXT never
SELECT cache_create_alert_rule(NULL, 'hits', '>', 5);
SELECT cache_create_alert_rule('', 'hits', '>', 5);
SELECT cache_create_alert_rule(repeat('x', 64), 'hits', '>', 5);
SELECT cache_create_alert_rule('mine', NULL, '>', 5);
SELECT cache_create_alert_rule('mine', 'hit', '>', 5);
SELECT cache_create_alert_rule('mine', 'memory_used_ratio', '>', 5, '*');
SELECT cache_create_alert_rule('mine', 'hits', '=>', 5);
SELECT cache_create_alert_rule('mine', 'hits', '>', NULL);
SELECT cache_create_alert_rule('mine', 'hits', '>', 5, 'no such');
SELECT cache_create_alert_rule('mine', 'hits', '>', 5, level => 'fatal');
SELECT cache_create_alert_rule('mine', 'hits', '>', 5, for_at_least => '-1 s');
SELECT cache_create_alert_rule('mine', 'hits', '>', 5, cooldown => '-1 s');
SELECT cache_create_alert_rule('mine', 'hits', '>', 5, for_at_least => '300000 years');
SELECT cache_create_alert_rule('mine', 'hits', '>', 5, cooldown => '300000 years');
SELECT cache_create_alert_rule('hit_ratio_low', 'hits', '>', 5);
SELECT cache_alter_alert_rule('mine', 'hits');
SELECT cache_alter_alert_rule(NULL, 'hits');
SELECT cache_alter_alert_rule('hit_ratio_low', 'hit');
SELECT cache_drop_alert_rule('mine');
SELECT cache_reset_alert_rule('mine');
SELECT count(*) FROM cache_alert_rules;

-- nothing is broken: nothing is written
SELECT cache_evaluate_alerts();
SELECT txid_current_if_assigned() IS NULL AS no_xid FROM cache_evaluate_alerts();

-- at once
SELECT cache_create_alert_rule('many hits', 'hits', '>', 5, '*', level => 'critical');
SELECT cache_put('k', 'v', namespace => 'alert a'), cache_put('k', 'v', namespace => 'alert b');
SELECT count(cache_get('k', 'alert a')) FROM generate_series(1, 6) i;
SET client_min_messages = log;
SELECT cache_evaluate_alerts();
RESET client_min_messages;
SELECT * FROM alerts;
-- open is open
SELECT txid_current_if_assigned() IS NULL AS no_xid, n FROM cache_evaluate_alerts() n;
SELECT cache_get('k', 'alert a');
SELECT txid_current_if_assigned() IS NULL AS no_xid, n FROM cache_evaluate_alerts() n;
-- the other namespace has its own
SELECT count(cache_get('k', 'alert b')) FROM generate_series(1, 6) i;
SELECT cache_evaluate_alerts();
SELECT * FROM alerts;
-- closed
SELECT pgcache_test_advance_clock('7 min');
SELECT cache_reset_stats();
SET client_min_messages = log;
SELECT cache_evaluate_alerts();
RESET client_min_messages;
SELECT * FROM alerts;
SELECT cache_drop_alert_rule('many hits');

-- for so long
TRUNCATE cache_alerts;
SELECT cache_create_alert_rule('for long', 'entries', '<=', 0, 'alert a', '10 min', 'info', '1 hour');
SELECT cache_evaluate_alerts();
SELECT cache_delete('k', 'alert a');
SELECT cache_evaluate_alerts();
SELECT pgcache_test_advance_clock('9 min');
SELECT txid_current_if_assigned() IS NULL AS no_xid, n FROM cache_evaluate_alerts() n;
SELECT * FROM alerts;
-- once in between not, and it begins anew
SELECT cache_put('k', 'v', namespace => 'alert a');
SELECT cache_evaluate_alerts();
SELECT cache_delete('k', 'alert a');
SELECT cache_evaluate_alerts();
SELECT pgcache_test_advance_clock('9 min');
SELECT cache_evaluate_alerts();
SELECT * FROM alerts;
SELECT pgcache_test_advance_clock('1 min');
SET client_min_messages = log;
SELECT cache_evaluate_alerts();
RESET client_min_messages;
SELECT * FROM alerts;
-- the cooldown
SELECT cache_put('k', 'v', namespace => 'alert a');
SELECT cache_evaluate_alerts();
SELECT cache_delete('k', 'alert a');
SELECT cache_evaluate_alerts();
SELECT pgcache_test_advance_clock('59 min');
SELECT cache_evaluate_alerts();
SELECT * FROM alerts;
SELECT pgcache_test_advance_clock('1 min');
SELECT cache_evaluate_alerts();
SELECT * FROM alerts;
-- a rule that is no more, or disabled, has no alert; nor has a namespace
SELECT cache_alter_alert_rule('for long', enabled => false);
SELECT cache_evaluate_alerts();
SELECT * FROM alerts;
SELECT cache_alter_alert_rule('for long', enabled => true, for_at_least => '0', cooldown => '0');
SELECT cache_evaluate_alerts();
SELECT cache_drop_alert_rule('for long');
SELECT cache_evaluate_alerts();
SELECT cache_create_alert_rule('each', 'entries', '=', 0, '*');
SELECT count(*) FROM cache_broken_alert_rules() WHERE namespace = 'alert a';
SELECT cache_evaluate_alerts() > 0 AS open;
SELECT cache_drop_namespace('alert a');
SELECT cache_evaluate_alerts() >= 0 AS open;
SELECT rule, namespace, closed_at IS NULL AS open, closed_value FROM cache_alerts
    WHERE rule IN ('for long', 'each') AND namespace = 'alert a' ORDER BY id;
SELECT cache_drop_alert_rule('each');
SELECT cache_evaluate_alerts();

-- a rule that is altered while its alert is open has another one, whatever the cooldown
SELECT cache_create_alert_rule('altered', 'entries', '>=', 0, 'alert b', level => 'info', cooldown => '1 day');
SELECT cache_evaluate_alerts();
CREATE VIEW altered AS
    SELECT metric, comparison, threshold, level, closed_at IS NULL AS open, closed_value IS NOT NULL AS closed_value
    FROM cache_alerts WHERE rule = 'altered' ORDER BY id;
SELECT cache_alter_alert_rule('altered', threshold => -1);
SET client_min_messages = log;
SELECT cache_evaluate_alerts();
RESET client_min_messages;
SELECT cache_alter_alert_rule('altered', metric => 'hits', comparison => '>');
SELECT cache_evaluate_alerts();
SELECT * FROM altered;
-- what did not matter for the alert does not
SELECT cache_alter_alert_rule('altered', for_at_least => '10 min', cooldown => '2 days');
SELECT txid_current_if_assigned() IS NULL AS no_xid, n FROM cache_evaluate_alerts() n;
-- of another level at once: it has been so for long enough
SELECT cache_alter_alert_rule('altered', level => 'warning');
SELECT cache_evaluate_alerts();
SELECT level, open FROM altered WHERE metric = 'hits';
-- else for so long from now on
SELECT cache_alter_alert_rule('altered', threshold => -2);
SELECT cache_evaluate_alerts();
SELECT threshold, open FROM altered WHERE metric = 'hits';
SELECT pgcache_test_advance_clock('9 min');
SELECT cache_alter_alert_rule('altered', threshold => -3);
SELECT cache_evaluate_alerts();
SELECT pgcache_test_advance_clock('1 min');
SELECT cache_evaluate_alerts();
SELECT threshold, open FROM altered WHERE metric = 'hits';
SELECT pgcache_test_advance_clock('9 min');
SELECT cache_evaluate_alerts();
SELECT threshold, open FROM altered WHERE metric = 'hits';
-- no longer broken
SELECT cache_alter_alert_rule('altered', threshold => 1000000);
SELECT cache_evaluate_alerts();
SELECT threshold, open FROM altered WHERE metric = 'hits';
DROP VIEW altered;
SELECT cache_drop_alert_rule('altered');

-- a rule can be altered when its namespace is gone
SELECT cache_create_namespace('alert c'), cache_create_alert_rule('of c', 'hits', '>', 0, 'alert c');
SELECT cache_drop_namespace('alert c');
SELECT cache_alter_alert_rule('of c', namespace => 'alert c');
SELECT cache_alter_alert_rule('of c', enabled => false, threshold => 1);
SELECT threshold, enabled FROM cache_alert_rules WHERE name = 'of c';
SELECT cache_drop_alert_rule('of c');

-- the wait for an alert is that of one namespace, not of the next of its name
SELECT cache_create_namespace('alert c'), cache_create_alert_rule('of c', 'misses', '>', 0, 'alert c', '15 min');
SELECT cache_get('none', 'alert c');
SELECT cache_evaluate_alerts();
SELECT pgcache_test_advance_clock('14 min');
SELECT cache_drop_namespace('alert c');
SELECT cache_create_namespace('alert c');
SELECT cache_get('none', 'alert c');
SELECT cache_evaluate_alerts();
SELECT pgcache_test_advance_clock('2 min');
SELECT cache_evaluate_alerts();
SELECT count(*) AS opened FROM cache_alerts WHERE rule = 'of c';
SELECT pgcache_test_advance_clock('13 min');
SELECT cache_evaluate_alerts();
SELECT count(*) AS opened FROM cache_alerts WHERE rule = 'of c';
SELECT cache_drop_namespace('alert c'), cache_drop_alert_rule('of c');
SELECT cache_evaluate_alerts();

-- who sees what
CREATE ROLE regress_cache_reader;
GRANT SELECT ON alerts TO regress_cache_reader;
SELECT cache_create_alert_rule('one of each', 'entries', '>=', 0, 'alert b'),
       cache_create_alert_rule('one of all', 'entries', '>=', 0);
SELECT cache_evaluate_alerts();
SET ROLE regress_cache_reader;
SELECT rule FROM cache_alerts WHERE closed_at IS NULL ORDER BY rule;
SELECT count(*) FROM cache_effective_alert_rules WHERE built_in;
SELECT cache_create_alert_rule('x', 'hits', '>', 0);
SELECT cache_evaluate_alerts();
SELECT * FROM cache_pending_alerts;
INSERT INTO cache_alert_rules SELECT * FROM cache_builtin_alert_rules;
RESET ROLE;
SELECT cache_grant('alert b', 'regress_cache_reader', 'read');
SET ROLE regress_cache_reader;
SELECT rule FROM cache_alerts WHERE closed_at IS NULL ORDER BY rule;
RESET ROLE;
SELECT cache_revoke('alert b', 'regress_cache_reader', 'read');
REVOKE SELECT ON alerts FROM regress_cache_reader;
DROP ROLE regress_cache_reader;
SELECT cache_drop_alert_rule('one of each'), cache_drop_alert_rule('one of all');
SELECT cache_evaluate_alerts();

-- rates and ratios, of the last interval
SELECT cache_record_stats() >= 0 AS recorded;
SELECT count(cache_get('none', 'alert b')) FROM generate_series(1, 150);
SELECT count(cache_get('none', 'alert b')) FROM generate_series(1, 150);
SELECT pgcache_test_advance_clock('5 min');
SELECT cache_record_stats();
CREATE VIEW rates AS
    SELECT metric, namespace, round(value::numeric, 1) AS value FROM cache_metrics()
    WHERE metric IN ('misses_per_second', 'recent_hit_ratio') AND coalesce(namespace, 'alert b') = 'alert b'
    ORDER BY metric, namespace;
SELECT * FROM rates;
SELECT cache_evaluate_alerts();
SELECT pgcache_test_advance_clock('9 min');
SELECT cache_get('none', 'alert b') FROM generate_series(1, 200) \g /dev/null
SELECT cache_record_stats(cache_clock_timestamp() - '4 min'::interval);
SELECT * FROM rates;
SELECT pgcache_test_advance_clock('6 min');
SELECT cache_evaluate_alerts();
SELECT rule, namespace, level, value FROM cache_alerts WHERE closed_at IS NULL;
-- quiet again
SELECT pgcache_test_advance_clock('5 min');
SELECT * FROM rates;
SELECT cache_evaluate_alerts();
-- what is closed is kept no longer than the history
SELECT count(*) > 5 AS kept FROM cache_alerts;
SELECT pgcache_test_advance_clock('31 days');
SELECT cache_evaluate_alerts();
SELECT count(*) FROM cache_alerts;

DROP VIEW alerts, rates;
SELECT cache_drop_namespace('alert b');
SELECT pgcache_test_set_clock('0');
\set drop_test_functions :abs_srcdir '/test/drop_test_functions.sql'
\set ECHO none
\i :drop_test_functions
\set ECHO all
SELECT * FROM cache_check();
