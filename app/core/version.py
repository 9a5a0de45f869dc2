"""The version of Headrace."""

from typing import Final

VERSION: Final = "0.1.0"
