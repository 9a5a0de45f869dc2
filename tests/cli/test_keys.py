"""`headrace keys`, as processes."""

import json
import os
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support import processes

UNKNOWN = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

# Each call of the command line is a process.
pytestmark = pytest.mark.long


def headrace(environment: dict[str, str], *arguments: str, **changes: str) -> CompletedProcess[str]:
    done = processes.run("app", *arguments, env={**os.environ, **environment, **changes})
    assert "Traceback" not in done.stderr, done.stderr
    return done


def document(done: CompletedProcess[str]) -> Any:
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def with_key(environment: dict[str, str], key: str) -> dict[str, str]:
    """The environment of a service that has a key and no password."""
    without = {"HEADRACE_USERNAME": "", "HEADRACE_PASSWORD": ""}
    return {**environment, **without, "HEADRACE_TOKEN": key}


def test_a_key_is_printed_alone_and_lists_jobs_until_it_is_revoked(environment: dict[str, str]) -> None:
    created = headrace(
        environment, "keys", "create", "reports", "--scope", "jobs:read", "--expires-in-days", "7"
    )
    key = created.stdout.strip()
    service = with_key(environment, key)
    listing = headrace(service, "jobs", "list", "--json")
    submitted = headrace(service, "jobs", "submit", "good", "--json")
    own = document(headrace(environment, "keys", "list", "--json"))["items"]
    table = headrace(environment, "keys", "list")
    revoked = headrace(environment, "keys", "revoke", own[0]["key_id"], "--json")

    assert (created.returncode, created.stdout) == (0, f"{key}\n")
    assert own[0]["key_id"] in created.stderr
    assert listing.returncode == 0, listing.stderr
    assert json.loads(submitted.stderr)["code"] == "forbidden"
    assert (own[0]["name"], own[0]["scopes"]) == ("reports", ["jobs:read"])
    assert own[0]["expires_at"] is not None
    assert "reports" in table.stdout
    assert key not in table.stdout + json.dumps(own)
    assert document(revoked) == {"key_id": own[0]["key_id"], "revoked": True}
    assert document(headrace(environment, "keys", "list", "--json")) == {"items": []}


def test_json_has_the_key_with_its_facts(environment: dict[str, str]) -> None:
    scopes = ("--scope", "datasets:*", "--scope", "jobs:write")

    created = document(headrace(environment, "keys", "create", "import", *scopes, "--json"))

    assert created["scopes"] == ["datasets:*", "jobs:write"]
    assert created["key"].startswith(f"hr_{created['key_id'].replace('-', '')}_")
    by_option = headrace(
        environment, "jobs", "submit", "good", "--queue", "nobody", "--token", created["key"]
    )
    assert by_option.returncode == 0, by_option.stderr


def test_a_refusal_names_its_reason(environment: dict[str, str]) -> None:
    created = document(headrace(environment, "keys", "create", "a", "--scope", "predict", "--json"))
    service = with_key(environment, created["key"])
    refusals = {
        ("keys", "create", "b", "--scope", "everything"): (2, "usage_error"),
        ("keys", "create", "b"): (2, "usage_error"),
        ("keys", "create", "b", "--scope", "admin"): (1, "scope_not_allowed"),
        ("keys", "revoke", UNKNOWN): (1, "api_key_not_found"),
        ("keys", "revoke", "mine"): (2, "usage_error"),
        ("keys", "list", "--owner", "*"): (1, "forbidden"),
    }

    for arguments, (exit_code, code) in refusals.items():
        done = headrace(environment, *arguments, "--json")
        assert (done.returncode, json.loads(done.stderr)["code"]) == (exit_code, code), arguments
    for arguments in (("keys", "list"), ("keys", "create", "b", "--scope", "predict")):
        assert json.loads(headrace(service, *arguments, "--json").stderr)["code"] == "forbidden"


def test_a_whole_key_revokes_itself_and_is_repeated_nowhere(environment: dict[str, str]) -> None:
    created = document(headrace(environment, "keys", "create", "a", "--scope", "predict", "--json"))

    revoked = headrace(environment, "keys", "revoke", created["key"])

    assert (revoked.returncode, revoked.stdout) == (0, f"{created['key_id']} revoked\n")
    again = headrace(environment, "keys", "revoke", created["key"])
    assert created["key"] not in again.stdout + again.stderr
