"""Count each user's stored bytes, add the key that signs hints, and make public model names unique per owner.

contract: 0006 stopped using the index uq_models_public

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
compatible_with = "0006"

# Writers only append changes, so that they never block each other; a maintenance loop sums them up.
COUNTED = """
CREATE TABLE stored_bytes (
    owner_id uuid NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    bytes bigint NOT NULL,
    CONSTRAINT pk_stored_bytes PRIMARY KEY (owner_id, id)
);

ALTER TABLE job_batches ADD COLUMN bytes bigint NOT NULL DEFAULT 0;

ALTER TABLE jobs
    ADD COLUMN stored_bytes bigint NOT NULL DEFAULT 0,
    ADD COLUMN checkpoint_bytes bigint NOT NULL DEFAULT 0,
    ADD COLUMN upload_bytes bigint NOT NULL DEFAULT 0;

ALTER TABLE jobs ADD COLUMN held_bytes bigint NOT NULL GENERATED ALWAYS AS (
    stored_bytes + CASE WHEN finished_at IS NULL THEN upload_bytes ELSE 0 END
) STORED
"""

# The sizes of part files are known only to storage, so part files older than this migration count as 0 bytes.
COUNT_WHAT_IS_THERE = """
UPDATE job_batches SET bytes = octet_length(output) WHERE output IS NOT NULL;

UPDATE jobs j SET
    stored_bytes = coalesce((SELECT octet_length(p.rows) FROM job_payloads p WHERE p.job_id = j.id), 0)
        + coalesce((SELECT sum(b.bytes) FROM job_batches b WHERE b.job_id = j.id), 0)
        + coalesce((SELECT coalesce(octet_length(c.data), (c.file ->> 'bytes')::bigint)
            FROM job_checkpoints c WHERE c.job_id = j.id), 0),
    checkpoint_bytes = coalesce((SELECT coalesce(octet_length(c.data), (c.file ->> 'bytes')::bigint)
        FROM job_checkpoints c WHERE c.job_id = j.id), 0),
    upload_bytes = CASE WHEN j.kind = 'inspect_model' AND j.finished_at IS NULL
        THEN coalesce((j.files -> 'model' ->> 'bytes')::bigint, 0) ELSE 0 END;

INSERT INTO stored_bytes (owner_id, bytes)
SELECT owner_id, sum(bytes) FROM (
    SELECT owner_id, held_bytes AS bytes FROM jobs
    UNION ALL SELECT owner_id, bytes + rows_bytes FROM datasets
    UNION ALL SELECT m.owner_id, v.bytes FROM model_versions v JOIN models m ON m.id = v.model_id
) held GROUP BY owner_id HAVING sum(bytes) <> 0
"""

FUNCTIONS = (
    """
CREATE FUNCTION count_job_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO stored_bytes (owner_id, bytes) VALUES (NEW.owner_id, NEW.held_bytes);
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO stored_bytes (owner_id, bytes) VALUES (NEW.owner_id, NEW.held_bytes - OLD.held_bytes);
    ELSE
        INSERT INTO stored_bytes (owner_id, bytes) VALUES (OLD.owner_id, -OLD.held_bytes);
    END IF;
    RETURN NULL;
END $$""",
    """
CREATE FUNCTION count_dataset_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO stored_bytes (owner_id, bytes) VALUES (NEW.owner_id, NEW.bytes + NEW.rows_bytes);
    ELSE
        INSERT INTO stored_bytes (owner_id, bytes) VALUES (OLD.owner_id, -OLD.bytes - OLD.rows_bytes);
    END IF;
    RETURN NULL;
END $$""",
    # If a version is deleted with its model, the model row is gone, and count_model_bytes has counted it.
    """
CREATE FUNCTION count_version_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO stored_bytes (owner_id, bytes)
        SELECT m.owner_id, NEW.bytes FROM models m WHERE m.id = NEW.model_id;
    ELSE
        INSERT INTO stored_bytes (owner_id, bytes)
        SELECT m.owner_id, -OLD.bytes FROM models m WHERE m.id = OLD.model_id;
    END IF;
    RETURN NULL;
END $$""",
    """
CREATE FUNCTION count_model_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stored_bytes (owner_id, bytes)
    SELECT OLD.owner_id, -sum(v.bytes) FROM model_versions v WHERE v.model_id = OLD.id HAVING count(*) > 0;
    RETURN OLD;
