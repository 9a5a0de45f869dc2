"""The protocol of runtimes. A runtime loads, runs and inspects the models of one framework."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from app.jobs.params import ModelReference
from app.models.versions import Signature
from worker.context import JobError

__all__ = ["BrokenModel", "FileRuntime", "Model", "QuickModel", "Runtime", "Signature", "UnsafeModel"]

MAX_NAMED_TYPES: Final = 20
"""Most types that one error names; a hostile file may contain thousands."""

MAX_REASON_CHARACTERS: Final = 300


class UnsafeModel(JobError):
    """The file contains `types` that are not trusted, and so never loaded. Not retried."""

    def __init__(self, types: Collection[str], reason: str | None = None) -> None:
        self.types = tuple(_shorten(name) for name in sorted(types)[:MAX_NAMED_TYPES])
        more = "" if len(types) <= MAX_NAMED_TYPES else f" and {len(types) - MAX_NAMED_TYPES} more"
        cause = (
            _shorten(reason)
            if reason
            else f"it contains types that are not trusted: {', '.join(self.types)}{more}"
        )
        super().__init__("unsafe_model", f"The model is not safe to load: {cause}.", is_retryable=False)


class BrokenModel(JobError):
    """The file is not a model, or is damaged. Not retried. `reason` completes the sentence of the message."""

    def __init__(self, reason: str) -> None:
        message = f"The model cannot be loaded: {_shorten(reason)}."
        super().__init__("broken_model", message, is_retryable=False)


class Model(Protocol):
    """A loaded model."""

    def predict(self, rows: Sequence[Any]) -> list[Any]:
        """Return one prediction per row, in order: a JSON value, or a RowError for an invalid row.

        Raises JobError `prediction_failed` if the model fails and no single row can be blamed.
        """
        ...


@runtime_checkable
class QuickModel(Model, Protocol):
    """A model with a faster method for predictions that are only stored."""

    def predict_to_write(self, rows: Sequence[Any]) -> list[Any]:
        """Return what `predict` returns, as any objects that msgspec encodes to the same JSON bytes.

        See `worker.runtimes.prediction_structs`. Raises what `predict` raises.
        """
        ...


class Runtime(Protocol):
    """Loads the models of one framework. Created once per process, without arguments."""

    def load(self, reference: ModelReference, path: Path | None) -> Model:
        """Load this version of a model. `path` is its file, or None for a built-in model.

        The caller has compared the file's SHA-256 with the registry, and caches the model.
        Raises UnsafeModel, BrokenModel.
        """
        ...


@runtime_checkable
class FileRuntime(Runtime, Protocol):
    """A runtime whose models users can upload, so it must expect hostile files.

    `inspect` and `load` run only in a confined child process, but confinement is the second line of defence.
    Whatever the file contains, they must not:

    - execute what it says: no pickle, no `eval`, no import of a name that comes from it;
    - use memory or time out of proportion to its size: check sizes before allocating;
    - write files, start processes or open connections (the child may not, and the attempt would fail);
    - raise anything but UnsafeModel and BrokenModel, which become the response to the upload.

    `load` must refuse every file that `inspect` refuses: a file may reach `load` without an inspection.
    """

    def inspect(self, path: Path) -> Signature:
        """Check an uploaded file and return the signature of its model.

        Raises UnsafeModel, BrokenModel.
        """
        ...


def _shorten(text: str) -> str:
    """Return the text as one line of printable characters, cut to `MAX_REASON_CHARACTERS`."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    line = " ".join(line.split()).rstrip(".")
    return line if len(line) <= MAX_REASON_CHARACTERS else f"{line[:MAX_REASON_CHARACTERS]}…"
