"""Response bodies of plots."""

from typing_extensions import TypedDict

from app.models.plots.kinds import Plot


class PlotLinks(TypedDict):
    """Links of a plot."""

    png: str
    svg: str


class PlotView(TypedDict):
    """A plot that a report has."""

    plot: Plot
    links: PlotLinks


class PlotList(TypedDict):
    """The plots of a report."""

    items: list[PlotView]
