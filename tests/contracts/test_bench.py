"""Each figure has its script, and the page of figures is about the scripts that there are."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from bench import page
from bench.figures import FIGURES

ROOT = Path(__file__).parents[2]
SCRIPTS = [figure.script for figure in FIGURES]


def sections() -> list[str]:
    """What the page has a section about, in order, without the overview."""
    found = re.findall(r"^## (.+)$", page.PAGE.read_text(), re.MULTILINE)
    return [name for name in found if name != "Figures"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_figure_has_a_script_that_can_be_run_by_itself(script: str) -> None:
    module = importlib.import_module(f"bench.{script}")

    assert callable(module.main)
    assert module.__doc__


def test_no_figure_is_measured_twice() -> None:
    assert len(set(SCRIPTS)) == len(SCRIPTS)


def test_whatever_measures_is_among_the_figures() -> None:
    writers = {path.stem for path in (ROOT / "bench").glob("*.py") if measures(path)}

    assert writers == set(SCRIPTS)


def measures(path: Path) -> bool:
    """Whether a module of the folder writes results of its own."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return any(isinstance(call.func, ast.Name) and call.func.id == "Results" for call in calls)


def test_the_page_has_a_section_for_each_script_in_their_order() -> None:
    assert sections() == SCRIPTS


def test_the_page_names_the_command_of_each_figure() -> None:
    text = page.PAGE.read_text()

    assert [script for script in SCRIPTS if f"python -m bench.{script}\n" not in text] == []


def test_what_was_kept_is_of_scripts_that_there_are() -> None:
    kept = {path.stem for path in (ROOT / "bench/results").glob("*.json")}

    assert kept <= set(SCRIPTS)
