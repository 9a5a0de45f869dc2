"""Reads the logs of owners for all followers of a process in rounds: one statement for all that wait.

A viewer of the dashboard follows all jobs of a user. If each follower read the log for itself, every event
would cost a statement. In rounds, their number grows neither with the viewers nor with the events.
"""

import asyncio
from typing import Final
from uuid import UUID

from app.core.database import Database
from app.streams import owner_log
from app.streams.followers import HubClosed
from app.streams.owner_log import OwnerPosition, Page

MAX_LOGS_AT_ONCE: Final = 64
"""A page has at least one event, of at most about 1 MiB."""

_Answers = dict[tuple[UUID, OwnerPosition], asyncio.Future[Page]]


class LogRounds:
    """Answers reads of owners' logs: the first at once, those of the next `seconds` together."""

    def __init__(self, database: Database, seconds: float) -> None:
        self._database = database
        self._seconds = seconds
        self._waiting: _Answers = {}
        self._woken = asyncio.Event()
        self._is_closed = False

    async def read(self, owner_id: UUID, after: OwnerPosition) -> Page:
        """Return a part of an owner's log; raises DatabaseUnavailable and HubClosed."""
        if self._is_closed:
            raise HubClosed
        answer = self._waiting.setdefault((owner_id, after), asyncio.get_running_loop().create_future())
        self._woken.set()
        # Other followers may wait for the same page.
        return await asyncio.shield(answer)

    async def run_forever(self) -> None:
        """Answer until cancelled; reads that still wait then raise HubClosed."""
        try:
            while True:
                await self._woken.wait()
                self._woken.clear()
                waiting, self._waiting = self._waiting, {}
                await self._answer(waiting)
                await asyncio.sleep(self._seconds)
        finally:
            self._is_closed = True
            _refuse(self._waiting, HubClosed())

    async def _answer(self, waiting: _Answers) -> None:
        requests = list(waiting)
        try:
            for first in range(0, len(requests), MAX_LOGS_AT_ONCE):
                part = requests[first : first + MAX_LOGS_AT_ONCE]
                async with self._database.connection() as connection:
                    pages = await owner_log.read_many(connection, part)
                for request, page in zip(part, pages, strict=True):
                    waiting[request].set_result(page)
        except Exception as error:  # each reader raises it
            _refuse(waiting, error)
        finally:
            _refuse(waiting, HubClosed())


def _refuse(waiting: _Answers, error: Exception) -> None:
    """Have the reads that were not answered raise an error."""
    for answer in waiting.values():
        if not answer.done():
            answer.set_exception(error)
            answer.exception()  # it is no mistake if the reader has left
