-- The database roles of Headrace. An administrator runs this once, before or after the first migration, on the
-- database that Headrace uses:
--     psql "$ADMIN_URL" -v ON_ERROR_STOP=1 -f k8s/database/roles.sql
-- Running it again changes nothing. It sets no passwords: set them with \password, or with ALTER ROLE.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'headrace_owner',       -- the migration: owns the tables
        'headrace_app',         -- the API and the workers: read and write rows
        'headrace_autoscaler',  -- KEDA: calls two functions, reads no table
        'headrace_readonly'     -- people and dashboards: read what is no secret
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', name);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), name);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', name);
    END LOOP;
END;
$$;

-- An administrator who is no superuser needs the membership to set the owner's default privileges.
GRANT headrace_owner TO CURRENT_USER;
GRANT CREATE ON SCHEMA public TO headrace_owner;
ALTER ROLE headrace_autoscaler SET statement_timeout = '2s';

-- What the owner creates later needs no further grant.
ALTER DEFAULT PRIVILEGES FOR ROLE headrace_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE headrace_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO headrace_app;
ALTER DEFAULT PRIVILEGES FOR ROLE headrace_owner IN SCHEMA public
    GRANT USAGE ON SEQUENCES TO headrace_app;
ALTER DEFAULT PRIVILEGES FOR ROLE headrace_owner IN SCHEMA public
    GRANT EXECUTE ON FUNCTIONS TO headrace_app;
ALTER DEFAULT PRIVILEGES FOR ROLE headrace_owner IN SCHEMA public
    GRANT SELECT ON TABLES TO headrace_readonly;

-- What is there already.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO headrace_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO headrace_app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO headrace_app;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO headrace_readonly;

DO $$
BEGIN
    IF to_regprocedure('public.headrace_slots_needed(text[], integer)') IS NOT NULL THEN
        GRANT EXECUTE ON FUNCTION public.headrace_slots_needed(text[], integer) TO headrace_autoscaler;
        GRANT EXECUTE ON FUNCTION public.headrace_head_waited_seconds(text[]) TO headrace_autoscaler;
    END IF;
    -- Password hashes, and what tokens and hints are checked against.
    IF to_regclass('public.hint_keys') IS NOT NULL THEN
        REVOKE ALL ON public.users, public.refresh_tokens, public.stream_tickets, public.hint_keys
            FROM headrace_readonly;
        GRANT SELECT (id, username, role, is_active, created_at) ON public.users TO headrace_readonly;
    END IF;
    IF to_regclass('public.sessions') IS NOT NULL THEN
        REVOKE ALL ON public.sessions, public.password_resets, public.invitations, public.retired_usernames
            FROM headrace_readonly;
    END IF;
    IF to_regclass('public.download_tickets') IS NOT NULL THEN
        REVOKE ALL ON public.download_tickets FROM headrace_readonly;
    END IF;
    IF to_regclass('public.api_keys') IS NOT NULL THEN
        REVOKE ALL ON public.api_keys FROM headrace_readonly;
    END IF;
    -- Sealed secrets, URLs and addresses, and the answers of other servers.
    IF to_regclass('public.subscriptions') IS NOT NULL THEN
        REVOKE ALL ON public.subscriptions, public.delivery_tries, public.confirmation_requests
            FROM headrace_readonly;
        GRANT SELECT (id, owner_id, channel, events, status, failures, failing_since, held_until, created_at)
            ON public.subscriptions TO headrace_readonly;
    END IF;
    -- The application adds entries to the audit log and seals them. It changes and deletes none.
    IF to_regclass('public.audit_log') IS NOT NULL THEN
        REVOKE ALL ON public.audit_log, public.audit_chain FROM headrace_app, headrace_readonly;
        GRANT SELECT, INSERT, UPDATE (seq, prev_hash, hash) ON public.audit_log TO headrace_app;
        GRANT SELECT, INSERT, UPDATE (last_seq, last_hash) ON public.audit_chain TO headrace_app;
    END IF;
END;
$$;
