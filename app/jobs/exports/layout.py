"""The layout of results as a table whose columns are the same in every row.

A column is named by the path to its value: the prediction `{"label": "a", "scores": {"a": 0.9}}` has the
columns `label` and `scores.a`. The columns are inferred from the first predictions, however many rows with
errors precede them. A list is one column of JSON, and so is an object whose members differ between rows.
The columns of the input are named `input.NAME`, or `input` if each row of the input is one value.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import msgspec

from app.jobs.results import ResultBatch

SAMPLE_ROWS: Final = 1000
SAMPLE_BYTES: Final = 4 * 1024 * 1024
MAX_COLUMNS: Final = 1000
"""With more columns than this, a prediction is one column of JSON."""

INDEX: Final = ("index", "input_index")
ID: Final = "id"
INPUT: Final = "input"
ERROR: Final = ("error.code", "error.message")

Path = tuple[str, ...]

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_decode_all: Final = msgspec.json.Decoder(list[dict[str, Any]]).decode


@dataclass(frozen=True)
class Layout:
    """The columns of a table: `paths` lead to the values of a prediction, `input_paths` to those of a row."""

    has_ids: bool
    has_errors: bool
    paths: tuple[Path, ...]
    input_paths: tuple[Path, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of all columns, each unique."""
        before = [*INDEX, *([ID] if self.has_ids else [])]
        before += [".".join((INPUT, *path)) for path in self.input_paths]
        after = list(ERROR) if self.has_errors else []
        taken = {*before, *after}
        own = []
        for path in self.paths:
            name = ".".join(path) or "prediction"
            while name in taken:
                name = f"prediction.{name}"
            taken.add(name)
            own.append(name)
        return [*before, *own, *after]

    def columns(self, batch: ResultBatch) -> list[list[Any]]:
        """Return the values of each column in a batch. A missing value is None; JSON is not encoded yet."""
        rows = _decode_all(b"[%s]" % b",".join(batch.lines))
        numbers = list(batch.numbers)
        predictions = [row.get("prediction") for row in rows]
        columns: list[list[Any]] = [numbers, numbers]
        if self.has_ids:
            columns.append([row.get(ID) for row in rows])
        columns += [_column(batch.inputs or (), path) for path in self.input_paths]
        columns += [_column(predictions, path) for path in self.paths]
        if self.has_errors:
            errors = [row.get("error") for row in rows]
            columns += [_column(errors, ("code",)), _column(errors, ("message",))]
        return columns


async def infer(
    batches: AsyncGenerator[ResultBatch, None], *, has_errors: bool, input_paths: tuple[Path, ...] = ()
) -> Layout:
    """Return the layout of a job's results, inferred from as many batches as that takes."""
    seen = seen_bytes = 0
    has_ids = False
    shape = _Shape()
    async with aclosing(batches):
        async for batch in batches:
            for line in batch.lines:
                row = _decode(line)
                has_ids = has_ids or ID in row
                if "prediction" in row:
                    shape.add(row["prediction"])
                    seen += 1
                    seen_bytes += len(line)
                if seen_bytes >= SAMPLE_BYTES:
                    break
            if seen >= SAMPLE_ROWS or seen_bytes >= SAMPLE_BYTES:
                break
    paths = tuple(islice(shape.paths(), MAX_COLUMNS + 1)) if seen else ()
    return Layout(has_ids, has_errors, paths if len(paths) <= MAX_COLUMNS else ((),), input_paths)


@dataclass
class _Shape:
    """The shape of the values at one path."""

    members: dict[str, "_Shape"] = field(default_factory=dict)
    is_value: bool = False
    is_object: bool = False

    def add(self, value: Any, *, is_prediction: bool = True) -> None:
        if not isinstance(value, dict):
            self.is_value = self.is_value or value is not None
            return
        # Members of the prediction itself may vary; elsewhere names that vary are data.
        if self.is_object and not is_prediction and value.keys() != self.members.keys():
            self.is_value = True
        self.is_object = True
        for name, member in value.items():
            self.members.setdefault(name, _Shape()).add(member, is_prediction=False)

    def paths(self, above: Path = ()) -> Iterator[Path]:
        if self.is_value or not self.members:
            yield above
            return
        for name, member in self.members.items():
            yield from member.paths((*above, name))


def _column(values: Sequence[Any], path: Path) -> list[Any]:
    """Return the member at a path of each value. It is fast if all values have it."""
    try:
        match path:
            case ():
                return list(values)
            case (name,):
                return [value[name] for value in values]
            case (outer, inner):
                return [value[outer][inner] for value in values]
    except (KeyError, TypeError, IndexError):
        pass
    return [_at(value, path) for value in values]


def _at(value: Any, path: Path) -> Any:
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value
