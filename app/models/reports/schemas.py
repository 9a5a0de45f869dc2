"""The response of the route of histories."""

from typing import NotRequired

from typing_extensions import TypedDict


class EpochView(TypedDict):
    """One epoch of a training: `valid_accuracy` of a classification, `valid_r2` of a regression.

    What is measured on validation rows is null without such rows. `seconds` is null for a version that an
    earlier version of Headrace has trained.
    """

    epoch: int
    train_loss: float
    valid_loss: float | None
    valid_accuracy: NotRequired[float | None]
    valid_r2: NotRequired[float | None]
    seconds: float | None


class History(TypedDict):
    """The epochs of a training in order: at most 200 of them, evenly spread.

    The version has the parameters after `best_epoch`.
    """

    best_epoch: int
    items: list[EpochView]
