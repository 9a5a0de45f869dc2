"""Cursors of lists in order of creation."""

import base64
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidCursor
from app.notifications.cursors import Position


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    st.uuids(),
)
def test_a_position_survives_its_cursor(created_at: datetime, id_: UUID) -> None:
    position = Position(created_at, id_)

    assert Position.decode(position.encode()) == position


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "ä",
        "====",
        base64.urlsafe_b64encode(b"\1" * 16).decode(),
        base64.urlsafe_b64encode(b"\xff" * 24).decode(),  # in the year 586 524
        base64.urlsafe_b64encode(b"\0" * 25).decode(),
    ],
)
def test_a_cursor_that_was_never_issued_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        Position.decode(cursor)
