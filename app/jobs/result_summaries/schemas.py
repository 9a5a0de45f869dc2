"""The response of the route of summaries."""

from typing_extensions import TypedDict


class ResultSummary(TypedDict):
    """The rows of a job that has ended: `rows` is `errors`, `others` and those of all `labels` together.

    `others` are predictions without a label, and those of labels for which the summary has no room.
    """

    rows: int
    errors: int
    labels: dict[str, int]
    others: int
