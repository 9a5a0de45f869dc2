"""Runtimes by name. Each runs the models of one framework: the built-in ones, and those that plugins add."""

import functools
import pkgutil
from collections.abc import Callable, Iterable
from typing import Final, cast

from app.core.plugins import ExtensionPoint
from worker.runtimes.runtime import FileRuntime, Runtime

FILE_RUNTIMES: Final = {
    "onnx": "worker.runtimes.onnx.runtime:OnnxRuntime",
    "sklearn": "worker.runtimes.sklearn.runtime:SklearnRuntime",
}
"""The built-in runtimes whose models users can upload. Named, not imported: some take seconds to import."""

RUNTIMES: Final = {**FILE_RUNTIMES, "vader": "worker.runtimes.vader:VaderRuntime"}

ADDED: Final = ExtensionPoint[Callable[[], Runtime]]("runtimes", "runtime", callable)

_added: Final[dict[str, Callable[[], Runtime]]] = {}


def install(plugins: Iterable[str]) -> None:
    """Load the runtimes of these plugins, instead of any loaded earlier.

    Raises ConfigurationError if a plugin is wrong.
    """
    found = ADDED.load(plugins, taken=RUNTIMES)
    _added.clear()
    _added.update(found)
    runtime.cache_clear()


@functools.cache
def runtime(name: str) -> Runtime | None:
    """Return the runtime of this name, imported on first use; None if there is none."""
    if name in _added:
        return _added[name]()
    return cast("Runtime", pkgutil.resolve_name(RUNTIMES[name])()) if name in RUNTIMES else None


def file_runtime(name: str) -> FileRuntime | None:
    """Return the runtime of this name if users can upload files for it, otherwise None."""
    found = runtime(name) if name in FILE_RUNTIMES or name in _added else None
    return found if isinstance(found, FileRuntime) else None
