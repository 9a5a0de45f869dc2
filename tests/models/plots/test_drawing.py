"""Plots are drawn in a confined process, with the same bytes each time."""

import asyncio
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure

from app.core import ids
from app.models.plots import kinds, process
from app.models.plots.drawing import figures, files
from app.models.plots.errors import PlotUnavailable
from app.models.plots.kinds import Plot, PlotFormat
from app.models.plots.messages import Task
from app.models.plots.plotter import PlotLimits, Plotter
from app.models.reports.report import ConfusionMatrix, Report
from tests.models.reports.examples import BINARY, NUMBERS

PNG = b"\x89PNG\r\n\x1a\n"
SECONDS = 200.0  # of a machine that does much else
EACH = [(report, plot) for report in (BINARY, NUMBERS) for plot in kinds.available(report)]


def texts(svg: bytes) -> list[str]:
    root = ElementTree.fromstring(svg)  # noqa: S314  # drawn by us
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def drawn(plot: Plot, report: Report, file_format: PlotFormat = PlotFormat.SVG) -> bytes:
    return files.encode(figures.draw(plot, report), file_format)


def test_every_plot_belongs_to_a_task() -> None:
    assert {plot for _, plot in EACH} == set(Plot)


@pytest.mark.parametrize(("report", "plot"), EACH)
@pytest.mark.parametrize("file_format", PlotFormat)
def test_each_plot_has_the_same_bytes_each_time(report: Report, plot: Plot, file_format: PlotFormat) -> None:
    first, again = (drawn(plot, report, file_format) for _ in range(2))

    assert first == again
    if file_format is PlotFormat.PNG:
        assert first.startswith(PNG)
    else:
        assert len(texts(first)) > 4
        assert b"<dc:date>" not in first


@pytest.mark.parametrize(
    "label", ["$x^2", "_hidden", "<b>&", "a\nb", "中文", "$\\frac{1}{0}$", "x" * 500, "{}", "%s", ""]
)
def test_labels_are_drawn_as_they_are(label: str) -> None:
    assert BINARY.classification is not None
    classification = replace(
        BINARY.classification,
        confusion_matrix=ConfusionMatrix(("no", label), ((1, 2), (3, 4))),
        roc=tuple(replace(curve, label=label) for curve in BINARY.classification.roc),
    )
    report = replace(BINARY, classification=classification)

    shown = texts(drawn(Plot.CONFUSION_MATRIX, report)) + texts(drawn(Plot.ROC, report))

    expected = label.replace("\n", " ")[: figures.MAX_LABEL - 1]
    assert any(expected in text for text in shown)
    assert len(drawn(Plot.ROC, report, PlotFormat.PNG)) < 200_000


def test_a_plot_that_nothing_chose_an_epoch_for_shows_the_training_rows() -> None:
    curve = tuple(replace(scores, valid_loss=None) for scores in BINARY.learning_curve)

    shown = texts(drawn(Plot.LEARNING_CURVE, replace(BINARY, learning_curve=curve)))

    assert "training rows" in shown
    assert "validation rows" not in shown


def test_only_fonts_that_matplotlib_brings_along_are_used() -> None:
    of_machine = font_manager.FontEntry(fname="/usr/share/fonts/DejaVuSans.ttf", name=files.FONT)
    font_manager.fontManager.ttflist.append(of_machine)

    files.prepare()

    fonts = [Path(font.fname) for font in font_manager.fontManager.ttflist]
    assert fonts
    assert all(font.is_relative_to(matplotlib.get_data_path()) for font in fonts)
    assert isinstance(figures.draw(Plot.ROC, BINARY), Figure)


async def test_the_process_draws_what_is_drawn_here() -> None:
    image = await process.draw(Task(Plot.IMPORTANCE, PlotFormat.SVG, BINARY), seconds=SECONDS)

    assert image == drawn(Plot.IMPORTANCE, BINARY)


async def test_a_drawing_that_takes_too_long_is_ended() -> None:
    with pytest.raises(PlotUnavailable, match="longer than 0 seconds"):
        await process.draw(Task(Plot.ROC, PlotFormat.PNG, BINARY), seconds=0.01)


async def test_a_drawing_that_fails_says_so() -> None:
    with pytest.raises(PlotUnavailable, match="drawing it failed"):
        await process.draw(Task(Plot.ERRORS, PlotFormat.PNG, BINARY), seconds=SECONDS)


async def test_a_plot_is_drawn_once_for_all_who_wait_for_it() -> None:
    plotter = Plotter(PlotLimits(seconds=SECONDS))
    version_id = ids.new_id()

    images = await asyncio.gather(
        *(plotter.draw(version_id, BINARY, Plot.ROC, PlotFormat.SVG) for _ in range(3))
    )

    # Without the cache, this would fail: the report has no such figures.
    again = await plotter.draw(version_id, NUMBERS, Plot.ROC, PlotFormat.SVG)
    assert {*images, again} == {images[0]}


async def test_more_requests_than_may_wait_are_refused() -> None:
    plotter = Plotter(PlotLimits(waiting=1, seconds=SECONDS))
    first = asyncio.ensure_future(plotter.draw(ids.new_id(), BINARY, Plot.ROC, PlotFormat.SVG))
    await asyncio.sleep(0)

    with pytest.raises(PlotUnavailable, match="too many plots"):
        await plotter.draw(ids.new_id(), BINARY, Plot.ROC, PlotFormat.SVG)

    assert await first


async def test_the_plots_that_are_kept_have_a_limit() -> None:
    plotter = Plotter(PlotLimits(cache_bytes=0, seconds=SECONDS))
    version_id = ids.new_id()

    await plotter.draw(version_id, BINARY, Plot.ROC, PlotFormat.SVG)

    with pytest.raises(PlotUnavailable):
        await plotter.draw(version_id, NUMBERS, Plot.ROC, PlotFormat.SVG)
