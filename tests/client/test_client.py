"""Construction of a client, and rules of its code."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.client import ApiKey, AsyncHeadrace, Headrace, HeadraceError, MissingCredentials, errors, transport
from app.client.retry import RetryConfig, RetryState
from app.client.steps import Response
from tests.support.processes import ROOT

CLIENT = ROOT / "app" / "client"
URL = "http://localhost:8000"
BY_PASSWORD = {"HEADRACE_USERNAME": "ada", "HEADRACE_PASSWORD": "secret"}


def test_the_client_imports_only_httpx() -> None:
    code = "import sys, app.client; print(*sorted({name.split('.')[0] for name in sys.modules}), sep='\\n')"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    modules = set(loaded.stdout.split())

    assert "httpx" in modules
    assert not modules & {
        "fastapi",
        "starlette",
        "pydantic",
        "msgspec",
        "sqlalchemy",
        "asyncpg",
        "redis",
        "structlog",
    }
    ours = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, app.client; print(*[n for n in sys.modules if n.startswith('app.')])",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert all(name.startswith("app.client") for name in ours.stdout.split())


# What makes the one client of the other. Nothing else may differ: the logic is in the flows.
_WITHOUT_AWAIT = {
    "AsyncGenerator[Any, None]": "Generator[Any, None, None]",
    "AsyncHeadrace": "Headrace",
    "AsyncOpenResponse": "OpenResponse",
    "AsyncIterator": "Iterator",
    "AsyncClient": "Client",
    "async ": "",
    "await ": "",
    "aclosing": "closing",
    "anext(": "next(",
    "aiter_bytes": "iter_bytes",
    "aread": "read",
    "aclose": "close",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "asyncio.sleep": "time.sleep",
    'asyncio.to_thread(request.file.open, "rb")': 'request.file.open("rb")',
    "blocks(file)": "file",
    "asyncio.Lock": "threading.Lock",
}


def test_the_blocking_client_is_the_asynchronous_one_without_await() -> None:
    asynchronous = _without_await((CLIENT / "asynchronous.py").read_text())

    assert _body(asynchronous) == _body((CLIENT / "blocking.py").read_text())


@pytest.mark.parametrize("module", ["opening.py", *sorted(path.name for path in CLIENT.glob("*methods.py"))])
def test_what_both_clients_share_differs_by_await_only(module: str) -> None:
    source = (CLIENT / module).read_text()
    blocking, asynchronous = re.findall(r"^class .+?(?=^class |\Z)", source, re.MULTILINE | re.DOTALL)

    assert _body(_without_await(asynchronous)) == _body(blocking)


def _without_await(source: str) -> str:
    for ours, theirs in _WITHOUT_AWAIT.items():
        source = source.replace(ours, theirs)
    return re.sub(r"\bAsync(\w*Methods)\b", r"\1", source)


def _body(source: str) -> list[str]:
    """The code without imports and docstrings, independent of line breaks."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return [ast.unparse(node) for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("kind", [Headrace, AsyncHeadrace])
@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://localhost", "http://", "http://localhost:x"])
def test_an_invalid_url_is_rejected_at_once(kind: Any, url: str) -> None:
    with pytest.raises(ValueError, match="is not the URL of a server"):
        kind(url, token="t")


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"username": "ada"},
        {"password": "p"},
        {"token": ""},
        {"token": "a\nb"},
        {"token": "é"},
        {"api_key": ""},
        {"api_key": "hr_é"},
        {"api_key": "hr_1", "token": "t"},
    ],
)
def test_missing_credentials_are_rejected_at_once(credentials: dict[str, str]) -> None:
    with pytest.raises(MissingCredentials):
        Headrace(URL, **credentials)  # type: ignore[arg-type]  # some of them are credentials


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        ({}, BY_PASSWORD, {"url": URL, "username": "ada", "password": "secret"}),
        ({}, {**BY_PASSWORD, "HEADRACE_TOKEN": "t"}, {"url": URL, "token": "t"}),
        (
            {"url": "http://x"},
            {"HEADRACE_TOKEN": "t", "HEADRACE_URL": "http://y"},
            {"url": "http://x", "token": "t"},
        ),
        ({}, {"HEADRACE_TOKEN": "t", "HEADRACE_URL": "http://y"}, {"url": "http://y", "token": "t"}),
        ({"token": "u"}, BY_PASSWORD, {"url": URL, "token": "u"}),
        (
            {"username": "bob", "token": None},
            {**BY_PASSWORD, "HEADRACE_TOKEN": "t"},
            {"url": URL, "username": "bob", "password": "secret"},
        ),
        ({"api_key": "hr_1"}, {**BY_PASSWORD, "HEADRACE_TOKEN": "t"}, {"url": URL, "api_key": "hr_1"}),
    ],
)
def test_arguments_override_the_environment(
    given: dict[str, Any], environment: dict[str, str], expected: dict[str, str]
) -> None:
    assert transport.account(transport.Account(**given), environment) == expected  # type: ignore[typeddict-item]  # by name


@pytest.mark.parametrize("environment", [{}, {"HEADRACE_USERNAME": "ada"}, {"HEADRACE_TOKEN": ""}])
def test_missing_variables_are_named(environment: dict[str, str]) -> None:
    with pytest.raises(MissingCredentials, match="HEADRACE_PASSWORD"):
        transport.account({}, environment)


def test_a_string_is_rejected_as_a_list_of_texts() -> None:
    with Headrace(URL, token="t") as client, pytest.raises(TypeError, match="list of strings"):
        client.submit("good")


def test_pauses_double_up_to_the_longest_and_are_never_shorter_than_asked() -> None:
    retry_state = RetryState(
        RetryConfig(first_pause_seconds=1, longest_pause_seconds=8), give_up_seconds=1000
    )
    pauses = [retry_state.pause_seconds() for _ in range(10)]
    for pause, ceiling in zip(pauses, [1, 2, 4, 8, 8, 8, 8, 8, 8, 8], strict=True):
        assert ceiling / 2 <= pause <= ceiling
    assert len(set(pauses)) == len(pauses)

    retry_state.progressed()
    retry_state.set_minimum_pause(2)
    assert 2 < retry_state.pause_seconds() <= 3.5
    busy = HeadraceError("busy", retry_after_seconds=5)
    with pytest.raises(HeadraceError):
        retry_state.pause_seconds(busy)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("7", 7, 7),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0, 0),
        ("soon", None, None),
        ("-1", None, None),
        ("", None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, least: float | None, most: float | None) -> None:
    error = errors.from_response(Response(503, {"retry-after": text}))
    assert error.retry_after_seconds in (least, most)


def test_the_repr_of_a_client_has_no_secret() -> None:
    with Headrace(URL, username="ada", password="open sesame") as client:
        assert "sesame" not in f"{client!r} {client.__dict__!r}"
    with Headrace(URL, api_key="hr_sesame") as client:
        assert "sesame" not in f"{client!r} {client.__dict__!r}"


def test_the_repr_of_an_api_key_has_no_secret() -> None:
    key = ApiKey.parse({"key_id": "1", "name": "a", "key": "hr_sesame"})

    assert key.key == "hr_sesame"
    assert "sesame" not in f"{key!r} {key.raw!r}"


def test_a_string_is_rejected_as_a_list_of_scopes() -> None:
    with Headrace(URL, token="t") as client, pytest.raises(TypeError, match="list of scopes"):
        client.create_api_key("a", "predict")  # type: ignore[arg-type]  # that is the point


def test_every_module_is_small() -> None:
    assert max(len(path.read_text().splitlines()) for path in Path(CLIENT).glob("*.py")) < 300
