"""`headrace dev`, which is `make run`: one welcome, after everything has started."""

import re
import signal
from pathlib import Path

from app.core.config import Settings
from tests.support import processes


async def test_the_welcome_comes_once_and_start_up_asks_the_api_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    command = ("-m", "app", "dev", "--port", "0", "--slots", "1", "--data", str(tmp_path / "data"))
    async with processes.python(
        *command, env=processes.environment(settings), log_path=tmp_path / "log"
    ) as process:
        await process.wait_for_log("Ctrl+C stops it")
        before, _, after = process.log.partition("Sign in at")
        process.send(signal.SIGTERM)
        assert await process.wait(60) == 0, process.log

    [url] = re.findall(r"listening .*url=(\S+)", before)
    assert f"Headrace is at {url}" in before
    assert "Sign in at" not in after
    assert not re.search(r"path=/health|\brequest\b", process.log), process.log
