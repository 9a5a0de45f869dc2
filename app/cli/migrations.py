"""Migrates a database to the current schema."""

from pathlib import Path

import alembic.command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.cli.output import print_json
from app.core import hardening
from app.core.config import load_settings

ALEMBIC_INI = Path(__file__).parents[2] / "alembic.ini"


def run(*, as_json: bool) -> None:
    """Migrate the database at DATABASE_URL."""
    database_url = load_settings().database_url
    hardening.drop_secrets()
    migrate(database_url)
    revision = ScriptDirectory.from_config(alembic_config(database_url)).get_current_head()
    if as_json:
        print_json({"revision": revision})
    else:
        print(f"The database is at revision {revision}.")


def alembic_config(database_url: str) -> Config:
    """Alembic's configuration for one database."""
    config = Config(ALEMBIC_INI)
    config.attributes["database_url"] = database_url
    return config


def migrate(database_url: str) -> None:
    """Run the missing migrations. Not from within an event loop: Alembic runs one of its own."""
    alembic.command.upgrade(alembic_config(database_url), "head")
