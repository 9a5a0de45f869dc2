"""Each action leaves exactly one entry, which administrators read, filter, export and verify."""

import csv
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI

from app.audit import commands
from app.audit.actions import Action, ObjectType
from app.audit.values import COMMAND_LINE, Actor, Entry
from app.auth.roles import Role
from app.core.database import Database
from app.notifications.links import Links
from tests.audit.tampering import Tampering, entries
from tests.auth.support import PASSWORD, create_user, refresh, sign_in, tokens_of
from tests.models import versions
from tests.notifications import subscribing
from tests.support import jobs, rows, schedules, websockets
from tests.support.accounts import Account
from tests.support.accounts import sign_in as account_of
from tests.support.app_state import state_of

CANARY: Final = "canary-7d41-zebra"
ELSEWHERE: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"


@dataclass
class World:
    """The API with an administrator, an operator and a user, and the secrets that it has given out."""

    client: httpx.AsyncClient
    store: Database
    admin: Account
    operator: Account
    alice: Account
    links: Links
    secrets: list[str] = field(default_factory=lambda: [CANARY, PASSWORD])

    async def ask(self, method: str, path: str, who: Account | None, **more: Any) -> httpx.Response:
        """Send a request, which has to succeed."""
        headers = {} if who is None else who.headers
        answer = await self.client.request(method, path, headers=headers, **more)
        assert answer.is_success, answer.text
        return answer

    async def follow(self, link: str) -> None:
        """Press the button on the page behind a link in an e-mail."""
        parts = urlsplit(link)
        self.secrets.append(parts.query.removeprefix("token="))
        answer = await self.client.post(f"{parts.path}?{parts.query}")
        assert answer.is_success, answer.text

    async def ada(self) -> dict[str, Any]:
        """A new user who has a password and has signed in; her tokens."""
        await create_user(self.client)
        found = await tokens_of(self.client)
        self.secrets += [found["access_token"], found["refresh_token"]]
        me = await self.client.get("/users/me", headers=bearer(found))
        return {**found, "user_id": me.json()["user_id"]}

    async def dead_letter(self) -> str:
        job = await jobs.running(self.store, self.alice.id)
        await jobs.fail(self.store, job, is_retryable=False)
        return str(job.id)

    async def group(self) -> str:
        group_id = await rows.value(
            self.store,
            "INSERT INTO job_groups (id, owner_id) VALUES (gen_random_uuid(), $1) RETURNING id",
            self.alice.id,
        )
        job_id = await jobs.create(self.store, self.alice.id)
        await rows.execute(self.store, "UPDATE jobs SET group_id = $1 WHERE id = $2", group_id, job_id)
        return str(group_id)


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


@pytest.fixture
async def world(app: FastAPI, client: httpx.AsyncClient, store: Database, alice: Account) -> World:
    admin = await account_of(app, "root", Role.ADMIN)
    operator = await account_of(app, "olga", Role.OPERATOR)
    state = state_of(app)
    links = Links(state.sealing, state.resources.settings.public_url)
    return World(client, store, admin, operator, alice, links)


Act = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Case:
    """What is prepared, and the action of which exactly one entry is expected."""

    prepare: Callable[[World], Awaitable[Act]]
    action: Action
    actor: str | None
    outcome: str = "succeeded"


async def sign_up(world: World) -> Act:
    return lambda: create_user(world.client)


async def create_as_administrator(world: World) -> Act:
    body = {"username": "bob", "password": PASSWORD, "role": "viewer"}
    return lambda: world.ask("POST", "/users", world.admin, json=body)


async def with_invitation(world: World) -> Act:
    issued = await world.ask("POST", "/invitations", world.admin, json={"role": "viewer"})
    body = {"username": "bob", "password": PASSWORD, "invitation": issued.json()["token"]}
    world.secrets.append(issued.json()["token"])
    return lambda: world.ask("POST", "/users", None, json=body)


async def signing_in(world: World) -> Act:
    await world.ada()
    return lambda: tokens_of(world.client)


async def signing_in_with_a_browser(world: World) -> Act:
    await world.ada()
    body = {"username": "ada", "password": PASSWORD}
    return lambda: world.ask("POST", "/session", None, json=body)


async def a_wrong_password(world: World) -> Act:
    await world.ada()
    return lambda: sign_in(world.client, "ada", CANARY)


