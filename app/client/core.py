"""The methods of the client for jobs as flows: the requests they send, and how they read the responses."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from app.client import downloading, insight, logs, options, profiles, shards
from app.client.api_keys import ApiKeys
from app.client.creation import create_job
from app.client.data import Predictions, Row
from app.client.dataset_values import AnyDataset
from app.client.datasets import Datasets
from app.client.dead_letters import DeadLetters
from app.client.drafts import Drafts
from app.client.errors import BadRequest, HeadraceError
from app.client.exchange import Exchange, json_request, parse_json
from app.client.following import Following, OnInterruption, last_seq_of
from app.client.insight import Attention, FoundObjects, Ledger, ResultSummary
from app.client.logs import LogQuery
from app.client.model_values import AnyModel, model_reference
from app.client.models import Models
from app.client.options import Format, Instance, JobFilters, SubmitOptions
from app.client.profiles import Profile
from app.client.queues import Queues
from app.client.quotas import Quotas
from app.client.retry import RetryConfig
from app.client.schedules import Schedules
from app.client.session import Session
from app.client.shards import Status
from app.client.steps import Emit, Flow, Pause, Request
from app.client.subscriptions import Subscriptions
from app.client.trainings import Trainings
from app.client.values import AnyJob, Event, Explanation, Job, Submitted
from app.client.waiting import job_path, wait

EVENT_PAGE_SIZE: Final = 500

PREDICT_SECONDS: Final = 40.0
"""Read timeout of `predict`; the server responds within 30 seconds."""


class Core:
    """The methods of the clients, as flows that a client executes."""

    def __init__(
        self,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        api_key: str | None = None,
        retry_config: RetryConfig | None = None,
    ) -> None:
        self.retry_config = retry_config or RetryConfig()
        session = Session(username=username, password=password, token=token, api_key=api_key)
        self._exchange = Exchange(session, self.retry_config)
        self.datasets = Datasets(self._exchange)
        self.dead_letters = DeadLetters(self._exchange)
        self.drafts = Drafts(self._exchange)
        self.keys = ApiKeys(self._exchange)
        self.models = Models(self._exchange)
        self.queues = Queues(self._exchange)
        self.schedules = Schedules(self._exchange)
        self.subscriptions = Subscriptions(self._exchange)
        self.trainings = Trainings(self._exchange)

    def submit(
        self,
        texts: Sequence[str] | None,
        instances: Sequence[Instance] | None,
        dataset: AnyDataset | None,
        more: SubmitOptions,
    ) -> Flow[Submitted]:
        """Submit rows for prediction."""
        members, key = options.split_options(more)
        return self.create(
            "batch-predict",
            {**options.row_members(texts, instances), **options.dataset_member(dataset), **members},
            key,
        )

    def predict(
        self, texts: Sequence[str] | None, instances: Sequence[Instance] | None, model: AnyModel | None
    ) -> Flow[Predictions]:
        """Predict and wait. If the server stops waiting, wait for its job instead."""
        body = options.row_members(texts, instances)
        if model is not None:
            body["model"] = model_reference(model)
        request = replace(json_request("POST", "/predict", body, {}), read_seconds=PREDICT_SECONDS)
        retry_state = self._exchange.retry_state()
        while True:
            try:
                response = yield from self._exchange.once(request)
            except HeadraceError as error:
                if error.code == "prediction_pending":
                    return (yield from self._late_predictions(error.facts["job_id"]))
                yield Pause(retry_state.pause_seconds(error))
            else:
                return parse_json(Predictions.parse, response)

    def quotas(self) -> Flow[Quotas]:
        """Fetch the quotas of the user."""
        return self._exchange.read(Quotas.parse, Request("GET", "/users/me/quotas"))

    def create(self, kind: str, body: Mapping[str, Any], idempotency_key: str | None) -> Flow[Submitted]:
        """Create a job of any kind, by its path."""
        return create_job(self._exchange, kind, body, idempotency_key)

    def job(self, job: AnyJob) -> Flow[Job]:
        """Fetch a job."""
        return self._exchange.read(Job.parse, Request("GET", job_path(job)))

    def jobs(self, filters: JobFilters, page_size: int) -> Flow[None]:
        """Emit jobs, newest first; fetch pages as needed."""
        return self._exchange.pages("/jobs", Job.parse, page_size, options.filter_params(filters))

    def wait(self, job: AnyJob, timeout: float | None) -> Flow[Job]:
        """Return the job once it has ended. Raises WaitTimeout."""
        return wait(self._exchange, job, timeout)

    def follow(self, job: AnyJob, after: int, on_interruption: OnInterruption | None) -> Flow[None]:
        """Emit the events of a job after a number, until the last one."""
        return Following(self._exchange, job_path(job), after=after, on_interruption=on_interruption).run()

    def events(self, job: AnyJob, after: int) -> Flow[None]:
        """Emit the events so far, after a number."""
        while True:
            found, last_seq = yield from self._exchange.read(
                lambda page: ([Event.parse(item) for item in page["items"]], last_seq_of(page)),
                Request(
                    "GET",
                    f"{job_path(job)}/events",
                    params={"after": str(after), "limit": str(EVENT_PAGE_SIZE)},
                ),
            )
            for event in found:
                yield Emit(event)
            if not found or found[-1].seq >= last_seq:
                return
            after = found[-1].seq

    def results(self, job: AnyJob, include_input: bool) -> Flow[None]:
        """Emit the result rows so far."""
        return downloading.rows(self._exchange, job_path(job), include_input=include_input)

    def search_results(
        self,
        job: AnyJob,
        label: str | None,
        below: float | None,
        errors: bool | None,
        include_input: bool,
    ) -> Flow[None]:
        """Emit the result rows so far that match. Raises TypeError without a filter."""
        filters = options.row_filter_params(label, below, errors)
        if not filters:
            raise TypeError("give label, below or errors; results() returns all rows")
        return insight.search_results(self._exchange, job_path(job), filters, include_input=include_input)

    def result_summary(self, job: AnyJob) -> Flow[ResultSummary]:
        """Fetch how many rows have which label."""
        return insight.result_summary(self._exchange, job_path(job))

    def export(
        self,
        job: AnyJob,
        format: Format,
        label: str | None,
        below: float | None,
        errors: bool | None,
        include_input: bool,
    ) -> Flow[None]:
        """Emit the result rows so far that match as bytes of a file."""
        media_type = downloading.MEDIA_TYPES[format]
        filters = options.row_filter_params(label, below, errors)
        return downloading.pieces(
            self._exchange, job_path(job), media_type, filters, include_input=include_input
        )

    def cancel(self, job: AnyJob) -> Flow[Job]:
        """Cancel a job. It is not an error if an attempt whose response was lost has already cancelled it."""
        retry_state = self._exchange.retry_state()
        try:
            response = yield from self._exchange.ask(Request("POST", f"{job_path(job)}/cancel"), retry_state)
        except BadRequest as error:
            if not retry_state.failures or error.code != "job_already_finished":
                raise
            latest = yield from self.job(job)
            if latest.status != "cancelled":
                raise
            return latest
        return parse_json(lambda document: Job.parse(document["job"]), response)

    def retry(self, job: AnyJob, from_start: bool) -> Flow[Job]:
        """Retry a job once: after a lost response, the event log shows whether the request was applied."""
        before = yield from self._last_seq(job)
        request = json_request("POST", f"{job_path(job)}/retry", {"from_start": from_start}, {})
        retry_state = self._exchange.retry_state()
        while True:
            try:
                response = yield from self._exchange.once(request)
            except HeadraceError as error:
                yield Pause(retry_state.pause_seconds(error))
                if (yield from self._was_retried(job, before)):
                    return (yield from self.job(job))
            else:
                return parse_json(Job.parse, response)

    def explain(self, job: AnyJob) -> Flow[Explanation]:
        """Fetch the explanation of a job."""
        return self._exchange.read(Explanation.parse, Request("GET", f"{job_path(job)}/explain"))

    def ledger(self, job: AnyJob) -> Flow[Ledger]:
        """Fetch which attempt stored which batches."""
        return insight.ledger(self._exchange, job_path(job))

    def shards(self, job: AnyJob, status: Status | None) -> Flow[None]:
        """Emit the shards of a job."""
        return shards.shards(self._exchange, job_path(job), status)

    def logs(self, job: AnyJob, query: LogQuery, follow: bool) -> Flow[None]:
        """Emit lines of the log."""
        return logs.lines(self._exchange, job_path(job), query, follow=follow)

    def inputs(self, job: AnyJob, first_row: int, limit: int) -> Flow[Sequence[Any]]:
        """Fetch input rows."""
        return insight.inputs(self._exchange, job_path(job), first_row, limit)

    def attention(self) -> Flow[Sequence[Attention]]:
        """Fetch what needs attention."""
        return insight.attention(self._exchange)

    def find(self, text: str, owner: str | None) -> Flow[FoundObjects]:
        """Fetch what begins with a text."""
        return insight.find(self._exchange, text, owner)

    def profile(self, job: AnyJob, attempt: int | None, shard: int | None) -> Flow[Profile]:
        """Fetch the profile of an attempt."""
        return profiles.profile(self._exchange, job_path(job), attempt, shard)

    def stacks(self, job: AnyJob, attempt: int | None, shard: int | None) -> Flow[str]:
        """Fetch the stacks of a profile."""
        return profiles.stacks(self._exchange, job_path(job), attempt, shard)

    def _late_predictions(self, job: str) -> Flow[Predictions]:
        """Wait for a prediction that took longer, and return it as `predict` does."""
        latest = yield from self.wait(job, None)
        if latest.status != "completed":
            reason = latest.status if latest.error is None else latest.error.message
            raise HeadraceError(
                f"The prediction failed: {reason}",
                code="prediction_failed",
                facts={"job_id": job, "error": latest.raw.get("error")},
            )
        page = yield from self._exchange.read(
            lambda page: [Row.parse(item) for item in page["items"]],
            Request("GET", f"{job_path(job)}/results", params={"limit": "100"}),
        )
        return Predictions(
            predictions=[row.prediction for row in page],
            row_errors=[row.error for row in page if row.error is not None],
            model=latest.model,
            job_id=job,
            raw=latest.raw,
        )

    def _last_seq(self, job: AnyJob) -> Flow[int]:
        return self._exchange.read(
            last_seq_of, Request("GET", f"{job_path(job)}/events", params={"limit": "1"})
        )

    def _was_retried(self, job: AnyJob, before: int) -> Flow[bool]:
        # The only event that can follow the end of a job.
        return self._exchange.read(
            lambda page: any(item["type"] == "retried" for item in page["items"]),
            Request("GET", f"{job_path(job)}/events", params={"after": str(before), "limit": "1"}),
        )
