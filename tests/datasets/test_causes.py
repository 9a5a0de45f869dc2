"""A file that is refused is refused by its cause, in words that say what to do."""

import gzip
import io
import json
import zipfile
from datetime import time
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.uploads import signatures
from tests.datasets.conftest import MEDIA_TYPES, Upload
from tests.support.accounts import Account

TEXT = "text,stars\nIt works.,5\nGrüße,2\n"


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns or {"a": [1, 2, 3]}), file)
    return file.getvalue()


def archive(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name in names:
            packed.writestr(name, "a,b\n1,2\n" * 50)
    return file.getvalue()


WORKBOOK = archive("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml")

NO_TEXTS = {
    "UTF-16 as Excel writes it": (
        TEXT.encode("utf-16"),
        "it is UTF-16; set ?encoding=utf-16, or save",
    ),
    "UTF-16, the other end first": (
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        "it is UTF-16; set ?encoding=utf-16, or save it as UTF-8",
    ),
    "UTF-16 without a mark": (TEXT.encode("utf-16-le"), "it is UTF-16; set ?encoding=utf-16-le, or"),
    "UTF-16-BE without a mark": (
        TEXT.encode("utf-16-be"),
        "it is UTF-16; set ?encoding=utf-16-be, or",
    ),
    "UTF-32": (TEXT.encode("utf-32"), "it is UTF-32; save it as UTF-8"),
    "a workbook": (WORKBOOK, "it is an Excel workbook; save it as UTF-8"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "it is an Excel workbook"),
    "gzip": (gzip.compress(TEXT.encode()), "it is gzip; set Content-Encoding: gzip"),
    "a zip": (archive("data.csv"), "it is a zip archive; send the file in it"),
    "Parquet": (parquet(), "it is Parquet; set Content-Type: application/vnd.apache.parquet"),
    "a PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "it is a PDF"),
    "bzip2": (b"BZh91AY&SY" + bytes(40), "it is bzip2"),
    "xz": (b"\xfd7zXZ\x00\x00\x04" + bytes(40), "it is xz"),
    "Zstandard": (b"\x28\xb5\x2f\xfd" + bytes(40), "it is Zstandard"),
    "a page": (b"<!DOCTYPE html>\n<html><body>404, not found</body></html>\n", "it is an HTML or XML page"),
    "another page": (b"\xef\xbb\xbf \n<HTML lang=en>\n", "it is an HTML or XML page"),
    "XML": (b'<?xml version="1.0"?>\n<rows/>\n', "it is an HTML or XML page"),
    "a database": (b"SQLite format 3\x00" + bytes(100), "it is an SQLite database"),
    "a program": (b"\x7fELF\x02\x01\x01" + bytes(200), "it is a binary file"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, "it is a binary file"),
}


async def refused(answer: httpx.Response, code: str) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (422, code), answer.text
    return problem


@pytest.mark.parametrize("name", NO_TEXTS)
async def test_what_is_no_text_is_named(upload: Upload, name: str) -> None:
    content, reason = NO_TEXTS[name]
    for file_format in ("csv", "jsonl"):
        problem = await refused(
            await upload(content, **{"Content-Type": MEDIA_TYPES[file_format]}), "bad_file"
        )
        assert problem["reason"].startswith(reason)
        assert problem["detail"] == f"The file cannot be read: {problem['reason']}."


@pytest.mark.parametrize(
    "name", ["UTF-16 as Excel writes it", "a workbook", "gzip", "a zip", "a PDF", "a page"]
)
async def test_what_is_no_parquet_is_named(upload: Upload, name: str) -> None:
    content, reason = NO_TEXTS[name]
    answer = await upload(content, **{"Content-Type": MEDIA_TYPES["parquet"]})

    assert (await refused(answer, "bad_file"))["reason"].startswith(reason)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (parquet()[:-1], "it is cut off; upload it again"),
        (parquet()[:-200], "it is cut off; upload it again"),
        (parquet()[: len(parquet()) // 2], "it is cut off; upload it again"),
        (parquet() + b"\n", "it is cut off; upload it again"),
        (b"PAR1", "it is not a Parquet file"),
        (b"PARE" + parquet()[4:-4] + b"PARE", "it is encrypted; write it without encryption"),
        (TEXT.encode(), "it is not Parquet"),
        (b"", "it is empty"),
    ],
)
async def test_a_parquet_file_that_is_damaged_says_how(upload: Upload, content: bytes, reason: str) -> None:
    answer = await upload(content, **{"Content-Type": MEDIA_TYPES["parquet"]})

    assert (await refused(answer, "bad_file"))["reason"] == reason


@pytest.mark.parametrize(
    "content", [b"a,b\r1,2\r", b"a\r", b"sep=;\na;b\r1;2\r", b'"a",b\r1,"x"\r3,4', b"\xef\xbb\xbfa\r1\r"]
)
async def test_a_csv_file_whose_lines_end_with_cr_alone_says_so(upload: Upload, content: bytes) -> None:
    answer = await upload(content)

    assert (await refused(answer, "bad_file"))[
        "reason"
    ] == "its lines end with CR alone; save it with LF or CRLF"


async def test_a_column_of_parquet_that_cannot_be_taken_is_on_no_line(upload: Upload) -> None:
    content = parquet(shop=["a"], opens=pa.array([time(9)], pa.time64("us")))

    answer = await upload(content, **{"Content-Type": MEDIA_TYPES["parquet"]})

    problem = await refused(answer, "bad_header")
    assert "line" not in problem
    assert problem["detail"].startswith(
        "The columns of the file are not supported: column 'opens' is of the type"
    )


@pytest.mark.parametrize("content", [b"a,b", b"a,b\n", b"a,b\r\n\r\n", b"\xef\xbb\xbfa,b", b'"a","b"'])
async def test_a_header_alone_has_no_rows(upload: Upload, content: bytes) -> None:
    assert (await refused(await upload(content), "bad_file"))["reason"] == "it has no rows"


@pytest.mark.parametrize("content", [b"", b"\n", b" \n\n"])
async def test_a_file_without_anything_is_empty(upload: Upload, content: bytes) -> None:
    problem = await refused(await upload(content), "bad_file" if not content.strip(b"\n") else "bad_header")
    assert problem["reason"]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ('{"a": NaN}', "NaN is not JSON; write null"),
        ('{"a": [1, -Infinity]}', "-Infinity is not JSON; write null"),
        ('{"a": Infinity, "b": "NaN"}', "Infinity is not JSON; write null"),
        ('{"a": None}', "None is not JSON; write null"),
        ('{"a": True}', "True is not JSON; write true"),
        ('{"a": undefined}', "undefined is not JSON; write null"),
        (json.dumps({"a": 'say "NaN"', "b": float("nan")}), "NaN is not JSON; write null"),
    ],
)
async def test_what_python_and_javascript_write_is_no_json(upload: Upload, written: str, reason: str) -> None:
    content = f'{{"a": 1.5}}\n{written}\n'.encode()

    problem = await refused(await upload(content, **{"Content-Type": MEDIA_TYPES["jsonl"]}), "bad_row")

    assert (problem["line"], problem["reason"]) == (2, reason)


