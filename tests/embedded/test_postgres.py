import asyncio
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from app.embedded.errors import EmbeddedServerError
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.servers import EmbeddedServers
from tests.embedded.conftest import NOT_DURABLE
from tests.embedded.support import Watch, ask, note, read_note, tell
from tests.support.waiting import until


async def test_it_answers_a_query_of_asyncpg(running_servers: EmbeddedServers) -> None:
    assert await ask(running_servers.postgres.url, "SELECT 6 * 7") == 42


async def test_it_answers_a_query_of_sqlalchemy(running_servers: EmbeddedServers) -> None:
    url = running_servers.postgres.url.replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(url)

    async with engine.connect() as connection:
        answer = await connection.scalar(text("SELECT 6 * 7"))
    await engine.dispose()

    assert answer == 42


async def test_a_url_can_name_another_database(running_servers: EmbeddedServers) -> None:
    await tell(running_servers.postgres.url, 'CREATE DATABASE "odd name"')

    url = running_servers.postgres.url_for("odd name")

    assert await ask(url, "SELECT current_database()") == "odd name"


async def test_a_port_in_the_environment_changes_nothing(
    running_servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "5999")

    assert await ask(running_servers.postgres.url, "SELECT 1") == 1


async def test_it_takes_options_and_is_otherwise_durable(
    running_servers: EmbeddedServers, server_dir: Path
) -> None:
    assert await ask(running_servers.postgres.url, "SHOW fsync") == "off"

    durable = EmbeddedPostgres(server_dir / "durable")
    durable.start()
    try:
        settings = [await ask(durable.url, f"SHOW {name}") for name in ("fsync", "synchronous_commit")]
    finally:
        durable.stop()

    assert settings == ["on", "on"]


def test_only_its_user_can_reach_it(running_servers: EmbeddedServers) -> None:
    status = running_servers.postgres.socket_dir.stat()

    assert stat.S_IMODE(status.st_mode) == 0o700
    assert not listens_on_tcp(running_servers.postgres)


def test_it_is_in_a_session_of_its_own_so_ctrl_c_does_not_reach_it(running_servers: EmbeddedServers) -> None:
    pid = running_servers.postgres.pid
    assert pid is not None

    assert os.getsid(pid) == pid != os.getsid(0)


