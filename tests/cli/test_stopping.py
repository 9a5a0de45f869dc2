"""A process that is stopped while it starts has not failed."""

import os
import signal
from pathlib import Path

import pytest

from app.core.config import Settings
from tests.support import processes
from tests.support.waiting import until


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has installed a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("arguments", [("-m", "app", "serve", "--port", "0"), ("-m", "worker")])
async def test_a_service_stopped_during_its_imports_exits_with_0(
    settings: Settings, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    environment = processes.environment(settings)
    async with processes.python(*arguments, env=environment, log_path=tmp_path / "log") as process:

        async def is_ready_to_be_stopped() -> bool:
            return catches(process.pid, signal.SIGTERM)

        await until(is_ready_to_be_stopped)
        os.kill(process.pid, signal.SIGTERM)
        assert await process.wait(20) == 0, process.log
        assert "Traceback" not in process.log
