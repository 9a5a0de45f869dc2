"""What is wrong with a file is said with its line and its reason."""

import gzip
import io
import json
import os
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.core.errors import AppError
from app.datasets.conversion import columns
from app.datasets.conversion.faults import Fault
from app.datasets.errors import DatasetTooLarge
from app.uploads.errors import BadCompression, BadRow
from app.uploads.receiving import MAX_LINE_BYTES, RATIO_GRACE_BYTES, Spool
from tests.datasets.conftest import Preview


def parquet_of(columns: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), file, **options)
    return file.getvalue()


def refusal(read: Preview, content: bytes, file_format: str) -> tuple[str, int | None, str]:
    with pytest.raises(Fault) as refused:
        read(content, file_format)
    return refused.value.code, refused.value.line, refused.value.reason


@pytest.mark.parametrize(
    ("content", "code", "line", "reason"),
    [
        (b"", "bad_file", None, "empty"),
        (b"\n\n", "bad_file", None, "empty"),
        (b"a,b,a\n1,2,3\n", "bad_header", 1, "more than one column is called 'a'"),
        (b"a,,c\n1,2,3\n", "bad_header", 1, "column 2 has no name"),
        (b"a, \n1,2\n", "bad_header", 1, "column 2 has no name"),
        (b"x" * 600 + b"\n1\n", "bad_header", 1, "600 characters"),
        (b",".join(b"c%d" % n for n in range(1001)) + b"\n", "bad_header", 1, "1001 columns"),
        (b"a,b\n1,2\n1,2,3\n", "bad_row", 3, "3 cells, but there are 2 columns"),
        (b"a,b\n1,2\n\n1\n", "bad_row", 4, "1 cells, but there are 2 columns"),
        (b'a,b\n"1\n2\n3",2\n\n"x\ny",2\n4,5,6\n', "bad_row", 8, "3 cells"),
        (b'a,b\r\n1,2\r\n"never closed,2\r\n3,4\r\n', "bad_row", 3, "a quote is never closed"),
        (b'"a\nb",c\n1\n', "bad_row", 3, "1 cells"),
    ],
)
def test_csv(read: Preview, content: bytes, code: str, line: int | None, reason: str) -> None:
    found_code, found_line, found_reason = refusal(read, content, "csv")

    assert (found_code, found_line) == (code, line)
    assert reason in found_reason


def test_a_ragged_row_far_down_has_its_line_too(read: Preview) -> None:
    content = b"a,b\n" + b'1,"two\nlines"\n' * 400_000 + b"1\n" + b"1,2\n" * 10

    assert refusal(read, content, "csv")[:2] == ("bad_row", 800_002)


def test_a_quote_that_is_never_closed_is_found_where_it_opens(read: Preview) -> None:
    content = b"a,b\n" + b"1,2\n" * 1000 + b'1,"never closed\n' + b"1,2\n" * 3_000_000

    code, line, reason = refusal(read, content, "csv")

    assert (code, line) == ("bad_row", 1002)
    assert "quote" in reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[1]", "not an object"),
        (b'"text"', "not an object"),
        (b"{", "cut off"),
        (b'{"a": 1} x', "trailing"),
        (b"{'a': 1}", "JSON"),
        (b'{"a": NaN}', "invalid character"),
        (b'{"a": -Infinity}', "invalid"),
        (b'{"a": 1e999}', "out of range"),
        (b'{"a": 9223372036854775808}', "64 bits"),
        (b'{"a": {"b": [9223372036854775808]}}', "64 bits"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"a": {"\\u0000": 1}}', "NUL"),
        (b'{"a\\u0000": 1}', "NUL"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"": 1}', "no name"),
        (b'{"a": ' + b"[" * 25 + b"]" * 25 + b"}", "nested deeper than 20"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested deeper than 20"),
        (json.dumps({f"c{n}": 1 for n in range(1001)}).encode(), "more than 1000 columns"),
    ],
)
def test_jsonl(read: Preview, line: bytes, reason: str) -> None:
    content = b'{"fine": 1}\n\n' + line + b'\n{"fine": 1}\n'

    found_code, found_line, found_reason = refusal(read, content, "jsonl")

    assert (found_code, found_line) == ("bad_row", 3)
    assert reason in found_reason


