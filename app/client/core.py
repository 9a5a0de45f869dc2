"""Every method of the client as a flow: the requests it sends, and how it reads the responses."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from app.client import downloading, options
from app.client.api_keys import ApiKeys
from app.client.data import AnyDataset, Dataset, Model, Predictions, Row
from app.client.errors import BadRequest, HeadraceError, WaitTimeout
from app.client.exchange import Exchange, json_request, parse_json
from app.client.following import Following, OnInterruption, last_seq_of
from app.client.options import Format, Instance, JobFilters, SubmitOptions, TrainOptions, UploadOptions
from app.client.quotas import Quotas
from app.client.retry import RetryConfig
from app.client.session import Session
from app.client.steps import Emit, Flow, Pause, Request, Response
from app.client.values import AnyJob, Event, Explanation, Job, Submitted, job_id

HOLD_SECONDS: Final = 20.0
"""How long `wait` asks the server to hold a response while the job runs; the server's limit is 60."""

EVENT_PAGE_SIZE: Final = 500
NEVER: Final = float("inf")

PREDICT_SECONDS: Final = 40.0
"""Read timeout of `predict`; the server responds within 30 seconds."""

UPLOAD_SECONDS: Final = 600.0
"""Read timeout of an upload: the server converts the file before it responds."""

