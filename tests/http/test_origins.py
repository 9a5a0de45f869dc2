"""Which requests may come from the page that sent them."""

import pytest
from starlette.datastructures import Headers

from app.http import origins

HOST = "api.example.org:8000"
LISTED = ("https://dashboard.example.org",)


@pytest.mark.parametrize(
    "sent",
    [
        {"origin": f"http://{HOST}"},
        {"origin": f"https://{HOST}"},  # a proxy in front of us may end TLS
        {"origin": LISTED[0]},
        {"origin": LISTED[0], "sec-fetch-site": "same-site"},
        {},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
def test_pages_of_our_own_origin_and_programs_are_allowed(sent: dict[str, str]) -> None:
    assert origins.is_allowed(Headers({"host": HOST, **sent}), LISTED)


@pytest.mark.parametrize(
    "sent",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://"},
        {"origin": "http://api.example.org"},
        {"origin": "http://api.example.org:8001"},
        {"origin": f"http://{HOST}.evil.example"},
        {"origin": f"http://evil.{HOST}"},
        {"origin": f"http://evil@{HOST}"},
        {"origin": "http://["},
        {"origin": "http://dashboard.example.org"},
        {"origin": "https://dashboard.example.org.evil.example"},
        {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "something new"},
    ],
)
def test_pages_of_other_origins_are_not(sent: dict[str, str]) -> None:
    assert not origins.is_allowed(Headers({"host": HOST, **sent}), LISTED)


def test_without_a_host_no_origin_is_ours() -> None:
    assert not origins.is_allowed(Headers({"origin": "null"}), ())
    assert not origins.is_allowed(Headers({"origin": "null", "host": ""}), ())
    assert not origins.is_allowed(Headers({"origin": "http://api"}), ())
