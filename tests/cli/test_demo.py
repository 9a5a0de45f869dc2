"""`headrace demo`, as a process, and the digits it trains on."""

import os
import re
import signal
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import pytest
from sklearn.datasets import load_digits

from app.auth.tokens import Tokens
from app.cli import demo_digits
from app.core.config import Settings
from app.core.resources import Resources
from tests.support import processes

# Starts a whole system, whose processes each import everything.
pytestmark = pytest.mark.long

DEMO = ("-m", "app", "demo", "--texts", "20")
SECONDS = 150.0


async def test_it_predicts_and_trains_and_prints_what_the_api_returns(
    settings: Settings, resources: Resources, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    env = processes.environment(settings, COLUMNS="120")
    async with processes.python(*DEMO, env=env, log_path=tmp_path / "demo.log") as demo:
        exit_code = await demo.wait(SECONDS)
        shown = demo.log
    client.headers.update(await signed_in_as_the_demo(settings, resources))
    jobs = (await client.get("/jobs")).json()["items"]
    trained = next(job for job in jobs if job["kind"] == "train_model")
    result = (await client.get(f"/jobs/{trained['job_id']}")).json()["result"]
    [version] = (await client.get("/models/digits/versions")).json()["items"]

    assert exit_code == 0, shown
    assert "Traceback" not in shown
    assert [job["status"] for job in jobs] == ["completed"] * 3
    assert re.findall(r"Accuracy ([\d.]+) on (\d+) digits", shown) == [
        (f"{result['accuracy']:.3f}", str(result["test_rows"]))
    ]
    assert result["accuracy"] == version["metrics"]["accuracy"] >= 0.9
    assert re.findall(r"Epoch (\d+)/\d+: loss ([\d.]+)", shown) == [
        (str(epoch["epoch"]), f"{epoch['train_loss']:.3f}") for epoch in result["history"]
    ]
    shown_digits = re.findall(r"(\d) \((?:0\.\d\d|1\.00)\)(?:, is (\d))?", shown)
    assert [truth or label for label, truth in shown_digits] == list("0123456789")
    assert sum(not truth for _, truth in shown_digits) >= 8
    assert f".venv/bin/headrace jobs train --dataset digits.csv --target {demo_digits.TARGET}" in shown


@pytest.mark.parametrize("moment", ["Headrace starts", "to read digits"])
async def test_ctrl_c_ends_it_and_leaves_nothing_behind(
    moment: str, server_dir: Path, tmp_path: Path
) -> None:
    """On servers of its own, as on a fresh machine."""
    env = {**os.environ, "TMPDIR": str(server_dir), "CHILD_PRELOAD": "false", "COLUMNS": "120"}
    for name in ("DATABASE_URL", "REDIS_URL", "STORAGE_URL"):
        env.pop(name, None)
    server_dir.chmod(0o711)
    async with processes.python(*DEMO, env=env, log_path=tmp_path / "demo.log") as demo:
        await demo.wait_for_log(moment, SECONDS)
        started = psutil.Process(demo.pid).children(recursive=True)
        demo.send(signal.SIGINT)
        exit_code = await demo.wait(60)

    assert exit_code == 130, demo.log
    assert "Traceback" not in demo.log
    assert list(server_dir.glob("headrace-demo-*")) == []
    _, alive = psutil.wait_procs(started, timeout=5)
    assert alive == []


async def test_to_stay_it_says_where_to_watch_a_job_that_runs(server_dir: Path, tmp_path: Path) -> None:
    env = {**os.environ, "TMPDIR": str(server_dir), "CHILD_PRELOAD": "false", "COLUMNS": "120"}
    for name in ("DATABASE_URL", "REDIS_URL", "STORAGE_URL"):
        env.pop(name, None)
    server_dir.chmod(0o711)
    async with processes.python(*DEMO, "--keep", env=env, log_path=tmp_path / "demo.log") as demo:
        await demo.wait_for_log("Ctrl+C stops everything", SECONDS)
        [address] = re.findall(r"Watch it move: (\S+/dashboard/jobs/[0-9a-f-]{36})", demo.log)
        [(username, password)] = re.findall(r"Sign in as (\S+) with the password (\S+?)\.", demo.log)
        url, _, job_id = address.partition("/dashboard/jobs/")
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            page = await client.get(address)
            signed_in = await client.post("/token", data={"username": username, "password": password})
            client.headers["Authorization"] = f"Bearer {signed_in.json()['access_token']}"
            job = (await client.get(f"/jobs/{job_id}")).json()
        demo.send(signal.SIGINT)
        exit_code = await demo.wait(60)

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert job["status"] in ("pending", "running")
    assert job["total"] == 500_000
    assert exit_code == 0, demo.log
    assert "Traceback" not in demo.log
    assert list(server_dir.glob("headrace-demo-*")) == []


def test_the_digits_are_those_of_scikit_learn() -> None:
    expected = load_digits()
    digits = demo_digits.read()

    assert [list(demo_digits.pixels(digit)) for digit in digits[:1]] == [expected.feature_names]
    assert [list(demo_digits.pixels(digit).values()) for digit in digits] == expected.data.tolist()
    assert [digit[demo_digits.TARGET] for digit in digits] == expected.target.tolist()


def test_one_digit_of_each_kind_is_held_back_and_can_be_read() -> None:
    digits = demo_digits.read()
    kept, held = demo_digits.hold_back(digits)

    assert [digit[demo_digits.TARGET] for digit in held] == list(range(10))
    assert len(kept) == len(digits) - 10
    assert not any(digit is other for digit in held for other in kept)
    assert demo_digits.draw(held[1]) == ["  ▄██▄  ", "  ████  ", "  ████  ", "  ▀██▀  "]


async def signed_in_as_the_demo(settings: Settings, resources: Resources) -> dict[str, str]:
    async with resources.database.connection() as connection:
        user_id: UUID = await connection.fetchval("SELECT id FROM users WHERE username LIKE 'demo-%'")
    return {"Authorization": f"Bearer {Tokens(settings).issue_access(user_id)}"}
