"""What can be wrong with the wish to open a stream."""

from app.core.errors import AppError


class TooManyStreams(AppError):
    """{streams} streams are open already; the limit is {limit}."""

    status = 429
    code = "too_many_streams"
    title = "Too many streams"
    retry_after = 5
