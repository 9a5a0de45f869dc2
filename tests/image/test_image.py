"""The image contains what it needs and nothing else, and its containers run as the pods do."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.core.version import VERSION
from tests.e2e.support import short_texts, submit, wait_for_end
from tests.image import building, container
from tests.image.building import Image
from tests.image.conftest import Pods
from tests.image.container import Volume
from tests.k8s.rendering import main_container
from tests.support.waiting import until

MIB: Final = 1024 * 1024
COMPILERS: Final = ("cc", "gcc", "g++", "c++", "clang", "cpp", "as", "ld", "make", "rustc", "go")
INSTALLERS: Final = ("pip", "pip3", "uv", "easy_install", "conda")
TEST_PACKAGES: Final = ("pytest", "_pytest", "hypothesis", "moto", "tests", "mypy")

# Prints, as JSON, each folder in which a process of the container can create a file.
WRITABLE: Final = """
import json, os, tempfile
found = []
for folder, folders, _ in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys")]
    try:
        with tempfile.TemporaryFile(dir=folder):
            found.append(folder)
    except OSError:
        pass
print(json.dumps(found))
"""

# Prints, as JSON, the installed packages with their versions.
INSTALLED: Final = """
import importlib.metadata as metadata, json
print(json.dumps({one.metadata["Name"]: one.version for one in metadata.distributions()}))
"""


async def output(image: Image, program: str, folder: Path) -> str:
    """Run a Python program in a container and return what it printed."""
    volume = folder / "volume"
    volume.mkdir(exist_ok=True)
    os.chown(volume, *image.user)
    async with container.running(
        image, ["python", "-c", program], {}, Volume(volume, "/var/lib/headrace"), folder / "output.log"
    ) as started:
        assert await started.process.wait() == 0, started.process.log
        return started.process.log


async def test_the_migration_the_api_and_a_worker_complete_a_job_and_stop_within_their_grace(
    pods: Pods,
) -> None:
    async with pods.running("migrate") as migration:
        assert await migration.process.wait() == 0, migration.process.log

    async with pods.running("api") as api, pods.running("worker") as worker, pods.client(api) as client:
        uploaded = await client.post(
            "/datasets?name=reviews", content=b"text\nlovely\nawful\n", headers={"Content-Type": "text/csv"}
        )
        assert uploaded.status_code == 201, uploaded.text
        job = await wait_for_end(client, await submit(client, short_texts(5)))
        assert job["status"] == "completed", worker.process.log

        worker.stop()
        assert await worker.process.wait(pods.grace_seconds("worker")) == 0, worker.process.log
        api.stop()
        assert await api.process.wait(pods.grace_seconds("api")) == 0, api.process.log

    assert any(path.is_file() for path in pods.volume.folder.rglob("*"))  # the dataset
    for log in (migration.process.log, api.process.log, worker.process.log):
        assert "Traceback" not in log
        assert "Read-only file system" not in log


async def test_killed_children_of_a_worker_leave_no_zombies(pods: Pods) -> None:
    async with pods.running("migrate") as migration:
        assert await migration.process.wait() == 0, migration.process.log

    async with pods.running("api") as api, pods.running("worker") as worker, pods.client(api) as client:
        await worker.process.wait_for_log("worker_started")
        [fork_server] = worker.init.children()
        await killed(fork_server.children()[0])
        completed = await wait_for_end(client, await submit(client, short_texts(5)))
        # Its children are orphans then: the kernel makes PID 1 their parent, which is the worker itself.
        orphans = fork_server.children()
        await killed(fork_server, *orphans)
        completed_later = await wait_for_end(client, await submit(client, short_texts(5)))

        assert (completed["status"], completed_later["status"]) == ("completed", "completed")

        async def all_are_reaped() -> bool:
            return not worker.zombies()

        await until(all_are_reaped)


async def killed(*processes: psutil.Process) -> None:
    """Kill processes and wait until they have ended, reaped or not."""
    for process in processes:
        process.kill()

    async def have_ended() -> bool:
        return all(
            not process.is_running() or process.status() == psutil.STATUS_ZOMBIE for process in processes
        )

    await until(have_ended)


async def test_a_container_can_write_to_tmp_and_to_its_volume_only(image: Image, tmp_path: Path) -> None:
    writable = set(json.loads(await output(image, WRITABLE, tmp_path)))

    # /dev/shm is a file system in memory that every container runtime provides.
    assert writable == {"/tmp", "/var/lib/headrace", "/dev/shm"}


async def test_it_contains_exactly_the_pinned_packages(image: Image, tmp_path: Path) -> None:
    wanted = [
        Requirement(line.removesuffix("\\"))
        for line in building.requirements(f"{building.PYTHON}.99").splitlines()
        if "==" in line and not line.startswith(" ")
    ]

    installed = json.loads(await output(image, INSTALLED, tmp_path))

    names = {canonicalize_name(name) for name in installed}
    missing = {requirement.name for requirement in wanted} - names
    # The base may have an older patch version of Python, which needs a backport more.
    assert (missing, names - {requirement.name for requirement in wanted}) in (
        (set(), set()),
        (set(), {"async-timeout"}),
    )
    assert "opentelemetry-sdk" in names


def test_it_contains_no_compiler_no_installer_and_no_tests(image: Image) -> None:
    folders = [image.path(folder) for folder in image.environment["PATH"].split(":")]
    programs = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}
    packages = {path.name for path in image.path("/opt/venv").glob("lib/python*/site-packages/*")}
    packages |= {path.name for path in image.path("/usr").rglob("*-packages/*")}

    assert programs.isdisjoint(COMPILERS)
    assert programs.isdisjoint(INSTALLERS)
    assert packages.isdisjoint({*INSTALLERS, *TEST_PACKAGES, "setuptools", "wheel"})
    assert {path.name for path in image.path("/srv/headrace").iterdir()} == {
        *("alembic", "alembic.ini", "app", "worker")
    }


def test_the_user_of_the_container_owns_no_code(image: Image) -> None:
    for folder in ("/srv/headrace", "/opt/venv"):
        for path in image.path(folder).rglob("*"):
            status = path.lstat()
            assert status.st_uid == 0, path
            assert stat.S_ISLNK(status.st_mode) or not status.st_mode & stat.S_IWOTH, path


def test_its_labels_name_the_version_and_the_commit(image: Image) -> None:
    labels = image.config["Labels"]

    assert labels["org.opencontainers.image.version"] == VERSION
    assert labels["org.opencontainers.image.revision"] == image.revision


def test_its_ports_are_those_of_the_pods(pods: Pods) -> None:
    ports = {
        f"{port['containerPort']}/tcp"
        for name in ("api", "worker")
        for port in main_container(pods.workload(name))["ports"]
    }

    assert set(pods.image.config["ExposedPorts"]) == ports


def test_its_size_is_reported(image: Image, record_property: Callable[[str, object], None]) -> None:
    seen: dict[int, int] = {}
    for path in image.root.rglob("*"):
        status = path.lstat()
        seen[status.st_ino] = status.st_size
    size = sum(seen.values())

    assert size > 100 * MIB  # all of it was counted
    record_property("MiB", round(size / MIB))
    record_property("files", len(seen))
