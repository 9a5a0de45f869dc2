"""What a role permits, and how soon a user loses what the former role permitted."""

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth import identities
from app.auth.roles import Role
from app.core.database import Database
from app.jobs.states import Status
from app.streams.admission import Admission
from tests.support import jobs, rows, sse, websockets
from tests.support.accounts import Account, set_role, sign_in
from tests.support.app_state import state_of
from tests.support.following import until_final
from tests.support.waiting import until


@pytest.fixture
async def operator(app: FastAPI) -> Account:
    return await sign_in(app, "olga", Role.OPERATOR)


@pytest.fixture
async def admin(app: FastAPI) -> Account:
    return await sign_in(app, "root", Role.ADMIN)


@pytest.fixture
async def url(app: FastAPI) -> AsyncIterator[str]:
    """The API on a real server."""
    async with websockets.serving(app) as url:
        yield url


@pytest.fixture
def admission(app: FastAPI) -> Admission:
    return state_of(app).admission


async def failed(store: Database, owner: Account, queue: str) -> UUID:
    job = await jobs.running(store, owner.id, queue=queue)
    await jobs.fail(store, job, is_retryable=False)
    return job.id


async def listed(client: httpx.AsyncClient, who: Account, path: str, **params: str) -> list[str]:
    answer = await client.get(path, params=params, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return [job["job_id"] for job in answer.json()["items"]]


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def after_ready(stream: sse.Stream) -> AsyncIterator[sse.ServerSentEvent]:
    coming = stream.events()
    assert (await anext(coming)).event == "ready"
    return coming


# Operators


@pytest.mark.parametrize("path", ["/jobs", "/dead-letters"])
async def test_an_operator_lists_the_jobs_of_one_user_and_of_all(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account, operator: Account, path: str
) -> None:
    of_alice = str(await failed(store, alice, "a"))
    of_mallory = str(await failed(store, mallory, "b"))

    assert await listed(client, operator, path) == []
    assert await listed(client, operator, path, owner="ALICE") == [of_alice]
    assert await listed(client, operator, path, owner="*") == [of_mallory, of_alice]
    page = await client.get(path, params={"owner": "*"}, headers=operator.headers)
    assert [job["owner"] for job in page.json()["items"]] == ["mallory", "alice"]
    unknown = await client.get(path, params={"owner": "nobody"}, headers=operator.headers)
    assert code(unknown) == (404, "user_not_found")


@pytest.mark.parametrize("path", ["/jobs", "/dead-letters"])
@pytest.mark.parametrize("owner", ["*", "mallory", "nobody", "alice"])
async def test_a_user_names_no_owner(
    client: httpx.AsyncClient, alice: Account, mallory: Account, path: str, owner: str
) -> None:
    answer = await client.get(path, params={"owner": owner}, headers=alice.headers)

    assert code(answer) == (403, "forbidden")
    assert answer.json()["permission"] == "operate"


async def test_an_operator_cancels_and_retries_the_job_of_a_user(
    client: httpx.AsyncClient, store: Database, alice: Account, operator: Account
) -> None:
    job_id = await jobs.create(store, alice.id)

    cancelled = await client.post(f"/jobs/{job_id}/cancel", headers=operator.headers)
    retried = await client.post(f"/jobs/{job_id}/retry", headers=operator.headers)

    assert (cancelled.status_code, retried.status_code) == (200, 202)
    job = await jobs.read(store, job_id)
    assert (job.status, job.owner_id) == (Status.PENDING, alice.id)


async def test_a_retry_by_an_operator_counts_towards_the_quota_of_the_owner(
    app: FastAPI, client: httpx.AsyncClient, store: Database, alice: Account, operator: Account
) -> None:
    state_of(app).quota._limit = 1
    job_id = await failed(store, alice, "a")
    await jobs.create(store, alice.id)

    answer = await client.post(f"/jobs/{job_id}/retry", headers=operator.headers)
    as_dead_letter = await client.post(f"/dead-letters/{job_id}/retry", headers=operator.headers)

    assert code(answer) == code(as_dead_letter) == (429, "too_many_active_jobs")


async def test_all_dead_letters_are_the_operators_own_unless_an_owner_is_named(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account, operator: Account
) -> None:
    of_alice, of_mallory = await failed(store, alice, "a"), await failed(store, mallory, "b")

    async def handle(action: str, body: object, **params: str) -> set[str]:
        path = f"/dead-letters/{action}"
        answer = await client.post(path, json=body, params=params, headers=operator.headers)
        assert answer.is_success, answer.text
        return set(answer.json()["job_ids"])

    assert await handle("retry", {"all": True}) == set()
    assert await handle("retry", {"job_ids": [str(of_alice)]}) == {str(of_alice)}
    assert await handle("dismiss", {"all": True}, owner="*") == {str(of_mallory)}


async def test_a_user_retries_and_dismisses_no_dead_letter_of_another_in_bulk(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    job_id = await failed(store, alice, "a")

    for action in ("retry", "dismiss"):
        path = f"/dead-letters/{action}"
        answer = await client.post(path, json={"job_ids": [str(job_id)]}, headers=mallory.headers)
        assert answer.json()["job_ids"] == []
    assert await listed(client, alice, "/dead-letters") == [str(job_id)]


async def test_only_an_administrator_sees_the_traceback_of_an_attempt(
    client: httpx.AsyncClient, store: Database, alice: Account, operator: Account, admin: Account
) -> None:
    job_id = await failed(store, alice, "a")
    await rows.execute(store, "UPDATE job_attempts SET traceback = 'line 1' WHERE job_id = $1", job_id)

    def shown(answer: httpx.Response) -> object:
        [attempt] = answer.json()["attempts"]
        return attempt.get("traceback")

    path = f"/jobs/{job_id}?include=attempts"
    found = [shown(await client.get(path, headers=who.headers)) for who in (alice, operator, admin)]
    assert found == [None, None, "line 1"]


# Losing a right


async def test_a_demoted_user_loses_the_right_within_a_second(
    client: httpx.AsyncClient, store: Database, admin: Account
) -> None:
    assert (await client.get("/users", headers=admin.headers)).status_code == 200
    await set_role(store, admin.id, Role.USER)

    async def is_denied() -> bool:
        return (await client.get("/users", headers=admin.headers)).status_code == 403

    assert await until(is_denied, seconds=identities.LIFETIME_SECONDS + 1)


async def test_a_viewer_follows_jobs_but_does_not_cancel_them_over_a_socket(
    app: FastAPI, store: Database, url: str
) -> None:
    viewer = await sign_in(app, "vera", Role.VIEWER)
    job_id = await jobs.create(store, viewer.id)
    async with websockets.opened(url, "/ws", viewer.headers) as talk:
        await talk.send("subscribe", job_id=job_id)
        created = await talk.receive()
        await talk.send("cancel", job_id=job_id)
        refused = await talk.receive()

    assert created["event"] == "update"
    assert (refused["event"], refused["data"]["code"]) == ("error", "forbidden")
    assert (await jobs.read(store, job_id)).status is Status.PENDING


async def test_an_open_socket_cancels_nothing_once_its_user_is_a_viewer(
    store: Database, url: str, alice: Account
) -> None:
    job_id = await jobs.create(store, alice.id)
    async with websockets.opened(url, "/ws", alice.headers) as talk:
        assert await talk.has_no_pending_frames()
        await set_role(store, alice.id, Role.VIEWER)
        await talk.send("cancel", job_id=job_id)
        refused = await talk.receive()

    assert refused["data"]["code"] == "forbidden"
    assert (await jobs.read(store, job_id)).status is Status.PENDING


async def test_an_open_socket_subscribes_to_no_foreign_job_once_its_user_is_no_operator(
    store: Database, url: str, alice: Account, operator: Account
) -> None:
    job_id = await jobs.create(store, alice.id)
    async with websockets.opened(url, "/ws", operator.headers) as talk:
        assert await talk.has_no_pending_frames()
        await set_role(store, operator.id, Role.USER)
        await talk.send("subscribe", job_id=job_id)
        refused = await talk.receive()

    assert refused["data"]["code"] == "not_your_job"


@pytest.mark.parametrize("is_by_ticket", [False, True])
async def test_the_stream_of_a_foreign_job_ends_once_its_reader_is_no_operator(
    store: Database, url: str, admission: Admission, alice: Account, operator: Account, is_by_ticket: bool
) -> None:
    job = await jobs.running(store, alice.id)
    async with websockets.client_of(url) as client:
        path, headers = f"/jobs/{job.id}/stream?after=2", operator.headers
        if is_by_ticket:
            body = {"job_id": str(job.id)}
            issued = await client.post("/stream-tickets", json=body, headers=operator.headers)
            path, headers = f"{path}&ticket={issued.json()['ticket']}", {}
        async with (
            sse.opened(client, path, headers) as stream,
            websockets.opened(url, f"/ws/jobs/{job.id}?after=2", operator.headers) as talk,
            sse.opened(client, "/jobs/stream", operator.headers) as own,
        ):
            await admission.recheck()
            assert await talk.has_no_pending_frames()
            await set_role(store, operator.id, Role.USER)
            await admission.recheck()

            assert (await stream.all())[-1].data == '{"code":"access_ended"}'
            assert await talk.wait_closed() == (4401, "access_ended")
            assert not admission.is_empty  # the stream of the own jobs goes on
            assert own is not None


async def test_an_operator_receives_the_events_of_a_foreign_job_as_they_happen(
    store: Database, url: str, alice: Account, operator: Account
) -> None:
    job = await jobs.running(store, alice.id)
    async with websockets.opened(url, f"/ws/jobs/{job.id}?after=2", operator.headers) as talk:
        assert await talk.has_no_pending_frames()
        await jobs.commit(store, job)
        frame = await talk.receive()

    assert frame["data"]["job_id"] == str(job.id)


# The stream of all users


async def test_only_an_operator_streams_the_jobs_of_all_users(
    client: httpx.AsyncClient, alice: Account
) -> None:
    refused = await client.get("/jobs/stream?scope=all", headers=alice.headers)
    ticket = (await client.post("/stream-tickets", headers=alice.headers)).json()["ticket"]
    by_ticket = await client.get(f"/jobs/stream?scope=all&ticket={ticket}")

    for answer in (refused, by_ticket):
        assert code(answer) == (403, "forbidden")
        assert answer.json()["permission"] == "operate"


async def test_the_stream_of_all_users_has_every_end_and_the_last_update_of_each_job(
    store: Database, url: str, alice: Account, mallory: Account, operator: Account
) -> None:
    first = await jobs.running(store, alice.id, queue="a")
    for index in range(2):
        await jobs.advance(store, jobs.report(first, first=index))
    second = await jobs.running(store, mallory.id, queue="b")
    await jobs.complete(store, second)
    await until_final(store)
    async with websockets.client_of(url) as client:
        path = "/jobs/stream?scope=all&after=0&coalesce_ms=100"
        async with sse.opened(client, path, operator.headers) as stream:
            coming = await after_ready(stream)
            events = [await anext(coming) for _ in range(2)]
            await jobs.fail(store, first, is_retryable=False)
            last = await anext(coming)
        resumed_path = f"/jobs/stream?scope=all&after={events[0].id}"
        async with sse.opened(client, resumed_path, operator.headers) as stream:
            coming = await after_ready(stream)
            resumed = [await anext(coming) for _ in range(2)]

    assert {event.json()["job_id"] for event in events} == {str(first.id), str(second.id)}
    assert sorted(event.event for event in events) == ["complete", "update"]
    assert (last.event, last.json()["job_id"]) == ("complete", str(first.id))
    assert [event.id for event in resumed] == [events[1].id, last.id]


async def test_the_stream_of_all_users_ends_once_its_reader_is_no_operator(
    store: Database, url: str, admission: Admission, operator: Account
) -> None:
    async with (
        websockets.client_of(url) as client,
        sse.opened(client, "/jobs/stream?scope=all", operator.headers) as stream,
    ):
        await admission.recheck()
        assert not admission.is_empty
        await set_role(store, operator.id, Role.USER)
        await admission.recheck()

        assert (await stream.all())[-1].data == '{"code":"access_ended"}'


async def test_the_stream_of_all_users_may_be_of_one_queue(
    store: Database, url: str, alice: Account, mallory: Account, operator: Account
) -> None:
    for owner, queue in ((alice, "a"), (mallory, "b")):
        await jobs.create(store, owner.id, queue=queue)
    wanted = await jobs.create(store, mallory.id, queue="a")
    async with websockets.client_of(url) as client:
        path = "/jobs/stream?scope=all&after=0&queue=a"
        async with sse.opened(client, path, operator.headers) as stream:
            coming = await after_ready(stream)
            events = [await anext(coming) for _ in range(2)]

    assert events[1].json()["job_id"] == str(wanted)
