"""Sends requests as a signed-in user, and retries them."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from app.client import errors, steps
from app.client.errors import HeadraceError, NotFound, UnexpectedResponse
from app.client.retry import RetryConfig, RetryState
from app.client.session import Session
from app.client.steps import Ask, Emit, Flow, Pause, Request, Response

MAX_RENEWALS: Final = 3
"""New tokens per request: if the server rejects more, the token is not the reason."""

UNAUTHORIZED: Final = 401

T = TypeVar("T")


class Exchange:
    """Sends requests with the tokens of a session."""

    def __init__(self, session: Session, retry_config: RetryConfig) -> None:
        self.retry_config = retry_config
        self._session = session

    def retry_state(self, give_up_seconds: float | None = None) -> RetryState:
        """A new retry state; it gives up after `retry_seconds` of the configuration unless told otherwise."""
        seconds = self.retry_config.retry_seconds if give_up_seconds is None else give_up_seconds
        return RetryState(self.retry_config, give_up_seconds=seconds)

    def ask(self, request: Request, retry_state: RetryState | None = None) -> Flow[Response]:
        """Send an idempotent request, retry it, and return its response. Raises HeadraceError."""
        return (yield from self.persist(lambda: self.once(request), retry_state))

    def read(
        self, parse: Callable[[Any], T], request: Request, retry_state: RetryState | None = None
    ) -> Flow[T]:
        """Send an idempotent request, retry it, and return its parsed JSON."""
        response = yield from self.ask(request, retry_state)
        return parse_json(parse, response)

    def delete(self, request: Request) -> Flow[None]:
        """Delete something. It is no error if an attempt whose response was lost has deleted it."""
        retry_state = self.retry_state()
        try:
            yield from self.ask(request, retry_state)
        except NotFound:
            if not retry_state.failures:
                raise

    def persist(self, attempt: Callable[[], Flow[T]], retry_state: RetryState | None = None) -> Flow[T]:
        """Repeat an attempt with pauses until it succeeds or the retry state gives up."""
        retry_state = retry_state or self.retry_state()
        while True:
            try:
                return (yield from attempt())
            except HeadraceError as error:
                yield Pause(retry_state.pause_seconds(error))

    def pages(
        self,
        path: str,
        parse: Callable[[Mapping[str, Any]], Any],
        page_size: int,
        filters: Mapping[str, str] | None = None,
    ) -> Flow[None]:
        """Emit the items of a listing; fetch pages as needed."""
        params = {"limit": str(page_size), **(filters or {})}
        while True:
            items, cursor = yield from self.read(
                lambda page: ([parse(item) for item in page["items"]], page.get("next_cursor")),
                Request("GET", path, params=params),
            )
            for item in items:
                yield Emit(item)
            if cursor is None:
                return
            params = {**params, "cursor": str(cursor)}

    def once(self, request: Request) -> Flow[Response]:
        """Send a request without retries, but with a new token if the server rejects the old one."""
        return (yield from self._with_token(steps.send, request))

    def open_once(self, request: Request) -> Flow[Response]:
        """The same, for a response that is read in chunks."""
        return (yield from self._with_token(steps.open_, request))

    def _with_token(self, ask: Ask, request: Request) -> Flow[Response]:
        rejected: str | None = None
        renewals = 0
        while True:
            token = yield from self._session.bearer(rejected)
            response = yield from ask(request.with_header("authorization", f"Bearer {token}"))
            if response.status != UNAUTHORIZED or not self._session.can_renew or renewals == MAX_RENEWALS:
                errors.raise_for_status(response)
                return response
            rejected = token
            renewals += 1


def parse_json(parse: Callable[[Any], T], response: Response) -> T:
    """Parse the JSON body of a response. Raises UnexpectedResponse."""
    try:
        return parse(json.loads(response.body))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnexpectedResponse(
            "The response does not come from Headrace: check the URL.",
            status=response.status,
            request_id=response.headers.get("x-request-id"),
        ) from error


def json_request(method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Request:
    """A request with a JSON body."""
    try:
        encoded = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        encoded = json.dumps(body, allow_nan=False).encode()  # an unpaired surrogate: the server rejects it
    return Request(method, path, headers={"content-type": "application/json", **headers}, body=encoded)
