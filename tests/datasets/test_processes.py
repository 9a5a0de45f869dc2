"""Conversions are forks of a server that has imported pyarrow, each confined and within its limits."""

import asyncio
import os
import re
from pathlib import Path

import psutil

from app.core.forking.fork_server import ForkServer
from app.datasets import conversion_process
from app.datasets.conversion.task import MEMORY_BYTES, NICENESS
from app.datasets.conversion_process import Limits
from app.datasets.import_limits import ImportLimits
from app.datasets.values import Format
from tests.support.waiting import until

BOUNDS = ImportLimits(cpu_seconds=7)
LIMITS = Limits(rows=10, output_bytes=12345)


async def convert(server: ForkServer, source: Path) -> int:
    target = source.with_name("rows.parquet")
    return (await conversion_process.convert(server, source, Format.CSV, target, LIMITS, BOUNDS)).rows


async def test_the_server_has_one_thread_whatever_its_processes_have_done(
    conversions: ForkServer, tmp_path: Path
) -> None:
    (tmp_path / "content").write_text("a,b\n1,x\n2.5,y\n")

    assert await convert(conversions, tmp_path / "content") == 2

    assert conversions.pid is not None
    assert psutil.Process(conversions.pid).num_threads() == 1


async def test_a_conversion_is_confined_before_it_opens_the_file_and_ends_with_its_client(
    conversions: ForkServer, tmp_path: Path
) -> None:
    source = tmp_path / "content"
    os.mkfifo(source)  # which nobody writes to: opening it takes forever
    converting = asyncio.create_task(convert(conversions, source))

    async def limited() -> psutil.Process | None:  # the last thing before it opens the file
        assert not converting.done(), converting
        children = psutil.Process(conversions.pid).children() if conversions.pid else []
        return next((child for child in children if read(child, "limits", "Max cpu time")[0] == "7"), None)

    process = await until(limited)
    assert process is not None
    assert read(process, "status", "Seccomp") == "2"
    assert read(process, "status", "NoNewPrivs") == "1"
    assert int(read(process, "status", "CapEff"), 16) == 0
    assert int(read(process, "status", "CapBnd"), 16) == 0 or os.getuid() != 0
    assert process.nice() >= NICENESS
    assert read(process, "limits", "Max data size").split()[:2] == [str(MEMORY_BYTES)] * 2
    assert read(process, "limits", "Max file size").split()[:2] == [str(LIMITS.output_bytes)] * 2
    assert read(process, "limits", "Max cpu time").split()[:2] == ["7", "8"]
    assert read(process, "limits", "Max core file size").split()[:2] == ["0", "0"]

    converting.cancel()
    await asyncio.gather(converting, return_exceptions=True)

    assert not psutil.pid_exists(process.pid)


def read(process: psutil.Process, file: str, name: str) -> str:
    """A line of a file in /proc."""
    text = Path(f"/proc/{process.pid}/{file}").read_text()
    found = re.search(rf"^{name}:?\s+(.*)$", text, re.MULTILINE)
    assert found is not None, text
    return found[1].strip()
