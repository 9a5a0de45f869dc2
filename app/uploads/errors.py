"""Errors of receiving an uploaded file."""

from app.core.errors import AppError, Unprocessable


class SpoolFull(AppError):
    """{whose} uploads in flight have {limit} bytes already. Send this one when another is done."""

    status = 429
    code = "too_many_uploads"
    title = "Too many uploads"
    retry_after = 5


class UploadStalled(AppError):
    """Nothing of the file arrived for {seconds} seconds."""

    status = 408
    code = "upload_stalled"
    title = "Upload stalled"


class BadUpload(Unprocessable):
    """The request does not carry a file: {reason}."""

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
    """Line {line}: {reason}."""

    code = "bad_row"
    title = "Bad row"
