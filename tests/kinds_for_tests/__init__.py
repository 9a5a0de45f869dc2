"""A plugin with kinds that misbehave as real models do: `PLUGINS=tests.kinds_for_tests`."""

from typing import Final

PLUGIN: Final = "tests.kinds_for_tests"
