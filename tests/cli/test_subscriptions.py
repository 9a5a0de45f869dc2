"""`headrace subscriptions`, as processes."""

import json
from typing import Any

import pytest

from tests.cli.test_keys import document, headrace

UNKNOWN = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
URL = "https://hooks.invalid/ml"

# Each call of the command line is a process.
pytestmark = pytest.mark.long


def create(environment: dict[str, str], *arguments: str) -> Any:
    wanted = ("CI", "--event", "job.failed", "--to", URL, *arguments)
    return document(headrace(environment, "subscriptions", "create", *wanted, "--json"))


def test_a_secret_is_printed_alone_and_shown_nowhere_else(environment: dict[str, str]) -> None:
    created = headrace(
        environment,
        "subscriptions",
        "create",
        "CI",
        "--event",
        "job.failed",
        "--event",
        "job.completed",
        "--to",
        URL,
    )
    secret = created.stdout.strip()
    [own] = document(headrace(environment, "subscriptions", "list", "--json"))["items"]
    shown = document(headrace(environment, "subscriptions", "show", own["subscription_id"], "--json"))
    for_people = headrace(environment, "subscriptions", "show", own["subscription_id"])
    table = headrace(environment, "subscriptions", "list")
    rotated = headrace(environment, "subscriptions", "rotate-secret", own["subscription_id"])

    assert (created.returncode, created.stdout) == (0, f"{secret}\n")
    assert secret.startswith("whsec_")
    assert own["subscription_id"] in created.stderr
    assert own == shown
    assert for_people.stdout.startswith(f"CI\n  id: {own['subscription_id']}\n  channel: webhook\n")
    assert "events: job.failed job.completed\n  status: active\n" in for_people.stdout
    assert own["events"] == ["job.failed", "job.completed"]
    assert secret not in table.stdout + json.dumps(own)
    assert "CI" in table.stdout
    assert rotated.stdout.startswith("whsec_")
    assert rotated.stdout.strip() != secret


def test_a_filter_is_made_of_options(environment: dict[str, str]) -> None:
    created = create(
        environment,
        *("--kind", "train_model", "--queue", "gpu", "--model", "churn", "--job", UNKNOWN),
        *("--metadata", "team=a", "--metadata", "x=y=z"),
    )

    assert created["filter"] == {
        "kind": "train_model",
        "queue": "gpu",
        "model": "churn",
        "job_id": UNKNOWN,
        "group_id": None,
        "schedule_id": None,
        "metadata": {"team": "a", "x": "y=z"},
    }


def test_a_target_of_another_channel_is_json(environment: dict[str, str]) -> None:
    target = {"url": URL, "format": "teams"}
    wanted = ("room", "--channel", "chat", "--event", "job.failed", "--target", json.dumps(target))

    created = document(headrace(environment, "subscriptions", "create", *wanted, "--json"))

    assert (created["channel"], created["target"], created["secret"]) == ("chat", target, None)


def test_a_test_that_is_not_delivered_fails(environment: dict[str, str]) -> None:
    found = create(environment)["subscription_id"]

    tested = headrace(environment, "subscriptions", "test", found, "--json")
    [failed] = document(headrace(environment, "subscriptions", "deliveries", found, "--json"))["items"]
    replayed = document(headrace(environment, "subscriptions", "replay", failed["delivery_id"], "--json"))
    since = ("--since", "2026-01-01T00:00:00Z")
    counted = document(headrace(environment, "subscriptions", "replay", found, *since, "--json"))
    table = headrace(environment, "subscriptions", "deliveries", "--status", "failed")

    result = json.loads(tested.stdout)
    assert (tested.returncode, result["status"], result["error"]) == (1, "failed", "name_not_found")
    assert failed["delivery_id"] == result["delivery_id"]
    assert replayed["delivery_id"] != failed["delivery_id"]
    assert counted == {"count": 0}
    assert "ping" in table.stdout


def test_a_subscription_is_disabled_enabled_and_deleted(environment: dict[str, str]) -> None:
    found = create(environment)["subscription_id"]

    disabled = document(headrace(environment, "subscriptions", "disable", found, "--json"))
    enabled = document(headrace(environment, "subscriptions", "enable", found, "--json"))
    deleted = document(headrace(environment, "subscriptions", "delete", found, "--json"))
    again = headrace(environment, "subscriptions", "delete", found, "--json")

    assert (disabled["status"], enabled["status"]) == ("disabled", "active")
    assert deleted == {"subscription_id": found, "deleted": True}
    assert again.returncode == 1
    assert json.loads(again.stderr)["code"] == "subscription_not_found"


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "CI", "--event", "job.failed"),
        ("create", "CI", "--to", URL),
        ("create", "CI", "--event", "job.failed", "--to", URL, "--target", "{}"),
        ("create", "CI", "--event", "job.failed", "--target", "[]"),
        ("create", "CI", "--event", "job.failed", "--to", URL, "--job", "x"),
        ("replay", UNKNOWN, "--until", "2026-01-01T00:00:00Z"),
        ("replay", UNKNOWN, "--since", "yesterday"),
        ("rotate-secret", UNKNOWN, "--overlap-hours", "169"),
    ],
)
def test_wrong_usage_exits_with_2(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    assert headrace(environment, "subscriptions", *arguments).returncode == 2
