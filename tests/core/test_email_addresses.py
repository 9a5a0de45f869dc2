"""Which addresses are accepted, and in which form they are sent."""

import pytest

from app.core import email_addresses
from app.core.email_addresses import Mailbox


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("ada@example.com", "ada@example.com"),
        ("Ada.Lovelace+x@EXAMPLE.com", "Ada.Lovelace+x@example.com"),
        ("ada@Müller.de", "ada@xn--mller-kva.de"),
        ("ada@xn--mller-kva.de", "ada@xn--mller-kva.de"),
    ],
)
def test_an_address_is_sent_as_ascii(given: str, sent: str) -> None:
    assert email_addresses.parse(given) == sent


@pytest.mark.parametrize(
    "address",
    [
        "",
        "not-an-address",
        "@example.com",
        "a@localhost",
        "a@[127.0.0.1]",
        "ö@example.com",
        "a@x.com\r\nBcc: b@y.z",
        "a@x.com\nRCPT TO:<b@y.z>",
        "a\0@x.com",
        "a@x.com, b@y.com",
        "a@x.com b@y.com",
        "Ada <a@x.com>",
        "<a@x.com>",
        '"a b"@x.com',
        "a@-x.com",
        "a@x..com",
        "a" * 65 + "@x.com",
        "a@" + "x" * 250 + ".com",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        email_addresses.parse(address)


def test_characters_before_the_at_sign_that_are_not_ascii_are_refused_as_such() -> None:
    with pytest.raises(ValueError, match="Internationalized characters before the @-sign"):
        email_addresses.parse("ö@example.com")


def test_a_mailbox_may_have_a_name() -> None:
    assert email_addresses.parse_mailbox("Headrace <h@example.org>") == Mailbox("h@example.org", "Headrace")
    assert email_addresses.parse_mailbox('"赫 (ML)" <h@example.org>') == Mailbox("h@example.org", "赫 (ML)")
    assert email_addresses.parse_mailbox("h@example.org") == Mailbox("h@example.org")
    assert Mailbox("h@example.org").domain == "example.org"


@pytest.mark.parametrize("text", ["Headrace", "Headrace <h@example.org", "A\r\nBcc: x@y.z <h@example.org>"])
def test_a_mailbox_without_an_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        email_addresses.parse_mailbox(text)
