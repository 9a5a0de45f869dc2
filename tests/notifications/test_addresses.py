"""No URL of a user leads into a network that is not public, and no connection is made to find out."""

import asyncio
import os
import ssl
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpcore
import pytest

from app.core import ids
from app.core.config import Settings
from app.notifications.bodies import Notice
from app.notifications.channels.channel import Delivered, Message, Outcome, Refused
from app.notifications.channels.sender import Network
from app.notifications.channels.webhook import WebhookChannel, WebhookTarget
from app.notifications.errors import UrlNotAllowed
from app.notifications.states import NotificationType
from tests.notifications.receiver import receiving
from tests.support.certificates import Authority

# Refused when they are saved. Each program that parses URLs reads some of these in a way of its own.
BAD_FORMS = (
    "http://hooks.example.com/",
    "https://hooks.example.com:22/",
    "https://hooks.example.com:99999/",
    "https://hooks.example.com:0/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.0.1/",
    "https://10.0.0.1:8443/",
    "https://8.8.8.8/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://[::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[fe80::1%25eth0]/",
    "https://[64:ff9b::a00:1]/",
    "https://user@hooks.example.com/",
    "https://user:word@hooks.example.com/",
    "https://hooks.example.com@10.0.0.1/",
    "https://10.0.0.1#@hooks.example.com/",
    "https://hooks.example.com\\@10.0.0.1/",
    "https:\\\\hooks.example.com/",
    "https:hooks.example.com/",
    "//hooks.example.com/",
    "https:///hooks.example.com/",
    "https://xn--/",
    "https://xn--.com/",
    "https://-a.example.com/",
    "https://a_b.example.com/",
    "https://localhost/",
    "https://localhost.localdomain.localhost/",
    "https://metadata.google.internal/",
    "https://printer.local/",
    "https://router.home/",
    "https://1.0.0.127.in-addr.arpa/",
    "https://postgres/",
    "https://hooks.example.com./",
    "https://.example.com/",
    "https://hooks..example.com/",
    "https://example.com/a b",
    "https://example.com/\r\nHost: 10.0.0.1",
    "https://example.com/\t",
    "https://example.com/ä",
    "https://[::1/",
    "https://]/",
    "https://",
    "",
    "file:///etc/passwd",
    "gopher://hooks.example.com/",
    "ftp://hooks.example.com/",
    "unix:///tmp/socket",
    "javascript:alert(1)",
    f"https://example.com/{'a' * 2048}",
)

GOOD_FORMS = (
    "https://hooks.example.com",
    "https://HOOKS.example.com/path",
    "https://hooks.example.com:8443/a/b?c=d&e=%20f",
    "https://xn--mnchen-3ya.example/",
    "https://127.0.0.1.nip.io/",  # saved, and never connected to
)

