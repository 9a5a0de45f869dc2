"""The inputs of a job beside those of the training: what is found, and nothing without cause."""

import math
import random
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.worker.training import data
from worker.columnar import TableRows
from worker.context import BadInput
from worker.drift import profile
from worker.drift.comparison import Comparison
from worker.drift.profile import Profile
from worker.training import profiling
from worker.training.plan import make_plan
from worker.training.table import to_arrow

Row = dict[str, Any]
Change = Callable[[Row], Row]


def rows_of(count: int, seed: int = 1) -> list[Row]:
    """Rows with a column of each kind."""
    chance = random.Random(seed)
    start = date(2026, 1, 1)
    return [
        {
            "amount": chance.gauss(100, 15),
            "country": chance.choice(["at", "ch", "de", "fr"]),
            "note": "word " * chance.randint(3, 12) + str(chance.random()),
            "day": (start + timedelta(days=chance.randint(0, 300))).isoformat(),
            "is_new": chance.choice([True, False]),
            "age": chance.choice([None, *range(20, 60)]),
            "target": chance.choice(["yes", "no"]),
        }
        for _ in range(count)
    ]


TRAINED = rows_of(2000)


@pytest.fixture(scope="module")
def known() -> Profile:
    return profile_of(TRAINED)


def profile_of(rows: list[Row]) -> Profile:
    return profiling.of_plan(make_plan(to_arrow(rows), data.params()))


def compare(known: Profile, rows: list[Row], batch_size: int = 250) -> list[dict[str, Any]]:
    compared = Comparison(known, {})
    for batch in batches(rows, batch_size):
        compared.add(batch)
    found: list[dict[str, Any]] = compared.result()["drift"]
    return found


def batches(rows: list[Row], size: int) -> Iterator[TableRows]:
    table = to_arrow(rows)
    for first in range(0, len(rows), size):
        yield TableRows(table.slice(first, size))


def test_every_kind_of_column_has_a_profile(known: Profile) -> None:
    assert {column.name: column.content for column in known.columns} == {
        "amount": "number",
        "country": "category",
        "note": "text",
        "day": "date",
        "is_new": "boolean",
        "age": "number",
    }
    assert all(column.rows == 2000 for column in known.columns)


def test_the_rows_of_the_training_do_not_differ(known: Profile) -> None:
    assert compare(known, TRAINED) == []


@pytest.mark.parametrize("count", [1, 10, 49, 60, 500, 5000])
def test_other_rows_of_the_same_kind_do_not_differ(known: Profile, count: int) -> None:
    assert compare(known, rows_of(count, seed=count)) == []


@pytest.mark.parametrize(
    ("change", "column", "kind"),
    [
        (lambda row: row | {"amount": row["amount"] + 20}, "amount", "shifted"),
        (lambda row: row | {"amount": row["amount"] * 1000}, "amount", "shifted"),
        (lambda row: row | {"day": row["day"].replace("2026", "2027")}, "day", "shifted"),
        (lambda row: row | {"is_new": True}, "is_new", "shifted"),
        (lambda row: row | {"note": row["note"] * 3}, "note", "shifted"),
        (lambda row: row | {"country": "at"}, "country", "shifted"),
        (lambda row: row | ({"country": "it"} if row["is_new"] else {}), "country", "unseen_categories"),
        (lambda row: row | ({"age": None} if row["is_new"] else {}), "age", "missing"),
        (lambda row: row | ({"country": None} if row["is_new"] else {}), "country", "missing"),
    ],
)
def test_a_difference_is_found_in_its_column_only(
    known: Profile, change: Change, column: str, kind: str
) -> None:
    found = compare(known, [change(row) for row in rows_of(1000, seed=3)])

    assert kind in [warning["kind"] for warning in found]
    assert {warning["column"] for warning in found} == {column}
    assert all(repr(column) in warning["message"] for warning in found)


def test_new_categories_are_named_with_their_numbers(known: Profile) -> None:
    changed = [row | {"country": "it" if place % 10 else "es"} for place, row in enumerate(rows_of(100))]

    [warning] = [found for found in compare(known, changed) if found["kind"] == "unseen_categories"]

    assert warning["value"] == 1.0
    assert warning["message"].endswith("that no training row has: 'it' (90), 'es' (10).")


