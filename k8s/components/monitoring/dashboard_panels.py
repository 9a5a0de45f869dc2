"""Panels and rows as Grafana's JSON, and where they are on the grid."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

Json = dict[str, Any]

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
GRID_WIDTH: Final = 24
PANEL_HEIGHT: Final = 7
"""Two lines of panels and their headline fit on a screen."""


class Drawing(StrEnum):
    """How Grafana draws a panel: its name for the type."""

    LINES = "timeseries"
    NUMBERS = "stat"
    HEATMAP = "heatmap"


@dataclass(frozen=True)
class Query:
    """A PromQL expression and the legend of its series."""

    expression: str
    legend: str

    def as_json(self, letter: str, drawing: Drawing) -> Json:
        """Return the target of a panel."""
        is_instant = drawing is Drawing.NUMBERS
        return {
            "refId": letter,
            "datasource": DATASOURCE,
            "expr": self.expression,
            "legendFormat": self.legend,
            "format": "heatmap" if drawing is Drawing.HEATMAP else "time_series",
            "instant": is_instant,
            "range": not is_instant,
        }


@dataclass(frozen=True)
class Panel:
    """A chart of one or more queries in one unit."""

    title: str
    unit: str
    description: str
    queries: tuple[Query, ...]
    drawing: Drawing = Drawing.LINES
    is_stacked: bool = False
    bad_above: float | None = None
    bad_below: float | None = None

    def as_json(self, number: int, position: Json) -> Json:
        """Return the panel with its id and its place on the grid."""
        return {
            "id": number,
            "type": self.drawing.value,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": position,
            "fieldConfig": {
                "defaults": {"unit": self.unit, **self._colours(), "custom": self._style()},
                "overrides": [],
            },
            "options": self._options(),
            "targets": [
                query.as_json(chr(ord("A") + index), self.drawing) for index, query in enumerate(self.queries)
            ],
        }

    def _colours(self) -> Json:
        """Red beyond the bound, if the panel has one."""
        good, bad = "green", "red"
        steps: list[Json] = [{"color": good, "value": None}]
        if self.bad_above is not None:
            steps.append({"color": bad, "value": self.bad_above})
        if self.bad_below is not None:
            steps = [{"color": bad, "value": None}, {"color": good, "value": self.bad_below}]
        follows_bounds = self.drawing is Drawing.NUMBERS
        return {
            "thresholds": {"mode": "absolute", "steps": steps},
            "color": {"mode": "thresholds" if follows_bounds else "palette-classic"},
        }

    def _style(self) -> Json:
        if self.drawing is not Drawing.LINES:
            return {}
        has_bound = self.bad_above is not None or self.bad_below is not None
        return {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 40 if self.is_stacked else 10,
            "showPoints": "never",
            "stacking": {"mode": "normal" if self.is_stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if has_bound else "off"},
            "axisSoftMin": 0,
        }

    def _options(self) -> Json:
        match self.drawing:
            case Drawing.LINES:
                return {
                    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                    "tooltip": {"mode": "multi", "sort": "desc"},
                }
            case Drawing.NUMBERS:
                return {
                    "colorMode": "background",
                    "graphMode": "none",
                    "textMode": "value_and_name",
                    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                }
            case Drawing.HEATMAP:
                return {
                    "calculate": False,
                    "yAxis": {"unit": self.unit},
                    "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
                    "legend": {"show": True},
                    "tooltip": {"mode": "single", "yHistogram": False},
                }


@dataclass(frozen=True)
class Row:
    """A headline with panels below it, `across` in a line."""

    title: str
    across: int
    panels: tuple[Panel, ...]


def laid_out(rows: Sequence[Row]) -> Iterator[Json]:
    """Yield headlines and panels with ids and positions, from the top to the bottom."""
    number, top = 0, 0
    for row in rows:
        number += 1
        yield _headline(row, number, top)
        top += 1
        width = GRID_WIDTH // row.across
        for index, panel in enumerate(row.panels):
            number += 1
            line, column = divmod(index, row.across)
            yield panel.as_json(
                number,
                {"x": column * width, "y": top + line * PANEL_HEIGHT, "w": width, "h": PANEL_HEIGHT},
            )
        top += PANEL_HEIGHT * -(-len(row.panels) // row.across)


def _headline(row: Row, number: int, top: int) -> Json:
    position = {"x": 0, "y": top, "w": GRID_WIDTH, "h": 1}
    return {
        "id": number,
        "type": "row",
        "title": row.title,
        "collapsed": False,
        "gridPos": position,
        "panels": [],
    }
