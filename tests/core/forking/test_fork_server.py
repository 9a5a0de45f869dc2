"""Functions run in forked processes, which end with their caller, and with their server."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.core.forking.fork_server import ForkServer, ForkServerDied
from tests.support.processes import ROOT
from tests.support.waiting import until

MODULE = "tests.core.forking.functions"
DESCRIBE, FAIL, REPEAT, WAIT, DIE_FIRST, DIE_ALWAYS, SPIN = FUNCTIONS = [
    f"{MODULE}:{name}" for name in ("describe", "fail", "repeat", "wait", "die_first", "die_always", "spin")
]

_STARTS_ONE = f"""
import asyncio, sys
from app.core.forking.fork_server import ForkServer
asyncio.run(ForkServer([{WAIT!r}]).run({WAIT!r}, sys.argv[1].encode()))
"""


@pytest.fixture
async def server() -> AsyncIterator[ForkServer]:
    server = ForkServer(FUNCTIONS, environment={"ADDED": "yes"})
    yield server
    await asyncio.to_thread(server.close)


async def described(server: ForkServer, task: str = "") -> dict[str, Any]:
    ended = await server.run(DESCRIBE, task.encode())
    assert ended.exit_code == 0, ended.errors
    found: dict[str, Any] = json.loads(ended.answer)
    return found


def pids_in(path: Path) -> list[int]:
    """The processes that have said that they run."""
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def run_until_it_waits(server: ForkServer, path: Path) -> asyncio.Task[Any]:
    running = asyncio.create_task(server.run(WAIT, str(path).encode()))

    async def waits() -> bool:
        assert not running.done(), running
        return bool(pids_in(path))

    await until(waits)
    return running


async def test_each_process_is_a_fork_of_one_server_that_has_loaded_the_functions(server: ForkServer) -> None:
    first, second = await described(server, "one"), await described(server, "two")

    assert (first["task"], second["task"]) == ("one", "two")
    assert first["pid"] != second["pid"]
    assert server.pid == first["parent"] == second["parent"] == first["loaded_in"] == second["loaded_in"]
    assert first["threads"] == 1
    assert not first["has_handlers"]


async def test_a_process_has_no_secret_and_no_descriptor_of_another(
    server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (secrets := {"SECRET_KEY", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "ANYTHING"}):
        monkeypatch.setenv(name, "a secret")
    running = await run_until_it_waits(server, tmp_path / "pids")

    found = await described(server)

    assert found["descriptors"] == [0, 1, 2, 3]
    assert not secrets & set(found["environment"])
    assert found["environment"]["ADDED"] == "yes"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_an_error_is_told_however_much_was_written_before(server: ForkServer) -> None:
    failed = await server.run(FAIL, b"3")
    wordy = await server.run(FAIL, b"100000")

    assert (failed.exit_code, failed.answer) == (1, b"")
    assert failed.errors.startswith(b"line 0\nline 1\nline 2\n")
    assert failed.errors.endswith(b"ValueError: this failed\n")
    assert wordy.exit_code == 1


async def test_a_long_task_and_a_long_answer_arrive(server: ForkServer) -> None:
    found = await described(server, "x" * 3_000_000)
    ended = await server.run(REPEAT, b"3000000")

    assert len(found["task"]) == 3_000_000
    assert (ended.exit_code, ended.answer) == (0, b"x" * 3_000_000)


async def test_an_answer_without_an_end_is_refused(server: ForkServer) -> None:
    longest = await server.run(REPEAT, b"500000", max_answer_bytes=500_000)
    too_long = await server.run(REPEAT, b"10000000", max_answer_bytes=500_000)

    assert longest.exit_code == 0
    assert (too_long.exit_code, too_long.answer) == (-signal.SIGKILL, b"")


async def test_a_signal_is_told(server: ForkServer) -> None:
    ended = await server.run(SPIN, b"")

    assert ended.exit_code == -signal.SIGXCPU


async def test_a_process_is_gone_when_its_caller_was_cancelled(server: ForkServer, tmp_path: Path) -> None:
    running = await run_until_it_waits(server, tmp_path / "pids")
    server_pid = server.pid

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert running.cancelled()
    assert not any(psutil.pid_exists(pid) for pid in pids_in(tmp_path / "pids"))
    assert (await described(server))["parent"] == server_pid


async def test_a_server_that_died_is_replaced(server: ForkServer) -> None:
    first = (await described(server))["parent"]
    os.kill(first, signal.SIGKILL)

    second = (await described(server))["parent"]

    assert first != second == server.pid


async def test_a_process_whose_server_died_is_run_once_more(server: ForkServer, tmp_path: Path) -> None:
    ended = await server.run(DIE_FIRST, str(tmp_path / "done").encode())

    assert (ended.exit_code, ended.answer) == (0, b"done")


async def test_a_process_that_takes_every_server_with_it_is_given_up(server: ForkServer) -> None:
    with pytest.raises(ForkServerDied):
        await server.run(DIE_ALWAYS, b"")

    assert await described(server)


async def test_processes_end_with_their_server_and_no_zombie_stays(
    server: ForkServer, tmp_path: Path
) -> None:
    running = await run_until_it_waits(server, tmp_path / "pids")
    pids = [(await described(server))["parent"], *pids_in(tmp_path / "pids")]

    await asyncio.to_thread(server.close)
    await asyncio.gather(running, return_exceptions=True)

    assert len(pids) == 2
    assert not any(map(psutil.pid_exists, pids))
    with pytest.raises(RuntimeError, match="closed"):
        await server.run(DESCRIBE, b"")


async def test_servers_and_processes_end_with_what_started_them_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "pids"

    async def waits() -> bool:
        return bool(pids_in(path))

    async def have_ended() -> bool:
        return not any(map(is_alive, pids))

    with subprocess.Popen([sys.executable, "-c", _STARTS_ONE, str(path)], cwd=ROOT) as starter:
        await until(waits)
        pids = [process.pid for process in psutil.Process(starter.pid).children(recursive=True)]
        starter.kill()

    assert len(pids) == 2
    await until(have_ended)


async def test_one_server_serves_several_event_loops(server: ForkServer) -> None:
    here = (await described(server))["parent"]

    there = (await asyncio.to_thread(lambda: asyncio.run(described(server))))["parent"]

    assert here == there