def test_a_column_that_is_gone_is_missing(known: Profile) -> None:
    without = [{name: value for name, value in row.items() if name != "age"} for row in rows_of(100)]

    [warning] = compare(known, without)

    assert (warning["column"], warning["kind"], warning["value"]) == ("age", "missing", 1.0)


def test_with_many_categories_none_is_called_new() -> None:
    rows = [row | {"country": f"c{place % 150}"} for place, row in enumerate(rows_of(3000))]
    known = profile_of(rows)

    found = compare(known, [row | {"country": "elsewhere"} for row in rows_of(500)])

    assert [warning["kind"] for warning in found] == ["shifted"]


def test_counts_that_are_resumed_are_those_of_one_run(known: Profile) -> None:
    rows = [row | {"country": f"new {place % 30}"} for place, row in enumerate(rows_of(1000, seed=9))]
    at_once, resumed = Comparison(known, {}), Comparison(known, {})
    for batch in batches(rows, 100):
        at_once.add(batch)
        resumed = Comparison.from_checkpoint(known, {}, resumed.checkpoint())
        resumed.add(batch)

    assert resumed.checkpoint() == at_once.checkpoint()
    assert resumed.result() == at_once.result() != {"warnings": [], "drift": []}


def test_the_counts_have_a_bounded_size(known: Profile) -> None:
    compared = Comparison(known, {})
    sizes = []
    for batch in batches([row | {"country": f"{place} new"} for place, row in enumerate(rows_of(3000))], 300):
        compared.add(batch)
        sizes.append(len(compared.checkpoint()))

    assert max(sizes) < 1.2 * sizes[0]


def test_a_checkpoint_of_something_else_is_refused(known: Profile) -> None:
    with pytest.raises(BadInput):
        Comparison.from_checkpoint(known, {}, b"\xc1")


@given(seed=st.integers(0, 2**32), count=st.integers(60, 200), variety=st.integers(1, 100))
@hypothesis_settings(max_examples=25)
def test_whatever_the_columns_hold_the_rows_of_the_training_do_not_differ(
    seed: int, count: int, variety: int
) -> None:
    chance = random.Random(seed)
    texts = ["", "7", "n/a", *(f"{place} words of {seed}" for place in range(variety))]
    numbers = [None, math.inf, -0.0, 1e300, *(chance.gauss(0, 10**place) for place in range(5))]
    rows = [
        {
            "few": chance.choice(texts[:6]),
            "text": chance.choice([None, *texts]),
            "number": chance.choice(numbers),
            "mixed": chance.choice([*texts, *numbers]),
            "decimal": round(chance.random(), chance.randint(0, 3)),
            "target": chance.choice(["yes", "no"]),
        }
        for _ in range(count)
    ]
    known = profile_of(rows)
    chance.shuffle(rows)

    assert compare(known, rows, batch_size=17) == []


def test_a_file_keeps_the_profile(known: Profile, tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    data.trained(to_arrow(TRAINED[:200]), path, epochs=1)

    assert profile.read(path) == profile_of(TRAINED[:200])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b'{"columns": 7}',
        b'{"columns": [{"name": "a", "content": "number", "rows": 1, "missing": 2,'
        b' "values": {"type": "numbers", "edges": [], "counts": [1]}}]}',
        b'{"columns": [{"name": "a", "content": "number", "rows": 1, "missing": 0,'
        b' "values": {"type": "numbers", "edges": [2, 1], "counts": [1, 0, 0]}}]}',
        b'{"columns": [{"name": "a", "content": "number", "rows": 1, "missing": 0,'
        b' "values": {"type": "numbers", "edges": [1], "counts": [1]}}]}',
        b'{"columns": [{"name": "a", "content": "category", "rows": 1, "missing": 0,'
        b' "values": {"type": "categories", "counts": {"x": -1}}}]}',
    ],
)
def test_what_is_no_profile_is_ignored(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.skops"
    data.trained(to_arrow(TRAINED[:100]), path, epochs=1)
    replace_profile(path, content)

    assert profile.read(path) is None


def replace_profile(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in (members | {profile.PROFILE_FILE: content}).items():
            archive.writestr(name, member)


def test_a_dataset_is_compared_as_it_was_trained_on(known: Profile, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(TRAINED), path)
    compared = Comparison(known, {})
    compared.add(TableRows(pq.read_table(path)))

    assert compared.result() == {"warnings": [], "drift": []}
    assert msgspec.msgpack.decode(compared.checkpoint())[0]["rows"] == 2000
