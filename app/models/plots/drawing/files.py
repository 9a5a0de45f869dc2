"""Write figures as files, with the same bytes on each machine."""

import io
import warnings
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure

from app.models.plots.kinds import PlotFormat

FONT: Final = "DejaVu Sans"
"""matplotlib brings it along. An SVG names it, and keeps texts as texts."""

DOTS_PER_INCH: Final = 120

SETTINGS: Final[Any] = {
    "font.family": FONT,
    "font.size": 10.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "headrace",
    "text.parse_math": False,  # a dollar sign in a label starts no formula
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e7eb",
    "axes.edgecolor": "#6b7280",
}


_NO_METADATA: Final = {
    PlotFormat.PNG: {"Software": None},
    PlotFormat.SVG: {"Date": None, "Creator": None},
}


def prepare() -> None:
    """Set the style, and use only the fonts that matplotlib brings along."""
    mpl.rcdefaults()
    mpl.rcParams.update(SETTINGS)
    bundled = Path(mpl.get_data_path())
    fonts = font_manager.fontManager
    fonts.ttflist = [font for font in fonts.ttflist if Path(font.fname).is_relative_to(bundled)]


def encode(figure: Figure, file_format: PlotFormat) -> bytes:
    """Return the file of a figure, without a date and without versions."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about characters that the font does not have
        figure.savefig(file, format=file_format.value, metadata=_NO_METADATA[file_format])
    return file.getvalue()
