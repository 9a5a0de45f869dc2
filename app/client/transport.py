"""Translates between the client's requests and httpx, for both clients."""

import os
from collections.abc import Mapping
from typing import Any, Final, TypedDict
from urllib.parse import urlsplit

import httpx

from app.client.core import Core
from app.client.errors import HeadraceError, MissingCredentials, UnexpectedResponse, Unreachable
from app.client.retry import RetryConfig
from app.client.steps import Request, Response

DEFAULT_URL: Final = "http://localhost:8000"
USER_AGENT: Final = "headrace-client"
_LOCAL_HOSTS: Final = ("all://localhost", "all://127.0.0.1", "all://[::1]")


class Account(TypedDict, total=False):
    """The server and the user; missing members come from the environment."""

    url: str | None
    username: str | None
    password: str | None
    token: str | None
    api_key: str | None


class Client:
    """Base of both clients: the URL of the server, and the methods as flows."""

    def __init__(
        self,
        url: str,
        *,
        username: str | None,
        password: str | None,
        token: str | None,
        api_key: str | None,
        retry_config: RetryConfig | None,
    ) -> None:
        self.url = _check_url(url)
        self._core = Core(
            username=username, password=password, token=token, api_key=api_key, retry_config=retry_config
        )

    def _httpx_arguments(self, request: Request) -> dict[str, Any]:
        retry_config = self._core.retry_config
        return {
            "method": request.method,
            "url": self.url + request.path,
            "params": dict(request.params) or None,
            "headers": {"accept": "application/json", "user-agent": USER_AGENT, **request.headers},
            "content": request.body,
            "timeout": httpx.Timeout(
                retry_config.request_seconds,
                connect=retry_config.connect_seconds,
                read=request.read_seconds or retry_config.request_seconds,
            ),
        }

    def _failure(self, error: httpx.RequestError) -> HeadraceError:
        if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol | httpx.DecodingError):
            return UnexpectedResponse(f"cannot talk to {self.url}: {_reason(error)}")
        return Unreachable(f"cannot reach {self.url}: {_reason(error)}")


def limits() -> httpx.Limits:
    """Return connection limits: unlimited, with up to 20 idle connections kept open."""
    return httpx.Limits(max_connections=None, max_keepalive_connections=20)


def direct() -> dict[str, None]:
    """Return the hosts to connect to without the proxies of the environment."""
    return dict.fromkeys(_LOCAL_HOSTS)


def to_response(response: httpx.Response, body: bytes) -> Response:
    """Convert a response of httpx."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status_code, headers, body)


def account(given: Account, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the arguments of a client: from `given`, else HEADRACE_URL, _TOKEN, _USERNAME and _PASSWORD.

    HEADRACE_TOKEN may be an API key.
    """
    explicit = {name: value for name, value in given.items() if value is not None}
    url = explicit.get("url") or environment.get("HEADRACE_URL") or DEFAULT_URL
    token = explicit.get("token")
    if "api_key" in explicit:
        if token is not None:
            raise MissingCredentials("Pass a token or an API key, not both.")
        return {"url": url, "api_key": explicit["api_key"]}
    if token is None and "username" not in explicit and "password" not in explicit:
        token = environment.get("HEADRACE_TOKEN") or None
    if token is not None:
        return {"url": url, "token": token}
    username = explicit.get("username") or environment.get("HEADRACE_USERNAME")
    password = explicit.get("password") or environment.get("HEADRACE_PASSWORD")
    if not username:
        raise MissingCredentials("Set HEADRACE_USERNAME and HEADRACE_PASSWORD, or HEADRACE_TOKEN.")
    if not password:
        raise MissingCredentials(f"The password of {username} is missing: set HEADRACE_PASSWORD.")
    return {"url": url, "username": username, "password": password}


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        is_valid = False
    if not is_valid:
        raise ValueError(f"{url!r} is not the URL of a server, such as http://localhost:8000")
    return url.rstrip("/")


def _reason(error: httpx.RequestError) -> str:
    text = str(error)
    return text if text else type(error).__name__