# What a name may resolve to without being reachable. A name with one such address is refused as a whole.
BAD_ADDRESSES = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
    *("198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255"),
    *("240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "64:ff9b::a00:1", "64:ff9b::808:808"),
    *("64:ff9b:1::a00:1", "100::1", "2001::1", "2001:db8::1", "2002:a00:1::", "2002:808:808::"),
    *("fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "2606:4700::1111%eth0", "fec0::1", "ff02::1"),
    *("not an address",),
)
GOOD_ADDRESS = "93.184.216.34"


class CountingBackend(httpcore.AsyncNetworkBackend):
    """Makes no connection, and notes which were wanted."""

    def __init__(self) -> None:
        self.wanted: list[tuple[str, int]] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.wanted.append((host, port))
        raise httpcore.ConnectError


class FakeResolver:
    """Answers from a table, a list of answers one after the other."""

    def __init__(self, answers: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self._answers = {name: list(of_name) for name, of_name in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self._answers.get(host)
        if not answers:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]


def message(url: str) -> Message:
    notice = Notice(
        delivery_id=ids.new_id(), type=NotificationType.PING, at=datetime.now(UTC), data={"name": "CI"}
    )
    return Message(
        subscription_id=UUID(int=1),
        subscription_name="CI",
        target=WebhookTarget(url=url),
        secrets=(b"x" * 32,),
        notices=(notice,),
        now=datetime.now(UTC),
    )


async def send(settings: Settings, url: str, network: Network) -> Outcome:
    channel = WebhookChannel(settings, network)
    try:
        return await channel.send(message(url))
    finally:
        await channel.aclose()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """No network is allowed, as by default."""
    return settings.model_copy(update={"webhook_allowed_networks": ()})


def allowing(settings: Settings, *networks: str) -> Settings:
    return settings.model_copy(update={"webhook_allowed_networks": networks})


@pytest.mark.parametrize("url", BAD_FORMS)
async def test_a_url_of_a_bad_form_is_refused_when_saved_and_when_sent(settings: Settings, url: str) -> None:
    backend = CountingBackend()
    resolver = FakeResolver({})
    channel = WebhookChannel(settings, Network(resolve=resolver, backend=backend))
    target = WebhookTarget.model_construct(url=url)

    with pytest.raises(UrlNotAllowed):
        await channel.check(target)
    outcome = await channel.send(message("https://example.com/"))
    assert outcome == Refused(error="name_not_found")
    wanted = message("https://example.com/")
    object.__setattr__(wanted.target, "url", url)
    outcome = await channel.send(wanted)

    assert isinstance(outcome, Refused)
    assert outcome.error in ("address_not_allowed", "name_not_found")
    assert backend.wanted == []
    await channel.aclose()


@pytest.mark.parametrize("url", GOOD_FORMS)
async def test_a_url_of_a_good_form_is_saved(settings: Settings, url: str) -> None:
    channel = WebhookChannel(settings)

    await channel.check(WebhookTarget(url=url))
    await channel.aclose()


@pytest.mark.parametrize("address", BAD_ADDRESSES)
@pytest.mark.parametrize("is_mixed", [False, True])
async def test_a_name_with_an_address_that_is_not_public_is_never_connected_to(
    settings: Settings, address: str, is_mixed: bool
) -> None:
    backend = CountingBackend()
    answer = [GOOD_ADDRESS, address] if is_mixed else [address]
    resolver = FakeResolver({"hooks.example.com": [answer]})

    outcome = await send(settings, "https://hooks.example.com/", Network(resolve=resolver, backend=backend))

    assert outcome == Refused(error="address_not_allowed", is_final=True)
    assert backend.wanted == []


async def test_a_public_address_is_connected_to_as_it_was_checked(settings: Settings) -> None:
    backend = CountingBackend()
    resolver = FakeResolver({"hooks.example.com": [[GOOD_ADDRESS], ["127.0.0.1"]]})

    outcome = await send(settings, "https://hooks.example.com/", Network(resolve=resolver, backend=backend))

    # The name was resolved once, and another answer would have come too late.
    assert backend.wanted == [(GOOD_ADDRESS, 443)]
    assert resolver.asked == ["hooks.example.com"]
    assert outcome == Refused(error="not_reached")


async def test_a_name_that_changes_its_address_is_checked_at_each_connection(settings: Settings) -> None:
    backend = CountingBackend()
    resolver = FakeResolver({"hooks.example.com": [[GOOD_ADDRESS], ["127.0.0.1"]]})
    channel = WebhookChannel(settings, Network(resolve=resolver, backend=backend))

    first = await channel.send(message("https://hooks.example.com/"))
    second = await channel.send(message("https://hooks.example.com/"))
    await channel.aclose()

    assert first == Refused(error="not_reached")
    assert second == Refused(error="address_not_allowed", is_final=True)
    assert len(backend.wanted) == 1


async def test_at_most_two_addresses_of_a_name_are_tried(settings: Settings) -> None:
    backend = CountingBackend()
    many = [f"93.184.216.{last}" for last in range(1, 200)]
    resolver = FakeResolver({"hooks.example.com": [many]})

    await send(settings, "https://hooks.example.com/", Network(resolve=resolver, backend=backend))

    assert [host for host, _ in backend.wanted] == many[:2]


async def test_a_name_that_does_not_resolve_in_time_is_not_found(settings: Settings) -> None:
    async def hang(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    outcome = await send(
        settings, "https://hooks.example.com/", Network(resolve=hang, backend=CountingBackend())
    )

    assert outcome == Refused(error="name_not_found")


async def test_an_allowed_network_is_reached_and_its_neighbour_is_not(settings: Settings) -> None:
    allowed = allowing(settings, "127.0.0.1/32")
    async with receiving() as receiver, receiving(host="127.0.0.2") as neighbour:
        reached = await send(allowed, receiver.url, Network())
        refused = await send(allowed, neighbour.url, Network())
        with pytest.raises(UrlNotAllowed):
            await WebhookChannel(allowed).check(WebhookTarget(url=neighbour.url))

    assert reached == Delivered(200, b"ok")
    assert refused == Refused(error="address_not_allowed", is_final=True)
    assert (receiver.connections, neighbour.connections) == (1, 0)


@pytest.mark.parametrize("url", ["http://ci/", "https://ci.internal:9999/", "http://hooks.example.com/"])
async def test_a_form_for_allowed_networks_leads_to_nothing_else(settings: Settings, url: str) -> None:
    backend = CountingBackend()
    names = {name: [[GOOD_ADDRESS]] for name in ("ci", "ci.internal", "hooks.example.com")}
    network = Network(resolve=FakeResolver(names), backend=backend)
    allowed = allowing(settings, "10.0.0.0/8")
    await WebhookChannel(allowed).check(WebhookTarget(url=url))

    assert await send(allowed, url, network) == Refused(error="address_not_allowed", is_final=True)
    assert backend.wanted == []


async def test_link_local_is_never_reached_even_where_a_network_would_allow_it(settings: Settings) -> None:
    backend = CountingBackend()
    resolver = FakeResolver({"hooks.example.com": [["169.254.169.254"]]})
    allowed = allowing(settings, "169.0.0.0/8", "fe80::/10")

    outcome = await send(allowed, "https://hooks.example.com/", Network(resolve=resolver, backend=backend))

    assert outcome == Refused(error="address_not_allowed", is_final=True)
    assert backend.wanted == []


async def test_a_proxy_of_the_environment_is_ignored(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as receiver, receiving() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setitem(os.environ, name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setitem(os.environ, name.lower(), f"http://127.0.0.1:{proxy.port}")
        outcome = await send(allowing(settings, "127.0.0.0/8"), receiver.url, Network())

    assert isinstance(outcome, Delivered)
    assert proxy.connections == 0


async def test_a_certificate_must_be_trusted_and_of_the_name(settings: Settings, tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    allowed = allowing(settings, "127.0.0.0/8")
    resolver = FakeResolver({f"{name}.example.com": [["127.0.0.1"]] for name in ("good", "other")})
    trusting = Network(resolve=resolver, ssl_context=authority.client_context())
    distrusting = Network(resolve=resolver, ssl_context=ssl.create_default_context())
    async with receiving(ssl_context=authority.server_context("good.example.com")) as receiver:
        good = f"https://good.example.com:{receiver.port}/"
        other = f"https://other.example.com:{receiver.port}/"

        assert isinstance(await send(allowed, good, trusting), Delivered)
        assert await send(allowed, other, trusting) == Refused(error="tls_failed")
        assert await send(allowed, good, distrusting) == Refused(error="tls_failed")

    [received] = receiver.received
    assert received.headers["host"] == f"good.example.com:{receiver.port}"
