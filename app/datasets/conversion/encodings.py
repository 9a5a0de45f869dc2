"""Transcodes text files to UTF-8 before they are read."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from app.datasets.conversion.faults import Fault

PIECE_BYTES: Final = 1024 * 1024
MAX_LINE_BYTES: Final = 1024 * 1024


def in_utf8(source: Path, target: Path, encoding: str) -> None:
    """Transcode a file to UTF-8. Raises a Fault for invalid bytes, a NUL, or a line that is too long."""
    lines = line_bytes = 0
    with source.open("rb") as read, target.open("wb") as written:
        for text in _decode(read, encoding):
            if (index := text.find("\0")) >= 0:
                line = lines + text.count("\n", 0, index) + 1
                raise Fault("bad_row", f"there is a NUL character; is it really {encoding}?", line=line)
            piece = text.encode()
            first = piece.find(b"\n")
            if line_bytes + (len(piece) if first < 0 else first) > MAX_LINE_BYTES:
                raise Fault("bad_row", f"the line is longer than {MAX_LINE_BYTES} bytes", line=lines + 1)
            line_bytes = line_bytes + len(piece) if first < 0 else len(piece) - piece.rfind(b"\n") - 1
            lines += piece.count(b"\n")
            written.write(piece)


def _decode(file: IO[bytes], encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 0
    piece = b"begun"
    while piece:
        piece = file.read(PIECE_BYTES)
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            before = bytes(error.object[: error.start]).decode(encoding, "replace")
            reason = f"this is not {encoding}"
            raise Fault("bad_row", reason, line=lines + before.count("\n") + 1) from None
        except UnicodeError as error:
            raise Fault("bad_file", f"this is not {encoding}: {error}") from None
        lines += text.count("\n")
        yield text
