"""How long requests wait for jobs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobTimes:
    """In seconds. The defaults are those of production; tests pass shorter or longer ones to `create_app`."""

    cancel_seconds: float = 3.0
    """For a running job to stop, before a cancellation returns 202."""
    prediction_seconds: float = 30.0
    """For the job of `POST /predict` to end."""
    inspection_seconds: float = 30.0
    """For the inspection of an uploaded model to end."""
