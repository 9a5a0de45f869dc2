"""Errors of reports."""

from app.core.errors import NotFound


class ReportNotFound(NotFound):
    """The version {model!r} has no report. Trainings write one, which only the owner can read."""

    code = "report_not_found"
    title = "Report not found"
