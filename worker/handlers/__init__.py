"""Handlers by kind: the worker's half. The API's half is in `app.jobs.kinds`."""

import pkgutil
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from worker.context import Handler, JobContext, Outcome
from worker.handlers.batch_predict import batch_predict

if TYPE_CHECKING:  # the fork server imports this module, and must not import what only the worker needs
    from app.core.mail import Mailer
    from worker.children.inside import InsideHandler


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

INSIDE: Final[dict[str, str]] = {"send_email": "worker.handlers.send_email:send_email"}
"""Handlers that run in the worker's own process, by kind: see `worker.children.inside`."""


def inside(mailer: "Mailer | None") -> "dict[str, InsideHandler]":
    """Return the handlers that run in the worker. Without a mailer it does not send e-mail."""
    if mailer is None:
        return {}
    return {kind: partial(pkgutil.resolve_name(name), mailer=mailer) for kind, name in INSIDE.items()}
