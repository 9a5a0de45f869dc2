"""True labels as a model knows its classes: True, true and 1 may be one class, and 1.0 and 1 may."""

from collections.abc import Mapping, Sequence
from typing import Final

from app.datasets.canonical_text import NUMBER, written

MAX_NAMED: Final = 5

_BOOLEANS: Final = {
    "true": "true",
    "false": "false",
    "1": "true",
    "0": "false",
    "1.0": "true",
    "0.0": "false",
}


class Labels:
    """The classes of one model."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        self._known = frozenset(classes)
        self._booleans = {name.lower(): name for name in classes if name.lower() in ("true", "false")}
        self._are_booleans = len(self._booleans) == len(self._known)
        self._numbers = {float(name): name for name in classes if NUMBER.fullmatch(name)}
        # "01" and "1" would be one number: then they are codes, and compared as they are written.
        self._are_numbers = len(self._numbers) == len(self._known)

    def label(self, truth: str) -> str:
        """The class that is meant by a true label; the label itself if it is none of them."""
        if truth in self._known:
            return truth
        said = truth.strip()
        if self._are_booleans:
            return self._booleans.get(_BOOLEANS.get(said.lower(), ""), truth)
        if self._are_numbers and NUMBER.fullmatch(said):
            return self._numbers.get(float(said), written(float(said)) or truth)
        if self._are_numbers and said.lower() in ("true", "false"):
            return self._numbers.get(1.0 if said.lower() == "true" else 0.0, truth)
        return truth

    def doubts(self, support: Mapping[str, int]) -> list[str]:
        """What is said of true labels that the model does not know."""
        unknown = {truth: rows for truth, rows in support.items() if truth not in self._known}
        if not unknown:
            return []
        named = _named(sorted(unknown, key=lambda truth: -unknown[truth]))
        classes = _named(self._classes)
        if len(unknown) == len(support):
            return [f"None of the true labels ({named}) is a class of the model ({classes})."]
        rows = sum(unknown.values())
        return [f"{rows} rows have a true label that is no class of the model: {named}."]


def _named(labels: Sequence[str]) -> str:
    more = "" if len(labels) <= MAX_NAMED else f" and {len(labels) - MAX_NAMED} more"
    return ", ".join(repr(label[:50]) for label in labels[:MAX_NAMED]) + more
