"""`headrace serve` says where it listens, once it serves."""

import json
import re
from pathlib import Path

import httpx
import pytest

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
