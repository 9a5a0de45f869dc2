"""Stores the lines that handlers write, a second's lines at a time.

A line waits in the worker until its attempt is due to be written: a second after the last time, or later for
an attempt that writes much, so that it costs the database `BYTES_PER_SECOND` at most. Of the lines that wait,
the worker keeps the last ones, as many as the log of a job keeps. Before an attempt ends, its remaining lines
are written. A killed child loses none of the lines that it has sent, a killed worker those that wait.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from app.core.backoff import delay_seconds
from app.core.database import Database
from app.core.errors import DatabaseUnavailable, SchemaOutdated
from app.jobs.logs import commands, levels, lines
from app.jobs.logs.levels import LogLevel
from app.jobs.logs.lines import NewLine, Part
from worker.children import messages

FLUSH_SECONDS: Final = 1.0
"""How often the lines of an attempt are written: what a killed worker loses of a log."""

BYTES_PER_SECOND: Final = 64 * 1024
"""An attempt that writes more text than this is written less often."""

MAX_LEVEL_CHARACTERS: Final = 16
MAX_WORKER_LINES: Final = 1000
"""Lines of a handler that one attempt may write to the worker's log."""

log = structlog.get_logger(__name__)


class HandlerLog:
    """The lines of one attempt: some wait to be written, and one part may be being written."""

    def __init__(
        self,
        database: Database,
        job_id: UUID,
        attempt: int,
        *,
        max_lines: int = lines.MAX_LINES,
        max_bytes: int = lines.MAX_BYTES,
    ) -> None:
        self._database = database
        self._job_id = job_id
        self._attempt = attempt
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._waiting: deque[tuple[float, LogLevel, str]] = deque()
        self._waiting_characters = 0
        self.lines = 0
        """How many lines the handler has written."""

        self._skipped = 0
        self._part: Part | None = None  # sent, but the reply may be lost
        self._parts = 0
        self._due_at = monotonic()
        # What earlier attempts have stored is not counted, so that the first part of a later one trims.
        self._since_trim = (0, 0) if attempt == 1 else (lines.MAX_PART_LINES, 0)
        self._flushing = asyncio.Lock()

    def write(self, line: messages.Log) -> None:
        """Take a line. It is stored with the next ones."""
        self.lines += 1
        # Cut, because a child may send more than `JobContext.log` does, but otherwise as it came: most lines
        # of a flood are never stored, and so cost little.
        text = line.text[: lines.MAX_TEXT_CHARACTERS]
        self._waiting.append((monotonic(), levels.parse(line.level[:MAX_LEVEL_CHARACTERS]), text))
        self._waiting_characters += len(text)
        while len(self._waiting) > self._max_lines or self._waiting_characters > self._max_bytes:
            self._pop()
            self._skipped += 1
        self._write_to_worker_log(line)

    @property
    def is_due(self) -> bool:
        """Whether there are lines to store, and it is time."""
        return bool(self._waiting or self._part) and monotonic() >= self._due_at

    async def flush(self) -> None:
        """Store the lines that wait. Raises DatabaseUnavailable; what was not stored then is kept."""
        async with self._flushing:
            if not (self._waiting or self._part):
                return
            try:
                await self._flush()
            except (asyncpg.PostgresError, SchemaOutdated) as error:  # no attempt fails for its log
                log.error("handler_lines_refused", job_id=str(self._job_id), error=str(error))
                self._part = None

    async def flush_at_end(self) -> None:
        """Store the lines that wait, however long Postgres is unavailable: the attempt cannot end before."""
        failures = 0
        while True:
            try:
                return await self.flush()
            except DatabaseUnavailable:
                failures += 1
                await asyncio.sleep(delay_seconds(failures, base=0.1, maximum=1.0))

    async def _flush(self) -> None:
        flushed = 0
        async with self._database.connection() as connection:
            while (part := self._part or self._take_part()) is not None:
                self._part = part
                await commands.write(connection, part)
                self._part = None
                flushed += part.size
                await self._trim(connection, part)
        self._due_at = monotonic() + max(FLUSH_SECONDS, flushed / BYTES_PER_SECOND)

    async def _trim(self, connection: asyncpg.Connection, part: Part) -> None:
        """Delete old parts, but only when about a part has been written since the last time."""
        line_count, size = self._since_trim
        line_count, size = line_count + len(part.lines), size + part.size
        if line_count < lines.MAX_PART_LINES and size < lines.MAX_PART_BYTES:
            self._since_trim = line_count, size
            return
        self._since_trim = 0, 0
        await commands.trim(connection, part.job_id, max_lines=self._max_lines, max_bytes=self._max_bytes)

    def _take_part(self) -> Part | None:
        """Take the next lines that wait, at least one; None if none does."""
        if not self._waiting:
            return None
        taken: list[NewLine] = []
        left = lines.MAX_PART_BYTES
        while self._waiting and len(taken) < lines.MAX_PART_LINES:
            written_at, level, text = self._waiting[0]
            text = lines.clean(text)
            size = len(text.encode())
            left -= size
            if taken and left < 0:
                break
            self._pop()
            taken.append(NewLine(written_at, level, text, size))
        self._parts += 1
        skipped, self._skipped = self._skipped, 0
        return Part(self._job_id, self._attempt, self._parts, skipped, taken)

    def _pop(self) -> None:
        *_, text = self._waiting.popleft()
        self._waiting_characters -= len(text)

    def _write_to_worker_log(self, line: messages.Log) -> None:
        if self.lines <= MAX_WORKER_LINES:
            # The level is the handler's word for it. That of the record is ours: an ERROR needs an operator.
            log.info(
                "handler_log", handler_level=line.level[:MAX_LEVEL_CHARACTERS], text=lines.clean(line.text)
            )
        elif self.lines == MAX_WORKER_LINES + 1:
            log.info("handler_log_stopped", limit=MAX_WORKER_LINES)


class HandlerLogs:
    """The logs of all attempts that run in this worker."""

    def __init__(self, database: Database, *, flush_seconds: float = FLUSH_SECONDS) -> None:
        self._database = database
        self._flush_seconds = flush_seconds
        self._open: set[HandlerLog] = set()

    @contextmanager
    def opened(self, job_id: UUID, attempt: int) -> Iterator[HandlerLog]:
        """Open the log of an attempt, whose lines are written during the body."""
        opened = HandlerLog(self._database, job_id, attempt)
        self._open.add(opened)
        try:
            yield opened
        finally:
            self._open.discard(opened)

    async def flush_forever(self) -> None:
        """Write lines that are due, until cancelled."""
        while True:
            await asyncio.sleep(self._flush_seconds)
            for due in [one for one in self._open if one.is_due]:
                try:
                    await due.flush()
                except DatabaseUnavailable:
                    break  # they wait
