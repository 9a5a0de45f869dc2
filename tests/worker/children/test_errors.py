"""What is said of a child that has died."""

import signal

import pytest

from worker.children.errors import ChildDied, KillReason


@pytest.mark.parametrize(
    ("exit_code", "number", "cause"),
    [
        (3, None, "exit code 3"),
        (0, None, "exit code 0"),
        (-11, signal.SIGSEGV, "SIGSEGV"),
        (-35, None, "signal 35"),
        (-1000, None, "signal 1000"),
    ],
)
def test_a_death_names_its_cause_also_a_signal_that_has_no_name(
    exit_code: int, number: signal.Signals | None, cause: str
) -> None:
    death = ChildDied(1, None, exit_code)

    assert death.signal is number
    assert str(death) == f"The process that ran the job died: {cause}"


def test_a_death_that_the_worker_has_willed_names_the_reason() -> None:
    assert str(ChildDied(1, KillReason.MEMORY_LIMIT, -9)).endswith("memory_limit")
