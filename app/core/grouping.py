"""Runs an operation for one caller at once, and for those that come meanwhile together.

An idle process does not wait for more callers. A busy one makes one round trip for all that came during the
last one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from app.core.errors import AppError, ShuttingDown

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    answer: asyncio.Future[Result]

    def fail(self, error: Exception) -> None:
        """Have the caller raise an error, unless it has its answer or was cancelled."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Grouping(Generic[Item, Result]):
    """Calls `run` with the items of one or more callers. It returns their results in the same order.

    `run` may be called again for each item alone if it raises for several. It is not after an AppError, such
    as DatabaseUnavailable, which every caller gets: what was sent may have been done.
    """

    def __init__(
        self, run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], *, max_at_once: int = MAX_AT_ONCE
    ) -> None:
        self._run = run
        self._max_at_once = max_at_once
        self._is_running = False
        self._waiting: list[_Waiting[Item, Result]] = []
        self._has_turn = asyncio.Event()

    async def __call__(self, item: Item) -> Result:
        """Return the result for an item. Raises what `run` raises for it."""
        if self._is_running:
            answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Waiting(item, answer))
            return await answer
        self._is_running = True
        try:
            [result] = await self._run((item,))
        finally:
            self._pass_on()
        return result

    async def run_forever(self) -> None:
        """Run the operation for those who wait, until cancelled. Those who wait then get ShuttingDown."""
        group: list[_Waiting[Item, Result]] = []
        try:
            while True:
                await self._has_turn.wait()
                self._has_turn.clear()
                group = [one for one in self._waiting[: self._max_at_once] if not one.answer.done()]
                del self._waiting[: self._max_at_once]
                await self._run_together(group)
                self._pass_on()
        finally:
            for one in (*group, *self._waiting):
                one.fail(ShuttingDown())

    def _pass_on(self) -> None:
        self._is_running = bool(self._waiting)
        if self._is_running:
            self._has_turn.set()

    async def _run_together(self, group: Sequence[_Waiting[Item, Result]]) -> None:
        """Run the operation for some callers, and answer them."""
        try:
            results = await self._run([one.item for one in group]) if group else ()
        except Exception as error:
            if len(group) == 1 or isinstance(error, AppError):
                for one in group:
                    one.fail(error)
                return
            for one in group:
                await self._run_together([one])
            return
        for one, result in zip(group, results, strict=True):
            if not one.answer.done():
                one.answer.set_result(result)
