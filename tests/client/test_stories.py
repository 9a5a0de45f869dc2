"""Typical uses of the client, with both clients."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from app.client import (
    AsyncHeadrace,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Quota,
    Unauthorized,
    WaitTimeout,
)
from tests.client.conftest import Connect
from tests.client.running import Running, User
from tests.e2e.support import compounds, short_texts, slow_texts

UNKNOWN = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"


async def test_texts_are_submitted_waited_for_and_read(client: AsyncHeadrace) -> None:
    texts = short_texts(25)
    submitted = await client.submit(texts, batch_size=10, priority="high", metadata={"team": "search"})
    job = await client.wait(submitted, timeout=30)
    rows = [row async for row in client.results(job)]

    assert (submitted.status, submitted.is_replay) == ("pending", False)
    assert (job.id, job.status, job.done, job.total) == (submitted.id, "completed", 25, 25)
    assert (job.kind, job.priority, job.metadata) == ("batch_predict", "high", {"team": "search"})
    assert job.completed_at is not None
    assert job.completed_at.tzinfo is not None
    assert [row.input_index for row in rows] == list(range(25))
    assert [row.prediction["scores"]["compound"] for row in rows] == compounds(texts)


async def test_following_gives_the_log(client: AsyncHeadrace) -> None:
    job = await client.submit(slow_texts(30), batch_size=1)
    followed = [event async for event in client.follow(job)]
    log = [event async for event in client.events(job)]

    assert [event.raw for event in followed] == [event.raw for event in log]
    assert [event.seq for event in followed] == list(range(1, 34))
    assert [event.type for event in followed] == ["created", "started", *["progress"] * 30, "completed"]
    assert followed[-1].is_final
    assert followed == log


async def test_following_starts_after_a_number_and_ends_at_once_after_the_last(
    client: AsyncHeadrace,
) -> None:
    job = await client.submit(short_texts(30), batch_size=10)
    await client.wait(job, timeout=30)

    assert [event.seq async for event in client.follow(job, after=3)] == [4, 5, 6]
    assert [event.seq async for event in client.follow(job, after=6)] == []
    assert [event.seq async for event in client.follow(job, after=1000)] == []


async def test_a_long_log_is_read_in_pages(client: AsyncHeadrace) -> None:
    job = await client.submit(short_texts(700), batch_size=1)
    await client.wait(job, timeout=50)

    assert [event.seq async for event in client.events(job)] == list(range(1, 704))
    assert [event.seq async for event in client.events(job, after=702)] == [703]


async def test_the_client_works_after_leaving_a_stream_early(client: AsyncHeadrace) -> None:
    job = await client.submit(short_texts(10), queue="nobody")
    async for event in client.follow(job):
        assert event.type == "created"
        break

    assert (await client.job(job)).status == "pending"


async def test_jobs_are_listed_over_pages_newest_first_and_filtered(client: AsyncHeadrace) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    made = [(await client.submit(["x"], queue="nobody", metadata={"n": str(n % 2)})).id for n in range(5)]

    assert [job.id async for job in client.jobs(page_size=2)] == made[::-1]
    assert [job.id async for job in client.jobs(metadata={"n": "1"})] == [made[3], made[1]]
    assert [job.id async for job in client.jobs(status="completed")] == []
    assert len([job async for job in client.jobs(queue="nobody", created_after=before)]) == 5
    assert [job async for job in client.jobs(created_before=before)] == []


async def test_waiting_ends_after_its_timeout_and_the_job_continues(client: AsyncHeadrace) -> None:
    job = await client.submit(["x"], queue="nobody")
    with pytest.raises(WaitTimeout) as caught:
        await client.wait(job, timeout=0.3)

    assert isinstance(caught.value, TimeoutError)
    assert caught.value.job.id == job.id
    assert (await client.job(job)).status == "pending"


async def test_dead_letters_are_counted_retried_and_dismissed(client: AsyncHeadrace) -> None:
    submitted = [
        await client.submit(slow_texts(600), batch_size=1, time_limit_seconds=1, max_attempts=1)
        for _ in range(2)
    ]
    failed = [await client.wait(job, timeout=60) for job in submitted]
    assert {job.status for job in failed} == {"failed"}
    assert failed[0].error is not None
    code = failed[0].error.code

    listed = [job.id async for job in client.dead_letters(code=code, kind="batch_predict")]
    [group] = await client.dead_letter_summary(code=code)
    none = await client.retry_dead_letters(code=code, queue="nobody")
    retried = await client.retry_dead_letters([failed[0]])
    dismissed = await client.dismiss_dead_letters(code=code, reason="Too slow")
    with pytest.raises(TypeError):
        await client.retry_dead_letters()
    await client.cancel(failed[0])

    assert sorted(listed) == sorted(job.id for job in failed)
    assert (group.code, group.kind, group.count) == (code, "batch_predict", 2)
    assert (list(none), list(retried), list(dismissed)) == ([], [failed[0].id], [failed[1].id])
    assert (await client.job(failed[1])).raw["dismissed"]["reason"] == "Too slow"
    assert await client.dead_letter_summary() == []


async def test_the_log_of_a_job_is_read_and_followed_to_its_end(client: AsyncHeadrace) -> None:
    job = await client.submit(instances=[{"text": "fine"}, {"text": 4}])

    followed = [line async for line in client.logs(job, follow=True)]

    assert (await client.job(job)).status == "completed"
    assert [(line.number, line.attempt, line.level) for line in followed] == [(1, 1, "warning")]
    assert followed[0].text == "1 of 2 rows have an error instead of a prediction."
    assert [line async for line in client.logs(job, tail=5)] == followed
    assert [line async for line in client.logs(job, level="error")] == []
    assert [line async for line in client.logs(job, attempt=2)] == []
    assert [line async for line in client.logs(job, after=1)] == []
    with pytest.raises(ValueError, match="between 1 and 1000"):
        [line async for line in client.logs(job, tail=0)]


async def test_the_shards_of_a_job_are_listed_and_its_rows_come_in_order(
    client: AsyncHeadrace, tmp_path: Path
) -> None:
    file = tmp_path / "texts.csv"
    file.write_text("text\n" + "".join(f"{text}\n" for text in short_texts(50)))
    dataset = await client.upload(file)

    job = await client.submit(
        dataset=dataset, column="text", batch_size=10, shards=2, max_failed_shards=1, profile=True
    )
    done = await client.wait(job)

    assert (done.status, done.shards, done.parent_id) == ("completed", 2, None)
    shards = [shard async for shard in client.shards(job)]
    assert [(one.number, one.first_row, one.rows, one.done) for one in shards] == [
        (0, 0, 30, 30),
        (1, 30, 20, 20),
    ]
    assert [shard async for shard in client.shards(job, status="failed")] == []
    assert (await client.job(shards[0].job_id)).parent_id == job.id
    assert [row.index async for row in client.results(job)] == list(range(50))
    with pytest.raises(Conflict, match="is a shard of job"):
        await client.cancel(shards[0].job_id)
    profiles = [await client.profile(job, shard=number) for number in range(2)]
    assert [profile.shard for profile in profiles] == [0, 1]
    stacks = await client.stacks(job, shard=1)
    assert all(line.rpartition(" ")[2].isdecimal() for line in stacks.splitlines())
    with pytest.raises(NotFound):
        await client.profile(job, shard=2)


async def test_a_job_is_cancelled_explained_and_tried_again(client: AsyncHeadrace) -> None:
    job = await client.submit(["x"], queue="nobody")
    waiting = await client.explain(job)
    ledger = await client.ledger(job)
    assert (ledger.stored, list(ledger.runs)) == (0, [])
    assert len(await client.inputs(job, limit=1)) == 1
    assert all(item.severity in ("bad", "warn") for item in await client.attention())
    found = await client.find("senti")
    assert (found.jobs[0], list(found.models), found.datasets, found.schedules) == (
        job.id,
        ["sentiment"],
        {},
        {},
    )
    assert list((await client.find(job.id)).jobs) == [job.id]
    cancelled = await client.cancel(job)
    with pytest.raises(BadRequest) as again:
        await client.cancel(job)
    retried = await client.retry(job)
    with pytest.raises(Conflict) as not_retryable:
        await client.retry(job)

    assert (waiting.code, waiting.jobs_of_mine_ahead) == ("no_worker", 0)
    assert "nobody" in waiting.sentence
    assert (cancelled.status, cancelled.is_final) == ("cancelled", True)
    assert again.value.code == "job_already_finished"
    assert retried.status == "pending"
    assert not_retryable.value.code == "job_not_retryable"


async def test_a_job_is_foreseen_and_resubmitted_with_a_change(client: AsyncHeadrace) -> None:
    job = await client.submit(["x"], queue="nobody", batch_size=3)
    request = await client.request_of(job)
    changed = {**request.body, "texts": ["y"], "priority": "low", "resubmitted_from": job.id}

    foreseen = await client.dry_run(request.path, changed)
    again = await client.job(await client.create(request.path, changed))

    assert (request.kind, request.path, request.rows_member) == ("batch_predict", "batch-predict", "texts")
    assert request.body == {"queue": "nobody", "batch_size": 3}
    assert (foreseen.code, foreseen.queue, foreseen.jobs, foreseen.total) == ("no_worker", "nobody", 1, 1)
    assert foreseen.position >= 2
    assert foreseen.estimated_start_at is None
    assert (again.resubmitted_from, again.priority) == (job.id, "low")
    with pytest.raises(Invalid):
        await client.dry_run("batch-predict", {"texts": []})
    kinds = {kind.path: kind for kind in await client.kinds()}
    assert kinds["send-email"].queue == "emails"
    assert "texts" in kinds["batch-predict"].request["properties"]


async def test_a_profile_says_where_a_job_spent_its_time(client: AsyncHeadrace) -> None:
    job = await client.wait(await client.submit(["good"] * 1000, profile=True), timeout=60)

    profile = await client.profile(job)
    stacks = await client.stacks(job, attempt=1)

    assert (profile.attempt, profile.raw["attempt"]) == (1, 1)
    assert profile.seconds > 0
    assert len(profile.top) <= 50
    assert all(line.rpartition(" ")[2].isdecimal() for line in stacks.splitlines())
    with pytest.raises(NotFound) as caught:
        await client.profile(job, attempt=2)
    assert caught.value.code == "profile_not_found"


async def test_the_quotas_say_what_the_user_has_and_may_have(client: AsyncHeadrace) -> None:
    before = await client.quotas()
    await client.submit(["x" * 1000], queue="nobody")

    quotas = await client.quotas()

    assert quotas.active_jobs == Quota(used=before.active_jobs.used + 1, limit=50_000)
    assert quotas.stored_bytes.used >= before.stored_bytes.used + 1000
    assert quotas.model_bytes == Quota(used=0, limit=None)


async def test_results_are_exported_as_csv_and_as_ndjson(client: AsyncHeadrace) -> None:
    job = await client.submit(short_texts(120), batch_size=50)
    await client.wait(job, timeout=30)
    ndjson = b"".join([piece async for piece in client.export(job, "ndjson")])
    csv = b"".join([piece async for piece in client.export(job, "csv")])

    rows = [row.raw async for row in client.results(job)]
    assert [json.loads(line) for line in ndjson.splitlines()] == rows
    lines = csv.decode().splitlines()
    assert lines[0].startswith("index,input_index,label,score")
    assert len(lines) == 121


async def test_results_are_searched_and_counted(client: AsyncHeadrace) -> None:
    texts = ["What a lovely day", "This is awful", *("It is a kettle" for _ in range(8))]
    job = await client.submit(texts, batch_size=4)
    assert (await client.wait(job, timeout=60)).status == "completed"

    rows = [row async for row in client.results(job)]
    awful = [row async for row in client.search_results(job, label="negative", include_input=True)]
    low = [row.index async for row in client.search_results(job, below=0.1, errors=False)]
    summary = await client.result_summary(job)

    assert [(row.index, row.input) for row in awful] == [(1, "This is awful")]
    assert low == [row.index for row in rows if row.prediction["score"] < 0.1]
    assert summary.labels == Counter(row.prediction["label"] for row in rows)
    assert (summary.rows, summary.errors, summary.others) == (10, 0, 0)
    assert [row async for row in client.search_results(job, errors=True)] == []
    assert job.id in [found.id async for found in client.jobs(model="sentiment@1")]
    with pytest.raises(TypeError, match="give label"):
        [row async for row in client.search_results(job)]


async def test_the_same_key_gives_the_same_job(client: AsyncHeadrace) -> None:
    first = await client.submit(["x"], queue="nobody", idempotency_key="monday")
    second = await client.submit(["x"], queue="nobody", idempotency_key="monday")
    other = await client.submit(["x"], queue="nobody")
    with pytest.raises(Invalid) as reused:
        await client.submit(["y"], queue="nobody", idempotency_key="monday")

    assert (first.id, first.is_replay, second.is_replay) == (second.id, False, True)
    assert other.id != first.id
    assert reused.value.code == "idempotency_key_reused"


async def test_a_job_of_any_kind_is_created_by_its_path(client: AsyncHeadrace) -> None:
    job = await client.create("batch-predict", {"texts": ["x"], "queue": "nobody"})

    assert (await client.job(job)).kind == "batch_predict"


async def test_errors_have_a_code_and_a_detail(
    client: AsyncHeadrace, connect: Connect, system: Running
) -> None:
    foreign = await connect(system.url, **system.sign_up().credentials).submit(["x"], queue="nobody")
    with pytest.raises(NotFound) as unknown:
        await client.job(UNKNOWN)
    with pytest.raises(Forbidden) as theirs:
        await client.job(foreign)
    with pytest.raises(Invalid) as invalid:
        await client.submit(["x"], batch_size=0)
    with pytest.raises(BadRequest) as too_many:
        await client.submit(["x"] * 1001)
    with pytest.raises(NotFound):
        [event async for event in client.follow(UNKNOWN)]
    with pytest.raises(NotFound):
        [row async for row in client.results(UNKNOWN)]

    error = unknown.value
    assert (error.status, error.code) == (404, "job_not_found")
    assert error.detail == str(error) == f"There is no job {UNKNOWN}."
    assert error.request_id
    assert error.facts["job_id"] == UNKNOWN
    assert theirs.value.code == "not_your_job"
    assert "batch_size" in str(invalid.value)
    assert too_many.value.detail == "Maximum 1000 texts allowed"


async def test_wrong_credentials_are_not_retried(connect: Connect, system: Running, ada: User) -> None:
    with pytest.raises(Unauthorized) as wrong:
        await connect(system.url, username=ada.name, password="not the password").job(UNKNOWN)
    with pytest.raises(Unauthorized):
        await connect(system.url, token="no-token-of-ours").job(UNKNOWN)

    assert wrong.value.code == "invalid_credentials"


async def test_a_token_is_enough(connect: Connect, system: Running, ada: User) -> None:
    async with httpx.AsyncClient(base_url=system.url, trust_env=False) as plain:
        pair = (await plain.post("/token", data=ada.credentials)).json()
    client = connect(f"{system.url}/api/v1/", token=pair["access_token"])

    job = await client.submit(["good"])
    assert (await client.wait(job, timeout=30)).status == "completed"


async def test_many_follow_at_once_with_one_client(client: AsyncHeadrace) -> None:
    jobs = [await client.submit(short_texts(20), batch_size=5) for _ in range(4)]

    async def seqs(job: object) -> list[int]:
        return [event.seq async for event in client.follow(job)]  # type: ignore[arg-type]  # it is one

    assert await asyncio.gather(*(seqs(job) for job in jobs)) == [list(range(1, 8))] * 4
