"""Every verb of the client as a flow: what it asks of the server, and what it makes of the answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from app.client import downloading, options
from app.client.data import AnyDataset, Dataset, Model, Predictions, Row
from app.client.errors import BadRequest, HeadraceError, WaitTimeout
from app.client.exchange import Exchange, json_request, parsed
from app.client.following import Following, OnInterruption, last_seq_of
from app.client.options import Format, Instance, JobFilters, SubmitOptions, TrainOptions, UploadOptions
from app.client.retry import RetryConfig
from app.client.session import Session
from app.client.steps import Answer, Emit, Flow, Pause, Request
from app.client.values import AnyJob, Event, Explanation, Job, Submitted, job_id

HOLD_SECONDS: Final = 20.0
"""How long the server is asked to hold its answer while a job has not ended; it would up to 60."""

EVENTS_AT_ONCE: Final = 500
NEVER: Final = float("inf")

PREDICT_SECONDS: Final = 40.0
"""The server answers after 30 at the latest."""

UPLOAD_SECONDS: Final = 600.0
"""How long the server may look at a file that has arrived."""

_MEDIA_TYPES: Final = {
    ".csv": "text/csv",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
}


class Core:
    """The verbs. Each gives a flow, for the hands of a client to carry out."""

    def __init__(
        self,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        retry_config: RetryConfig | None = None,
    ) -> None:
        self.retry_config = retry_config or RetryConfig()
        session = Session(username=username, password=password, token=token)
        self._exchange = Exchange(session, self.retry_config)

    def submit(
        self,
        texts: Sequence[str] | None,
        instances: Sequence[Instance] | None,
        dataset: AnyDataset | None,
        more: SubmitOptions,
    ) -> Flow[Submitted]:
        """Queue rows to be predicted."""
        said, key = options.said(more)
        return self.create(
            "batch-predict", {**options.rows(texts, instances), **options.of_dataset(dataset), **said}, key
        )

    def train(
        self,
        target: str,
        dataset: AnyDataset | None,
        rows: Sequence[Mapping[str, Any]] | None,
        more: TrainOptions,
    ) -> Flow[Submitted]:
        """Queue a training."""
        said, key = options.said(more)
        inline = {} if rows is None else {"rows": list(rows)}
        return self.create(
            "train-model", {**options.of_dataset(dataset), **inline, "target": target, **said}, key
        )

    def predict(
        self, texts: Sequence[str] | None, instances: Sequence[Instance] | None, model: str | None
    ) -> Flow[Predictions]:
        """Predictions at once. Where the server gives up waiting, its job is waited for."""
        body = {**options.rows(texts, instances), **({} if model is None else {"model": model})}
        request = replace(json_request("POST", "/predict", body, {}), read_seconds=PREDICT_SECONDS)
        retry_state = self._exchange.retry_state()
        while True:
            try:
                answer = yield from self._exchange.once(request)
            except HeadraceError as error:
                if error.code == "prediction_pending":
                    return (yield from self._late_predictions(error.facts["job_id"]))
                yield Pause(retry_state.pause_seconds(error))
            else:
                return parsed(Predictions.parse, answer)

    def upload(self, path: str | Path, name: str | None, more: UploadOptions) -> Flow[Dataset]:
        """Send a file, once."""
        path = Path(path)
        media_type = _MEDIA_TYPES.get(path.suffix.lower())
        if media_type is None:
            raise ValueError(f"{path.name} is no dataset: its name should end in {', '.join(_MEDIA_TYPES)}")
        request = Request(
            "POST",
            "/datasets",
            params={"name": name or path.name, **options.upload_params(more)},
            headers={"content-type": media_type},
            file=path,
            read_seconds=UPLOAD_SECONDS,
        )
        answer = yield from self._exchange.once(request)
        return parsed(Dataset.parse, answer)

    def datasets(self, page_size: int) -> Flow[None]:
        """Emit datasets, newest first."""
        return self._pages("/datasets", Dataset.parse, page_size)

    def models(self, page_size: int) -> Flow[None]:
        """Emit models, newest first."""
        return self._pages("/models", Model.parse, page_size)

    def create(self, path: str, body: Mapping[str, Any], idempotency_key: str | None) -> Flow[Submitted]:
        """Create a job of any kind. One key for all attempts, so that they make one job between them."""
        key = idempotency_key or str(uuid4())
        if not (key.isascii() and key.isprintable()):
            raise ValueError("an idempotency key has printable ASCII characters only")
        request = json_request("POST", f"/jobs/{quote(path, safe='')}", body, {"idempotency-key": key})
        answer = yield from self._exchange.ask(request)
        return parsed(lambda document: _submitted(document, answer), answer)

    def job(self, job: AnyJob) -> Flow[Job]:
        """Where a job stands."""
        return self._exchange.read(Job.parse, Request("GET", _path(job)))

    def jobs(self, filters: JobFilters, page_size: int) -> Flow[None]:
        """Emit jobs, newest first, a page at a time as they are needed."""
        return self._pages("/jobs", Job.parse, page_size, options.filter_params(filters))

    def wait(self, job: AnyJob, timeout: float | None) -> Flow[Job]:
        """The job once it has ended; raises WaitTimeout."""
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
                # Answered early: the server goes away, and its successor may not be there yet.
                yield Pause(min(self.retry_config.first_pause_seconds, deadline - now))

    def follow(self, job: AnyJob, after: int, on_interruption: OnInterruption | None) -> Flow[None]:
        """Emit every event of a job after a number, until its last one."""
        return Following(self._exchange, _path(job), after=after, on_interruption=on_interruption).run()

    def events(self, job: AnyJob, after: int) -> Flow[None]:
        """Emit what the log has now, after a number."""
        while True:
            found, last_seq = yield from self._exchange.read(
                lambda page: ([Event.parse(item) for item in page["items"]], last_seq_of(page)),
                Request(
                    "GET",
                    f"{_path(job)}/events",
                    params={"after": str(after), "limit": str(EVENTS_AT_ONCE)},
                ),
            )
            for event in found:
                yield Emit(event)
            if not found or found[-1].seq >= last_seq:
                return
            after = found[-1].seq

    def results(self, job: AnyJob) -> Flow[None]:
        """Emit the rows that there are now."""
        return downloading.rows(self._exchange, _path(job))

    def export(self, job: AnyJob, format: Format) -> Flow[None]:
        """Emit the rows that there are now, as bytes."""
        return downloading.pieces(self._exchange, _path(job), downloading.MEDIA_TYPES[format])

    def cancel(self, job: AnyJob) -> Flow[Job]:
        """Cancel a job. That an attempt whose answer was lost has done it already is no error."""
        retry_state = self._exchange.retry_state()
        try:
            answer = yield from self._exchange.ask(Request("POST", f"{_path(job)}/cancel"), retry_state)
        except BadRequest as error:
            if not retry_state.failures or error.code != "job_already_finished":
                raise
            latest = yield from self.job(job)
            if latest.status != "cancelled":
                raise
            return latest
        return parsed(lambda document: Job.parse(document["job"]), answer)

    def retry(self, job: AnyJob, from_start: bool) -> Flow[Job]:
        """Have a job tried again, once: after a lost answer the log says whether it was heard."""
        before = yield from self._last_seq(job)
        request = json_request("POST", f"{_path(job)}/retry", {"from_start": from_start}, {})
        retry_state = self._exchange.retry_state()
        while True:
            try:
                answer = yield from self._exchange.once(request)
            except HeadraceError as error:
                yield Pause(retry_state.pause_seconds(error))
                if (yield from self._was_retried(job, before)):
                    return (yield from self.job(job))
            else:
                return parsed(Job.parse, answer)

    def explain(self, job: AnyJob) -> Flow[Explanation]:
        """Why a job is where it is."""
        return self._exchange.read(Explanation.parse, Request("GET", f"{_path(job)}/explain"))

    def _pages(
        self,
        path: str,
        parse: Callable[[Mapping[str, Any]], Any],
        page_size: int,
        filters: Mapping[str, str] | None = None,
    ) -> Flow[None]:
        """Emit the items of a listing, a page at a time as they are needed."""
        params = {"limit": str(page_size), **(filters or {})}
        while True:
            items, cursor = yield from self._exchange.read(
                lambda page: ([parse(item) for item in page["items"]], page.get("next_cursor")),
                Request("GET", path, params=params),
            )
            for item in items:
                yield Emit(item)
            if cursor is None:
                return
            params = {**params, "cursor": str(cursor)}

    def _late_predictions(self, job: str) -> Flow[Predictions]:
        """What a job that took longer gives in the end, as `predict` would have."""
        latest = yield from self.wait(job, None)
        if latest.status != "completed":
            reason = latest.status if latest.error is None else latest.error.message
            raise HeadraceError(
                f"Nothing was predicted: {reason}",
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
        # The first thing that can happen to a job that has ended.
        return self._exchange.read(
            lambda page: any(item["type"] == "retried" for item in page["items"]),
            Request("GET", f"{_path(job)}/events", params={"after": str(before), "limit": "1"}),
        )


def _path(job: AnyJob) -> str:
    return f"/jobs/{quote(job_id(job), safe='')}"


def _submitted(document: Mapping[str, Any], answer: Answer) -> Submitted:
    is_replay = answer.headers.get("idempotent-replayed") == "true"
    return Submitted(document["job_id"], document["status"], is_replay, document)
