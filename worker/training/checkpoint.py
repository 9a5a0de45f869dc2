"""Encode and decode the checkpoint of a training. Nothing in it is pickled.

skops serialises the fitted objects, and loads them with the same checks as an upload. The rest is msgpack.
Random number generators are not saved: each epoch seeds its own from the seed of the job and the number of
the epoch.
"""

from typing import Any

import msgspec
import skops.io

from worker.context import JobError
from worker.runtimes.sklearn import inspection


class EpochRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of the training history: accuracy for a classification, R² for a regression."""

    epoch: int
    train_loss: float
    valid_loss: float
    seconds: float
    valid_accuracy: float | None = None
    valid_r2: float | None = None


class Checkpoint(msgspec.Struct, frozen=True):
    """The state of a training after an epoch.

    `features` is the fitted transformer, `state` the learner after the last epoch, `best` the learner after
    the best epoch, None if that is the last one.
    """

    features: bytes
    state: bytes
    best: bytes | None
    history: list[EpochRecord]
    warnings: list[str]


class BrokenCheckpoint(JobError):
    """The checkpoint cannot be decoded; never retried, since another attempt would read the same one."""

    def __init__(self, message: str) -> None:
        text = f"the checkpoint cannot be read: {message}; submit the training again"
        super().__init__("broken_checkpoint", text, is_retryable=False)


encode = msgspec.msgpack.Encoder().encode


def decode(content: bytes) -> Checkpoint:
    """Decode a checkpoint. Raises BrokenCheckpoint."""
    try:
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
