"""Cursors: what we gave is understood, anything else is refused and never an error of ours."""

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core import ids, paging
from app.core.errors import InvalidCursor


@given(st.uuids())
@settings(deadline=None)
def test_a_cursor_stands_for_its_id(row_id: UUID) -> None:
    cursor = paging.encode_cursor(row_id)

    assert paging.decode_cursor(cursor) == row_id
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.binary().map(lambda octets: octets.decode("latin-1")))
@settings(deadline=None)
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
