"""The filters of a request for results."""

from typing import Annotated

from fastapi import Depends, Query

from app.http.body import CleanStr
from app.jobs.result_filters.row_filter import RowFilter

MAX_LABEL_LENGTH = 1000


async def get_row_filter(
    label: Annotated[
        CleanStr | None, Query(max_length=MAX_LABEL_LENGTH, description="Only rows with this label.")
    ] = None,
    below: Annotated[
        float | None,
        Query(
            allow_inf_nan=False,
            description="Only rows whose score is less than this; without a score, whose value is.",
        ),
    ] = None,
    errors: Annotated[
        bool | None, Query(description="`true`: only rows with an error. `false`: only rows without.")
    ] = None,
) -> RowFilter:
    """The filters that the query names."""
    return RowFilter(label, below, errors)


RowFilterDep = Annotated[RowFilter, Depends(get_row_filter)]
