"""The pages behind the links in messages: they confirm an address, or unsubscribe it.

A GET changes nothing, because mail programs open links to scan them; the button on the page sends a POST. So
do mail programs with a button of their own (RFC 8058). Nobody signs in: the token in the link is the proof.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.status import HTTP_200_OK, HTTP_404_NOT_FOUND

from app.auth.actors import actor_of
from app.http import pages
from app.http.deps import DatabaseDep
from app.notifications import service
from app.notifications.deps import LinksDep
from app.notifications.links import Links, Purpose

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:1.05rem/1.6 system-ui,sans-serif;max-width:32rem;margin:15vh auto 0;padding:0 1.25rem}"
    "h1{font-size:1.4rem}"
    "button{font:inherit;padding:.45rem 1.1rem;cursor:pointer}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_HEADERS: Final = {
    **pages.headers({"style-src": f"'sha256-{_STYLE_HASH}'"}),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Language",
}

_ENGLISH: Final = "en"
_CHINESE: Final = "zh-CN"


@dataclass(frozen=True)
class _Text:
    """What a page says in one language. `question` and `done` may name the subscription."""

    title: str
    question: str
    button: str
    done_title: str
    done: str


_TEXTS: Final[Mapping[Purpose, Mapping[str, _Text]]] = {
    Purpose.CONFIRM: {
        _ENGLISH: _Text(
            title="Confirm your address",
            question="Do you want to receive the notifications “{name}” from Headrace at this address?",
            button="Confirm",
            done_title="Address confirmed",
            done="The notifications “{name}” will be sent to this address. Each has a link to unsubscribe.",
        ),
        _CHINESE: _Text(
            title="确认您的地址",
            question="您希望在此地址接收 Headrace 的通知“{name}”吗？",
            button="确认",
            done_title="地址已确认",
            done="通知“{name}”将发送到此地址。每封邮件都附有退订链接。",
        ),
    },
    Purpose.UNSUBSCRIBE: {
        _ENGLISH: _Text(
            title="Unsubscribe",
            question="Do you want no more notifications “{name}” from Headrace at this address?",
            button="Unsubscribe",
            done_title="Unsubscribed",
            done="The notifications “{name}” are no longer sent to this address.",
        ),
        _CHINESE: _Text(
            title="退订",
            question="您不再希望在此地址接收 Headrace 的通知“{name}”吗？",
            button="退订",
            done_title="已退订",
            done="通知“{name}”将不再发送到此地址。",
        ),
    },
}
_NOT_VALID: Final[Mapping[str, tuple[str, str]]] = {
    _ENGLISH: ("This link is not valid", "It has expired, or the subscription no longer exists."),
    _CHINESE: ("此链接无效", "链接已过期，或订阅已不存在。"),
}

Token = Annotated[str, Query()]
Language = Annotated[str, Header(alias="Accept-Language")]

router = APIRouter(prefix="/email", include_in_schema=False)


@router.get("/confirm")
async def ask_to_confirm(
    database: DatabaseDep, links: LinksDep, token: Token = "", language: Language = ""
) -> Response:
    """Show the button that confirms an address."""
    return await _ask(database, links, Purpose.CONFIRM, token, _choose(language))


@router.post("/confirm")
async def confirm(
    request: Request, database: DatabaseDep, links: LinksDep, token: Token = "", language: Language = ""
) -> Response:
    """Confirm an address."""
    chosen = _choose(language)
    async with database.transaction() as connection:
        found = await service.find_linked(connection, links, Purpose.CONFIRM, token)
        if found is None or not await service.confirm(connection, found, by=actor_of(request, None)):
            return _not_valid(chosen)
    return _done(Purpose.CONFIRM, found.name, chosen)


@router.get("/unsubscribe")
async def ask_to_unsubscribe(
    database: DatabaseDep, links: LinksDep, token: Token = "", language: Language = ""
) -> Response:
    """Show the button that unsubscribes an address."""
    return await _ask(database, links, Purpose.UNSUBSCRIBE, token, _choose(language))


@router.post("/unsubscribe")
async def unsubscribe(
    request: Request, database: DatabaseDep, links: LinksDep, token: Token = "", language: Language = ""
) -> Response:
    """Unsubscribe an address: from the page, or by the button of a mail program."""
    chosen = _choose(language)
    async with database.transaction() as connection:
        found = await service.find_linked(connection, links, Purpose.UNSUBSCRIBE, token)
        if found is None:
            return _not_valid(chosen)
        await service.unsubscribe(connection, found, by=actor_of(request, None))
    return _done(Purpose.UNSUBSCRIBE, found.name, chosen)


async def _ask(database: DatabaseDep, links: Links, purpose: Purpose, token: str, language: str) -> Response:
    async with database.connection() as connection:
        found = await service.find_linked(connection, links, purpose, token)
    if found is None:
        return _not_valid(language)
    text = _TEXTS[purpose][language]
    # Without an action, so that the form is sent to this URL, with its token and below any prefix.
    form = f'<form method="post"><button type="submit">{text.button}</button></form>'
    return _page(language, text.title, text.question.format(name=found.name), form)


def _done(purpose: Purpose, name: str, language: str) -> Response:
    text = _TEXTS[purpose][language]
    return _page(language, text.done_title, text.done.format(name=name))


def _not_valid(language: str) -> Response:
    return _page(language, *_NOT_VALID[language], status=HTTP_404_NOT_FOUND)


def _page(
    language: str, title: str, paragraph: str, form: str = "", *, status: int = HTTP_200_OK
) -> Response:
    html = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title} · Headrace</title><style>{_STYLE}</style></head>"
        f"<body><h1>{title}</h1><p>{escape(paragraph)}</p>{form}</body></html>"
    )
    return Response(html, status, _HEADERS, pages.MEDIA_TYPES[".html"])


def _choose(accepted: str) -> str:
    """Return the language of the page: Chinese if the first one that the browser wants is Chinese."""
    return _CHINESE if accepted.strip().lower().startswith("zh") else _ENGLISH