def test_jsonl_without_a_value_is_empty(read: Preview) -> None:
    assert refusal(read, b"\n {} \n\n", "jsonl")[0] == "bad_file"


@pytest.mark.parametrize(
    ("table", "code", "line", "reason"),
    [
        ({"x": [0.5, float("nan")]}, "bad_row", 2, "column 'x' is not a finite number"),
        ({"x": [float("-inf")]}, "bad_row", 1, "column 'x' is not a finite number"),
        ({"x": pa.array([2**63], pa.uint64())}, "bad_row", 1, "column 'x' does not fit"),
        ({"x": ["a", "b\0"]}, "bad_row", 2, "column 'x' has a NUL"),
        ({"x": ["x" * (1024 * 1024 + 1)]}, "bad_row", 1, "longer than"),
        ({"x": pa.array([-(10**9)], pa.date32())}, "bad_row", 1, "years 1 and 9999"),
        ({"x": pa.array([2**60], pa.timestamp("us"))}, "bad_row", 1, "years 1 and 9999"),
        ({"x": pa.array([2**62], pa.timestamp("ms"))}, "bad_row", 1, "column 'x' does not fit"),
        ({"x": [[0.5], [float("nan")]]}, "bad_row", 2, "not finite"),
        ({"x": [[2**63 - 1], ["a\0"]][1:]}, "bad_row", 1, "NUL"),
        ({"x": [b"bytes"]}, "bad_header", 1, "column 'x' is of the type binary"),
        ({"x": pa.array([1], pa.duration("s"))}, "bad_header", 1, "column 'x' is of the type duration"),
        ({"x": [[b"bytes"]]}, "bad_row", 1, "no JSON"),
        ({" ": [1]}, "bad_header", 1, "no name"),
        (pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]), "bad_header", 1, "'x'"),
        ({f"c{n}": [1] for n in range(1001)}, "bad_header", 1, "1001 columns"),
    ],
)
def test_parquet(read: Preview, table: Any, code: str, line: int, reason: str) -> None:
    found_code, found_line, found_reason = refusal(read, parquet_of(table), "parquet")

    assert (found_code, found_line) == (code, line)
    assert reason in found_reason


@pytest.mark.parametrize("place", [0, 1, 11, 30, 400, -1, -6, -9])
def test_parquet_that_is_cut_off_or_damaged_is_no_parquet(read: Preview, place: int) -> None:
    whole = parquet_of({"x": list(range(1000)), "y": [str(n) for n in range(1000)]})

    assert refusal(read, whole[:place], "parquet")[0] == "bad_file"


def test_parquet_whose_footer_lies_about_its_length_is_not_believed(read: Preview) -> None:
    whole = parquet_of({"x": [1]})

    assert refusal(read, whole[:-8] + struct.pack("<I", 2**31) + b"PAR1", "parquet")[0] == "bad_file"


def test_random_damage_never_does_worse_than_a_refusal(read: Preview) -> None:
    whole = bytearray(parquet_of({"x": list(range(300)), "y": ["some text"] * 300}))
    for place in range(4, len(whole), 37):
        damaged = bytes(whole[:place]) + bytes([whole[place] ^ 0x55]) + bytes(whole[place + 1 :])
        try:
            read(damaged, "parquet")
        except Fault:
            continue


def test_every_name_that_is_taken_is_quoted_briefly() -> None:
    names = ["x" * 400] * 2

    with pytest.raises(Fault) as refused:
        columns.check_names(names, line=1)

    assert len(refused.value.reason) < 100


# What is known of the bytes alone, as they arrive


