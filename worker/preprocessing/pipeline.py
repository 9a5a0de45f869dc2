"""All steps of a preprocess job, and the passes in which they see the rows.

A step that needs a survey divides the work: one pass brings all rows to it, through the steps before it, and
only the next pass goes on. The last pass brings the rows through all steps to the outputs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never

from app.datasets.reading import RowReader
from app.jobs.preprocessing.steps import (
    WHOLE,
    AnyStep,
    Cast,
    DateParts,
    Deduplicate,
    Drop,
    Fill,
    Filter,
    Join,
    MapValues,
    NormalizeText,
    Rename,
    Sample,
    Select,
    Split,
    join_file,
)
from worker.preprocessing.chunk import Chunk
from worker.preprocessing.column_steps import (
    Casting,
    DatePartsDerivation,
    Removal,
    Renaming,
    Selection,
    TextNormalization,
    ValueMapping,
)
from worker.preprocessing.filling import Filling, StatisticFilling
from worker.preprocessing.joining import Joining
from worker.preprocessing.operation import Operation
from worker.preprocessing.row_steps import Deduplication, Filtering, Sampling
from worker.preprocessing.splitting import Splitting


class Pipeline:
    """Brings chunks through the steps, in as many passes as they need."""

    def __init__(self, steps: Sequence[AnyStep], open_joined: Callable[[str], RowReader]) -> None:
        """`open_joined` opens a file of the job by its name."""
        self._operations = [_operation(index, step, open_joined) for index, step in enumerate(steps)]
        self._surveyed = [operation for operation in self._operations if operation.needs_survey]
        last = self._operations[-1]
        self._splitting = last if isinstance(last, Splitting) else None

    @property
    def passes(self) -> int:
        """How many passes there are."""
        return len(self._surveyed) + 1

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return (WHOLE,) if self._splitting is None else self._splitting.parts

    def begin(self, number: int) -> None:
        """Begin a pass, numbered from 0, after the survey of the pass before it."""
        if number:
            self._surveyed[number - 1].settle()
        for operation in self._operations:
            operation.restart()

    def survey(self, number: int, chunk: Chunk) -> int:
        """Bring rows to the step that this pass is for. Returns how many reach it."""
        surveyed = self._surveyed[number]
        for operation in self._operations:
            if operation is surveyed:
                break
            chunk = operation.apply(chunk)
        surveyed.survey(chunk)
        return len(chunk)

    def finish(self, chunk: Chunk) -> list[Chunk]:
        """Bring rows through all steps. Returns those of each output."""
        for operation in self._operations:
            if operation is self._splitting:
                return self._splitting.divide(chunk)
            chunk = operation.apply(chunk)
        return [chunk]

    def state(self) -> list[Mapping[str, Any]]:
        """Return the states of all steps."""
        return [operation.state() for operation in self._operations]

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Take over the states of all steps."""
        for operation, state in zip(self._operations, states, strict=True):
            operation.restore(state)


def _operation(index: int, step: AnyStep, open_joined: Callable[[str], RowReader]) -> Operation:
    number = index + 1
    match step:
        case Select():
            return Selection(number, step)
        case Drop():
            return Removal(number, step)
        case Rename():
            return Renaming(number, step)
        case Cast():
            return Casting(number, step)
        case Fill():
            return Filling(number, step) if step.statistic is None else StatisticFilling(number, step)
        case Filter():
            return Filtering(number, step)
        case Deduplicate():
            return Deduplication(number, step)
        case Sample():
            return Sampling(number, step)
        case Join():
            return Joining(number, step, open_joined(join_file(index)))
        case DateParts():
            return DatePartsDerivation(number, step)
        case NormalizeText():
            return TextNormalization(number, step)
        case MapValues():
            return ValueMapping(number, step)
        case Split():
            return Splitting(number, step)
        case never:
            assert_never(never)
