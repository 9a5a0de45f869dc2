"""Kinds that do to a worker what models in the wild do; `PLUGINS=tests.kinds_for_tests`."""

from typing import Final

PLUGIN: Final = "tests.kinds_for_tests"
