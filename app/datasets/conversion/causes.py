"""Finds the cause of a fault for which a library only reports where it stopped."""

import re
from pathlib import Path
from typing import Final

from app.datasets.conversion.faults import Fault
from app.datasets.values import Format
from app.uploads import signatures

_MAGIC: Final = b"PAR1"
_ENCRYPTED: Final = b"PARE"
_BOM: Final = b"\xef\xbb\xbf"
_NOT_JSON: Final = re.compile(rb'(?<![\w"])(NaN|-?Infinity|None|True|False|undefined)(?![\w"])')
_TEXTS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_MAX_LINE_BYTES: Final = 1024 * 1024
_WRITE: Final = {
    b"NaN": "null",
    b"Infinity": "null",
    b"-Infinity": "null",
    b"undefined": "null",
    b"None": "null",
    b"True": "true",
    b"False": "false",
}


def explain(source: Path, file_format: Format, fault: Fault) -> Fault:
    """A fault with the actual cause, or the same fault."""
    match file_format:
        case Format.CSV:
            return _explain_csv(fault)
        case Format.JSONL:
            return _explain_jsonl(source, fault)
        case Format.PARQUET:
            return _explain_parquet(source, fault)


def _explain_csv(fault: Fault) -> Fault:
    # Arrow calls a file empty if it has a header without a line end.
    return Fault("bad_file", "it has no rows") if "Empty CSV file" in fault.reason else fault


def _explain_jsonl(source: Path, fault: Fault) -> Fault:
    if fault.code != "bad_row" or fault.line is None:
        return fault
    with source.open("rb") as file:
        first = file.read(signatures.CHECKED_BYTES).removeprefix(_BOM).lstrip()
    if first.startswith(b"[") and fault.line == 1:
        return Fault("bad_file", "it is a JSON array; write one object per line, without the brackets")
    if first.startswith(b"[") and first[1:].lstrip().startswith(b"{"):
        return Fault("bad_file", "it is a JSON array; write one object per line, without the brackets")
    line = _line(source, fault.line)
    if line.strip() in (b"{", b"["):
        return Fault(
            "bad_row", "the object continues on the next line; write each object on one line", line=fault.line
        )
    if (found := _NOT_JSON.search(_TEXTS.sub(b'""', line))) is not None:
        word = found[1]
        return Fault("bad_row", f"{word.decode()} is not JSON; write {_WRITE[word]}", line=fault.line)
    return fault


def _explain_parquet(source: Path, fault: Fault) -> Fault:
    if fault.code == "bad_header":
        # The columns of a Parquet file are not on a line.
        return Fault("bad_header", fault.reason)
    if fault.code != "bad_file":
        return fault
    with source.open("rb") as file:
        first = file.read(signatures.CHECKED_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - len(_MAGIC)))
        last = file.read()
    if not size:
        return Fault("bad_file", "it is empty")
    if first.startswith(_ENCRYPTED):
        return Fault("bad_file", "it is encrypted; write it without encryption")
    if not first.startswith(_MAGIC):
        return Fault("bad_file", signatures.foreign(first) or "it is not Parquet")
    if last != _MAGIC:
        return Fault("bad_file", "it is cut off; upload it again")
    return fault


def _line(source: Path, number: int) -> bytes:
    with source.open("rb") as file:
        for line_number, line in enumerate(file, start=1):
            if line_number == number:
                return line[:_MAX_LINE_BYTES]
    return b""
