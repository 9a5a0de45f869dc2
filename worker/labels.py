"""Match the true labels of rows with the classes of a model: `True`, `true` and `1` may be one class."""

from collections.abc import Mapping, Sequence
from typing import Final

from app.datasets.canonical_text import NUMBER, to_canonical_text

MAX_LISTED: Final = 5

_BOOLEANS: Final = {
    "true": "true",
    "false": "false",
    "1": "true",
    "0": "false",
    "1.0": "true",
    "0.0": "false",
}


class LabelMatcher:
    """Matches labels with the classes of one model."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        self._known = frozenset(classes)
        self._booleans = {name.lower(): name for name in classes if name.lower() in ("true", "false")}
        self._are_booleans = len(self._booleans) == len(self._known)
        self._numbers = {float(name): name for name in classes if NUMBER.fullmatch(name)}
        # "01" and "1" are the same number. Classes like these are codes, so they are compared as text.
        self._are_numbers = len(self._numbers) == len(self._known)

    def match(self, label: str) -> str:
        """Return the class that a label stands for; the label itself if it stands for none."""
        if label in self._known:
            return label
        stripped = label.strip()
        if self._are_booleans:
            return self._booleans.get(_BOOLEANS.get(stripped.lower(), ""), label)
        if self._are_numbers and NUMBER.fullmatch(stripped):
            return self._numbers.get(float(stripped), to_canonical_text(float(stripped)) or label)
        if self._are_numbers and stripped.lower() in ("true", "false"):
            return self._numbers.get(1.0 if stripped.lower() == "true" else 0.0, label)
        return label

    def warnings(self, support: Mapping[str, int]) -> list[str]:
        """Return warnings about labels that are not classes of the model. `support` counts rows by label."""
        unknown = {label: rows for label, rows in support.items() if label not in self._known}
        if not unknown:
            return []
        listed = _format_list(sorted(unknown, key=lambda label: -unknown[label]))
        classes = _format_list(self._classes)
        if len(unknown) == len(support):
            return [f"None of the true labels ({listed}) is a class of the model ({classes})."]
        rows = sum(unknown.values())
        return [f"{rows} rows have a true label that is not a class of the model: {listed}."]


def _format_list(labels: Sequence[str]) -> str:
    more = "" if len(labels) <= MAX_LISTED else f" and {len(labels) - MAX_LISTED} more"
    return ", ".join(repr(label[:50]) for label in labels[:MAX_LISTED]) + more
