"""The functions that do each kind of job; their other half, what the API knows, is in `app.jobs.kinds`."""

from typing import Final

from worker.context import Handler
from worker.handlers.batch_predict import batch_predict
from worker.handlers.evaluate_model import evaluate_model
from worker.handlers.inspect_model import inspect_model
from worker.handlers.train_model import train_model

HANDLERS: Final[dict[str, Handler]] = {
    "batch_predict": batch_predict,
    "evaluate_model": evaluate_model,
    "inspect_model": inspect_model,
    "train_model": train_model,
}
