"""What in a column a data scientist should look at before training."""

import re
from collections.abc import Sequence
from typing import Final

from app.datasets.profiling.messages import ColumnProfile, Warning
from app.datasets.values import MOSTLY_NUMBERS, Column

MANY_MISSING: Final = 0.5
FEWEST_IDS: Final = 20
LONGEST_ID: Final = 64
_DATES: Final = re.compile(
    r"\s*([0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{4}|[0-9]{2}))"
    r"([T ][0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?\s*(Z|[+-][0-9]{2}:?[0-9]{2})?)?\s*"
)

_DECIMAL_COMMA: Final = re.compile(r"\s*[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+),[0-9]+\s*")
_GROUPED: Final = re.compile(r"\s*[+-]?[0-9]{1,3}(,[0-9]{3})+\s*")


def of_column(found: ColumnProfile, column: Column, rows: int, sample: Sequence[str]) -> tuple[Warning, ...]:
    """Return the warnings about a column. `sample` has its first texts."""
    if found.missing == rows:
        return (Warning("empty", "All values are missing."),)
    warnings: list[Warning] = []
    if found.missing / rows >= MANY_MISSING:
        share = found.missing / rows
        warnings.append(Warning("many_missing", f"{share:.0%} of the values are missing."))
    if found.unique == 1:
        warnings.append(Warning("constant", "All values are the same."))
    has_decimal_commas = _have_decimal_commas(sample)
    if _looks_like_id(found, rows) and not has_decimal_commas:
        warnings.append(Warning("looks_like_id", "All values differ: an id predicts nothing."))
    if sample and all(_DATES.fullmatch(text) for text in sample):
        warnings.append(Warning("dates_as_text", "The texts look like dates: cast them to use their order."))
    if has_decimal_commas:
        warnings.append(
            Warning(
                "decimal_commas",
                "The texts are numbers with a decimal comma: write a point to use them as numbers.",
            )
        )
    if column.holds == MOSTLY_NUMBERS:
        reason = column.note or "some values are not numbers"
        warnings.append(Warning("numbers_as_text", f"Most texts are numbers: {reason}."))
    if len({text.strip().casefold() for text in sample}) < len(set(sample)):
        warnings.append(Warning("spellings", "Some texts differ only in case or in white space."))
    return tuple(warnings)


def _have_decimal_commas(sample: Sequence[str]) -> bool:
    """Whether all texts are numbers such as `1,5`. If all are like `1,500`, the comma may group digits."""
    return all(_DECIMAL_COMMA.fullmatch(text) for text in sample) and not all(
        _GROUPED.fullmatch(text) for text in sample
    )


def _looks_like_id(found: ColumnProfile, rows: int) -> bool:
    if found.missing or found.unique < rows or rows < FEWEST_IDS:
        return False
    if found.type == "text":
        return found.lengths is not None and found.lengths["max"] <= LONGEST_ID
    return found.type == "integer"
