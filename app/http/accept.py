"""Content negotiation: which media type and which content coding a client prefers (RFC 9110, 12.5)."""

from collections.abc import Mapping, Sequence

from starlette.datastructures import Headers


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


def accepted_encodings(headers: Headers) -> str:
    """The `Accept-Encoding` of a request, whose lines are one list (RFC 9110, 5.3)."""
    return ", ".join(headers.getlist("accept-encoding"))


def accepts_encoding(header: str, encoding: str) -> bool:
    """Whether an `Accept-Encoding` header accepts a content coding (RFC 9110, 12.5.3)."""
    return _coding_quality(encoding, _coding_qualities(header)) > 0


def choose_encoding(header: str, offers: Sequence[str]) -> str | None:
    """The content coding that an `Accept-Encoding` header prefers, the first of equals; None for no coding.

    No coding is preferred only if the header gives `identity` a greater weight.
    """
    qualities = _coding_qualities(header)
    best = max(offers, key=lambda offer: _coding_quality(offer, qualities))
    quality = _coding_quality(best, qualities)
    return best if quality > 0 and quality >= qualities.get("identity", 0.0) else None


def _coding_qualities(header: str) -> dict[str, float]:
    return dict(_range(part) for part in header.split(",") if part.strip())


def _coding_quality(coding: str, qualities: Mapping[str, float]) -> float:
    return qualities.get(coding, qualities.get("*", 0.0))
