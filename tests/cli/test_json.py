"""`headrace … --json`: documents on stdout, errors as JSON on stderr."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from app.core.config import Settings
from tests.cli.conftest import Run
from tests.client.running import User
from tests.e2e.support import short_texts
from tests.support import ports, processes
from tests.support.processes import ROOT

UNKNOWN = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

# Each call of the command line is a process.
pytestmark = pytest.mark.long


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def document(done: CompletedProcess[str]) -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (0, "")
    [parsed] = lines(done.stdout)
    return parsed


def test_submit_prints_the_job_and_watch_its_events(run: Run) -> None:
    submitted = run("submit", *short_texts(20), "--batch-size", "10", "--watch", "--json")
    job, *events = lines(submitted.stdout)
    watched = run("watch", job["job_id"], "--json")

    assert (submitted.returncode, submitted.stderr) == (0, "")
    assert job["status"] == "pending"
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "completed"
    assert lines(watched.stdout) == events
    assert (watched.returncode, watched.stderr) == (0, "")


def test_submit_names_the_dataset_that_it_uploaded(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "reviews.csv"
    file.write_text("review\ngood\nbad\n")
    job = document(run("submit", "--dataset", str(file), "--json", "--queue", "nobody"))
    again = document(run("submit", "--dataset", job["dataset_id"], "--json", "--queue", "nobody"))

    assert again["dataset_id"] == job["dataset_id"]
    assert again["job_id"] != job["job_id"]


def test_train_prints_an_event_for_each_epoch(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "flowers.csv"
    file.write_text("length,kind\n" + "".join(f"{n},{'ab'[n > 50]}\n" for n in range(100)))
    options = ["--feature", "length", "--algorithm", "mlp", "--epochs", "3"]
    done = run("train", "--dataset", str(file), "--target", "kind", *options, "--watch", "--json")
    _job, *events = lines(done.stdout)

    assert (done.returncode, done.stderr) == (0, "")
    assert [event["metrics"]["epoch"] for event in events if event.get("metrics")] == [1, 2, 3]


def test_list_explain_cancel_and_retry_print_what_the_api_returns(run: Run, ada: User) -> None:
    ids = [run("submit", "x", "--queue", "nobody").stdout.strip() for _ in range(2)]
    listed = document(run("list", "--json"))
    explained = document(run("explain", ids[0], "--json"))
    cancelled = run("cancel", *ids, "--json")
    retried = document(run("retry", ids[0], "--json"))

    assert [job["job_id"] for job in listed["items"]] == ids[::-1]
    assert (explained["job_id"], explained["code"]) == (ids[0], "no_worker")
    assert [(job["job_id"], job["status"]) for job in lines(cancelled.stdout)] == [
        (job_id, "cancelled") for job_id in ids
    ]
    assert (retried["job_id"], retried["status"]) == (ids[0], "pending")


def test_a_profile_is_what_the_api_returns(run: Run) -> None:
    job_id = run("submit", *short_texts(10), "--profile", "--watch").stdout.strip()
    profile = document(run("profile", job_id, "--json"))

    assert set(profile) == {"attempt", "seconds", "samples", "cpu_seconds", "memory_peak_bytes", "top"}


def test_results_are_rows_or_a_file_with_its_size(run: Run, tmp_path: Path) -> None:
    job_id = run("submit", *short_texts(10), "--watch").stdout.strip()
    rows = lines(run("results", job_id, "--json").stdout)
    output = tmp_path / "rows.parquet"
    written = document(run("results", job_id, "--json", "--format", "parquet", "--output", str(output)))
    refused = run("results", job_id, "--json", "--format", "csv")

    assert [row["index"] for row in rows] == list(range(10))
    assert written == {
        "job_id": job_id,
        "format": "parquet",
        "output": str(output),
        "bytes": output.stat().st_size,
    }
    assert (refused.returncode, refused.stdout) == (2, "")
    assert lines(refused.stderr)[0]["code"] == "usage_error"


@pytest.mark.parametrize(
    ("arguments", "changes", "exit_code", "code"),
    [
        (["list", "--limit", "0"], {}, 2, "usage_error"),
        (["watch"], {}, 2, "usage_error"),
        (["submit", "x", "--dataset", "y.csv"], {}, 2, "usage_error"),
        (["list"], {"HEADRACE_PASSWORD": None}, 2, "missing_credentials"),
        (["list"], {"HEADRACE_URL": "localhost"}, 2, "usage_error"),
        (["list"], {"HEADRACE_PASSWORD": "wrong"}, 1, "invalid_credentials"),
        (["explain", UNKNOWN], {}, 1, "job_not_found"),
        (["profile", UNKNOWN], {}, 1, "job_not_found"),
        (["profile", UNKNOWN, "--stacks"], {}, 2, "usage_error"),
        (["watch", UNKNOWN], {}, 1, "job_not_found"),
        (["submit", "--file", "/nowhere"], {}, 1, "file_not_readable"),
        (["results", UNKNOWN, "--output", "/nowhere/rows"], {}, 1, "file_not_writable"),
        (["submit", "x", "--batch-size", "0"], {}, 1, "validation_error"),
    ],
)
def test_an_error_is_an_object_with_code_and_detail(
    run: Run, arguments: list[str], changes: dict[str, str | None], exit_code: int, code: str
) -> None:
    done = run(*arguments, "--json", **changes)

    assert (done.returncode, done.stdout) == (exit_code, "")
    [error] = lines(done.stderr)
    assert error["code"] == code
    assert error["detail"]


def test_an_unreachable_server_is_an_error_with_a_code(run: Run) -> None:
    with ports.reserved() as port:
        done = run("list", "--json", "--url", f"http://127.0.0.1:{port}")

    assert done.returncode == 1
    assert [error["code"] for error in lines(done.stderr)] == ["unreachable"]


def test_a_watched_job_that_does_not_complete_is_an_error_with_its_status(run: Run) -> None:
    job_id = run("submit", "x", "--queue", "nobody").stdout.strip()
    run("cancel", job_id)
    done = run("watch", job_id, "--json")

    assert done.returncode == 1
    assert lines(done.stdout)[-1]["type"] == "cancelled"
    [error] = lines(done.stderr)
    assert (error["code"], error["job_id"]) == ("job_cancelled", job_id)


def test_ctrl_c_is_an_error_with_a_code(run: Run, environment: dict[str, str]) -> None:
    job_id = run("submit", "x", "--queue", "nobody").stdout.strip()
    with subprocess.Popen(
        [sys.executable, "-m", "app", "jobs", "watch", job_id, "--json"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        created = json.loads(watching.stdout.readline())
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=20)

    assert created["type"] == "created"
    assert watching.returncode == 130
    [error] = lines(errors)
    assert (error["code"], error["job_ids"]) == ("interrupted", [job_id])


def test_sigterm_ends_watching_with_143(run: Run, environment: dict[str, str]) -> None:
    job_id = run("submit", "x", "--queue", "nobody").stdout.strip()
    with subprocess.Popen(
        [sys.executable, "-m", "app", "jobs", "watch", job_id, "--json"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        watching.stdout.readline()
        watching.terminate()
        _, errors = watching.communicate(timeout=20)

    assert watching.returncode == 143
    assert errors == ""


def headrace(*arguments: str, settings: Settings, stdin: str = "") -> CompletedProcess[str]:
    env = processes.environment(settings)
    return processes.run("app", *arguments, env=env, stdin=stdin.encode())


def test_migrate_prints_the_revision(settings: Settings) -> None:
    newest = max(path.name[:4] for path in (ROOT / "alembic" / "versions").glob("[0-9]*.py"))

    assert document(headrace("migrate", "--json", settings=settings)) == {"revision": newest}


def test_users_create_prints_the_user_once(settings: Settings) -> None:
    arguments = ("users", "create", "ops", "--role", "admin", "--json")
    password = "correct horse battery\n"
    created = document(headrace(*arguments, settings=settings, stdin=password))
    again = headrace(*arguments, settings=settings, stdin=password)
    invalid = headrace("users", "create", "", "--json", settings=settings, stdin=password)

    assert (created["username"], created["role"]) == ("ops", "admin")
    assert created["user_id"]
    assert again.returncode == 1
    assert lines(again.stderr)[0]["code"] == "username_taken"
    assert invalid.returncode == 2
    assert lines(invalid.stderr)[0]["code"] == "usage_error"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_its_url_and_a_signal_stops_it_with_0(
    settings: Settings, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--port", "0", "--json"],
        env=processes.environment(settings),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as serving:
        assert serving.stdout is not None
        printed = json.loads(serving.stdout.readline())
        serving.send_signal(number)
        exit_code = serving.wait(30)

    assert list(printed) == ["url"]
    assert printed["url"].startswith("http://127.0.0.1:")
    assert exit_code == 0


def test_serve_reports_a_taken_port(settings: Settings) -> None:
    with ports.reserved() as port:
        done = headrace("serve", "--port", str(port), "--json", settings=settings)

    assert done.returncode == 1
    assert lines(done.stderr)[-1]["code"] == "cannot_start"


def test_servers_prints_both_urls_and_ctrl_c_stops_it_with_0(server_dir: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "app", "servers", "--data", str(server_dir), "--json"],
        env=os.environ,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as serving:
        assert serving.stdout is not None
        printed = json.loads(serving.stdout.readline())
        serving.send_signal(signal.SIGINT)
        exit_code = serving.wait(30)

    assert list(printed) == ["DATABASE_URL", "REDIS_URL"]
    assert exit_code == 0


def test_dev_prints_where_it_is_and_how_to_sign_in(settings: Settings, tmp_path: Path) -> None:
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "app",
            "dev",
            "--port",
            "0",
            "--slots",
            "1",
            "--data",
            str(tmp_path),
            "--json",
        ],
        env=processes.environment(settings),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as serving:
        assert serving.stdout is not None
        printed = json.loads(serving.stdout.readline())
        serving.send_signal(signal.SIGINT)
        exit_code = serving.wait(60)

    assert printed == {
        "url": printed["url"],
        "username": "demo",
        "password": (tmp_path / "demo-password").read_text(),
        "data_dir": str(tmp_path),
    }
    assert exit_code == 0
