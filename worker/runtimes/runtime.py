"""What a runtime is: how the models of one framework are loaded and run, and looked at when they are new."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from app.jobs.params import ModelReference
from app.models.versions import Signature
from worker.context import JobError

__all__ = ["BrokenModel", "FileRuntime", "Model", "QuickModel", "Runtime", "Signature", "UnsafeModel"]

MAX_NAMED_TYPES: Final = 20
"""An answer names so many of what it refuses; a hostile file may hold thousands."""

MAX_REASON_CHARACTERS: Final = 300


class UnsafeModel(JobError):
    """The file asks for what is never loaded; never retried. `types` are the names of it."""

    def __init__(self, types: Collection[str], reason: str | None = None) -> None:
        self.types = tuple(_shortened(name) for name in sorted(types)[:MAX_NAMED_TYPES])
        more = "" if len(types) <= MAX_NAMED_TYPES else f" and {len(types) - MAX_NAMED_TYPES} more"
        said = (
            _shortened(reason)
            if reason
            else f"it needs what is not loaded here: {', '.join(self.types)}{more}"
        )
        super().__init__("unsafe_model", f"The model is not safe to load: {said}.", is_retryable=False)


class BrokenModel(JobError):
    """The file is no model that can be loaded; never retried. `reason` is the end of a sentence."""

    def __init__(self, reason: str) -> None:
        message = f"The model cannot be loaded: {_shortened(reason)}."
        super().__init__("broken_model", message, is_retryable=False)


class Model(Protocol):
    """A loaded model."""

    def predict(self, rows: Sequence[Any]) -> list[Any]:
        """One prediction for each row and in the same order: a JSON value, or a RowError for a row at fault.

        Raises JobError `prediction_failed` if the model cannot be run on these rows, whichever is at fault.
        """
        ...


@runtime_checkable
class QuickModel(Model, Protocol):
    """A model that is also asked in another way where its predictions are only to be stored."""

    def predict_to_write(self, rows: Sequence[Any]) -> list[Any]:
        """What `predict` says, to the byte once it is JSON, but in any form that msgspec writes so.

        See `worker.runtimes.prediction_structs`. Raises what `predict` raises.
        """
        ...


class Runtime(Protocol):
    """Loads models."""

    def load(self, reference: ModelReference, path: Path | None) -> Model:
        """Load exactly this version of a model; `path` is its file, None for one that is built in.

        Raises UnsafeModel, BrokenModel.
        """
        ...


class FileRuntime(Runtime, Protocol):
    """Loads models from files that users may bring."""

    def inspect(self, path: Path) -> Signature:
        """Load a file of unknown origin, as far as it is safe, and say what it is.

        Raises UnsafeModel, BrokenModel.
        """
        ...


def _shortened(text: str) -> str:
    """One line of readable characters, and not many of them."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    line = " ".join(line.split()).rstrip(".")
    return line if len(line) <= MAX_REASON_CHARACTERS else f"{line[:MAX_REASON_CHARACTERS]}…"
