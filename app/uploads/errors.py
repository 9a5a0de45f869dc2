"""Errors of uploads of any kind."""

from app.core.errors import AppError, Unprocessable


class SpoolFull(AppError):
    """{whose} uploads in progress have reached {limit} bytes. Retry when another upload has finished."""

    status = 429
    code = "too_many_uploads"
    title = "Too many uploads"
    retry_after = 5


class UploadStalled(AppError):
    """No data arrived for {seconds} seconds. Upload the file again over a faster connection."""

    status = 408
    code = "upload_stalled"
    title = "Upload stalled"


class BadUpload(Unprocessable):
    """The request has no valid file: {reason}."""

    code = "bad_upload"
    title = "Bad upload"


class BadCompression(Unprocessable):
    """The gzip data cannot be decompressed: {reason}."""

    code = "bad_compression"
    title = "Bad compression"


class BadFile(Unprocessable):
    """The file cannot be read: {reason}."""

    code = "bad_file"
    title = "Bad file"


class BadRow(Unprocessable):
    """Line {line} is not valid: {reason}."""

    code = "bad_row"
    title = "Bad row"
