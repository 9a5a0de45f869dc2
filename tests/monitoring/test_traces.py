"""Traces, as an OpenTelemetry collector receives them from the API and from real workers."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from pydantic import SecretStr
from redis import Redis

from app.core.config import Settings
from app.core.resources import open_resources
from app.main import create_app
from tests.monitoring.pages import OPENMETRICS, scraper_of
from tests.support import jobs, processes, rows
from tests.support.accounts import sign_in
from tests.support.app_state import state_of
from tests.support.collector import Collector, ReceivedSpan, collecting
from tests.support.processes import Process
from tests.support.waiting import until

CANARY = "canary-4c1e"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
"""Of a client. Its low half is small: a sampler that compares it with the share would always take it."""
CHOSEN_ID = "0af7651916cd43dd0000000000000001"
SAMPLED, NOT_SAMPLED = "01", "00"


def traceparent(flags: str, trace_id: str = TRACE_ID) -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-b7ad6b7169203331-{flags}"}


@dataclass(frozen=True)
class Traced:
    """A started API that exports traces, with a client that is signed in."""

    settings: Settings
    client: httpx.AsyncClient
    log: Path

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Process]:
        """Run a worker that exports traces during the body, and wait until it has stopped."""
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": str(self.settings.otel_exporter_otlp_endpoint),
            "WORKER_PORT": "0",
            "TRACE_SHARE": "0",  # an attempt follows the decision of its submission
        }
        async with processes.worker(self.settings, self.log, **environment) as worker:
            yield worker
            worker.send(signal.SIGTERM)
            assert await worker.wait() == 0, worker.log

    async def submit(self, **more: Any) -> str:
        answer = await self.client.post("/jobs/batch-predict", json={"texts": ["good"], **more})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    async def wait_for_end(self, job_id: str) -> dict[str, Any]:
        async def ended() -> dict[str, Any]:
            job: dict[str, Any] = (await self.client.get(f"/jobs/{job_id}", params={"wait": 5})).json()
            return job if job["status"] in ("completed", "failed", "cancelled") else {}

        return await until(ended)


@asynccontextmanager
async def traced(settings: Settings, collector: Collector, *, share: float = 1.0) -> AsyncIterator[Traced]:
    """Run an API that exports this share of its traces; all of them have arrived after the body."""
    settings = settings.model_copy(
        update={
            "otel_exporter_otlp_endpoint": collector.url,
            "otel_exporter_otlp_headers": SecretStr("api-key=a%20key"),
            "trace_share": share,
        }
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
            client.headers.update((await sign_in(app, uuid4().hex)).headers)
            log = Path(settings.storage_url.removeprefix("file://")).parent / "traced-worker.log"
            yield Traced(settings, client, log)
        assert not state_of(app).is_closing


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as opened:
        yield opened


def links_of(spans: list[ReceivedSpan]) -> list[tuple[tuple[str, str], ...]]:
    return [span.links for span in spans]


async def test_a_small_job_has_three_spans_and_its_attempt_links_to_its_submission(
    settings: Settings, collector: Collector
) -> None:
    async with traced(settings, collector) as api, api.worker():
        job_id = await api.submit()
        assert (await api.wait_for_end(job_id))["status"] == "completed"

    of_the_job = [span for span in collector.spans if not span.name.startswith("GET")]
    assert len(of_the_job) == 3
    server = collector.only("POST /jobs/batch-predict")
    send = collector.only("send default")
    process = collector.only("process default")
    assert (server.kind, send.kind, process.kind) == ("server", "producer", "consumer")
    assert (server.service, send.service, process.service) == (
        "headrace-api",
        "headrace-api",
        "headrace-worker",
    )
    assert (server.parent_id, send.parent_id, process.parent_id) == (None, server.span_id, None)
    assert process.trace_id != send.trace_id == server.trace_id
    assert process.links == (send.ids,)
    assert server.attributes["http.route"] == "/jobs/batch-predict"
    assert server.attributes["http.response.status_code"] == 202
    assert send.attributes == {
        "messaging.system": "headrace",
        "messaging.operation.type": "send",
        "messaging.destination.name": "default",
        "messaging.message.id": job_id,
    }
    waited = process.attributes.pop("headrace.job.wait_seconds")
    assert waited >= 0
    assert process.attributes == {
        **send.attributes,
        "messaging.operation.type": "process",
        "headrace.job.kind": "batch_predict",
        "headrace.job.attempt": 1,
    }
    assert not any(span.is_error for span in of_the_job)
    assert {headers["api-key"] for headers in collector.headers if "api-key" in headers} == {"a key"}


async def test_jobs_that_share_a_statement_keep_their_own_submissions(
    settings: Settings, collector: Collector
) -> None:
    async with traced(settings, collector) as api, open_resources(settings) as resources:
        job_ids = [await api.submit(), *await asyncio.gather(*(api.submit() for _ in range(10)))]
        stored = await rows.fetch(resources.database, "SELECT id, trace_context FROM jobs")

    sent = {
        span.attributes["messaging.message.id"]: span for span in collector.spans if span.kind == "producer"
    }
    assert {str(row["id"]): row["trace_context"] for row in stored} == {
        job_id: "00-{}-{}-01".format(*sent[job_id].ids) for job_id in job_ids
    }


async def test_the_link_survives_a_rescue_a_flushall_and_a_retry(
    settings: Settings, collector: Collector
) -> None:
    async with traced(settings, collector) as api:
        job_id = await api.submit()
        await _lose_to_a_dead_worker(api)
        with Redis.from_url(settings.redis_url) as redis:
            redis.flushall()
        async with api.worker():
            assert (await api.wait_for_end(job_id))["attempt"] == 2
            cancelled = await api.submit(delay_seconds=3600)
            await api.client.post(f"/jobs/{cancelled}/cancel")
            assert (await api.client.post(f"/jobs/{cancelled}/retry")).status_code == 202
            assert (await api.wait_for_end(cancelled))["status"] == "completed"

    first_send, second_send = collector.named("send default")
    rescued, retried = collector.named("process default")
    assert (rescued.attributes["headrace.job.attempt"], rescued.links) == (2, (first_send.ids,))
    assert (retried.attributes["messaging.message.id"], retried.links) == (cancelled, (second_send.ids,))


async def _lose_to_a_dead_worker(api: Traced) -> None:
    """Claim the next job for a worker whose lease has expired."""
    async with open_resources(api.settings) as resources:
        worker_id = await jobs.worker(resources.database)
        await jobs.claim(resources.database, worker_id)
        await jobs.expire_lease(resources.database, worker_id)


async def test_a_bulk_is_one_send_that_all_its_attempts_link_to(
    settings: Settings, collector: Collector
) -> None:
    body = {"jobs": [{"kind": "batch_predict", "texts": ["good"]} for _ in range(3)]}
    async with traced(settings, collector) as api, api.worker():
        created = (await api.client.post("/jobs/bulk", json=body)).json()
        for job_id in created["job_ids"]:
            await api.wait_for_end(job_id)

    send = collector.only("send default")
    assert send.attributes["messaging.batch.message_count"] == 3
    assert "messaging.message.id" not in send.attributes
    assert links_of(collector.named("process")) == [(send.ids,)] * 3


async def test_jobs_for_several_queues_are_one_send_without_a_queue(
    settings: Settings, collector: Collector
) -> None:
    body = {"jobs": [{"kind": "batch_predict", "texts": ["good"], "queue": name} for name in ("a", "b")]}
    async with traced(settings, collector) as api:
        assert (await api.client.post("/jobs/bulk", json=body)).status_code == 202

    assert collector.only("send").name == "send"
    assert "messaging.destination.name" not in collector.only("send").attributes


async def test_the_replay_of_a_submission_sends_nothing(settings: Settings, collector: Collector) -> None:
    body, key = {"texts": ["good"]}, {"Idempotency-Key": "once"}
    async with traced(settings, collector) as api:
        answers = [await api.client.post("/jobs/batch-predict", json=body, headers=key) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 200]
    assert len(collector.named("POST /jobs/batch-predict")) == 2
    assert len(collector.named("send")) == 1


async def test_a_share_of_0_traces_nothing_and_a_job_knows_no_trace(
    settings: Settings, collector: Collector
) -> None:
    async with traced(settings, collector, share=0.0) as api, api.worker():
        answer = await api.client.post("/jobs/batch-predict", json={"texts": ["good"]})
        job_id = answer.json()["job_id"]
        assert (await api.wait_for_end(job_id))["status"] == "completed"

    assert "X-Trace-Id" not in answer.headers
    assert collector.spans == []


async def test_a_signed_in_client_decides_whether_its_own_trace_is_sampled(
    settings: Settings, collector: Collector
) -> None:
    async with traced(settings, collector, share=0.0) as api:
        wanted = await api.client.get("/jobs", headers=traceparent(SAMPLED))
    async with traced(settings, collector, share=1.0) as api:
        unwanted = await api.client.get("/jobs", headers=traceparent(NOT_SAMPLED))

    span = collector.only("GET /jobs")
    assert (span.trace_id, span.parent_id) == (TRACE_ID, "b7ad6b7169203331")
    assert wanted.headers["X-Trace-Id"] == TRACE_ID
    assert "X-Trace-Id" not in unwanted.headers


@pytest.mark.parametrize("token", [None, "Bearer not.a.token", f"Bearer {CANARY}"])
async def test_the_sampled_flag_of_a_client_that_is_not_signed_in_does_not_count(
    settings: Settings, collector: Collector, token: str | None
) -> None:
    more = {} if token is None else {"Authorization": token}
    async with traced(settings, collector, share=0.0) as api:
        del api.client.headers["Authorization"]
        for trace_id in (TRACE_ID, CHOSEN_ID):
            await api.client.get("/jobs", headers=traceparent(SAMPLED, trace_id) | more)
    assert collector.spans == []

    async with traced(settings, collector, share=1.0) as api:
        del api.client.headers["Authorization"]
        await api.client.get("/jobs", headers=traceparent(NOT_SAMPLED) | more)
    assert collector.only("GET /jobs").trace_id == TRACE_ID, "its trace does count"


async def test_streams_probes_and_scrapes_have_no_spans(settings: Settings, collector: Collector) -> None:
    paths = ("/health", "/health/live", "/health/ready", "/metrics", "/shutdown-status")
    async with traced(settings, collector) as api:
        job_id = await api.submit()
        await api.client.post(f"/jobs/{job_id}/cancel")
        for path in paths:
            await api.client.get(path)
            await api.client.get(f"/api/v1{path}")
        stream = await api.client.get(f"/jobs/{job_id}/stream")
        await api.client.get("/jobs/stream?ticket=none", headers={"Authorization": ""})

    assert stream.status_code == 200
    assert {span.name for span in collector.spans} == {
        "POST /jobs/batch-predict",
        "send default",
        "POST /jobs/{job_id}/cancel",
    }


async def test_no_text_of_a_client_reaches_the_collector(settings: Settings, collector: Collector) -> None:
    headers = {
        "Host": f"{CANARY}.example",
        "User-Agent": CANARY,
        "tracestate": f"vendor={CANARY}",
        "baggage": f"vendor={CANARY}",
        **traceparent(SAMPLED),
    }
    async with traced(settings, collector) as api, api.worker():
        for path in (f"/models/{CANARY}", f"/{CANARY}", f"/jobs?cursor={CANARY}", f"/no?ticket={CANARY}"):
            await api.client.get(path, headers=headers)
        await api.client.request(CANARY.upper(), "/jobs", headers=headers)
        job_id = await api.submit(metadata={"of": CANARY}, texts=[CANARY])
        await api.wait_for_end(job_id)
        refused = await api.client.post("/jobs/batch-predict", json={"texts": CANARY}, headers=headers)

    assert refused.status_code == 422
    assert collector.named("process")
    assert len(collector.spans) >= 7
    assert all(CANARY.encode() not in body for body in collector.bodies)
    assert all(CANARY.upper().encode() not in body for body in collector.bodies)


async def test_an_attempt_that_fails_says_its_code_and_nothing_else(
    settings: Settings, collector: Collector
) -> None:
    body = {"rows": [{"x": 1, CANARY: CANARY}] * 4, "target": CANARY, "max_attempts": 1}
    async with traced(settings, collector) as api, api.worker():
        answer = await api.client.post("/jobs/train-model", json=body)
        job = await api.wait_for_end(answer.json()["job_id"])

    assert job["status"] == "failed"
    process = collector.only("process default")
    assert process.is_error
    assert process.attributes["error.type"] == job["error"]["code"]
    assert CANARY in job["error"]["message"]
    assert all(CANARY.encode() not in body for body in collector.bodies)


async def test_the_log_names_the_trace(settings: Settings, collector: Collector) -> None:
    async with traced(settings, collector) as api:
        async with api.worker():
            await api.wait_for_end(await api.submit())
        log = api.log.read_text()

    process = collector.only("process default")
    [ended] = [line for line in log.splitlines() if "attempt_ended" in line]
    assert process.trace_id in ended
    assert process.span_id in ended
    started = [line for line in log.splitlines() if "worker_started" in line]
    assert not any("trace_id" in line for line in started)


async def test_exemplars_name_traces_that_arrived(settings: Settings, collector: Collector) -> None:
    async with traced(settings, collector) as api:
        async with api.worker() as worker, scraper_of(worker) as scraper:
            job_id = await api.submit()
            await api.wait_for_end(job_id)

            async def of_attempt() -> set[str]:  # observed after the job has ended
                return _exemplars(await scraper.openmetrics(), "headrace_attempt_seconds")

            of_attempts = await until(of_attempt)
            of_waits = _exemplars(await scraper.openmetrics(), "headrace_wait_seconds")
            text = await scraper.text()
        page = await api.client.get("/metrics", headers={"Accept": OPENMETRICS})

    assert of_attempts == {collector.only("process default").trace_id}
    assert of_waits == {collector.only("send default").trace_id}
    of_requests = _exemplars(page.text, "headrace_http_request_seconds")
    assert collector.only("POST /jobs/batch-predict").trace_id in of_requests
    assert "trace_id" not in text, "only OpenMetrics has exemplars"


def _exemplars(page: str, histogram: str) -> set[str]:
    families = openmetrics_parser.text_string_to_metric_families(page)  # type: ignore[no-untyped-call]
    return {
        sample.exemplar.labels["trace_id"]
        for family in families
        if family.name == histogram
        for sample in family.samples
        if sample.exemplar is not None
    }


@pytest.mark.long
async def test_a_training_and_a_prediction_show_what_their_time_went_into(
    settings: Settings, collector: Collector
) -> None:
    values = [7 * number % 40 for number in range(40)]
    rows = [{"x": value, "y": "high" if value > 20 else "low"} for value in values]
    async with traced(settings, collector) as api, api.worker():
        body = {"rows": rows, "target": "y", "model": "m", "algorithm": "logistic_regression", "epochs": 2}
        trained = await api.client.post("/jobs/train-model", json=body)
        job = await api.wait_for_end(trained.json()["job_id"])
        assert job["status"] == "completed", job["error"]
        body = {"model": "m", "instances": rows, "batch_size": 10}
        predicted = await api.client.post("/jobs/batch-predict", json=body)
        job = await api.wait_for_end(predicted.json()["job_id"])
        assert job["status"] == "completed", job["error"]

    train, load, predict = (collector.only(name) for name in ("train", "load model", "predict"))
    training, prediction = collector.named("process")
    assert {train.kind, load.kind, predict.kind} == {"internal"}
    assert (train.parent_id, load.parent_id, predict.parent_id) == (
        training.span_id,
        prediction.span_id,
        prediction.span_id,
    )
    assert train.attributes == {"headrace.rows": 40}
    of_model = {"headrace.model.version": 1, "headrace.model.runtime": "sklearn"}
    assert load.attributes == of_model
    assert predict.attributes == {"headrace.rows": 40, **of_model}
    for part, whole in ((train, training), (load, prediction), (predict, prediction)):
        assert whole.start_ns <= part.start_ns <= part.end_ns <= whole.end_ns
