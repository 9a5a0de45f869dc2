"""Handlers that run in the worker's own process: see `worker.children.inside`."""

import pkgutil
from functools import partial
from typing import Final

from app.core.mail import Mailer
from worker.children.inside import InsideHandler

INSIDE: Final[dict[str, str]] = {"send_email": "worker.handlers.send_email:send_email"}
"""Handlers by kind. Named, not imported: a worker that sends no e-mail imports none."""


def inside(mailer: Mailer | None) -> dict[str, InsideHandler]:
    """Return the handlers that run in the worker. Without a mailer it does not send e-mail."""
    if mailer is None:
        return {}
    return {kind: partial(pkgutil.resolve_name(name), mailer=mailer) for kind, name in INSIDE.items()}
