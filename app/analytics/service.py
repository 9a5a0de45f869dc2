"""Which figures a caller gets: their own, or those of all users if they may see everything."""

from uuid import UUID

from app.analytics.errors import HoursNotKept, UsersNeedAllScope
from app.analytics.facts import ALL_USERS
from app.analytics.ranges import By, OwnerScope, TimeRange
from app.auth.identities import Identity
from app.auth.permissions import Permission


def owner_of(caller: Identity, scope: OwnerScope) -> UUID:
    """Return the owner whose statistics answer a request. Raises PermissionDenied."""
    if scope is OwnerScope.OWN:
        return caller.id
    caller.ensure(Permission.OPERATE)
    return ALL_USERS


def ensure_available(wanted: TimeRange, scope: OwnerScope, by: By | None) -> None:
    """Raise HoursNotKept or UsersNeedAllScope for figures that there are not."""
    if by is By.HOUR and wanted is TimeRange.ALL:
        raise HoursNotKept
    if by is By.USER and scope is OwnerScope.OWN:
        raise UsersNeedAllScope