async def an_unknown_user(world: World) -> Act:
    return lambda: sign_in(world.client, CANARY, CANARY)


async def a_disabled_user(world: World) -> Act:
    user_id = (await world.ada())["user_id"]
    await world.ask("PATCH", f"/users/{user_id}", world.admin, json={"is_active": False})
    return lambda: sign_in(world.client, "ada", PASSWORD)


async def too_many_attempts(world: World) -> Act:
    await world.ada()
    for _ in range(5):
        await sign_in(world.client, "ada", CANARY)

    async def act() -> None:
        answer = await sign_in(world.client, "ada", PASSWORD)
        assert answer.status_code == 429

    return act


async def signing_out(world: World) -> Act:
    tokens = await world.ada()
    [session] = (await world.client.get("/users/me/sessions", headers=bearer(tokens))).json()["items"]
    path = f"/users/me/sessions/{session['session_id']}"
    return lambda: world.client.delete(path, headers=bearer(tokens))


async def signing_out_of_a_browser(world: World) -> Act:
    await create_user(world.client)
    answer = await world.ask("POST", "/session", None, json={"username": "ada", "password": PASSWORD})
    name, _, value = answer.headers["set-cookie"].partition(";")[0].partition("=")
    world.secrets.append(value)
    return lambda: world.client.delete("/session", headers={"Cookie": f"{name}={value}"})


async def ending_another_session(world: World) -> Act:
    tokens = await world.ada()
    [session] = (await world.client.get("/users/me/sessions", headers=bearer(tokens))).json()["items"]
    other = await tokens_of(world.client)
    path = f"/users/me/sessions/{session['session_id']}"
    return lambda: world.client.delete(path, headers=bearer(other))


async def ending_all_sessions(world: World) -> Act:
    tokens = await world.ada()
    return lambda: world.client.delete("/users/me/sessions", headers=bearer(tokens))


async def ending_the_sessions_of_a_user(world: World) -> Act:
    user_id = (await world.ada())["user_id"]
    return lambda: world.ask("DELETE", f"/users/{user_id}/sessions", world.admin)


async def using_a_refresh_token_again(world: World) -> Act:
    token = (await world.ada())["refresh_token"]
    assert (await refresh(world.client, token)).is_success

    async def act() -> None:
        for _ in range(2):  # the session ends once
            assert (await refresh(world.client, token)).status_code == 401

    return act


async def changing_the_password(world: World) -> Act:
    tokens = await world.ada()
    body = {"current_password": PASSWORD, "new_password": CANARY}
    return lambda: world.client.post("/users/me/password", json=body, headers=bearer(tokens))


async def changing_the_password_with_a_wrong_one(world: World) -> Act:
    tokens = await world.ada()
    body = {"current_password": CANARY, "new_password": f"{CANARY} 2"}
    return lambda: world.client.post("/users/me/password", json=body, headers=bearer(tokens))


async def issuing_a_reset(world: World) -> Act:
    user_id = (await world.ada())["user_id"]

    async def act() -> None:
        issued = await world.ask("POST", f"/users/{user_id}/password-reset", world.admin)
        world.secrets.append(issued.json()["token"])

    return act


async def using_a_reset(world: World) -> Act:
    user_id = (await world.ada())["user_id"]
    issued = await world.ask("POST", f"/users/{user_id}/password-reset", world.admin)
    world.secrets.append(issued.json()["token"])
    body = {"token": issued.json()["token"], "new_password": CANARY}
    return lambda: world.ask("POST", "/password-resets", None, json=body)


async def changing_a_role(world: World) -> Act:
    async def act() -> None:
        for _ in range(2):  # the second changes nothing
            await world.ask("PATCH", f"/users/{world.alice.id}", world.admin, json={"role": "operator"})

    return act


async def changing_a_share(world: World) -> Act:
    async def act() -> None:
        for _ in range(2):  # the second changes nothing
            await world.ask("PATCH", f"/users/{world.alice.id}", world.admin, json={"share": 2.5})

    return act


async def disabling(world: World) -> Act:
    path = f"/users/{world.alice.id}"
    return lambda: world.ask("PATCH", path, world.admin, json={"is_active": False, "role": "user"})


async def enabling(world: World) -> Act:
    path = f"/users/{world.alice.id}"
    await world.ask("PATCH", path, world.admin, json={"is_active": False})
    return lambda: world.ask("PATCH", path, world.admin, json={"is_active": True})


