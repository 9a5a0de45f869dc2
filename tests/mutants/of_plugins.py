"""Guards of what plugins add."""

from typing import Final

from tests.mutants.mutant import Mutant

_POINT: Final = "app/core/plugins.py"
_FORMATS: Final = "app/models/formats.py"


def _mistake(test: str) -> str:
    return f"tests/core/test_plugins.py::{test}"


OF_PLUGINS: Final = (
    Mutant(
        "plugins: a plugin replaces what is built in",
        _POINT,
        "if name in taken or name in added:",
        "if name in added:",
        (_mistake("test_a_name_that_is_taken"),),
    ),
    Mutant(
        "plugins: a plugin replaces what another one adds",
        _POINT,
        "if name in taken or name in added:",
        "if name in taken:",
        (_mistake("test_two_plugins_with_the_same_name"),),
    ),
    Mutant(
        "plugins: a value of any type is added",
        _POINT,
        "isinstance(name, str) and self.accepts(value)",
        "isinstance(name, str)",
        (_mistake("test_a_mapping_of_the_wrong_type"),),
    ),
    Mutant(
        "plugins: a plugin that adds nothing goes unnoticed",
        _POINT,
        "    if not found:\n",
        "    if False:\n",
        (_mistake("test_a_package_without_any_of_the_modules"),),
    ),
    Mutant(
        "plugins: the formats of plugins are asked about pickles",
        _FORMATS,
        '    with path.open("rb") as file:\n        head = file.read(_HEAD_BYTES)\n',
        '    with path.open("rb") as file:\n        head = file.read(_HEAD_BYTES)\n'
        "        for file_format in added:\n"
        "            return file_format.runtime\n",
        ("tests/models/test_formats.py::test_formats_of_plugins_are_asked_last",),
    ),
)
