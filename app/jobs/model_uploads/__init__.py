"""Models that users bring: taken in here, looked at by a job, registered as it completes."""
