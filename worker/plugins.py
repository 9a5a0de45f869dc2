"""Where the handlers are: ours, and those of the packages that the setting PLUGINS names."""

from collections.abc import Iterable
from typing import Final

OURS: Final = "worker.handlers:HANDLERS"

HEAVY: Final = (
    "worker.handlers.evaluate_model",
    "worker.handlers.inspect_model",
    "worker.handlers.train_model",
    "worker.runtimes.onnx.runtime",
    "worker.runtimes.sklearn.runtime",
    "worker.runtimes.vader",
    "worker.runtimes.warm_up:warm_up",
)
"""What takes long to import or to run for the first time. The fork server does it once, for all children."""


def handler_mappings(plugins: Iterable[str]) -> str:
    """The names of all mappings from kinds to handlers, as the fork server loads them.

    Names only: the worker itself imports no handler, and so no ML library.
    """
    return ",".join((OURS, *(f"{plugin}.handlers:HANDLERS" for plugin in plugins)))
