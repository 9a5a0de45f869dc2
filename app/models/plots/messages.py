"""The message to the process that draws a plot. Its answer is the file."""

import msgspec

from app.models.plots.kinds import Plot, PlotFormat
from app.models.reports.report import Report


class Task(msgspec.Struct, frozen=True):
    """The plot to draw, from which report, in which format."""

    plot: Plot
    format: PlotFormat
    report: Report
