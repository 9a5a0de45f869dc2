"""Handwritten digits for the demo: 1797 images of 8×8 pixels with values from 0 to 16, each with its label.

`demo_digits.csv.gz` is the test set of "Optical Recognition of Handwritten Digits" by E. Alpaydin and
C. Kaynak (UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49), licensed under
CC BY 4.0. It holds what scikit-learn's `load_digits()` returns, in the same order, as a CSV with a header.
"""

import csv
import gzip
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

TARGET: Final = "digit"
SIDE: Final = 8

_FILE: Final = Path(__file__).with_name("demo_digits.csv.gz")
_INK: Final = 8
"""Pixels of at least this value are drawn."""

_BLOCKS: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}

Digit = Mapping[str, int]
"""A row: pixels and target by column name."""


def read() -> list[Digit]:
    """Read all digits."""
    with gzip.open(_FILE, "rt", encoding="ascii", newline="") as file:
        return [{name: int(cell) for name, cell in row.items()} for row in csv.DictReader(file)]


def hold_back(digits: Sequence[Digit]) -> tuple[list[Digit], list[Digit]]:
    """Split into the digits to train on and one of each kind, from 0 to 9, to predict afterwards."""
    last = {digit[TARGET]: index for index, digit in enumerate(digits)}
    held = [digits[last[target]] for target in sorted(last)]
    kept = set(range(len(digits))) - set(last.values())
    return [digits[index] for index in sorted(kept)], held


def write(digits: Sequence[Digit], path: Path) -> None:
    """Write digits as a CSV."""
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(digits[0]))
        writer.writeheader()
        writer.writerows(digits)


def pixels(digit: Digit) -> Digit:
    """The columns that a model predicts from: all but the target."""
    return {name: value for name, value in digit.items() if name != TARGET}


def draw(digit: Digit) -> list[str]:
    """Draw a digit as four lines of eight block characters."""
    ink = [value >= _INK for value in pixels(digit).values()]
    lines = [ink[start : start + SIDE] for start in range(0, len(ink), SIDE)]
    pairs = list(pairwise(lines))[::2]
    return ["".join(_BLOCKS[both] for both in zip(upper, lower, strict=True)) for upper, lower in pairs]
