"""Digits written by hand, for the demo: 1797 of them, 8×8 pixels each from 0 to 16, and which digit it is.

`demo_digits.csv.gz` is the test set of "Optical Recognition of Handwritten Digits" by E. Alpaydin and
C. Kaynak (UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49), under the licence
CC BY 4.0. It is what scikit-learn's `load_digits()` gives, in the same order, as a CSV with a header.
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
"""A pixel with as much is drawn."""

_BLOCKS: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}

Digit = Mapping[str, int]
"""A row: its pixels and its target, by the names of the columns."""


def read() -> list[Digit]:
    """All digits."""
    with gzip.open(_FILE, "rt", encoding="ascii", newline="") as file:
        return [{name: int(cell) for name, cell in row.items()} for row in csv.DictReader(file)]


def hold_back(digits: Sequence[Digit]) -> tuple[list[Digit], list[Digit]]:
    """Those to learn from, and the last one of each kind, from 0 to 9, for a trial afterwards."""
    last = {digit[TARGET]: place for place, digit in enumerate(digits)}
    held = [digits[last[target]] for target in sorted(last)]
    kept = set(range(len(digits))) - set(last.values())
    return [digits[place] for place in sorted(kept)], held


def write(digits: Sequence[Digit], path: Path) -> None:
    """Write them as a CSV."""
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(digits[0]))
        writer.writeheader()
        writer.writerows(digits)


def pixels(digit: Digit) -> Digit:
    """The digit without what it is: the columns that a model predicts from."""
    return {name: value for name, value in digit.items() if name != TARGET}


def drawn(digit: Digit) -> list[str]:
    """Four lines of eight characters that look like it."""
    ink = [value >= _INK for value in pixels(digit).values()]
    lines = [ink[start : start + SIDE] for start in range(0, len(ink), SIDE)]
    pairs = list(pairwise(lines))[::2]
    return ["".join(_BLOCKS[both] for both in zip(upper, lower, strict=True)) for upper, lower in pairs]
