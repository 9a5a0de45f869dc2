"""One page of a list, as queries return it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.core import paging

Item = TypeVar("Item")
PageRow = TypeVar("PageRow", bound=paging.Row)


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Consecutive items of a list, and whether any follow."""

    items: tuple[Item, ...]
    has_next: bool

    def next_cursor(self, cursor_of: Callable[[Item], str]) -> str | None:
        """The cursor of the next page, made from the last item of this one; None if no items follow."""
        return cursor_of(self.items[-1]) if self.has_next else None


def to_page(rows: Sequence[PageRow], limit: int, from_row: Callable[[PageRow], Item]) -> Page[Item]:
    """A page of at most `limit` items.

    `rows` are those of a `paging.bounded` query that asked for one row more than `limit`.
    """
    shown, is_last = paging.page(rows, limit)
    return Page(tuple(from_row(row) for row in shown), has_next=not is_last)
