"""Routes of plots."""

import hashlib
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Response

from app.auth.deps import ModelsReader
from app.http import files, problems
from app.http.conditional import ConditionsDep
from app.http.deps import DatabaseDep
from app.http.errors import PreconditionFailed, RangeNotSatisfiable
from app.http.files import ServedFile
from app.http.links import link
from app.http.routing import BoundedRoute
from app.models.deps import PlotterDep
from app.models.errors import ModelNotFound
from app.models.names import ModelName
from app.models.paths import Number
from app.models.plots import kinds
from app.models.plots.errors import PlotNotFound, PlotUnavailable
from app.models.plots.kinds import MEDIA_TYPES, Plot, PlotFormat
from app.models.plots.schemas import PlotLinks, PlotList, PlotView
from app.models.reports import queries
from app.models.reports.errors import ReportNotFound

# The default policy blocks the styles of an SVG.
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'; sandbox"
    )
}
_UNKNOWN: Final = ModelNotFound(model="churn@3")
_NO_REPORT: Final = ReportNotFound(model="churn@3")
_NO_PLOT: Final = PlotNotFound(model="churn@3", plot="roc", plots=["predicted_actual", "errors"])
_ETAG: Final = '"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"'

router = APIRouter(route_class=BoundedRoute, prefix="/models/{name}/versions/{number}/plots", tags=["models"])


@router.get(
    "",
    operation_id="listModelPlots",
    summary="List the plots of a trained version",
    response_model=PlotList,
    responses=problems.responses(_UNKNOWN, _NO_REPORT),
)
async def list_plots(name: ModelName, number: Number, user: ModelsReader, database: DatabaseDep) -> PlotList:
    """Returns the plots that the report has figures for."""
    async with database.connection() as connection:
        version, report = await queries.get(connection, user.id, name, number)
    here = link(f"/models/{version.name}/versions/{version.version}/plots")
    return PlotList(
        items=[
            PlotView(plot=plot, links=PlotLinks(png=f"{here}/{plot}", svg=f"{here}/{plot}?format=svg"))
            for plot in kinds.available(report)
        ]
    )


@router.get(
    "/{plot}",
    operation_id="getModelPlot",
    summary="Draw a plot of a trained version",
    response_class=Response,
    responses={
        **files.responses(*MEDIA_TYPES.values()),
        **problems.responses(
            _UNKNOWN,
            _NO_REPORT,
            _NO_PLOT,
            PreconditionFailed(etag=_ETAG),
            RangeNotSatisfiable(bytes=21_000),
            PlotUnavailable(reason="too many plots are waiting to be drawn"),
        ),
    },
)
async def get_plot(
    name: ModelName,
    number: Number,
    plot: Annotated[Plot, Path(description="Name of the plot.")],
    user: ModelsReader,
    database: DatabaseDep,
    plotter: PlotterDep,
    conditions: ConditionsDep,
    file_format: Annotated[
        PlotFormat, Query(alias="format", description="File format of the plot.")
    ] = PlotFormat.PNG,
) -> Response:
    """Sends an image, drawn from the report. The same plot always has the same bytes.

    Only for your own models: a report shows values of the data.
    """
    async with database.connection() as connection:
        version, report = await queries.get(connection, user.id, name, number)
    plots = kinds.available(report)
    if plot not in plots:
        raise PlotNotFound(model=f"{name}@{number}", plot=plot.value, plots=[known.value for known in plots])
    image = await plotter.draw(version.id, report, plot, file_format)

    async def part(start: int, end: int) -> AsyncIterator[bytes]:
        yield image[start:end]

    etag = f'"{hashlib.sha256(image).hexdigest()}"'
    return await files.respond(
        ServedFile(etag, len(image), MEDIA_TYPES[file_format], _HEADERS), part, conditions
    )
