"""The frameworks whose models can be run, each by its name."""

from typing import Final

from worker.runtimes.onnx import OnnxRuntime
from worker.runtimes.runtime import FileRuntime, Runtime
from worker.runtimes.sklearn import SklearnRuntime
from worker.runtimes.vader import VaderRuntime

FILE_RUNTIMES: Final[dict[str, FileRuntime]] = {
    "onnx": OnnxRuntime(),
    "sklearn": SklearnRuntime(),
}
"""Those whose models users may bring as files."""

RUNTIMES: Final[dict[str, Runtime]] = {
    **FILE_RUNTIMES,
    "vader": VaderRuntime(),
}
