"""`preprocess_dataset`: bring the rows of a dataset through steps, and hand over the files of new datasets.

The rows are read in units of 10 000, once for each pass. Each unit is a batch. A tenth of all units after the
last one, a checkpoint holds everything that the rest depends on, with the rows of the outputs so far; an
attempt that resumes repeats the units since then. All decisions depend on the rows, the steps and their seeds
only, so the files are the same, byte for byte, however often the job was interrupted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from app.datasets.reading import RowReader
from app.jobs.params import PreprocessDatasetParams
from app.jobs.preprocessing.steps import UNIT_ROWS, units
from worker import predictions
from worker.context import JobContext, JobError, Outcome, Yielded
from worker.preprocessing import checkpoints, outputs
from worker.preprocessing.chunk import Chunk
from worker.preprocessing.pipeline import Pipeline
from worker.preprocessing.spool import Spool

DATASET: Final = "dataset"
CHECKPOINTS: Final = 10
"""How many checkpoints a job with many units has: each is as large as the outputs so far."""


def preprocess_dataset(job: JobContext) -> Outcome:
    """Work through all units, and write the outputs. The result says how many rows were read and left."""
    params = predictions.parse_params(job, PreprocessDatasetParams)
    pa.set_cpu_count(1)
    work = _Work(job, params)
    between = max(1, work.units // CHECKPOINTS)
    while work.unit < work.units:
        if job.stop_requested:
            return Yielded()
        step = work.step
        counts = work.do_unit()
        if work.unit <= job.resume.batch:
            continue  # an earlier attempt has committed it
        is_last = work.unit == work.units
        is_due = work.unit % between == 0 and not is_last
        job.commit([counts], step=step, checkpoint=work.checkpoint() if is_due else None, is_last=is_last)
    return work.publish()


@dataclass(frozen=True)
class _Place:
    """A unit: its pass, and the first of its rows."""

    number: int
    first: int


class _Work:
    """The work of a job: units 0 to `units - 1`, of which `unit` is next."""

    def __init__(self, job: JobContext, params: PreprocessDatasetParams) -> None:
        """Begin, or continue from the last checkpoint. Raises BrokenCheckpoint and DuplicateKeys."""
        self._job = job
        self._reader = RowReader(job.file(DATASET))
        self._pipeline = Pipeline(params.steps, lambda name: RowReader(job.file(name)))
        self._units_of_pass = units(len(self._reader))
        self.units: Final = self._pipeline.passes * self._units_of_pass
        self._folder = job.scratch / "outputs"
        self._folder.mkdir()
        self._spools = {
            name: Spool(self._folder / f"output-{index}") for index, name in enumerate(self._pipeline.outputs)
        }
        self.unit = 0
        self._restore()

    @property
    def step(self) -> str:
        """What is shown as the step of the next unit."""
        place = self._place
        end = min(place.first + UNIT_ROWS, len(self._reader))
        return f"Pass {place.number + 1}/{self._pipeline.passes}, row {end}/{len(self._reader)}"

    def do_unit(self) -> dict[str, Any]:
        """Work through the next unit. Returns how many rows it read, and how many were left."""
        place = self._place
        if place.first == 0:
            self._pipeline.begin(place.number)
        is_survey = place.number < self._pipeline.passes - 1
        read = left = 0
        for chunk in self._chunks(place.first):
            read += len(chunk)
            left += self._pipeline.survey(place.number, chunk) if is_survey else self._write(chunk)
        self.unit += 1
        return {"pass": place.number + 1, "read": read, "left": left}

    def checkpoint(self) -> Path:
        """Write a checkpoint into the scratch folder."""
        path = self._job.scratch / "checkpoint"
        state = {"unit": self.unit, "steps": self._pipeline.state()}
        checkpoints.write(path, state, (spool.path for spool in self._spools.values()))
        return path

    def publish(self) -> dict[str, Any]:
        """Hand over the files of all outputs. Raises NoRowsLeft."""
        made = [outputs.publish(self._job, name, spool) for name, spool in self._spools.items()]
        for output in made:
            columns = len(output["columns"])
            self._job.log(
                f"Wrote {output['rows']} of {len(self._reader)} rows to {output['output']!r},"
                f" {columns} columns."
            )
        return {"rows": len(self._reader), "outputs": made}

    @property
    def _place(self) -> _Place:
        number, unit = divmod(self.unit, self._units_of_pass)
        return _Place(number, unit * UNIT_ROWS)

    def _chunks(self, first: int) -> Iterator[Chunk]:
        for at, table in self._reader.pieces(first, UNIT_ROWS):
            yield Chunk(table, pa.array(range(at, at + table.num_rows), pa.int64()))

    def _write(self, chunk: Chunk) -> int:
        found = self._pipeline.finish(chunk)
        for spool, part in zip(self._spools.values(), found, strict=True):
            spool.append(part.table)
        return sum(map(len, found))

    def _restore(self) -> None:
        source = self._job.resume.open_checkpoint()
        if source is None:
            return
        with source:
            try:
                state = checkpoints.read(source, self._folder)
            except checkpoints.BrokenCheckpoint as error:
                message = f"the checkpoint is not readable: {error}"
                raise JobError("broken_checkpoint", message, is_retryable=False) from error
        self.unit = state["unit"]
        self._pipeline.restore(state["steps"])
