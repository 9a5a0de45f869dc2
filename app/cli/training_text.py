"""Describes a training on a terminal: each epoch, the trained model, and the metrics of a model."""

from collections.abc import Mapping
from typing import Any, Final

_EPOCH_METRICS: Final = {
    "train_loss": "loss",
    "valid_loss": "validation loss",
    "valid_accuracy": "accuracy",
    "valid_r2": "R²",
}
_MODEL_METRICS: Final = {"accuracy": "accuracy", "r2": "R²"}
_EVALUATION_METRICS: Final = {
    "accuracy": "accuracy",
    "f1_macro": "f1_macro",
    "roc_auc": "roc_auc",
    "r2": "R²",
    "rmse": "rmse",
    "mae": "mae",
}


def describe_epoch(metrics: Mapping[str, Any]) -> str:
    """The metrics of an epoch, such as `loss 0.251, validation loss 0.382, accuracy 0.944`."""
    return _describe(_EPOCH_METRICS, metrics)


def describe_result(result: Mapping[str, Any]) -> str | None:
    """The model version of a training and its metrics, or the metrics of an evaluation; None for others."""
    if isinstance(result.get("metrics"), Mapping) and "history" not in result:
        return _describe(_EVALUATION_METRICS, result["metrics"])
    metrics = _describe(_MODEL_METRICS, result)
    if "fold" in result:
        return f"fold {result['fold']} of {result['folds']}, {metrics}"
    if "history" not in result or "model" not in result:
        return None
    return f"{result['model']}, {metrics}" if metrics else str(result["model"])


def _describe(labels: Mapping[str, str], values: Mapping[str, Any]) -> str:
    found = ((label, values.get(name)) for name, label in labels.items())
    return ", ".join(f"{label} {value:.3f}" for label, value in found if isinstance(value, int | float))