async def deleting_a_user(world: World) -> Act:
    return lambda: world.ask("DELETE", f"/users/{world.alice.id}", world.admin)


async def inviting(world: World) -> Act:
    async def act() -> None:
        issued = await world.ask("POST", "/invitations", world.admin, json={"role": "viewer"})
        world.secrets.append(issued.json()["token"])

    return act


async def revoking_an_invitation(world: World) -> Act:
    issued = await world.ask("POST", "/invitations", world.admin, json={"role": "viewer"})
    path = f"/invitations/{issued.json()['invitation_id']}"
    return lambda: world.ask("DELETE", path, world.admin)


async def deleting_a_dataset(world: World) -> Act:
    created = await world.client.post(
        "/datasets?name=a.csv",
        content=b"a,b\n1,2\n",
        headers={**world.alice.headers, "Content-Type": "text/csv"},
    )
    return lambda: world.ask("DELETE", f"/datasets/{created.json()['dataset_id']}", world.alice)


async def changing_a_model(world: World) -> Act:
    await versions.register(world.store, world.alice.id)
    return lambda: world.ask("PATCH", "/models/churn", world.alice, json={"description": CANARY})


async def changing_a_version(world: World) -> Act:
    await versions.register(world.store, world.alice.id)
    return lambda: world.ask("PATCH", "/models/churn/versions/1", world.alice, json={"tags": {"to": CANARY}})


async def deleting_a_model(world: World) -> Act:
    await versions.of_texts(world.store, world.alice.id)
    return lambda: world.ask("DELETE", "/models/churn", world.alice)


async def deleting_a_version(world: World) -> Act:
    await versions.of_texts(world.store, world.alice.id)
    return lambda: world.ask("DELETE", "/models/churn/versions/1", world.alice)


async def cancelling(world: World) -> Act:
    job_id = await jobs.create(world.store, world.alice.id)
    return lambda: world.ask("POST", f"/jobs/{job_id}/cancel", world.operator)


async def retrying(world: World) -> Act:
    job_id = await world.dead_letter()
    return lambda: world.ask("POST", f"/jobs/{job_id}/retry", world.operator)


async def retrying_a_dead_letter(world: World) -> Act:
    job_id = await world.dead_letter()
    return lambda: world.ask("POST", f"/dead-letters/{job_id}/retry", world.operator)


async def retrying_dead_letters(world: World) -> Act:
    job_id = await world.dead_letter()
    return lambda: world.ask("POST", "/dead-letters/retry", world.operator, json={"job_ids": [job_id]})


async def dismissing(world: World) -> Act:
    job_id = await world.dead_letter()
    return lambda: world.ask("DELETE", f"/dead-letters/{job_id}", world.operator)


async def dismissing_dead_letters(world: World) -> Act:
    await world.dead_letter()
    path = "/dead-letters/dismiss?owner=alice"
    return lambda: world.ask("POST", path, world.operator, json={"all": True})


async def cancelling_a_group(world: World) -> Act:
    group_id = await world.group()

    async def act() -> None:
        for _ in range(2):  # the second changes nothing
            await world.ask("DELETE", f"/groups/{group_id}", world.operator)

    return act


async def pausing_a_queue(world: World) -> Act:
    async def act() -> None:
        for _ in range(2):  # the second changes nothing
            await world.ask("POST", "/queues/gpu/pause", world.operator, json={"reason": "New drivers."})

    return act


async def resuming_a_queue(world: World) -> Act:
    await rows.execute(world.store, "INSERT INTO paused_queues (name, reason) VALUES ('gpu', 'New drivers.')")

    async def act() -> None:
        for _ in range(2):  # the second changes nothing
            await world.ask("POST", "/queues/gpu/resume", world.operator)

    return act


async def changing_a_schedule(world: World) -> Act:
    schedule = await schedules.add(world.store, world.alice.id)
    path = f"/schedules/{schedule.id}"

    async def act() -> None:
        for _ in range(2):  # the second changes nothing
            await world.ask("PATCH", path, world.operator, json={"overlap": "queue"})

    return act


async def pausing_a_schedule(world: World) -> Act:
    schedule = await schedules.add(world.store, world.alice.id)

    async def act() -> None:
        for _ in range(2):  # the second changes nothing
            await world.ask("POST", f"/schedules/{schedule.id}/pause", world.operator)

    return act


