"""What a worker with `ENGINE=ray` checks before it starts Ray: its settings, and whether Ray is there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.config import Settings, load_settings
from app.core.errors import ConfigurationError
from tests.support import processes
from worker import engines
from worker.engines.engine import HostStartFailed
from worker.engines.ray.starting import RayStarter

COMPLETE = {
    "engine": "ray",
    "ray_address": "ray://head:10001",
    "ray_auth_mode": "token",
    "ray_auth_token": "a token",
}


def settings(**changed: object) -> Settings:
    return load_settings(
        _env_file=None,
        database_url="postgresql://localhost/none",
        redis_url="redis://localhost",
        **(COMPLETE | changed),
    )


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"ray_address": None}, "ENGINE=ray needs RAY_ADDRESS"),
        ({"ray_auth_mode": None}, "ENGINE=ray needs RAY_AUTH_MODE=token"),
        ({"ray_auth_mode": "disabled"}, "ENGINE=ray needs RAY_AUTH_MODE=token"),
        ({"ray_auth_token": None}, "ENGINE=ray needs RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"),
    ],
)
def test_a_worker_without_a_cluster_or_its_token_does_not_start(
    changed: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        engines.create(settings(**changed), slots=1)

    assert str(refused.value).startswith(complaint)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("address", ["head:10001", "ray://head", "ray://head:10001/x", "ray://a b:1", "auto"])
def test_an_address_that_is_none_of_a_client_port_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="RAY_ADDRESS"):
        settings(ray_address=address)


@pytest.mark.parametrize("address", ["ray://head:10001", "ray://10.0.0.7:10001", "ray://[fd00::7]:10001"])
def test_names_and_addresses_are_accepted(address: str) -> None:
    assert settings(ray_address=address).ray_address == address


@pytest.mark.parametrize(
    ("write", "complaint"),
    [
        (lambda _path: None, "cannot be read"),
        (lambda path: path.write_text(" \n"), "the file is empty"),
    ],
)
async def test_a_file_without_a_token_is_refused(
    tmp_path: Path, write: Callable[[Path], object], complaint: str
) -> None:
    path = tmp_path / "token"
    write(path)
    starter = RayStarter.from_settings(settings(ray_auth_token=None, ray_auth_token_path=path))

    with pytest.raises(ConfigurationError, match=f"RAY_AUTH_TOKEN_PATH: {complaint}"):
        await starter.open(lambda _number: None)


async def test_no_host_starts_while_the_cluster_is_not_connected() -> None:
    starter = RayStarter.from_settings(settings())

    assert not starter.is_available
    with pytest.raises(HostStartFailed, match="not connected"):
        await starter.start(1, "127.0.0.1:9300", lambda: "a secret")
    await starter.kill(1)
    await starter.close()


_WITHOUT_RAY = """
import runpy, sys
from importlib.machinery import PathFinder


class WithoutRay(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == "ray" else super().find_spec(name, path, target)


sys.meta_path = [WithoutRay if finder is PathFinder else finder for finder in sys.meta_path]
runpy.run_module("worker", run_name="__main__")
"""
"""A worker that does not find Ray, also where it is installed."""


async def test_without_ray_the_worker_stops_with_one_line(tmp_path: Path) -> None:
    own = {name.upper(): value for name, value in COMPLETE.items()}
    async with processes.python(
        *("-c", _WITHOUT_RAY),
        env=processes.environment(settings(engine="pool"), **own, ENGINE_PORT="0"),
        log_path=tmp_path / "worker.log",
    ) as worker:
        assert await worker.wait() == 1, worker.log

    line = worker.log.splitlines()[-1]
    assert line == "The worker cannot start: ENGINE=ray needs Ray: install requirements/ray.txt"
    assert "Traceback" not in worker.log