def spool(folder: Path, *, limit: int = 10**9, is_gzip: bool = False) -> Spool:
    return Spool(
        folder / "content",
        limit_bytes=limit,
        too_large=DatasetTooLarge(limit=limit),
        is_text=True,
        is_gzip=is_gzip,
    )


def arrive(arriving: Spool, content: bytes, chunk_bytes: int) -> AppError | None:
    """Take in the content chunk by chunk; gives the refusal, if it was one."""
    try:
        for start in range(0, len(content), chunk_bytes):
            arriving.take(content[start : start + chunk_bytes])
        arriving.finish()
    except AppError as error:
        return error
    finally:
        arriving.close()
    return None


@pytest.mark.parametrize("chunk_bytes", [1, 3, 7, 1000, 10**9])
@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"a,b\n1,2\n3,\xff\n4,5\n", 3, "not UTF-8"),
        (b"a,b\n1,2\n3,\xe2\x82\n", 3, "not UTF-8"),
        (b"a,b\n1,2\n3,\xe2\x82", 3, "not UTF-8"),
        (b"a\n\xed\xa0\x80\n", 2, "not UTF-8"),
        (b"a\n\nb\x00c\n", 3, "NUL"),
    ],
)
def test_what_is_no_text_is_refused_by_its_line_however_it_is_cut(
    tmp_path: Path, content: bytes, line: int, reason: str, chunk_bytes: int
) -> None:
    refused = arrive(spool(tmp_path), content, chunk_bytes)

    assert isinstance(refused, BadRow)
    assert refused.facts["line"] == line
    assert reason in refused.facts["reason"]


@pytest.mark.parametrize("chunk_bytes", [100_000, 2**20, 10**9])
def test_a_line_has_a_limit_and_is_not_waited_for(tmp_path: Path, chunk_bytes: int) -> None:
    fits = b"a\n" + b"x" * (MAX_LINE_BYTES) + b"\n" + b"y" * MAX_LINE_BYTES
    (tmp_path / "fits").mkdir()

    assert arrive(spool(tmp_path / "fits"), fits, chunk_bytes) is None
    refused = arrive(spool(tmp_path), fits + b"y" * 10_000_000, chunk_bytes)

    assert isinstance(refused, BadRow)
    assert refused.facts["line"] == 3
    assert (tmp_path / "content").stat().st_size < 3 * MAX_LINE_BYTES + chunk_bytes


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 10**9])
def test_gzip_of_one_stream_or_several_is_the_file_within(tmp_path: Path, chunk_bytes: int) -> None:
    content = b"a,b\n" + b"1,2\n" * 5000

    refused = arrive(
        spool(tmp_path, is_gzip=True),
        gzip.compress(content[:100]) + gzip.compress(content[100:]),
        chunk_bytes,
    )

    assert refused is None
    assert (tmp_path / "content").read_bytes() == content


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip at all", gzip.compress(b"x" * 1000)[:-5], gzip.compress(b"x") + b"garbage"],
    ids=["empty", "plain", "cut off", "garbage behind"],
)
def test_what_is_no_gzip_is_refused(tmp_path: Path, content: bytes) -> None:
    assert isinstance(arrive(spool(tmp_path, is_gzip=True), content, 1000), BadCompression)


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    bomb = gzip.compress((b"0" * 1023 + b"\n") * 60_000)

    refused = arrive(spool(tmp_path, is_gzip=True), bomb, 100_000)

    assert isinstance(refused, BadCompression)
    assert "times its size" in refused.facts["reason"]
    assert (tmp_path / "content").stat().st_size <= RATIO_GRACE_BYTES + 200 * 100_000


def test_what_is_inflated_counts_and_not_what_was_sent(tmp_path: Path) -> None:
    content = gzip.compress(os.urandom(600_000).hex().encode().replace(b"0", b"\n"))

    assert isinstance(
        arrive(spool(tmp_path, limit=1_000_000, is_gzip=True), content, 10_000), DatasetTooLarge
    )