async def resuming_a_schedule(world: World) -> Act:
    schedule = await schedules.add(world.store, world.alice.id, next_fire_at=None)

    async def act() -> None:
        for _ in range(2):  # the second changes nothing
            await world.ask("POST", f"/schedules/{schedule.id}/resume", world.operator)

    return act


async def running_a_schedule(world: World) -> Act:
    schedule = await schedules.add(world.store, world.alice.id)
    return lambda: world.ask("POST", f"/schedules/{schedule.id}/run", world.operator)


async def deleting_a_schedule(world: World) -> Act:
    schedule = await schedules.add(world.store, world.alice.id)
    return lambda: world.ask("DELETE", f"/schedules/{schedule.id}", world.operator)


async def setting_quotas(world: World) -> Act:
    path = f"/users/{world.alice.id}/quotas"

    async def act() -> None:
        for _ in range(2):  # the second changes nothing
            await world.ask("PUT", path, world.admin, json={"max_active_jobs": 5, "max_streams": None})

    return act


async def creating_a_key(world: World) -> Act:
    tokens = await world.ada()

    async def act() -> None:
        body = {"name": "ci", "scopes": ["jobs:read"]}
        created = await world.client.post("/api-keys", json=body, headers=bearer(tokens))
        world.secrets.append(created.json()["key"])

    return act


async def revoking_a_key(world: World) -> Act:
    tokens = await world.ada()
    body = {"name": "ci", "scopes": ["jobs:read"]}
    created = (await world.client.post("/api-keys", json=body, headers=bearer(tokens))).json()
    world.secrets.append(created["key"])
    return lambda: world.client.delete(f"/api-keys/{created['key_id']}", headers=bearer(tokens))


SUBSCRIPTION: Final = {
    "name": "CI",
    "channel": "webhook",
    "target": {"url": f"https://ci.example.com/{CANARY}"},
    "events": ["job.failed"],
}


async def creating_a_subscription(world: World) -> Act:
    async def act() -> None:
        created = await world.ask("POST", "/subscriptions", world.alice, json=SUBSCRIPTION)
        world.secrets.append(created.json()["secret"])

    return act


async def changing_a_subscription(world: World) -> Act:
    path = f"/subscriptions/{await subscribing.subscribe(world.store, world.alice.id)}"
    change = {"target": SUBSCRIPTION["target"]}
    return lambda: world.ask("PATCH", path, world.alice, json=change)


async def rotating_the_secret_of_a_subscription(world: World) -> Act:
    created = await world.ask("POST", "/subscriptions", world.alice, json=SUBSCRIPTION)
    path = f"/subscriptions/{created.json()['subscription_id']}/rotate-secret"

    async def act() -> None:
        rotated = await world.ask("POST", path, world.alice)
        world.secrets.append(rotated.json()["secret"])

    return act


async def deleting_a_subscription(world: World) -> Act:
    path = f"/subscriptions/{await subscribing.subscribe(world.store, world.alice.id)}"
    return lambda: world.ask("DELETE", path, world.alice)


async def confirming_a_subscription(world: World) -> Act:
    target = {"address": "ada@example.com", "language": "en"}
    subscription = await subscribing.subscribe(
        world.store, world.alice.id, channel="email", target=target, status="pending"
    )
    link = world.links.confirm(subscription, target, sent_at=datetime.now(UTC))
    return lambda: world.follow(link)


async def unsubscribing(world: World) -> Act:
    target = {"address": "ada@example.com", "language": "en"}
    subscription = await subscribing.subscribe(world.store, world.alice.id, channel="email", target=target)
    link = world.links.unsubscribe(subscription, target)
    return lambda: world.follow(link)


