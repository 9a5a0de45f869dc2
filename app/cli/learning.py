"""What is said of a training on a terminal: after each epoch, and of what came of it."""

from collections.abc import Mapping
from typing import Any, Final

_OF_AN_EPOCH: Final = {
    "train_loss": "loss",
    "valid_loss": "validation loss",
    "valid_accuracy": "accuracy",
    "valid_r2": "R²",
}
_OF_A_MODEL: Final = {"accuracy": "accuracy", "r2": "R²"}


def after_epoch(metrics: Mapping[str, Any]) -> str:
    """How good the model is by now: `loss 0.251, validation loss 0.382, accuracy 0.944`."""
    return _said(_OF_AN_EPOCH, metrics)


def outcome(result: Mapping[str, Any]) -> str | None:
    """The version that came of it, and how good it is; None for the result of no training."""
    if "history" not in result or "model" not in result:
        return None
    measured = _said(_OF_A_MODEL, result)
    return f"{result['model']}, {measured}" if measured else str(result["model"])


def _said(names: Mapping[str, str], numbers: Mapping[str, Any]) -> str:
    there = ((said, numbers.get(name)) for name, said in names.items())
    return ", ".join(f"{said} {number:.3f}" for said, number in there if isinstance(number, int | float))
