"""What the suites must know of a plugin to try it, and where plugins say so."""

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from app.core.config import Settings
from app.notifications.channels.channel import Channel

EXAMPLES = (
    "examples.word_count",
    "examples.constant_runtime",
    "examples.fit_constant",
    "examples.nearest_centroid",
    "examples.file_channel",
)
PLUGINS = tuple(
    dict.fromkeys(
        [*EXAMPLES, *(name.strip() for name in os.environ.get("PLUGINS", "").split(",") if name.strip())]
    )
)


@dataclass(frozen=True)
class KindCase:
    """A request for a job that takes a second at most, and what its result must contain.

    `dataset` has the rows of the dataset with the id that the request names, `model` is the skops file of the
    model that it names, with the columns x0, x1, x2 and x3.
    """

    request: Mapping[str, Any]
    result: Mapping[str, Any]
    dataset: Sequence[Mapping[str, Any]] = ()
    model: bytes | None = None


@dataclass(frozen=True)
class RuntimeCase:
    """A model, valid rows and one invalid row. The columns of a model with a file are x0, x1, x2 and x3.

    `content` is the model's file, None for a built-in model. `expected` computes from it what the framework
    itself predicts for the rows: for each a value, or the scores by label.
    """

    runtime: str
    content: bytes | None
    rows: list[Any]
    wrong_row: Any
    expected: Callable[[bytes], list[Any]]


@dataclass(frozen=True)
class CompletionCase:
    """A job that ends with `result`, and what its completion must store.

    `count` is a query for the number of rows that the completion adds to; it must be one more afterwards.
    `files` and `artifacts` are the names of the job's files and artifacts.
    """

    params: Mapping[str, Any]
    result: Mapping[str, Any]
    stored: Mapping[str, Any]
    count: str
    files: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()


class ReceiverState(StrEnum):
    """How a receiver behaves."""

    ACCEPTING = "accepting"
    REFUSING_FOR_GOOD = "refusing_for_good"
    REFUSING_FOR_NOW = "refusing_for_now"
    SILENT = "silent"
    CUTTING = "cutting"
    AWAY = "away"
    """The channel itself does not work, such as its server."""


class ChannelReceiver(Protocol):
    """A channel, connected to a receiver that a suite can control."""

    @property
    def channel(self) -> Channel:
        """The channel."""

    @property
    def target(self) -> Mapping[str, Any]:
        """The `target` of a subscription that leads to the receiver."""

    def become(self, state: ReceiverState) -> bool:
        """Behave like this from now on. Return False if receivers of this channel cannot."""

    def accepted(self) -> list[str]:
        """The ids of the messages that the receiver has accepted, in order."""


@dataclass(frozen=True)
class ChannelCase:
    """A receiver for a channel. `open` runs it during its body; it may write to the folder."""

    open: Callable[[Settings, Path], AbstractAsyncContextManager[ChannelReceiver]]


def of_plugins(attribute: str) -> Iterator[tuple[str, Any]]:
    """The entries of a mapping in the modules `conformance` of all plugins."""
    for plugin in PLUGINS:
        if importlib.util.find_spec(f"{plugin}.conformance") is not None:
            module = importlib.import_module(f"{plugin}.conformance")
            yield from getattr(module, attribute, {}).items()
