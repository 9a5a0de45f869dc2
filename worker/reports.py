"""Turns what a child has sent into reports for Postgres, after it has put large outputs into storage."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final
from uuid import UUID

import msgspec

from app.core import ids
from app.core.files import StoredFile
from app.datasets import storage_keys
from app.jobs.completions import COMPLETIONS, Completion, KindCompletion
from app.jobs.transition_types import NOT_MEASURED, Batch, ClaimedJob, Measurements, Report
from worker.children import messages
from worker.children.pool import ChildProtocolError
from worker.files import Files
from worker.report_writer import Unstorable

MAX_RESULT_BYTES: Final = 1024 * 1024
MAX_EVENT_BYTES: Final = 64 * 1024
MAX_STEP_CHARACTERS: Final = 200
"""The result of a job and the data of its events are sent whole to every client that reads them."""

DATASETS: Final = "datasets/"
"""The artifacts `datasets/<output>/content` and `…/rows.parquet` become the files of a new dataset."""


class Reports:
    """Builds the reports and completions of attempts."""

    def __init__(self, files: Files, completions: Mapping[str, KindCompletion] = COMPLETIONS) -> None:
        self._files = files
        self._completions = completions

    async def report(
        self,
        job: ClaimedJob,
        first_batch: int,
        batches: Sequence[messages.Batch],
        done: messages.Done | None,
        measurements: Measurements = NOT_MEASURED,
    ) -> Report:
        """Return the report of these batches, and of the result if the handler is done.

        Raises ChildProtocolError for a batch out of order, Unstorable for a result or data that is too large,
        and FileFault.
        """
        for position, batch in enumerate(batches):
            if batch.index != first_batch + position:
                raise ChildProtocolError(
                    f"received batch {batch.index} instead of batch {first_batch + position}"
                )
        stored = [_batch(batch) for batch in batches]
        if any(len(batch.data) > MAX_EVENT_BYTES for batch in stored):
            raise Unstorable(f"the data of a batch has more than {MAX_EVENT_BYTES} bytes")
        if done is not None and len(done.result) > MAX_RESULT_BYTES:
            raise Unstorable(f"the result has more than {MAX_RESULT_BYTES} bytes")
        checkpoint, checkpoint_file = await self._checkpoint(job, batches)
        return Report(
            job_id=job.id,
            attempt=job.attempt,
            first_batch=first_batch,
            batches=await self._files.offload(job, first_batch, stored),
            checkpoint=checkpoint,
            checkpoint_file=checkpoint_file,
            result=None if done is None else done.result,
            is_early=done is not None and done.is_early,
            owner_id=job.owner_id,
            measurements=measurements,
        )

    async def completion(self, job: ClaimedJob, done: messages.Done) -> Completion | None:
        """Return what to write in the transaction that completes the job, with its artifacts in storage."""
        complete = self._completions.get(job.kind)
        if complete is None:
            return None
        artifacts = await self._store_all(job, done.artifacts)
        return partial(complete, job=job, artifacts=artifacts)

    async def _store_all(self, job: ClaimedJob, artifacts: Mapping[str, str]) -> dict[str, StoredFile]:
        """Store artifacts under keys of the attempt, and the files of new datasets under their ids."""
        stored: dict[str, StoredFile] = {}
        dataset_ids: dict[str, UUID] = defaultdict(ids.new_id)
        for name, local_name in artifacts.items():
            output, _, file = name.removeprefix(DATASETS).partition("/")
            if name.startswith(DATASETS) and file in storage_keys.FILES:
                key = storage_keys.file_key(dataset_ids[output], file)
                stored[name] = await self._files.store_as(job, key, name, local_name)
            else:
                stored[name] = await self._files.store(job, "artifacts", name, local_name)
        return stored

    async def _checkpoint(
        self, job: ClaimedJob, batches: Sequence[messages.Batch]
    ) -> tuple[bytes | None, StoredFile | None]:
        """Return the last checkpoint of the batches, as bytes or as a file in storage."""
        for batch in reversed(batches):
            if batch.checkpoint_file is not None:
                name = batch.checkpoint_file
                return batch.checkpoint, await self._files.store(job, "jobs", name, name)
            if batch.checkpoint is not None:
                return batch.checkpoint, None
        return None, None


def _batch(batch: messages.Batch) -> Batch:
    return Batch(
        batch.first_row,
        batch.row_count,
        batch.output,
        batch.step[:MAX_STEP_CHARACTERS],
        b"{}" if batch.data is None else msgspec.json.encode(batch.data),
        errors=batch.errors,
    )
