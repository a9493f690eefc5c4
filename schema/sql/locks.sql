-- Accounts and who owns what (`field lock postgres`), by name; run by the server's superuser. What each account may do
-- with the tables is in grants.sql. Names in braces are put in as identifiers and literals.

-- name: lock_account
-- Nothing but to log in; what it is let do follows.
CREATE ROLE {account} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS

-- name: lock_secret
-- A SCRAM verifier: the server, its log and its activity view never have the password.
ALTER ROLE {account} LOGIN PASSWORD {verifier}

-- name: lock_database
CREATE DATABASE {database} OWNER field_migrator

-- name: lock_owner
ALTER DATABASE {database} OWNER TO field_migrator

-- name: lock_closed
REVOKE ALL ON DATABASE {database} FROM PUBLIC

-- name: lock_connect
GRANT CONNECT ON DATABASE {database} TO {account}

-- name: lock_staging
-- The projector copies each batch into a temporary table.
GRANT TEMPORARY ON DATABASE {database} TO field_projector

-- name: lock_looking
-- Without it `field doctor` sees no connection but its own, and whoever is on call no statement that hangs.
GRANT pg_monitor TO field_operator

-- name: lock_schema
REVOKE CREATE ON SCHEMA public FROM PUBLIC

-- name: lock_migrator
GRANT CREATE, USAGE ON SCHEMA public TO field_migrator
