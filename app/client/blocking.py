"""The client for programs without asyncio: executes flows with httpx.Client."""

import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, assert_never

import httpx

from app.client import steps, transport
from app.client.api_keys import AnyApiKey, ApiKey, Scope
from app.client.data import Predictions, Row
from app.client.dataset_methods import DatasetMethods
from app.client.dataset_values import AnyDataset
from app.client.dead_letter_methods import DeadLetterMethods
from app.client.draft_methods import DraftMethods
from app.client.errors import HeadraceError
from app.client.following import OnInterruption
from app.client.insight import Attention, FoundObjects
from app.client.insight_methods import InsightMethods
from app.client.model_methods import ModelMethods
from app.client.model_values import AnyModel
from app.client.opening import OpenResponse
from app.client.options import Format, Instance, JobFilters, SubmitOptions
from app.client.queue_methods import QueueMethods
from app.client.quotas import Quotas
from app.client.retry import RetryConfig
from app.client.schedule_methods import ScheduleMethods
from app.client.steps import Emit, Exclusive, Flow, Open, Outcome, Pause, Read, Request, Send
from app.client.subscription_methods import SubscriptionMethods
from app.client.training_methods import TrainingMethods
from app.client.transport import Account, Client
from app.client.values import AnyJob, Event, Explanation, Job, Submitted

T = TypeVar("T")


