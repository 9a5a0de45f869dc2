"""The SQL for the names that a job is shown with: of its owner, its worker and its dataset. Text only."""

# ruff: noqa: S608  # an alias of our own


def owner_name(alias: str) -> str:
    """Return the username of the owner of a row of `jobs`."""
    return f"(SELECT username FROM users WHERE id = {alias}.owner_id)"


def worker_name(alias: str) -> str:
    """Return the name of the worker on which a row of `jobs` runs; null if it does not run."""
    return f"(SELECT name FROM workers WHERE id = {alias}.worker_id)"


def dataset_name(alias: str) -> str:
    """Return the name of the dataset that a row of `jobs` reads; null without one, or once it is deleted."""
    return f"(SELECT name FROM datasets WHERE id = {alias}.dataset_id)"


def names(alias: str) -> str:
    """Return the columns `owner`, `worker` and `dataset_name` of a row of `jobs`."""
    return (
        f"{owner_name(alias)} AS owner, {worker_name(alias)} AS worker, {dataset_name(alias)} AS dataset_name"
    )
