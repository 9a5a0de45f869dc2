"""Every path, link and heading that the documentation refers to exists."""

import posixpath
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
FILES: Final = frozenset(
    subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
)
FOLDERS: Final = frozenset(str(parent) for file in FILES for parent in Path(file).parents)
TOP_FOLDERS: Final = frozenset(folder for folder in FOLDERS if "/" not in folder and folder != ".")
PAGES: Final = sorted(file for file in FILES if file.endswith(".md"))

IN_MANY_FOLDERS: Final = frozenset(
    f"{name}.py"
    for name in ("kinds", "handlers", "routes", "schemas", "service", "tables", "commands", "queries")
)
"""Names that stand for one file in each of several folders."""

_SUFFIXES: Final = ("py", "md", "toml", "txt", "ini", "sh", "sql", "csv", "json")
_CODE: Final = re.compile(r"`([^`\s]+)`")
_LINK: Final = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")
_PLACEHOLDER: Final = re.compile(r"[<>*{}…]|NNNN")
"""Marks a pattern such as `worker/handlers/<kind>.py`, of which only the folder can be checked."""

_LAYOUT: Final = re.compile(r"^## Layout\n\n(.*?)^Imports", re.MULTILINE | re.DOTALL)
_LAYOUT_ENTRY: Final = re.compile(r"^( +)([\w.]+/?(?: [\w.]+/?)*)  +\S", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_every_path_in_the_documentation_exists(page: str) -> None:
    assert [path for path in code_paths(page) if not is_known(path, page)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = beside(page, path) if path else page
        if target not in FILES | FOLDERS or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


def test_the_readme_links_to_every_page() -> None:
    linked = {link.partition("#")[0] for link in links("README.md")}
    pages = {page for page in PAGES if re.fullmatch(r"docs/[^/]+\.md|[A-Z]+\.md", page)}

    assert pages - linked == {"README.md"}


def test_every_entry_of_the_layout_exists() -> None:
    assert [path for path in layout_paths() if path.rstrip("/") not in FILES | FOLDERS] == []


def code_paths(page: str) -> list[str]:
    """The paths that a page shows as code: `app/main.py`, `worker/children/`, `tests/x.py::test_y`."""
    found = []
    for code in _CODE.findall((ROOT / page).read_text()):
        path = code.partition("::")[0]
        is_file = path.rpartition(".")[2] in _SUFFIXES and ("/" in path or path.endswith(".py"))
        is_folder = "/" in path.rstrip("/") and path.partition("/")[0] in TOP_FOLDERS
        if is_file or is_folder:
            found.append(path)
    return found


def links(page: str) -> list[str]:
    return _LINK.findall((ROOT / page).read_text())


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def layout_paths() -> list[str]:
    """The paths in the tree of ARCHITECTURE.md, from the indentation of its lines."""
    layout = _LAYOUT.search((ROOT / "ARCHITECTURE.md").read_text())
    assert layout
    found = []
    folders = {-1: ""}
    for indent, names in _LAYOUT_ENTRY.findall(layout[1]):
        folders = {depth: folder for depth, folder in folders.items() if depth < len(indent)}
        parent = folders[max(folders)]
        paths = [f"{parent}{name}" for name in names.split()]
        folders[len(indent)] = paths[0]
        found += paths
    assert len(found) > 30
    return found


def is_known(path: str, page: str) -> bool:
    """Whether a path exists, seen from the root of the project or from the page's own folder."""
    if path in IN_MANY_FOLDERS:
        return True
    if match := _PLACEHOLDER.search(path):
        path = path[: match.start()].rpartition("/")[0]
    return not {path.rstrip("/"), beside(page, path)}.isdisjoint(FILES | FOLDERS)


def beside(page: str, path: str) -> str:
    """A path relative to the folder of a page, seen from the root of the project."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
