"""Time zones, by the rules of the `tzdata` package.

Every process reads the package that is pinned with it, not the zones of its machine: two processes with
different rules would compute different ticks.
"""

import zoneinfo
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from importlib import resources
from typing import Final

import tzdata

from app.schedules.errors import UnknownTimezone

# For the whole process: nothing else reads zones.
zoneinfo.reset_tzpath(to=())

VERSION: Final[str] = tzdata.IANA_VERSION
"""The release of the zone data, such as `2026f`. Names of releases sort by age."""

_STEP: Final = timedelta(days=7)
"""No zone changes its offset twice within a week."""


@cache
def keys() -> frozenset[str]:
    """The keys of all zones. `Factory` is none: it stands for a machine without a zone."""
    names = resources.files(tzdata).joinpath("zones").read_text(encoding="ascii").split()
    return frozenset(names) - {"Factory"}


def known(key: str) -> bool:
    """Whether the zone data has a zone of this key."""
    return key in keys()


@cache
def get(key: str) -> tzinfo:
    """The zone of a key; raises UnknownTimezone if there is none. `UTC` is `datetime.UTC` itself."""
    if not known(key):
        raise UnknownTimezone(timezone=key)
    return UTC if key == "UTC" else zoneinfo.ZoneInfo(key)


def offset(zone: tzinfo, at: datetime) -> timedelta:
    """How far the clocks of a zone are ahead of UTC at an instant."""
    return at.astimezone(zone).utcoffset() or timedelta(0)


def change(zone: tzinfo, after: datetime, through: datetime) -> datetime | None:
    """The first instant after `after`, and no later than `through`, at which the clocks of a zone change."""
    before = offset(zone, after)
    while after < through:
        later = min(after + _STEP, through)
        if offset(zone, later) != before:
            return _bisect(zone, after, later)
        after = later
    return None


def _bisect(zone: tzinfo, unchanged: datetime, changed: datetime) -> datetime:
    """Find the only change between two instants. Clocks change at whole seconds."""
    before = offset(zone, unchanged)
    unchanged = unchanged.replace(microsecond=0)
    seconds = -((unchanged - changed) // timedelta(seconds=1))
    low, high = 0, seconds
    while high - low > 1:
        middle = (low + high) // 2
        if offset(zone, unchanged + timedelta(seconds=middle)) == before:
            low = middle
        else:
            high = middle
    return unchanged + timedelta(seconds=high)
