"""Times and sizes that tests measure and do not assert, listed at the end of a run."""

import pytest


def report(reporter: pytest.TerminalReporter) -> None:
    """Write what tests recorded with `record_property`."""
    lines = [
        f"{test.nodeid.rpartition('::')[2]}: {name}: {value}"
        for test in reporter.stats.get("passed", [])
        for name, value in getattr(test, "user_properties", ())
    ]
    if lines:
        reporter.section("measured")
        for line in lines:
            reporter.write_line(line)
