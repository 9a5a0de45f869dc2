"""The sandbox of a child: it may compute, and everything else that a malicious model tries fails."""

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from app.core import ids
from app.core.sandbox import landlock, seccomp
from app.core.sandbox.permissions import Permission
from tests.worker.children import attempts, hostile_handlers
from tests.worker.handlers.datasets import as_file
from worker.children.messages import Done, Start
from worker.children.pool import Child, ChildPool
from worker.children.tenancy import Tenancy

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        not seccomp.is_available(), reason="seccomp filters exist on Linux, x86_64 and aarch64"
    ),
]

HANDLERS = "tests.worker.children.hostile_handlers:HANDLERS"

BY_LANDLOCK = {
    "read the worker's environment",
    "read the worker's memory",
    "read a file",
    "list a folder",
    "write a file",
    "delete a file",
    "cut a file",
}
SAID = {"look up a name": "name resolution", "write a large file": "File too large"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def children() -> AsyncIterator[ChildPool]:
    async with attempts.pool(slots=2, handlers=HANDLERS, max_file_bytes=8 * attempts.MEBIBYTE) as pool:
        yield pool


def start(kind: str, tmp_path: Path, **params: Any) -> Start:
    return msgspec.structs.replace(attempts.start(kind, params=params), scratch=str(tmp_path / "room"))


@pytest.mark.parametrize("what", hostile_handlers.ATTEMPTS)
async def test_the_sandbox_refuses_hostile_operations(what: str, children: ChildPool, tmp_path: Path) -> None:
    if what in BY_LANDLOCK and not landlock.version():
        pytest.skip("this kernel has no Landlock")
    foreign = tmp_path / "foreign"
    foreign.write_text("another owner's rows")
    message = start("attempt", tmp_path, what=what, worker=os.getpid(), path=str(foreign))

    async with attempts.take_for(children, message) as child:
        failure = (await attempts.run(child, message)).failure

        assert failure.code == "handler_error"
        denied = ("Operation not permitted", "Permission denied")
        assert any(text in failure.message for text in (SAID.get(what), *denied) if text), failure.message
        assert (await attempts.run(child, start("do_what_is_allowed", tmp_path))).result["done"]
    assert foreign.read_text() == "another owner's rows"


async def test_the_sandbox_allows_what_libraries_do(children: ChildPool, tmp_path: Path) -> None:
    message = start("do_what_is_allowed", tmp_path)

    async with attempts.take_for(children, message) as child:
        result = (await attempts.run(child, message)).result

    assert result == {"done": ["loop", "thread"], "temporary": str(tmp_path / "room")}
    assert (tmp_path / "room" / "written").read_text() == "kept"


@pytest.mark.parametrize(
    ("permission", "what"),
    [
        (Permission.NETWORK, "open a socket"),
        (Permission.PROCESSES, "run a program"),
        (Permission.FILES, "read a file"),
    ],
)
async def test_a_permission_allows_its_operation_and_no_other(
    permission: Permission, what: str, children: ChildPool, tmp_path: Path
) -> None:
    (tmp_path / "foreign").touch()
    for allowed in Permission:
        message = start("attempt", tmp_path, what=what, path=str(tmp_path / "foreign"))
        async with attempts.take(
            children, allowed, tenancy=Tenancy(ids.new_id(), frozenset({allowed}))
        ) as child:
            end = (await attempts.run(child, message)).end
        has_worked = isinstance(end, Done)
        if what == "read a file" and not landlock.version():
            continue
        assert has_worked == (allowed is permission), (allowed, end)


@pytest.mark.parametrize("permissions", [(), (Permission.FILES,)], ids=["confined", "by the limit alone"])
async def test_a_child_without_write_permission_cannot_write_anywhere(
    permissions: tuple[Permission, ...], children: ChildPool, tmp_path: Path
) -> None:
    if not permissions and not landlock.version():
        pytest.skip("this kernel has no Landlock")
    room = tmp_path / "room"
    room.mkdir()
    async with children.take(Tenancy(ids.new_id(), frozenset(permissions))) as child:
        child.confine({}, room)

        message = start("attempt", tmp_path, what="write a file", path=str(room / "file"))
        failure = (await attempts.run(child, message)).failure

    assert "File too large" in failure.message if permissions else "Permission denied" in failure.message
    assert not any(path.stat().st_size for path in room.iterdir())


@pytest.mark.parametrize("then", ["exit", "return"])
async def test_no_process_outlives_its_job(then: str, children: ChildPool, tmp_path: Path) -> None:
    async with attempts.take(children, Permission.PROCESSES) as child:
        child.send(start("fork_twice", tmp_path, then=then))
        (orphan,) = attempts.outputs_of(await attempts.receive_batch(child))
        if then == "exit":
            await attempts.receive_death(child)
        else:
            await attempts.receive(child)

    await attempts.eventually(lambda: attempts.is_gone(orphan))


async def test_processes_of_another_job_are_not_killed(children: ChildPool, tmp_path: Path) -> None:
    async with attempts.take(children, Permission.PROCESSES) as lasting:
        lasting.send(start("fork_twice", tmp_path, then="return"))
        (helper,) = attempts.outputs_of(await attempts.receive_batch(lasting))
        async with attempts.take(children, Permission.PROCESSES) as ending:
            ending.send(start("fork_twice", tmp_path, then="exit"))
            await attempts.receive_death(ending)

        assert not attempts.is_gone(helper)


# Tenancy


def reading(path: Path, *names: str, folder: Path) -> Start:
    message = start("read_files", folder, names=names)
    return msgspec.structs.replace(message, files={name: as_file(path) for name in names})


async def pid_of(children: ChildPool, tenancy: Tenancy, files: dict[str, Path], message: Start) -> int:
    async with attempts.take(children, tenancy=tenancy, files=files) as child:
        result = (await attempts.run(child, message)).result
        assert result["pid"] == child.pid
        return child.pid


async def test_a_child_that_got_a_file_serves_one_owner_only(children: ChildPool, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_text("weights")
    ada, bob = ids.new_id(), ids.new_id()
    message = reading(model, "model", folder=tmp_path)

    async def run(owner: Any) -> int:
        return await pid_of(children, Tenancy(owner, files=frozenset({"m"})), {"m": model}, message)

    first = await run(ada)
    assert await run(ada) == first
    second = await run(bob)
    assert second != first
    shared = await pid_of(children, Tenancy(), {}, start("read_files", tmp_path, names=[]))
    assert shared not in {first, second}


async def test_a_child_cannot_read_the_files_of_another_child(children: ChildPool, tmp_path: Path) -> None:
    if not landlock.version():
        pytest.skip("this kernel has no Landlock")
    paths = [tmp_path / name for name in ("ada", "bob")]
    for path in paths:
        path.write_text(path.name)
    own, foreign = (reading(path, "model", folder=tmp_path) for path in paths)

    def taken(path: Path) -> AbstractAsyncContextManager[Child]:
        tenancy = Tenancy(ids.new_id(), files=frozenset({path.name}))
        return attempts.take(children, tenancy=tenancy, files={path.name: path})

    async with taken(paths[0]) as ada, taken(paths[1]) as bob:
        assert (await attempts.run(ada, own)).result["model"] == "ada"
        assert (await attempts.run(bob, foreign)).result["model"] == "bob"
        failure = (await attempts.run(ada, foreign)).failure

    assert "Permission denied" in failure.message


async def test_a_child_without_files_serves_all_owners(children: ChildPool, tmp_path: Path) -> None:
    message = start("read_files", tmp_path, names=[])

    pids = {await pid_of(children, Tenancy(), {}, message) for _ in range(3)}

    assert len(pids) == 1


async def test_several_files_of_one_owner_share_a_child(children: ChildPool, tmp_path: Path) -> None:
    owner = ids.new_id()
    paths = {name: tmp_path / name for name in ("one", "two")}
    for name, path in paths.items():
        path.write_text(name)

    async def run(name: str) -> int:
        tenancy = Tenancy(owner, files=frozenset({name}))
        message = reading(paths[name], name, folder=tmp_path)
        return await pid_of(children, tenancy, {name: paths[name]}, message)

    first = await run("one")
    second = await run("two")
    assert second != first
    assert {await run("one"), await run("two")} <= {first, second}


async def test_a_child_is_not_reused_after_a_failed_attempt(children: ChildPool, tmp_path: Path) -> None:
    tenancy = Tenancy(ids.new_id())
    async with attempts.take(children, tenancy=tenancy) as child:
        await attempts.run(child, start("attempt", tmp_path, what="fork"))

    assert await pid_of(children, tenancy, {}, start("read_files", tmp_path, names=[])) != child.pid


async def test_a_job_cannot_start_in_an_unconfined_child(children: ChildPool) -> None:
    async with children.take(Tenancy(ids.new_id())) as fresh:
        with pytest.raises(RuntimeError, match="confine the child"):
            fresh.send(attempts.start("read_files", params={"names": []}))
