"""How long requests wait for what jobs do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobTimes:
    """In seconds. The defaults are those of production; tests pass shorter or longer ones to `create_app`."""

    cancel_seconds: float = 3.0
    """For a running job to stop, before a cancel is answered with 202."""
    prediction_seconds: float = 30.0
    """For the job of `POST /predict` to end."""
    inspection_seconds: float = 30.0
    """For the job that looks at an uploaded model to end."""
