-- Who is who in the database: an owner that nobody can log in as, and one role for each service that stores anything.
--
-- The owner has the schemas and may change their shape; a service may do in its own schema what its file grants it,
-- and cannot look into another's. Otherwise the database would be the way round the gate.
-- tollgate_reader is whoever reports on the books or verifies them: it may read what the ledger's file shows it, and
-- that it can write nothing rests on its rights. That its transactions are read-only from the start, and its statements
-- end, is for whoever errs: a session may set both otherwise.
-- Passwords are not set here. Apply it as a superuser in the desk's database, before the other files of this folder,
-- as often as you like.

BEGIN;

DO $$
DECLARE
    name text;
    writes regprocedure;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tollgate_owner') THEN
        CREATE ROLE tollgate_owner;
    END IF;
    FOREACH name IN ARRAY ARRAY['tollgate_execution', 'tollgate_ledger', 'tollgate_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I', name);
        END IF;
        EXECUTE format(
            'ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT CONNECTION LIMIT 16',
            name);
        EXECUTE format('ALTER ROLE %I SET search_path = %I', name, replace(name, 'tollgate_', ''));
    END LOOP;
    ALTER ROLE tollgate_reader SET search_path = ledger;
    ALTER ROLE tollgate_reader SET default_transaction_read_only = on;
    -- The longest report of a million fills takes seconds, and the audit asks page by page.
    ALTER ROLE tollgate_reader SET statement_timeout = '10min';
    -- What one session may fill the disk with, and no session can set otherwise; a million fills sort in a tenth of it.
    ALTER ROLE tollgate_reader SET temp_file_limit = '2GB';
    ALTER ROLE tollgate_owner NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO tollgate_execution, tollgate_ledger, tollgate_reader',
        current_database());
    EXECUTE format('GRANT CREATE ON DATABASE %I TO tollgate_owner', current_database());
    -- Everybody may make large objects and write into the log of changes, without a right to any table.
    FOR writes IN SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
        AND proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_import', 'pg_logical_emit_message') LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', writes);
    END LOOP;
END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;

COMMIT;
