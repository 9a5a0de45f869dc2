"""Errors raised when a stream is opened."""

from app.core.errors import AppError


class TooManyStreams(AppError):
    """Too many open streams: {streams} of {limit}. Close a stream before you open another."""

    status = 429
    code = "too_many_streams"
    title = "Too many streams"
    retry_after = 5