_MEDIA_TYPES: Final = {
    ".csv": "text/csv",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
}


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
        self.keys = ApiKeys(self._exchange)

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

    def train(
        self,
        target: str,
        dataset: AnyDataset | None,
        rows: Sequence[Mapping[str, Any]] | None,
        more: TrainOptions,
    ) -> Flow[Submitted]:
        """Submit a training."""
        members, key = options.split_options(more)
        inline = {} if rows is None else {"rows": list(rows)}
        return self.create(
            "train-model", {**options.dataset_member(dataset), **inline, "target": target, **members}, key
        )

    def predict(
        self, texts: Sequence[str] | None, instances: Sequence[Instance] | None, model: str | None
    ) -> Flow[Predictions]:
        """Predict and wait. If the server stops waiting, wait for its job instead."""
        body = {**options.row_members(texts, instances), **({} if model is None else {"model": model})}
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

    def upload(self, path: str | Path, name: str | None, more: UploadOptions) -> Flow[Dataset]:
        """Upload a file, without retries."""
        path = Path(path)
        media_type = _MEDIA_TYPES.get(path.suffix.lower())
        if media_type is None:
            suffixes = ", ".join(_MEDIA_TYPES)
            raise ValueError(f"{path.name} is not a dataset file: its name must end in {suffixes}")
        request = Request(
            "POST",
            "/datasets",
            params={"name": name or path.name, **options.upload_params(more)},
            headers={"content-type": media_type},
            file=path,
            read_seconds=UPLOAD_SECONDS,
        )
        response = yield from self._exchange.once(request)
        return parse_json(Dataset.parse, response)

    def datasets(self, page_size: int) -> Flow[None]:
        """Emit datasets, newest first."""
        return self._exchange.pages("/datasets", Dataset.parse, page_size)

    def models(self, page_size: int) -> Flow[None]:
        """Emit models, newest first."""
        return self._exchange.pages("/models", Model.parse, page_size)

    def quotas(self) -> Flow[Quotas]:
        """Fetch the quotas of the user."""
        return self._exchange.read(Quotas.parse, Request("GET", "/users/me/quotas"))

    def create(self, path: str, body: Mapping[str, Any], idempotency_key: str | None) -> Flow[Submitted]:
        """Create a job of any kind. All attempts send one idempotency key, so that they create one job."""
        key = idempotency_key or str(uuid4())
        if not (key.isascii() and key.isprintable()):
            raise ValueError("an idempotency key may only have printable ASCII characters")
        request = json_request("POST", f"/jobs/{quote(path, safe='')}", body, {"idempotency-key": key})
        response = yield from self._exchange.ask(request)
        return parse_json(lambda document: _submitted(document, response), response)

    def job(self, job: AnyJob) -> Flow[Job]:
        """Fetch a job."""
        return self._exchange.read(Job.parse, Request("GET", _path(job)))

    def jobs(self, filters: JobFilters, page_size: int) -> Flow[None]:
        """Emit jobs, newest first; fetch pages as needed."""
        return self._exchange.pages("/jobs", Job.parse, page_size, options.filter_params(filters))

    def wait(self, job: AnyJob, timeout: float | None) -> Flow[Job]:
        """Return the job once it has ended. Raises WaitTimeout."""
        deadline = NEVER if timeout is None else monotonic() + timeout
        while True:
            asked_at = monotonic()
            left = max(0.0, deadline - asked_at)
            hold = min(HOLD_SECONDS, left)
            latest = yield from self._exchange.read(
                Job.parse,
                Request(
                    "GET",
                    _path(job),
                    params={"wait": f"{hold:.3f}"},
                    read_seconds=hold + self.retry_config.request_seconds,
                ),
                self._exchange.retry_state(min(left, self.retry_config.away_seconds)),
            )
            if latest.is_final:
                return latest
            now = monotonic()
            if now >= deadline:
                raise WaitTimeout(latest)
            if now - asked_at < hold / 2:
                # An early response: the server is stopping, and its successor may not be up yet.
                yield Pause(min(self.retry_config.first_pause_seconds, deadline - now))

    def follow(self, job: AnyJob, after: int, on_interruption: OnInterruption | None) -> Flow[None]:
        """Emit the events of a job after a number, until the last one."""
        return Following(self._exchange, _path(job), after=after, on_interruption=on_interruption).run()

    def events(self, job: AnyJob, after: int) -> Flow[None]:
        """Emit the events so far, after a number."""
        while True:
            found, last_seq = yield from self._exchange.read(
                lambda page: ([Event.parse(item) for item in page["items"]], last_seq_of(page)),
                Request(
                    "GET",
                    f"{_path(job)}/events",
                    params={"after": str(after), "limit": str(EVENT_PAGE_SIZE)},
                ),
            )
            for event in found:
                yield Emit(event)
            if not found or found[-1].seq >= last_seq:
                return
            after = found[-1].seq

    def results(self, job: AnyJob) -> Flow[None]:
        """Emit the result rows so far."""
        return downloading.rows(self._exchange, _path(job))

    def export(self, job: AnyJob, format: Format) -> Flow[None]:
        """Emit the result rows so far as bytes of a file."""
        return downloading.pieces(self._exchange, _path(job), downloading.MEDIA_TYPES[format])

    def cancel(self, job: AnyJob) -> Flow[Job]:
        """Cancel a job. It is not an error if an attempt whose response was lost has already cancelled it."""
        retry_state = self._exchange.retry_state()
        try:
            response = yield from self._exchange.ask(Request("POST", f"{_path(job)}/cancel"), retry_state)
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
        request = json_request("POST", f"{_path(job)}/retry", {"from_start": from_start}, {})
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
        return self._exchange.read(Explanation.parse, Request("GET", f"{_path(job)}/explain"))

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
            Request("GET", f"{_path(job)}/results", params={"limit": "100"}),
        )
        return Predictions(
            predictions=[row.prediction for row in page],
            row_errors=[row.error for row in page if row.error is not None],
            model=latest.model,
            job_id=job,
            raw=latest.raw,
        )

    def _last_seq(self, job: AnyJob) -> Flow[int]:
        return self._exchange.read(last_seq_of, Request("GET", f"{_path(job)}/events", params={"limit": "1"}))

    def _was_retried(self, job: AnyJob, before: int) -> Flow[bool]:
        # The only event that can follow the end of a job.
        return self._exchange.read(
            lambda page: any(item["type"] == "retried" for item in page["items"]),
            Request("GET", f"{_path(job)}/events", params={"after": str(before), "limit": "1"}),
        )


def _path(job: AnyJob) -> str:
    return f"/jobs/{quote(job_id(job), safe='')}"


def _submitted(document: Mapping[str, Any], response: Response) -> Submitted:
    is_replay = response.headers.get("idempotent-replayed") == "true"
    return Submitted(document["job_id"], document["status"], is_replay, document)
