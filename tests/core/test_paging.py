"""Pages and their cursors: a cursor of the API is understood, any other is refused."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import ids, paging
from app.core.errors import InvalidCursor
from app.core.paging import to_page


@given(st.uuids())
def test_a_cursor_stands_for_its_id(row_id: UUID) -> None:
    cursor = paging.encode_cursor(row_id)

    assert paging.decode_cursor(cursor) == row_id
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.binary().map(lambda octets: octets.decode("latin-1")))
def test_whatever_else_is_refused(cursor: str) -> None:
    try:
        row_id = paging.decode_cursor(cursor)
    except InvalidCursor as refused:
        assert refused.status == 400  # noqa: PT017  # either end is right
    else:
        assert isinstance(row_id, UUID)


@pytest.mark.parametrize("cursor", ["", "a", "!!!!", "é", "A" * 21, "A" * 23, "\0" * 22])
def test_a_cursor_of_another_size_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        paging.decode_cursor(cursor)


def test_ids_are_in_the_order_in_which_they_were_made() -> None:
    made = [ids.new_id() for _ in range(1000)]

    assert made == sorted(made)
    assert len(set(made)) == 1000


ROWS: list[dict[str, Any]] = [{"id": number, "found": 3} for number in (9, 8, 7)]


@pytest.mark.parametrize(
    ("rows", "limit", "items", "cursor"),
    [
        ([], 2, (), None),
        (ROWS, 2, (9, 8), "8"),
        (ROWS, 3, (9, 8, 7), None),
        (ROWS[:1], 3, (9,), "9"),  # the others did not fit in the bytes of a page
    ],
)
def test_a_page_ends_with_its_last_item_and_says_whether_more_follow(
    rows: list[dict[str, Any]], limit: int, items: tuple[int, ...], cursor: str | None
) -> None:
    page = to_page(rows, limit, lambda row: int(row["id"]))

    assert page.items == items
    assert page.next_cursor(str) == cursor


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_cursor_stands_for_its_instant(instant: datetime) -> None:
    assert paging.decode_instant(paging.encode_instant(instant)) == instant


@pytest.mark.parametrize("cursor", ["", "a", "!!!!", "A" * 10, "A" * 22, "f_________8", "gAAAAAAAAAA"])
def test_a_cursor_of_no_instant_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        paging.decode_instant(cursor)
