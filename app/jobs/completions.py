"""What else is written when a job of some kind completes, in the transaction that completes it.

So what a job has made is there from the same moment on at which the job is done, and never without it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import asyncpg

from app.core.files import StoredFile
from app.jobs.model_uploads import completion as uploads
from app.jobs.trainings import completion as trainings
from app.jobs.transition_types import ClaimedJob

Completion = Callable[[asyncpg.Connection, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Writes what belongs to a job's completion; takes the handler's result, gives the one to be stored."""


class KindCompletion(Protocol):
    """The completion of one kind. It may be called again if the first time was lost."""

    async def __call__(
        self,
        connection: asyncpg.Connection,
        result: dict[str, Any],
        *,
        job: ClaimedJob,
        artifacts: Mapping[str, StoredFile],
    ) -> dict[str, Any]:
        """Write it. Raises AppErrors, which fail the attempt for good."""


COMPLETIONS: Final[Mapping[str, KindCompletion]] = {
    "inspect_model": uploads.complete,
    "train_model": trainings.complete,
}
