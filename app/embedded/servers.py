"""Both servers together, for development and tests."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from app.embedded.postgres import EmbeddedPostgres
from app.embedded.valkey import EmbeddedValkey


class EmbeddedServers:
    """Postgres and Valkey below one data directory; use it as a context manager."""

    def __init__(
        self,
        data_dir: Path,
        *,
        postgres_options: Mapping[str, str] | None = None,
        valkey_options: Mapping[str, str] | None = None,
    ) -> None:
        self.postgres = EmbeddedPostgres(data_dir / "postgres", options=postgres_options)
        self.valkey = EmbeddedValkey(data_dir / "valkey", options=valkey_options)

    @property
    def urls(self) -> dict[str, str]:
        """The URLs by the names of the settings."""
        return {"DATABASE_URL": self.postgres.url, "REDIS_URL": self.valkey.url}

    def start(self) -> None:
        """Start both, or neither. Raises EmbeddedServerError."""
        # One after the other: Valkey starts in a twentieth of a second.
        try:
            self.valkey.start()
            self.postgres.start()
        except BaseException:
            self.valkey.stop()
            raise

    def stop(self) -> None:
        """Stop both, Postgres first."""
        try:
            self.postgres.stop()
        finally:
            self.valkey.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
