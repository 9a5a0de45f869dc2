"""What the next attempt needs to go on after an epoch, as bytes. Nothing in it is a pickle.

What was learnt and what was fitted is written by skops, and loaded with the same checks as an upload; the
rest is msgpack. There is no state of a random generator in it: each epoch draws from the seed and its number.
"""

from typing import Any

import msgspec
import skops.io

from worker.context import JobError
from worker.runtimes.sklearn import inspection


class EpochRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a training's history. Of the last two, one is there: by the task."""

    epoch: int
    train_loss: float
    valid_loss: float
    seconds: float
    valid_accuracy: float | None = None
    valid_r2: float | None = None


class Checkpoint(msgspec.Struct, frozen=True):
    """All that an attempt has come to after an epoch. `best` is None while the last epoch is the best one."""

    features: bytes
    state: bytes
    best: bytes | None
    history: list[EpochRecord]
    warnings: list[str]


class BrokenCheckpoint(JobError):
    """The checkpoint is not one of ours; a retry from the start helps, another attempt does not."""

    def __init__(self, message: str) -> None:
        super().__init__("broken_checkpoint", f"the checkpoint cannot be read: {message}", is_retryable=False)


encode = msgspec.msgpack.Encoder().encode


def decode(written: bytes) -> Checkpoint:
    """The checkpoint. Raises BrokenCheckpoint."""
    try:
        return msgspec.msgpack.decode(written, type=Checkpoint)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BrokenCheckpoint(str(error)) from None


def dumped(value: Any) -> bytes:
    """An estimator, or what a learner has for a state, as bytes."""
    written: bytes = skops.io.dumps(value)
    return written


def loaded(written: bytes) -> Any:
    """The same again. Raises BrokenCheckpoint."""
    try:
        return inspection.loads(written)
    except JobError as error:
        raise BrokenCheckpoint(error.message) from error
