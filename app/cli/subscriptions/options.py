"""Options of `headrace subscriptions create`."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import typer

from app.cli.jobs.values import Pair, parse_pair


@dataclass(frozen=True)
class FilterOptions:
    """Which jobs a subscription is about: those that match every given option."""

    kind: Annotated[str | None, typer.Option(metavar="NAME", help="Only jobs of this kind.")] = None
    queue: Annotated[str | None, typer.Option(metavar="NAME", help="Only jobs of this queue.")] = None
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only jobs that predict with this model or train it.")
    ] = None
    job_id: Annotated[UUID | None, typer.Option("--job", metavar="ID", help="Only this job.")] = None
    group_id: Annotated[
        UUID | None, typer.Option("--group", metavar="ID", help="Only jobs of this group.")
    ] = None
    schedule_id: Annotated[
        UUID | None, typer.Option("--schedule", metavar="ID", help="Only jobs of this schedule.")
    ] = None
    metadata: Annotated[
        list[Pair] | None,
        typer.Option(parser=parse_pair, metavar="KEY=VALUE", help="Only jobs with this label; repeatable."),
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """The filter as the API takes it."""
        members = {
            "kind": self.kind,
            "queue": self.queue,
            "model": self.model,
            "job_id": None if self.job_id is None else str(self.job_id),
            "group_id": None if self.group_id is None else str(self.group_id),
            "schedule_id": None if self.schedule_id is None else str(self.schedule_id),
            "metadata": dict(self.metadata or ()) or None,
        }
        return {name: value for name, value in members.items() if value is not None}
