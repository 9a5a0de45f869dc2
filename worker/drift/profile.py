"""The profile of the rows on which a model was trained: what each column held, in a bounded size.

It is an extra member of the model's file, which skops ignores. So it belongs to one version and goes
wherever the file goes.
"""

import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from worker.cells import Content

PROFILE_FILE: Final = "headrace-profile.json"
MAX_PROFILE_BYTES: Final = 8 * 1024 * 1024
MAX_COLUMNS: Final = 200
MAX_CATEGORIES: Final = 100
MAX_CATEGORY_CHARACTERS: Final = 200
BINS: Final = 10

Floats = npt.NDArray[np.float32]
"""Numbers as they are compared. The digits beyond single precision depend on how a file stores a number."""


class Numbers(msgspec.Struct, frozen=True, tag="numbers"):
    """How many values are in each bin. Bin `i` begins at `edges[i - 1]`; the first and the last are open.

    The edges are the deciles of the training rows. The value of a text is its number of characters, that of a
    date its days since 1970.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def place(self, values: Floats) -> list[int]:
        """Return how many of the values are in each bin."""
        places = np.searchsorted(np.array(self.edges, np.float32), values, side="right")
        counts: list[int] = np.bincount(places, minlength=len(self.counts)).tolist()
        return counts


class Categories(msgspec.Struct, frozen=True, tag="categories"):
    """How often the most frequent categories occur, and all `others` together."""

    counts: dict[str, int]
    others: int = 0

    @property
    def are_all(self) -> bool:
        """Whether every category of the training rows is listed."""
        return self.others == 0


class ColumnProfile(msgspec.Struct, frozen=True):
    """One input column. `missing` of the `rows` have no value; `markers` are texts that mark such a row."""

    name: str
    content: Content
    rows: int
    missing: int
    values: Numbers | Categories
    markers: tuple[str, ...] = ()


class Profile(msgspec.Struct, frozen=True):
    """The first MAX_COLUMNS input columns of a model."""

    columns: tuple[ColumnProfile, ...]


def describe(name: str, content: Content, cells: npt.NDArray[Any], markers: Iterable[str]) -> ColumnProfile:
    """Return the profile of a column with these cells, as `present_values` takes them."""
    missing, present = present_values(content, cells)
    values = _count_categories(present) if isinstance(present, list) else _count_numbers(present)
    return ColumnProfile(name, content, len(cells), missing, values, tuple(markers))


def present_values(content: Content, cells: npt.NDArray[Any]) -> tuple[int, list[str] | Floats]:
    """Return how many cells are missing, and the values of the others: categories, or numbers.

    Cells are as a model takes them: floats with NaN, categories with None, or texts, empty if missing.
    """
    if content is Content.CATEGORY:
        categories = [category for category in cells.tolist() if category is not None]
        return len(cells) - len(categories), categories
    if content is Content.TEXT:
        lengths = np.fromiter(map(len, cells.tolist()), np.float32, len(cells))
        present = lengths[lengths > 0]
    else:
        numbers = cells.astype(np.float32)
        present = numbers[np.isfinite(numbers)]
    return len(cells) - len(present), present


def write(path: Path, profile: Profile) -> None:
    """Add a profile to the file of a model, unless it is too large to be read again."""
    encoded = msgspec.json.encode(profile)
    if len(encoded) <= MAX_PROFILE_BYTES:
        with zipfile.ZipFile(path, "a") as archive:
            # Without a time, so that the same model has the same bytes.
            archive.writestr(zipfile.ZipInfo(PROFILE_FILE), encoded, zipfile.ZIP_DEFLATED)


def read(path: Path) -> Profile | None:
    """Return the profile in a file that a runtime has loaded; None if it has none that is valid."""
    with zipfile.ZipFile(path) as archive:
        if PROFILE_FILE not in archive.namelist():
            return None
        if archive.getinfo(PROFILE_FILE).file_size > MAX_PROFILE_BYTES:
            return None
        content = archive.read(PROFILE_FILE)
    try:
        profile = msgspec.json.decode(content, type=Profile)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return profile if _is_sound(profile) else None


def _is_sound(profile: Profile) -> bool:
    """Whether the numbers fit together: an uploaded file may hold anything."""
    return len(profile.columns) <= MAX_COLUMNS and all(
        0 <= column.missing <= column.rows and _fit_together(column.values) for column in profile.columns
    )


def _fit_together(values: Numbers | Categories) -> bool:
    if isinstance(values, Categories):
        return len(values.counts) <= MAX_CATEGORIES and min(values.others, *values.counts.values(), 0) >= 0
    is_ascending = all(first < second for first, second in zip(values.edges, values.edges[1:], strict=False))
    return (
        len(values.counts) == len(values.edges) + 1 <= BINS + 1 and is_ascending and min(values.counts) >= 0
    )


def _count_numbers(present: Floats) -> Numbers:
    if not len(present):
        return Numbers((), (0,))
    shares = np.arange(1, BINS) / BINS
    # A decile is one of the values: a mean of two would differ by a rounding error from run to run.
    edges = np.unique(np.quantile(present, shares, method="inverted_cdf"))
    binned = Numbers(tuple(edges.tolist()), (0,) * (len(edges) + 1))
    return Numbers(binned.edges, tuple(binned.place(present)))


def _count_categories(present: list[str]) -> Categories:
    counted = Counter(present)
    # Of equally frequent ones the first by name, so that a resumed training writes the same file.
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    listed = {name: count for name, count in ordered if len(name) <= MAX_CATEGORY_CHARACTERS}
    kept = dict(list(listed.items())[:MAX_CATEGORIES])
    return Categories(kept, len(present) - sum(kept.values()))
