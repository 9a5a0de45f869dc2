"""The user that the Valkey of the component `stores` gives Headrace: a job runs with it, an administrator's
commands are refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from app.core.config import Settings
from app.core.resources import Resources
from app.embedded.valkey import EmbeddedValkey
from tests.e2e.support import short_texts, submit, wait_for_end
from tests.k8s.rendering import K8S
from tests.support import apis, processes

USERS = K8S / "overlays" / "dev" / "users.acl"
PASSWORD = "hints-of-a-trial"


@pytest.fixture
def restricted_url(server_dir: Path) -> Iterator[str]:
    """A Valkey that knows nobody but the user of the file."""
    server = EmbeddedValkey(server_dir / "valkey")
    server.start()
    try:
        with Redis.from_url(server.url) as administrator:
            for line in USERS.read_text(encoding="ascii").splitlines():
                _, name, *rules = line.split()
                administrator.execute_command("ACL", "SETUSER", name, *rules)
        yield server.url.replace("unix://", f"unix://headrace:{PASSWORD}@")
    finally:
        server.stop()


async def test_a_job_runs_with_it(
    settings: Settings, resources: Resources, restricted_url: str, tmp_path: Path
) -> None:
    restricted = settings.model_copy(update={"redis_url": restricted_url})
    headers = await apis.sign_in(settings, resources.database)
    async with (
        apis.api(restricted, tmp_path / "api.log", headers) as api,
        processes.worker(restricted, tmp_path / "worker.log") as worker,
    ):
        job_id = await submit(api.client, short_texts(5))
        job = await wait_for_end(api.client, job_id)

    assert job["status"] == "completed"
    assert "redis_unavailable" not in api.process.log + worker.log
    assert "NOPERM" not in api.process.log + worker.log


@pytest.mark.parametrize(
    "command", [("FLUSHALL",), ("CONFIG", "GET", "*"), ("EVAL", "return 1", "0"), ("GET", "another:key")]
)
def test_what_it_does_not_need_is_refused(restricted_url: str, command: tuple[str, ...]) -> None:
    with Redis.from_url(restricted_url) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)
