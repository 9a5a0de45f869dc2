import os
import sys
from pathlib import Path

import pytest

from app.embedded.errors import EmbeddedServerError
from app.embedded.servers import EmbeddedServers
from tests.embedded.conftest import NOT_DURABLE, Owner
from tests.embedded.support import Watch, ask, note, read_note, tell
from tests.embedded.test_valkey import ping

only_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child of its parent's death"
)


async def test_two_checkouts_run_side_by_side(running_servers: EmbeddedServers, server_dir: Path) -> None:
    with EmbeddedServers(server_dir, postgres_options=NOT_DURABLE) as others:
        await note(others.postgres, "theirs")

        assert not set(others.urls.values()) & set(running_servers.urls.values())
        assert await ask(running_servers.postgres.url, "SELECT to_regclass('notes')") is None
        assert await ping(running_servers.valkey.url)
        assert await ping(others.valkey.url)


def test_the_urls_have_the_names_of_the_settings(running_servers: EmbeddedServers) -> None:
    assert running_servers.urls == {
        "DATABASE_URL": running_servers.postgres.url,
        "REDIS_URL": running_servers.valkey.url,
    }


def test_if_one_server_fails_the_other_is_stopped(server_dir: Path) -> None:
    servers = EmbeddedServers(server_dir, postgres_options={"no_such_option": "1"})

    with pytest.raises(EmbeddedServerError, match="Postgres did not start") as caught:
        servers.start()

    assert "no_such_option" in caught.value.log_tail
    assert not servers.valkey.is_running
    assert not servers.postgres.is_running


async def test_a_data_directory_in_use_is_rejected_and_its_servers_keep_running(owner: Owner) -> None:
    servers = EmbeddedServers(owner.data_dir)

    with pytest.raises(EmbeddedServerError, match=f"process {owner.process.pid} runs a server on it"):
        servers.start()
    with pytest.raises(EmbeddedServerError, match=f"process {owner.process.pid} runs a server on it"):
        servers.postgres.start()

    assert await ask(owner.postgres.url, "SELECT 1") == 1


@only_linux
def test_no_server_outlives_a_killed_process(owner: Owner) -> None:
    watches = [Watch(owner.postgres.pid), Watch(owner.valkey.pid)]

    owner.process.kill()

    assert all(watch.sees_end(within_seconds=10) for watch in watches)


@only_linux
async def test_the_data_of_a_killed_process_is_there_for_the_next_one(owner: Owner) -> None:
    await tell(owner.postgres.url, "CREATE TABLE notes AS SELECT 'kept' AS text")

    owner.process.kill()
    owner.process.wait()

    with EmbeddedServers(owner.data_dir, postgres_options=NOT_DURABLE) as servers:
        assert await read_note(servers.postgres) == "kept"
        assert not owner.postgres.socket_dir.exists()
        assert not owner.valkey.socket_dir.exists()


@only_linux
async def test_servers_end_with_a_process_that_exits_without_stopping_them(owner: Owner) -> None:
    watches = [Watch(owner.postgres.pid), Watch(owner.valkey.pid)]
    assert owner.process.stdin is not None

    owner.process.stdin.close()

    assert owner.process.wait(timeout=10) == os.EX_OK
    assert all(watch.sees_end(within_seconds=10) for watch in watches)
