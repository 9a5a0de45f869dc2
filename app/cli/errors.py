"""Errors that end a command, with the exit code of each."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, ClassVar


class ExitCode(IntEnum):
    """Exit codes of every command, as docs/cli.md documents them."""

    SUCCESS = 0
    FAILURE = 1
    USAGE = 2
    INTERRUPTED = 130
    TERMINATED = 143


class CommandFailed(Exception):
    """The command failed: `detail` is one sentence for the terminal; `--json` adds `code` and `facts`.

    `advice` is what to try next, for people only.
    """

    code: str = "command_failed"
    exit_code: ClassVar[ExitCode] = ExitCode.FAILURE

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        facts: Mapping[str, Any] | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.facts = facts or {}
        self.advice = advice


class CannotStart(CommandFailed):
    """A process, a port or a server that the command needs is not available."""

    code = "cannot_start"


class UsageError(CommandFailed):
    """The arguments or the environment variables do not make sense."""

    code = "usage_error"
    exit_code = ExitCode.USAGE


class Interrupted(CommandFailed):
    """The user pressed Ctrl+C."""

    code = "interrupted"
    exit_code = ExitCode.INTERRUPTED
