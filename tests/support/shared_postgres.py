"""One Postgres for many test processes, one after another or at once: whoever starts them starts it."""

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
    """The environment in which tests use this Postgres instead of one of their own."""
    return {DATA_DIR: str(postgres.data_dir), SOCKET_DIR: str(postgres.socket_dir)}


def is_there() -> bool:
    """Whether this process was given one."""
    return DATA_DIR in os.environ


@contextmanager
def servers(folder: Path) -> Iterator[EmbeddedServers]:
    """The Postgres that was given, and a Valkey of our own, which starts in no time and is emptied often."""
    both = EmbeddedServers(folder)
    both.postgres = EmbeddedPostgres(Path(os.environ[DATA_DIR]))
    both.postgres.socket_dir = Path(os.environ[SOCKET_DIR])
    both.valkey.start()
    try:
        yield both
    finally:
        both.valkey.stop()
