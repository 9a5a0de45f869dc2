"""Completions: what a kind writes in the transaction that completes its job.

So what a job creates, such as a model version, becomes visible exactly when the job completes.
"""

from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from typing import Any, Final, Protocol

import asyncpg

from app.core.errors import ConfigurationError
from app.core.files import StoredFile
from app.core.plugins import ExtensionPoint
from app.jobs.conversions import completion as conversions
from app.jobs.evaluations import completion as evaluations
from app.jobs.model_uploads import completion as uploads
from app.jobs.preprocessing import completion as preprocessing
from app.jobs.trainings import completion as trainings
from app.jobs.transition_types import ClaimedJob

Completion = Callable[[asyncpg.Connection, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Takes the handler's result, writes the completion of one job, and returns the result to store."""


class KindCompletion(Protocol):
    """The completion of one kind."""

    async def __call__(
        self,
        connection: asyncpg.Connection,
        result: dict[str, Any],
        *,
        job: ClaimedJob,
        artifacts: Mapping[str, StoredFile],
    ) -> dict[str, Any]:
        """Write through `connection`, inside its open transaction, and return the result to store.

        If the transaction is rolled back, the completion is called again: it must have no effect elsewhere.
        An AppError fails the attempt, without a retry.
        """


COMPLETIONS: Final[Mapping[str, KindCompletion]] = {
    "convert_model": conversions.complete,
    "evaluate_model": evaluations.complete,
    "inspect_model": uploads.complete,
    "preprocess_dataset": preprocessing.complete,
    "train_model": trainings.complete,
}

ADDED: Final = ExtensionPoint[KindCompletion]("completions", "completion", callable)


def load(plugins: Iterable[str], kinds: Container[str]) -> dict[str, KindCompletion]:
    """Return all completions by kind.

    Raises ConfigurationError if a plugin is wrong, or completes a kind that does not exist.
    """
    added = ADDED.load(plugins, taken=COMPLETIONS)
    if missing := sorted(kind for kind in added if kind not in kinds):
        raise ConfigurationError(f"PLUGINS: there is a completion but no kind for {', '.join(missing)}")
    return {**COMPLETIONS, **added}
