"""The examples of docs/schedules.md."""

import json
import re
from typing import Any, Final

from tests.support.processes import ROOT

PAGE: Final = (ROOT / "docs" / "schedules.md").read_text()


def json_blocks(section: str) -> list[Any]:
    """The JSON of a section of the page, in its order."""
    return [json.loads(text) for text in re.findall(r"^```json\n(.*?)^```$", _section(section), re.M | re.S)]


def recipe(title: str) -> dict[str, Any]:
    """The schedule of a recipe."""
    [text] = re.findall(rf"^### {title}\n.*?^```json\n(.*?)^```$", _section("Recipes"), re.M | re.S)
    found: dict[str, Any] = json.loads(text)
    return found


def table_rows(section: str, heading: str) -> list[list[str]]:
    """The cells of the table of a section whose header line starts with this cell."""
    [table] = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", _section(section), re.M)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def _section(title: str) -> str:
    [found] = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    return str(found)
