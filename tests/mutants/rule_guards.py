"""The guards of when a schedule fires."""

from typing import Final

from tests.mutants.mutant import Mutant

RULES: Final = "app/schedules/rules.py"
ZONES: Final = "app/schedules/zones.py"


def _rules(test: str) -> str:
    return f"tests/schedules/test_rules.py::{test}"


def _zones(test: str) -> str:
    return f"tests/schedules/test_zones.py::{test}"


RULE_GUARDS: Final = (
    Mutant(
        "rules: the next tick may be the last one again",
        RULES,
        "return next(self.ticks(rule, t + _INSTANT), None)",
        "return next(self.ticks(rule, t), None)",
        (_rules("test_the_first_tick_may_be_the_present_and_the_next_may_not"),),
    ),
    Mutant(
        "rules: a fixed time runs again in the second pass of an overlap",
        RULES,
        "        if tick > last:\n",
        "        if True:\n",
        (_rules("test_ticks_rise_and_do_not_depend_on_when_they_are_asked_for"), _rules("test_cron_ticks")),
    ),
    Mutant(
        "rules: clocks never change",
        RULES,
        "            if changed_at is not None:\n",
        "            if False:\n",
        (
            _rules("test_cron_ticks"),
            "tests/schedules/test_against_wall_clock.py"
            "::test_around_each_change_of_clocks_every_minute_is_right",
        ),
    ),
    Mutant(
        "rules: after a change of clocks its own instant is left out",
        RULES,
        "start, unchanged_since = changed_at - _SECOND, changed_at",
        "start = unchanged_since = changed_at",
        (_rules("test_cron_ticks"),),
    ),
    Mutant(
        "rules: a field of seconds that is 0 is kept",
        RULES,
        '    if len(fields) == 6 and re.fullmatch("0+", fields[0]):',
        "    if False:",
        (_rules("test_a_field_of_seconds_that_is_zero_is_no_field_of_seconds"),),
    ),
    Mutant(
        "rules: cronsim may go on for ever",
        RULES,
        "        if self._steps > self._max_steps:",
        "        if False:",
        (_rules("test_a_walk_that_takes_too_many_steps_fails"),),
    ),
    Mutant(
        "rules: the anchor is always a tick",
        RULES,
        "0 if rule.includes_anchor else 1)",
        "0)",
        (_rules("test_every_10_seconds_for_10_minutes_is_60_ticks_and_61_from_its_start"),),
    ),
    Mutant(
        "rules: the end of a window is not in it",
        RULES,
        "takewhile(lambda tick: tick <= ends_at, ticks)",
        "takewhile(lambda tick: tick < ends_at, ticks)",
        (_rules("test_both_ends_of_a_window_are_in_it"),),
    ),
    Mutant(
        "rules: ticks before the window count",
        RULES,
        "            since = max(since, self.starts_at)\n",
        "            pass\n",
        (_rules("test_both_ends_of_a_window_are_in_it"),),
    ),
    Mutant(
        "rules: once in the past",
        RULES,
        "    if at < now:\n",
        "    if False:\n",
        (_rules("test_one_time_in_the_past_is_refused"),),
    ),
    Mutant(
        "rules: a local time that does not exist is another one",
        RULES,
        "    if instant.astimezone(zone).replace(tzinfo=None) == wall:\n",
        "    if True:\n",
        (_rules("test_a_local_time_that_does_not_exist_is_refused_with_the_times_around_it"),),
    ),
    Mutant(
        "rules: a zone that has vanished is an error of the request",
        RULES,
        "    except UnknownTimezone as error:\n",
        "    except KeyError as error:\n",
        (_rules("test_a_zone_that_has_vanished_fails_with_its_name"),),
    ),
    Mutant(
        "zones: those of the machine are read",
        ZONES,
        "zoneinfo.reset_tzpath(to=())",
        "",
        (_zones("test_a_process_that_was_told_another_folder_reads_the_package"),),
    ),
    Mutant(
        "zones: any file is one",
        ZONES,
        "    if not known(key):\n        raise UnknownTimezone(timezone=key)\n",
        "",
        (_zones("test_a_key_that_the_package_does_not_have_is_unknown"),),
    ),
    Mutant(
        "zones: UTC changes its clocks like any other",
        ZONES,
        'return UTC if key == "UTC" else zoneinfo.ZoneInfo(key)',
        "return zoneinfo.ZoneInfo(key)",
        (_zones("test_utc_is_the_utc_of_the_standard_library"),),
    ),
)
