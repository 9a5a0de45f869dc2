"""Bring a database to the present schema."""

from pathlib import Path

import alembic.command
from alembic.config import Config

ALEMBIC_INI = Path(__file__).parents[2] / "alembic.ini"


def alembic_config(database_url: str) -> Config:
    """Alembic's configuration for one database."""
    config = Config(ALEMBIC_INI)
    config.attributes["database_url"] = database_url
    return config


def migrate(database_url: str) -> None:
    """Run the migrations that are missing. Not from within an event loop: Alembic runs its own."""
    alembic.command.upgrade(alembic_config(database_url), "head")
