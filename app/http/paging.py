"""Query parameters of routes that list items page by page."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Query

from app.core import paging
from app.http.body import CleanStr

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100

NamePrefix = Annotated[
    CleanStr | None,
    Query(
        alias="q",
        min_length=1,
        max_length=200,
        description="Only those whose names begin with this, in any case.",
    ),
]


@dataclass(frozen=True)
class PageQuery:
    """The page that a client asks for: at most `limit` items, after those of the page that gave `cursor`."""

    cursor: str | None
    limit: int

    @property
    def before(self) -> UUID | None:
        """The id of the last item of the previous page, for lists in order of ids. Raises InvalidCursor."""
        return None if self.cursor is None else paging.decode_cursor(self.cursor)


def page_query(*, default: int, maximum: int) -> Callable[..., Awaitable[PageQuery]]:
    """A dependency that reads `cursor` and `limit`."""

    async def read(
        cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page.")] = None,
        limit: Annotated[
            int, Query(ge=1, le=maximum, description="Maximum number of items per page.")
        ] = default,
    ) -> PageQuery:
        return PageQuery(cursor, limit)

    return read


PageQueryDep = Annotated[PageQuery, Depends(page_query(default=DEFAULT_LIMIT, maximum=MAX_LIMIT))]
