"""Whose fault it is that an attempt failed: users act on one kind, operators on the other."""

from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """The value of the label `fault`. Only `system` spends the error budget."""

    NONE = "none"
    USER = "user"
    SYSTEM = "system"


SYSTEM: Final = frozenset(
    {
        "artifact_integrity",
        "broken_checkpoint",
        "child_died",
        "child_protocol_error",
        "child_start_failed",
        "file_missing",
        "gpu_unavailable",
        "no_disk",
        "storage_unavailable",
        "unknown_algorithm",
        "unknown_kind",
        "unknown_runtime",
        "worker_lost",
    }
)
"""Codes of failures that the job did not cause: processes, storage, and workers that lack a plugin."""

USER: Final = frozenset(
    {
        "alias_not_found",
        "bad_input",
        "bad_target",
        "bad_value",
        "broken_model",
        "conversion_differs",
        "disk_limit",
        "duplicate_keys",
        "handler_error",
        "handler_exit",
        "mail_deferred",
        "memory_limit",
        "message_too_large",
        "missing_file",
        "model_in_use",
        "model_not_found",
        "model_quota_exceeded",
        "name_reserved",
        "no_rows_left",
        "not_comparable",
        "not_convertible",
        "prediction_failed",
        "quota_exceeded",
        "recipient_refused",
        "shards_failed",
        "time_limit",
        "too_large_to_train",
        "too_many_row_errors",
        "too_many_values",
        "training_diverged",
        "unsafe_model",
        "unserialisable_output",
        "unstorable_output",
        "wrong_prediction_count",
    }
)
"""Codes of failures by the handler, its model or its input. Handlers of plugins add their own."""


def fault_of(code: str) -> Fault:
    """Return whose fault an error is, by its code. What a plugin raises is its user's."""
    return Fault.SYSTEM if code in SYSTEM else Fault.USER
