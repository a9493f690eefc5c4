-- What `field backup` and `field restore` ask the database, by name (projections/queries.py reads them).

-- name: backup_server
SELECT current_setting('server_version_num')::integer / 10000, current_setting('timescaledb.license', true),
       (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'),
       (SELECT extversion FROM pg_extension WHERE extname = 'postgis')

-- name: backup_owner
SELECT pg_get_userbyid(relowner), (SELECT max(version) FROM schema_migrations)
FROM pg_class WHERE oid = 'schema_migrations'::regclass

-- name: backup_account
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s AND rolname <> current_user)

-- name: backup_locked
-- Whether tables belong to the migrator here (`field lock postgres`), whoever connects.
SELECT to_regrole('field_migrator') IS NOT NULL

-- name: backup_offered
SELECT EXISTS (SELECT FROM pg_available_extension_versions WHERE name = %s AND version = %s)

-- name: backup_tables
-- Ours, and where the aggregates are native, what they keep.
SELECT n.nspname, c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema AND c.relkind IN ('r', 'p')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
UNION ALL
SELECT materialization_hypertable_schema, materialization_hypertable_name
FROM timescaledb_information.continuous_aggregates
ORDER BY 1, 2

-- name: backup_rows
-- Rows, and the sums of two halves of each row's MD5: the same for the same rows in whatever order they are read.
SELECT count(*),
       coalesce(sum(('x' || substr(h.sum, 1, 15))::bit(60)::bigint), 0)::text || '-'
       || coalesce(sum(('x' || substr(h.sum, 16, 15))::bit(60)::bigint), 0)::text
FROM {table} t, LATERAL (SELECT md5(t::text) AS sum) h

-- name: backup_there
-- Something of anybody's: then a database is no empty place.
SELECT n.nspname || '.' || c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^(pg_|_?timescaledb_)'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
LIMIT 1

-- name: restore_sessions
-- The new changelog tells of those that are open; what has ended stays.
DELETE FROM room64_sessions_all WHERE generation = %(generation)s AND NOT final
