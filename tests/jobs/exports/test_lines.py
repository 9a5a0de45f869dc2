"""Rows of NDJSON are the stored bytes with their numbers in front."""

import pytest

from app.jobs import views
from app.jobs.results import ResultBatch

ROWS = [b'{"prediction":1}', '{"id":"ü\u2028x","prediction":"日本"}'.encode(), b'{"error":{"code":"a\xff"}}']


@pytest.mark.parametrize(
    "batch",
    [
        ResultBatch(0, 7, b"\n".join(ROWS)),
        ResultBatch(0, 7, b"\n".join(ROWS) + b"\n"),
        ResultBatch(0, 7, b"\n".join(ROWS), chosen=[9, 12, 40]),
        ResultBatch(0, 7, b"\r\n".join(ROWS)),
        ResultBatch(0, 7, b'{"prediction":\r1}\n{}'),
        ResultBatch(0, 7, b""),
    ],
)
def test_lines_have_the_same_bytes_however_they_are_made(batch: ResultBatch) -> None:
    assert views.numbered_lines(batch) == b"".join(row + b"\n" for row in views.result_rows(batch))
