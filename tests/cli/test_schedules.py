"""`headrace schedules`, as processes."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support import processes

UNKNOWN = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
TEMPLATE = '{"kind": "batch_predict", "texts": ["good"], "queue": "nobody"}'
JOB = ("--job", TEMPLATE)

# Each call of the command line is a process.
pytestmark = pytest.mark.long

Schedules = Callable[..., CompletedProcess[str]]


@pytest.fixture
def schedules(environment: dict[str, str]) -> Schedules:
    """Run `headrace schedules …`."""

    def run(*arguments: str, stdin: str = "") -> CompletedProcess[str]:
        done = processes.run("app", "schedules", *arguments, env=environment, stdin=stdin.encode())
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def lines(done: CompletedProcess[str]) -> list[dict[str, Any]]:
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_schedule_is_created_shown_run_and_deleted(schedules: Schedules, tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text(TEMPLATE)
    daily = ("--daily", "02:30", "--timezone", "Europe/Berlin", "--overlap", "queue", "--misfire-grace", "5m")

    created = schedules("create", "nightly", *daily, "--job", str(file))
    [shown] = lines(schedules("show", "nightly", "--json"))
    for_people = schedules("show", "nightly")
    listed = schedules("list")
    [job] = lines(schedules("run", "nightly", "--json"))
    busy = schedules("run", "nightly", "--json")
    forced = schedules("run", "nightly", "--force")
    [firings] = lines(schedules("firings", "nightly", "--json"))
    deleted = schedules("delete", "nightly", "--cancel-jobs")

    assert created.returncode == 0, created.stderr
    assert created.stdout.strip() == shown["schedule_id"]
    assert "At 02:30 every day (Europe/Berlin)" in created.stderr
    assert (shown["cron"], shown["overlap"], shown["misfire_grace_seconds"]) == ("30 2 * * *", "queue", 300)
    assert shown["job"] == json.loads(TEMPLATE)
    assert "status: active" in for_people.stdout
    assert "nightly" in listed.stdout
    assert job["schedule_id"] == shown["schedule_id"]
    assert (busy.returncode, json.loads(busy.stderr)["code"]) == (1, "schedule_busy")
    assert [firing["job_id"] for firing in firings["items"]] == [forced.stdout.strip(), job["job_id"]]
    assert deleted.stdout == "nightly deleted\n"


def test_a_file_is_applied_by_name(schedules: Schedules) -> None:
    nightly = {"name": "nightly", "trigger": {"daily": {"at": "02:30"}}, "job": json.loads(TEMPLATE)}
    weekly = {**nightly, "name": "weekly", "trigger": {"weekly": {"on": ["mon"], "at": "08:00"}}}

    first = lines(schedules("apply", "-", "--json", stdin=json.dumps([nightly, weekly])))
    second = lines(schedules("apply", "-", "--json", stdin=json.dumps([{**nightly, "group": "reports"}])))
    for_people = schedules("apply", "-", stdin=json.dumps(weekly))
    [listed] = lines(schedules("list", "--group", "reports", "--json"))

    assert [(one["name"], one["is_new"]) for one in first] == [("nightly", True), ("weekly", True)]
    assert [(one["name"], one["is_new"]) for one in second] == [("nightly", False)]
    assert for_people.stdout.startswith("weekly applied, next at ")
    assert [one["name"] for one in listed["items"]] == ["nightly"]


def test_an_error_names_the_schedule_of_the_file_that_was_not_applied(schedules: Schedules) -> None:
    good = {"name": "good", "trigger": {"daily": {"at": "02:30"}}, "job": json.loads(TEMPLATE)}
    bad = {**good, "name": "bad", "trigger": {"cron": "60 * * * *"}}

    done = schedules("apply", "-", stdin=json.dumps([good, bad]))

    assert done.returncode == 1
    assert done.stdout.startswith("good created")
    assert "bad was not applied" in done.stderr


def test_a_group_is_changed_as_a_whole(schedules: Schedules) -> None:
    for name in ("a", "b"):
        assert schedules("create", name, "--every", "1h", "--group", "reports", *JOB).returncode == 0

    outputs = [
        lines(schedules(verb, "--group", "reports", "--json"))
        for verb in ("pause", "resume", "run", "delete")
    ]
    gone = schedules("pause", "--group", "reports", "--json")

    assert outputs == [[{"group": "reports", "schedules": 2}]] * 4
    assert json.loads(gone.stderr)["code"] == "schedule_group_not_found"


def test_a_preview_shows_local_times_and_what_clocks_do(schedules: Schedules) -> None:
    trigger = ("--cron", "30 2 * * *", "--timezone", "America/New_York")
    done = schedules("preview", *trigger, "--starts-at", "2027-03-14T00:00:00Z", "--count", "2")

    assert done.stdout.splitlines() == [
        "At 02:30 every day  [30 2 * * *]",
        "  Sun 2027-03-14 03:00:00 -0400  gap: 02:30 does not exist",
        "  Mon 2027-03-15 02:30:00 -0400",
    ]


@pytest.mark.parametrize(
    ("options", "trigger"),
    [
        (["--every", "1h30m"], {"every": {"hours": 1, "minutes": 30}}),
        (["--every", "7d", "--fire-immediately"], {"every": {"days": 7}, "fire_immediately": True}),
        (["--hourly", "0"], {"hourly": {"minute": 0}}),
        (["--weekly", "Mon,thu@08:00"], {"weekly": {"on": ["mon", "thu"], "at": "08:00"}}),
        (["--monthly", "last@18:00"], {"monthly": {"day": "last", "at": "18:00"}}),
        (["--once", "2100-03-01T09:00"], {"once": {"at": "2100-03-01T09:00:00"}}),
        (["--in", "10m"], {"once": {"in_seconds": 600}}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_each_option_is_a_trigger(schedules: Schedules, options: list[str], trigger: dict[str, Any]) -> None:
    [created] = lines(schedules("create", "one", *options, *JOB, "--paused", "--json"))

    assert created["trigger"] == trigger
    assert created["status"] == "paused"


def test_a_refusal_names_its_reason(schedules: Schedules, tmp_path: Path) -> None:
    array, nameless, twice = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "c.json"
    array.write_text('["nightly"]')
    nameless.write_text('[{"trigger": {}}]')
    twice.write_text('[{"name": "a"}, {"name": "a"}]')
    refusals = {
        ("create", "a", *JOB): (2, "usage_error"),
        ("create", "a", "--every", "5m", "--daily", "02:30", *JOB): (2, "usage_error"),
        ("create", "a", "--daily", "02:30", "--fire-immediately", *JOB): (2, "usage_error"),
        ("create", "a", "--every", "five minutes", *JOB): (2, "usage_error"),
        ("create", "a", "--weekly", "08:00", *JOB): (2, "usage_error"),
        ("create", "a", "--monthly", "first@08:00", *JOB): (2, "usage_error"),
        ("create", "a", "--every", "5m", "--job", "{"): (2, "usage_error"),
        ("create", "a", "--every", "5m", "--job", "/nowhere"): (1, "file_not_readable"),
        ("create", "a", "--cron", "60 * * * *", *JOB): (1, "bad_cron"),
        ("create", "a", "--every", "5m", "--timezone", "Mars/Olympus", *JOB): (1, "unknown_timezone"),
        ("create", "a", "--every", "5m", "--job", '{"kind": "unknown"}'): (1, "validation_error"),
        ("apply", str(array)): (2, "usage_error"),
        ("apply", str(nameless)): (2, "usage_error"),
        ("apply", str(twice)): (2, "usage_error"),
        ("pause",): (2, "usage_error"),
        ("pause", "a", "--group", "b"): (2, "usage_error"),
        ("run", "--group", "b", "--force"): (2, "usage_error"),
        ("show", UNKNOWN): (1, "schedule_not_found"),
    }

    for arguments, (exit_code, code) in refusals.items():
        done = schedules(*arguments, "--json")
        assert (done.returncode, done.stdout) == (exit_code, ""), arguments
        assert json.loads(done.stderr)["code"] == code, arguments
