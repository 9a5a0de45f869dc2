"""Every name in the modules of the dashboard is declared, every import exists and is used."""

import pytest

from app.dashboard.assets import WEB
from tests.dashboard import names
from tests.dashboard.test_contracts import MODULES


@pytest.mark.parametrize("name", MODULES)
def test_every_name_is_declared_and_every_import_exists_and_is_used(name: str) -> None:
    source = (WEB / name).read_text()

    assert names.undeclared(source) == set()
    assert names.unused(source) == set()
    for file, there, _ in names.imports(source):
        assert there in names.exports((WEB / name).parent.joinpath(file).read_text()), (file, there)


PLANTED = """
import { h, put as place } from "./h.js";

const LIMIT = 10, { a, b: renamed = LIMIT, ...others } = {};

export class Page {
  #hidden = a;
  shown = 1;
  static async open(root, { id }) {
    root.slices = async function* (stop) {
      yield stop;
    };
    for (const [key, value] of Object.entries(others)) {
      root.append(h("p", { key: value, id }, `text ${renamed(`${id} ${value}`)} undeclaredInText`));
    }
    return /undeclared[/]InRegex/.test(root.member) ? this.#hidden : (x) => x / LIMIT / 2;
  }
}
"""


def test_a_module_without_faults_is_left_alone() -> None:
    assert names.undeclared(PLANTED) == set()
    assert names.unused(PLANTED) == {"place"}
    assert names.exports(PLANTED) == {"Page"}
    assert [*names.imports(PLANTED)] == [("./h.js", "h", "h"), ("./h.js", "put", "place")]


@pytest.mark.parametrize(
    ("text", "replacement", "line"),
    [
        ("renamed(`", "misspelt(`", 14),
        ("? this.#hidden", "? misspelt", 16),
        ("/ LIMIT /", "/ misspelt /", 16),
        ("key: value, id", "key: misspelt, id", 14),
        ("= a;", "= misspelt;", 7),
        ("`${id} ${value}`", "`${id} ${misspelt}`", 14),
        ("Object.entries(others)", "misspelt.entries(others)", 13),
    ],
)
def test_a_name_that_nothing_declares_is_found(text: str, replacement: str, line: int) -> None:
    assert PLANTED.count(text) == 1

    assert names.undeclared(PLANTED.replace(text, replacement)) == {("misspelt", line)}
