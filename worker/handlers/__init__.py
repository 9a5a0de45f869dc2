"""The functions that do each kind of job; their other half, what the API knows, is in `app.jobs.kinds`."""

from typing import Final

from worker.context import Handler
from worker.handlers.batch_predict import batch_predict

HANDLERS: Final[dict[str, Handler]] = {
    "batch_predict": batch_predict,
}
