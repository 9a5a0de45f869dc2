"""The files in CONTRIBUTING.md exist, and its recipes list the files that earlier additions touched."""

import re
from pathlib import Path

import pytest

from app.core.plugins import MODULES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()

_RECIPE = re.compile(
    r"^### (?P<title>.+): (?P<count>\d+) files?\n\n(?P<items>(?:\d+\. .+\n(?:   .+\n)*)+)", re.MULTILINE
)
_ITEM = re.compile(r"^\d+\. `(?P<path>[^`]+)`", re.MULTILINE)
_FOLDERS = ("app/", "worker/", "tests/", "docs/", "bench/", "alembic/", "examples/")

RECIPES = {
    found["title"]: (int(found["count"]), _ITEM.findall(found["items"])) for found in _RECIPE.finditer(TEXT)
}

# What was added earlier: the name in the recipe's paths, and a pattern that finds the files it has touched.
ADDED = {
    "Add a job kind": ("evaluate_model", r"evaluate_model|EvaluateModel"),
    "Add a completion": ("trainings", r'import completion as trainings|^RUNTIME: Final = "sklearn"'),
    "Add a runtime": ("onnx", r'"onnx"|OnnxRuntime|worker\.runtimes\.onnx\.runtime'),
    "Add an algorithm": ("bayes", r"MULTINOMIAL_NB|MultinomialBayes|BayesLearner"),
    "Add a setting": ("", r"(?i)^(# )?\s*retry_base_seconds(: |=)"),
}

OF_ANOTHER_RECIPE = {"app/jobs/completions.py", "app/jobs/evaluations/completion.py"}
"""The kind `evaluate_model` has a completion, too."""


def sources() -> list[Path]:
    found = [path for top in ("app", "worker") for path in (ROOT / top).rglob("*.py")]
    return [*found, ROOT / ".env.example"]


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_counts_its_files(title: str) -> None:
    count, paths = RECIPES[title]

    assert count == len(paths)


def test_every_recipe_is_read() -> None:
    assert len(RECIPES) == len(re.findall(r"^### Add|^### Trust", TEXT, re.MULTILINE))


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_names_files_as_they_are(title: str) -> None:
    for path in RECIPES[title][1]:
        assert list(ROOT.glob(re.sub(r"<\w+>", "*", path))), path


@pytest.mark.parametrize("title", ADDED)
def test_a_recipe_lists_what_an_earlier_addition_has_touched(title: str) -> None:
    name, pattern = ADDED[title]

    touched = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if re.search(pattern, path.read_text(), re.MULTILINE)
    }
    if title == "Add a job kind":
        touched -= OF_ANOTHER_RECIPE

    assert touched == {re.sub(r"<\w+>", name, path) for path in RECIPES[title][1]}


def test_every_file_that_is_named_exists() -> None:
    named = [path for path in re.findall(r"`([^`\s]+)`", TEXT) if path.startswith(_FOLDERS)]
    named += re.findall(r"\]\(([^)#:]+)\)", TEXT)
    for path in named:
        assert list(ROOT.glob(re.sub(r"<\w+>", "*", path).rstrip("/"))), path


def test_every_module_of_a_plugin_has_an_example_and_is_in_the_table() -> None:
    modules = {path.stem for path in (ROOT / "examples").rglob("*.py")} - {"__init__", "conformance"}

    assert modules == set(MODULES)
    for module in MODULES:
        assert f"`{module}.{module.upper()}`" in TEXT


@pytest.mark.parametrize("example", [path.parent.name for path in (ROOT / "examples").glob("*/__init__.py")])
def test_every_example_is_linked_explains_its_modules_and_is_tested(example: str) -> None:
    folder = ROOT / "examples" / example
    readme = (folder / "README.md").read_text()

    assert f"examples/{example}/README.md" in TEXT
    for path in folder.glob("*.py"):
        assert path.stem == "__init__" or f"{path.name}`" in readme, path
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "examples").glob("test_*.py"))
    assert f"examples.{example}" in tests
