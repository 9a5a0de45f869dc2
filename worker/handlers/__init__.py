"""Handlers by kind: the worker's half. The API's half is in `app.jobs.kinds`."""

import pkgutil
from collections.abc import Coroutine
from typing import Any, Final

from worker.context import Handler, JobContext, Outcome
from worker.handlers.batch_predict import batch_predict


def _imported_when_called(name: str) -> Handler:
    """Return a handler that imports its module when called; the fork server may have preloaded it."""

    def handler(job: JobContext) -> Outcome | Coroutine[Any, Any, Outcome]:
        function: Handler = pkgutil.resolve_name(name)
        return function(job)

    return handler


HANDLERS: Final[dict[str, Handler]] = {
    "batch_predict": batch_predict,
    "convert_model": _imported_when_called("worker.handlers.convert_model:convert_model"),
    "evaluate_model": _imported_when_called("worker.handlers.evaluate_model:evaluate_model"),
    "inspect_model": _imported_when_called("worker.handlers.inspect_model:inspect_model"),
    "preprocess_dataset": _imported_when_called("worker.handlers.preprocess_dataset:preprocess_dataset"),
    "train_model": _imported_when_called("worker.handlers.train_model:train_model"),
}
