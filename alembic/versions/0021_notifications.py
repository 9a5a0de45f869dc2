"""Add subscriptions, their deliveries and the tries of each delivery, and the scope of API keys for them."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None
compatible_with = "0006"

# The role that people use for reports reads no sealed secrets, no URLs and addresses, and no answers of other
# servers.
GRANTS = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'headrace_readonly') THEN
        REVOKE ALL ON subscriptions, delivery_tries, confirmation_requests FROM headrace_readonly;
        GRANT SELECT (id, owner_id, channel, events, status, failures, failing_since, held_until, created_at)
            ON subscriptions TO headrace_readonly;
    END IF;
END;
$$
"""


def upgrade() -> None:
    """Create the tables. Transitions of the previous version write no deliveries."""
    for statement in (
        """CREATE TABLE subscriptions (
            id uuid NOT NULL CONSTRAINT pk_subscriptions PRIMARY KEY,
            owner_id uuid NOT NULL
                CONSTRAINT fk_subscriptions_owner_id_users REFERENCES users (id) ON DELETE CASCADE,
            name text NOT NULL,
            channel text NOT NULL,
            target jsonb NOT NULL,
            events text[] NOT NULL,
            kind text,
            queue text,
            model text,
            job_id uuid,
            group_id uuid,
            schedule_id uuid,
            metadata jsonb,
            gather_seconds integer NOT NULL,
            secrets jsonb NOT NULL DEFAULT '[]',
            sealed_with text,
            status text NOT NULL
                CONSTRAINT ck_subscriptions_status CHECK (status IN ('pending', 'active', 'disabled')),
            reason jsonb,
            failures integer NOT NULL DEFAULT 0,
            failing_since timestamptz,
            held_until timestamptz,
            confirmed_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT ck_subscriptions_disabled_has_reason
                CHECK ((status = 'disabled') = (reason IS NOT NULL)),
            CONSTRAINT ck_subscriptions_not_negative CHECK (gather_seconds >= 0 AND failures >= 0),
            CONSTRAINT ck_subscriptions_failing CHECK ((failures = 0) = (failing_since IS NULL)),
            CONSTRAINT ck_subscriptions_sealed CHECK ((secrets = '[]') = (sealed_with IS NULL))
        )""",
        "CREATE INDEX ix_subscriptions_to_tell ON subscriptions (owner_id) WHERE status = 'active'",
        "CREATE INDEX ix_subscriptions_newest_of_owner ON subscriptions (owner_id, id DESC)",
        "CREATE INDEX ix_subscriptions_sealed_with ON subscriptions (sealed_with)"
        " WHERE sealed_with IS NOT NULL",
        """CREATE TABLE deliveries (
            id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT pk_deliveries PRIMARY KEY,
            subscription_id uuid NOT NULL CONSTRAINT fk_deliveries_subscription_id_subscriptions
                REFERENCES subscriptions (id) ON DELETE CASCADE,
            type text NOT NULL,
            job_id uuid,
            seq integer,
            data jsonb,
            status text NOT NULL DEFAULT 'pending' CONSTRAINT ck_deliveries_status
                CHECK (status IN ('pending', 'delivered', 'failed', 'dropped')),
            tries integer NOT NULL DEFAULT 0,
            next_try_at timestamptz,
            replay_of uuid,
            created_at timestamptz NOT NULL DEFAULT now(),
            ended_at timestamptz,
            CONSTRAINT ck_deliveries_pending_has_next
                CHECK ((status = 'pending') = (next_try_at IS NOT NULL)),
            CONSTRAINT ck_deliveries_ended CHECK ((status = 'pending') = (ended_at IS NULL)),
            CONSTRAINT ck_deliveries_subject
                CHECK (num_nonnulls(job_id, data) = 1 AND (job_id IS NULL) = (seq IS NULL)),
            CONSTRAINT ck_deliveries_not_negative CHECK (tries >= 0)
        )""",
        "CREATE INDEX ix_deliveries_next_of_subscription ON deliveries (subscription_id, next_try_at, id)"
        " WHERE status = 'pending'",
        "CREATE INDEX ix_deliveries_next_due ON deliveries (next_try_at) WHERE status = 'pending'",
        "CREATE INDEX ix_deliveries_earlier_of_job ON deliveries (subscription_id, job_id, seq)"
        " WHERE status = 'pending' AND job_id IS NOT NULL AND replay_of IS NULL",
        "CREATE INDEX ix_deliveries_newest_of_subscription"
        " ON deliveries (subscription_id, created_at DESC, id DESC)",
        "CREATE INDEX ix_deliveries_undelivered_of_subscription"
        " ON deliveries (subscription_id, created_at DESC, id DESC) WHERE status IN ('failed', 'dropped')",
        "CREATE INDEX ix_deliveries_replays_of ON deliveries (replay_of) WHERE replay_of IS NOT NULL",
        "CREATE INDEX ix_deliveries_ended ON deliveries (ended_at) WHERE ended_at IS NOT NULL",
        """CREATE TABLE delivery_tries (
            delivery_id uuid NOT NULL CONSTRAINT fk_delivery_tries_delivery_id_deliveries
                REFERENCES deliveries (id) ON DELETE CASCADE,
            number integer NOT NULL,
            at timestamptz NOT NULL,
            duration_ms integer NOT NULL,
            status integer,
            error text,
            response bytea,
            CONSTRAINT pk_delivery_tries PRIMARY KEY (delivery_id, number)
        )""",
        """CREATE TABLE confirmation_requests (
            target_hash bytea NOT NULL CONSTRAINT pk_confirmation_requests PRIMARY KEY,
            requested_at timestamptz[] NOT NULL
        )""",
        "ALTER TABLE user_quotas ADD COLUMN max_subscriptions integer",
        "ALTER TABLE user_quotas ADD CONSTRAINT ck_user_quotas_max_subscriptions"
        " CHECK (max_subscriptions >= 0)",
        "ALTER TABLE api_keys DROP CONSTRAINT ck_api_keys_scopes",
        """ALTER TABLE api_keys ADD CONSTRAINT ck_api_keys_scopes CHECK (
            scopes <> '{}' AND scopes <@ ARRAY[
                'jobs:read', 'jobs:write', 'models:*', 'datasets:*', 'notifications:*', 'predict', 'admin'])
        """,
        GRANTS,
    ):
        op.execute(statement)


def downgrade() -> None:
    """Drop them, with all deliveries that are still to be made."""
    for statement in (
        "DELETE FROM api_keys WHERE scopes = ARRAY['notifications:*']",
        "UPDATE api_keys SET scopes = array_remove(scopes, 'notifications:*')"
        " WHERE 'notifications:*' = ANY (scopes)",
        "ALTER TABLE api_keys DROP CONSTRAINT ck_api_keys_scopes",
        """ALTER TABLE api_keys ADD CONSTRAINT ck_api_keys_scopes CHECK (
            scopes <> '{}' AND scopes <@ ARRAY[
                'jobs:read', 'jobs:write', 'models:*', 'datasets:*', 'predict', 'admin'])
        """,
        "ALTER TABLE user_quotas DROP COLUMN max_subscriptions",
        "DROP TABLE confirmation_requests",
        "DROP TABLE delivery_tries",
        "DROP TABLE deliveries",
        "DROP TABLE subscriptions",
    ):
        op.execute(statement)