async def test_a_text_may_hold_such_a_word(upload: Upload) -> None:
    content = b'{"a": "NaN, None, Infinity"}\n{"a": x}\n'

    problem = await refused(await upload(content, **{"Content-Type": MEDIA_TYPES["jsonl"]}), "bad_row")

    assert problem["line"] == 2
    assert "not JSON; write" not in problem["reason"]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([{"a": 1}, {"a": 2}]).encode(),
        json.dumps([{"a": 1}, {"a": 2}], indent=2).encode(),
        b'\xef\xbb\xbf[{"a": 1},\n{"a": 2}]',
        b'[\n{"a": 1},\n{"a": 2}\n]\n',
        b"[]",
    ],
)
async def test_a_json_array_is_told_from_lines_of_json(upload: Upload, content: bytes) -> None:
    problem = await refused(await upload(content, **{"Content-Type": MEDIA_TYPES["jsonl"]}), "bad_file")

    assert problem["reason"] == "it is a JSON array; write one object per line, without the brackets"


async def test_json_over_several_lines_is_told_from_lines_of_json(upload: Upload) -> None:
    content = json.dumps({"a": 1, "b": 2}, indent=2).encode()

    problem = await refused(await upload(content, **{"Content-Type": MEDIA_TYPES["jsonl"]}), "bad_row")

    assert problem["reason"] == "the object continues on the next line; write each object on one line"


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "a\n1\n",
        "PK,PARK\n1,2\n",
        "<b>,html\n1,2\n",
        "name,note\nx,\x1b[31mred\x1b[0m\n",
        "日本語,中文\n一,二\n",
        "[x],{y}\n1,2\n",
        "é\nè\n",
        "BZ,h\n1,2\n",
    ],
)
async def test_a_text_is_taken_for_a_text(upload: Upload, text: str) -> None:
    assert (await upload(text.encode())).status_code == 201
    assert signatures.foreign(text.encode()) is None


async def test_a_flaw_in_a_text_is_still_told_with_its_line(upload: Upload) -> None:
    rows = b"a,b\n" + b"1,2\n" * 100
    for flaw in (b"1,\0\n", b"\xff,2\n"):
        assert (await refused(await upload(rows + flaw), "bad_row"))["line"] == 102


@pytest.mark.parametrize("name", [name for name in NO_TEXTS if name.startswith("UTF-16")])
async def test_utf_16_is_read_with_the_encoding_that_its_refusal_names(
    client: httpx.AsyncClient, alice: Account, upload: Upload, name: str
) -> None:
    content, _ = NO_TEXTS[name]
    reason = (await refused(await upload(content), "bad_file"))["reason"]
    encoding = reason.partition("?encoding=")[2].partition(",")[0]

    headers = {**alice.headers, "Content-Type": MEDIA_TYPES["csv"]}
    path = f"/datasets?name=rows&encoding={encoding}"
    answer = await client.post(path, content=content, headers=headers)

    assert answer.status_code == 201, answer.text
    assert [column["name"] for column in answer.json()["columns"]] == ["text", "stars"]


async def test_a_file_in_gzip_is_judged_by_what_is_within(upload: Upload) -> None:
    packed = gzip.compress(TEXT.encode("utf-16"))
    twice = gzip.compress(gzip.compress(TEXT.encode()))

    first = await refused(await upload(packed, **{"Content-Encoding": "gzip"}), "bad_file")
    second = await refused(await upload(twice, **{"Content-Encoding": "gzip"}), "bad_file")

    assert first["reason"].startswith("it is UTF-16")
    assert second["reason"].startswith("it is gzip")
