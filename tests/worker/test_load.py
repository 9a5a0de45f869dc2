"""A worker measures what it uses together with its children."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.clocks import Clock
from worker.load import LoadMeter, memory_limit_bytes

MEBIBYTE = 1024 * 1024
BURN = "import time\nwhile time.process_time() < 0.3: pass\nprint('burnt', flush=True)\ninput()"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has used 0.3 s of processor time by the time of the test, and then waits."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


def test_the_load_is_that_of_the_worker_and_its_children(child: subprocess.Popen[bytes]) -> None:
    clock = Clock(100.0)
    meter = LoadMeter(lambda: [child.pid], limit_bytes=1024 * MEBIBYTE, clock=clock)

    first = meter.measure()
    assert child.stdout is not None
    child.stdout.readline()
    clock.now += 2
    second = meter.measure()

    assert first.cpu_percent is None
    assert second.cpu_percent is not None
    assert 100 * 0.2 / 2 < second.cpu_percent < 100 * 5 / 2
    own = psutil.Process().memory_info().rss
    assert second.rss_bytes is not None
    assert second.rss_bytes > own
    assert second.memory_percent == pytest.approx(100 * second.rss_bytes / (1024 * MEBIBYTE))


def test_a_child_that_has_exited_takes_nothing_away(child: subprocess.Popen[bytes]) -> None:
    clock = Clock(100.0)
    meter = LoadMeter(lambda: [child.pid], clock=clock)
    assert child.stdout is not None
    child.stdout.readline()
    meter.measure()

    child.kill()
    child.wait()
    clock.now += 2
    load = meter.measure()

    assert load.cpu_percent is not None
    assert load.cpu_percent >= 0


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_the_limit_of_a_container_counts_if_it_has_one(tmp_path: Path, name: str) -> None:
    machine = psutil.virtual_memory().total
    assert memory_limit_bytes(tmp_path) == machine

    (tmp_path / name).parent.mkdir(exist_ok=True)
    for limit, expected in (
        (f"{64 * MEBIBYTE}\n", 64 * MEBIBYTE),
        ("max\n", machine),
        (f"{2**62}\n", machine),
    ):
        (tmp_path / name).write_text(limit)
        assert memory_limit_bytes(tmp_path) == expected