CASES: Final = (
    Case(sign_up, Action.USER_CREATED, None),
    Case(create_as_administrator, Action.USER_CREATED, "root"),
    Case(with_invitation, Action.USER_CREATED, None),
    Case(signing_in, Action.SIGN_IN, "ada"),
    Case(signing_in_with_a_browser, Action.SIGN_IN, "ada"),
    Case(a_wrong_password, Action.SIGN_IN, None, "failed"),
    Case(an_unknown_user, Action.SIGN_IN, None, "failed"),
    Case(a_disabled_user, Action.SIGN_IN, None, "denied"),
    Case(too_many_attempts, Action.SIGN_IN, None, "throttled"),
    Case(signing_out, Action.SIGN_OUT, "ada"),
    Case(signing_out_of_a_browser, Action.SIGN_OUT, "ada"),
    Case(ending_another_session, Action.SESSION_ENDED, "ada"),
    Case(ending_all_sessions, Action.ALL_SESSIONS_ENDED, "ada"),
    Case(ending_the_sessions_of_a_user, Action.ALL_SESSIONS_ENDED, "root"),
    Case(using_a_refresh_token_again, Action.REFRESH_TOKEN_REUSED, None, "denied"),
    Case(changing_the_password, Action.PASSWORD_CHANGED, "ada"),
    Case(changing_the_password_with_a_wrong_one, Action.PASSWORD_CHANGED, None, "failed"),
    Case(issuing_a_reset, Action.PASSWORD_RESET_ISSUED, "root"),
    Case(using_a_reset, Action.PASSWORD_RESET, "ada"),
    Case(changing_a_role, Action.ROLE_CHANGED, "root"),
    Case(changing_a_share, Action.SHARE_CHANGED, "root"),
    Case(disabling, Action.USER_DISABLED, "root"),
    Case(enabling, Action.USER_ENABLED, "root"),
    Case(deleting_a_user, Action.USER_DELETED, "root"),
    Case(inviting, Action.INVITATION_ISSUED, "root"),
    Case(revoking_an_invitation, Action.INVITATION_REVOKED, "root"),
    Case(setting_quotas, Action.QUOTAS_CHANGED, "root"),
    Case(creating_a_key, Action.API_KEY_CREATED, "ada"),
    Case(revoking_a_key, Action.API_KEY_REVOKED, "ada"),
    Case(deleting_a_dataset, Action.DATASET_DELETED, "alice"),
    Case(changing_a_model, Action.MODEL_CHANGED, "alice"),
    Case(changing_a_version, Action.MODEL_VERSION_CHANGED, "alice"),
    Case(deleting_a_model, Action.MODEL_DELETED, "alice"),
    Case(deleting_a_version, Action.MODEL_VERSION_DELETED, "alice"),
    Case(cancelling, Action.JOB_CANCELLED, "olga"),
    Case(retrying, Action.JOB_RETRIED, "olga"),
    Case(retrying_a_dead_letter, Action.JOB_RETRIED, "olga"),
    Case(retrying_dead_letters, Action.JOB_RETRIED, "olga"),
    Case(dismissing, Action.JOB_DISMISSED, "olga"),
    Case(dismissing_dead_letters, Action.JOB_DISMISSED, "olga"),
    Case(cancelling_a_group, Action.GROUP_CANCELLED, "olga"),
    Case(pausing_a_queue, Action.QUEUE_PAUSED, "olga"),
    Case(resuming_a_queue, Action.QUEUE_RESUMED, "olga"),
    Case(changing_a_schedule, Action.SCHEDULE_CHANGED, "olga"),
    Case(pausing_a_schedule, Action.SCHEDULE_PAUSED, "olga"),
    Case(resuming_a_schedule, Action.SCHEDULE_RESUMED, "olga"),
    Case(running_a_schedule, Action.SCHEDULE_RUN, "olga"),
    Case(deleting_a_schedule, Action.SCHEDULE_DELETED, "olga"),
    Case(creating_a_subscription, Action.SUBSCRIPTION_CREATED, "alice"),
    Case(changing_a_subscription, Action.SUBSCRIPTION_CHANGED, "alice"),
    Case(rotating_the_secret_of_a_subscription, Action.SUBSCRIPTION_SECRET_ROTATED, "alice"),
    Case(deleting_a_subscription, Action.SUBSCRIPTION_DELETED, "alice"),
    Case(confirming_a_subscription, Action.SUBSCRIPTION_CONFIRMED, None),
    Case(unsubscribing, Action.SUBSCRIPTION_UNSUBSCRIBED, None),
)

