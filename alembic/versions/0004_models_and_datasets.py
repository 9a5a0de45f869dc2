"""Create models and datasets, and let jobs refer to them and to files in storage."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE datasets (
    id uuid CONSTRAINT pk_datasets PRIMARY KEY,
    owner_id uuid NOT NULL CONSTRAINT fk_datasets_owner_id_users REFERENCES users (id) ON DELETE CASCADE,
    name text NOT NULL,
    format text NOT NULL CONSTRAINT ck_datasets_format CHECK (format IN ('csv', 'jsonl', 'parquet')),
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    rows bigint NOT NULL,
    columns jsonb NOT NULL,
    rows_bytes bigint NOT NULL,
    rows_sha256 text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE models (
    id uuid CONSTRAINT pk_models PRIMARY KEY,
    owner_id uuid NOT NULL CONSTRAINT fk_models_owner_id_users REFERENCES users (id) ON DELETE CASCADE,
    name text NOT NULL,
    visibility text NOT NULL DEFAULT 'private'
        CONSTRAINT ck_models_visibility CHECK (visibility IN ('private', 'public')),
    last_version integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE model_versions (
    id uuid CONSTRAINT pk_model_versions PRIMARY KEY,
    model_id uuid NOT NULL
        CONSTRAINT fk_model_versions_model_id_models REFERENCES models (id) ON DELETE CASCADE,
    version integer NOT NULL,
    runtime text NOT NULL,
    artifact_key text NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    task text,
    columns jsonb,
    classes jsonb,
    metrics jsonb NOT NULL DEFAULT '{}',
    params jsonb NOT NULL DEFAULT '{}',
    lineage jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_model_versions_model_id_version UNIQUE (model_id, version)
);

CREATE TABLE model_aliases (
    model_id uuid NOT NULL
        CONSTRAINT fk_model_aliases_model_id_models REFERENCES models (id) ON DELETE CASCADE,
    alias text NOT NULL,
    version_id uuid NOT NULL
        CONSTRAINT fk_model_aliases_version_id_model_versions
        REFERENCES model_versions (id) ON DELETE CASCADE,
    CONSTRAINT pk_model_aliases PRIMARY KEY (model_id, alias)
);

ALTER TABLE jobs
    ADD COLUMN files jsonb,
    ADD COLUMN dataset_id uuid,
    ADD COLUMN model_version_id uuid,
    ADD COLUMN errors bigint NOT NULL DEFAULT 0;

ALTER TABLE job_groups
    ADD COLUMN search jsonb;

ALTER TABLE job_batches
    ALTER COLUMN output DROP NOT NULL,
    ADD COLUMN part_key text,
    ADD CONSTRAINT ck_job_batches_one_place CHECK (num_nonnulls(output, part_key) = 1);

ALTER TABLE job_checkpoints
    ALTER COLUMN data DROP NOT NULL,
    ADD COLUMN file jsonb,
    ADD CONSTRAINT ck_job_checkpoints_one_place CHECK (num_nonnulls(data, file) = 1)
"""

# Each index is named after the query that it serves.
INDEXES = """
CREATE INDEX ix_datasets_newest_of_owner ON datasets (owner_id, id DESC);
CREATE UNIQUE INDEX uq_models_of_owner ON models (owner_id, name);
CREATE UNIQUE INDEX uq_models_public ON models (name) WHERE visibility = 'public';
CREATE INDEX ix_model_aliases_of_version ON model_aliases (version_id);
CREATE INDEX ix_jobs_need_dataset ON jobs (dataset_id)
    WHERE dataset_id IS NOT NULL AND status IN ('pending', 'running');
CREATE INDEX ix_jobs_need_model_version ON jobs (model_version_id)
    WHERE model_version_id IS NOT NULL AND status IN ('pending', 'running')
"""


def upgrade() -> None:
    """Create the tables, and add columns for datasets, model versions and stored files to the job tables."""
    for statement in (TABLES + ";\n" + INDEXES).split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Drop the tables and columns, and the references to files with them."""
    op.execute("DELETE FROM job_batches WHERE output IS NULL")
    op.execute("DELETE FROM job_checkpoints WHERE data IS NULL")
    op.execute(
        "ALTER TABLE job_checkpoints DROP CONSTRAINT ck_job_checkpoints_one_place,"
        " DROP COLUMN file, ALTER COLUMN data SET NOT NULL"
    )
    op.execute(
        "ALTER TABLE job_batches DROP CONSTRAINT ck_job_batches_one_place,"
        " DROP COLUMN part_key, ALTER COLUMN output SET NOT NULL"
    )
    op.execute("DROP INDEX ix_jobs_need_model_version")
    op.execute("DROP INDEX ix_jobs_need_dataset")
    op.execute(
        "ALTER TABLE jobs DROP COLUMN errors, DROP COLUMN model_version_id, DROP COLUMN dataset_id,"
        " DROP COLUMN files"
    )
    op.execute("ALTER TABLE job_groups DROP COLUMN search")
    for table in ("model_aliases", "model_versions", "models", "datasets"):
        op.execute(f"DROP TABLE {table}")
