"""Marks each test `fast`, `server` or `long`, based on its fixtures and folder.

`make fast` runs the fast tests, `make test` all except the long ones, `make check` all except the thorough
and huge ones and the drills.
The tests of the image need root and programs that nothing else needs: only `make image-test` runs them. Those
with Ray run only in `make test-ray`.
"""

from collections.abc import Sequence
from itertools import compress, groupby, islice
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[1]

SERVER_FIXTURES: Final = frozenset({"server_root", "s3"})
"""Fixtures of which every server fixture requires one: the folder for Postgres and Valkey, and the bucket."""

SLOW_FOLDERS: Final = frozenset(
    {"chaos", "cli", "conformance", "e2e", "embedded", "examples", "faults", "monitoring", "dashboard"}
    | {"worker/children", "worker/engines", "worker/handlers", "worker/runtimes", "worker/training"}
)
"""Folders whose tests start processes, train models or import the ML libraries."""

LONG_PATHS: Final = frozenset(
    {"chaos", "e2e", "examples", "faults", "worker/handlers"}
    | {
        "cases/test_properties.py",
        "contracts/test_plans.py",
        "contracts/test_plans_of_firing.py",
        "http/test_attacks.py",
        "models/test_uploads.py",
        "monitoring/test_system.py",
    }
    | {
        "client/test_fuzzing.py",
        "client/test_generated.py",
        "streams/test_shutdown.py",
        "dashboard/test_admin.py",
        "dashboard/test_automation.py",
        "dashboard/test_faults.py",
        "dashboard/test_live.py",
        "dashboard/test_logs.py",
        "dashboard/test_models_and_datasets.py",
        "dashboard/test_new_job.py",
        "dashboard/test_pages.py",
        "dashboard/test_settings.py",
        "dashboard/test_shards.py",
        "dashboard/test_states.py",
        "docs/test_pages.py",
    }
    | {"auth/browser_sessions/test_browser.py", "auth/test_permissions.py"}
    | {"cases/test_as_written.py", "cases/test_by_column.py", "cases/test_doubts.py"}
    | {"cli/test_audit.py", "cli/test_schema_version.py", "cli/test_serve.py", "cli/test_users.py"}
    | {"client/test_schedules.py", "client/test_stories.py"}
    | {"conformance/test_algorithms.py", "conformance/test_kinds.py", "core/test_metrics.py"}
    | {"datasets/test_bombs.py", "datasets/test_causes.py"}
    | {"datasets/test_memory.py", "datasets/test_wide.py"}
    | {"embedded/test_postgres.py", "http/test_lingering.py", "http/test_links.py"}
    | {"k8s/test_network.py", "k8s/test_roles.py", "k8s/test_rules.py", "k8s/test_schemas.py"}
    | {"machine/test_state_machine.py", "models/plots/test_drawing.py"}
    | {"monitoring/test_logs.py", "monitoring/test_metrics_page.py", "monitoring/test_rules.py"}
    | {"monitoring/test_traces.py", "monitoring/test_traces_off.py"}
    | {"notifications/test_addresses.py", "schedules/test_against_wall_clock.py"}
    | {"worker/children/test_usage.py", "worker/runtimes/test_fuzzing.py", "worker/test_telemetry.py"}
    | {"worker/engines/ray/test_engine.py"}
    | {"worker/training/test_competition.py", "worker/training/test_trainer.py"}
)
"""Folders and files whose tests take long: whole systems, a browser, training, many processes, the largest
inputs. They are a tenth of the tests, and take three quarters of the time.
"""

THOROUGH_PATHS: Final = frozenset(
    {"cases/test_as_written.py", "cases/test_by_column.py", "cases/test_doubts.py"}
    | {"cases/test_properties.py", "cli/test_audit.py", "client/test_fuzzing.py"}
    | {"client/test_generated.py", "client/test_schedules.py", "client/test_stories.py"}
    | {"conformance/test_algorithms.py", "contracts/test_plans.py", "contracts/test_plans_of_firing.py"}
    | {"datasets/test_causes.py", "datasets/test_memory.py", "datasets/test_wide.py"}
    | {"e2e/test_datasets.py", "e2e/test_same_prediction.py", "e2e/test_tabular.py"}
    | {"monitoring/test_metrics_page.py", "monitoring/test_system.py", "monitoring/test_traces.py"}
    | {"schedules/test_against_wall_clock.py"}
)
"""Long tests of many inputs or whole systems that prove no guarantee. `make long` runs them, `make check`
does not, so that CI ends in time on a slow machine.
"""

EVERY_DAY: Final = frozenset({"e2e/test_predict.py"})
"""Exceptions that `make test` still runs: a job from its request to its result."""

FAST: Final = "fast"
IMAGE: Final = "image"
RAY: Final = "ray"
APART: Final = frozenset({IMAGE, RAY})
"""The marks, and the folders, of tests that need what nothing else does: to build the image, or Ray."""


def mark(item: pytest.Item) -> None:
    """Mark a test `long`, `thorough` and `server` by its path and fixtures, or `fast` if none applies."""
    if apart := APART & _within(item.path):
        for name in apart:
            item.add_marker(name)
        return
    if _is_long(item.path):
        item.add_marker(pytest.mark.long)
    if not THOROUGH_PATHS.isdisjoint(_within(item.path)):
        item.add_marker(pytest.mark.thorough)
    if not SERVER_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.server)
    elif not _is_slow(item.path) and not _is_marked(item):
        item.add_marker(pytest.mark.fast)


def is_excluded(path: Path, expression: str) -> bool:
    """Whether `-m EXPRESSION` deselects all tests of this file or folder."""
    if apart := APART & _within(path):
        return expression not in apart
    return expression == FAST and _is_slow(path)


def order(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """Order tests for the workers of `--dist worksteal`: see `deal`."""
    long_files = [item.path if item.get_closest_marker("long") else None for item in items]
    return [items[number] for number in deal(long_files, workers)]


def deal(long_files: Sequence[Path | None], workers: int) -> list[int]:
    """Order tests, given by the file of each long one: in the part of each worker the long ones come first.

    xdist gives each worker the next part of the list, and lets those that have finished take tests from the
    ends of the others. So the last ones to run are short, and no worker is left alone with a long one. The
    tests of a file stay together, because they may share a system.
    """
    is_short = [file is None for file in long_files]
    hands: list[list[int]] = [[] for _ in range(workers)]
    for file, tests in groupby(range(len(long_files)), key=long_files.__getitem__):
        if file is not None:
            min(hands, key=len).extend(tests)
    others = compress(range(len(long_files)), is_short)
    dealt: list[int] = []
    for worker, hand in enumerate(hands):
        part = (len(long_files) - len(dealt)) // (workers - worker)
        dealt += [*hand, *islice(others, max(0, part - len(hand)))]
    return [*dealt, *others]


def _is_marked(item: pytest.Item) -> bool:
    """Whether the test is marked explicitly, as tests that request a fixture dynamically must be."""
    return any(item.get_closest_marker(name) is not None for name in ("server", "long"))


def _is_slow(path: Path) -> bool:
    return not SLOW_FOLDERS.isdisjoint(_within(path))


def _is_long(path: Path) -> bool:
    within = _within(path)
    return not LONG_PATHS.isdisjoint(within) and EVERY_DAY.isdisjoint(within)


def _within(path: Path) -> set[str]:
    """Return the path relative to the tests, and its parent folders."""
    if not path.is_relative_to(TESTS):
        return set()
    below = path.relative_to(TESTS)
    return {below.as_posix(), *(parent.as_posix() for parent in below.parents)}
