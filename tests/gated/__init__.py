"""A kind whose jobs go as far as a file lets them: tests decide what happens when."""

from typing import Final

PLUGIN: Final = "tests.gated"