NOT_OVER_HTTP: Final = {Action.PASSWORD_SET}
"""Recorded by the command line; see tests/cli/test_audit.py."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.prepare.__name__)
async def test_an_action_leaves_one_entry_without_secrets(world: World, case: Case) -> None:
    act = await case.prepare(world)
    before = len(await entries(world.store))

    await act()

    everything = await entries(world.store)
    [entry] = everything[before:]
    assert (entry["action"], entry["actor_name"]) == (case.action, case.actor)
    assert entry["outcome"] == case.outcome
    assert entry["network"] == "127.0.0.1"
    assert entry["request_id"]
    for secret in world.secrets:
        assert all(secret not in str(dict(one)) for one in everything)


def test_every_action_has_a_case() -> None:
    assert {case.action for case in CASES} | NOT_OVER_HTTP == set(Action)


@pytest.mark.parametrize(
    "prepare", [cancelling, retrying, dismissing, cancelling_a_group, pausing_a_schedule, deleting_a_schedule]
)
async def test_the_actions_of_an_owner_on_their_own_jobs_leave_no_entry(
    world: World, prepare: Callable[[World], Awaitable[Act]]
) -> None:
    world.operator = world.alice

    await (await prepare(world))()

    assert await entries(world.store) == []


async def test_what_is_refused_leaves_no_entry(world: World) -> None:
    job_id = await jobs.create(world.store, world.alice.id)
    await jobs.cancel(world.store, job_id)

    answers = [
        await world.client.request(method, path, headers=who.headers, json={"role": "user"})
        for method, path, who in (
            ("POST", f"/jobs/{job_id}/cancel", world.operator),
            ("PATCH", f"/users/{world.admin.id}", world.admin),  # the last administrator
            ("PATCH", f"/users/{ELSEWHERE}", world.admin),
            ("PATCH", f"/users/{world.alice.id}", world.operator),
            ("DELETE", f"/datasets/{ELSEWHERE}", world.alice),
            ("DELETE", "/models/none", world.alice),
            ("DELETE", f"/invitations/{ELSEWHERE}", world.admin),
            ("DELETE", f"/users/me/sessions/{ELSEWHERE}", world.alice),
        )
    ]

    assert all(answer.is_client_error for answer in answers)
    assert await entries(world.store) == []


async def test_a_cancellation_over_a_socket_leaves_an_entry(app: FastAPI, world: World) -> None:
    job_id = await jobs.create(world.store, world.alice.id)
    async with (
        websockets.serving(app) as url,
        websockets.opened(url, "/ws", world.operator.headers) as talk,
    ):
        await talk.send("cancel", job_id=str(job_id))
        while (await talk.receive())["event"] != "cancel_requested":
            continue

    [entry] = await entries(world.store)
    assert (entry["action"], entry["actor_name"], entry["object_id"]) == (
        "job.cancelled",
        "olga",
        str(job_id),
    )


async def test_the_name_of_an_unknown_user_is_not_stored_that_of_a_known_one_is(world: World) -> None:
    await world.ada()
    await sign_in(world.client, CANARY, CANARY)
    await sign_in(world.client, "ADA", CANARY)

    unknown, known = (await entries(world.store))[-2:]

    assert (unknown["object_id"], unknown["details"]) == (None, {})
    assert known["details"] == {"username": "ada"}
    assert known["object_id"] is not None


async def test_all_changes_of_one_request_leave_an_entry_each(world: World) -> None:
    path = f"/users/{world.alice.id}"
    await world.ask("PATCH", path, world.admin, json={"role": "viewer", "is_active": False, "share": 0.5})

    found = [(entry["action"], entry["details"]) for entry in await entries(world.store)]

    assert found == [
        ("user.role_changed", {"username": "alice", "from": "user", "to": "viewer"}),
        ("user.disabled", {"username": "alice"}),
        ("user.share_changed", {"username": "alice", "from": "1", "to": "0.5"}),
    ]


# Reading


async def test_only_administrators_read_the_log(world: World) -> None:
    for path in ("/audit", "/audit?format=csv", "/audit/verification"):
        for who in (world.alice, world.operator):
            answer = await world.client.get(path, headers=who.headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert (await world.client.get(path)).status_code == 401


async def test_a_ticket_downloads_the_log_once_and_for_administrators_only(world: World) -> None:
    path = {"path": "/audit?action=user.role_changed&format=csv"}
    await world.ask("PATCH", f"/users/{world.alice.id}", world.admin, json={"role": "viewer"})
    url = (await world.ask("POST", "/download-tickets", world.admin, json=path)).json()["url"]

    answer = await world.client.get(url)
    again = await world.client.get(url)
    of_operator = (await world.ask("POST", "/download-tickets", world.operator, json=path)).json()["url"]
    refused = await world.client.get(of_operator)

    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    assert [row["action"] for row in csv.DictReader(io.StringIO(answer.text))] == ["user.role_changed"]
    assert (again.status_code, again.json()["code"]) == (401, "invalid_token")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def listed(world: World, **params: str) -> list[int]:
    answer = await world.ask("GET", "/audit", world.admin, params=params)
    return [entry["seq"] for entry in answer.json()["items"]]


async def test_the_log_is_filtered(world: World) -> None:
    await world.ask("PATCH", f"/users/{world.alice.id}", world.admin, json={"role": "viewer"})
    await world.ask("PATCH", f"/users/{world.alice.id}", world.admin, json={"role": "user"})
    await sign_in(world.client, "nobody", CANARY)
    await cancel_for(world)
    second = (await entries(world.store))[1]["at"].isoformat()

    assert await listed(world) == [4, 3, 2, 1]
    assert await listed(world, actor=str(world.admin.id)) == [2, 1]
    assert await listed(world, action="session.signed_in") == [3]
    assert await listed(world, object_type="job") == [4]
    assert await listed(world, object=str(world.alice.id)) == [2, 1]
    assert await listed(world, outcome="failed") == [3]
    assert await listed(world, **{"from": second}) == [4, 3, 2]
    assert await listed(world, to=second) == [1]
    assert await listed(world, **{"from": second, "to": second}) == []
    for params in ({"action": "unknown"}, {"from": "2026-01-01T00:00:00"}, {"actor": "root"}):
        answer = await world.client.get("/audit", params=params, headers=world.admin.headers)
        assert answer.status_code == 422


async def cancel_for(world: World) -> None:
    await (await cancelling(world))()


async def test_the_pages_of_the_log_hold_each_entry_once(world: World) -> None:
    for _ in range(5):
        await cancel_for(world)
    seen: list[int] = []
    params = {"limit": "2"}
    while True:
        page = (await world.ask("GET", "/audit", world.admin, params=params)).json()
        seen += [entry["seq"] for entry in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]

    assert seen == [5, 4, 3, 2, 1]
    wrong = await world.client.get("/audit?cursor=x", headers=world.admin.headers)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize("is_negotiated", [False, True])
async def test_an_export_has_every_entry_and_no_formula(world: World, is_negotiated: bool) -> None:
    async with world.store.transaction() as connection:
        actor = Actor(name="=1+1", network="@here")
        for number in range(150):  # more than a page
            entry = Entry(Action.MODEL_DELETED, ObjectType.MODEL, f"=cmd|{number}", details={"=a": "=b"})
            await commands.record(connection, actor, entry)

    params, headers = ({}, {"Accept": "text/csv"}) if is_negotiated else ({"format": "csv"}, {})
    answer = await world.client.get("/audit", params=params, headers={**world.admin.headers, **headers})

    assert answer.headers["content-type"].startswith("text/csv")
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert [line["seq"] for line in lines] == [str(seq) for seq in range(150, 0, -1)]
    assert (lines[0]["actor_name"], lines[0]["network"]) == ("'=1+1", "'@here")
    assert lines[0]["object_id"] == "'=cmd|149"
    assert not [cell for line in lines for cell in line.values() if cell.startswith(("=", "@", "+", "-"))]


async def test_a_verification_names_the_entry_that_was_changed(world: World, tampering: Tampering) -> None:
    for _ in range(3):
        await cancel_for(world)
    intact = (await world.ask("GET", "/audit/verification", world.admin)).json()
    known = f"{intact['last']['seq']}:{intact['last']['hash']}"
    again = (await world.ask("GET", f"/audit/verification?known={known}", world.admin)).json()
    await tampering.run("UPDATE audit_log SET outcome = 'failed' WHERE seq = 2")

    broken = (await world.ask("GET", "/audit/verification", world.admin)).json()

    assert (intact["is_intact"], intact["entries"]) == (True, 3)
    assert again == intact
    assert (broken["is_intact"], broken["broken_seq"]) == (False, 2)
    wrong = await world.client.get("/audit/verification?known=2:ff", headers=world.admin.headers)
    assert wrong.status_code == 422


async def test_an_entry_of_the_command_line_has_no_user(world: World) -> None:
    async with world.store.transaction() as connection:
        await commands.record(connection, COMMAND_LINE, Entry(Action.USER_DELETED))

    [entry] = (await world.ask("GET", "/audit", world.admin)).json()["items"]

    assert (entry["actor_id"], entry["actor_name"]) == (None, "command line")
