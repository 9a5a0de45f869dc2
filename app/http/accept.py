"""Content negotiation: which media type a client prefers (RFC 9110, 12.5.1)."""

from collections.abc import Sequence


def choose(header: str, offers: Sequence[str]) -> str | None:
    """The offer that the `Accept` header prefers, the first one if it is empty; None if it accepts none.

    An exact type takes precedence over `text/*`, and that over `*/*`. Parameters other than q are ignored.
    """
    ranges = [_range(part) for part in header.split(",") if part.strip()]
    if not ranges:
        return offers[0]
    best = max(offers, key=lambda offer: _quality(offer, ranges))
    return best if _quality(best, ranges) > 0 else None


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            return name, _number(parameter.removeprefix("q="))
    return name, 1.0


def _number(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    kind = offer.partition("/")[0]
    for pattern in (offer, f"{kind}/*", "*/*"):
        qualities = [quality for name, quality in ranges if name == pattern]
        if qualities:
            return max(qualities)
    return 0.0
