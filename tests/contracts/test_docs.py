"""The glossary and the page of dependencies are complete."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()

_SECTION = re.compile(r"^## (.+)\n\n((?:\|.+\n)+)", re.MULTILINE)


def sections(text: str) -> dict[str, list[list[str]]]:
    """The rows of the table of each section."""
    return {
        title: [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
        for title, table in _SECTION.findall(text)
    }


def name_of(requirement: str) -> str:
    """The package of a requirement, without extras and bounds."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return found[0]


def test_the_page_of_dependencies_lists_exactly_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {"runtime": project["dependencies"], **project["optional-dependencies"]}
    listed: dict[str, list[str]] = {}
    for title, rows in sections((ROOT / "docs" / "dependencies.md").read_text()).items():
        group = re.match(r"`(\w+)`", title)
        for cells in rows:
            assert len(cells) == 2, cells
            assert cells[1], cells
            listed.setdefault(group[1] if group else "runtime", []).extend(cells[0].split(", "))

    for group, requirements in declared.items():
        assert sorted(listed[group]) == sorted(map(name_of, requirements)), group
    assert set(listed) == set(declared)


def test_the_glossary_names_every_package() -> None:
    packages = {
        f"{top}/{path.parent.name}/"
        for top in ("app", "worker")
        for path in (ROOT / top).glob("*/__init__.py")
    }
    named = set(re.findall(r"`((?:app|worker)/\w+/)`", GLOSSARY))

    assert named == packages


def test_no_word_has_two_meanings() -> None:
    words = [cells[0] for title, rows in sections(GLOSSARY).items() if title != "Packages" for cells in rows]

    assert len(set(words)) == len(words)


@pytest.mark.parametrize(
    "word",
    [
        word
        for title, rows in sections(GLOSSARY).items()
        if title != "Packages"
        for cells in rows
        for word in cells[0].split(", ")
    ],
)
def test_a_word_of_the_glossary_is_used_by_the_source(word: str) -> None:
    said = re.sub(r" of .*", "", word)
    spelled = re.compile(said.replace(" ", "[ _-]?"), re.IGNORECASE)

    assert any(
        spelled.search(path.read_text()) for top in ("app", "worker") for path in (ROOT / top).rglob("*.py")
    )