class Headrace(
    Client,
    InsightMethods,
    DatasetMethods,
    DraftMethods,
    ModelMethods,
    TrainingMethods,
    ScheduleMethods,
    QueueMethods,
    SubscriptionMethods,
    DeadLetterMethods,
):
    """Blocking client of Headrace. Any number of threads may share one.

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
        api_key: str | None = None,
        retry_config: RetryConfig | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        """Connect to the server at `url` with a username and password, an API key, or a token.

        Pass your own `http` client to set certificates or proxies; you close it.
        """
        super().__init__(
            url,
            username=username,
            password=password,
            token=token,
            api_key=api_key,
            retry_config=retry_config,
        )
        self._owns_http = http is None
        self._http = http or httpx.Client(limits=transport.limits(), mounts=transport.direct())
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls, *, retry_config: RetryConfig | None = None, **account: Unpack[Account]) -> Self:
        """Connect with HEADRACE_URL and HEADRACE_TOKEN, or HEADRACE_USERNAME and HEADRACE_PASSWORD.

        HEADRACE_TOKEN may be an API key. Arguments override the environment. Raises MissingCredentials.
        """
        return cls(**transport.account(account), retry_config=retry_config)

    def submit(
        self,
        texts: Sequence[str] | None = None,
        *,
        instances: Sequence[Instance] | None = None,
        dataset: AnyDataset | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Submitted:
        """Submit rows for prediction: up to 1000 texts or instances, or a whole dataset.

        Retries create one job only: each call sends an idempotency key, generated or yours.

            job = client.submit(texts, model="sentiment", batch_size=100, priority="high")
            job = client.submit(dataset=client.upload("reviews.csv"), column="review")
            job = client.submit(dataset="reviews", column="review")  # the newest of that name
        """
        return self._run(self._core.submit(texts, instances, dataset, options))

    def predict(
        self,
        texts: Sequence[str] | None = None,
        *,
        instances: Sequence[Instance] | None = None,
        model: AnyModel | None = None,
    ) -> Predictions:
        """Predict up to 100 texts or instances, and wait for the result.

        Raises Invalid for rows that the model does not accept.
        """
        return self._run(self._core.predict(texts, instances, model))

    def create(self, path: str, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> Submitted:
        """Create a job of any kind by its path: `create("batch-predict", {"texts": texts})`."""
        return self._run(self._core.create(path, body, idempotency_key))

    def job(self, job: AnyJob) -> Job:
        """Return a job. Raises NotFound, Forbidden."""
        return self._run(self._core.job(job))

    def jobs(self, *, page_size: int = 100, **filters: Unpack[JobFilters]) -> Iterator[Job]:
        """Iterate over your jobs, newest first; fetches pages as needed.

        failed = [job.id for job in client.jobs(status="failed", metadata={"team": "search"})]
        """
        return self._iterate(self._core.jobs(filters, page_size))

    def wait(self, job: AnyJob, timeout: float | None = None) -> Job:
        """Wait until the job ends, and return it. Raises WaitTimeout after `timeout` seconds."""
        return self._run(self._core.wait(job, timeout))

    def follow(
        self, job: AnyJob, after: int = 0, *, on_interruption: OnInterruption | None = None
    ) -> Iterator[Event]:
        """Iterate over the events of a job after the number `after`, live and in order, until it ends.

        Reconnects after a lost connection, a restart or silence of the server. Calls
        `on_interruption(seq, seconds)` with the number of the last event and the pause before it reconnects.
        """
        return self._iterate(self._core.follow(job, after, on_interruption))

    def events(self, job: AnyJob, after: int = 0) -> Iterator[Event]:
        """Iterate over the events so far; the same events as `follow`."""
        return self._iterate(self._core.events(job, after))

    def results(self, job: AnyJob, *, include_input: bool = False) -> Iterator[Row]:
        """Stream the results computed so far, in input order. Raises Gone if they have expired.

        With `include_input`, each row has its `input`: a text, a list, or values by column.
        """
        return self._iterate(self._core.results(job, include_input))

    def export(
        self,
        job: AnyJob,
        format: Format = "csv",
        *,
        label: str | None = None,
        below: float | None = None,
        errors: bool | None = None,
        include_input: bool = False,
    ) -> Iterator[bytes]:
        """Stream the results computed so far as bytes of a file, in chunks of any size.

        `label`, `below` and `errors` select rows, as in `search_results`. With `include_input`, the columns
        of the input come before those of the prediction.
        """
        return self._iterate(self._core.export(job, format, label, below, errors, include_input))

    def cancel(self, job: AnyJob) -> Job:
        """Cancel a job, and return it: `cancelled`, or still running with `cancel_requested`.

        Raises BadRequest for a job that has ended.
        """
        return self._run(self._core.cancel(job))

    def retry(self, job: AnyJob, *, from_start: bool = False) -> Job:
        """Retry a failed or cancelled job from its last commit, or from the start.

        Raises Conflict for any other job.
        """
        return self._run(self._core.retry(job, from_start))

    def explain(self, job: AnyJob) -> Explanation:
        """Explain why a job waits, runs or has ended."""
        return self._run(self._core.explain(job))

    def attention(self) -> Sequence[Attention]:
        """Return what needs your attention, the most urgent first."""
        return self._run(self._core.attention())

    def find(self, text: str, *, owner: str | None = None) -> FoundObjects:
        """Return jobs, models, datasets and schedules whose names or ids begin with a text, five of each.

        Operators find jobs and schedules of another `owner`, or of all (`*`).
        """
        return self._run(self._core.find(text, owner))

    def create_api_key(
        self, name: str, scopes: Sequence[Scope], *, expires_in_seconds: int | None = None
    ) -> ApiKey:
        """Create an API key of yours; its `key` is returned only now. Needs your username and password.

        Never retried: if the connection breaks, look in `api_keys` whether it was created, and revoke it.
        """
        return self._run(self._core.keys.create(name, scopes, expires_in_seconds))

    def api_keys(self, *, owner: str | None = None, page_size: int = 100) -> Iterator[ApiKey]:
        """Iterate over your API keys, newest first; administrators name another `owner`, or `*` for all."""
        return self._iterate(self._core.keys.list(owner, page_size))

    def revoke_api_key(self, key: AnyApiKey) -> None:
        """Revoke an API key: it stops working within a second. Raises NotFound."""
        self._run(self._core.keys.revoke(key))

    def quotas(self) -> Quotas:
        """Return how much you have, and may have."""
        return self._run(self._core.quotas())

    def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        """Return the client, which is closed at the end of the body."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def _run(self, flow: Flow[T]) -> T:
        with closing(self._iterate(steps.emit_result(flow))) as items:
            result: T = next(items)
            return result

    def _iterate(self, flow: Flow[Any]) -> Generator[Any, None, None]:
        with OpenResponse() as opened:
            outcome = Outcome()
            while (step := outcome.resume(flow)) is not None:
                if isinstance(step, Emit):
                    yield step.item
                    outcome = Outcome()
                else:
                    outcome = self._do(step, opened)

    def _do(self, step: Send | Open | Read | Pause | Exclusive, opened: OpenResponse) -> Outcome:
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
                case Exclusive(flow=flow):
                    with self._lock:
                        return Outcome(self._run(flow))
                case _:
                    assert_never(step)
        except httpx.RequestError as error:
            return Outcome(error=self._failure(error))
        except HeadraceError as error:
            return Outcome(error=error)

    def _send(self, request: Request) -> steps.Response:
        arguments = self._httpx_arguments(request)
        if request.file is None:
            response = self._http.request(**arguments)
        else:
            with request.file.open("rb") as file:
                response = self._http.request(**{**arguments, "content": file})
        return transport.to_response(response, response.content)
