"""Runs the conversion of one file in a separate process, without secrets and with time limits."""

import asyncio
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from app.core.errors import AppError
from app.core.forking.fork_server import Ended, ForkServer
from app.datasets import processes
from app.datasets.conversion.messages import Converted, Rejection, Result, Task
from app.datasets.errors import BadColumns, BadHeader, DatasetRowsTooLarge, TooManyDatasetRows
from app.datasets.import_limits import ImportLimits
from app.datasets.options import AS_FOUND, ReadOptions
from app.datasets.values import Format
from app.uploads.errors import BadFile, BadRow

LOGGED_ERROR_BYTES: Final = 2000


@dataclass(frozen=True)
class Limits:
    """Limits on the output of a conversion: its rows, and the bytes of the Parquet file."""

    rows: int
    output_bytes: int


log = structlog.get_logger(__name__)


async def convert(
    server: ForkServer,
    source: Path,
    file_format: Format,
    target: Path,
    limits: Limits,
    bounds: ImportLimits,
    options: ReadOptions = AS_FOUND,
) -> Converted:
    """Write the rows of a file as Parquet.

    Raises BadFile, BadHeader, BadRow, TooManyDatasetRows and DatasetRowsTooLarge.
    """
    size = (await asyncio.to_thread(source.stat)).st_size
    output_bytes = min(limits.output_bytes, bounds.output_bytes(size))
    cpu_seconds = bounds.cpu_seconds_for(size)
    task = msgspec.json.encode(
        Task(str(source), str(target), file_format, limits.rows, output_bytes, cpu_seconds, options)
    )
    try:
        async with asyncio.timeout(bounds.conversion_seconds):
            ended = await server.run(processes.CONVERT, task)
    except TimeoutError:
        raise BadFile(reason=f"it takes longer than {bounds.conversion_seconds:.0f} seconds") from None
    if ended.exit_code == -signal.SIGXCPU:
        raise BadFile(reason=f"it takes longer than {cpu_seconds} seconds of CPU time")
    return _result(ended, limits.rows, output_bytes)


def _result(ended: Ended, max_rows: int, output_bytes: int) -> Converted:
    if ended.exit_code != 0:
        # Killed for its memory, or crashed in a library: in either case the file is the cause.
        log.warning(
            "conversion_died",
            exit_code=ended.exit_code,
            error=ended.errors[-LOGGED_ERROR_BYTES:].decode(errors="replace"),
        )
        raise BadFile(reason="reading it failed")
    result = msgspec.json.decode(ended.answer, type=Result)
    if isinstance(result, Converted):
        return result
    raise _error(result, max_rows, output_bytes)


def _error(rejection: Rejection, max_rows: int, output_bytes: int) -> AppError:
    match rejection.code:
        case "bad_row":
            return BadRow(line=rejection.line, reason=rejection.reason)
        case "bad_header":
            if rejection.line is None:
                return BadColumns(reason=rejection.reason)
            return BadHeader(line=rejection.line, reason=rejection.reason)
        case "bad_file":
            return BadFile(reason=rejection.reason)
        case "too_many_rows":
            return TooManyDatasetRows(limit=max_rows)
        case "rows_too_large":
            return DatasetRowsTooLarge(limit=output_bytes)
