"""Errors of the embedded servers."""

from pathlib import Path


class EmbeddedServerError(Exception):
    """An embedded server did not start; the message has the reason and the end of its log."""

    def __init__(self, server: str, reason: str, *, log_path: Path | None = None, log_tail: str = ""):
        self.server = server
        self.reason = reason
        self.log_tail = log_tail
        message = f"{server} did not start: {reason}"
        if log_tail:
            message += f"\nThe last lines of {log_path}:\n{log_tail}"
        super().__init__(message)
