"""Connects commands to the server, and turns the client's errors into those of the command line."""

import getpass
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from app.cli.advice import COMMAND_ADVICE
from app.cli.errors import CommandFailed, ExitCode, UsageError
from app.cli.jobs.options import ServerOptions
from app.client import Headrace, HeadraceError, MissingCredentials, RetryConfig, transport

RETRY: Final = RetryConfig(retry_seconds=5.0)
"""Shorter than the client's default: a person waits, and the URL may be wrong."""


def account(server: ServerOptions) -> dict[str, Any]:
    """The client's arguments: from the options, else the environment; asks a terminal for a missing password.

    Raises MissingCredentials.
    """
    given = transport.Account(
        url=server.url, username=server.username, password=server.password, token=server.token
    )
    try:
        return transport.account(given)
    except MissingCredentials:
        username = server.username or os.environ.get("HEADRACE_USERNAME")
        if not (username and sys.stdin.isatty()):
            raise
        given["password"] = getpass.getpass(f"Password for {username}: ")
        return transport.account(given)


def connect(account: dict[str, Any]) -> Headrace:
    """A client of this account."""
    return Headrace(**account, retry_config=RETRY)


@contextmanager
def client_errors() -> Iterator[None]:
    """Raise the client's errors as those of the command line."""
    try:
        yield
    except MissingCredentials as error:
        raise UsageError(error.detail, code="missing_credentials") from error
    except ValueError as error:  # a URL or an option that the client rejects before it sends anything
        raise UsageError(str(error)) from error
    except HeadraceError as error:
        code = code_of(error)
        advice = COMMAND_ADVICE.get(code)
        raise CommandFailed(str(error), code=code, facts=error.facts, advice=advice) from error
    except BrokenPipeError:
        # The reader closed the pipe, as `head` does. Python would fail again when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(ExitCode.FAILURE) from None


def code_of(error: HeadraceError) -> str:
    """The server's code of an error, or the name of its class (`unreachable`) where the server gave none."""
    return error.code or re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
