"""What the fork server loads for all children: handlers, runtimes and learners, built in and from plugins."""

from collections.abc import Iterable, Mapping
from typing import Final

from app.core.errors import ConfigurationError
from app.core.plugins import ExtensionPoint, modules
from app.models import formats
from worker import runtimes
from worker.context import Handler

BUILT_IN_HANDLERS: Final = "worker.handlers:HANDLERS"

HEAVY: Final = (
    "worker.handlers.evaluate_model",
    "worker.handlers.inspect_model",
    "worker.handlers.preprocess_dataset",
    "worker.handlers.train_model",
    "worker.runtimes.onnx.runtime",
    "worker.runtimes.sklearn.runtime",
    "worker.runtimes.vader",
    "worker.runtimes.warm_up:warm_up",
)
"""Slow to import, or to run for the first time. The fork server does it once, for all children."""

HANDLERS: Final = ExtensionPoint[Handler]("handlers", "handler", callable)


def install(plugins: Iterable[str], handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """Load the worker's half of the plugins into this process; return all handlers, with the given ones.

    The fork server calls this once, before it forks. The worker does not: it imports no handler and no ML
    library. Raises ConfigurationError if a plugin is wrong.
    """
    plugins = tuple(plugins)
    all_handlers = {**handlers, **HANDLERS.load(plugins, taken=handlers)}
    runtimes.install(plugins)
    if missing := [name for name in formats.load(plugins) if runtimes.file_runtime(name) is None]:
        raise ConfigurationError(f"PLUGINS: no runtime that loads files for the format {', '.join(missing)}")
    if any(not {"algorithms", "learners"}.isdisjoint(modules(plugin)) for plugin in plugins):
        from worker.training import learners  # takes seconds: it imports scikit-learn

        learners.install(plugins)
    return all_handlers
