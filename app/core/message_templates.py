"""Templates of messages: a subject, plain text and HTML for each language, in files beside the code.

    notification.en.txt      "Subject: …", an empty line, and the text
    notification.en.html     the same as HTML

Placeholders are `$name`. Values are inserted as plain text: they are escaped in HTML, and in a subject their
line breaks become spaces.
"""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from string import Template
from typing import Final

MAX_SUBJECT_CHARACTERS: Final = 200

_SUBJECT: Final = "Subject: "


class Language(StrEnum):
    """A language in which every template is written."""

    ENGLISH = "en"
    CHINESE = "zh-CN"


class TemplateError(ValueError):
    """The template is unknown or broken, or its values are not those that it takes."""


@dataclass(frozen=True)
class Rendered:
    """The content of a message."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True)
class _Source:
    subject: Template
    text: Template
    html: Template

    @property
    def names(self) -> frozenset[str]:
        """The placeholders."""
        parts = (self.subject, self.text, self.html)
        return frozenset(name for part in parts for name in part.get_identifiers())


class Templates:
    """The templates of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read = cache(self._read_source)

    @property
    def names(self) -> list[str]:
        """The names of the templates, in order."""
        return sorted({path.name.partition(".")[0] for path in self._folder.glob("*.txt")})

    def placeholders(self, name: str, language: Language) -> frozenset[str]:
        """Return the names of the values that a template takes. Raises TemplateError."""
        return self._read(name, language).names

    def render(self, name: str, language: Language, values: Mapping[str, str]) -> Rendered:
        """Return the message with these values. Raises TemplateError."""
        source = self._read(name, language)
        if missing := sorted(source.names - values.keys()):
            raise TemplateError(f"the template {name!r} needs a value for: {', '.join(missing)}")
        if unknown := sorted(values.keys() - source.names):
            raise TemplateError(f"the template {name!r} has no place for: {', '.join(unknown)}")
        escaped = {key: html.escape(value).replace("\n", "<br>\n") for key, value in values.items()}
        try:
            subject = source.subject.substitute({key: one_line(value) for key, value in values.items()})
            return Rendered(
                subject=subject[:MAX_SUBJECT_CHARACTERS],
                text=source.text.substitute(values),
                html=source.html.substitute(escaped),
            )
        except ValueError as error:
            raise TemplateError(f"the template {name!r} is broken: {error}") from None

    def _read_source(self, name: str, language: Language) -> _Source:
        if name not in self.names:
            raise TemplateError(f"there is no template {name!r}")
        path = self._folder / f"{name}.{language}.txt"
        try:
            head, _, text = path.read_text(encoding="utf-8").partition("\n\n")
            page = path.with_suffix(".html").read_text(encoding="utf-8")
        except OSError as error:
            raise TemplateError(f"the template {name!r} cannot be read: {error.strerror}") from None
        if not head.startswith(_SUBJECT) or "\n" in head:
            raise TemplateError(f"the template {name!r} is broken: its first line is not a subject")
        return _Source(Template(head.removeprefix(_SUBJECT)), Template(text), Template(page))


def one_line(text: str) -> str:
    """Return the text for a header: line breaks and other control characters become spaces."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
