"""Settings of one system for all tests of a module, with a database of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.core.config import Settings, load_settings
from tests.support.databases import Databases


@contextmanager
def module_settings(databases: Databases, redis_url: str, storage: Path, **more: Any) -> Iterator[Settings]:
    """Yield the settings, while the database exists."""
    with databases.migrated() as database_url:
        yield load_settings(
            _env_file=None,
            database_url=database_url,
            redis_url=redis_url,
            storage_url=storage.as_uri(),
            **more,
        )
