"""Asking the server as a signed-in user, as often as it takes and no more."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from app.client import errors, steps
from app.client.errors import HeadraceError, UnexpectedResponse
from app.client.retry import RetryConfig, RetryState
from app.client.session import Session
from app.client.steps import Answer, Ask, Flow, Pause, Request

MAX_RENEWALS: Final = 3
"""How many new tokens one request may need: more, and it is not the token that is refused."""

UNAUTHORIZED: Final = 401

T = TypeVar("T")


class Exchange:
    """Sends requests in the name of a session."""

    def __init__(self, session: Session, retry_config: RetryConfig) -> None:
        self.retry_config = retry_config
        self._session = session

    def retry_state(self, give_up_seconds: float | None = None) -> RetryState:
        """The failures of what is about to be asked; None: with the patience that one request deserves."""
        seconds = self.retry_config.retry_seconds if give_up_seconds is None else give_up_seconds
        return RetryState(self.retry_config, give_up_seconds=seconds)

    def ask(self, request: Request, retry_state: RetryState | None = None) -> Flow[Answer]:
        """The answer to a request that does no harm when sent twice; raises the error that it tells of."""
        return (yield from self.persist(lambda: self.once(request), retry_state))

    def read(
        self, parse: Callable[[Any], T], request: Request, retry_state: RetryState | None = None
    ) -> Flow[T]:
        """What a request gives, read from its JSON."""
        answer = yield from self.ask(request, retry_state)
        return parsed(parse, answer)

    def persist(self, attempt: Callable[[], Flow[T]], retry_state: RetryState | None = None) -> Flow[T]:
        """Make attempts until one works, with pauses, as long as patience lasts."""
        retry_state = retry_state or self.retry_state()
        while True:
            try:
                return (yield from attempt())
            except HeadraceError as error:
                yield Pause(retry_state.pause_seconds(error))

    def once(self, request: Request) -> Flow[Answer]:
        """Send a request, with a new token if the old one is refused."""
        return (yield from self._authorized(steps.send, request))

    def open_once(self, request: Request) -> Flow[Answer]:
        """The same, for an answer that is read piece by piece."""
        return (yield from self._authorized(steps.open_, request))

    def _authorized(self, ask: Ask, request: Request) -> Flow[Answer]:
        refused: str | None = None
        renewals = 0
        while True:
            token = yield from self._session.bearer(refused)
            answer = yield from ask(request.with_header("authorization", f"Bearer {token}"))
            if answer.status != UNAUTHORIZED or not self._session.can_renew or renewals == MAX_RENEWALS:
                errors.ensure_ok(answer)
                return answer
            refused = token
            renewals += 1


def parsed(parse: Callable[[Any], T], answer: Answer) -> T:
    """The body of an answer, read; raises NotUnderstood if it is not what Headrace says."""
    try:
        return parse(json.loads(answer.body))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnexpectedResponse(
            "The answer is not one of Headrace: is the URL right?",
            status=answer.status,
            request_id=answer.headers.get("x-request-id"),
        ) from error


def json_request(method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Request:
    """A request with a body of JSON."""
    try:
        encoded = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        encoded = json.dumps(body, allow_nan=False).encode()  # half a character: for the server to refuse
    return Request(method, path, headers={"content-type": "application/json", **headers}, body=encoded)
