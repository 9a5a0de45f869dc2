"""What a revision takes away from the schema, found in the SQL that it executes, and what it says about that.

During a rollout the previous version works on the new schema. So a revision takes away only what a released
version has stopped using. It declares this in its docstring, one line for each thing:

    contract: 0014 stopped using the column jobs.files

0014 is the newest revision of that release, and `compatible_with` of the revision must be at least as new.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import alembic.command
from alembic.config import Config
from alembic.script import ScriptDirectory

FIRST_CHECKED: Final = "0005"
"""Older revisions declare no `compatible_with`: no released version runs beside them."""

_NAME: Final = r'(?:\w+\.)?"?(?P<name>\w+)"?'
_KINDS: Final = (
    "TABLE|COLUMN|INDEX|CONSTRAINT|FUNCTION|PROCEDURE|TRIGGER|VIEW|TYPE|DOMAIN|SEQUENCE|SCHEMA|POLICY"
)
_CONTRACTIONS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\bDROP\s+(?:MATERIALIZED\s+)?(?:{_KINDS})\s+(?:CONCURRENTLY\s+)?(?:IF\s+EXISTS\s+)?{_NAME}",
        rf"\bALTER\s+COLUMN\s+{_NAME}\s+DROP\s+\w+",
        r"\bDROP\b",
        rf"\bRENAME\s+(?:(?:COLUMN|CONSTRAINT|VALUE)\s+)?'?{_NAME}'?\s+TO\b",
        rf"\b(?:{_KINDS})\s+{_NAME}\s+RENAME\s+TO\b",
        r"\bRENAME\b",
        rf"\bALTER\s+(?:COLUMN\s+)?{_NAME}\s+SET\s+NOT\s+NULL\b",
        rf"\bALTER\s+(?:COLUMN\s+)?{_NAME}\s+(?:SET\s+DATA\s+)?TYPE\b",
    )
)
_CHECK: Final = re.compile(r"\bDROP\s+CONSTRAINT\s+(?:IF\s+EXISTS\s+)?ck_", re.IGNORECASE)
"""A CHECK that is gone refuses nothing: the previous version still writes what it wrote."""

_COMMENT: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_ADDED_COLUMN: Final = re.compile(
    r"\bADD\s+(?:COLUMN\s+)?(?!(?:CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN|EXCLUDE)\b)"
    rf"(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}(?P<rest>(?:[^,;()]|\([^()]*(?:\([^()]*\)[^()]*)*\))*)",
    re.IGNORECASE,
)
_DECLARED: Final = re.compile(r"^contract: (?P<revision>\d{4}) stopped using (?P<what>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Revision:
    """A revision, with the SQL of its upgrade."""

    number: str
    docstring: str
    compatible_with: str | None
    sql: str


@dataclass(frozen=True)
class Contraction:
    """A piece of SQL that takes something away, and the name of what it takes away if it is known."""

    sql: str
    name: str | None


def numbers(config: Config) -> list[str]:
    """Return the numbers of the revisions to check, oldest first."""
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    return sorted(script.revision for script in scripts if script.revision >= FIRST_CHECKED)


def read(config: Config, number: str) -> Revision:
    """Read a revision; its SQL comes from Alembic's offline mode."""
    script = ScriptDirectory.from_config(config).get_revision(number)
    assert script is not None
    config.output_buffer = io.StringIO()
    alembic.command.upgrade(config, f"{script.down_revision}:{number}", sql=True)
    return Revision(
        number,
        docstring=script.module.__doc__ or "",
        compatible_with=getattr(script.module, "compatible_with", None),
        sql=config.output_buffer.getvalue(),
    )


def contractions(sql: str) -> list[Contraction]:
    """Return what the SQL takes away, each place in it once."""
    return [*_contractions(_COMMENT.sub(" ", sql))]


def faults(revision: Revision) -> list[str]:
    """Return what is wrong with the revision's declarations, in sentences."""
    floor = revision.compatible_with or "none"
    found = []
    if not "0001" <= floor <= revision.number:
        found.append(f"its compatible_with ({floor}) is no revision up to its own")
    declared = {match["what"]: match["revision"] for match in _DECLARED.finditer(revision.docstring)}
    if len(declared) < len(re.findall(r"contract:", revision.docstring, re.IGNORECASE)):
        found.append("a contract line does not read `contract: NNNN stopped using THING`")
    found += [
        f"code older than {since} uses {what}, so compatible_with must be {since} or newer"
        for what, since in declared.items()
        if since > floor
    ]
    found += [
        f"no contract line names what `{contraction.sql}` takes away"
        for contraction in contractions(revision.sql)
        if not any(_names(what, contraction) for what in declared)
    ]
    return found


def _contractions(sql: str) -> Iterator[Contraction]:
    taken = {position for match in _CHECK.finditer(sql) for position in range(*match.span())}
    for pattern in _CONTRACTIONS:  # the most specific first: it knows the name
        for match in pattern.finditer(sql):
            if taken.isdisjoint(range(*match.span())):
                taken.update(range(*match.span()))
                yield Contraction(" ".join(match[0].split()), match.groupdict().get("name"))
    for match in _ADDED_COLUMN.finditer(sql):
        rest = match["rest"].upper()
        if re.search(r"\bNOT\s+NULL\b", rest) and not re.search(r"\b(DEFAULT|GENERATED)\b", rest):
            # The previous version inserts rows without it.
            yield Contraction(" ".join(match[0].split()), match["name"])


def _names(what: str, contraction: Contraction) -> bool:
    return contraction.name is None or re.search(rf"\b{re.escape(contraction.name)}\b", what) is not None