async def test_its_data_survives_a_stop(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    await note(postgres, "kept")

    postgres.stop()
    assert not postgres.is_running
    assert postgres.pid is None
    assert not postgres.socket_dir.exists()
    postgres.start()

    assert await read_note(postgres) == "kept"


async def test_its_data_survives_a_kill_and_its_url_stays(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    await note(postgres, "kept")
    url = postgres.url

    postgres.kill()
    assert not postgres.is_running
    postgres.start()

    assert postgres.url == url
    assert await read_note(postgres) == "kept"


async def test_a_kill_ends_its_children_too(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    asking = asyncio.create_task(ask(postgres.url, "SELECT pg_sleep(60)"))
    backend = Watch(await a_sleeping_backend(postgres))

    postgres.kill()

    assert backend.sees_end(within_seconds=0)
    (answer,) = await asyncio.gather(asking, return_exceptions=True)
    assert isinstance(answer, Exception)


async def test_a_start_ends_the_children_of_a_server_that_was_killed(
    postgres: EmbeddedPostgres,
) -> None:
    postgres.leftover_timeout_seconds = 0.5
    postgres.start()
    await note(postgres, "kept")
    connection = await asyncpg.connect(postgres.url)
    backend_pid = await connection.fetchval("SELECT pg_backend_pid()")
    backend = Watch(backend_pid)
    assert postgres.pid is not None

    # Frozen, it does not notice that its server is gone.
    os.kill(backend_pid, signal.SIGSTOP)
    os.kill(postgres.pid, signal.SIGKILL)
    assert postgres.wait(5)
    postgres.start()

    assert backend.sees_end(within_seconds=0)
    assert await read_note(postgres) == "kept"
    connection.terminate()


async def test_an_unexpected_end_is_logged(
    postgres: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    postgres.start()
    pid = postgres.pid
    assert pid is not None

    os.kill(pid, signal.SIGINT)
    assert postgres.wait(5)

    async def is_told() -> bool:
        return f"Postgres (pid {pid}) ended unexpectedly with exit code 0" in caplog.text

    await until(is_told)


async def test_it_stops_although_it_is_frozen_and_has_clients(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    asking = asyncio.create_task(ask(postgres.url, "SELECT pg_sleep(60)"))
    await a_sleeping_backend(postgres)
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGSTOP)

    postgres.stop()

    assert not postgres.is_running
    (answer,) = await asyncio.gather(asking, return_exceptions=True)
    assert isinstance(answer, Exception)


async def test_it_outlives_the_thread_that_started_it(postgres: EmbeddedPostgres) -> None:
    thread = threading.Thread(target=postgres.start)
    thread.start()
    thread.join()

    assert await ask(postgres.url, "SELECT 1") == 1


async def test_a_stale_pid_of_another_process_does_not_prevent_a_start(
    postgres: EmbeddedPostgres, bystander_pid: int
) -> None:
    postgres.start()
    await note(postgres, "kept")
    postgres.kill()
    lock_file = postgres.data_dir / "cluster/postmaster.pid"
    _, rest = lock_file.read_text().split("\n", 1)
    lock_file.write_text(f"{bystander_pid}\n{rest}")

    postgres.start()

    assert await read_note(postgres) == "kept"


async def test_an_incomplete_cluster_is_created_again(postgres: EmbeddedPostgres) -> None:
    half_made = postgres.data_dir / "cluster.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")

    postgres.start()

    assert await ask(postgres.url, "SELECT 1") == 1


async def test_it_starts_below_a_private_directory(server_dir: Path) -> None:
    home = server_dir / "home"
    home.mkdir(mode=0o700)
    postgres = EmbeddedPostgres(home / "project/data", options=NOT_DURABLE)

    postgres.start()
    try:
        assert await ask(postgres.url, "SELECT 1") == 1
        assert stat.S_IMODE(home.stat().st_mode) & 0o066 == 0, "to pass through, never to list"
    finally:
        postgres.stop()


def test_a_start_on_a_corrupted_data_directory_says_what_is_wrong(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    os.truncate(postgres.data_dir / "cluster/global/pg_control", 100)

    with pytest.raises(EmbeddedServerError) as caught:
        postgres.start()

    assert caught.value.server == "Postgres"
    assert "it ended with exit code" in caught.value.reason
    assert "pg_control" in caught.value.log_tail
    assert str(postgres.log_path) in str(caught.value)
    assert not postgres.is_running
    assert not postgres.socket_dir.exists()


def test_a_data_directory_that_cannot_be_made_is_a_clear_error(server_dir: Path) -> None:
    (server_dir / "file").write_text("")

    with pytest.raises(EmbeddedServerError, match="Not a directory"):
        EmbeddedPostgres(server_dir / "file/data").start()


def test_a_second_start_is_rejected_and_the_first_server_keeps_running(
    running_servers: EmbeddedServers,
) -> None:
    pid = running_servers.postgres.pid

    with pytest.raises(EmbeddedServerError, match=f"already running with pid {pid}"):
        running_servers.postgres.start()

    assert running_servers.postgres.pid == pid


def listens_on_tcp(postgres: EmbeddedPostgres) -> bool:
    """Whether Postgres listens on TCP, by the sixth line of its lock file."""
    lines = (postgres.data_dir / "cluster/postmaster.pid").read_text().split("\n")
    return lines[5] != ""


async def a_sleeping_backend(postgres: EmbeddedPostgres) -> int:
    """Wait for the backend that runs `pg_sleep`, and return its pid."""
    async with asyncio.timeout(30):
        while True:
            query = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            pid = await ask(postgres.url, query)
            if isinstance(pid, int):
                return pid


@pytest.fixture
def bystander_pid(postgres: EmbeddedPostgres) -> Iterator[int]:
    """An unrelated process of the user that Postgres runs as."""
    postgres.start()
    uid = (postgres.data_dir / "cluster").stat().st_uid
    postgres.stop()
    with subprocess.Popen(["sleep", "60"], user=uid) as process:
        yield process.pid
        process.kill()
