"""Encode and decode the checkpoint of a training. Nothing in it is pickled.

skops serialises the fitted objects, and loads them with the same checks as an upload. The rest is msgpack.
Random number generators are not saved: each epoch seeds its own from the seed of the job and the number of
the epoch.
"""

from typing import Any, Final

import msgspec
import skops.io

from worker.context import JobError
from worker.runtimes.sklearn import inspection

FORMAT: Final = 2
"""Raise it when older checkpoints no longer fit: a training then repeats its steps from the first one."""


class CandidateRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """How good a candidate was in one round of a competition.

    `score` is the mean of `metric` over the folds of `rows` rows, which have the `fold_scores`; None if it
    could not be trained, for the reason `failure`.
    """

    candidate: int
    round: int
    algorithm: str
    params: dict[str, Any]
    rows: int
    folds: int
    metric: str
    score: float | None
    seconds: float
    failure: str | None = None
    fold_scores: list[float | None] = []


class EpochRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of the training history: accuracy for a classification, R² for a regression.

    `valid_loss` is None if no rows are held out to choose an epoch.
    """

    epoch: int
    train_loss: float
    valid_loss: float | None
    seconds: float
    valid_accuracy: float | None = None
    valid_r2: float | None = None


class FoldRecord(msgspec.Struct, frozen=True):
    """The metrics of one fold of a cross-validation."""

    fold: int
    rows: int
    metrics: dict[str, Any]
    seconds: float


class RefitRecord(msgspec.Struct, frozen=True):
    """The last fit, on all rows."""

    refit_rows: int
    seconds: float


class FitState(msgspec.Struct, frozen=True):
    """The state of a fit after an epoch.

    `features` is the fitted transformer, `state` the learner after the last epoch, `best` the learner after
    the best epoch, None if that is the last one.
    """

    candidate: int
    features: bytes
    state: bytes
    best: bytes | None
    history: list[EpochRecord]


class FoldState(msgspec.Struct, frozen=True):
    """The predictions of one fold. `labels` are those of a classification, `scores` the bytes of float64."""

    record: FoldRecord
    scores: bytes
    labels: list[str] | None
    are_probabilities: bool


class Checkpoint(msgspec.Struct, frozen=True):
    """The state of a training after a step: what it has compared, the fit, and the folds measured."""

    format: int
    candidates: list[CandidateRecord]
    fit: FitState | None
    folds: list[FoldState]
    warnings: list[str]


class BrokenCheckpoint(JobError):
    """The checkpoint cannot be decoded; never retried, since another attempt would read the same one."""

    def __init__(self, message: str) -> None:
        text = f"the checkpoint cannot be read: {message}; submit the training again"
        super().__init__("broken_checkpoint", text, is_retryable=False)


class _Format(msgspec.Struct, frozen=True):
    format: int = 1


encode = msgspec.msgpack.Encoder().encode


def decode(content: bytes) -> Checkpoint | None:
    """Decode a checkpoint; None for one of an older version of Headrace. Raises BrokenCheckpoint."""
    try:
        if msgspec.msgpack.decode(content, type=_Format).format != FORMAT:
            return None
        return msgspec.msgpack.decode(content, type=Checkpoint)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BrokenCheckpoint(str(error)) from None


def dump(value: Any) -> bytes:
    """Serialise an estimator or the state of a learner."""
    content: bytes = skops.io.dumps(value)
    return content


def load(content: bytes) -> Any:
    """Deserialise what `dump` returned. Raises BrokenCheckpoint."""
    try:
        return inspection.loads(content)
    except JobError as error:
        raise BrokenCheckpoint(error.message) from error
