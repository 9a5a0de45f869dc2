"""The response of the route of ledgers."""

from typing_extensions import TypedDict


class StoredRun(TypedDict):
    """The consecutive batches, from `first` to `last`, that one attempt has stored."""

    attempt: int
    first: int
    last: int
    rows: int


class Ledger(TypedDict):
    """The stored batches of a job, in order.

    `batches` is the number of batches that the job will have: an estimate until it completes, null while the
    size of a batch or the number of rows is unknown.
    """

    batches: int | None
    stored: int
    runs: list[StoredRun]
