"""`headrace serve` says where it listens, once it serves."""

import json
import re
import socket
from pathlib import Path

import httpx
import pytest

from app.cli.listening import listen, url_of
from app.core.config import Settings
from tests.support import processes


@pytest.mark.parametrize("environment", ["development", "production"])
async def test_the_log_says_where_it_listens_with_the_real_port(
    settings: Settings, tmp_path: Path, environment: str
) -> None:
    variables = processes.environment(
        settings, ENVIRONMENT=environment, SECRET_KEY="a secret of more than thirty-two bytes"
    )
    async with processes.python(
        *("-m", "app", "serve", "--port", "0"), env=variables, log_path=tmp_path / "log"
    ) as process:
        await process.wait_for_log("listening")
        [line] = [line for line in process.log.splitlines() if re.search(r"\blistening\b", line)]
        if environment == "production":
            record = json.loads(line)
            assert record["event"] == "listening"
            url = record["url"]
        else:
            [url] = re.findall(r"url=(\S+)", line)

        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9][0-9]*", url)
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            assert (await client.get("/health/live")).status_code == 200


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_it_listens_on_addresses_of_both_families(host: str, shown: str) -> None:
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("needs IPv6")

    with listen(host, 0) as listener:
        assert url_of(listener) == f"http://{shown}:{listener.getsockname()[1]}"


@pytest.mark.parametrize("arguments", [(), ("--json",)])
@pytest.mark.parametrize("setting", ["METRICS_PORT", "STORAGE_URL"])
async def test_a_setting_that_only_the_start_can_check_is_refused_in_one_line(
    settings: Settings, tmp_path: Path, setting: str, arguments: tuple[str, ...]
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        values = {"METRICS_PORT": str(taken.getsockname()[1]), "STORAGE_URL": "ftp://here"}
        variables = processes.environment(settings, **{setting: values[setting]})
        async with processes.python(
            *("-m", "app", "serve", "--port", "0", *arguments), env=variables, log_path=tmp_path / "log"
        ) as process:
            assert await process.wait(60) == 1

    [line] = process.log.splitlines()
    if arguments:
        error = json.loads(line)
        assert error["code"] == "configuration_error"
        assert error["detail"].startswith(f"{setting}: ")
    else:
        assert line.startswith(f"headrace: {setting}: ")
