"""Recognises files that are not text by their first bytes, and says how to convert them."""

from typing import Final

CHECKED_BYTES: Final = 4096
"""How many of the first bytes are checked."""

_TEXT: Final = "save it as UTF-8 (in Excel: CSV UTF-8)"
_UTF_16: Final = "it is UTF-16; set ?encoding={}, or " + _TEXT
_WORKBOOK: Final = f"it is an Excel workbook; {_TEXT}"

_BY_FIRST_BYTES: Final = (
    (b"\x1f\x8b", "it is gzip; set Content-Encoding: gzip"),
    (b"\xff\xfe\x00\x00", f"it is UTF-32; {_TEXT}"),
    (b"\x00\x00\xfe\xff", f"it is UTF-32; {_TEXT}"),
    (b"\xff\xfe", _UTF_16.format("utf-16")),
    (b"\xfe\xff", _UTF_16.format("utf-16")),
    (b"PAR1", "it is Parquet; set Content-Type: application/vnd.apache.parquet"),
    (b"%PDF-", "it is a PDF; a dataset is CSV, JSON Lines or Parquet"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _WORKBOOK),
    (b"BZh", "it is bzip2; send it uncompressed or with gzip"),
    (b"\xfd7zXZ\x00", "it is xz; send it uncompressed or with gzip"),
    (b"\x28\xb5\x2f\xfd", "it is Zstandard; send it uncompressed or with gzip"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7-Zip archive; send the file in it, uncompressed or with gzip"),
    (b"ARROW1", "it is an Arrow file; write it as Parquet"),
    (b"SQLite format 3\x00", "it is an SQLite database; export the table as CSV"),
)
_ZIP: Final = b"PK\x03\x04"
_HTML: Final = (b"<!doctype html", b"<html", b"<?xml")
_BLANK: Final = b" \t\r\n"
_BOM: Final = b"\xef\xbb\xbf"
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))
_BINARY_SHARE: Final = 0.05
_FEWEST: Final = 8
"""Shorter files are not checked for UTF-16 without a byte order mark, or for binary content."""


def foreign(start: bytes) -> str | None:
    """Why a file that starts like this is not a text file; None if it may be one."""
    start = start[:CHECKED_BYTES]
    for first_bytes, reason in _BY_FIRST_BYTES:
        if start.startswith(first_bytes):
            return reason
    if start.startswith(_ZIP):
        is_workbook = b"[Content_Types].xml" in start or b"xl/" in start or b"_rels/" in start
        return (
            _WORKBOOK
            if is_workbook
            else "it is a zip archive; send the file in it, uncompressed or with gzip"
        )
    if start.removeprefix(_BOM).lstrip(_BLANK)[:20].lower().startswith(_HTML):
        return "it is an HTML or XML page, perhaps an error page of the site that it was downloaded from"
    if len(start) < _FEWEST:
        return None
    if (encoding := _utf_16(start)) is not None:
        return _UTF_16.format(encoding)
    if len(start) - len(start.translate(None, _CONTROLS)) > _BINARY_SHARE * len(start):
        return "it is a binary file, not text; a dataset is CSV, JSON Lines or Parquet"
    return None


def _utf_16(start: bytes) -> str | None:
    """The UTF-16 variant in which every other byte is NUL, as in most Latin text; None if neither is."""
    even, odd = start[::2], start[1::2]
    for encoding, zeros, others in (("utf-16-be", even, odd), ("utf-16-le", odd, even)):
        if zeros.count(0) > 0.7 * len(zeros) and others.count(0) == 0:
            return encoding
    return None
