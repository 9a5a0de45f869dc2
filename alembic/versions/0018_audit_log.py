"""Add the audit log: entries that nobody changes, in a hash chain."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None
compatible_with = "0006"

BEGINNING = "decode(repeat('00', 32), 'hex')"

# An entry is inserted without a place in the chain, at the time of its transaction. It gets its place once,
# and nothing else of it changes. It is deleted only up to the anchor.
GUARD_LOG = """
CREATE FUNCTION headrace_guard_audit_log() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    sealed audit_log;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'INSERT' AND NEW.seq IS NULL THEN
        NEW.at := now();
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.seq IS NULL AND NEW.seq IS NOT NULL THEN
        sealed := OLD;
        sealed.seq := NEW.seq;
        sealed.prev_hash := NEW.prev_hash;
        sealed.hash := NEW.hash;
        IF sealed IS NOT DISTINCT FROM NEW THEN
            RETURN NEW;
        END IF;
    END IF;
    IF TG_OP = 'DELETE' AND OLD.seq <= (SELECT pruned_seq FROM audit_chain) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'insufficient_privilege';
END;
$$
"""

# The ends of the chain only move forward, to entries that exist. Nothing younger than a day is pruned.
GUARD_CHAIN = """
CREATE FUNCTION headrace_guard_audit_chain() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        RAISE EXCEPTION 'audit_chain only moves forward' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'INSERT' AND NEW.last_seq = 0 AND NEW.pruned_seq = 0 THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.last_seq >= OLD.last_seq AND NEW.pruned_seq >= OLD.pruned_seq
        AND ((NEW.last_seq, NEW.last_hash) = (OLD.last_seq, OLD.last_hash)
            OR EXISTS (SELECT FROM audit_log WHERE seq = NEW.last_seq AND hash = NEW.last_hash))
        AND ((NEW.pruned_seq, NEW.pruned_hash) = (OLD.pruned_seq, OLD.pruned_hash)
            OR (EXISTS (SELECT FROM audit_log WHERE seq = NEW.pruned_seq AND hash = NEW.pruned_hash)
                AND NOT EXISTS (
                    SELECT FROM audit_log
                    WHERE seq <= NEW.pruned_seq AND at > now() - interval '1 day')))
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit_chain only moves forward' USING ERRCODE = 'insufficient_privilege';
END;
$$
"""

# Deletes the oldest entries, at most this many, and keeps the hash of the last one as the anchor of the rest.
# With the rights of the owner: the application's role may delete no entry.
PRUNE = """
CREATE FUNCTION headrace_prune_audit_log(older_than interval, at_most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    anchor bigint;
    pruned bigint;
BEGIN
    PERFORM FROM audit_chain FOR UPDATE;
    SELECT coalesce(min(seq) FILTER (WHERE oldest.at >= now() - older_than) - 1, max(seq)) INTO anchor
    FROM (SELECT seq, at FROM audit_log WHERE seq IS NOT NULL ORDER BY seq LIMIT at_most) oldest;
    UPDATE audit_chain SET pruned_seq = e.seq, pruned_hash = e.hash FROM audit_log e WHERE e.seq = anchor;
    DELETE FROM audit_log WHERE seq <= anchor;
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END;
$$
"""

# Roles belong to the server: k8s/database/roles.sql creates them, before the first migration or after it.
GRANTS = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'headrace_app') THEN
        REVOKE ALL ON audit_log, audit_chain FROM headrace_app;
        GRANT SELECT, INSERT, UPDATE (seq, prev_hash, hash) ON audit_log TO headrace_app;
        GRANT SELECT, INSERT, UPDATE (last_seq, last_hash) ON audit_chain TO headrace_app;
        GRANT EXECUTE ON FUNCTION headrace_prune_audit_log(interval, integer) TO headrace_app;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'headrace_readonly') THEN
        REVOKE ALL ON audit_log, audit_chain FROM headrace_readonly;
    END IF;
END;
$$
"""


def upgrade() -> None:
    """Create the tables, their guards and the rights. Processes of the previous version record nothing."""
    for statement in (
        """CREATE TABLE audit_log (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_audit_log PRIMARY KEY,
            seq bigint CONSTRAINT uq_audit_log_seq UNIQUE,
            at timestamptz NOT NULL DEFAULT now(),
            actor_id uuid,
            actor_name text,
            session_id uuid,
            key_id uuid,
            network text,
            request_id text,
            action text NOT NULL,
            object_type text,
            object_id text,
            outcome text NOT NULL CONSTRAINT ck_audit_log_outcome
                CHECK (outcome IN ('succeeded', 'failed', 'denied', 'throttled')),
            details jsonb NOT NULL DEFAULT '{}',
            prev_hash bytea,
            hash bytea,
            CONSTRAINT ck_audit_log_sealed
                CHECK ((seq IS NULL) = (hash IS NULL) AND (seq IS NULL) = (prev_hash IS NULL))
        )""",
        "CREATE INDEX ix_audit_log_unsealed ON audit_log (id) WHERE seq IS NULL",
        "CREATE INDEX ix_audit_log_actor ON audit_log (actor_id, seq)",
        "CREATE INDEX ix_audit_log_action ON audit_log (action, seq)",
        "CREATE INDEX ix_audit_log_object ON audit_log (object_id, seq)",
        "CREATE INDEX ix_audit_log_at ON audit_log (at)",
        f"""CREATE TABLE audit_chain (
            is_current boolean NOT NULL DEFAULT true CONSTRAINT pk_audit_chain PRIMARY KEY
                CONSTRAINT ck_audit_chain_one_row CHECK (is_current),
            pruned_seq bigint NOT NULL DEFAULT 0,
            pruned_hash bytea NOT NULL DEFAULT {BEGINNING},
            last_seq bigint NOT NULL DEFAULT 0,
            last_hash bytea NOT NULL DEFAULT {BEGINNING}
        )""",
        GUARD_LOG,
        GUARD_CHAIN,
        "CREATE TRIGGER audit_log_guard BEFORE INSERT OR UPDATE OR DELETE ON audit_log"
        " FOR EACH ROW EXECUTE FUNCTION headrace_guard_audit_log()",
        "CREATE TRIGGER audit_log_guard_truncate BEFORE TRUNCATE ON audit_log"
        " FOR EACH STATEMENT EXECUTE FUNCTION headrace_guard_audit_log()",
        "CREATE TRIGGER audit_chain_guard BEFORE INSERT OR UPDATE OR DELETE ON audit_chain"
        " FOR EACH ROW EXECUTE FUNCTION headrace_guard_audit_chain()",
        "CREATE TRIGGER audit_chain_guard_truncate BEFORE TRUNCATE ON audit_chain"
        " FOR EACH STATEMENT EXECUTE FUNCTION headrace_guard_audit_chain()",
        PRUNE,
        "REVOKE EXECUTE ON FUNCTION headrace_prune_audit_log(interval, integer) FROM PUBLIC",
        GRANTS,
    ):
        op.execute(statement)


def downgrade() -> None:
    """Drop it, with all entries."""
    for statement in (
        "DROP FUNCTION headrace_prune_audit_log(interval, integer)",
        "DROP TABLE audit_chain",
        "DROP TABLE audit_log",
        "DROP FUNCTION headrace_guard_audit_chain()",
        "DROP FUNCTION headrace_guard_audit_log()",
    ):
        op.execute(statement)
