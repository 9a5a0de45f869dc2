"""The files of the dashboard, read once: a digest over all of them, their gzip bodies, and the shell."""

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Final

from app.dashboard import headers
from app.http.pages import MEDIA_TYPES, PageFile

WEB: Final = Path(__file__).parent / "web"
SHELL: Final = "shell.html"
STYLES: Final = "styles.css"

_LAYERS: Final = ("reset", "tokens", "base", "layout", "parts", "pages", "print")
"""The order of the style sheets; `parts` and `pages` are folders. It is the order of the CSS layers, too."""

PRELOADED: Final = (
    "core/h.js",
    "core/signal.js",
    "core/places.js",
    "core/preferences.js",
    "core/navigate.js",
    "core/frame.js",
    "words/i18n.js",
    "words/format.js",
    "api/session.js",
    "api/request.js",
    "live/connection.js",
    "live/live.js",
    "parts/icons.js",
    "parts/notices.js",
    "parts/times.js",
)
"""Modules of every page. The browser fetches them at once, and not one import after the other."""


@dataclass(frozen=True)
class Asset:
    """One file: its bytes, and the same compressed."""

    content: bytes
    compressed: bytes
    media_type: str


@dataclass(frozen=True)
class Assets:
    """All files by their path below `web`, and the digest of all of them."""

    files: Mapping[str, Asset]
    digest: str
    shell: Template


@dataclass(frozen=True)
class ShellFacts:
    """What the shell says to the page: whether anyone may sign up, and the demo user of `make run`."""

    registration: str
    demo_user: str | None


@cache
def load() -> Assets:
    """Read the files. No name from a request ever reaches the file system."""
    contents = read_all()
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name} {len(content)} ".encode() + content)
    shell = Template(contents.pop(SHELL).decode())
    files = {name: _asset(name, content) for name, content in contents.items()}
    return Assets(files, digest.hexdigest()[:16], shell)


@cache
def shell(root: str, facts: ShellFacts) -> PageFile:
    """Return the shell for an address from which the dashboard is at `root`, such as `../`."""
    assets = load()
    base = f"{root}assets/{assets.digest}/"
    preloads = "\n".join(f'    <link rel="modulepreload" href="{base}{name}">' for name in PRELOADED)
    content = assets.shell.substitute(
        assets=base,
        root=root,
        preloads=preloads.strip(),
        registration=escape(facts.registration),
        demo_user=escape(facts.demo_user or ""),
        noscript=_in_all_languages("app.noscript"),
        unsupported=_in_all_languages("app.unsupported"),
    )
    return PageFile.of(content.encode(), MEDIA_TYPES[".html"], headers.SHELL)


def _in_all_languages(key: str) -> str:
    """Return a text that is shown before a language can be chosen: as markup, in each of them."""
    texts = {
        Path(name).stem: json.loads(asset.content)[key]
        for name, asset in load().files.items()
        if name.startswith("words/") and name.endswith(".json")
    }
    return " ".join(f'<span lang="{tag}">{escape(text)}</span>' for tag, text in sorted(texts.items()))


def read_all() -> dict[str, bytes]:
    """Return the bytes of all files by their path, in order; the style sheets as one file."""
    return dict(sorted(_read()))


def _read() -> Iterator[tuple[str, bytes]]:
    for path in WEB.rglob("*"):
        name = path.relative_to(WEB).as_posix()
        if path.is_file() and not name.startswith("styles/"):
            yield name, path.read_bytes()
    yield STYLES, "\n".join(path.read_text() for path in style_sheets()).encode()


def style_sheets() -> list[Path]:
    """Return the style sheets in the order in which they are joined."""
    found: list[Path] = []
    for layer in _LAYERS:
        path = WEB / "styles" / layer
        found += sorted(path.glob("*.css")) if path.is_dir() else [path.with_suffix(".css")]
    return found


def _asset(name: str, content: bytes) -> Asset:
    # No time in the header: the same content has the same bytes in every process.
    return Asset(content, gzip.compress(content, mtime=0), MEDIA_TYPES[Path(name).suffix])
