"""Links in messages: each is good for its purpose, subscription and target, until it expires."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.config import Settings
from app.notifications.links import CONFIRMATION_LIFETIME, Links, Purpose, Token
from app.notifications.sealing import Sealing

ID = UUID("019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d")
OTHER_ID = UUID("019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8e")
TARGET = {"address": "ada@example.com"}
SENT_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECRET = "a-secret-with-more-than-32-bytes-in-it"
PUBLIC_URL = "https://ml.example.com/headrace"


def links(secret: str = SECRET, previous: str | None = None) -> Links:
    settings = Settings(
        _env_file=None,
        database_url="postgresql://unused",
        redis_url="redis://unused",
        secret_key=secret,
        previous_secret_key=previous,
    )
    return Links(Sealing(settings), PUBLIC_URL)


LINKS = links()


def token_of(link: str) -> Token:
    [text] = parse_qs(urlsplit(link).query)["token"]
    token = Token.parse(text)
    assert token is not None
    return token


def test_a_link_is_below_the_public_url() -> None:
    assert LINKS.confirm(ID, TARGET, sent_at=SENT_AT).startswith(f"{PUBLIC_URL}/email/confirm?token=")
    assert LINKS.unsubscribe(ID, TARGET).startswith(f"{PUBLIC_URL}/email/unsubscribe?token=")


def test_a_link_is_the_same_for_each_try_of_a_message() -> None:
    assert LINKS.confirm(ID, TARGET, sent_at=SENT_AT) == LINKS.confirm(ID, TARGET, sent_at=SENT_AT)


def test_a_link_to_confirm_is_good_for_48_hours() -> None:
    token = token_of(LINKS.confirm(ID, TARGET, sent_at=SENT_AT))
    last = SENT_AT + CONFIRMATION_LIFETIME - timedelta(seconds=1)

    assert timedelta(hours=48) == CONFIRMATION_LIFETIME
    assert token.subscription_id == ID
    assert LINKS.is_valid(Purpose.CONFIRM, token, TARGET, SENT_AT)
    assert LINKS.is_valid(Purpose.CONFIRM, token, TARGET, last)
    assert not LINKS.is_valid(Purpose.CONFIRM, token, TARGET, last + timedelta(seconds=1))


def test_a_link_to_unsubscribe_does_not_expire() -> None:
    token = token_of(LINKS.unsubscribe(ID, TARGET))

    assert LINKS.is_valid(Purpose.UNSUBSCRIBE, token, TARGET, SENT_AT + timedelta(days=3650))


def test_a_link_is_good_for_its_purpose_and_target_only() -> None:
    confirm = token_of(LINKS.confirm(ID, TARGET, sent_at=SENT_AT))
    unsubscribe = token_of(LINKS.unsubscribe(ID, TARGET))
    other = {"address": "mallory@example.com"}

    assert not LINKS.is_valid(Purpose.UNSUBSCRIBE, confirm, TARGET, SENT_AT)
    assert not LINKS.is_valid(Purpose.CONFIRM, unsubscribe, TARGET, SENT_AT)
    assert not LINKS.is_valid(Purpose.CONFIRM, confirm, other, SENT_AT)
    assert not LINKS.is_valid(Purpose.UNSUBSCRIBE, unsubscribe, other, SENT_AT)


def test_neither_the_subscription_nor_the_end_of_a_link_can_be_changed() -> None:
    token = token_of(LINKS.confirm(ID, TARGET, sent_at=SENT_AT))
    later = None if token.expires_at is None else token.expires_at + timedelta(days=1)

    for forged in (
        Token(OTHER_ID, token.expires_at, token.signature),
        Token(ID, later, token.signature),
        Token(ID, None, token.signature),
        Token(ID, token.expires_at, bytes(32)),
    ):
        assert not LINKS.is_valid(Purpose.CONFIRM, forged, TARGET, SENT_AT)


def test_the_previous_secret_still_verifies_and_an_older_one_does_not() -> None:
    token = token_of(LINKS.unsubscribe(ID, TARGET))
    new = "another-secret-with-more-than-32-bytes"

    assert links(new, SECRET).is_valid(Purpose.UNSUBSCRIBE, token, TARGET, SENT_AT)
    assert not links(new).is_valid(Purpose.UNSUBSCRIBE, token, TARGET, SENT_AT)


@pytest.mark.parametrize("text", ["", "x", "ä" * 71, "_" * 70, "-" * 72, "A" * 10_000, "A" * 69 + "=="])
def test_what_is_no_token_is_refused(text: str) -> None:
    assert Token.parse(text) is None


@given(st.binary(min_size=53, max_size=53))
def test_no_bytes_make_a_token_that_fails_otherwise_than_by_its_signature(packed: bytes) -> None:
    token = Token(UUID(bytes=packed[:16]), None, packed[-32:])

    assert not LINKS.is_valid(Purpose.CONFIRM, token, TARGET, SENT_AT)


@given(st.text(max_size=100))
def test_parsing_a_text_raises_nothing(text: str) -> None:
    token = Token.parse(text)

    assert token is None or not LINKS.is_valid(Purpose.UNSUBSCRIBE, token, TARGET, SENT_AT)
