"""Which of several media types a client would rather have (RFC 9110, 12.5.1)."""

from collections.abc import Sequence


def choose(header: str, offers: Sequence[str]) -> str | None:
    """The offer that the header prefers, the first one if it does not care; None if it takes none of them.

    An exact name counts for more than `text/*`, and that for more than `*/*`; parameters other than q are
    passed over.
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
    for wanted in (offer, f"{kind}/*", "*/*"):
        said = [quality for name, quality in ranges if name == wanted]
        if said:
            return max(said)
    return 0.0
