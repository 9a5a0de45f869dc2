"""The client for programs without asyncio, and the hands that carry out flows there."""

import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, assert_never

import httpx

from app.client import steps, transport
from app.client.data import AnyDataset, Dataset, Model, Predictions, Row
from app.client.errors import HeadraceError
from app.client.following import OnInterruption
from app.client.options import Format, Instance, JobFilters, SubmitOptions, TrainOptions, UploadOptions
from app.client.retry import RetryConfig
from app.client.steps import Alone, Emit, Flow, Open, Outcome, Pause, Read, Request, Send
from app.client.transport import Account, Client
from app.client.values import AnyJob, Event, Explanation, Job, Submitted

T = TypeVar("T")


class Headrace(Client):
    """Headrace, one call after the other. Any number of threads may share one.

    with Headrace("http://localhost:8000", username="ada", password=password) as client:
        job = client.submit(["What a lovely day"])
        for event in client.follow(job):
            print(event.seq, event.type, event.progress)
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        retry_config: RetryConfig | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        """A client of the server at `url`, by a username and its password, or by a token alone.

        `http` is a client of your own, with its certificates or proxies; whoever made it closes it.
        """
        super().__init__(url, username=username, password=password, token=token, retry_config=retry_config)
        self._is_ours = http is None
        self._http = http or httpx.Client(limits=transport.limits(), mounts=transport.direct())
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls, *, retry_config: RetryConfig | None = None, **given: Unpack[Account]) -> Self:
        """A client by HEADRACE_URL and HEADRACE_TOKEN, or HEADRACE_USERNAME and HEADRACE_PASSWORD.

        What is given goes before the environment. Raises MissingCredentials.
        """
        return cls(**transport.account(given), retry_config=retry_config)

    def submit(
        self,
        texts: Sequence[str] | None = None,
        *,
        instances: Sequence[Instance] | None = None,
        dataset: AnyDataset | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Submitted:
        """Queue rows to be predicted: up to 1000 texts or instances, or all of a dataset.

        Sent as often as it takes, and still one job: each call has an idempotency key, its own or yours.

            job = client.submit(texts, model="sentiment", batch_size=100, priority="high")
            job = client.submit(dataset=client.upload("reviews.csv"), column="review")
        """
        return self._run(self._core.submit(texts, instances, dataset, options))

    def train(
        self,
        target: str,
        *,
        dataset: AnyDataset | None = None,
        rows: Sequence[Mapping[str, Any]] | None = None,
        **options: Unpack[TrainOptions],
    ) -> Submitted:
        """Queue a training: learn to predict the column `target` from the others.

        From a dataset, or from up to 1000 rows. An event of each epoch has `metrics`; the job's result names
        the version it has become. Sent as `submit` is.

            job = client.train("label", dataset=client.upload("reviews.csv"), model="reviews")
        """
        return self._run(self._core.train(target, dataset, rows, options))

    def predict(
        self,
        texts: Sequence[str] | None = None,
        *,
        instances: Sequence[Instance] | None = None,
        model: str | None = None,
    ) -> Predictions:
        """The predictions for up to 100 texts or instances, as soon as they are there.

        Raises Invalid for rows that the model does not take.
        """
        return self._run(self._core.predict(texts, instances, model))

    def create(self, path: str, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> Submitted:
        """Create a job of any kind, by its path: `create("batch-predict", {"texts": texts})`."""
        return self._run(self._core.create(path, body, idempotency_key))

    def job(self, job: AnyJob) -> Job:
        """Where a job stands. Raises NotFound, Forbidden."""
        return self._run(self._core.job(job))

    def jobs(self, *, page_size: int = 100, **filters: Unpack[JobFilters]) -> Iterator[Job]:
        """Your jobs, newest first; the next page is read when it is needed.

        failed = [job.id for job in client.jobs(status="failed", metadata={"team": "search"})]
        """
        return self._iterate(self._core.jobs(filters, page_size))

    def wait(self, job: AnyJob, timeout: float | None = None) -> Job:
        """The job once it has ended, whichever way. Raises WaitTimeout, a TimeoutError, if it has not."""
        return self._run(self._core.wait(job, timeout))

    def follow(
        self, job: AnyJob, after: int = 0, *, on_interruption: OnInterruption | None = None
    ) -> Iterator[Event]:
        """Every event of a job after the one with that number, as it happens: once, in order, to the last.

        A cut, a restart of the server or its silence only takes time; `on_interruption(seq, seconds)` is
        called with the number of the last event and the pause before the client comes back.
        """
        return self._iterate(self._core.follow(job, after, on_interruption))

    def events(self, job: AnyJob, after: int = 0) -> Iterator[Event]:
        """The events that there are now; the same that `follow` gives."""
        return self._iterate(self._core.events(job, after))

    def results(self, job: AnyJob) -> Iterator[Row]:
        """The rows that are computed so far, in input order, streamed. Raises Gone once they have expired."""
        return self._iterate(self._core.results(job))

    def export(self, job: AnyJob, format: Format = "csv") -> Iterator[bytes]:
        """The same as bytes, in pieces of any size, to be written to a file."""
        return self._iterate(self._core.export(job, format))

    def cancel(self, job: AnyJob) -> Job:
        """Stop a job, and say how it stands then: `cancelled`, or still running with `cancel_requested`.

        Raises BadRequest for a job that has ended.
        """
        return self._run(self._core.cancel(job))

    def retry(self, job: AnyJob, *, from_start: bool = False) -> Job:
        """Have a failed or cancelled job tried again: after its last commit, or from the start.

        Raises Conflict for a job that is neither.
        """
        return self._run(self._core.retry(job, from_start))

    def explain(self, job: AnyJob) -> Explanation:
        """Why a job is where it is."""
        return self._run(self._core.explain(job))

    def upload(
        self, path: str | Path, *, name: str | None = None, **options: Unpack[UploadOptions]
    ) -> Dataset:
        """A new dataset from a file: .csv, .jsonl, .ndjson or .parquet. Raises Invalid for a bad row.

            dataset = client.upload("sales.csv", delimiter=";", columns={"zip": "category"})

        Sent once: whether it arrived if the connection breaks, `datasets` tells.
        """
        return self._run(self._core.upload(path, name, options))

    def datasets(self, *, page_size: int = 100) -> Iterator[Dataset]:
        """Your datasets, newest first."""
        return self._iterate(self._core.datasets(page_size))

    def models(self, *, page_size: int = 100) -> Iterator[Model]:
        """The models that you can predict with, newest first."""
        return self._iterate(self._core.models(page_size))

    def close(self) -> None:
        """Close the connections."""
        if self._is_ours:
            self._http.close()

    def __enter__(self) -> Self:
        """Itself, to be closed at the end of the body."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def _run(self, flow: Flow[T]) -> T:
        with closing(self._iterate(steps.emitting(flow))) as items:
            result: T = next(items)
            return result

    def _iterate(self, flow: Flow[Any]) -> Generator[Any, None, None]:
        with _Opened() as opened:
            outcome = Outcome()
            while (step := outcome.resume(flow)) is not None:
                if isinstance(step, Emit):
                    yield step.item
                    outcome = Outcome()
                else:
                    outcome = self._do(step, opened)

    def _do(self, step: Send | Open | Read | Pause | Alone, opened: "_Opened") -> Outcome:
        try:
            match step:
                case Send(request=request):
                    return Outcome(self._send(request))
                case Open(request=request):
                    return Outcome(opened.open(self._http, self._httpx_arguments(request)))
                case Read():
                    return Outcome(opened.read())
                case Pause(seconds=seconds):
                    time.sleep(seconds)
                    return Outcome()
                case Alone(flow=flow):
                    with self._lock:
                        return Outcome(self._run(flow))
                case _:
                    assert_never(step)
        except httpx.RequestError as error:
            return Outcome(error=self._failure(error))
        except HeadraceError as error:
            return Outcome(error=error)

    def _send(self, request: Request) -> steps.Answer:
        arguments = self._httpx_arguments(request)
        if request.file is None:
            response = self._http.request(**arguments)
        else:
            with request.file.open("rb") as file:
                response = self._http.request(**{**arguments, "content": file})
        return transport.answer(response, response.content)


class _Opened:
    """The answer that one flow reads piece by piece, if it does."""

    def __init__(self) -> None:
        self._response: httpx.Response | None = None
        self._pieces: Iterator[bytes] | None = None

    def open(self, http: httpx.Client, arguments: dict[str, Any]) -> steps.Answer:
        self.close()
        self._response = http.send(http.build_request(**arguments), stream=True)
        if not self._response.is_success:
            return transport.answer(self._response, self._response.read())
        self._pieces = self._response.iter_bytes()
        return transport.answer(self._response, b"")

    def read(self) -> bytes:
        if self._pieces is None:
            raise RuntimeError("nothing is open to be read")
        return next(self._pieces, b"")

    def close(self) -> None:
        response, self._response, self._pieces = self._response, None, None
        if response is not None:
            response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
