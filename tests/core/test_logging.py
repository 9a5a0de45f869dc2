"""Logs: one record a line, whatever is in it, and no secrets."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from uuid import UUID

import pytest
import structlog

from app.core import logging as logs
from app.core.component import Component
from app.core.config import Settings
from app.core.version import VERSION

STRONG = "a-secret-with-more-than-32-bytes-in-it"
INJECTION = "bob\nERROR x\r\n\u2028\x1b[31mred"

Configure = Callable[[str], io.StringIO]


class StrangeText(str):
    """A text that is not exactly a `str`."""


class StrangeNumber(int):
    """A number that is not exactly an `int`."""


@pytest.fixture
def configure(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Set up logs as for this environment; gives what they are written to."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    before = structlog.get_config()

    def configure(environment: str) -> io.StringIO:
        written = io.StringIO()
        monkeypatch.setattr(sys, "stderr", written)
        logs.configure(
            Settings.model_validate(
                {**settings.model_dump(), "environment": environment, "secret_key": STRONG}
            )
        )
        return written

    yield configure
    structlog.configure(**before)
    root.handlers, root.level = handlers, level


@pytest.mark.parametrize("environment", ["development", "production"])
def test_a_record_is_one_line_whatever_is_in_it(configure: Configure, environment: str) -> None:
    written = configure(environment)

    structlog.get_logger("test").warning("sign_in_refused", username=INJECTION)
    logging.getLogger("somebody.else").warning("refused %s", INJECTION)

    lines = written.getvalue().splitlines()
    assert len(lines) == 2
    assert "\x1b[31mred" not in written.getvalue()


@pytest.mark.parametrize("environment", ["development", "production"])
@pytest.mark.parametrize(
    "name", ["password", "access_token", "SECRET_KEY", "authorization", "Cookie", "ticket", "refresh_token"]
)
def test_what_is_named_as_a_secret_is_hidden(configure: Configure, environment: str, name: str) -> None:
    written = configure(environment)

    structlog.get_logger("test").warning("something", **{name: "canary"})

    assert "canary" not in written.getvalue()
    assert "[hidden]" in written.getvalue()


def test_in_production_a_record_is_json(configure: Configure) -> None:
    written = configure("production")

    structlog.get_logger("test").warning("something", job_id="7")

    record = json.loads(written.getvalue())
    assert (record["event"], record["job_id"], record["level"], record["logger"]) == (
        "something",
        "7",
        "warning",
        "test",
    )
    assert record["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    ("value", "logged"),
    [
        ("fine", "fine"),
        ('"\\\n\t', '"\\\n\t'),
        ("naïve 漢字", "naïve 漢字"),
        ("\x7f\x9b31m\u2028", "\x7f\x9b31m\u2028"),
        ("\ud800", "\ud800"),
        (10**30, 10**30),
        (0.1, 0.1),
        ([1, None, True, {"a": "b"}], [1, None, True, {"a": "b"}]),
        (StrangeText("x"), "x"),
        (StrangeNumber(3), 3),
        (PurePosixPath("/x"), "PurePosixPath('/x')"),
        (KeyError("x"), "KeyError('x')"),
        (UUID(int=7), str(UUID(int=7))),
        ({1: 2}, {"1": 2}),
    ],
)
def test_in_production_a_record_is_printable_ascii_and_means_the_value(
    configure: Configure, value: object, logged: object
) -> None:
    written = configure("production")

    structlog.get_logger("test").warning("something", value=value)

    line, end = written.getvalue()[:-1], written.getvalue()[-1]
    assert end == "\n"
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["value"] == logged


@pytest.mark.parametrize("pod_name", [None, "headrace-api-0"])
@pytest.mark.parametrize("component", Component)
def test_in_production_every_record_names_its_origin(
    configure: Configure, settings: Settings, component: Component, pod_name: str | None
) -> None:
    written = configure("production")
    production = {"environment": "production", "secret_key": STRONG, "pod_name": pod_name}
    logs.configure(Settings.model_validate({**settings.model_dump(), **production}), component)

    structlog.get_logger("test").warning("something", version="forged")
    logging.getLogger("somebody.else").warning("something")

    records = [json.loads(line) for line in written.getvalue().splitlines()]
    assert len(records) == 2
    for record in records:
        assert (record["service"], record["version"]) == (component, VERSION)
        assert record.get("pod") == pod_name
        assert ("pod" in record) == (pod_name is not None)


@pytest.mark.parametrize("environment", ["development", "production"])
def test_a_traceback_does_not_show_the_variables(configure: Configure, environment: str) -> None:
    written = configure(environment)
    hidden = "canary" + str(len(environment))

    try:
        _fail_with(hidden)
    except RuntimeError:
        structlog.get_logger("test").exception("it_failed")

    assert "RuntimeError" in written.getvalue()
    assert hidden not in written.getvalue()


def _fail_with(password: str) -> None:
    assert password
    raise RuntimeError("it went wrong")


def test_records_below_the_level_are_not_written(configure: Configure) -> None:
    written = configure("production")

    structlog.get_logger("test").debug("details")

    assert written.getvalue() == ""


def test_a_setting_by_its_former_name_is_warned_of(configure: Configure, settings: Settings) -> None:
    written = configure("production")
    assert written.getvalue() == ""

    logs.configure(settings.model_copy(update={"dataset_quota_bytes": 5000}))

    [line] = written.getvalue().splitlines()
    assert "setting_deprecated" in line
    assert "DATASET_QUOTA_BYTES" in line
    assert "MAX_USER_BYTES" in line
