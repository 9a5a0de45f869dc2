"""Profiles of jobs over HTTP, and what attempts have used."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from app.core import ids
from app.core.config import Settings
from app.core.database import Database
from app.core.storage import Storage
from app.jobs.profiles.profile import BadProfile, Frame, Profile, Stack
from app.jobs.transition_types import Measurements
from tests.jobs.test_http import assert_problem
from tests.support import jobs, rows, sharding
from tests.support.accounts import Account
from worker.files import profile_key

CREATE = "/jobs/batch-predict"
MEBIBYTE = 1024 * 1024

PROFILE = Profile(
    seconds=10.0,
    samples=1000,
    frames=(
        Frame("fit", "shop/model.py", 10, 12),
        Frame("fit", "shop/model.py", 10, 14),
        Frame("gradient", "shop/model.py", 40, 41),
        Frame("(event loop)", "", 0, 0),
        Frame("evil; name\nnext", "a.py", 1, 2),
    ),
    stacks=(
        Stack((0, 2), 5.0, 500),
        Stack((1, 2), 3.0, 300),
        Stack((1,), 1.5, 150),
        Stack((3,), 0.25, 25),
        Stack((1, 4), 0.25, 25),
    ),
)


async def profiled(
    store: Database, storage: Storage, owner_id: UUID, content: bytes | None = None, attempts: int = 1
) -> UUID:
    """A completed job whose attempts have profiles; the earlier ones were released."""
    job_id = await jobs.create(store, owner_id)
    worker_id = await jobs.worker(store)
    for number in range(1, attempts + 1):
        job = await jobs.claim(store, worker_id)
        key = profile_key(job.id, job.attempt)
        if content != b"":
            await storage.put(key, PROFILE.encode() if content is None else content)
        measurements = Measurements(1.5 * number, number * MEBIBYTE, key)
        if number < attempts:
            await jobs.release(store, job, measurements=measurements)
        else:
            report = jobs.report(job, count=3, is_final=True, measurements=measurements)
            await jobs.advance(store, report, worker_id=worker_id)
    return job_id


async def get(
    client: httpx.AsyncClient, job_id: UUID, account: Account, accept: str = "", **params: int
) -> httpx.Response:
    headers = {**account.headers, "Accept": accept}
    return await client.get(f"/jobs/{job_id}/profile", headers=headers, params=params)


@pytest.fixture
def profiling() -> bool:
    """Whether the server lets users have their jobs profiled; parametrize this fixture to change it."""
    return True


@pytest.fixture
def settings(settings: Settings, profiling: bool) -> Settings:
    return settings.model_copy(update={"profiling": profiling})


# Asking for one


async def test_a_job_is_profiled_only_if_its_request_says_so(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    for body in ({"texts": ["a"], "profile": True}, {"texts": ["a"]}):
        assert (await client.post(CREATE, json=body, headers=alice.headers)).status_code == 202

    found = await rows.fetch(store, "SELECT profile FROM jobs ORDER BY id")
    assert [row["profile"] for row in found] == [True, False]
    claimed = [await jobs.claim(store, await jobs.worker(store)) for _ in range(2)]
    assert [job.is_profiled for job in claimed] == [True, False]


async def test_every_job_of_a_group_may_be_profiled(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    body = {"jobs": [{"kind": "batch_predict", "texts": ["a"], "profile": True}]}
    assert (await client.post("/jobs/bulk", json=body, headers=alice.headers)).status_code == 202

    assert await rows.value(store, "SELECT profile FROM jobs")


@pytest.mark.parametrize("profiling", [False])
async def test_where_profiling_is_off_a_request_for_it_is_refused(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    answer = await client.post(CREATE, json={"texts": ["a"], "profile": True}, headers=alice.headers)

    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (
        422,
        "profiling_off",
        "profile",
    )
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 0
    assert (await client.post(CREATE, json={"texts": ["a"]}, headers=alice.headers)).status_code == 202


# Reading one


async def test_the_functions_that_took_most_of_the_time_come_first(
    client: httpx.AsyncClient, alice: Account, store: Database, storage: Storage
) -> None:
    job_id = await profiled(store, storage, alice.id)

    answer = await get(client, job_id, alice)

    assert answer.status_code == 200
    assert answer.json() == {
        "attempt": 1,
        "seconds": 10.0,
        "samples": 1000,
        "cpu_seconds": 1.5,
        "memory_peak_bytes": MEBIBYTE,
        "top": [
            spent("gradient", "shop/model.py", 41, 8.0, 8.0),
            spent("fit", "shop/model.py", 12, 1.5, 9.75),
            spent("(event loop)", "", 0, 0.25, 0.25),
            spent("evil; name\nnext", "a.py", 2, 0.25, 0.25),
        ],
    }


def spent(function: str, file: str, line: int, self_seconds: float, total_seconds: float) -> dict[str, Any]:
    return {
        "function": function,
        "file": file,
        "line": line,
        "self_seconds": self_seconds,
        "total_seconds": total_seconds,
    }


async def test_as_text_each_stack_is_a_line_for_flame_graph_tools(
    client: httpx.AsyncClient, alice: Account, store: Database, storage: Storage
) -> None:
    job_id = await profiled(store, storage, alice.id)

    answer = await get(client, job_id, alice, "text/plain")

    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.splitlines() == [
        "fit (shop/model.py:12);gradient (shop/model.py:41) 5000000",
        "fit (shop/model.py:14);gradient (shop/model.py:41) 3000000",
        "fit (shop/model.py:14) 1500000",
        "(event loop) 250000",
        "fit (shop/model.py:14);evil: name next (a.py:2) 250000",
    ]


async def test_the_last_attempt_is_shown_unless_another_is_named(
    client: httpx.AsyncClient, alice: Account, store: Database, storage: Storage
) -> None:
    job_id = await profiled(store, storage, alice.id, attempts=3)

    assert (await get(client, job_id, alice)).json()["attempt"] == 3
    assert (await get(client, job_id, alice, attempt=2)).json()["attempt"] == 2
    assert (await get(client, job_id, alice, attempt=4)).json()["code"] == "profile_not_found"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a profile",
        b'{"seconds":1,"samples":1,"frames":[],"stacks":[[[0],1.0,1]]}',
        b'{"seconds":-1,"samples":1,"frames":[],"stacks":[]}',
        b'{"seconds":1e400,"samples":1,"frames":[],"stacks":[]}',
    ],
    ids=["gone", "garbage", "a frame that is missing", "negative", "infinite"],
)
async def test_without_a_usable_file_there_is_no_profile(
    client: httpx.AsyncClient, alice: Account, store: Database, storage: Storage, content: bytes
) -> None:
    job_id = await profiled(store, storage, alice.id, content)

    answer = await get(client, job_id, alice)

    assert (answer.status_code, answer.json()["code"]) == (404, "profile_not_found")


async def test_a_job_that_was_not_profiled_has_none(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id)

    answer = await get(client, job_id, alice)

    assert (answer.status_code, answer.json()["code"]) == (404, "profile_not_found")


async def test_other_users_do_not_see_a_profile(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database, storage: Storage
) -> None:
    job_id = await profiled(store, storage, alice.id)

    assert (await get(client, job_id, mallory)).json()["code"] == "not_your_job"
    assert (await client.get(f"/jobs/{job_id}/profile")).status_code == 401
    assert (await get(client, ids.new_id(), alice)).json()["code"] == "job_not_found"


async def test_another_media_type_is_not_acceptable(
    client: httpx.AsyncClient, alice: Account, store: Database, storage: Storage
) -> None:
    job_id = await profiled(store, storage, alice.id)

    assert (await get(client, job_id, alice, "image/png")).status_code == 406


# What attempts have used


async def test_attempts_and_their_job_show_what_they_used(
    client: httpx.AsyncClient, alice: Account, store: Database, storage: Storage
) -> None:
    job_id = await profiled(store, storage, alice.id, attempts=2)

    job = (await client.get(f"/jobs/{job_id}", params={"include": "attempts"}, headers=alice.headers)).json()

    shown = [
        (tried["cpu_seconds"], tried["memory_peak_bytes"], tried["has_profile"]) for tried in job["attempts"]
    ]
    assert shown == [(1.5, MEBIBYTE, True), (3.0, 2 * MEBIBYTE, True)]
    assert all(tried["worker"].startswith("test-") for tried in job["attempts"])
    usage = job["usage"]
    assert usage.pop("run_seconds") > 0
    assert usage == {"attempts": 2, "rows": 25, "cpu_seconds": 4.5, "memory_peak_bytes": 2 * MEBIBYTE}


async def test_attempts_that_were_not_measured_say_so(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, owner_id=alice.id)
    await jobs.fail(store, job, is_retryable=False)

    shown = (
        await client.get(f"/jobs/{job.id}", params={"include": "attempts"}, headers=alice.headers)
    ).json()

    [tried] = shown["attempts"]
    assert (tried["cpu_seconds"], tried["memory_peak_bytes"], tried["has_profile"]) == (None, None, False)
    assert (shown["usage"]["cpu_seconds"], shown["usage"]["memory_peak_bytes"]) == (None, None)


def test_a_profile_is_read_as_it_was_written() -> None:
    assert Profile.decode(PROFILE.encode()) == PROFILE
    with pytest.raises(BadProfile):
        Profile.decode(PROFILE.encode()[:-1])


async def test_a_job_with_shards_has_the_profiles_of_its_shards(
    client: httpx.AsyncClient, alice: Account, store: Database, storage: Storage
) -> None:
    job_id = await sharding.create(store, alice.id)
    worker_id = await jobs.worker(store, slots=3)
    for number, shard in enumerate((await sharding.claim(store, job_id, worker_id))[:2]):
        key = profile_key(shard.id, shard.attempt)
        await storage.put(key, PROFILE.encode())
        measurements = Measurements(1.0 + number, MEBIBYTE, key)
        report = jobs.report(shard, count=2, is_final=True, measurements=measurements)
        await jobs.advance(store, report, worker_id=worker_id)

    last = (await get(client, job_id, alice)).json()
    first = (await get(client, job_id, alice, shard=0)).json()

    assert (last["shard"], last["attempt"], last["cpu_seconds"]) == (1, 1, 2.0)
    assert (first["shard"], first["cpu_seconds"]) == (0, 1.0)
    assert_problem(await get(client, job_id, alice, shard=2), 404, "profile_not_found")
