"""Zones: their rules come from the package, whatever the machine has."""

import subprocess
import sys
import zoneinfo
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from app.schedules import zones
from app.schedules.errors import UnknownTimezone


@pytest.mark.parametrize(
    "key",
    [
        "Mars/Olympus",
        "localtime",
        "posix/UTC",
        "../../etc/passwd",
        "/etc/localtime",
        "Factory",
        "utc",
        "",
        "\0",
    ],
)
def test_a_key_that_the_package_does_not_have_is_unknown(key: str) -> None:
    assert not zones.known(key)
    with pytest.raises(UnknownTimezone) as refused:
        zones.get(key)

    assert refused.value.facts == {"timezone": key}


def test_every_key_of_the_package_names_a_zone() -> None:
    keys = zones.keys()

    assert len(keys) > 400
    for key in keys:
        assert datetime(2027, 1, 1, tzinfo=zones.get(key)).utcoffset() is not None


def test_utc_is_the_utc_of_the_standard_library() -> None:
    assert zones.get("UTC") is UTC


def test_zones_are_not_read_from_the_machine() -> None:
    assert zoneinfo.TZPATH == ()


def test_a_process_that_was_told_another_folder_reads_the_package() -> None:
    program = (
        "from app.schedules import zones; import zoneinfo; print(zoneinfo.TZPATH, zones.get('Europe/Berlin'))"
    )

    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env={"PYTHONTZPATH": "/usr/share/zoneinfo"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout.strip() == "() Europe/Berlin"


def test_the_version_is_a_release_of_the_zone_data() -> None:
    assert zones.VERSION[:4].isdecimal()
    assert zones.VERSION[4:].isalpha()


def test_the_offset_of_a_zone_is_that_of_the_instant() -> None:
    berlin = zones.get("Europe/Berlin")

    assert zones.offset(berlin, datetime(2027, 1, 1, tzinfo=UTC)) == timedelta(hours=1)
    assert zones.offset(berlin, datetime(2027, 7, 1, tzinfo=UTC)) == timedelta(hours=2)


def test_a_change_is_found_to_the_second() -> None:
    berlin = zones.get("Europe/Berlin")
    spring = datetime(2027, 3, 28, 1, tzinfo=UTC)

    assert zones.change(berlin, datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)) == spring
    assert zones.change(berlin, spring - timedelta(microseconds=1), spring) == spring
    assert zones.change(berlin, spring, spring + timedelta(days=200)) is None
    assert zones.change(berlin, datetime(2027, 1, 1, tzinfo=UTC), spring - timedelta(microseconds=1)) is None


def test_no_zone_changes_twice_within_a_week() -> None:
    """`change` looks once a week. Looking each day has to find the same changes."""
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
    for key in sorted(zones.keys()):
        zone = zones.get(key)
        days = (start + timedelta(days=day) for day in range((end - start).days))
        offsets = [zones.offset(zone, day) for day in days]
        changes = [day for day in range(1, len(offsets)) if offsets[day] != offsets[day - 1]]

        assert all(later - earlier > 7 for earlier, later in pairwise(changes)), key
