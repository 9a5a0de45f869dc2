"""The frameworks whose models can be run, each by its name."""

import functools
import pkgutil
from typing import Final, cast

from worker.runtimes.runtime import FileRuntime, Runtime

FILE_RUNTIMES: Final = {
    "onnx": "worker.runtimes.onnx.runtime:OnnxRuntime",
    "sklearn": "worker.runtimes.sklearn.runtime:SklearnRuntime",
}
"""Those whose models users may bring as files. Named, not imported: that takes seconds for some."""

RUNTIMES: Final = {**FILE_RUNTIMES, "vader": "worker.runtimes.vader:VaderRuntime"}


@functools.cache
def runtime(name: str) -> Runtime | None:
    """The runtime of this name, imported when it is first asked for; None if there is none."""
    return cast("Runtime", pkgutil.resolve_name(RUNTIMES[name])()) if name in RUNTIMES else None


def file_runtime(name: str) -> FileRuntime | None:
    """The runtime of this name, if users may bring files for it."""
    return cast("FileRuntime", runtime(name)) if name in FILE_RUNTIMES else None
