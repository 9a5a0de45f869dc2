"""Each mistake of a plugin is one clear sentence, whatever it adds."""

from dataclasses import dataclass

import pytest

from app.core.errors import ConfigurationError
from app.core.plugins import ExtensionPoint
from tests.conftest import MakePlugin


@dataclass(frozen=True)
class Colour:
    name: str


# The name of one of the modules that plugins have; its values are colours for this test.
POINT = ExtensionPoint[Colour](
    "formats", "colour", lambda value: isinstance(value, Colour), name_of=lambda colour: colour.name
)
RED = """
from tests.core.test_plugins import Colour

FORMATS = {"red": Colour("red")}
"""


def fault(*plugins: str) -> str:
    """The message for these plugins."""
    with pytest.raises(ConfigurationError) as raised:
        POINT.load(plugins, taken={"black"})
    said = str(raised.value)
    assert said.startswith("PLUGINS: ")
    assert "\n" not in said
    return said


def test_a_plugin_adds_what_its_mapping_holds(make_plugin: MakePlugin) -> None:
    assert POINT.load([make_plugin("fine", formats=RED)], taken=()) == {"red": Colour("red")}


def test_a_plugin_need_not_add_to_every_extension_point(make_plugin: MakePlugin) -> None:
    assert POINT.load([make_plugin("other", kinds="raise AssertionError")], taken=()) == {}


def test_an_unknown_package() -> None:
    assert fault("no_such_package") == (
        "PLUGINS: no_such_package cannot be imported: No module named 'no_such_package'"
    )


def test_a_module_that_is_not_a_package() -> None:
    assert fault("colorsys") == "PLUGINS: colorsys is a module, not a package"


def test_a_package_without_any_of_the_modules(make_plugin: MakePlugin) -> None:
    assert fault(make_plugin("bare", kind="KINDS = {}")) == (
        "PLUGINS: bare adds nothing; a plugin has at least one of the modules kinds, completions, handlers,"
        " formats, runtimes, algorithms, learners, channels"
    )


def test_a_module_without_its_mapping(make_plugin: MakePlugin) -> None:
    said = fault(make_plugin("empty", formats="FORMAT = {}"))

    assert said == "PLUGINS: empty.formats does not define FORMATS"


@pytest.mark.parametrize(
    "source", ["FORMATS = []", "FORMATS = {'red': 'red'}", "FORMATS = {1: Colour('red')}"]
)
def test_a_mapping_of_the_wrong_type(make_plugin: MakePlugin, source: str) -> None:
    plugin = make_plugin("wrong", formats=f"from tests.core.test_plugins import Colour\n{source}")

    assert fault(plugin) == "PLUGINS: FORMATS of wrong.formats must map names to colours"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_library_that_is_not_there", "a_library_that_is_not_there"),
        ("FORMATS = {", "was never closed"),
        ("raise RuntimeError('no licence')", "no licence"),
        ("FORMATS = 1 / 0", "division by zero"),
    ],
)
def test_a_module_that_cannot_be_imported(make_plugin: MakePlugin, source: str, reason: str) -> None:
    said = fault(make_plugin("broken", formats=source))

    assert said.startswith("PLUGINS: broken.formats cannot be imported: ")
    assert reason in said


def test_a_name_that_is_taken(make_plugin: MakePlugin) -> None:
    said = fault(make_plugin("greedy", formats=RED.replace("red", "black")))

    assert said == "PLUGINS: greedy adds the colour 'black', which already exists"


def test_two_plugins_with_the_same_name(make_plugin: MakePlugin) -> None:
    plugins = [make_plugin(name, formats=RED) for name in ("first", "second")]

    assert fault(*plugins) == "PLUGINS: second adds the colour 'red', which already exists"


def test_a_name_that_is_not_that_of_the_value(make_plugin: MakePlugin) -> None:
    said = fault(make_plugin("confused", formats=RED.replace('{"red"', '{"blue"')))

    assert said == "PLUGINS: confused lists the colour 'red' under 'blue'"
