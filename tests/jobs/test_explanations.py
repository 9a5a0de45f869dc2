"""Why a job is where it is: every reason, told from real circumstances."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import TypeAdapter

from app.core import ids
from app.core.config import ClaimOrder, Settings
from app.core.database import Database
from app.jobs.queues.queries import MAX_OWN_COUNTED
from app.jobs.schemas import Explanation
from app.jobs.states import Priority
from app.jobs.workers import commands as workers
from app.jobs.workers.commands import WorkerIdentity
from app.jobs.workers.states import EngineState
from tests.support import jobs, rows
from tests.support.accounts import Account
from tests.support.waiting import until

FLOOD = 10_000


@pytest.fixture
def claim_order() -> ClaimOrder:
    return ClaimOrder.TURNS


@pytest.fixture
def settings(settings: Settings, claim_order: ClaimOrder) -> Settings:
    return settings.model_copy(update={"claim_order": claim_order})


async def explain(client: httpx.AsyncClient, who: Account, job_id: UUID) -> dict[str, Any]:
    answer = await client.get(f"/jobs/{job_id}/explain", headers=who.headers)
    assert answer.status_code == 200, answer.text
    TypeAdapter(Explanation).validate_json(answer.content)
    explained: dict[str, Any] = answer.json()
    assert explained["job_id"] == str(job_id)
    assert explained["sentence"].endswith(".")
    return explained


async def now(store: Database) -> datetime:
    instant: datetime = await rows.value(store, "SELECT clock_timestamp()")
    return instant


async def grow_older(store: Database, job_id: UUID, age: timedelta) -> None:
    """The job was asked for, and due, so much earlier."""
    await rows.execute(
        store,
        """UPDATE jobs SET created_at = created_at - $2::interval, run_at = run_at - $2::interval,
            sort_key = sort_key - $2::interval WHERE id = $1""",
        job_id,
        age,
    )


async def flood(store: Database, owner: Account, count: int) -> None:
    """So many low jobs that wait already."""
    await rows.fill(
        store,
        """INSERT INTO jobs (id, owner_id, kind, queue, priority, sort_key, params, max_attempts, total,
            soft_limit_seconds, time_limit_seconds, retention_seconds)
        SELECT gen_random_uuid(), $1, $3, 'default', 'low', now() - make_interval(secs => $2 - n), '{}', 3, 1,
            60, 60, 60
        FROM generate_series(1, $2) n""",
        owner.id,
        count,
        jobs.KIND,
    )


# Waiting: for a worker


async def test_without_a_worker_a_job_waits_for_one(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id, queue="gpu")

    explained = await explain(client, alice, job_id)

    assert explained == {
        "job_id": str(job_id),
        "code": "no_worker",
        "sentence": "No worker that is alive serves the queue 'gpu'.",
        "status": "pending",
        "queue": "gpu",
        "position": 1,
        "jobs_of_mine_ahead": 0,
        "estimated_start_at": None,
        "estimated_completion": None,
        "facts": {},
    }


async def test_a_worker_that_is_silent_or_stopping_or_elsewhere_is_no_worker(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id)
    elsewhere = await jobs.create(store, alice.id, queue="gpu")
    await jobs.expire_lease(store, await jobs.worker(store))
    stopping = await jobs.worker(store)
    async with store.connection() as connection:
        await workers.mark_stopping(connection, stopping)

    assert (await explain(client, alice, job_id))["code"] == "no_worker"
    await jobs.worker(store)
    assert (await explain(client, alice, job_id))["code"] == "next"
    assert (await explain(client, alice, elsewhere))["code"] == "no_worker"


async def test_a_kind_that_no_worker_of_the_queue_knows_is_said(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id, kind="train_model")
    await jobs.worker(store)
    identity = WorkerIdentity(ids.new_id(), "trainer", "here", 1, ("gpu",), ("train_model",), 1)
    async with store.connection() as connection:
        await workers.renew(connection, identity)

    explained = await explain(client, alice, job_id)

    assert (explained["code"], explained["facts"]) == ("no_worker_knows_kind", {"workers": 1})
    assert "'train_model'" in explained["sentence"]
    assert explained["estimated_start_at"] is None


async def engines_say(store: Database, *states: EngineState) -> None:
    """Register a worker for each of these states of its engine."""
    async with store.connection() as connection:
        for state in states:
            identity = WorkerIdentity(ids.new_id(), state, "here", 1, ("default",), (jobs.KIND,), 2)
            await workers.renew(connection, identity, engine_state=state)


async def test_a_job_whose_only_worker_waits_for_a_node_says_so(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id)
    later = await jobs.create(store, alice.id)
    await engines_say(store, EngineState.WAITING, EngineState.UNAVAILABLE)

    explained = await explain(client, alice, job_id)
    assert (explained["code"], explained["estimated_start_at"]) == ("waiting_for_node", None)
    assert (await explain(client, alice, later))["code"] == "waiting_its_turn"
    await engines_say(store, EngineState.READY)
    assert (await explain(client, alice, job_id))["code"] == "next"


async def test_a_job_whose_workers_cannot_start_processes_says_so(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await jobs.create(store, alice.id)
    job_id = await jobs.create(store, alice.id)
    await engines_say(store, EngineState.UNAVAILABLE)

    explained = await explain(client, alice, job_id)
    assert (explained["code"], explained["estimated_start_at"]) == ("engine_unavailable", None)
    assert explained["facts"] == {"workers": 1}


# Waiting: for others


async def test_the_next_job_starts_as_soon_as_a_slot_is_free(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id)
    for slots in (2, 3):
        await jobs.worker(store, slots=slots)
    before = await now(store)

    explained = await explain(client, alice, job_id)

    assert (explained["code"], explained["position"], explained["jobs_of_mine_ahead"]) == ("next", 1, 0)
    assert explained["facts"] == {
        "ahead": 0,
        "mine_ahead": 0,
        "other_owners": 0,
        "mine_running": 0,
        "workers": 2,
        "slots": 5,
        "busy": 0,
    }
    assert before <= datetime.fromisoformat(explained["estimated_start_at"]) <= await now(store)


async def test_a_job_that_waits_its_turn_knows_its_place_and_whose_the_others_are(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    runs = await jobs.running(store, alice.id)
    waiting = [await jobs.create(store, owner.id) for owner in (alice, mallory, mallory, alice, mallory)]
    await jobs.create(store, alice.id, queue="gpu", priority=Priority.CRITICAL)
    await jobs.create(store, alice.id, priority=Priority.CRITICAL, delay=timedelta(hours=1))
    job_id = await jobs.create(store, alice.id)
    await jobs.create(store, alice.id)

    explained = await explain(client, alice, job_id)
    second = await explain(client, mallory, waiting[2])

    assert (explained["code"], explained["status"]) == ("waiting_its_turn", "pending")
    assert (explained["position"], explained["jobs_of_mine_ahead"]) == (6, 2)
    assert explained["facts"] == {
        "ahead": 5,
        "mine_ahead": 2,
        "other_owners": 1,
        "mine_running": 1,
        "workers": 1,
        "slots": 1,
        "busy": 1,
    }
    assert explained["sentence"] == (
        "2 of your jobs are before it; 1 other user waits; you hold 1 of 1 slot."
    )
    assert (second["position"], second["jobs_of_mine_ahead"]) == (3, 1)
    assert second["sentence"] == "1 of your jobs is before it; 1 other user waits; you hold 0 of 1 slot."
    assert str(mallory.id) not in str(explained)
    assert (await explain(client, alice, runs.id))["position"] is None


async def test_a_job_moves_up_as_those_ahead_of_it_start(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_ids = [await jobs.create(store, alice.id) for _ in range(3)]
    worker = await jobs.worker(store)
    places = []
    for _ in range(2):
        places.append((await explain(client, alice, job_ids[2]))["position"])
        await jobs.claim(store, worker)
    places.append((await explain(client, alice, job_ids[2]))["position"])

    assert places == [3, 2, 1]


async def test_jobs_that_were_asked_for_at_once_have_places_of_their_own(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    request = {"kind": "batch_predict", "texts": ["x"]}
    answer = await client.post("/jobs/bulk", json={"jobs": [request] * 3}, headers=alice.headers)
    job_ids = [UUID(job_id) for job_id in answer.json()["job_ids"]]
    worker = await jobs.worker(store)

    places = [(await explain(client, alice, job_id))["position"] for job_id in job_ids]

    assert places == [1, 2, 3]
    assert [job.id for job in await jobs.claim_all(store, worker)] == job_ids


async def test_the_places_are_the_order_in_which_the_jobs_start(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    owners = {}
    for hours in (0, 3, 8, 30):
        for priority in Priority:
            for who in (alice, mallory):
                job_id = await jobs.create(store, who.id, priority=priority)
                await grow_older(store, job_id, timedelta(hours=hours))
                owners[job_id] = who
    worker = await jobs.worker(store)

    places = {job_id: (await explain(client, who, job_id))["position"] for job_id, who in owners.items()}
    started = [job.id for job in await jobs.claim_all(store, worker)]

    assert sorted(places, key=places.__getitem__) == started
    assert sorted(places.values()) == list(range(1, 33))


# When it may start


async def test_the_estimate_comes_from_what_the_last_attempts_took(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    for queue in ("default", "gpu"):
        await jobs.create(store, alice.id, queue=queue)
        [job] = await jobs.claim_all(store, await jobs.worker(store), queue=queue)
        await jobs.complete(store, job)
    # Fifty attempts of a minute; before those, and elsewhere, they took much longer.
    await rows.execute(
        store,
        """INSERT INTO job_attempts
            (job_id, attempt, kind, queue, worker_id, due_at, started_at, ended_at, outcome)
        SELECT a.job_id, 1 + n, a.kind, a.queue, a.worker_id, a.due_at, a.started_at, a.ended_at, a.outcome
        FROM job_attempts a, generate_series(1, 99) n""",
    )
    await rows.execute(
        store,
        """UPDATE job_attempts SET ended_at = ended_at - make_interval(secs => attempt),
            started_at = ended_at - make_interval(secs => attempt) - CASE queue = 'default' AND attempt <= 50
                WHEN true THEN interval '1 minute' ELSE interval '1 hour' END""",
    )
    for _ in range(4):
        await jobs.create(store, alice.id)
    job_id = await jobs.create(store, alice.id)
    await rows.execute(store, "DELETE FROM workers")
    await jobs.worker(store, slots=2)
    before = await now(store)

    explained = await explain(client, alice, job_id)

    # Four jobs of a minute are ahead of it, two at a time.
    two_minutes = timedelta(minutes=2)
    starts_at = datetime.fromisoformat(explained["estimated_start_at"])
    assert before + two_minutes <= starts_at <= await now(store) + two_minutes


async def test_the_next_job_waits_for_the_end_of_one_that_runs_where_all_slots_are_busy(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    worker = await jobs.worker(store)
    await jobs.create(store, alice.id)
    await jobs.complete(store, await jobs.claim(store, worker))
    await rows.execute(store, "UPDATE job_attempts SET started_at = ended_at - interval '1 minute'")
    await jobs.create(store, alice.id)
    await jobs.claim(store, worker)
    job_id = await jobs.create(store, alice.id)
    before = await now(store)

    explained = await explain(client, alice, job_id)

    assert (explained["code"], explained["facts"]["busy"]) == ("next", 1)
    half_a_minute = timedelta(seconds=30)
    starts_at = datetime.fromisoformat(explained["estimated_start_at"])
    assert before + half_a_minute <= starts_at <= await now(store) + half_a_minute


async def test_nobody_can_say_when_while_nothing_has_run_yet(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    first, second = [await jobs.create(store, alice.id) for _ in range(2)]
    await jobs.worker(store)

    assert (await explain(client, alice, first))["estimated_start_at"] is not None
    assert (await explain(client, alice, second))["estimated_start_at"] is None


# Waiting: for its time


async def test_a_delayed_job_waits_for_its_time(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id, delay=timedelta(hours=1))
    nobody_yet = await explain(client, alice, job_id)
    await jobs.worker(store)

    explained = await explain(client, alice, job_id)

    due_at = (await rows.job(store, job_id))["run_at"]
    assert nobody_yet["code"] == explained["code"] == "delayed"
    assert nobody_yet["estimated_start_at"] is None
    assert datetime.fromisoformat(explained["estimated_start_at"]) == due_at
    assert datetime.fromisoformat(explained["facts"]["run_at"]) == due_at
    assert 0 < explained["facts"]["seconds"] <= 3600
    assert set(explained["facts"]) == {"run_at", "seconds"}


async def test_a_job_of_the_last_day_of_time_has_no_estimated_start(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    """A client says "never" with it. Those ahead of the job would take longer than there are dates."""
    worker = await jobs.worker(store)
    await jobs.create(store, alice.id)
    await jobs.complete(store, await jobs.claim(store, worker))
    await rows.execute(store, "UPDATE job_attempts SET started_at = ended_at - interval '1 minute'")
    await jobs.create(store, alice.id)
    body = {"texts": ["a text"], "run_at": "9999-12-31T23:59:59Z"}
    created = await client.post("/jobs/batch-predict", json=body, headers=alice.headers)

    explained = await explain(client, alice, UUID(created.json()["job_id"]))
    foreseen = await client.post("/jobs/batch-predict?dry_run=true", json=body, headers=alice.headers)

    assert (explained["code"], explained["estimated_start_at"]) == ("delayed", None)
    assert foreseen.status_code == 200
    assert foreseen.json()["estimated_start_at"] is None


async def test_a_job_between_two_attempts_says_what_went_wrong_and_when_it_goes_on(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    await jobs.fail(store, job, delay_seconds=600)

    explained = await explain(client, alice, job.id)

    facts = explained["facts"]
    assert (explained["code"], explained["status"]) == ("retry_wait", "pending")
    assert (facts["failures"], facts["max_attempts"]) == (1, 3)
    assert facts["error"] == {**jobs.ERROR, "attempt": 1}
    assert 0 < facts["seconds"] <= 600
    due_at = (await rows.job(store, job.id))["run_at"]
    assert datetime.fromisoformat(facts["run_at"]) == due_at
    assert datetime.fromisoformat(explained["estimated_start_at"]) == due_at


async def test_a_job_that_somebody_tries_again_waits_for_no_retry(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    await jobs.fail(store, job, is_retryable=False)
    await client.post(f"/jobs/{job.id}/retry", headers=alice.headers)

    assert (await explain(client, alice, job.id))["code"] == "next"


# Without Redis


@pytest.mark.parametrize("redis_url", ["unix:///nowhere/at/all.sock"])
async def test_without_redis_the_next_job_is_picked_up_slowly_and_says_so(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id, behind = [await jobs.create(store, alice.id) for _ in range(2)]
    await jobs.worker(store)

    async def is_slow() -> bool:
        explained = await explain(client, alice, job_id)
        return bool(explained["code"] == "slow_pick_up")

    await until(is_slow)
    explained = await explain(client, alice, job_id)
    assert "Redis" in explained["sentence"]
    assert explained["position"] == 1
    assert explained["estimated_start_at"] is not None
    # What holds this one up is still the other.
    assert (await explain(client, alice, behind))["code"] == "waiting_its_turn"


# Running


async def test_a_running_job_says_how_fast_it_is_and_when_it_will_be_done(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=2000)
    await jobs.commit(store, job, count=100)
    await rows.execute(store, "UPDATE jobs SET attempt_started_at = now() - interval '1000 s'")
    before = datetime.now(UTC)

    explained = await explain(client, alice, job.id)

    after = datetime.now(UTC)
    since = (await rows.job(store, job.id))["attempt_started_at"]
    assert (explained["code"], explained["status"]) == ("running", "running")
    assert explained["facts"] == {
        "attempt": 1,
        "since": explained["facts"]["since"],
        "step": "Batch 100",
        "rows_per_second": 1.0,
    }
    assert datetime.fromisoformat(explained["facts"]["since"]) == since
    # Half of it is done, so the other half takes as long.
    completion = datetime.fromisoformat(explained["estimated_completion"])
    assert before + (before - since) <= completion <= after + (after - since)
    assert explained["position"] is explained["jobs_of_mine_ahead"] is explained["estimated_start_at"] is None


async def test_a_new_attempt_is_not_credited_with_the_rows_of_the_one_before(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    await jobs.commit(store, job, count=2)
    await jobs.release(store, job)
    await jobs.claim(store)

    explained = await explain(client, alice, job.id)

    assert (explained["facts"]["attempt"], explained["facts"]["rows_per_second"]) == (2, 0.0)
    assert explained["estimated_completion"] is None


async def test_a_job_that_is_being_stopped_says_so(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    await jobs.commit(store, job)
    await jobs.cancel(store, job.id)

    explained = await explain(client, alice, job.id)

    assert (explained["code"], explained["status"]) == ("cancel_requested", "running")
    assert (explained["facts"]["attempt"], explained["facts"]["step"]) == (1, "Batch 1")


# Over


async def test_a_job_that_is_over_says_how_it_ended(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    completed = await jobs.running(store, alice.id)
    await jobs.complete(store, completed)
    cancelled = await jobs.running(store, alice.id)
    await jobs.stop(store, cancelled)
    failed = await jobs.running(store, alice.id)
    await jobs.fail(store, failed, is_retryable=False)

    for job, code in ((completed, "completed"), (cancelled, "cancelled")):
        explained = await explain(client, alice, job.id)
        finished_at = (await rows.job(store, job.id))["finished_at"]
        assert explained["code"] == explained["status"] == code
        assert datetime.fromisoformat(explained["facts"]["completed_at"]) == finished_at
    explained = await explain(client, alice, failed.id)
    assert explained["code"] == explained["status"] == "failed"
    assert explained["facts"] == {"error": {**jobs.ERROR, "attempt": 1}}
    assert jobs.ERROR["message"] in explained["sentence"]
    for name in ("position", "jobs_of_mine_ahead", "estimated_start_at", "estimated_completion"):
        assert explained[name] is None
    assert "Traceback" not in str(explained)


# Whose is it


async def test_a_foreign_job_is_not_explained(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id)

    foreign = await client.get(f"/jobs/{job_id}/explain", headers=mallory.headers)
    unknown = await client.get(f"/jobs/{ids.new_id()}/explain", headers=alice.headers)
    nobody = await client.get(f"/jobs/{job_id}/explain")

    assert (foreign.status_code, foreign.json()["code"]) == (403, "not_your_job")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "job_not_found")
    assert (nobody.status_code, nobody.json()["code"]) == (401, "invalid_token")


# A flood


async def test_a_flood_of_one_user_does_not_keep_anothers_jobs_from_starting(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    await flood(store, mallory, FLOOD)
    first, second = [await jobs.create(store, alice.id, priority=Priority.LOW) for _ in range(2)]
    worker = await jobs.worker(store)

    explained = [await explain(client, alice, job_id) for job_id in (first, second)]
    last = await explain(client, mallory, await jobs.create(store, mallory.id, priority=Priority.LOW))

    assert [found["position"] for found in explained] == [2, 4]
    assert explained[0]["sentence"] == (
        "None of your jobs is before it; 1 other user waits; you hold 0 of 1 slot."
    )
    # Further back than this nobody counts.
    assert (last["code"], last["jobs_of_mine_ahead"]) == ("waiting_its_turn", MAX_OWN_COUNTED)
    assert last["sentence"].startswith(f"At least {MAX_OWN_COUNTED} of your jobs are before it; ")
    claimed = await jobs.claim_all(store, worker, limit=4)
    assert [job.id for job in claimed[1::2]] == [first, second]


@pytest.mark.parametrize("claim_order", [ClaimOrder.PRIORITY])
async def test_a_flood_of_one_user_does_not_keep_anothers_urgent_job_from_starting(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    await flood(store, mallory, FLOOD)
    low, high = [
        UUID(
            (
                await client.post(
                    "/jobs/batch-predict", json={"texts": ["x"], "priority": priority}, headers=alice.headers
                )
            ).json()["job_id"]
        )
        for priority in ("low", "high")
    ]
    worker = await jobs.worker(store)

    urgent, patient = await asyncio.gather(explain(client, alice, high), explain(client, alice, low))

    assert (urgent["code"], urgent["position"], urgent["jobs_of_mine_ahead"]) == ("next", 1, 0)
    # Further back than this nobody counts.
    assert (patient["code"], patient["position"]) == ("waiting_its_turn", FLOOD + 1)
    assert patient["sentence"] == f"At least {FLOOD} jobs are ahead of it."
    [claimed] = await jobs.claim_all(store, worker, limit=1, order=ClaimOrder.PRIORITY)
    assert claimed.id == high


async def test_the_one_who_floods_waits_for_nobody_but_himself(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    await flood(store, mallory, 500)
    await jobs.create(store, alice.id, priority=Priority.LOW)
    last = await jobs.create(store, mallory.id, priority=Priority.LOW)
    await jobs.worker(store)

    explained = await explain(client, mallory, last)

    assert (explained["position"], explained["jobs_of_mine_ahead"]) == (502, 500)


@pytest.mark.parametrize("claim_order", [ClaimOrder.PRIORITY])
@pytest.mark.parametrize(
    ("priority", "hours"), [(Priority.NORMAL, 1), (Priority.HIGH, 6), (Priority.CRITICAL, 24)]
)
async def test_a_low_job_is_overtaken_for_a_bounded_time_only(
    client: httpx.AsyncClient,
    alice: Account,
    mallory: Account,
    store: Database,
    priority: Priority,
    hours: int,
) -> None:
    a_moment = timedelta(minutes=5)
    low = await jobs.create(store, alice.id, priority=Priority.LOW)
    await grow_older(store, low, timedelta(hours=hours) - a_moment)
    urgent = [await jobs.create(store, mallory.id, priority=priority) for _ in range(5)]
    worker = await jobs.worker(store)

    overtaken = await explain(client, alice, low)
    await grow_older(store, low, 2 * a_moment)
    not_any_more = await explain(client, alice, low)

    assert (overtaken["code"], overtaken["position"]) == ("waiting_its_turn", 6)
    assert (not_any_more["code"], not_any_more["position"]) == ("next", 1)
    claimed = await jobs.claim_all(store, worker, order=ClaimOrder.PRIORITY)
    assert [job.id for job in claimed] == [low, *urgent]
