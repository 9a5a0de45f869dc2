"""Timeouts of requests that wait for jobs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobTimes:
    """Timeouts in seconds. The defaults are for production; tests pass other values to `create_app`."""

    cancel_seconds: float = 3.0
    """Time for a running job to stop before a cancellation returns 202."""
    prediction_seconds: float = 30.0
    """Time for the job of `POST /predict` to end."""
    inspection_seconds: float = 30.0
    """Time for the inspection of an uploaded model to end."""
