"""One Postgres shared by several test processes, started by their parent process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.embedded.postgres import EmbeddedPostgres
from app.embedded.servers import EmbeddedServers

DATA_DIR: Final = "HEADRACE_TESTS_POSTGRES_DATA"
SOCKET_DIR: Final = "HEADRACE_TESTS_POSTGRES_SOCKET"


def environment(postgres: EmbeddedPostgres) -> dict[str, str]:
    """Return the environment variables that make test processes use this Postgres."""
    return {DATA_DIR: str(postgres.data_dir), SOCKET_DIR: str(postgres.socket_dir)}


def is_configured() -> bool:
    """Whether the environment names a shared Postgres."""
    return DATA_DIR in os.environ


@contextmanager
def servers(folder: Path) -> Iterator[EmbeddedServers]:
    """Use the shared Postgres, and a new Valkey, which starts quickly and is flushed often."""
    both = EmbeddedServers(folder)
    both.postgres = EmbeddedPostgres(Path(os.environ[DATA_DIR]))
    both.postgres.socket_dir = Path(os.environ[SOCKET_DIR])
    both.valkey.start()
    try:
        yield both
    finally:
        both.valkey.stop()
