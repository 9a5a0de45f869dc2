"""Each figure has a script, and docs/performance.md has a section for each script."""

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
    """The sections of the page, in order, without the overview."""
    found = re.findall(r"^## (.+)$", page.PAGE.read_text(), re.MULTILINE)
    return [name for name in found if name != "Figures"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_figure_has_a_script_that_can_be_run_by_itself(script: str) -> None:
    module = importlib.import_module(f"bench.{script}")

    assert callable(module.main)
    assert module.__doc__


def test_no_figure_is_measured_twice() -> None:
    assert len(set(SCRIPTS)) == len(SCRIPTS)


def test_every_script_that_measures_is_among_the_figures() -> None:
    writers = {path.stem for path in (ROOT / "bench").glob("*.py") if measures(path)}

    assert writers == set(SCRIPTS)


def measures(path: Path) -> bool:
    """Whether a module writes results."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return any(isinstance(call.func, ast.Name) and call.func.id == "Results" for call in calls)


def test_the_page_has_a_section_for_each_script_in_their_order() -> None:
    assert sections() == SCRIPTS


def test_the_page_names_the_command_of_each_figure() -> None:
    text = page.PAGE.read_text()

    assert [script for script in SCRIPTS if f"python -m bench.{script}\n" not in text] == []


def test_kept_results_belong_to_existing_scripts() -> None:
    kept = {path.stem for path in (ROOT / "bench/results").glob("*.json")}

    assert kept <= set(SCRIPTS)
