"""Pages, as queries return them."""

from typing import Any

import pytest

from app.core.pages import to_page

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
