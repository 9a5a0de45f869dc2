"""Errors of plots."""

from app.core.errors import AppError, NotFound


class PlotNotFound(NotFound):
    """The report of {model!r} has no plot {plot!r}. Its plots are: {plots}."""

    code = "plot_not_found"
    title = "Plot not found"


class PlotUnavailable(AppError):
    """The plot could not be drawn: {reason}. Try again later."""

    status = 503
    code = "plot_unavailable"
    title = "Plot unavailable"
    retry_after = 5
