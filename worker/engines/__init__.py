"""What starts the processes in which jobs run: on the worker's machine, or on nodes elsewhere."""

import pkgutil
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, cast

from app.core.config import Settings
from app.core.errors import ConfigurationError
from worker.engines.engine import Engine

ENGINES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "pool": "worker.engines.pool:create",
        "ray": "worker.engines.ray.starting:create",
        "loopback": "worker.engines.loopback:create",
    }
)
"""The functions that create engines, by the value of `ENGINE`. The one that is chosen is imported."""

Create = Callable[[Settings, int], Engine]
"""Returns an engine for a worker with this number of slots. Raises ConfigurationError."""


def create(settings: Settings, slots: int) -> Engine:
    """Return the engine that `ENGINE` names. Raises ConfigurationError."""
    name = ENGINES.get(settings.engine)
    if name is None:
        raise ConfigurationError(f"ENGINE: unknown engine; choose one of {', '.join(ENGINES)}")
    return cast(Create, pkgutil.resolve_name(name))(settings, slots)
