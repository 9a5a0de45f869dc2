"""What the modules `*_methods` of both clients build on: they run flows, and iterate over what flows emit."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Generator
from typing import Any, TypeVar

from app.client.core import Core
from app.client.steps import Flow

T = TypeVar("T")


class Methods(ABC):
    """A part of the methods of `Headrace`."""

    _core: Core

    @abstractmethod
    def _run(self, flow: Flow[T]) -> T: ...

    @abstractmethod
    def _iterate(self, flow: Flow[Any]) -> Generator[Any, None, None]: ...


class AsyncMethods(ABC):
    """The same part of the methods of `AsyncHeadrace`."""

    _core: Core

    @abstractmethod
    async def _run(self, flow: Flow[T]) -> T: ...

    @abstractmethod
    def _iterate(self, flow: Flow[Any]) -> AsyncGenerator[Any, None]: ...
