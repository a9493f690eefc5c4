-- What `field doctor` reads, by name (projections/queries.py reads them).

-- name: doctor_server
SELECT current_setting('server_version_num')::integer / 10000 || '.' || current_setting('server_version_num')::integer % 10000,
       coalesce(current_setting('timescaledb.license', true), ''),
       (SELECT count(*)::integer FROM pg_stat_activity WHERE backend_type = 'client backend'),
       (SELECT count(*)::integer FROM pg_stat_activity WHERE backend_type IS NULL),
       current_setting('max_connections')::integer,
       extract(epoch FROM clock_timestamp())::float8

-- name: doctor_extensions
SELECT extname::text, extversion FROM pg_extension WHERE extname IN ('timescaledb', 'postgis')

-- name: doctor_schema
SELECT to_regclass('schema_migrations') IS NOT NULL

-- name: doctor_migrations
SELECT version FROM schema_migrations ORDER BY version

-- name: doctor_policies
SELECT jobs.proc_name::text, format('%s', jobs.hypertable_name),
       CASE WHEN isfinite(stats.last_successful_finish) THEN extract(epoch FROM stats.last_successful_finish)::float8 END,
       coalesce(stats.last_run_status, '')
FROM timescaledb_information.jobs jobs LEFT JOIN timescaledb_information.job_stats stats USING (job_id)
WHERE jobs.proc_name LIKE 'policy\_%' AND jobs.hypertable_name IS NOT NULL

-- name: doctor_refresh
-- How far back each refresh looks, in seconds; null: all of it.
SELECT widths.view_name::text,
       extract(epoch FROM (field_policy(widths.view_name::regclass, 'policy_refresh_continuous_aggregate')
                           ->> 'start_offset')::interval)::float8
FROM field_aggregate_widths() widths
WHERE field_policy(widths.view_name::regclass, 'policy_refresh_continuous_aggregate') IS NOT NULL

-- name: doctor_retention
SELECT extract(epoch FROM (field_policy('consciousness_events', 'policy_retention') ->> 'drop_after')::interval)::float8
