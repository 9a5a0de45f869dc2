"""The starter with a real cluster: hosts are placed, run, killed, and missed when they are gone."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from app.core.errors import ConfigurationError
from tests.ray.cluster import START_SECONDS, Cluster, gone, processes, title
from tests.ray.starters import started
from tests.support.processes import ROOT
from worker.engines.engine import HostStartFailed


async def test_a_host_runs_on_a_node_and_connects(
    cluster: Cluster, record_property: Callable[[str, object], None]
) -> None:
    record_property("seconds until a head takes clients", round(cluster.seconds_to_start, 1))
    async with started(cluster) as hosts:
        begun = time.monotonic()
        await hosts.start(1)
        record_property("seconds until a host connects", round(time.monotonic() - begun, 2))

        assert len(cluster.hosts()) == 1
        assert hosts.lost == []
    await cluster.until_hosts(0)


async def test_a_host_that_waits_for_a_node_has_no_secret_and_starts_when_one_has_room(
    cluster: Cluster,
) -> None:
    async with started(cluster) as hosts:
        await hosts.start(1)
        await hosts.start(2)
        third = asyncio.create_task(hosts.start(3))
        await cluster.until_hosts(2)
        assert hosts.secrets_made == [1, 2]
        assert not third.done()

        await hosts.starter.kill(1)
        await third

        assert hosts.secrets_made == [1, 2, 3]
        await hosts.until_lost(1)


async def test_a_host_that_waits_can_be_taken_back(cluster: Cluster) -> None:
    async with started(cluster, cpus=2) as hosts:
        await hosts.start(1)
        waiting = asyncio.create_task(hosts.place(2))
        await asyncio.sleep(0)

        await hosts.starter.kill(2)
        with pytest.raises(HostStartFailed, match="killed"):
            await waiting

        await hosts.starter.kill(1)
        await hosts.until_lost(1)
        await hosts.start(3)  # and not the second one, which would take both processors
        assert hosts.secrets_made == [1, 3]
        assert hosts.lost == [1]


async def test_a_host_that_answers_nothing_is_killed(cluster: Cluster) -> None:
    async with started(cluster) as hosts:
        await hosts.start(1)
        [host] = cluster.hosts()
        host.suspend()

        await hosts.starter.kill(1)

        await hosts.until_lost(1)
        await gone(host.pid)


async def test_a_host_whose_process_dies_is_reported(cluster: Cluster) -> None:
    async with started(cluster) as hosts:
        await hosts.start(1)
        await hosts.start(2)
        first, _ = sorted(cluster.hosts(), key=lambda process: process.create_time())

        first.kill()

        await hosts.until_lost(1)
        assert hosts.lost == [1]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await hosts.until_lost(2)


async def test_hosts_end_with_the_starter_even_if_it_is_killed(cluster: Cluster) -> None:
    async with started(cluster) as hosts:
        await hosts.start(1)
        [starter] = [process for process in processes() if "ray import starter" in title(process)]

        starter.kill()

        await hosts.until_lost(1)
        await cluster.until_hosts(0)
        await hosts.until_available()
        await hosts.start(2)


async def test_signals_for_the_worker_do_not_end_the_starter(cluster: Cluster) -> None:
    async with started(cluster) as hosts:
        [starter] = [process for process in processes() if "ray import starter" in title(process)]

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            starter.send_signal(number)

        async with asyncio.timeout(START_SECONDS / 2):  # one that is ending would never start it
            await hosts.start(1)
        assert starter.is_running()


async def test_the_starter_holds_no_secret_that_another_process_could_read(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://canary-1f6e@localhost/headrace")
    monkeypatch.setenv("RAY_AUTH_TOKEN", cluster.token)
    monkeypatch.setenv("RAY_ADDRESS", "ray://elsewhere:10001")
    async with started(cluster):
        [starter] = [process for process in processes() if "ray import starter" in title(process)]
        environment = Path(f"/proc/{starter.pid}/environ").read_bytes().decode()
        command = title(starter)

    assert "canary-1f6e" not in environment
    assert cluster.token not in environment + command
    assert "elsewhere" not in environment
    assert "RAY_CLIENT_RECONNECT_GRACE_PERIOD=5\0" in environment
    assert "RAY_USAGE_STATS_ENABLED=0\0" in environment


async def test_a_wrong_token_is_refused_in_one_line(cluster: Cluster) -> None:
    with pytest.raises(ConfigurationError) as refused:
        async with started(cluster, token="a token of another cluster"):
            pass

    assert str(refused.value) == (
        f"RAY_ADDRESS: the Ray cluster at {cluster.address} refuses the token in RAY_AUTH_TOKEN"
    )


async def test_another_version_of_ray_is_refused_in_one_line(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = _with_another_version(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ConfigurationError) as refused:
        async with started(cluster):
            pass

    assert f"the cluster runs Ray {ours} with Python" in str(refused.value)
    assert "this worker Ray 2.0.0" in str(refused.value)
    assert "\n" not in str(refused.value)


def _with_another_version(folder: Path) -> str:
    """Make a folder with our Ray, file for file, but its version. Returns the version of ours."""
    spec = find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    installed, ours = Path(spec.origin).parent, metadata.version("ray")
    subprocess.run(["cp", "--recursive", "--symbolic-link", installed, folder], check=True)
    version = folder / "ray" / "_version.py"
    text = version.read_text()
    version.unlink()
    version.write_text(text.replace(ours, "2.0.0"))
    return ours


_READS_AN_ANSWER = """
import os, sys
from worker.engines.ray import starter
from worker.engines.ray.commands import Connect

starter.connect(Connect(sys.argv[1], sys.argv[2], 1.0, 0))

import ray

folder = sys.argv[3]


@ray.remote(num_cpus=0)
def hostile():
    class Code:
        def __reduce__(self):
            note = f"import os; open(os.path.join({folder!r}, str(os.getpid())), 'w').close()"
            return exec, (note,)

    return Code()


@ray.remote(num_cpus=0)
def fails():
    raise ValueError("a pickled error")


print(os.getpid())
for task in (hostile, fails):
    result = task.remote()
    ray.wait([result])  # until it is there: after two seconds, the head answers with a pickled error
    try:
        ray.get(result)
    except Exception as error:
        print(type(error).__name__)
    else:
        print("read")
"""


def test_the_client_reads_no_pickle_of_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _READS_AN_ANSWER, cluster.address, cluster.token, tmp_path],
        cwd=ROOT,
        env={**os.environ, "RAY_AUTH_MODE": "token", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )

    assert done.returncode == 0, done.stderr
    pid, *outcomes = done.stdout.split()
    assert outcomes == ["UnpicklingError"] * 2
    read_by = {path.name for path in tmp_path.iterdir()}
    assert pid not in read_by
    assert read_by, "the head reads it before it answers"
