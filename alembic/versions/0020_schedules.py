"""Add schedules and their firings, which schedule created a job, and the newest dataset of a name."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Create the tables. Processes of the previous version fire no schedules."""
    for statement in (
        """CREATE TABLE schedules (
            id uuid NOT NULL CONSTRAINT pk_schedules PRIMARY KEY,
            owner_id uuid NOT NULL
                CONSTRAINT fk_schedules_owner_id_users REFERENCES users (id) ON DELETE CASCADE,
            name text NOT NULL,
            group_name text,
            trigger jsonb NOT NULL,
            rule jsonb NOT NULL,
            timezone text NOT NULL,
            tz_version text,
            starts_at timestamptz,
            ends_at timestamptz,
            max_runs integer,
            pause_after_failures integer,
            misfire_grace_seconds integer NOT NULL,
            catch_up text NOT NULL
                CONSTRAINT ck_schedules_catch_up CHECK (catch_up IN ('none', 'last', 'all')),
            catch_up_limit integer NOT NULL,
            catch_up_window_seconds integer NOT NULL,
            overlap text NOT NULL
                CONSTRAINT ck_schedules_overlap CHECK (overlap IN ('skip', 'queue', 'replace', 'allow')),
            queue_limit integer NOT NULL,
            jitter_seconds integer NOT NULL,
            kind text NOT NULL,
            job jsonb NOT NULL,
            status text NOT NULL CONSTRAINT ck_schedules_status
                CHECK (status IN ('active', 'paused', 'finished', 'suspended', 'broken')),
            reason jsonb,
            next_fire_at timestamptz,
            last_fire_at timestamptz,
            fired integer NOT NULL DEFAULT 0,
            resumed_at timestamptz,
            revision integer NOT NULL DEFAULT 1,
            idempotency_key text,
            request_digest bytea,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT uq_schedules_owner_id_name UNIQUE (owner_id, name),
            CONSTRAINT ck_schedules_active_has_next CHECK ((status = 'active') = (next_fire_at IS NOT NULL)),
            CONSTRAINT ck_schedules_positive CHECK (
                max_runs >= 1 AND pause_after_failures >= 1 AND misfire_grace_seconds >= 1
                AND catch_up_limit >= 1 AND catch_up_window_seconds >= 1 AND queue_limit >= 1
                AND jitter_seconds >= 0 AND fired >= 0 AND revision >= 1
            )
        )""",
        "CREATE INDEX ix_schedules_next_due ON schedules (next_fire_at, id) WHERE status = 'active'",
        "CREATE INDEX ix_schedules_newest_of_owner ON schedules (owner_id, id DESC)",
        "CREATE INDEX ix_schedules_of_group ON schedules (owner_id, group_name) WHERE group_name IS NOT NULL",
        "CREATE UNIQUE INDEX uq_schedules_idempotency_key ON schedules (owner_id, idempotency_key)"
        " WHERE idempotency_key IS NOT NULL",
        "CREATE INDEX ix_schedules_zone_data ON schedules (tz_version)"
        " WHERE status = 'active' AND tz_version IS NOT NULL",
        "CREATE INDEX ix_schedules_suspended ON schedules (owner_id) WHERE status = 'suspended'",
        """CREATE TABLE schedule_firings (
            schedule_id uuid NOT NULL CONSTRAINT fk_schedule_firings_schedule_id_schedules
                REFERENCES schedules (id) ON DELETE CASCADE,
            fire_at timestamptz NOT NULL,
            outcome text NOT NULL CONSTRAINT ck_schedule_firings_outcome CHECK (outcome IN (
                'fired', 'waiting', 'skipped', 'replaced', 'missed', 'refused', 'manual')),
            job_id uuid,
            count integer,
            through_at timestamptz,
            reason jsonb,
            at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_schedule_firings PRIMARY KEY (schedule_id, fire_at)
        )""",
        "CREATE INDEX ix_schedule_firings_waiting ON schedule_firings (schedule_id, fire_at)"
        " WHERE outcome = 'waiting'",
        "CREATE INDEX ix_schedule_firings_oldest ON schedule_firings (at)",
        "ALTER TABLE jobs ADD COLUMN schedule_id uuid, ADD COLUMN fire_at timestamptz",
        "CREATE INDEX ix_jobs_of_schedule ON jobs (schedule_id, id DESC) WHERE schedule_id IS NOT NULL",
        "CREATE INDEX ix_jobs_active_of_schedule ON jobs (schedule_id)"
        " WHERE schedule_id IS NOT NULL AND status IN ('pending', 'running')",
        "CREATE INDEX ix_datasets_newest_of_name ON datasets (owner_id, name, id DESC)",
        "ALTER TABLE system_stats ADD COLUMN schedules jsonb NOT NULL DEFAULT '{}'",
        "ALTER TABLE user_quotas ADD COLUMN max_schedules integer",
        "ALTER TABLE user_quotas ADD CONSTRAINT ck_user_quotas_max_schedules CHECK (max_schedules >= 0)",
    ):
        op.execute(statement)


def downgrade() -> None:
    """Drop schedules and firings. The jobs that they created stay."""
    for statement in (
        "ALTER TABLE user_quotas DROP COLUMN max_schedules",
        "ALTER TABLE system_stats DROP COLUMN schedules",
        "DROP INDEX ix_datasets_newest_of_name",
        "ALTER TABLE jobs DROP COLUMN schedule_id, DROP COLUMN fire_at",
        "DROP TABLE schedule_firings",
        "DROP TABLE schedules",
    ):
        op.execute(statement)
