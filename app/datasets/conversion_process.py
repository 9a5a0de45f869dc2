"""Runs the conversion of one file in a separate process, without secrets and with time limits."""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from app.core.errors import AppError
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


_ROOT: Final = Path(__file__).parents[2]
_MODULE: Final = "app.datasets.conversion"

log = structlog.get_logger(__name__)


async def convert(
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
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", _MODULE, task.decode()),
        cwd=_ROOT,
        env=_environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(bounds.conversion_seconds):
            output, errors = await _read_output(process)
    except TimeoutError:
        raise BadFile(reason=f"it takes longer than {bounds.conversion_seconds:.0f} seconds") from None
    finally:
        await _end(process)
    if process.returncode == -signal.SIGXCPU:
        raise BadFile(reason=f"it takes longer than {cpu_seconds} seconds of CPU time")
    return _result(process.returncode, output, errors, limits.rows, output_bytes)


def _environment() -> dict[str, str]:
    """The environment of the process, without our secrets."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    # The default pool reserves more than it uses, and would exceed the memory limit.
    return {**kept, "ARROW_DEFAULT_MEMORY_POOL": "system", "PYTHONDONTWRITEBYTECODE": "1"}


async def _read_output(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    """Stdout and stderr of the process. `communicate` would close stdin, and so tell the process to end."""
    assert process.stdout is not None  # noqa: S101  # they are pipes
    assert process.stderr is not None  # noqa: S101
    output, errors, _ = await asyncio.gather(process.stdout.read(), process.stderr.read(), process.wait())
    return output, errors


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    if process.stdin is not None:
        process.stdin.close()
    await process.wait()


def _result(
    exit_code: int | None, output: bytes, errors: bytes, max_rows: int, output_bytes: int
) -> Converted:
    if exit_code != 0:
        # Killed for its memory, or crashed in a library: in either case the file is the cause.
        log.warning(
            "conversion_died",
            exit_code=exit_code,
            error=errors[-LOGGED_ERROR_BYTES:].decode(errors="replace"),
        )
        raise BadFile(reason="reading it failed")
    result = msgspec.json.decode(output, type=Result)
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
