"""The worker's half: check a file, load it, predict.

A constant model predicts the same for every row. It is the baseline that a real model has to beat.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from app.jobs.params import ModelReference
from app.models.versions import InputColumn, Signature, Task
from examples.constant_runtime.formats import RUNTIME
from worker.context import RowError
from worker.runtimes.runtime import BrokenModel

MAX_BYTES: Final = 1024 * 1024


class ConstantFile(msgspec.Struct, frozen=True, tag_field="format", tag=RUNTIME, forbid_unknown_fields=True):
    """The content of a file: `scores` of the labels, or `value`; and the names of the columns of a row."""

    columns: tuple[str, ...]
    scores: dict[str, float] | None = None
    value: float | None = None

    def __post_init__(self) -> None:
        """Check what the types do not. msgspec reports the ValueError as a ValidationError."""
        if (self.value is None) == (not self.scores):
            raise ValueError("it needs either scores or a value")


class ConstantModel:
    """Predicts the constant for each row with the right number of cells."""

    def __init__(self, content: ConstantFile) -> None:
        self._width = len(content.columns)
        self._prediction: dict[str, Any] = {"value": content.value}
        if content.scores:
            label = max(content.scores, key=content.scores.__getitem__)
            self._prediction = {"label": label, "score": content.scores[label], "scores": content.scores}

    def predict(self, rows: Sequence[Any]) -> list[Any]:
        """Return one prediction per row, or a RowError."""
        return [self._predict(row) for row in rows]

    def _predict(self, row: Any) -> Any:
        if not isinstance(row, list) or len(row) != self._width:
            return RowError("bad_row", f"the row is not a list of {self._width} values")
        return self._prediction


class ConstantRuntime:
    """Both methods read the file the same way, so `load` refuses whatever `inspect` refuses."""

    def inspect(self, path: Path) -> Signature:
        """Return the signature. Raises BrokenModel."""
        content = _read(path)
        return Signature(
            task=Task.REGRESSION if content.scores is None else Task.CLASSIFICATION,
            columns=tuple(InputColumn(name, "any") for name in content.columns),
            classes=None if content.scores is None else tuple(content.scores),
            library_versions={"msgspec": msgspec.__version__},
        )

    def load(self, reference: ModelReference, path: Path | None) -> ConstantModel:
        """Return the model. Raises BrokenModel."""
        if path is None:
            raise BrokenModel("a constant model needs a file")
        return ConstantModel(_read(path))


def _read(path: Path) -> ConstantFile:
    if path.stat().st_size > MAX_BYTES:
        raise BrokenModel(f"it has more than {MAX_BYTES} bytes")
    try:
        return msgspec.json.decode(path.read_bytes(), type=ConstantFile)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BrokenModel(str(error)) from None


RUNTIMES: Final = {RUNTIME: ConstantRuntime}
