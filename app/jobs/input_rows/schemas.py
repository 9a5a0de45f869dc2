"""The response of the route of input rows."""

from typing import Any, Literal
from uuid import UUID

from typing_extensions import TypedDict


class InputPage(TypedDict):
    """Input rows of a job, from `first_row` on. `total` is the number of all of them.

    `rows` are texts, lists or objects, as they were submitted or as the dataset has them.
    """

    source: Literal["inline", "dataset"]
    dataset_id: UUID | None
    first_row: int
    total: int
    rows: list[Any]
