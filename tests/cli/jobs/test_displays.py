"""What people see of a job that they watch."""

import pytest

from app.cli.jobs.displays import ProgressDisplay
from app.client import Event, Job

JOB_ID = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
WARNING = "'age' is missing in 31.0% of the rows, and in 2.0% of the training rows."


def test_the_warnings_of_a_result_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    event = Event.parse(
        {
            "job_id": JOB_ID,
            "seq": 4,
            "type": "completed",
            "status": "completed",
            "result": {"total": 10, "warnings": [WARNING], "drift": []},
        }
    )
    with ProgressDisplay() as display:
        display.show(event)

    assert f"3f1e2a4b6c8d  warning: {WARNING}\n" in capsys.readouterr().err


@pytest.mark.parametrize("result", [None, {}, {"warnings": []}, {"warnings": None}])
def test_without_warnings_there_are_none(result: dict[str, object] | None) -> None:
    assert Job.parse({"job_id": JOB_ID, "status": "completed", "result": result}).warnings == ()