END $$""",
)

TRIGGERS = """
CREATE TRIGGER count_new_job_bytes AFTER INSERT ON jobs FOR EACH ROW
    WHEN (NEW.held_bytes <> 0) EXECUTE FUNCTION count_job_bytes();

CREATE TRIGGER count_changed_job_bytes AFTER UPDATE ON jobs FOR EACH ROW
    WHEN (NEW.held_bytes <> OLD.held_bytes) EXECUTE FUNCTION count_job_bytes();

CREATE TRIGGER count_deleted_job_bytes AFTER DELETE ON jobs FOR EACH ROW
    WHEN (OLD.held_bytes <> 0) EXECUTE FUNCTION count_job_bytes();

CREATE TRIGGER count_dataset_bytes AFTER INSERT OR DELETE ON datasets FOR EACH ROW
    EXECUTE FUNCTION count_dataset_bytes();

CREATE TRIGGER count_version_bytes AFTER INSERT OR DELETE ON model_versions FOR EACH ROW
    EXECUTE FUNCTION count_version_bytes();

CREATE TRIGGER count_model_bytes BEFORE DELETE ON models FOR EACH ROW EXECUTE FUNCTION count_model_bytes()
"""

# The first process to start creates the key. Access to Redis does not reveal it.
HINT_KEY = """
CREATE TABLE hint_keys (
    is_current boolean NOT NULL DEFAULT true CONSTRAINT pk_hint_keys PRIMARY KEY
        CONSTRAINT ck_hint_keys_one CHECK (is_current),
    key bytea NOT NULL
)
"""

MODELS = """
DROP INDEX uq_models_public;

CREATE INDEX ix_models_public_of_name ON models (name) WHERE visibility = 'public'
"""

# Columns that the guard of 0002 allows to change after a job's end.
ASIDE_BEFORE = "'idempotency_key', 'progress']"
ASIDE = "'idempotency_key', 'progress', 'stored_bytes', 'checkpoint_bytes', 'held_bytes']"


def upgrade() -> None:
    """Add the counters and compute their initial values, and create the key table and the index."""
    _change_guard(ASIDE_BEFORE, ASIDE)
    _run(COUNTED, COUNT_WHAT_IS_THERE)
    for function in FUNCTIONS:
        op.execute(function)
    _run(TRIGGERS, HINT_KEY, MODELS)


def downgrade() -> None:
    """Drop everything. Of several public models with the same name, only the oldest stays public."""
    _run(
        """UPDATE models m SET visibility = 'private' WHERE visibility = 'public' AND EXISTS (
            SELECT FROM models o WHERE o.name = m.name AND o.visibility = 'public' AND o.id < m.id)""",
        "DROP INDEX ix_models_public_of_name",
        "CREATE UNIQUE INDEX uq_models_public ON models (name) WHERE visibility = 'public'",
        "DROP TABLE hint_keys",
        "DROP TRIGGER count_model_bytes ON models",
        "DROP TRIGGER count_version_bytes ON model_versions",
        "DROP TRIGGER count_dataset_bytes ON datasets",
        "DROP TRIGGER count_deleted_job_bytes ON jobs",
        "DROP TRIGGER count_changed_job_bytes ON jobs",
        "DROP TRIGGER count_new_job_bytes ON jobs",
        *(f"DROP FUNCTION count_{what}_bytes()" for what in ("model", "version", "dataset", "job")),
        "ALTER TABLE jobs DROP COLUMN held_bytes",
        "ALTER TABLE jobs DROP COLUMN upload_bytes, DROP COLUMN checkpoint_bytes, DROP COLUMN stored_bytes",
        "ALTER TABLE job_batches DROP COLUMN bytes",
        "DROP TABLE stored_bytes",
    )
    _change_guard(ASIDE, ASIDE_BEFORE)


def _change_guard(old: str, new: str) -> None:
    # The server edits the definition, so that `alembic upgrade --sql` needs no database.
    op.execute(
        f"""DO $do$ BEGIN
            EXECUTE replace(pg_get_functiondef('jobs_guard'::regproc), $old${old}$old$, $new${new}$new$);
        END $do$"""
    )


def _run(*scripts: str) -> None:
    for script in scripts:
        statements = [script] if "$$" in script else script.split(";\n")
        for statement in statements:
            if statement.strip():
                op.execute(statement)
