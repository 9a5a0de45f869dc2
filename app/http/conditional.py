"""Conditional requests (RFC 9110, section 13), by entity tag. Modification dates are not supported."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Header, Request

from app.http import methods
from app.http.errors import PreconditionFailed

ANY: Final = "*"
_WEAK: Final = "W/"

# A tag may contain commas, so a list of tags cannot be split at them.
_TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


@dataclass(frozen=True)
class Conditions:
    """The conditional headers of one request, and the range that it asks for."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_range: str | None = None
    range: str | None = None

    def is_unchanged(self, etag: str) -> bool:
        """Whether the client already has the current version, so that the response is 304.

        `etag` is the tag of the current version. Raises PreconditionFailed if `If-Match` names others.
        """
        if not is_expected(self.if_match, etag):
            raise PreconditionFailed(etag=etag)
        return self.if_none_match is not None and _names(self.if_none_match, etag, weakly=True)

    def requested_range(self, etag: str) -> str | None:
        """The `Range` header; None if `If-Range` names another version.

        A date in `If-Range` never matches, and neither does a weak tag.
        """
        if self.if_range is not None and self.if_range.strip() != etag:
            return None
        return self.range


def is_expected(if_match: str | None, etag: str) -> bool:
    """Whether `If-Match` is absent, or names the current version of something that exists."""
    return if_match is None or _names(if_match, etag)


def _names(header: str, etag: str, *, weakly: bool = False) -> bool:
    """Whether `*` or a list of tags includes this tag (RFC 9110, 8.8.3.2).

    The strong comparison never matches a weak tag; the weak one ignores `W/`, which a proxy may have added.
    """
    if header.strip() == ANY:
        return True
    if weakly:
        return etag.removeprefix(_WEAK) in (tag.removeprefix(_WEAK) for tag in _tags(header))
    return not etag.startswith(_WEAK) and etag in _tags(header)


def _tags(header: str) -> Iterator[str]:
    return (found[0] for found in _TAG.finditer(header))


async def get_conditions(
    request: Request,
    if_match: Annotated[
        str | None, Header(description="`ETag` values, or `*`. Returns 412 if none is current.")
    ] = None,
    if_none_match: Annotated[
        str | None, Header(description="`ETag` values, or `*`. Returns 304 if one is current.")
    ] = None,
    if_range: Annotated[
        str | None, Header(description="One `ETag`. Unless it is current, the whole file is sent.")
    ] = None,
    byte_range: Annotated[
        str | None, Header(alias="Range", description="One range of bytes, such as `bytes=0-1023`.")
    ] = None,
) -> Conditions:
    """Return the conditions of a route that serves a file.

    RFC 9110 defines ranges for GET only, so those of a HEAD request are ignored.
    """
    is_head = methods.is_head(request.scope)
    return Conditions(
        if_match=_join_header(request, "if-match"),
        if_none_match=_join_header(request, "if-none-match"),
        if_range=if_range,
        range=None if is_head else byte_range,
    )


def _join_header(request: Request, name: str) -> str | None:
    """Join all values of a header that may be sent more than once; FastAPI passes only the first."""
    return ", ".join(request.headers.getlist(name)) or None


ConditionsDep = Annotated[Conditions, Depends(get_conditions)]
